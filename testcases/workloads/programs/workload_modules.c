// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * workload_modules load FIRST FILE...     load each file as a module of its own name
 * workload_modules unload NAME...         unload modules
 *
 * The same file may be loaded many times: its module's name is changed in memory to
 * wlNNN, with NNN counted from FIRST. Says how long loads or unloads took.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workload.h"

#define THIS_MODULE ".gnu.linkonce.this_module"

static char *read_file(const char *path, size_t *size)
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
static char *find_name(char *data, const char *name, size_t size)
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

static int load(const char *path, int number, uint64_t *time)
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
	start = now();
	error = syscall(SYS_init_module, data, size, "");
	*time = now() - start;
	free(data);
	return error ? failed(path) : 0;
}

int main(int argc, char **argv)
{
	int loading = argc > 3 && strcmp(argv[1], "load") == 0;
	int unloading = argc > 2 && strcmp(argv[1], "unload") == 0;
	int from = loading ? 3 : 2, first = loading ? atoi(argv[2]) : 0;
	uint64_t *times, start;

	if (!loading && !unloading) {
		fprintf(stderr, "usage: workload_modules load FIRST FILE... | unload NAME...\n");
		return 2;
	}
	times = calloc(argc, sizeof(*times));
	for (int i = from; i < argc; i++) {
		if (loading) {
			if (load(argv[i], first + i - from, &times[i - from]))
				return 1;
			continue;
		}
		start = now();
		if (syscall(SYS_delete_module, argv[i], 0))
			return failed(argv[i]);
		times[i - from] = now() - start;
	}
	result_times(loading ? "load" : "unload", times, argc - from);
	return 0;
}
