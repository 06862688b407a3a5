// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tries to reach another process's secretmem by every way in which one process reads another's
 * memory, and its own through the file descriptor. Each way is shown to work on ordinary memory
 * first, or its failing would say nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "ktap.h"
#include "secretmem.h"

#define SECRET 0x5ec2e75ec2e75ec2ULL

struct shared {
	uint64_t *ordinary;
	uint64_t *secret;
	int fd;
	pid_t owner;
};

/* Every way: 0 and *word read, or the errno. */
typedef int (*way)(const struct shared *shared, uint64_t *address, uint64_t *word);

static int by_process_vm_readv(const struct shared *shared, uint64_t *address, uint64_t *word)
{
	struct iovec here = { word, sizeof(*word) }, there = { address, sizeof(*word) };

	return process_vm_readv(shared->owner, &here, 1, &there, 1, 0) < 0 ? errno : 0;
}

static int by_process_vm_writev(const struct shared *shared, uint64_t *address, uint64_t *word)
{
	struct iovec here = { word, sizeof(*word) }, there = { address, sizeof(*word) };

	*word = SECRET;
	return process_vm_writev(shared->owner, &here, 1, &there, 1, 0) < 0 ? errno : 0;
}

static int by_ptrace(const struct shared *shared, uint64_t *address, uint64_t *word)
{
	int error = 0;

	if (ptrace(PTRACE_ATTACH, shared->owner, NULL, NULL))
		ktap_bail("PTRACE_ATTACH");
	waitpid(shared->owner, NULL, 0);
	errno = 0;
	*word = ptrace(PTRACE_PEEKDATA, shared->owner, address, NULL);
	error = errno;
	ptrace(PTRACE_DETACH, shared->owner, NULL, NULL);
	return error;
}

static int by_proc_mem(const struct shared *shared, uint64_t *address, uint64_t *word)
{
	char path[64];
	int fd, error;

	snprintf(path, sizeof(path), "/proc/%d/mem", shared->owner);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		ktap_bail(path);
	error = pread(fd, word, sizeof(*word), (uintptr_t)address) < 0 ? errno : 0;
	close(fd);
	return error;
}

static void try_way(const char *name, way try, const struct shared *shared)
{
	uint64_t word = 0;
	char check[128];
	int error;

	error = try(shared, shared->ordinary, &word);
	snprintf(check, sizeof(check), "%s reaches ordinary memory", name);
	ktap_check(!error && word == SECRET, check);

	word = 0;
	error = try(shared, shared->secret, &word);
	ktap_note("%s on secretmem: %s", name, strerror(error));
	snprintf(check, sizeof(check), "%s does not reach secretmem", name);
	ktap_check(error == EFAULT || error == EIO, check);
}

static void try_file(int fd)
{
	uint64_t word = SECRET;

	ktap_check(pread(fd, &word, sizeof(word), 0) < 0, "read of the fd fails");
	ktap_check(word == SECRET, "read of the fd reads nothing");
	ktap_check(pwrite(fd, &word, sizeof(word), 0) < 0, "write to the fd fails");
}

static void own(struct shared *shared)
{
	size_t size = getpagesize();

	shared->fd = secretmem_open(size);
	if (shared->fd < 0)
		ktap_bail("memfd_secret");
	shared->secret = secretmem_map(shared->fd, size);
	shared->ordinary = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
	if (shared->secret == MAP_FAILED || shared->ordinary == MAP_FAILED)
		ktap_bail("mmap");
	*shared->secret = SECRET;
	*shared->ordinary = SECRET;
}

int main(void)
{
	struct shared shared;

	ktap_start(12);
	own(&shared);
	shared.owner = fork();
	if (shared.owner < 0)
		ktap_bail("fork");
	if (!shared.owner) {
		for (;;)
			pause();
	}
	ktap_check(*shared.secret == SECRET, "the owner reads its secret");
	try_way("process_vm_readv", by_process_vm_readv, &shared);
	try_way("process_vm_writev", by_process_vm_writev, &shared);
	try_way("ptrace", by_ptrace, &shared);
	try_way("/proc/pid/mem", by_proc_mem, &shared);
	try_file(shared.fd);
	kill(shared.owner, SIGKILL);
	waitpid(shared.owner, NULL, 0);
	return ktap_end();
}
