// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite: all CPUs allocate and free __GFP_UNMAPPED pages at once. On a kernel without the
 * flag it skips.
 *
 *   steps   module parameter: what each CPU does, in allocations and frees
 *
 * What is held lies on a table that all CPUs share, so that most is freed by another thread than
 * allocated it. Each holder fills its pages with a word of its own, and whoever frees them looks
 * whether they still hold that and nothing else.
 */
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "unmapped_kunit.h"

/* Thread and step are in the lowest 16 bits: the others are the same in all words. */
#define WORD 0x5ec2e75ec2e70000ULL
#define TABLE 256
#define LARGEST 4

static unsigned int steps = 4000;
module_param(steps, uint, 0444);
MODULE_PARM_DESC(steps, "allocations and frees that each CPU does");

struct holding {
	struct page *page;
	unsigned int order;
	void *mapped;
	u64 word;
};

static struct holding *table[TABLE];
static atomic_t allocated, refused, not_cached, mapped_pages, damaged, not_zero, leaked;
static atomic_t still_running;
static unsigned int started;
static DECLARE_COMPLETION(all_done);

/* A generator for each thread, so that a run can be told again from its seed. */
static u32 next_random(u32 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* What a page holds when it is handed out: zero where that was asked for, no thread's word ever. */
static void look_into(const struct holding *holding, bool zero)
{
	size_t size = PAGE_SIZE << holding->order, i;
	const u64 *word = holding->mapped;

	if (!memchr_inv(word, 0, size))
		return;
	if (zero)
		atomic_inc(&not_zero);
	for (i = 0; i < size / sizeof(*word); i++) {
		if ((word[i] & ~0xffffULL) == WORD) {
			atomic_inc(&leaked);
			return;
		}
	}
}

static bool still_own(const struct holding *holding)
{
	size_t words = (PAGE_SIZE << holding->order) / sizeof(u64), i;
	const u64 *word = holding->mapped;

	for (i = 0; i < words && word[i] == holding->word; i++)
		;
	return i == words;
}

/* Mostly single pages, as users want them. */
static unsigned int random_order(u32 random)
{
	return random % 16 < 10 ? 0 : 1 + random / 16 % LARGEST;
}

static struct holding *get(u32 random, u64 word)
{
	struct holding *holding = kzalloc(sizeof(*holding), GFP_KERNEL);
	bool zero = random & BIT(30), cached = !(random & (BIT(28) | BIT(29)));
	gfp_t gfp = cached ? GFP_NOWAIT : GFP_KERNEL;

	if (!holding)
		return NULL;
	if (zero)
		gfp |= __GFP_ZERO;
	holding->order = random_order(random);
	holding->word = word;
	holding->page = alloc_pages(gfp | __GFP_NOWARN | PATCHBED_UNMAPPED, holding->order);
	if (!holding->page) {
		/* Who may not block gets what is cached, and else nothing. */
		atomic_inc(cached ? &not_cached : &refused);
		kfree(holding);
		return NULL;
	}
	atomic_inc(&allocated);
	atomic_add(seen_pages(holding->page, holding->order), &mapped_pages);
	holding->mapped = patchbed_map(holding->page, holding->order);
	if (holding->mapped) {
		look_into(holding, zero);
		memset64(holding->mapped, word, (PAGE_SIZE << holding->order) / sizeof(u64));
	}
	return holding;
}

static void put(struct holding *holding, u32 random)
{
	unsigned long flags;

	if (holding->mapped) {
		if (!still_own(holding))
			atomic_inc(&damaged);
		vunmap(holding->mapped);
	}
	atomic_add(seen_pages(holding->page, holding->order), &mapped_pages);
	if (random & BIT(27)) {
		__free_pages(holding->page, holding->order);
	} else {
		/* Pages are freed from interrupts, too. */
		local_irq_save(flags);
		__free_pages(holding->page, holding->order);
		local_irq_restore(flags);
	}
	kfree(holding);
}

static int storm_thread(void *data)
{
	unsigned int thread = (uintptr_t)data, step;
	u32 random = 0x9e3779b9 * (thread + 1);

	for (step = 0; step < steps; step++) {
		struct holding **place = &table[next_random(&random) % TABLE];
		struct holding *holding = xchg(place, NULL);

		if (!holding) {
			holding = get(next_random(&random), WORD | thread << 12 | (step & 0xfff));
			holding = xchg(place, holding);
		}
		/* From the table, or what another has put there meanwhile. */
		if (holding)
			put(holding, next_random(&random));
		cond_resched();
	}
	if (atomic_dec_and_test(&still_running))
		complete(&all_done);
	/* The module's code must not go while a thread is in it. */
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static unsigned int start_threads(struct task_struct **threads)
{
	unsigned int count = 0, cpu, i;

	cpus_read_lock();
	for_each_online_cpu(cpu) {
		struct task_struct *thread;

		thread = kthread_create_on_cpu(storm_thread, (void *)(uintptr_t)count, cpu,
					       "patchbed_storm/%u");
		if (IS_ERR(thread))
			break;
		threads[count++] = thread;
	}
	cpus_read_unlock();
	atomic_set(&still_running, count);
	for (i = 0; i < count; i++)
		wake_up_process(threads[i]);
	return count;
}

/*
 * In no case of KUnit's, which takes one for lost after five minutes. A wait without an end would
 * be a hung task's.
 */
static int storm(struct kunit_suite *suite)
{
	struct task_struct **threads;
	unsigned int i;

	threads = kcalloc(nr_cpu_ids, sizeof(*threads), GFP_KERNEL);
	if (!threads)
		return -ENOMEM;
	reinit_completion(&all_done);
	started = start_threads(threads);
	while (started && !wait_for_completion_timeout(&all_done, HZ))
		;
	for (i = 0; i < started; i++)
		kthread_stop(threads[i]);
	kfree(threads);
	for (i = 0; i < TABLE; i++) {
		struct holding *holding = xchg(&table[i], NULL);

		if (holding)
			put(holding, BIT(27));
	}
	return 0;
}

static void all_cpus_allocate_and_free(struct kunit *test)
{
	kunit_info(test, "%u threads, %u steps each: %d allocations, %d not cached", started,
		   steps, atomic_read(&allocated), atomic_read(&not_cached));
	KUNIT_EXPECT_EQ(test, started, num_online_cpus());
	KUNIT_EXPECT_GT(test, atomic_read(&allocated), 0);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&refused), 0, "with memory for all of them");
}

static void none_is_mapped(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&mapped_pages), 0);
}

static void each_has_one_owner(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&damaged), 0);
}

static void zero_where_asked_for(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&not_zero), 0);
}

static void no_contents_of_another(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&leaked), 0);
}

static struct kunit_case all_tests[] = {
	KUNIT_CASE(all_cpus_allocate_and_free),
	KUNIT_CASE(none_is_mapped),
	KUNIT_CASE(each_has_one_owner),
	KUNIT_CASE(zero_where_asked_for),
	KUNIT_CASE(no_contents_of_another),
	{ }
};

static struct kunit_suite suite = {
	.name = "gfp_unmapped_storm",
	.suite_init = PATCHBED_UNMAPPED ? storm : NULL,
	.test_cases = PATCHBED_UNMAPPED ? all_tests : no_tests,
};

/*
 * Not by kunit_test_suite(): 6.1 runs those suites before a module has its parameters, from
 * MODULE_STATE_COMING.
 */
static struct kunit_suite *suites[] = { &suite };

static int __init patchbed_storm_init(void)
{
	return __kunit_test_suites_init(suites, ARRAY_SIZE(suites));
}

static void __exit patchbed_storm_exit(void)
{
	__kunit_test_suites_exit(suites, ARRAY_SIZE(suites));
}

module_init(patchbed_storm_init);
module_exit(patchbed_storm_exit);

MODULE_INFO(test, "Y");
MODULE_DESCRIPTION("KUnit tests of __GFP_UNMAPPED: all CPUs at once");
MODULE_LICENSE("GPL");
