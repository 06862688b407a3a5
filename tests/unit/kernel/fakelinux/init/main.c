// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/pages.h>

int start(void)
{
	return PAGES;
}
