// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of __GFP_UNMAPPED, seen from within the kernel. On a kernel without the flag every
 * case is skipped.
 */
#include <kunit/test.h>
#include <linux/module.h>
#include <linux/string.h>

#include "patchbed_direct_map.h"

#define SECRET 0x5ec2e75ec2e75ec2ULL

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

/* Returns how many of the subpages an oracle still sees; each has its own count. */
static void count_seen(struct page *page, unsigned int order, unsigned int *present,
		       unsigned int *readable)
{
	unsigned long i;

	*present = 0;
	*readable = 0;
	for (i = 0; i < 1UL << order; i++) {
		struct patchbed_view view = patchbed_look_at_pfn(page_to_pfn(page) + i);

		*present += view.present;
		*readable += view.readable;
	}
}

/* The oracles can tell: an ordinary page is seen by both. */
static void ordinary_page_is_present(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned int present, readable;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	count_seen(page, 0, &present, &readable);
	__free_page(page);
	KUNIT_EXPECT_EQ(test, present, 1U);
	KUNIT_EXPECT_EQ(test, readable, 1U);
}

/* No subpage of an unmapped chunk is in the direct map. */
static void absent(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	struct page *page = alloc_unmapped(order, 0);
	unsigned int present, readable;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	count_seen(page, order, &present, &readable);
	__free_pages(page, order);
	KUNIT_EXPECT_EQ(test, present, 0U);
	KUNIT_EXPECT_EQ(test, readable, 0U);
}

/* What the cache can't serve is refused, never handed out mapped. */
static void largest_is_refused_or_absent(struct kunit *test)
{
	struct page *page = alloc_unmapped(PATCHBED_LAST_ORDER, 0);
	unsigned int present, readable;

	if (!page)
		return;
	count_seen(page, PATCHBED_LAST_ORDER, &present, &readable);
	__free_pages(page, PATCHBED_LAST_ORDER);
	KUNIT_EXPECT_EQ(test, present, 0U);
	KUNIT_EXPECT_EQ(test, readable, 0U);
}

static void *find_not_zero(struct page *page, unsigned int order, void **mapped)
{
	*mapped = patchbed_map(page, order);
	return *mapped ? memchr_inv(*mapped, 0, PAGE_SIZE << order) : NULL;
}

/* A chunk asked for with __GFP_ZERO is zero, also where its last owner left a secret in it. */
static void zero(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	unsigned int round;

	for (round = 0; round < 2; round++) {
		struct page *page = alloc_unmapped(order, __GFP_ZERO);
		void *mapped, *bad;

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
		bad = find_not_zero(page, order, &mapped);
		if (mapped) {
			memset64(mapped, SECRET, (PAGE_SIZE << order) / sizeof(u64));
			vunmap(mapped);
		}
		__free_pages(page, order);
		KUNIT_EXPECT_NOT_ERR_OR_NULL(test, mapped);
		KUNIT_EXPECT_PTR_EQ_MSG(test, bad, (void *)NULL, "round %u", round);
	}
}

static void needs_the_flag(struct kunit *test)
{
	kunit_skip(test, "this kernel has no __GFP_UNMAPPED");
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE(ordinary_page_is_present),
	KUNIT_CASE_PARAM(absent, order_gen_params),
	KUNIT_CASE(largest_is_refused_or_absent),
	KUNIT_CASE_PARAM(zero, order_gen_params),
	{ }
};

/* KUnit before 6.5 reports a parameter that skips as "ok", so that no case with one may skip. */
static struct kunit_case no_tests[] = {
	KUNIT_CASE(needs_the_flag),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped",
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED");
MODULE_LICENSE("GPL");
