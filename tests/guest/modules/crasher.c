// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kills or hurts the kernel in the way that the parameter "how" names, when it
 * is loaded. The harness must call each by its name.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static char *how = "";
module_param(how, charp, 0);

static noinline void crasher_null(void)
{
	*(volatile int *)NULL = 1;
}

static noinline void crasher_wild_read(void)
{
	(void)*(volatile int *)0xffffffffff700000UL;
}

static noinline void crasher_non_canonical(void)
{
	(void)*(volatile int *)0x0123456789abcdefUL;
}

static noinline void crasher_jump(void)
{
	((void (*)(void))0x10UL)();
}

static noinline void crasher_write_text(void)
{
	*(volatile char *)&strlen = 0;
}

static noinline void crasher_bug(void)
{
	BUG();
}

static noinline void crasher_panic(void)
{
	panic("crasher: %s", "asked for");
}

static noinline void crasher_warn(void)
{
	WARN(1, "crasher: asked for\n");
}

static noinline void crasher_warn_on(void)
{
	WARN_ON_ONCE(1);
}

static noinline void crasher_divide(void)
{
	volatile int zero = 0;

	asm volatile("idivl %1" : : "a"(1), "m"(zero), "d"(0));
}

static noinline void crasher_invalid(void)
{
	asm volatile("ud2");
}

static noinline int crasher_stack(int depth)
{
	volatile char frame[512];

	frame[0] = depth;
	return crasher_stack(depth + 1) + frame[0];
}

static noinline void crasher_atomic(void)
{
	preempt_disable();
	msleep(1);
	preempt_enable();
}

static noinline void crasher_spin(void)
{
	preempt_disable();
	for (;;)
		cpu_relax();
}

static noinline void crasher_spin_irq(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

static noinline void crasher_rcu(void)
{
	rcu_read_lock();
	for (;;)
		cpu_relax();
}

static noinline void crasher_interrupt(void)
{
	local_irq_disable();
	*(volatile int *)NULL = 1;
}

static int crasher_sleeper(void *unused)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule();
	return 0;
}

static noinline void crasher_hang(void)
{
	kthread_run(crasher_sleeper, NULL, "crasher-hung");
}

static noinline void crasher_double_free(void)
{
	void *page = (void *)__get_free_page(GFP_KERNEL);

	free_page((unsigned long)page);
	free_page((unsigned long)page);
}

static noinline void crasher_lie(void)
{
	/* Looks like a report, but for what a kernel's own begins with. */
	pr_info("it said: Kernel panic - not syncing: but did not mean it\n");
}

static noinline void crasher_deep(void)
{
	pr_info("depth %d\n", crasher_stack(0));
}

static const struct {
	const char *name;
	void (*call)(void);
} ways[] = {
	{ "null", crasher_null },
	{ "wild-read", crasher_wild_read },
	{ "non-canonical", crasher_non_canonical },
	{ "jump", crasher_jump },
	{ "write-text", crasher_write_text },
	{ "bug", crasher_bug },
	{ "panic", crasher_panic },
	{ "warn", crasher_warn },
	{ "warn-on", crasher_warn_on },
	{ "divide", crasher_divide },
	{ "invalid", crasher_invalid },
	{ "stack", crasher_deep },
	{ "atomic", crasher_atomic },
	{ "spin", crasher_spin },
	{ "spin-irq", crasher_spin_irq },
	{ "rcu", crasher_rcu },
	{ "interrupt", crasher_interrupt },
	{ "hang", crasher_hang },
	{ "double-free", crasher_double_free },
	{ "lie", crasher_lie },
};

static int __init crasher_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		if (strcmp(ways[i].name, how) == 0) {
			ways[i].call();
			return 0;
		}
	}
	return -EINVAL;
}
module_init(crasher_init);

static void __exit crasher_exit(void)
{
}
module_exit(crasher_exit);

MODULE_DESCRIPTION("Hurts the kernel in ways that the harness must recognise");
MODULE_LICENSE("GPL");
