// SPDX-License-Identifier: GPL-2.0-or-later
/* workload_clock NAME: say how long it is since boot. */
#include "workload.h"

int main(int argc, char **argv)
{
	result(argc > 1 ? argv[1] : "clock", now());
	return 0;
}
