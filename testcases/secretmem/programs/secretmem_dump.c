// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * secretmem_dump FOLDER: what a core dump of a process with secretmem holds. FOLDER is where
 * /proc/sys/kernel/core_pattern puts it, as FOLDER/core; it stays there.
 *
 * The process has one pattern in secretmem and others in ordinary memory, all of which a dump that
 * takes everything must have. The second time it asks for its secretmem to be dumped, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ktap.h"
#include "secretmem.h"

#define PAGES 8
/* Dump all kinds of mappings: see core(5). */
#define EVERYTHING "0x7f"

static const char *folder;

/* The patterns: what memory they are in. */
enum { SECRET = 1, PRIVATE, SHARED, KINDS };

/* Nothing else may be in the way of a pattern: it is made where it is needed, at run time. */
static volatile uint64_t seed = 0x5e;

static void fill(volatile uint64_t *words, size_t size, unsigned int kind)
{
	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = (seed + kind) * 0x0101010101010101ULL ^ 0x123456789abcdefULL;
}

static void filter(void)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY);

	if (fd < 0 || write(fd, EVERYTHING, strlen(EVERYTHING)) < 0)
		_exit(1);
	close(fd);
}

static void crash(unsigned int first, bool insist)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	size_t size = PAGES * getpagesize();
	void *secret, *private, *shared;
	int fd = secretmem_open(size);

	secret = fd < 0 ? MAP_FAILED : secretmem_map(fd, size);
	private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (secret == MAP_FAILED || private == MAP_FAILED || shared == MAP_FAILED)
		_exit(2);
	fill(secret, size, first + SECRET);
	fill(private, size, first + PRIVATE);
	fill(shared, size, first + SHARED);
	if (insist)
		madvise(secret, size, MADV_DODUMP);
	filter();
	if (chdir(folder) || setrlimit(RLIMIT_CORE, &unlimited))
		_exit(3);
	abort();
}

static unsigned char *read_core(size_t *size)
{
	unsigned char *content;
	struct stat state;
	char path[256];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/core", folder);
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &state))
		ktap_bail(path);
	content = malloc(state.st_size);
	for (*size = 0; *size < (size_t)state.st_size; *size += got) {
		got = read(fd, content + *size, state.st_size - *size);
		if (got <= 0)
			ktap_bail(path);
	}
	close(fd);
	return content;
}

static bool contains(const unsigned char *core, size_t size, unsigned int kind, size_t length)
{
	uint64_t bytes[8];

	fill(bytes, sizeof(bytes), kind);
	return memmem(core, size, bytes, length);
}

static void look(const char *how, unsigned int first, bool insist)
{
	unsigned char *core;
	char name[128];
	int status = 0;
	size_t size;
	pid_t child = fork();

	if (child < 0)
		ktap_bail("fork");
	if (!child)
		crash(first, insist);
	waitpid(child, &status, 0);
	snprintf(name, sizeof(name), "%s: the process leaves a core", how);
	if (!WIFSIGNALED(status))
		ktap_note("it exits with status %d", WEXITSTATUS(status));
	ktap_check(WIFSIGNALED(status) && WCOREDUMP(status), name);
	core = read_core(&size);
	snprintf(name, sizeof(name), "%s: private memory is in the core", how);
	ktap_check(contains(core, size, first + PRIVATE, 64), name);
	snprintf(name, sizeof(name), "%s: shared memory is in the core", how);
	ktap_check(contains(core, size, first + SHARED, 64), name);
	snprintf(name, sizeof(name), "%s: secretmem is not in the core", how);
	/* Not even a word of it. */
	ktap_check(!contains(core, size, first + SECRET, 8), name);
	free(core);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: secretmem_dump FOLDER\n");
		return 2;
	}
	folder = argv[1];
	ktap_start(8);
	look("as it is", 0, false);
	/* Other patterns: what the first look left on the stack is in the second core. */
	look("with MADV_DODUMP", KINDS, true);
	return ktap_end();
}
