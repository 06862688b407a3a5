// SPDX-License-Identifier: GPL-2.0-or-later
/* Dies as a process does, of which the kernel tells too: that is no crash of the kernel's. */
int main(void)
{
	volatile long nowhere = 8;

	*(volatile int *)nowhere = 1;
	return 0;
}
