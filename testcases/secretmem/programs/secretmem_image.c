// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * secretmem_image COUNT: what a hibernation image has of COUNT pages that were secretmem, and are
 * not any more. The image is made and restored in memory, through /dev/snapshot: no disk is needed.
 *
 * Says for each page "# page PFN", then as KTAP whether the secret is not in the image and a pattern of
 * ordinary memory is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/suspend_ioctls.h>
#include <string.h>
#include <sys/ioctl.h>

#include "ktap.h"
#include "secretmem.h"

#define DEVICE "/dev/snapshot"
/* The image comes in pages. */
#define PAGE 4096
#define ORDINARY_PAGES 8
#define ROOM (1UL << 30)

enum { SECRET = 1, ORDINARY };

/* Nothing else may be in the way of a pattern: it is made where it is needed, at run time. */
static volatile uint64_t seed = 0x5e;

static void fill(volatile uint64_t *words, size_t size, unsigned int kind)
{
	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = (seed + kind) * 0x0101010101010101ULL ^ 0x123456789abcdefULL;
}

static size_t count_pages(const char *image, size_t size, unsigned int kind)
{
	uint64_t bytes[8];
	size_t found = 0;

	fill(bytes, sizeof(bytes), kind);
	for (size_t at = 0; at + PAGE <= size; at += PAGE)
		found += memmem(image + at, PAGE, bytes, sizeof(bytes)) != NULL;
	return found;
}

static void leave_secret(size_t count)
{
	size_t page = getpagesize(), size = count * page;
	int fd = secretmem_open(size);
	char *pages = fd < 0 ? MAP_FAILED : secretmem_map(fd, size);

	if (pages == MAP_FAILED)
		ktap_bail("memfd_secret");
	fill((volatile uint64_t *)pages, size, SECRET);
	for (size_t at = 0; at < size; at += page)
		ktap_note("page 0x%llx", (unsigned long long)frame_of(pages + at));
	munmap(pages, size);
	close(fd);
}

static int freeze(void)
{
	int fd = open(DEVICE, O_RDONLY);

	if (fd < 0 || ioctl(fd, SNAPSHOT_FREEZE))
		ktap_bail(DEVICE);
	return fd;
}

static size_t read_image(int fd, char *image)
{
	size_t size = 0;
	ssize_t got;

	while (size < ROOM && (got = read(fd, image + size, PAGE)) > 0)
		size += got;
	if (got < 0)
		ktap_bail("read of the image");
	return size;
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 0) : 0, size;
	size_t ordinary_found, secret_found;
	volatile uint64_t *ordinary;
	int fd, in_suspend = -1;
	char *image;

	if (!count) {
		fprintf(stderr, "usage: secretmem_image COUNT\n");
		return 2;
	}
	ktap_start(2);
	ordinary = mmap(NULL, ORDINARY_PAGES * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	image = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ordinary == MAP_FAILED || image == MAP_FAILED)
		ktap_bail("mmap");
	fill(ordinary, ORDINARY_PAGES * PAGE, ORDINARY);
	leave_secret(count);
	fd = freeze();
	if (ioctl(fd, SNAPSHOT_CREATE_IMAGE, &in_suspend))
		ktap_bail("SNAPSHOT_CREATE_IMAGE");
	size = read_image(fd, image);
	close(fd);
	ordinary_found = count_pages(image, size, ORDINARY);
	secret_found = count_pages(image, size, SECRET);
	ktap_note("%zu of %zu pages of the image are secret", secret_found, size / PAGE);
	ktap_check(!secret_found, "no page of secretmem is in the image");
	ktap_note("%zu pages of the image are the ordinary ones", ordinary_found);
	ktap_check(ordinary_found >= ORDINARY_PAGES, "ordinary memory is in the image");
	return ktap_end();
}
