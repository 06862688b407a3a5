/* SPDX-License-Identifier: GPL-2.0-only */
/* What the KUnit suites of __GFP_UNMAPPED share. */
#include <kunit/test.h>
#include <linux/module.h>

#include "patchbed_direct_map.h"

/* What the cache must serve: a refill is one PMD, so that nobody can count on more in one piece. */
static const unsigned int orders[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };

static void describe_order(const unsigned int *order, char *description)
{
	snprintf(description, KUNIT_PARAM_DESC_SIZE, "order-%u", *order);
}

KUNIT_ARRAY_PARAM(order, orders, describe_order);

static struct page *alloc_unmapped(unsigned int order, gfp_t more)
{
	return alloc_pages(GFP_KERNEL | __GFP_NOWARN | PATCHBED_UNMAPPED | more, order);
}

static void needs_the_flag(struct kunit *test)
{
	kunit_skip(test, "this kernel has no __GFP_UNMAPPED");
}

/* KUnit before 6.5 reports a parameter that skips as "ok", so that no case with one may skip. */
static struct kunit_case no_tests[] = {
	KUNIT_CASE(needs_the_flag),
	{ }
};
