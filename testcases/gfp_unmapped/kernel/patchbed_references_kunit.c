// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: a refill of the cache of __GFP_UNMAPPED leaves references alone that others hold to
 * its pages. On a kernel without the flag it skips.
 *
 * A lookup in the page cache, and whatever walks memory by frame, takes a reference to a page for
 * a moment before it looks whose it is. Here a thread on another CPU does so with the first page
 * of each 2M, which is what a refill begins with, and keeps what it got until it was counted.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "unmapped_kunit.h"

#define HEADS (SZ_2M / PAGE_SIZE)
#define REFILLS 40

struct walker {
	struct page **held;
	unsigned int count;
	unsigned long heads;
	bool walk;
	struct completion done;
};

static bool holds(const struct walker *walker, const struct page *page)
{
	unsigned int i;

	for (i = 0; i < walker->count; i++)
		if (walker->held[i] == page)
			return true;
	return false;
}

/* Walk again and again, until told to stop: what is free has no references to be taken. */
static int walk(void *data)
{
	struct walker *walker = data;
	unsigned long head = 0;

	while (READ_ONCE(walker->walk)) {
		struct page *page = pfn_valid(head * HEADS) ? pfn_to_page(head * HEADS) : NULL;

		if (page && page_ref_count(page) == 1 && get_page_unless_zero(page))
			walker->held[walker->count++] = page;
		head = (head + 1) % walker->heads;
		if (!head || walker->count == walker->heads)
			cond_resched();
		if (walker->count == walker->heads)
			break;
	}
	complete(&walker->done);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static struct task_struct *start_walk(struct walker *walker)
{
	struct task_struct *thread;

	walker->count = 0;
	walker->walk = true;
	init_completion(&walker->done);
	thread = kthread_create(walk, walker, "patchbed_walker");
	if (IS_ERR(thread))
		return NULL;
	/* Beside the refill, not in between. */
	kthread_bind(thread, cpumask_any_but(cpu_online_mask, raw_smp_processor_id()));
	wake_up_process(thread);
	msleep(20);
	return thread;
}

static void end_walk(struct walker *walker, struct task_struct *thread)
{
	while (walker->count)
		put_page(walker->held[--walker->count]);
	kthread_stop(thread);
}

/*
 * Have the cache refilled once while the walker walks. Returns whether it held the page that was
 * handed out; *lost then tells whether its reference was forgotten. That is put right at once, or
 * the page would be free while it is used.
 */
static bool refill_once(struct walker *walker, struct list_head *taken, bool *lost)
{
	struct task_struct *thread;
	struct page *page;
	bool held = false;

	if (!drain_cache(taken, 0))
		return false;
	thread = start_walk(walker);
	if (!thread)
		return false;
	page = alloc_unmapped(0, 0);
	WRITE_ONCE(walker->walk, false);
	wait_for_completion(&walker->done);
	if (page) {
		held = holds(walker, page);
		*lost = held && page_ref_count(page) < 2;
		if (*lost)
			page_ref_inc(page);
		list_add(&page->lru, taken);
	}
	end_walk(walker, thread);
	return held;
}

static void references_of_others_stay(struct kunit *test)
{
	unsigned int held = 0, lost = 0, i;
	struct walker walker = { .heads = 2 * totalram_pages() / HEADS };
	LIST_HEAD(taken);

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs a second CPU");
	walker.held = kvcalloc(walker.heads, sizeof(*walker.held), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, walker.held);
	for (i = 0; i < REFILLS; i++) {
		bool forgotten = false;

		held += refill_once(&walker, &taken, &forgotten);
		lost += forgotten;
	}
	give_back(&taken, 0);
	kvfree(walker.held);
	kunit_info(test, "the walker held %u of %u pages", held, REFILLS);
	KUNIT_EXPECT_GT_MSG(test, held, 0, "what a refill gets must be found by the walker");
	KUNIT_EXPECT_EQ_MSG(test, lost, 0, "of %u references", held);
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE(references_of_others_stay),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_references",
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: references that others hold");
MODULE_LICENSE("GPL");
