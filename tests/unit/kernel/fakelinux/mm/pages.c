// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/pages.h>

int first(void)
{
	return 1;
}

int second(void)
{
	return 2;
}

int third(void)
{
	return 3;
}

int fourth(void)
{
	return 4;
}

int last(void)
{
	return PAGES;
}
