// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bind_node NODE COMMAND [ARGUMENT ...]: run a command whose memory comes from one node only, as
 * numactl --membind does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/uapi/linux/mempolicy.h; the C library has it in a library of its own. */
#define MPOL_BIND 2

int main(int argc, char **argv)
{
	unsigned long nodes;
	int node;

	if (argc < 3) {
		fprintf(stderr, "usage: %s NODE COMMAND [ARGUMENT ...]\n", argv[0]);
		return 2;
	}
	node = atoi(argv[1]);
	if (node < 0 || node >= (int)(8 * sizeof(nodes))) {
		fprintf(stderr, "%s: not a node: %s\n", argv[0], argv[1]);
		return 2;
	}
	nodes = 1UL << node;
	/* The kernel takes one bit less than it is told. */
	if (syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 8 * sizeof(nodes) + 1)) {
		perror("set_mempolicy");
		return 1;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 1;
}
