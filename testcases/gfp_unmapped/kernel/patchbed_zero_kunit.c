// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: __GFP_UNMAPPED with __GFP_ZERO hands out zero pages. On a kernel without the flag it
 * skips.
 */
#include <linux/string.h>

#include "unmapped_kunit.h"

#define SECRET 0x5ec2e75ec2e75ec2ULL

/* Write the secret all over a chunk and free it; false where that can't be done. */
static bool leave_secret(unsigned int order)
{
	struct page *page = alloc_unmapped(order, __GFP_ZERO);
	void *mapped;

	if (!page)
		return false;
	mapped = patchbed_map(page, order);
	if (mapped) {
		memset64(mapped, SECRET, (PAGE_SIZE << order) / sizeof(u64));
		vunmap(mapped);
	}
	__free_pages(page, order);
	return mapped;
}

/* A chunk is zero also where its last owner left a secret in it. */
static void zero_on_reuse(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	struct page *page;
	void *mapped, *bad;

	KUNIT_ASSERT_TRUE(test, leave_secret(order));
	page = alloc_unmapped(order, __GFP_ZERO);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	mapped = patchbed_map(page, order);
	bad = mapped ? memchr_inv(mapped, 0, PAGE_SIZE << order) : NULL;
	if (mapped)
		vunmap(mapped);
	__free_pages(page, order);
	KUNIT_EXPECT_TRUE_MSG(test, mapped, "no memory for a mapping");
	KUNIT_EXPECT_TRUE_MSG(test, !bad, "the pages are not zero");
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE_PARAM(zero_on_reuse, order_gen_params),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_zero",
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: zero");
MODULE_LICENSE("GPL");
