// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: what a node that is full gets of __GFP_UNMAPPED from the others. On a kernel without
 * the flag, or on a machine with one node, it skips.
 *
 * Each chunk that a refill takes out of the direct map splits a large mapping, and serves as many
 * requests as it has pages. That goes for the requests of a node without memory of its own, too.
 */
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>

#include "unmapped_kunit.h"

#define FULL 0
#define REQUESTS 64
#define LARGE (SZ_2M / PAGE_SIZE)
/* A chunk, and one more where the first had fewer pages left than there are requests. */
#define MOST_CHUNKS 2
/* A refill reclaims, and may find chunks on the full node. The test uses up so many of them. */
#define MOST_OWN_CHUNKS 16
#define MOST_REQUESTS (REQUESTS + MOST_OWN_CHUNKS * LARGE)
#define BIGGEST_ORDER 9

/* Take all that the full node has and that can be had without reclaim. */
static unsigned long fill(struct list_head *pages)
{
	unsigned long taken = 0;
	int order;

	for (order = BIGGEST_ORDER; order >= 0; order--) {
		gfp_t gfp = __GFP_THISNODE | __GFP_NOWARN | __GFP_NORETRY;
		struct page *page;

		while ((page = alloc_pages_node(FULL, gfp, order))) {
			set_page_private(page, order);
			list_add(&page->lru, pages);
			taken += 1UL << order;
		}
	}
	return taken;
}

static void empty(struct list_head *pages)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, pages, lru) {
		unsigned int order = page_private(page);

		set_page_private(page, 0);
		list_del(&page->lru);
		__free_pages(page, order);
	}
}

/* How many large mappings the pages are of that are not the full node's. */
static unsigned int chunks_of_others(struct list_head *pages)
{
	unsigned long seen[REQUESTS];
	unsigned int count = 0, i;
	struct page *page;

	list_for_each_entry(page, pages, lru) {
		unsigned long large = page_to_pfn(page) / LARGE;

		if (page_to_nid(page) == FULL)
			continue;
		for (i = 0; i < count && seen[i] != large; i++)
			;
		if (i == count)
			seen[count++] = large;
	}
	return count;
}

static void few_chunks_of_others(struct kunit *test)
{
	unsigned int served = 0, others = 0, chunks;
	unsigned long all = 0;
	LIST_HEAD(cached);
	LIST_HEAD(filling);
	LIST_HEAD(taken);
	struct page *page;

	if (num_node_state(N_MEMORY) < 2)
		kunit_skip(test, "needs a second node");
	KUNIT_ASSERT_TRUE(test, drain_cache(&cached, 0));
	while (others < REQUESTS && served < MOST_REQUESTS) {
		/* All of it at first, then what reclaim has freed meanwhile. */
		all += fill(&filling);
		page = alloc_pages_node(FULL, GFP_KERNEL | __GFP_NOWARN | PATCHBED_UNMAPPED, 0);
		if (!page)
			break;
		list_add(&page->lru, &taken);
		served++;
		others += page_to_nid(page) != FULL;
	}
	chunks = chunks_of_others(&taken);
	give_back(&taken, 0);
	empty(&filling);
	give_back(&cached, 0);
	kunit_info(test, "node %d full with %lu pages: %u served, %u by others, from %u chunks",
		   FULL, all, served, others, chunks);
	KUNIT_EXPECT_EQ_MSG(test, others, REQUESTS, "the node was not full, or a request failed");
	KUNIT_EXPECT_LE_MSG(test, chunks, MOST_CHUNKS, "for %u pages", others);
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE(few_chunks_of_others),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_nodes",
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: a node that is full");
MODULE_LICENSE("GPL");
