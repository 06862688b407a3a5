// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * workload_churn KEPT PAGES:FILE...: for each argument fault PAGES pages of secretmem in, and
 * load FILE as a module; let go of what was taken KEPT arguments before.
 *
 * What it does is decided by its arguments, not by time. At the end all is given back. Says how
 * long single faults, loads, unloads and releases took, and the whole; waiting, as unloads do for
 * a grace period, is in none but faults and releases.
 */
#define _GNU_SOURCE
#include "secretmem.h"
#include "workload_module.h"

struct taken {
	void *pages;
	size_t size;
	int fd;
};

static uint64_t *faults, *loads, *unloads, *releases;
static size_t nr_faults, nr_released;

static int take_pages(struct taken *taken, size_t count)
{
	size_t page = getpagesize();
	volatile char *pages;
	uint64_t start;

	taken->size = count * page;
	taken->fd = secretmem_open(taken->size);
	taken->pages = taken->fd < 0 ? MAP_FAILED : secretmem_map(taken->fd, taken->size);
	if (taken->pages == MAP_FAILED)
		return failed("secretmem");
	pages = taken->pages;
	for (size_t i = 0; i < count; i++) {
		start = now();
		pages[i * page] = 1;
		faults[nr_faults++] = now() - start;
	}
	return 0;
}

static int let_go(struct taken *taken, int number)
{
	uint64_t start = now();

	munmap(taken->pages, taken->size);
	close(taken->fd);
	releases[nr_released] = now() - start;
	return unload_number_by(run_time, number, &unloads[nr_released++]);
}

static size_t all_pages(int count, char **steps)
{
	size_t sum = 0;

	for (int i = 0; i < count; i++) {
		if (atoi(steps[i]) <= 0 || !strchr(steps[i], ':'))
			return 0;
		sum += atoi(steps[i]);
	}
	return sum;
}

/* Zeroed and touched, so that no fault of its own is in what is measured. */
static uint64_t *times_of(size_t count)
{
	uint64_t *times = malloc(count * sizeof(*times));

	return memset(times, 0, count * sizeof(*times));
}

int main(int argc, char **argv)
{
	int kept = argc > 2 ? atoi(argv[1]) : 0, count = argc - 2;
	size_t pages = count > 0 ? all_pages(count, argv + 2) : 0;
	struct taken *taken;
	uint64_t start, watching = 0, since;

	if (kept < 1 || !pages) {
		fprintf(stderr, "usage: workload_churn KEPT PAGES:FILE...\n");
		return 2;
	}
	taken = calloc(count, sizeof(*taken));
	faults = times_of(pages);
	loads = times_of(count);
	unloads = times_of(count);
	releases = times_of(count);
	tell_splits(0, count + kept);
	start = run_time();
	for (int i = 0; i < count + kept; i++) {
		if (i >= kept && i - kept < count && let_go(&taken[i - kept], i - kept))
			return 1;
		if (i < count && (take_pages(&taken[i], atoi(argv[i + 2])) ||
				  load_by(run_time, strchr(argv[i + 2], ':') + 1, i, &loads[i])))
			return 1;
		since = run_time();
		tell_splits(i + 1, count + kept);
		watching += run_time() - since;
	}
	result("churn_total", run_time() - start - watching);
	result_times("fault", faults, nr_faults);
	result_times("load", loads, count);
	result_times("unload", unloads, count);
	result_times("release", releases, count);
	return 0;
}
