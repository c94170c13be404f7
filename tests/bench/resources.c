/* SPDX-License-Identifier: MIT */
#include "tests/bench/resources.h"

#include "lib/clock.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SETTLED_MS    300 /* so long it has done nothing */
#define SETTLE_MAX_MS 120000

/* The number behind @name in @file; 0 if there is none. */
static uint64_t proc_number(const char *file, const char *name)
{
	FILE *stream = fopen(file, "r");
	uint64_t number = 0;
	char line[256];

	while (stream && fgets(line, sizeof(line), stream))
		if (strncmp(line, name, strlen(name)) == 0)
			number = strtoull(line + strlen(name), NULL, 10);
	if (stream)
		fclose(stream);
	return number;
}

uint64_t resources_written(void)
{
	return proc_number("/proc/self/io", "wchar:");
}

uint64_t resources_memory(void)
{
	return proc_number("/proc/self/status", "RssAnon:") * 1024;
}

static uint64_t found_bytes;

static int add_file(const char *path, const struct stat *info, int kind, struct FTW *at)
{
	(void)path;
	(void)at;
	if (kind == FTW_F)
		found_bytes += (uint64_t)info->st_blocks * 512;
	return 0;
}

uint64_t resources_disk(const char *dir)
{
	found_bytes = 0;
	nftw(dir, add_file, 16, FTW_PHYS);
	return found_bytes;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void resources_settle(void)
{
	uint64_t deadline = clock_monotonic_ms() + SETTLE_MAX_MS, since = 0, written = 0;
	uint64_t cpu = 0;

	while (clock_monotonic_ms() < deadline) {
		uint64_t now = clock_monotonic_ms();

		if (resources_written() != written || cpu_ns() - cpu > 2000000) {
			written = resources_written();
			since = now;
		} else if (now - since >= SETTLED_MS) {
			return;
		}
		cpu = cpu_ns();
		usleep(20000);
	}
}

static int cool_file(const char *path, const struct stat *info, int kind, struct FTW *at)
{
	int fd;

	(void)info;
	(void)at;
	if (kind != FTW_F)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	/* Pages that are not written yet would stay. */
	if (fdatasync(fd) == 0)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return 0;
}

void resources_cool(const char *dir)
{
	nftw(dir, cool_file, 16, FTW_PHYS);
}
