// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * secretmem_pin memory|io_uring|FILE: has the kernel take hold of secretmem's pages, to read or
 * write them itself, by ways in which it does so for a user; all must fail.
 *   memory     vmsplice and MSG_ZEROCOPY
 *   io_uring   a fixed buffer
 *   FILE       a disk, or a file, that takes O_DIRECT; what is in it is overwritten
 *
 * Each way is shown to work on ordinary memory first, and then tried on secretmem that was never
 * touched, was touched just now (the page is in this CPU's batch of new pages still) and was touched
 * before (it is on the list of all pages). What the kernel finds is not the same for the three.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "ktap.h"
#include "secretmem.h"

#define SECRET 0x5ec2e75ec2e75ec2ULL
/* More pages than a CPU collects before it puts them on the list of all. */
#define BATCH 64

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

/* Every way: 0, or the errno. The page is one page, at a page's boundary. */
typedef int (*way)(void *page, size_t size);

static const char *direct_file;

static int by_vmsplice(void *page, size_t size)
{
	struct iovec vector = { page, size };
	int ends[2], error;

	if (pipe(ends))
		ktap_bail("pipe");
	error = vmsplice(ends[1], &vector, 1, SPLICE_F_NONBLOCK) < 0 ? errno : 0;
	close(ends[0]);
	close(ends[1]);
	return error;
}

static int by_direct_write(void *page, size_t size)
{
	int fd = open(direct_file, O_RDWR | O_DIRECT), error;

	if (fd < 0)
		ktap_bail(direct_file);
	error = pwrite(fd, page, size, 0) < 0 ? errno : 0;
	close(fd);
	return error;
}

static int by_direct_read(void *page, size_t size)
{
	int fd = open(direct_file, O_RDWR | O_DIRECT), error;

	if (fd < 0)
		ktap_bail(direct_file);
	error = pread(fd, page, size, 0) < 0 ? errno : 0;
	close(fd);
	return error;
}

static int by_fixed_buffer(void *page, size_t size)
{
	struct io_uring_params parameters = { };
	struct iovec buffer = { page, size };
	int ring, error;

	ring = syscall(__NR_io_uring_setup, 1, &parameters);
	if (ring < 0)
		ktap_bail("io_uring_setup");
	error = syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1) < 0 ?
		errno : 0;
	close(ring);
	return error;
}

static int by_zerocopy(void *page, size_t size)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t length = sizeof(address);
	int from, to, one = 1, error;

	to = socket(AF_INET, SOCK_DGRAM, 0);
	from = socket(AF_INET, SOCK_DGRAM, 0);
	if (to < 0 || from < 0 || bind(to, (struct sockaddr *)&address, length) ||
	    getsockname(to, (struct sockaddr *)&address, &length) ||
	    setsockopt(from, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		ktap_bail("MSG_ZEROCOPY");
	error = sendto(from, page, size, MSG_ZEROCOPY, (struct sockaddr *)&address, length) < 0 ?
		errno : 0;
	close(from);
	close(to);
	return error;
}

static const struct {
	const char *group;
	const char *name;
	way try;
} ways[] = {
	{ "memory", "vmsplice", by_vmsplice },
	{ "memory", "MSG_ZEROCOPY", by_zerocopy },
	{ "io_uring", "a fixed buffer", by_fixed_buffer },
	{ "", "an O_DIRECT write", by_direct_write },
	{ "", "an O_DIRECT read", by_direct_read },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))
static const char *const states[] = { "never touched", "touched just now", "touched before" };

#define STATES (sizeof(states) / sizeof(states[0]))

/* One page of secretmem in one of the states above, with the secret but for a page never touched. */
static void *secret_page(unsigned int state, size_t size)
{
	int fd = secretmem_open(BATCH * size);
	char *pages = fd < 0 ? MAP_FAILED : secretmem_map(fd, BATCH * size);
	unsigned int page;

	if (pages == MAP_FAILED)
		ktap_bail("memfd_secret");
	close(fd);
	if (state > 0)
		*(uint64_t *)pages = SECRET;
	for (page = 1; state == 2 && page < BATCH; page++)
		*(uint64_t *)(pages + page * size) = SECRET;
	return pages;
}

static void try_way(unsigned int number, void *ordinary, size_t size)
{
	unsigned int state;
	char name[128];
	int error;

	snprintf(name, sizeof(name), "%s reaches ordinary memory", ways[number].name);
	error = ways[number].try(ordinary, size);
	ktap_note("%s", strerror(error));
	ktap_check(!error, name);
	for (state = 0; state < STATES; state++) {
		void *page = secret_page(state, size);

		snprintf(name, sizeof(name), "%s does not reach secretmem %s", ways[number].name,
			 states[state]);
		error = ways[number].try(page, size);
		ktap_note("%s", strerror(error));
		ktap_check(error == EFAULT, name);
		munmap(page, BATCH * size);
	}
}

static bool in_group(unsigned int number, const char *group)
{
	return !strcmp(ways[number].group, group);
}

int main(int argc, char **argv)
{
	const char *group = argc > 1 ? argv[1] : "";
	size_t size = getpagesize();
	unsigned int number, count = 0;
	uint64_t *ordinary;

	if (!*group) {
		fprintf(stderr, "usage: secretmem_pin memory|io_uring|FILE\n");
		return 2;
	}
	if (strcmp(group, "memory") && strcmp(group, "io_uring")) {
		direct_file = group;
		group = "";
	}
	for (number = 0; number < WAYS; number++)
		count += in_group(number, group);
	ktap_start(count * (1 + STATES));
	ordinary = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ordinary == MAP_FAILED)
		ktap_bail("mmap");
	*ordinary = SECRET;
	for (number = 0; number < WAYS; number++)
		if (in_group(number, group))
			try_way(number, ordinary, size);
	return ktap_end();
}
