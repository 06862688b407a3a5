/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KTAP from a user program: ktap_start(), one ktap_check() or ktap_skip() a check, and
 * return ktap_end() from main. Every line is written at once, so that a crash loses none.
 */
#ifndef KTAP_H
#define KTAP_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned int ktap_count, ktap_failures, ktap_plan;

static inline void ktap_start(unsigned int plan)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	ktap_plan = plan;
	printf("KTAP version 1\n1..%u\n", plan);
}

/* A remark, not a result. */
#define ktap_note(format, ...) printf("# " format "\n", ##__VA_ARGS__)

static inline bool ktap_check(bool ok, const char *name)
{
	printf("%sok %u - %s\n", ok ? "" : "not ", ++ktap_count, name);
	ktap_failures += !ok;
	return ok;
}

static inline void ktap_skip(const char *name, const char *reason)
{
	printf("ok %u - %s # SKIP %s\n", ++ktap_count, name, reason);
}

/* Give up: what is left of the plan stays missing, which the reader takes for failed. */
static inline void ktap_bail(const char *what)
{
	fflush(stdout);
	perror(what);
	exit(1);
}

/* The exit status: 0 where all checks of the plan passed. */
static inline int ktap_end(void)
{
	return ktap_failures || ktap_count != ktap_plan;
}

#endif
