// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: __GFP_UNMAPPED with __GFP_COMP gives compound pages, which are put together and taken
 * apart like any others. On a kernel without the flag it skips.
 */
#include "unmapped_kunit.h"

/* How many subpages are not of the compound page that they should be of. */
static unsigned int strangers(struct page *page, unsigned int order)
{
	unsigned int strange = 0;
	unsigned long i;

	for (i = 0; i < 1UL << order; i++)
		strange += compound_head(page + i) != page;
	return strange;
}

/* __GFP_COMP gives one compound page, absent; when it is put, its pages are single ones again. */
static void compound(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	struct page *page = alloc_unmapped(order, __GFP_COMP);
	unsigned int seen, strange, found;
	bool is_compound;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	is_compound = PageCompound(page);
	found = compound_order(page);
	strange = strangers(page, order);
	seen = seen_pages(page, order);
	put_page(page);
	KUNIT_EXPECT_EQ(test, is_compound, order > 0);
	KUNIT_EXPECT_EQ(test, found, order);
	KUNIT_EXPECT_EQ(test, strange, 0U);
	KUNIT_EXPECT_EQ(test, seen, 0U);

	page = alloc_unmapped(order, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	is_compound = PageCompound(page);
	seen = seen_pages(page, order);
	__free_pages(page, order);
	KUNIT_EXPECT_FALSE(test, is_compound);
	KUNIT_EXPECT_EQ(test, seen, 0U);
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE_PARAM(compound, order_gen_params),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_compound",
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: compound pages");
MODULE_LICENSE("GPL");
