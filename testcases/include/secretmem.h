/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memfd_secret(2) for programs whose C library does not know it yet, and frames of pages. */
#ifndef SECRETMEM_H
#define SECRETMEM_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

/* A secretmem file of size bytes; -1 and errno where it can't be had. */
static inline int secretmem_open(size_t size)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	int fd;

	/* Its pages count as locked; where the limit can't be raised, what fits is what there is. */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	fd = syscall(__NR_memfd_secret, 0);
	if (fd >= 0 && ftruncate(fd, size)) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline void *secretmem_map(int fd, size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/* The frame behind an address that was touched before; 0 where the kernel does not tell. */
static inline uint64_t frame_of(const void *address)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;
	off_t place = (uintptr_t)address / getpagesize() * sizeof(entry);

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), place) != sizeof(entry) || !(entry >> 63))
		entry = 0;
	close(fd);
	return entry & ((1ULL << 55) - 1);
}

#endif
