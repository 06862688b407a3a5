// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: the interfaces around the page allocator and __GFP_UNMAPPED. The bulk allocator must
 * not hand out pages that are in the direct map; what returns an address must fail, for there is
 * nothing behind it. On a kernel without the flag it skips.
 */
#include <linux/slab.h>

#include "unmapped_kunit.h"

#define BULK 16
#define GFP_REFUSED (GFP_KERNEL | __GFP_NOWARN | PATCHBED_UNMAPPED)

/* Both bulk allocators may hand out fewer pages than asked for, or none, but no mapped one. */
static void bulk_array(struct kunit *test)
{
	struct page *pages[BULK] = { };
	unsigned int i, seen = 0;

	alloc_pages_bulk_array(GFP_REFUSED, BULK, pages);
	for (i = 0; i < BULK; i++) {
		if (!pages[i])
			continue;
		seen += seen_pages(pages[i], 0);
		__free_page(pages[i]);
	}
	KUNIT_EXPECT_EQ(test, seen, 0U);
}

static void bulk_list(struct kunit *test)
{
	struct page *page, *next;
	unsigned int seen = 0;
	LIST_HEAD(pages);

	alloc_pages_bulk_list(GFP_REFUSED, BULK, &pages);
	list_for_each_entry_safe(page, next, &pages, lru) {
		list_del(&page->lru);
		seen += seen_pages(page, 0);
		__free_page(page);
	}
	KUNIT_EXPECT_EQ(test, seen, 0U);
}

/* Objects of slabs, and what is too large for one. */
static const unsigned int sizes[] = { 8, 192, 1024, 4096, 8192, 16384, 131072 };

static void describe_size(const unsigned int *size, char *description)
{
	snprintf(description, KUNIT_PARAM_DESC_SIZE, "%u-bytes", *size);
}

KUNIT_ARRAY_PARAM(size, sizes, describe_size);

/* Expect that nothing was handed out, and say what it was otherwise. */
static void expect_refused(struct kunit *test, const void *object)
{
	const char *what = "nothing";

	if (object) {
		struct patchbed_view view = patchbed_look_at((unsigned long)object);

		what = view.present || view.readable ? "memory in the direct map" :
						       "an address with nothing behind it";
	}
	KUNIT_EXPECT_STREQ(test, what, "nothing");
}

static void kmalloc_is_refused(struct kunit *test)
{
	void *object = kmalloc(*(const unsigned int *)test->param_value, GFP_REFUSED);

	expect_refused(test, object);
	kfree(object);
}

static void kmem_cache_is_refused(struct kunit *test)
{
	struct kmem_cache *cache = kmem_cache_create("patchbed_unmapped", 512, 0, 0, NULL);
	void *object;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cache);
	object = kmem_cache_alloc(cache, GFP_REFUSED);
	expect_refused(test, object);
	if (object)
		kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
}

static void kmem_cache_bulk_is_refused(struct kunit *test)
{
	struct kmem_cache *cache = kmem_cache_create("patchbed_unmapped", 512, 0, 0, NULL);
	void *objects[BULK] = { };
	int count;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cache);
	count = kmem_cache_alloc_bulk(cache, GFP_REFUSED, BULK, objects);
	expect_refused(test, count ? objects[0] : NULL);
	if (count)
		kmem_cache_free_bulk(cache, count, objects);
	kmem_cache_destroy(cache);
}

static void get_free_pages_is_refused(struct kunit *test)
{
	unsigned int order = *(const unsigned int *)test->param_value;
	unsigned long address = __get_free_pages(GFP_REFUSED, order);

	expect_refused(test, (void *)address);
	free_pages(address, order);
}

static void alloc_pages_exact_is_refused(struct kunit *test)
{
	void *address = alloc_pages_exact(3 * PAGE_SIZE, GFP_REFUSED);

	expect_refused(test, address);
	if (address)
		free_pages_exact(address, 3 * PAGE_SIZE);
}

static void page_frag_is_refused(struct kunit *test)
{
	struct page_frag_cache cache = { };
	void *address = page_frag_alloc(&cache, 128, GFP_REFUSED);

	expect_refused(test, address);
	if (address) {
		page_frag_free(address);
		__page_frag_cache_drain(virt_to_page(cache.va), cache.pagecnt_bias);
	}
}

/*
 * A cache that has room must not serve the request with what is mapped. One that is used up must
 * keep the references that it holds to its page, or forget the page.
 */
static void page_frag_is_refused_of_a_used_cache(struct kunit *test)
{
	void *used[PAGE_FRAG_CACHE_MAX_SIZE / PAGE_SIZE + 1], *address;
	struct page_frag_cache cache = { };
	unsigned int count = 0;
	struct page *page;
	int references;

	used[count] = page_frag_alloc(&cache, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, used[count]);
	count++;
	page = virt_to_page(cache.va);
	while (cache.offset >= PAGE_SIZE && count < ARRAY_SIZE(used)) {
		address = page_frag_alloc(&cache, 1, GFP_REFUSED);
		expect_refused(test, address);
		if (address)
			page_frag_free(address);
		used[count++] = page_frag_alloc(&cache, PAGE_SIZE, GFP_KERNEL);
	}

	references = page_ref_count(page);
	address = page_frag_alloc(&cache, PAGE_SIZE, GFP_REFUSED);
	expect_refused(test, address);
	if (address)
		page_frag_free(address);
	else if (cache.va)
		KUNIT_EXPECT_EQ(test, page_ref_count(page), references);
	/* Where they differ the page has no reference left for the cache to drop. */
	if (cache.va && (address || page_ref_count(page) == references))
		__page_frag_cache_drain(virt_to_page(cache.va), cache.pagecnt_bias);
	while (count--)
		page_frag_free(used[count]);
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE(bulk_array),
	KUNIT_CASE(bulk_list),
	KUNIT_CASE_PARAM(kmalloc_is_refused, size_gen_params),
	KUNIT_CASE(kmem_cache_is_refused),
	KUNIT_CASE(kmem_cache_bulk_is_refused),
	KUNIT_CASE_PARAM(get_free_pages_is_refused, order_gen_params),
	KUNIT_CASE(alloc_pages_exact_is_refused),
	KUNIT_CASE(page_frag_is_refused),
	KUNIT_CASE(page_frag_is_refused_of_a_used_cache),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_interfaces",
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: bulk, slab, addresses");
MODULE_LICENSE("GPL");
