// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a mapping of secretmem is allowed to be: shared, never executable, of a size that is set
 * once. Says as KTAP whether the kernel keeps to it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "ktap.h"
#include "secretmem.h"

#define PAGES 4
#define SECRET 0x5ec2e75ec2e75ec2ULL
#define SHARED 0x54a2ed54a2ed54a2ULL

static sigjmp_buf back;

static void on_fault(int signal)
{
	siglongjmp(back, signal);
}

/* The signal that a read of the word gets; 0 where it is read. */
static int signal_of(const volatile uint64_t *word)
{
	int signal = sigsetjmp(back, 1);

	if (!signal)
		(void)*word;
	return signal;
}

static void flags(void)
{
	int fd;

	ktap_check(syscall(__NR_memfd_secret, 1U << 30) < 0 && errno == EINVAL,
		   "an unknown flag is refused");
	fd = syscall(__NR_memfd_secret, O_CLOEXEC);
	ktap_check(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC), "O_CLOEXEC is taken");
	close(fd);
}

static void kinds_of_mapping(int fd, size_t size)
{
	void *address;

	address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ktap_check(address == MAP_FAILED && errno == EINVAL, "MAP_PRIVATE is refused");
	address = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	ktap_check(address == MAP_FAILED && errno == EPERM, "PROT_EXEC is refused by mmap");
	address = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	ktap_check(address != MAP_FAILED, "a mapping to read only is given");
	ktap_check(mprotect(address, size, PROT_READ | PROT_EXEC) < 0 && errno == EACCES,
		   "PROT_EXEC is refused by mprotect");
	munmap(address, size);
}

static void one_size(int fd, size_t size, const uint64_t *pages)
{
	size_t words = getpagesize() / sizeof(*pages);

	ktap_check(ftruncate(fd, size) < 0 && errno == EINVAL, "a second ftruncate is refused: same");
	ktap_check(ftruncate(fd, 2 * size) < 0 && errno == EINVAL,
		   "a second ftruncate is refused: larger");
	ktap_check(ftruncate(fd, 1) < 0 && errno == EINVAL, "a second ftruncate is refused: smaller");
	ktap_check(pages[0] == SECRET, "the refused ones changed nothing");
	ktap_check(!signal_of(pages + (PAGES - 1) * words), "the last page is there");
	ktap_check(signal_of(pages + PAGES * words) == SIGBUS, "beyond the size there is SIGBUS");
}

/* A child made by fork has the same pages: each sees what the other writes. */
static void forked(volatile uint64_t *pages)
{
	int status = 0;
	pid_t child = fork();

	if (child < 0)
		ktap_bail("fork");
	if (!child) {
		if (pages[0] != SECRET)
			_exit(1);
		pages[0] = SHARED;
		_exit(frame_of((void *)pages) ? 0 : 2);
	}
	waitpid(child, &status, 0);
	ktap_check(WIFEXITED(status) && WEXITSTATUS(status) != 1, "a child reads the secret");
	ktap_check(pages[0] == SHARED, "what a child writes its parent reads");
}

static void without_fd(int fd, const volatile uint64_t *pages)
{
	close(fd);
	ktap_check(pages[0] == SHARED, "the mapping outlives the fd");
}

int main(void)
{
	size_t size = PAGES * getpagesize();
	uint64_t *pages;
	int fd;

	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	ktap_start(15);
	flags();
	fd = secretmem_open(size);
	if (fd < 0)
		ktap_bail("memfd_secret");
	kinds_of_mapping(fd, size);
	/* One page more than there is. */
	pages = secretmem_map(fd, size + getpagesize());
	if (pages == MAP_FAILED)
		ktap_bail("mmap");
	pages[0] = SECRET;
	one_size(fd, size, pages);
	forked(pages);
	without_fd(fd, pages);
	return ktap_end();
}
