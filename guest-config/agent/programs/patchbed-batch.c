// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Carries out the steps that lie in a folder of the image, and sends what they did in frames
 * through a port of their own. docs/guests.md has the form of frames and folder.
 *
 *   patchbed-batch FOLDER
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define VIRTIO_PORTS "/sys/class/virtio-ports"
#define PORT_NAME "patchbed.results"
/* Where there is no virtio port, results leave through the second serial one. */
#define SERIAL "/dev/ttyS1"
#define CHUNK 8192
/* How long a command may take to obey SIGTERM. */
#define OBEY 1.0

static int port = -1;
static unsigned int sequence;
static int step;

static void die(const char *what)
{
	int kmsg = open("/dev/kmsg", O_WRONLY);

	if (kmsg >= 0)
		dprintf(kmsg, "<3>patchbed: no batch: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The CRC-32 of zlib and Ethernet: reflected, polynomial 0xedb88320. */
static uint32_t crc32(uint32_t crc, const void *data, size_t size)
{
	static uint32_t table[256];
	const uint8_t *byte = data;

	if (!table[1])
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t value = i;

			for (int bit = 0; bit < 8; bit++)
				value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0);
			table[i] = value;
		}
	crc = ~crc;
	while (size--)
		crc = table[(crc ^ *byte++) & 0xff] ^ crc >> 8;
	return ~crc;
}

static void write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t done = write(fd, at, size);

		if (done < 0 && errno != EINTR && errno != EAGAIN)
			die("write");
		if (done > 0) {
			at += done;
			size -= done;
		}
	}
}

static void send_frame(const char *kind, const void *payload, size_t size)
{
	char frame[CHUNK + 128], covered[64];
	uint32_t crc;
	int head;

	head = snprintf(covered, sizeof(covered), "%u %s %d %zu", sequence++, kind, step, size);
	crc = crc32(crc32(crc32(0, covered, head), "\n", 1), payload, size);
	head = snprintf(frame, sizeof(frame), "\x1ePB1 %s %08x\n", covered, crc);
	memcpy(frame + head, payload, size);
	frame[head + size] = '\n';
	write_all(port, frame, head + size + 1);
}

__attribute__((format(printf, 2, 3)))
static void send_text(const char *kind, const char *format, ...)
{
	char text[CHUNK];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	send_frame(kind, text, size < CHUNK ? size : CHUNK - 1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Read a small file of the plan; an absent one is empty. */
static size_t slurp(const char *folder, const char *name, char *text, size_t size)
{
	char path[256];
	size_t got = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%d/%s", folder, step, name);
	file = fopen(path, "r");
	if (file) {
		got = fread(text, 1, size - 1, file);
		fclose(file);
	}
	text[got] = '\0';
	return got;
}

static void open_virtio(void)
{
	char path[512], name[64] = "";
	struct dirent *entry;
	DIR *ports = opendir(VIRTIO_PORTS);

	while (ports && port < 0 && (entry = readdir(ports))) {
		FILE *file;

		snprintf(path, sizeof(path), VIRTIO_PORTS "/%s/name", entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) && !strcmp(name, PORT_NAME "\n")) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			port = open(path, O_WRONLY | O_CLOEXEC);
		}
		fclose(file);
	}
	if (ports)
		closedir(ports);
}

static void open_serial(void)
{
	struct termios terminal;

	port = open(SERIAL, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (port < 0 || tcgetattr(port, &terminal))
		die(SERIAL);
	cfmakeraw(&terminal);
	terminal.c_cflag |= CLOCAL;
	cfsetspeed(&terminal, B115200);
	if (tcsetattr(port, TCSANOW, &terminal))
		die(SERIAL);
}

static pid_t start(const char *folder, int out, int err)
{
	char script[256], input[256];
	pid_t child = fork();
	int in;

	if (child < 0)
		die("fork");
	if (child > 0)
		return child;
	setsid();
	signal(SIGPIPE, SIG_DFL);
	snprintf(script, sizeof(script), "%s/%d/command", folder, step);
	snprintf(input, sizeof(input), "%s/%d/stdin", folder, step);
	in = open(input, O_RDONLY);
	if (in < 0)
		in = open("/dev/null", O_RDONLY);
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	if (in > 2)
		close(in);
	execlp("sh", "sh", script, NULL);
	_exit(127);
}

/* End what takes too long, by and by: 0 asks its group, 1 ends all but init and us. */
static void end(pid_t child, int how)
{
	int kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (kmsg >= 0) {
		dprintf(kmsg, "<4>patchbed: %s to a command that took too long\n",
			how ? "KILL" : "TERM");
		close(kmsg);
	}
	if (how)
		kill(-1, SIGKILL);
	else
		kill(-child, SIGTERM);
}

/* Send on what comes until both streams end; return 1 if the time was up before. */
static int carry(pid_t child, int out, int err, double limit)
{
	struct pollfd streams[2] = { { out, POLLIN, 0 }, { err, POLLIN, 0 } };
	static const char *kinds[2] = { "out", "err" };
	double deadline = now() + limit;
	char data[CHUNK];
	int ends = 0;

	while (streams[0].fd >= 0 || streams[1].fd >= 0) {
		double left = deadline - now();

		if (limit > 0 && left <= 0) {
			if (ends == 2)
				return 1;
			end(child, ends++);
			deadline = now() + OBEY;
			continue;
		}
		if (poll(streams, 2, limit > 0 && left < 1e6 ? left * 1000 + 1 : -1) < 0)
			continue;
		for (int i = 0; i < 2; i++) {
			ssize_t got;

			if (streams[i].fd < 0 || !streams[i].revents)
				continue;
			got = read(streams[i].fd, data, sizeof(data));
			if (got > 0)
				send_frame(kinds[i], data, got);
			else
				streams[i].fd = -1;
		}
	}
	return ends > 0;
}

/* Wait for the child itself, which may have closed its streams long before its end. */
static int reap(pid_t child, double limit, double started, int *late)
{
	double deadline = limit > 0 ? started + limit : 1e18;
	int status, ends = 0;

	while (waitpid(child, &status, WNOHANG) == 0) {
		if (now() > deadline && ends < 2) {
			*late = 1;
			end(child, ends++);
			deadline = now() + OBEY;
		}
		usleep(1000);
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void send_file(const char *path)
{
	char data[CHUNK];
	ssize_t got = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	send_text("file", "%s", path);
	while (fd >= 0 && (got = read(fd, data, sizeof(data))) > 0)
		send_frame("data", data, got);
	if (got < 0)
		send_text("gone", "%s", strerror(errno));
	else
		send_frame("whole", "", 0);
	if (fd >= 0)
		close(fd);
}

static void carry_out(const char *folder)
{
	char name[CHUNK], text[64], files[CHUNK];
	double limit, started = now();
	int out[2], err[2], late, status;
	pid_t child;

	slurp(folder, "name", name, sizeof(name));
	slurp(folder, "limit", text, sizeof(text));
	limit = atof(text);
	send_text("begin", "%s", name);
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe");
	child = start(folder, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	late = carry(child, out[0], err[0], limit);
	close(out[0]);
	close(err[0]);
	status = reap(child, limit, started, &late);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	slurp(folder, "files", files, sizeof(files));
	for (char *path = strtok(files, "\n"); path; path = strtok(NULL, "\n"))
		send_file(path);
	send_text(late ? "late" : "exit", "%d", status);
}

int main(int argc, char **argv)
{
	char path[256];

	if (argc != 2)
		return 2;
	open_virtio();
	if (port < 0)
		open_serial();
	signal(SIGPIPE, SIG_IGN);
	send_text("hello", "%s", "1");
	for (step = 1;; step++) {
		snprintf(path, sizeof(path), "%s/%d/command", argv[1], step);
		if (access(path, R_OK))
			break;
		carry_out(argv[1]);
	}
	step = 0;
	send_text("bye", "%u", sequence);
	if (isatty(port))
		tcdrain(port);
	return 0;
}
