// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bpf_hold COUNT [WORD]: hold COUNT BPF programs, compiled by the kernel, until standard input ends.
 *
 * Each is full of the 64-bit WORD as an immediate operand, runs once, and must return its number.
 * Says for each function of a program "code ADDRESS BYTES", as the kernel has compiled it; then
 * "held". When standard input ends it lets go, says "closed" and exits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORDS 200
#define INSTRUCTIONS (2 * WORDS + 2)
#define FUNCTIONS 4

static int bpf(int command, union bpf_attr *attributes)
{
	return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

/* r1 = WORD, over and over; return number */
static void write_program(struct bpf_insn *code, uint64_t word, unsigned int number)
{
	for (unsigned int i = 0; i < WORDS; i++) {
		*code++ = (struct bpf_insn){
			.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .imm = (int32_t)word,
		};
		*code++ = (struct bpf_insn){ .imm = (int32_t)(word >> 32) };
	}
	*code++ = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = number };
	*code = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
}

static int load(uint64_t word, unsigned int number)
{
	struct bpf_insn code[INSTRUCTIONS];
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = INSTRUCTIONS,
		.license = (uintptr_t)"GPL",
	};

	write_program(code, word, number);
	return bpf(BPF_PROG_LOAD, &attributes);
}

static int run(int program, unsigned int number)
{
	unsigned char packet[64] = { };
	union bpf_attr attributes = { .test = {
		.prog_fd = program,
		.data_in = (uintptr_t)packet,
		.data_size_in = sizeof(packet),
		.repeat = 1,
	} };

	if (bpf(BPF_PROG_TEST_RUN, &attributes))
		return -1;
	errno = ERANGE;
	return attributes.test.retval == number ? 0 : -1;
}

static int say_where(int program)
{
	uint32_t lengths[FUNCTIONS] = { };
	uint64_t addresses[FUNCTIONS] = { };
	struct bpf_prog_info info = {
		.nr_jited_ksyms = FUNCTIONS,
		.jited_ksyms = (uintptr_t)addresses,
		.nr_jited_func_lens = FUNCTIONS,
		.jited_func_lens = (uintptr_t)lengths,
	};
	union bpf_attr attributes = { .info = {
		.bpf_fd = program,
		.info_len = sizeof(info),
		.info = (uintptr_t)&info,
	} };

	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes))
		return -1;
	errno = ENOEXEC;
	if (!info.nr_jited_ksyms || info.nr_jited_ksyms > FUNCTIONS)
		return -1;
	for (unsigned int i = 0; i < info.nr_jited_ksyms; i++)
		printf("code 0x%llx %u\n", (unsigned long long)addresses[i], lengths[i]);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	uint64_t word = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x6bf6bf6bf6bf6bf6ULL;
	char byte;

	if (!count) {
		fprintf(stderr, "usage: bpf_hold COUNT [WORD]\n");
		return 2;
	}
	for (unsigned int number = 0; number < count; number++) {
		int program = load(word, number);

		if (program < 0 || run(program, number) || say_where(program)) {
			fprintf(stderr, "bpf_hold: program %u: %s\n", number, strerror(errno));
			return 1;
		}
	}
	puts("held");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	puts("closed");
	return 0;
}
