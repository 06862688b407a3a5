// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * secretmem_hold COUNT [WORD]: hold COUNT pages of secretmem until standard input ends.
 *
 * Says for each page "page PFN zero" or "page PFN dirty", by what it contained when it was handed
 * out; fills it with the 64-bit WORD where one is given; then "held". When standard input ends it
 * lets go, says "closed" and exits.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secretmem.h"

static bool all_zero(const uint64_t *word, size_t words)
{
	for (size_t i = 0; i < words; i++)
		if (word[i])
			return false;
	return true;
}

static void use_page(uint64_t *page, size_t words, uint64_t word)
{
	bool zero = all_zero(page, words);

	if (word)
		for (size_t i = 0; i < words; i++)
			page[i] = word;
	printf("page 0x%llx %s\n", (unsigned long long)frame_of(page), zero ? "zero" : "dirty");
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	uint64_t word = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	size_t size = getpagesize(), words = size / sizeof(word);
	uint64_t *pages;
	char byte;
	int fd;

	if (!count) {
		fprintf(stderr, "usage: secretmem_hold COUNT [WORD]\n");
		return 2;
	}
	fd = secretmem_open(count * size);
	pages = fd < 0 ? MAP_FAILED : secretmem_map(fd, count * size);
	if (pages == MAP_FAILED) {
		fprintf(stderr, "secretmem_hold: %s\n", strerror(errno));
		return 1;
	}
	for (size_t i = 0; i < count; i++)
		use_page(pages + i * words, words, word);
	puts("held");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	munmap(pages, count * size);
	close(fd);
	puts("closed");
	return 0;
}
