/* SPDX-License-Identifier: GPL-2.0-only */
/* What the KUnit suites of __GFP_UNMAPPED share. */
#include <kunit/test.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "patchbed_direct_map.h"

/* What the cache must serve: a refill is one PMD, so that nobody can count on more in one piece. */
static const unsigned int orders[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };

static void describe_order(const unsigned int *order, char *description)
{
	snprintf(description, KUNIT_PARAM_DESC_SIZE, "order-%u", *order);
}

/* Not every suite has a case for each order. */
static const void *order_gen_params(const void *previous, char *description) __maybe_unused;
KUNIT_ARRAY_PARAM(order, orders, describe_order);

static inline struct page *alloc_unmapped(unsigned int order, gfp_t more)
{
	return alloc_pages(GFP_KERNEL | __GFP_NOWARN | PATCHBED_UNMAPPED | more, order);
}

/* How many of a chunk's subpages at least one oracle sees in the direct map. */
static inline unsigned int seen_pages(struct page *page, unsigned int order)
{
	unsigned int seen = 0;
	unsigned long i;

	for (i = 0; i < 1UL << order; i++) {
		struct patchbed_view view = patchbed_look_at_pfn(page_to_pfn(page) + i);

		seen += view.present || view.readable;
	}
	return seen;
}

/*
 * Take what is free in the cache, by requests that must not refill it. Returns false where they
 * are served without end. The pages are kept on the list, for give_back().
 */
static inline bool drain_cache(struct list_head *pages, unsigned int order)
{
	unsigned long most = SZ_512M / PAGE_SIZE;
	struct page *page;

	while (most--) {
		page = alloc_pages(GFP_NOWAIT | __GFP_NOWARN | PATCHBED_UNMAPPED, order);
		if (!page)
			return true;
		list_add(&page->lru, pages);
	}
	return false;
}

static inline void give_back(struct list_head *pages, unsigned int order)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, pages, lru) {
		list_del(&page->lru);
		__free_pages(page, order);
	}
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
