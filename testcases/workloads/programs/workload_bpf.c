// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * workload_bpf COUNT WORDS: load COUNT BPF programs, which the kernel compiles, hold them until a
 * signal (SIGTERM), let go.
 *
 * A program sets a register WORDS times, about ten bytes of code each. Says how long loads took,
 * then "held", and at the end how long letting go took; the kernel frees the code a little later.
 */
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workload.h"

static const uint64_t word = 0x6bf6bf6bf6bf6bf6;

/* r1 = word, over and over; return 0 */
static struct bpf_insn *write_program(size_t words)
{
	struct bpf_insn *code = calloc(2 * words + 2, sizeof(*code)), *next = code;

	for (size_t i = 0; i < words; i++) {
		*next++ = (struct bpf_insn){
			.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .imm = (int32_t)word,
		};
		*next++ = (struct bpf_insn){ .imm = (int32_t)(word >> 32) };
	}
	*next++ = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K };
	*next = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	return code;
}

static int load(const struct bpf_insn *code, size_t words)
{
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = 2 * words + 2,
		.license = (uintptr_t)"GPL",
	};

	return syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	size_t words = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	struct rlimit files = { count + 64, count + 64 };
	struct bpf_insn *code;
	uint64_t *times, start;
	int *programs, number;
	sigset_t end;

	if (!count || !words) {
		fprintf(stderr, "usage: workload_bpf COUNT WORDS\n");
		return 2;
	}
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	if (setrlimit(RLIMIT_NOFILE, &files))
		return failed("RLIMIT_NOFILE");
	code = write_program(words);
	programs = malloc(count * sizeof(*programs));
	times = malloc(count * sizeof(*times));
	/* Written once, so that no fault of its own is in what is measured. */
	memset(times, 1, count * sizeof(*times));
	memset(programs, 1, count * sizeof(*programs));
	tell_splits(0, count);
	for (size_t i = 0; i < count; i++) {
		start = now();
		programs[i] = load(code, words);
		times[i] = now() - start;
		if (programs[i] < 0)
			return failed("BPF_PROG_LOAD");
		tell_splits(i + 1, count);
	}
	result_times("load", times, count);
	puts("held");
	fflush(stdout);
	sigwait(&end, &number);
	start = now();
	for (size_t i = 0; i < count; i++)
		close(programs[i]);
	result("release_total", now() - start);
	return 0;
}
