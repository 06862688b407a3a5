/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What workloads have in common: a clock, and results as lines "NAME VALUE". */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Nanoseconds since boot; on a deterministic machine that is instructions executed. */
static inline uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_BOOTTIME, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/*
 * Nanoseconds that this thread has run: what it waited for, an RCU grace period for one, is not in
 * it, nor what other threads do for it.
 */
static inline uint64_t run_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static inline void result(const char *name, uint64_t value)
{
	printf("%s %" PRIu64 "\n", name, value);
}

static inline int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Says the first, the median, and the sum of count times; sorts them. */
static inline void result_times(const char *what, uint64_t *times, size_t count)
{
	uint64_t sum = 0;
	char name[64];

	if (!count)
		return;
	for (size_t i = 0; i < count; i++)
		sum += times[i];
	snprintf(name, sizeof(name), "%s_first", what);
	result(name, times[0]);
	qsort(times, count, sizeof(*times), ascending);
	snprintf(name, sizeof(name), "%s_median", what);
	result(name, times[count / 2]);
	snprintf(name, sizeof(name), "%s_total", what);
	result(name, sum);
}

/*
 * Says how many 2M mappings of the direct map had been split when done of count steps were done, as
 * a line "at PERCENT SPLITS", every tenth of the way. Call it with 0 before the first.
 */
static inline void tell_splits(size_t done, size_t count)
{
	static const char name[] = "\ndirect_map_level2_splits ";
	static char text[32768];
	static size_t told;
	static int file = -1;
	const char *row;
	ssize_t length;

	if (done && done * 10 / count == told)
		return;
	told = done * 10 / count;
	if (file < 0)
		file = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	length = pread(file, text, sizeof(text) - 1, 0);
	if (length <= 0)
		return;
	text[length] = 0;
	row = strstr(text, name);
	if (row)
		printf("at %zu %lu\n", told * 10, strtoul(row + strlen(name), NULL, 10));
}

static inline int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

#endif
