// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is what is read-only after init written during init, and not after?
 *
 * debugfs file patchbed_after_init: the answers as KTAP; those about the time of init are kept from
 * then. File patchbed_after_init_at: VIRTUAL PAGES.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "patchbed_direct_map.h"

#define PAGES 2
#define BEFORE 0x1111111111111111UL
#define DURING 0x2222222222222222UL
#define AFTER 0x3333333333333333UL

static unsigned long value[PAGES * PAGE_SIZE / sizeof(long)] __aligned(PAGE_SIZE) __ro_after_init = {
	BEFORE
};
/* The same, but for ever writable. */
static unsigned long plain[PAGE_SIZE / sizeof(long)] __aligned(PAGE_SIZE) = { BEFORE };
static struct patchbed_view during __ro_after_init;
static bool written_during __ro_after_init;
static struct dentry *answers, *place;

/* Whether a write gets through; one that does not faults, and is caught. */
static bool try_write(unsigned long *address, unsigned long word)
{
	pagefault_disable();
	__put_kernel_nofault(address, &word, unsigned long, fault);
	pagefault_enable();
	return true;
fault:
	pagefault_enable();
	return false;
}

static unsigned int say(struct seq_file *out, unsigned int number, bool ok, const char *name)
{
	seq_printf(out, "%sok %u - %s\n", ok ? "" : "not ", number, name);
	return number + 1;
}

static int answers_show(struct seq_file *out, void *unused)
{
	struct patchbed_view now = patchbed_look_at((unsigned long)value);
	unsigned int number = 1;
	bool written;

	seq_puts(out, "KTAP version 1\n1..9\n");
	number = say(out, number, during.write, "during init: writable by lookup_address");
	number = say(out, number, written_during, "during init: a write gets through");
	number = say(out, number, !during.execute, "during init: not executable");
	number = say(out, number, now.present && now.readable, "after init: readable");
	number = say(out, number, !now.write, "after init: read-only by lookup_address");
	number = say(out, number, !now.execute, "after init: not executable");
	written = try_write(plain, AFTER) && plain[0] == AFTER;
	number = say(out, number, written, "after init: a write to other data gets through");
	written = try_write(value, AFTER);
	number = say(out, number, !written, "after init: a write faults");
	say(out, number, READ_ONCE(value[0]) == DURING, "after init: what init wrote is there");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(answers);

static int place_show(struct seq_file *out, void *unused)
{
	seq_printf(out, "0x%lx %u\n", (unsigned long)value, PAGES);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(place);

static int __init patchbed_after_init_init(void)
{
	during = patchbed_look_at((unsigned long)value);
	written_during = try_write(value, DURING) && value[0] == DURING;
	answers = debugfs_create_file("patchbed_after_init", 0400, NULL, NULL, &answers_fops);
	place = debugfs_create_file("patchbed_after_init_at", 0400, NULL, NULL, &place_fops);
	return 0;
}
module_init(patchbed_after_init_init);

static void __exit patchbed_after_init_exit(void)
{
	debugfs_remove(answers);
	debugfs_remove(place);
}
module_exit(patchbed_after_init_exit);

MODULE_DESCRIPTION("Data that is read-only after init");
MODULE_LICENSE("GPL");
