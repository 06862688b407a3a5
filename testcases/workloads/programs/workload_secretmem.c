// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * workload_secretmem COUNT: fault COUNT pages of secretmem in, hold them until a signal
 * (SIGTERM), let go.
 *
 * Says how long faults took, then "held", and at the end how long letting go took.
 */
#include <signal.h>

#include "secretmem.h"
#include "workload.h"

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 0) : 0, size = getpagesize();
	uint64_t *times, start;
	volatile char *pages;
	sigset_t end;
	int fd, number;

	if (!count) {
		fprintf(stderr, "usage: workload_secretmem COUNT\n");
		return 2;
	}
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	times = malloc(count * sizeof(*times));
	/* Written once, so that no fault of its own is in what is measured. */
	memset(times, 1, count * sizeof(*times));
	fd = secretmem_open(count * size);
	pages = fd < 0 ? MAP_FAILED : secretmem_map(fd, count * size);
	if (pages == MAP_FAILED)
		return failed("workload_secretmem");
	tell_splits(0, count);
	for (size_t i = 0; i < count; i++) {
		start = now();
		pages[i * size] = 1;
		times[i] = now() - start;
		tell_splits(i + 1, count);
	}
	result_times("fault", times, count);
	puts("held");
	fflush(stdout);
	sigwait(&end, &number);
	start = now();
	munmap((void *)pages, count * size);
	close(fd);
	result("release_total", now() - start);
	return 0;
}
