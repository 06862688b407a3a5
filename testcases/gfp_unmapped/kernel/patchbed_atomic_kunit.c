// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: __GFP_UNMAPPED where nobody may sleep. A refill splits mappings and flushes the TLBs
 * of other CPUs, so that a request there gets what is cached or nothing, never a mapped page. A
 * kernel with DEBUG_ATOMIC_SLEEP and PROVE_LOCKING says in its log when the allocator sleeps, or
 * takes a lock that it must not take. On a kernel without the flag the suite skips.
 */
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/spinlock.h>

#include "unmapped_kunit.h"

#define CACHED_ORDER 4

enum place { SPINLOCK, IRQS_OFF, SOFTIRQ, HARDIRQ };

/* One allocation, or freeing, and where it happens. */
struct attempt {
	struct irq_work irq_work;
	struct tasklet_struct tasklet;
	struct page *page;
	unsigned int order;
	gfp_t gfp;
	bool free;
};

static void make(struct attempt *attempt)
{
	if (attempt->free)
		__free_pages(attempt->page, attempt->order);
	else
		attempt->page = alloc_pages(attempt->gfp, attempt->order);
}

static void make_in_hardirq(struct irq_work *work)
{
	make(container_of(work, struct attempt, irq_work));
}

static void make_in_softirq(struct tasklet_struct *tasklet)
{
	make(container_of(tasklet, struct attempt, tasklet));
}

static void make_at(struct attempt *attempt, enum place place)
{
	static DEFINE_SPINLOCK(lock);
	unsigned long flags;

	switch (place) {
	case SPINLOCK:
		spin_lock(&lock);
		make(attempt);
		spin_unlock(&lock);
		break;
	case IRQS_OFF:
		local_irq_save(flags);
		make(attempt);
		local_irq_restore(flags);
		break;
	case SOFTIRQ:
		tasklet_setup(&attempt->tasklet, make_in_softirq);
		tasklet_schedule(&attempt->tasklet);
		/* Waits until it ran: it is scheduled, and nobody schedules it again. */
		tasklet_kill(&attempt->tasklet);
		break;
	case HARDIRQ:
		/* Not a lazy one, and so in an interrupt that this CPU sends itself. */
		attempt->irq_work = IRQ_WORK_INIT_HARD(make_in_hardirq);
		irq_work_queue(&attempt->irq_work);
		irq_work_sync(&attempt->irq_work);
		break;
	}
}

static const struct request {
	const char *name;
	enum place place;
	gfp_t gfp;
} requests[] = {
	{ "atomic-spinlock", SPINLOCK, GFP_ATOMIC },
	{ "nowait-spinlock", SPINLOCK, GFP_NOWAIT },
	{ "atomic-irqs-off", IRQS_OFF, GFP_ATOMIC },
	{ "nowait-irqs-off", IRQS_OFF, GFP_NOWAIT },
	{ "atomic-softirq", SOFTIRQ, GFP_ATOMIC },
	{ "nowait-softirq", SOFTIRQ, GFP_NOWAIT },
	{ "atomic-hardirq", HARDIRQ, GFP_ATOMIC },
	{ "nowait-hardirq", HARDIRQ, GFP_NOWAIT },
};

static void describe_request(const struct request *request, char *description)
{
	strscpy(description, request->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(request, requests, describe_request);

static struct page *alloc_at(const struct request *request, unsigned int order)
{
	struct attempt attempt = {
		.order = order,
		.gfp = request->gfp | __GFP_NOWARN | PATCHBED_UNMAPPED,
	};

	make_at(&attempt, request->place);
	return attempt.page;
}

static void free_at(const struct request *request, struct page *page, unsigned int order)
{
	struct attempt attempt = { .page = page, .order = order, .free = true };

	make_at(&attempt, request->place);
}

/* Expect no mapped page, whatever else it is, and free it. */
static void expect_none_seen(struct kunit *test, struct page *page, unsigned int order)
{
	unsigned int seen = page ? seen_pages(page, order) : 0;

	if (page)
		__free_pages(page, order);
	KUNIT_EXPECT_EQ(test, seen, 0U);
}

/* From an empty cache: refused, or absent all the same. */
static void empty_cache(struct kunit *test)
{
	const struct request *request = test->param_value;
	struct page *page;
	LIST_HEAD(drained);
	bool empty;

	empty = drain_cache(&drained, 0);
	page = alloc_at(request, 0);
	give_back(&drained, 0);
	expect_none_seen(test, page, 0);
	KUNIT_EXPECT_TRUE_MSG(test, empty, "requests that may not block never run dry");
}

/* From a cache that has some: served from it, or refused. */
static void filled_cache(struct kunit *test)
{
	const struct request *request = test->param_value;
	struct page *page = alloc_unmapped(CACHED_ORDER, 0);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	__free_pages(page, CACHED_ORDER);
	expect_none_seen(test, alloc_at(request, 0), 0);
	expect_none_seen(test, alloc_at(request, CACHED_ORDER), CACHED_ORDER);
}

/* Freed there, a page can be handed out again, absent. */
static void free_there(struct kunit *test)
{
	const struct request *request = test->param_value;
	struct page *page = alloc_unmapped(CACHED_ORDER, 0);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	free_at(request, page, CACHED_ORDER);
	page = alloc_unmapped(CACHED_ORDER, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	expect_none_seen(test, page, CACHED_ORDER);
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE_PARAM(empty_cache, request_gen_params),
	KUNIT_CASE_PARAM(filled_cache, request_gen_params),
	KUNIT_CASE_PARAM(free_there, request_gen_params),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_atomic",
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

kunit_test_suite(suite);

MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: atomic context");
MODULE_LICENSE("GPL");
