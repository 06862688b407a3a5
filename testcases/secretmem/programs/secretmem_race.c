// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * secretmem_race ROUNDS: faults against truncation.
 *
 * In each round several threads write to all pages of a mapping whose file has no size yet, and two
 * give the file a size, each another, one of them within a page. One of the two must be refused: a
 * file that shrank would have its last page cleared by the kernel, which has no mapping for it. A
 * page that is there has what was written last, one that is not has SIGBUS. Sometimes the mapping
 * is taken away meanwhile.
 *
 * Says as KTAP what became of all rounds; that the kernel lives is the most of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "ktap.h"
#include "secretmem.h"

#define PAGES 32
#define FAULTERS 3
#define SIZERS 2
#define THREADS (FAULTERS + SIZERS)

static pthread_barrier_t before, after;
static _Thread_local sigjmp_buf back;
static size_t page_size;
static unsigned long rounds;

/* The round's file and memory, and what its threads saw. */
static int fd;
static volatile uint64_t *memory;
static bool unmapped;
static int results[SIZERS];
static atomic_ulong faulted, refused, gone;

static void on_fault(int signal)
{
	siglongjmp(back, signal);
}

static volatile uint64_t *word_of(unsigned int page)
{
	return memory + page * page_size / sizeof(*memory);
}

/* Write to every page, over and over while some are not there. */
static void fault_all(unsigned int thread)
{
	volatile unsigned int page, turn;

	for (turn = 0; turn < 3; turn++) {
		for (page = 0; page < PAGES; page++) {
			/* Each begins elsewhere, so that any page may be the first. */
			volatile uint64_t *word = word_of((page + 11 * thread) % PAGES);
			int signal = sigsetjmp(back, 1);

			if (signal) {
				atomic_fetch_add(signal == SIGBUS ? &refused : &gone, 1);
				continue;
			}
			*word = turn + 1;
			atomic_fetch_add(&faulted, 1);
		}
	}
}

static void *faulter(void *argument)
{
	unsigned int thread = (uintptr_t)argument;

	for (unsigned long round = 0; round < rounds; round++) {
		pthread_barrier_wait(&before);
		fault_all(thread);
		pthread_barrier_wait(&after);
	}
	return NULL;
}

static void *sizer(void *argument)
{
	unsigned int thread = (uintptr_t)argument;

	for (unsigned long round = 0; round < rounds; round++) {
		size_t size = thread ? PAGES * page_size : (1 + round % PAGES) * page_size - 100;

		pthread_barrier_wait(&before);
		results[thread] = ftruncate(fd, size) ? errno : 0;
		if (thread && unmapped)
			munmap((void *)memory, PAGES * page_size);
		pthread_barrier_wait(&after);
	}
	return NULL;
}

static void begin(unsigned long round)
{
	fd = secretmem_open(0);
	memory = fd < 0 ? MAP_FAILED : secretmem_map(fd, PAGES * page_size);
	if (memory == MAP_FAILED)
		ktap_bail("memfd_secret");
	unmapped = round % 8 == 7;
}

/* Whether the pages of the file are there, and no other, and hold what was written or nothing. */
static bool as_it_should_be(unsigned long round)
{
	volatile unsigned int there = results[1] ? 1 + round % PAGES : PAGES, page;

	for (page = 0; page < PAGES; page++) {
		int signal = sigsetjmp(back, 1);
		uint64_t word;

		if (signal) {
			if (page < there || signal != SIGBUS)
				return false;
			continue;
		}
		word = *word_of(page);
		if (page >= there || word > 3)
			return false;
	}
	return true;
}

static void end(unsigned long round, unsigned long *both, unsigned long *wrong)
{
	*both += !(!results[0] != !results[1] && (results[0] + results[1]) == EINVAL);
	if (!unmapped) {
		*wrong += !as_it_should_be(round);
		munmap((void *)memory, PAGES * page_size);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	unsigned long both = 0, wrong = 0, first = 0;
	pthread_t threads[THREADS];

	rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	if (!rounds) {
		fprintf(stderr, "usage: secretmem_race ROUNDS\n");
		return 2;
	}
	page_size = getpagesize();
	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	ktap_start(4);
	pthread_barrier_init(&before, NULL, THREADS + 1);
	pthread_barrier_init(&after, NULL, THREADS + 1);
	for (uintptr_t i = 0; i < THREADS; i++) {
		bool faults = i < FAULTERS;
		void *number = (void *)(faults ? i : i - FAULTERS);

		if (pthread_create(&threads[i], NULL, faults ? faulter : sizer, number))
			ktap_bail("pthread_create");
	}
	for (unsigned long round = 0; round < rounds; round++) {
		begin(round);
		pthread_barrier_wait(&before);
		pthread_barrier_wait(&after);
		first += !results[0];
		end(round, &both, &wrong);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ktap_note("%lu rounds, %lu with the smaller size: %lu writes, %lu SIGBUS, %lu without mapping",
		  rounds, first, (unsigned long)faulted, (unsigned long)refused, (unsigned long)gone);
	ktap_note("%lu rounds", both);
	ktap_check(!both, "of two sizes one is taken and one refused");
	ktap_note("%lu rounds", wrong);
	ktap_check(!wrong, "the pages of the file are there, and no other");
	ktap_check(faulted > 0, "pages are faulted in");
	ktap_check(refused > 0, "pages are refused while there is no size");
	return ktap_end();
}
