// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * workload_modules load FIRST FILE...     load each file as a module of its own name
 * workload_modules unload NAME...         unload modules
 *
 * The same file may be loaded many times: its module's name is changed in memory to
 * wlNNN, with NNN counted from FIRST. Says how long loads or unloads took.
 */
#define _GNU_SOURCE
#include "workload_module.h"

int main(int argc, char **argv)
{
	int loading = argc > 3 && strcmp(argv[1], "load") == 0;
	int unloading = argc > 2 && strcmp(argv[1], "unload") == 0;
	int from = loading ? 3 : 2, first = loading ? atoi(argv[2]) : 0;
	uint64_t *times;

	if (!loading && !unloading) {
		fprintf(stderr, "usage: workload_modules load FIRST FILE... | unload NAME...\n");
		return 2;
	}
	times = calloc(argc, sizeof(*times));
	if (loading)
		tell_splits(0, argc - from);
	for (int i = from; i < argc; i++) {
		uint64_t *time = &times[i - from];

		if (loading ? load_by(now, argv[i], first + i - from, time) :
			      unload_by(now, argv[i], time))
			return 1;
		if (loading)
			tell_splits(i + 1 - from, argc - from);
	}
	result_times(loading ? "load" : "unload", times, argc - from);
	return 0;
}
