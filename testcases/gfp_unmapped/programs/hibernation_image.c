// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a hibernation image would contain: one is made in memory through /dev/snapshot, read, and
 * thrown away. No disk is needed, and the machine stays on.
 *
 * Prints a line for each saved page: its frame and its first 8 bytes, both in hexadecimal.
 * /dev/snapshot gives a page of facts (struct swsusp_info), pages with the frames of all that was
 * saved, in order, and then what was in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/suspend_ioctls.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PAGE 4096
#define FRAMES (PAGE / sizeof(uint64_t))
/* The top bit of a frame: all of the page is zero, and it is left out (since 6.7). */
#define ZERO_FLAG (1ULL << 63)
#define FRAME(entry) ((entry) & ~ZERO_FLAG)

/* The kernel's struct swsusp_info, which no header for programs has. */
struct facts {
	char uts[6][65];
	uint32_t version;
	uint64_t physical_pages;
	uint32_t cpus;
	uint64_t image_pages;
	uint64_t pages;
	uint64_t size;
};

static int die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void take(int fd, void *page)
{
	if (read(fd, page, PAGE) != PAGE)
		die("reading the image");
}

static uint64_t *take_frames(int fd, uint64_t count)
{
	uint64_t *frames = calloc(count, PAGE);

	if (!frames)
		die("no memory");
	for (uint64_t i = 0; i < count; i++)
		take(fd, frames + i * FRAMES);
	return frames;
}

static void show(int fd)
{
	static union {
		struct facts facts;
		uint64_t words[FRAMES];
	} page;
	uint64_t count, *frames;

	take(fd, &page);
	count = page.facts.image_pages;
	frames = take_frames(fd, page.facts.pages - count - 1);
	for (uint64_t i = 0; i < count; i++) {
		page.words[0] = 0;
		if (!(frames[i] & ZERO_FLAG))
			take(fd, &page);
		printf("%llx %llx\n", (unsigned long long)FRAME(frames[i]),
		       (unsigned long long)page.words[0]);
	}
}

static char text[64 << 20];

int main(void)
{
	int fd = open("/dev/snapshot", O_RDONLY), suspended = 0;

	if (fd < 0)
		die("/dev/snapshot");
	if (ioctl(fd, SNAPSHOT_FREEZE, 0))
		die("SNAPSHOT_FREEZE");
	if (ioctl(fd, SNAPSHOT_CREATE_IMAGE, &suspended))
		die("SNAPSHOT_CREATE_IMAGE");
	/* Who would read this is frozen: it is kept until all others go on. */
	setvbuf(stdout, text, _IOFBF, sizeof(text));
	show(fd);
	if (ioctl(fd, SNAPSHOT_FREE, 0) || ioctl(fd, SNAPSHOT_UNFREEZE, 0))
		die("SNAPSHOT_UNFREEZE");
	return fflush(stdout) ? 1 : 0;
}
