// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kills or hurts the kernel in the way that the parameter "how" names, when it
 * is loaded. The harness must call each by its name.
 */
#include <asm/desc.h>
#include <linux/bitops.h>
#include <linux/cpumask.h>
#include <linux/ctype.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/kdebug.h>
#include <linux/kfence.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

static char *how = "";
module_param(how, charp, 0);

/* What set_direct_map_invalid_noflush() is at: it is not exported. */
static unsigned long helper;
module_param(helper, ulong, 0);

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

static noinline void crasher_exec_data(void)
{
	static char data[16] = { 0x90, 0xc3 };

	((void (*)(void))data)();
	barrier();
}

static noinline void crasher_exec_user(void)
{
	((void (*)(void))0x400000UL)();
	barrier();
}

static noinline void crasher_read_user(void)
{
	/* Without stac(): the pages of insmod itself. */
	(void)*(volatile int *)0x400000UL;
}

static noinline void crasher_write_rodata(void)
{
	*(volatile char *)&_ctype[0] = 0;
}

static const char crasher_text[] = "this module's own";

static noinline void crasher_write_module_rodata(void)
{
	*(volatile char *)&crasher_text[0] = 0;
}

static noinline void crasher_unmapped(void)
{
	int (*invalid)(struct page *page) = (void *)helper;
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned long address = (unsigned long)page_address(page);

	if (!invalid || invalid(page))
		return;
	asm volatile("invlpg (%0)" : : "r"(address) : "memory");
	(void)*(volatile int *)address;
}

static noinline void crasher_vmalloc_end(void)
{
	volatile char *area = vmalloc(PAGE_SIZE);

	area[PAGE_SIZE] = 1;
}

static noinline void crasher_double_fault(void)
{
	asm volatile("mov $0xffffffffff500000, %rsp\n\tpush %rax");
	unreachable();
}

static noinline void crasher_triple_fault(void)
{
	struct desc_ptr none = { 0, 0 };

	asm volatile("lidt %0\n\tint3" : : "m"(none));
}

static noinline void crasher_int3(void)
{
	asm volatile("int3");
}

static noinline void crasher_bad_segment(void)
{
	asm volatile("mov %0, %%ds" : : "r"(0x1234));
}

static noinline void crasher_stack_segment(void)
{
	asm volatile("mov %0, %%rbp\n\tmov (%%rbp), %%rax"
		     : : "r"(0x0123456789abcdefUL) : "rax", "rbp");
}

static noinline void crasher_refcount(void)
{
	static refcount_t count = REFCOUNT_INIT(1);

	if (refcount_dec_and_test(&count))
		refcount_dec(&count);
}

static noinline void crasher_bh_sleep(void)
{
	local_bh_disable();
	msleep(1);
	local_bh_enable();
}

static noinline void crasher_use_after_free(void)
{
	volatile char *object = kmalloc(64, GFP_KERNEL);

	kfree((void *)object);
	object[8] = 1;
}

static noinline void crasher_out_of_bounds(void)
{
	volatile char *object = kmalloc(64, GFP_KERNEL);

	object[64] = 1;
	kfree((void *)object);
}

static noinline void crasher_stack_out_of_bounds(void)
{
	volatile char area[16];
	volatile int index = 20;

	area[index] = 1;
}

static noinline void crasher_shift(void)
{
	volatile int by = 40;
	volatile int value = 1 << by;

	(void)value;
}

static noinline void crasher_index(void)
{
	static int area[4];
	volatile int index = 6;

	area[index] = 1;
	barrier_data(area);
}

static noinline void crasher_double_kfree(void)
{
	void *object = kmalloc(64, GFP_KERNEL);

	kfree(object);
	kfree(object);
}

static noinline void crasher_list(void)
{
	static LIST_HEAD(head);
	static LIST_HEAD(other);
	static struct list_head entry;

	list_add(&entry, &head);
	head.prev = &other;
	list_del(&entry);
}

static noinline void crasher_kfence(void)
{
	volatile char *object;
	int i;

	/* KFENCE watches but one allocation now and then. */
	for (i = 0; i < 2000; i++) {
		object = kmalloc(64, GFP_KERNEL);
		if (is_kfence_address((void *)object)) {
			kfree((void *)object);
			object[8] = 1;
			return;
		}
		kfree((void *)object);
		usleep_range(1000, 2000);
	}
}

static noinline void crasher_smash(void)
{
	volatile char area[16];
	volatile int i;

	for (i = 0; i < 64; i++)
		area[i] = 1;
}

static noinline void crasher_usercopy(void)
{
	char *object = kmalloc(32, GFP_KERNEL);
	volatile unsigned long length = 128;

	if (copy_to_user((void __user *)0x500000UL, object, length))
		pr_info("not copied\n");
	kfree(object);
}

static DEFINE_SPINLOCK(lock_a);
static DEFINE_SPINLOCK(lock_b);
static DEFINE_MUTEX(mutex_a);

static noinline void crasher_circular(void)
{
	spin_lock(&lock_a);
	spin_lock(&lock_b);
	spin_unlock(&lock_b);
	spin_unlock(&lock_a);
	spin_lock(&lock_b);
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
	spin_unlock(&lock_b);
}

static noinline void crasher_recursive(void)
{
	static DEFINE_SPINLOCK(spare);
	static struct lock_class_key key;

	lockdep_set_class(&lock_a, &key);
	lockdep_set_class(&spare, &key);
	spin_lock(&lock_a);
	spin_lock(&spare);
	spin_unlock(&spare);
	spin_unlock(&lock_a);
}

static void crasher_take(struct timer_list *unused)
{
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
}
static DEFINE_TIMER(taker, crasher_take);

static noinline void crasher_inconsistent(void)
{
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
	mod_timer(&taker, jiffies + 1);
	msleep(50);
}

static noinline void crasher_rcu_usage(void)
{
	static int __rcu *pointer;

	(void)rcu_dereference(pointer);
}

static noinline void crasher_wait_context(void)
{
	raw_spinlock_t raw;

	raw_spin_lock_init(&raw);
	raw_spin_lock(&raw);
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
	raw_spin_unlock(&raw);
}

static noinline void crasher_unbalanced(void)
{
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
	spin_unlock(&lock_a);
}

static noinline void crasher_mutex_in_atomic(void)
{
	spin_lock(&lock_a);
	mutex_lock(&mutex_a);
	mutex_unlock(&mutex_a);
	spin_unlock(&lock_a);
}

static noinline void crasher_leave_locked(void)
{
	mutex_lock(&mutex_a);
}

static noinline void crasher_self_deadlock(void)
{
	mutex_lock(&mutex_a);
	mutex_lock(&mutex_a);
}

static noinline void crasher_spin_deadlock(void)
{
	spin_lock_irq(&lock_a);
	spin_lock_irq(&lock_a);
}

static int crasher_racer(void *shared)
{
	/* Plain: KCSAN takes volatile for meant. */
	long *count = shared;
	unsigned long end = jiffies + 5 * HZ;

	while (time_before(jiffies, end)) {
		(*count)++;
		barrier();
		cond_resched();
	}
	return 0;
}

static noinline void crasher_race(void)
{
	static long shared;

	kthread_run(crasher_racer, &shared, "racer-1");
	kthread_run(crasher_racer, &shared, "racer-2");
	msleep(5000);
}

static int crasher_in_thread(void *unused)
{
	crasher_null();
	return 0;
}

static noinline void crasher_kthread(void)
{
	kthread_run(crasher_in_thread, NULL, "crasher-thread");
}

static void crasher_work(struct work_struct *unused)
{
	crasher_null();
}
static DECLARE_WORK(work, crasher_work);

static noinline void crasher_workqueue(void)
{
	schedule_work(&work);
}

static void crasher_tick(struct timer_list *unused)
{
	crasher_null();
}
static DEFINE_TIMER(ticker, crasher_tick);

static noinline void crasher_timer(void)
{
	mod_timer(&ticker, jiffies + 1);
}

static atomic_t waiting;

static int crasher_together(void *call)
{
	atomic_dec(&waiting);
	while (atomic_read(&waiting) > 0)
		cpu_relax();
	((void (*)(void))call)();
	return 0;
}

static void crasher_everywhere(void (*call)(void))
{
	struct task_struct *task;
	int cpu;

	atomic_set(&waiting, num_online_cpus());
	for_each_online_cpu(cpu) {
		task = kthread_create_on_cpu(crasher_together, call, cpu, "crasher/%u");
		if (!IS_ERR(task))
			wake_up_process(task);
	}
}

static noinline void crasher_oops_everywhere(void)
{
	crasher_everywhere(crasher_null);
}

static noinline void crasher_warn_everywhere(void)
{
	crasher_everywhere(crasher_warn);
}

static noinline void crasher_panic_everywhere(void)
{
	crasher_everywhere(crasher_panic);
}

static int crasher_last_word(struct notifier_block *block, unsigned long event, void *data)
{
	if (event == DIE_OOPS)
		(void)*(volatile int *)0x20;
	return NOTIFY_DONE;
}
static struct notifier_block last_word = { .notifier_call = crasher_last_word };

static noinline void crasher_nested(void)
{
	register_die_notifier(&last_word);
	crasher_null();
}

static int crasher_spinner(void *unused)
{
	crasher_spin_irq();
	return 0;
}

static noinline void crasher_spin_irq_elsewhere(void)
{
	struct task_struct *task;

	/* The last CPU hangs; the one that insmod runs on goes on and sees it. */
	task = kthread_create_on_cpu(crasher_spinner, NULL, num_online_cpus() - 1, "spinner/%u");
	if (!IS_ERR(task))
		wake_up_process(task);
}

static noinline void crasher_spin_irq_everywhere(void)
{
	crasher_everywhere(crasher_spin_irq);
}

static noinline void crasher_halt(void)
{
	local_irq_disable();
	for (;;)
		asm volatile("hlt");
}

static noinline void crasher_colours(void)
{
	pr_info("\033[1;31mred\033[0m\r\n");
	crasher_null();
}

static noinline void crasher_flood(void)
{
	int i;

	for (i = 0; i < 2000; i++)
		pr_info("line %d of a flood\n", i);
	crasher_null();
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
	{ "exec-data", crasher_exec_data },
	{ "exec-user", crasher_exec_user },
	{ "read-user", crasher_read_user },
	{ "write-rodata", crasher_write_rodata },
	{ "write-module-rodata", crasher_write_module_rodata },
	{ "unmapped", crasher_unmapped },
	{ "vmalloc-end", crasher_vmalloc_end },
	{ "double-fault", crasher_double_fault },
	{ "triple-fault", crasher_triple_fault },
	{ "int3", crasher_int3 },
	{ "bad-segment", crasher_bad_segment },
	{ "stack-segment", crasher_stack_segment },
	{ "refcount", crasher_refcount },
	{ "bh-sleep", crasher_bh_sleep },
	{ "use-after-free", crasher_use_after_free },
	{ "out-of-bounds", crasher_out_of_bounds },
	{ "stack-out-of-bounds", crasher_stack_out_of_bounds },
	{ "shift", crasher_shift },
	{ "index", crasher_index },
	{ "double-kfree", crasher_double_kfree },
	{ "list", crasher_list },
	{ "kfence", crasher_kfence },
	{ "smash", crasher_smash },
	{ "usercopy", crasher_usercopy },
	{ "circular", crasher_circular },
	{ "recursive", crasher_recursive },
	{ "inconsistent", crasher_inconsistent },
	{ "rcu-usage", crasher_rcu_usage },
	{ "wait-context", crasher_wait_context },
	{ "unbalanced", crasher_unbalanced },
	{ "mutex-in-atomic", crasher_mutex_in_atomic },
	{ "leave-locked", crasher_leave_locked },
	{ "self-deadlock", crasher_self_deadlock },
	{ "spin-deadlock", crasher_spin_deadlock },
	{ "race", crasher_race },
	{ "kthread", crasher_kthread },
	{ "workqueue", crasher_workqueue },
	{ "timer", crasher_timer },
	{ "oops-everywhere", crasher_oops_everywhere },
	{ "warn-everywhere", crasher_warn_everywhere },
	{ "panic-everywhere", crasher_panic_everywhere },
	{ "nested", crasher_nested },
	{ "spin-irq-elsewhere", crasher_spin_irq_elsewhere },
	{ "spin-irq-everywhere", crasher_spin_irq_everywhere },
	{ "halt", crasher_halt },
	{ "colours", crasher_colours },
	{ "flood", crasher_flood },
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
