// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: what __GFP_UNMAPPED hands out is not in the direct map. On a kernel without the
 * flag it skips.
 */
#include "unmapped_kunit.h"

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

static struct kunit_case all_tests[] = {
	KUNIT_CASE(ordinary_page_is_present),
	KUNIT_CASE_PARAM(absent, order_gen_params),
	KUNIT_CASE(largest_is_refused_or_absent),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_absence",
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: absence");
MODULE_LICENSE("GPL");
