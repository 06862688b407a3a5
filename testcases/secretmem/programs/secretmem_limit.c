// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * RLIMIT_MEMLOCK and secretmem. Kernels differ: newer ones charge a user for each page that a
 * fault brings, older ones a process for each mapping. This finds out which one it has, and says
 * as KTAP whether the limit holds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "ktap.h"
#include "secretmem.h"

#define LIMIT 4
#define PAGES 12
/* Users who have nothing locked, and no capability that would lift the limit. */
#define USER 4711
#define OTHER 4712

static sigjmp_buf back;

static void on_fault(int signal)
{
	siglongjmp(back, signal);
}

static char *map(int *fd, size_t pages)
{
	size_t size = pages * getpagesize();

	*fd = syscall(__NR_memfd_secret, 0);
	if (*fd < 0 || ftruncate(*fd, size))
		ktap_bail("memfd_secret");
	return secretmem_map(*fd, size);
}

/* How many pages can be written before SIGBUS comes. */
static int writable(volatile char *memory, int pages)
{
	volatile int page;

	for (page = 0; page < pages; page++) {
		if (sigsetjmp(back, 1))
			break;
		memory[page * getpagesize()] = 1;
	}
	return page;
}

/* The number that `count` finds in a process of its own; its memory is gone when this returns. */
static int in_child(uid_t user, int (*count)(void))
{
	struct rlimit limit = { LIMIT * getpagesize(), LIMIT * getpagesize() };
	int status = 0;
	pid_t child = fork();

	if (child < 0)
		ktap_bail("fork");
	if (!child) {
		signal(SIGBUS, on_fault);
		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setuid(user))
			_exit(100);
		_exit(count());
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Mappings that the limit allows at once: 100 where more are given than it could. */
static int mapped(void)
{
	int fd, count;

	for (count = 0; count < PAGES; count++)
		if (map(&fd, 1) == MAP_FAILED)
			return count;
	return 100;
}

static int faulted(void)
{
	int fd;
	char *memory = map(&fd, PAGES);

	return memory == MAP_FAILED ? 99 : writable(memory, PAGES);
}

static int faulted_in_two_files(void)
{
	int fds[2];
	char *first = map(&fds[0], LIMIT - 1), *second = map(&fds[1], PAGES);

	if (first == MAP_FAILED || second == MAP_FAILED)
		return 99;
	return 10 * writable(first, LIMIT - 1) + writable(second, PAGES);
}

/* What another process of the same user gets while this one has all that it may have. */
static int left_for_another(void)
{
	int fd, status = 0;
	char *memory = map(&fd, LIMIT);
	pid_t child;

	if (memory == MAP_FAILED || writable(memory, LIMIT) != LIMIT)
		return 99;
	child = fork();
	if (!child)
		_exit(faulted());
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

/* The same pages, seen through a second mapping and by a child, are charged once. */
static int charged_once(void)
{
	int fd, status = 0;
	char *memory = map(&fd, LIMIT), *again = secretmem_map(fd, LIMIT * getpagesize());
	pid_t child;

	if (memory == MAP_FAILED || again == MAP_FAILED || writable(memory, LIMIT) != LIMIT)
		return 99;
	if (writable(again, LIMIT) != LIMIT)
		return 98;
	child = fork();
	if (!child)
		_exit(writable(memory, LIMIT));
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
}

static void expect(int got, int expected, const char *name)
{
	if (got != expected)
		ktap_note("%d, expected %d", got, expected);
	ktap_check(got == expected, name);
}

static void at_fault(void)
{
	ktap_note("charged per user, when a fault brings a page");
	expect(in_child(USER, faulted), LIMIT, "faults beyond the limit get SIGBUS");
	expect(in_child(USER, faulted), LIMIT, "what was charged is given back");
	expect(in_child(USER, faulted_in_two_files), 10 * (LIMIT - 1) + 1,
	       "all files of a user count together");
	expect(in_child(USER, left_for_another), 0, "all processes of a user count together");
	expect(in_child(USER, charged_once), LIMIT, "a page is charged once");
	expect(in_child(OTHER, faulted), LIMIT, "another user has a limit of its own");
}

static void at_mmap(int count)
{
	ktap_note("charged per process, by mmap");
	expect(count, LIMIT, "mappings beyond the limit are refused");
	expect(in_child(USER, mapped), LIMIT, "what was charged is given back");
	ktap_skip("all files of a user count together", "charged per process");
	ktap_skip("all processes of a user count together", "charged per process");
	ktap_skip("a page is charged once", "charged per mapping");
	expect(in_child(OTHER, mapped), LIMIT, "another user has a limit of its own");
}

int main(void)
{
	int count;

	ktap_start(6);
	if (getuid()) {
		fprintf(stderr, "needs root, to become users who have nothing locked\n");
		return 1;
	}
	count = in_child(USER, mapped);
	if (count == 100)
		at_fault();
	else
		at_mmap(count);
	return ktap_end();
}
