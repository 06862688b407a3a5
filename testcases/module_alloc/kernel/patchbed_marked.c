// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module whose data is full of a mark, to be looked for once it is gone; its init can be made to
 * fail.
 *
 *   word=N    the 64-bit mark
 *   error=N   init returns -N
 *
 * Says where its pages are in debugfs file patchbed_marked, a line a kind: KIND VIRTUAL PAGES.
 * Where init fails nobody could ask later: the kernel's log has a line a page then, "patchbed_marked:
 * page KIND PFN".
 */
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/stringify.h>
#include <linux/vmalloc.h>

#define TEXT_PAGES 1
#define RODATA_PAGES 2
#define DATA_PAGES 4
#define BSS_PAGES 48

static unsigned long long word = 0x3a4e3a4e3a4e3a4eULL;
module_param(word, ullong, 0400);
static int error;
module_param(error, int, 0400);

static noinline __aligned(PAGE_SIZE) void text(void)
{
	asm volatile(".fill 4096 * " __stringify(TEXT_PAGES) ", 1, 0x90");
}

static const char rodata[RODATA_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE) = "never written";
static char data[DATA_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE) = "written";
static char bss[BSS_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE);
static struct dentry *file;

static const struct {
	const char *kind;
	const void *start;
	unsigned int pages;
} areas[] = {
	{ "text", text, TEXT_PAGES },
	{ "rodata", rodata, RODATA_PAGES },
	{ "data", data, DATA_PAGES },
	{ "bss", bss, BSS_PAGES },
};

static int marked_show(struct seq_file *out, void *unused)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(areas); i++)
		seq_printf(out, "%s 0x%lx %u\n", areas[i].kind, (unsigned long)areas[i].start,
			   areas[i].pages);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(marked);

static void log_pages(void)
{
	unsigned int i, page;

	for (i = 0; i < ARRAY_SIZE(areas); i++)
		for (page = 0; page < areas[i].pages; page++)
			pr_info("patchbed_marked: page %s 0x%lx\n", areas[i].kind,
				vmalloc_to_pfn(areas[i].start + page * PAGE_SIZE));
}

static int __init patchbed_marked_init(void)
{
	text();
	memset64((u64 *)data, word, sizeof(data) / sizeof(u64));
	memset64((u64 *)bss, word, sizeof(bss) / sizeof(u64));
	if (error) {
		log_pages();
		return -error;
	}
	file = debugfs_create_file("patchbed_marked", 0400, NULL, NULL, &marked_fops);
	return 0;
}
module_init(patchbed_marked_init);

static void __exit patchbed_marked_exit(void)
{
	debugfs_remove(file);
}
module_exit(patchbed_marked_exit);

MODULE_DESCRIPTION("Marked data, and an init that fails on demand");
MODULE_LICENSE("GPL");
