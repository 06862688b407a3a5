/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading a module from memory, under a name of its own, and unloading it. */
#ifndef WORKLOAD_MODULE_H
#define WORKLOAD_MODULE_H

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workload.h"

#define THIS_MODULE ".gnu.linkonce.this_module"

static inline char *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY);
	struct stat state;
	char *data;
	ssize_t got;

	if (fd < 0 || fstat(fd, &state))
		return NULL;
	*size = state.st_size;
	data = malloc(*size);
	for (size_t done = 0; done < *size; done += got) {
		got = read(fd, data + done, *size - done);
		if (got <= 0)
			return NULL;
	}
	close(fd);
	return data;
}

/* Finds the name in the module's own structure, where the kernel takes it from. */
static inline char *find_name(char *data, const char *name, size_t size)
{
	Elf64_Ehdr *header = (Elf64_Ehdr *)data;
	Elf64_Shdr *sections = (Elf64_Shdr *)(data + header->e_shoff);
	const char *names = data + sections[header->e_shstrndx].sh_offset;

	for (int i = 0; i < header->e_shnum; i++) {
		char *from = data + sections[i].sh_offset;

		if (strcmp(names + sections[i].sh_name, THIS_MODULE) == 0 &&
		    sections[i].sh_offset + sections[i].sh_size <= size)
			return memmem(from, sections[i].sh_size, name, strlen(name) + 1);
	}
	return NULL;
}

/* Loads the file at path as module wlNNN; 0 or 1, and how long it took by clock. */
static inline int load_by(uint64_t (*clock)(void), const char *path, int number, uint64_t *time)
{
	const char *slash = strrchr(path, '/');
	char name[64], *data, *place;
	uint64_t start;
	size_t size;
	long error;

	snprintf(name, sizeof(name), "%s", slash ? slash + 1 : path);
	if (strrchr(name, '.'))
		*strrchr(name, '.') = 0;
	data = read_file(path, &size);
	place = data ? find_name(data, name, size) : NULL;
	if (!place) {
		fprintf(stderr, "%s: no module called %s\n", path, name);
		return 1;
	}
	snprintf(place, strlen(name) + 1, "wl%03d", number);
	start = clock();
	error = syscall(SYS_init_module, data, size, "");
	*time = clock() - start;
	free(data);
	return error ? failed(path) : 0;
}

static inline int unload_by(uint64_t (*clock)(void), const char *name, uint64_t *time)
{
	uint64_t start = clock();

	if (syscall(SYS_delete_module, name, 0))
		return failed(name);
	*time = clock() - start;
	return 0;
}

/* The same for what load_by() called by its number. */
static inline int unload_number_by(uint64_t (*clock)(void), int number, uint64_t *time)
{
	char name[16];

	snprintf(name, sizeof(name), "wl%03d", number);
	return unload_by(clock, name, time);
}

#endif
