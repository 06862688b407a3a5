// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: the cache of __GFP_UNMAPPED breaks a block up and makes it whole again, whatever the
 * order in which its pieces are freed. On a kernel without the flag it skips.
 *
 * A request that may not block gets only what is cached, never a refill. So with the cache drained
 * and one block of 2M put into it, what such requests get is known to the page.
 */
#include <linux/kernel.h>
#include <linux/list.h>

#include "unmapped_kunit.h"

#define BLOCK_ORDER (PMD_SHIFT - PAGE_SHIFT)
#define BLOCK_PAGES (1U << BLOCK_ORDER)

struct drained {
	struct list_head list;
	struct page *page;
	unsigned int order;
};

static LIST_HEAD(drained);
static struct page *pieces[BLOCK_PAGES];

static struct page *alloc_cached(unsigned int order)
{
	return alloc_pages(GFP_NOWAIT | __GFP_NOWARN | PATCHBED_UNMAPPED, order);
}

/* Take all that is free in the cache, whole blocks first; false where memory is short. */
static bool drain(void)
{
	int order;

	for (order = BLOCK_ORDER; order >= 0; order--) {
		struct page *page;

		while ((page = alloc_cached(order))) {
			struct drained *taken = kmalloc(sizeof(*taken), GFP_KERNEL);

			if (!taken) {
				__free_pages(page, order);
				return false;
			}
			taken->page = page;
			taken->order = order;
			list_add(&taken->list, &drained);
		}
	}
	return true;
}

static void give_drained_back(void)
{
	struct drained *taken, *next;

	list_for_each_entry_safe(taken, next, &drained, list) {
		__free_pages(taken->page, taken->order);
		list_del(&taken->list);
		kfree(taken);
	}
}

static void free_piece(unsigned int number, unsigned int order)
{
	__free_pages(pieces[number], order);
	pieces[number] = NULL;
}

static void free_pieces(unsigned int order)
{
	unsigned int i;

	for (i = 0; i < BLOCK_PAGES; i++)
		if (pieces[i])
			free_piece(i, order);
}

static unsigned int position(struct page *page, struct page *block, unsigned int order)
{
	return (page_to_pfn(page) - page_to_pfn(block)) >> order;
}

/*
 * Hold all pieces of the block, each at its place; returns how many. What lies outside of the
 * block, is not aligned, or was handed out already is no piece of it and ends this.
 */
static unsigned int take_pieces(struct page *block, unsigned int order)
{
	unsigned int count = 0;
	struct page *page;

	while ((page = alloc_cached(order))) {
		unsigned int number = position(page, block, order);

		if (page_to_pfn(page) < page_to_pfn(block) || number >= BLOCK_PAGES >> order ||
		    page_to_pfn(page) & ((1UL << order) - 1) || pieces[number]) {
			__free_pages(page, order);
			return 0;
		}
		pieces[number] = page;
		count++;
	}
	return count;
}

/* Orders in which the pieces are freed. All odd ones first leaves no two neighbours to be merged. */
enum pattern { FORWARD, BACKWARD, ODD_FIRST, SHUFFLED, NR_PATTERNS };

static const char *const pattern_names[] = { "forward", "backward", "odd-first", "shuffled" };

static void free_in(enum pattern pattern, unsigned int order)
{
	unsigned int count = BLOCK_PAGES >> order, i;

	for (i = 0; i < count; i++) {
		unsigned int number = i;

		if (pattern == BACKWARD)
			number = count - 1 - i;
		else if (pattern == ODD_FIRST)
			number = i < count / 2 ? 2 * i + 1 : 2 * (i - count / 2);
		else if (pattern == SHUFFLED)
			/* Odd factors permute what a power of two counts. */
			number = (i * 181 + 77) % count;
		free_piece(number, order);
	}
}

static const void *small_order_gen_params(const void *previous, char *description)
{
	const unsigned int *order = previous ? (const unsigned int *)previous + 1 : orders;

	if (order == orders + BLOCK_ORDER)
		return NULL;
	describe_order(order, description);
	return order;
}

static struct page *drained_block(void)
{
	struct drained *taken;

	list_for_each_entry(taken, &drained, list) {
		if (taken->order == BLOCK_ORDER) {
			struct page *page = taken->page;

			list_del(&taken->list);
			kfree(taken);
			return page;
		}
	}
	return alloc_unmapped(BLOCK_ORDER, 0);
}

/* Each test starts with a cache that has one block of 2M free, and nothing else. */
static int one_block_cached(struct kunit *test)
{
	struct page *block;

	if (!drain())
		return -ENOMEM;
	block = drained_block();
	if (!block)
		return -ENOMEM;
	__free_pages(block, BLOCK_ORDER);
	test->priv = block;
	return 0;
}

static void undo(struct kunit *test)
{
	give_drained_back();
}

/* The ground that the others stand on: what is cached is there for who may not block. */
static void cached_block_is_served(struct kunit *test)
{
	struct page *block = test->priv, *page = alloc_cached(BLOCK_ORDER);
	struct page *more = alloc_cached(0);

	if (page)
		__free_pages(page, BLOCK_ORDER);
	if (more)
		__free_pages(more, 0);
	KUNIT_EXPECT_PTR_EQ(test, page, block);
	KUNIT_EXPECT_PTR_EQ(test, more, (struct page *)NULL);
}

/* A block is handed out in pieces, each once, and is one block again when all are free. */
static void coalesces(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	enum pattern pattern;

	for (pattern = 0; pattern < NR_PATTERNS; pattern++) {
		const char *name = pattern_names[pattern];
		unsigned int count = take_pieces(test->priv, order);
		struct page *whole;

		if (count != BLOCK_PAGES >> order) {
			free_pieces(order);
			KUNIT_FAIL(test, "%s: the block gave %u pieces", name, count);
			return;
		}
		free_in(pattern, order);
		whole = alloc_cached(BLOCK_ORDER);
		if (whole)
			__free_pages(whole, BLOCK_ORDER);
		KUNIT_EXPECT_PTR_EQ_MSG(test, whole, (struct page *)test->priv,
					"freed %s, it is not whole", name);
	}
}

/* Free pieces whose neighbours are in use stay apart, and only they are handed out again. */
static void keeps_off_neighbours(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	unsigned int half = BLOCK_PAGES >> order >> 1, i, again;
	struct page *larger;

	if (take_pieces(test->priv, order) != 2 * half) {
		free_pieces(order);
		KUNIT_FAIL(test, "the block did not come in pieces");
		return;
	}
	for (i = 0; i < half; i++)
		free_piece(2 * i + 1, order);
	larger = alloc_cached(order + 1);
	if (larger)
		__free_pages(larger, order + 1);
	again = take_pieces(test->priv, order);
	free_pieces(order);
	KUNIT_EXPECT_PTR_EQ(test, larger, (struct page *)NULL);
	KUNIT_EXPECT_EQ(test, again, half);
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE(cached_block_is_served),
	KUNIT_CASE_PARAM(coalesces, order_gen_params),
	KUNIT_CASE_PARAM(keeps_off_neighbours, small_order_gen_params),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_coalesce",
	.init = PATCHBED_UNMAPPED ? one_block_cached : NULL,
	.exit = PATCHBED_UNMAPPED ? undo : NULL,
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: free and coalesce");
MODULE_LICENSE("GPL");
