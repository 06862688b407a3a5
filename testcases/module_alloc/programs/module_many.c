// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * module_many load FILE COUNT: loads the module in FILE COUNT times, each time with its number in
 * the place of the 0000 at the end of its name.
 * module_many unload NAME COUNT: unloads those, the last first; NAME ends with 0000.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DIGITS 4

static char *read_file(const char *path, size_t *size)
{
	struct stat state;
	char *content;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &state))
		return NULL;
	*size = state.st_size;
	content = malloc(*size);
	if (!content || read(fd, content, *size) != (ssize_t)*size)
		return NULL;
	close(fd);
	return content;
}

/* The module's name, from its file's: long enough not to be anywhere else in the file. */
static char *name_of(const char *path)
{
	char *name = strdup(strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	size_t length = strlen(name);

	if (length > 3 && !strcmp(name + length - 3, ".ko"))
		name[length - 3] = '\0';
	return name;
}

static void number_it(char *content, size_t size, const char *name, unsigned int number)
{
	size_t length = strlen(name), prefix = length - DIGITS;
	char digits[DIGITS + 1], *found = content;

	snprintf(digits, sizeof(digits), "%04u", number % 10000);
	/* By what comes before the number: that is another one every time. */
	while ((found = memmem(found, content + size - found, name, prefix))) {
		if (strspn(found + prefix, "0123456789") >= DIGITS)
			memcpy(found + prefix, digits, DIGITS);
		found += prefix;
	}
}

static int load(const char *path, unsigned int count)
{
	size_t size = 0;
	char *content = read_file(path, &size), *name = name_of(path);

	if (!content) {
		perror(path);
		return 1;
	}
	for (unsigned int number = 0; number < count; number++) {
		number_it(content, size, name, number);
		if (syscall(SYS_init_module, content, size, "")) {
			fprintf(stderr, "%s, number %u: %s\n", path, number, strerror(errno));
			return 1;
		}
	}
	return 0;
}

static int unload(char *name, unsigned int count)
{
	size_t length = strlen(name);

	while (count--) {
		number_it(name, length, name, count);
		if (syscall(SYS_delete_module, name, O_NONBLOCK)) {
			fprintf(stderr, "%s: %s\n", name, strerror(errno));
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int count = argc == 4 ? strtoul(argv[3], NULL, 0) : 0;

	if (!count || strlen(argv[2]) <= DIGITS ||
	    (strcmp(argv[1], "load") && strcmp(argv[1], "unload"))) {
		fprintf(stderr, "usage: module_many load FILE COUNT | unload NAME COUNT\n");
		return 2;
	}
	return !strcmp(argv[1], "load") ? load(argv[2], count) : unload(name_of(argv[2]), count);
}
