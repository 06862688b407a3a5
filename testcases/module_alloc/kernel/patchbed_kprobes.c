// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many kprobes at once, on functions of its own, so that the kernel needs several pages of code for
 * them: copies of the probed instructions, and detours for probes that it optimises.
 *
 * debugfs file patchbed_kprobes, read: calls all the functions and says "HITS of CALLS", and how many
 * of them returned what they should: "RIGHT right".
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#ifdef CONFIG_KPROBES

#define TARGETS 40
/* Of a target's first bytes, more than a probe overwrites. */
#define CODE 8

typedef unsigned int (*target)(unsigned int);

/*
 * All are alike but for a number, which keeps the compiler from making one of them. They begin with
 * an instruction of six bytes, for a jump has to fit in its place.
 */
#define TARGET(n)								\
static noinline notrace unsigned int target_##n(unsigned int x)			\
{										\
	asm volatile("leal %c1(%q0), %0" : "+r" (x) : "i" (0x100000 + n));	\
	return x;								\
}
#define NAME(n) target_##n,

#define ROW(what, tens)								\
	what(tens##0) what(tens##1) what(tens##2) what(tens##3)			\
	what(tens##4) what(tens##5) what(tens##6) what(tens##7)
/* Octal, so that five rows of eight are 40 without a gap. */
#define ALL(what)								\
	ROW(what, 00) ROW(what, 01) ROW(what, 02) ROW(what, 03) ROW(what, 04)

ALL(TARGET)

static const target targets[TARGETS] = { ALL(NAME) };
static struct kprobe probes[TARGETS];
static struct kprobe *pointers[TARGETS];
static u8 originals[TARGETS][CODE];
static atomic_t hits;
static struct dentry *file;

static int on_hit(struct kprobe *probe, struct pt_regs *registers)
{
	atomic_inc(&hits);
	return 0;
}

static int kprobes_show(struct seq_file *out, void *unused)
{
	unsigned int i, right = 0;

	atomic_set(&hits, 0);
	for (i = 0; i < TARGETS; i++)
		right += READ_ONCE(targets[i])(i) == 0x100000 + 2 * i;
	seq_printf(out, "%d of %u\n%u right\n", atomic_read(&hits), TARGETS, right);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kprobes);

static bool restored(void)
{
	unsigned int i;

	for (i = 0; i < TARGETS; i++)
		if (memcmp((void *)targets[i], originals[i], CODE))
			return false;
	return true;
}

static int __init patchbed_kprobes_init(void)
{
	unsigned int i;
	int error;

	for (i = 0; i < TARGETS; i++) {
		memcpy(originals[i], (void *)targets[i], CODE);
		probes[i].addr = (kprobe_opcode_t *)targets[i];
		probes[i].pre_handler = on_hit;
		pointers[i] = &probes[i];
	}
	error = register_kprobes(pointers, TARGETS);
	if (error)
		return error;
	file = debugfs_create_file("patchbed_kprobes", 0400, NULL, NULL, &kprobes_fops);
	return 0;
}

static void __exit patchbed_kprobes_exit(void)
{
	unsigned int tries = 500;

	debugfs_remove(file);
	unregister_kprobes(pointers, TARGETS);
	/*
	 * A worker takes the jumps away, later. What it has not done before the module goes is left
	 * for whoever is the next to need it, and until then the addresses can't be probed.
	 */
	while (!restored() && --tries)
		msleep(20);
}

#else

static int __init patchbed_kprobes_init(void)
{
	return -EOPNOTSUPP;
}

static void __exit patchbed_kprobes_exit(void)
{
}

#endif

module_init(patchbed_kprobes_init);
module_exit(patchbed_kprobes_exit);

MODULE_DESCRIPTION("Many kprobes at once");
MODULE_LICENSE("GPL");
