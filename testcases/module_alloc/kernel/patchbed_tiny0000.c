// SPDX-License-Identifier: GPL-2.0-only
/*
 * As little as a module can be. module_many loads it many times, each time with another number
 * in the place of 0000.
 */
#include <linux/module.h>

static int data = 1;

static int __init tiny_init(void)
{
	return READ_ONCE(data) != 1;
}
module_init(tiny_init);

static void __exit tiny_exit(void)
{
	WRITE_ONCE(data, 0);
}
module_exit(tiny_exit);

MODULE_DESCRIPTION("As little as a module can be");
MODULE_LICENSE("GPL");
