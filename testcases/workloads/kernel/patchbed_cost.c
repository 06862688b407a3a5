// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an ordinary page costs who asks for it: alloc_pages() and __free_pages() of orders 0 and 3,
 * in ticks of the time stamp counter. On a machine that counts instructions a tick is one.
 *
 * Reading patchbed_cost in debugfs measures, and says lines "NAME VALUE":
 *   tick_per_1000    ticks of 1000 instructions; 1000 on a machine that counts them
 *   allocN_warm      median of allocations of a page that was just freed, of order N
 *   freeN_warm       median of freeing it again
 *   allocN_batch     mean of `count` allocations, none freed meanwhile: refills are in it
 *   freeN_batch      mean of freeing them, oldest first
 * Nothing interrupts what is measured, and reading the counter is taken off.
 */
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/irqflags.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/sort.h>
#include <linux/timex.h>
#include <linux/vmalloc.h>

#define MOST 16384
/* Sleeping is not allowed where nothing may interrupt. */
#define ORDINARY (GFP_NOWAIT | __GFP_NOWARN)

static unsigned int count = 2048;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "allocations of each kind");

static const unsigned int orders[] = { 0, 3 };
static DEFINE_MUTEX(lock);
static struct dentry *file;

struct samples {
	u64 *alloc;
	u64 *free;
	struct page **pages;
	u64 reading;
};

static int ascending(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u64 median(u64 *values)
{
	sort(values, count, sizeof(*values), ascending, NULL);
	return values[count / 2];
}

/* Ticks of a loop of two instructions a round, with nothing else but reading the counter. */
static noinline u64 loop(unsigned long rounds)
{
	unsigned long flags;
	u64 start, ticks;

	local_irq_save(flags);
	start = get_cycles();
	asm volatile("1: dec %0\n\tjnz 1b" : "+r"(rounds) : : "cc");
	ticks = get_cycles() - start;
	local_irq_restore(flags);
	return ticks;
}

static u64 reading(u64 *values)
{
	unsigned long flags;
	unsigned int i;
	u64 start;

	for (i = 0; i < count; i++) {
		local_irq_save(flags);
		start = get_cycles();
		values[i] = get_cycles() - start;
		local_irq_restore(flags);
	}
	return median(values);
}

static int one_by_one(struct samples *samples, unsigned int order)
{
	unsigned long flags;
	struct page *page;
	u64 start, middle;
	unsigned int i;

	for (i = 0; i < count; i++) {
		local_irq_save(flags);
		start = get_cycles();
		page = alloc_pages(ORDINARY, order);
		middle = get_cycles();
		if (page)
			__free_pages(page, order);
		samples->free[i] = get_cycles() - middle - samples->reading;
		local_irq_restore(flags);
		if (!page)
			return -ENOMEM;
		samples->alloc[i] = middle - start - samples->reading;
	}
	return 0;
}

static int all_at_once(struct samples *samples, unsigned int order, u64 *alloc, u64 *free)
{
	unsigned int got, i;
	unsigned long flags;
	u64 start;

	local_irq_save(flags);
	start = get_cycles();
	for (got = 0; got < count; got++) {
		samples->pages[got] = alloc_pages(ORDINARY, order);
		if (!samples->pages[got])
			break;
	}
	*alloc = get_cycles() - start - samples->reading;
	start = get_cycles();
	for (i = 0; i < got; i++)
		__free_pages(samples->pages[i], order);
	*free = get_cycles() - start - samples->reading;
	local_irq_restore(flags);
	return got < count ? -ENOMEM : 0;
}

static int measure(struct seq_file *seq, struct samples *samples, unsigned int order)
{
	u64 alloc, free;
	int error;

	error = one_by_one(samples, order);
	if (error)
		return error;
	seq_printf(seq, "alloc%u_warm %llu\n", order, median(samples->alloc));
	seq_printf(seq, "free%u_warm %llu\n", order, median(samples->free));
	error = all_at_once(samples, order, &alloc, &free);
	if (error)
		return error;
	seq_printf(seq, "alloc%u_batch %llu\n", order, div_u64(alloc, count));
	seq_printf(seq, "free%u_batch %llu\n", order, div_u64(free, count));
	return 0;
}

static int cost_show(struct seq_file *seq, void *unused)
{
	struct samples samples = { };
	unsigned int i;
	int error = -ENOMEM;

	mutex_lock(&lock);
	samples.alloc = vmalloc_array(count, sizeof(*samples.alloc));
	samples.free = vmalloc_array(count, sizeof(*samples.free));
	samples.pages = vmalloc_array(count, sizeof(*samples.pages));
	if (samples.alloc && samples.free && samples.pages) {
		seq_printf(seq, "tick_per_1000 %llu\n", (loop(2000) - loop(1000)) / 2);
		samples.reading = reading(samples.alloc);
		error = 0;
	}
	for (i = 0; !error && i < ARRAY_SIZE(orders); i++)
		error = measure(seq, &samples, orders[i]);
	vfree(samples.pages);
	vfree(samples.free);
	vfree(samples.alloc);
	mutex_unlock(&lock);
	return error;
}
DEFINE_SHOW_ATTRIBUTE(cost);

static int __init cost_init(void)
{
	if (!count || count > MOST)
		return -EINVAL;
	file = debugfs_create_file("patchbed_cost", 0400, NULL, NULL, &cost_fops);
	return PTR_ERR_OR_ZERO(file);
}

static void __exit cost_exit(void)
{
	debugfs_remove(file);
}

module_init(cost_init);
module_exit(cost_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("patchbed: what an ordinary page costs");
