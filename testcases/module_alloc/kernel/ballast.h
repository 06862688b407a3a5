/* SPDX-License-Identifier: GPL-2.0-only */
/* A module that does nothing but take up room; define RODATA_PAGES and DATA_PAGES before. */
#include <linux/mm.h>
#include <linux/module.h>

static const char rodata[RODATA_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE) = "ballast";
static char data[DATA_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE);

static int __init ballast_init(void)
{
	/* Volatile, or the compiler would leave the ballast out. */
	WRITE_ONCE(data[0], READ_ONCE(rodata[0]));
	return 0;
}
module_init(ballast_init);

static void __exit ballast_exit(void)
{
}
module_exit(ballast_exit);

MODULE_DESCRIPTION("Ballast for storms of loads and unloads");
MODULE_LICENSE("GPL");
