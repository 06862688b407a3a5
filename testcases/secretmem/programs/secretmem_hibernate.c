// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whether an open secretmem file keeps the kernel from hibernating: what is secret must not be
 * written to a disk. Goes only as far as stopping all processes, by /sys/power/pm_test, and comes
 * back: no disk is needed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "ktap.h"
#include "secretmem.h"

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), error;

	if (fd < 0)
		return errno;
	error = write(fd, text, strlen(text)) < 0 ? errno : 0;
	close(fd);
	return error;
}

static bool says(const char *path, const char *word)
{
	char text[256] = "";
	int fd = open(path, O_RDONLY);
	bool said;

	said = fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strstr(text, word);
	close(fd);
	return said;
}

static void expect(bool possible, const char *when)
{
	char name[128];
	int error;

	snprintf(name, sizeof(name), "%s: /sys/power/state %s disk", when,
		 possible ? "offers" : "does not offer");
	ktap_check(says("/sys/power/state", "disk") == possible, name);
	snprintf(name, sizeof(name), "%s: /sys/power/disk is %s", when,
		 possible ? "enabled" : "disabled");
	ktap_check(says("/sys/power/disk", "[disabled]") != possible, name);
	error = put("/sys/power/state", "disk");
	snprintf(name, sizeof(name), "%s: hibernation %s", when,
		 possible ? "begins" : "is refused");
	ktap_note("%s", strerror(error));
	ktap_check(possible ? !error : error == EPERM, name);
}

int main(void)
{
	char *page;
	int fd;

	ktap_start(13);
	/* Without it the machine would go off, if the kernel let it. */
	if (!ktap_check(!put("/sys/power/pm_test", "freezer"), "it can be tried without a disk"))
		return 1;
	put("/sys/module/suspend/parameters/pm_test_delay", "0");
	expect(true, "without secretmem");
	fd = secretmem_open(getpagesize());
	if (fd < 0)
		ktap_bail("memfd_secret");
	expect(false, "with an open file");
	page = secretmem_map(fd, getpagesize());
	if (page == MAP_FAILED)
		ktap_bail("mmap");
	*page = 1;
	close(fd);
	expect(false, "with a page and its fd closed");
	munmap(page, getpagesize());
	expect(true, "once it is gone");
	put("/sys/power/pm_test", "none");
	return ktap_end();
}
