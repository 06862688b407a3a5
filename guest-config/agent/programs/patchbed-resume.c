// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tells a guest that was restored from a snapshot what it can't know: the time, and 64 random
 * bytes that no other guest of the same snapshot has.
 *
 *   patchbed-resume SECONDS < BYTES
 */
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64

int main(int argc, char **argv)
{
	struct {
		struct rand_pool_info info;
		unsigned char bytes[SIZE];
	} pool = { .info = { .entropy_count = SIZE * 8, .buf_size = SIZE } };
	double seconds = argc == 2 ? atof(argv[1]) : 0;
	struct timespec now = { .tv_sec = seconds };
	int random = open("/dev/random", O_RDWR);

	now.tv_nsec = (seconds - now.tv_sec) * 1e9;
	if (seconds <= 0 || clock_settime(CLOCK_REALTIME, &now)) {
		perror("patchbed-resume: the time");
		return 1;
	}
	if (read(0, pool.bytes, SIZE) != SIZE || ioctl(random, RNDADDENTROPY, &pool) ||
	    ioctl(random, RNDRESEEDCRNG)) {
		perror("patchbed-resume: the entropy");
		return 1;
	}
	return 0;
}
