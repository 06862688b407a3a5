// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * workload_cost secretmem ROUNDS     fault 1 + ROUNDS pages of secretmem in, and let go
 * workload_cost module FILE ROUNDS   load and unload FILE as a module, 1 + ROUNDS times
 *
 * Says what the first cost (NAME_cold) and the median of the others (NAME_warm). Of loads and
 * unloads only the time that they run counts: an unload waits for a grace period.
 */
#define _GNU_SOURCE
#include "secretmem.h"
#include "workload_module.h"

static uint64_t *times_of(size_t count)
{
	uint64_t *times = malloc(count * sizeof(*times));

	/* Touched, so that no fault of its own is in what is measured. */
	return memset(times, 0, count * sizeof(*times));
}

static void cold_and_warm(const char *what, uint64_t *times, size_t rounds)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_cold", what);
	result(name, times[0]);
	qsort(times + 1, rounds, sizeof(*times), ascending);
	snprintf(name, sizeof(name), "%s_warm", what);
	result(name, times[1 + rounds / 2]);
}

static int secretmem(size_t rounds)
{
	size_t page = getpagesize(), size = (1 + rounds) * page;
	uint64_t *times = times_of(1 + rounds);
	int fd = secretmem_open(size);
	volatile char *pages = fd < 0 ? MAP_FAILED : secretmem_map(fd, size);

	if (pages == MAP_FAILED)
		return failed("secretmem");
	for (size_t i = 0; i <= rounds; i++) {
		uint64_t start = now();

		pages[i * page] = 1;
		times[i] = now() - start;
	}
	cold_and_warm("fault", times, rounds);
	munmap((void *)pages, size);
	close(fd);
	return 0;
}

static int module(const char *file, size_t rounds)
{
	uint64_t *loads = times_of(1 + rounds), *unloads = times_of(1 + rounds);

	for (size_t i = 0; i <= rounds; i++)
		if (load_by(run_time, file, 0, &loads[i]) ||
		    unload_number_by(run_time, 0, &unloads[i]))
			return 1;
	cold_and_warm("load", loads, rounds);
	cold_and_warm("unload", unloads, rounds);
	return 0;
}

int main(int argc, char **argv)
{
	size_t rounds = argc > 2 ? strtoul(argv[argc - 1], NULL, 0) : 0;

	if (rounds && argc == 3 && strcmp(argv[1], "secretmem") == 0)
		return secretmem(rounds);
	if (rounds && argc == 4 && strcmp(argv[1], "module") == 0)
		return module(argv[2], rounds);
	fprintf(stderr, "usage: workload_cost secretmem ROUNDS | module FILE ROUNDS\n");
	return 2;
}
