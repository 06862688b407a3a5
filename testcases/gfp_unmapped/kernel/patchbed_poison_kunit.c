// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: a page that is marked as poisoned while it is free in the cache of __GFP_UNMAPPED.
 * On a kernel without the flag, or without memory failures, it skips.
 *
 * memory_failure() marks a page first, and takes it off its free list a while later. Whoever
 * allocates in between must not get it, and the shrinker must not put it back into the direct map.
 * Here the mark is all there is.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/page-flags.h>

#include "unmapped_kunit.h"

#define ORDER 3
#define PAGES (1U << ORDER)
#define BAD 5

static bool is_among(struct list_head *pages, const struct page *wanted, unsigned int order)
{
	struct page *page;

	list_for_each_entry(page, pages, lru)
		if (wanted >= page && wanted < page + (1UL << order))
			return true;
	return false;
}

/* A block that is free in the cache, and of which one page is marked. */
static struct page *free_marked(struct kunit *test)
{
	struct page *page;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "needs CONFIG_MEMORY_FAILURE");
	page = alloc_unmapped(ORDER, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	__free_pages(page, ORDER);
	SetPageHWPoison(page + BAD);
	return page;
}

/* The page is free in the cache again, in whoever's hands it was. */
static void make_sound(struct page *page, bool handed_out)
{
	ClearPageHWPoison(page);
	if (handed_out)
		return;
	page_ref_inc(page);
	__free_page(page);
}

static void marked_is_not_handed_out(struct kunit *test)
{
	bool in_block, alone;
	unsigned int others = 0, i;
	LIST_HEAD(blocks);
	LIST_HEAD(pages);
	struct page *page = free_marked(test);

	KUNIT_EXPECT_TRUE(test, drain_cache(&blocks, ORDER));
	in_block = is_among(&blocks, page + BAD, ORDER);
	KUNIT_EXPECT_TRUE(test, drain_cache(&pages, 0));
	alone = is_among(&pages, page + BAD, 0);
	for (i = 0; i < PAGES; i++)
		others += i != BAD && is_among(&pages, page + i, 0);

	make_sound(page + BAD, in_block || alone);
	give_back(&pages, 0);
	give_back(&blocks, ORDER);
	KUNIT_EXPECT_FALSE_MSG(test, in_block, "it was handed out in a block");
	KUNIT_EXPECT_FALSE_MSG(test, alone, "it was handed out");
	if (!in_block)
		KUNIT_EXPECT_EQ_MSG(test, others, PAGES - 1, "of those beside it");
}

/* Have all shrinkers give back what they can. */
static bool shrink_all(void)
{
	struct file *file = filp_open("/proc/sys/vm/drop_caches", O_WRONLY, 0);
	loff_t pos = 0;
	ssize_t written;

	if (IS_ERR(file))
		return false;
	written = kernel_write(file, "2\n", 2, &pos);
	filp_close(file, NULL);
	return written == 2;
}

static void marked_is_not_given_back(struct kunit *test)
{
	struct page *page = free_marked(test);
	unsigned int others = 0, seen, i;

	KUNIT_EXPECT_TRUE(test, shrink_all());
	seen = seen_pages(page + BAD, 0);
	for (i = 0; i < PAGES; i++)
		others += i != BAD && seen_pages(page + i, 0);

	make_sound(page + BAD, seen);
	KUNIT_EXPECT_EQ_MSG(test, seen, 0, "it is in the direct map");
	KUNIT_EXPECT_EQ_MSG(test, others, PAGES - 1, "of those beside it");
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE(marked_is_not_handed_out),
	KUNIT_CASE(marked_is_not_given_back),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_poison",
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: pages that go bad");
MODULE_LICENSE("GPL");
