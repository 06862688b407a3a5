// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module to look at: of each kind of section it has whole pages, and it says where.
 *
 * debugfs file patchbed_sections, a line a kind: KIND VIRTUAL PAGES
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/stringify.h>

#define TEXT_PAGES 3
#define DATA_PAGES 4

/*
 * Whole pages of text, which no ordinary function would fill. It is called, so that they are seen
 * to run.
 */
static noinline __aligned(PAGE_SIZE) void text(void)
{
	asm volatile(".fill 4096 * " __stringify(TEXT_PAGES) ", 1, 0x90");
}

static const char rodata[DATA_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE) = "never written";
static char after_init[DATA_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE) __ro_after_init = "written once";
static char data[DATA_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE) = "written";
static char bss[DATA_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE);
static struct dentry *file;

static void show(struct seq_file *out, const char *kind, const void *start, unsigned int pages)
{
	seq_printf(out, "%s 0x%lx %u\n", kind, (unsigned long)start, pages);
}

static int sections_show(struct seq_file *out, void *unused)
{
	show(out, "text", text, TEXT_PAGES);
	show(out, "rodata", rodata, DATA_PAGES);
	show(out, "ro_after_init", after_init, DATA_PAGES);
	show(out, "data", data, DATA_PAGES);
	show(out, "bss", bss, DATA_PAGES);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sections);

static int __init patchbed_sections_init(void)
{
	text();
	after_init[0] = 'W';
	bss[0] = data[0];
	file = debugfs_create_file("patchbed_sections", 0400, NULL, NULL, &sections_fops);
	return 0;
}
module_init(patchbed_sections_init);

static void __exit patchbed_sections_exit(void)
{
	debugfs_remove(file);
}
module_exit(patchbed_sections_exit);

MODULE_DESCRIPTION("Whole pages of every kind of module section");
MODULE_LICENSE("GPL");
