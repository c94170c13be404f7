/* SPDX-License-Identifier: MIT */
/*
 * File operations in a directory, timed: the same system calls whatever is mounted there. All
 * threads begin at once; the time ends with the last one, or, with --until, when another directory
 * (where a server keeps its files) holds all that was written. Prints one line: what was done, the
 * seconds it took and what this program itself used of the processor.
 *
 * A small file begins with its number, each 4 KiB of a large one with their place in it, so that
 * whoever reads the wrong bytes fast is found out.
 */
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/options.h"
#include "tests/bench/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
#define PAGE        4096

struct bench {
	/* the command line */
	const char *until;
	unsigned count, first, threads, same, before_ms;
	uint64_t value_bytes, block_bytes;
	/* what follows from it */
	const struct work *work;
	int dir;
	pthread_barrier_t barrier;
};

struct worker {
	struct bench *bench;
	unsigned index;
	pthread_t thread;
	uint64_t start_ns;
	uint64_t done; /* operations, names or bytes */
	int error;
};

struct work {
	const char *name;
	const char *unit;
	bool is_small; /* a value fits into one block */
	/* Small: on one file. Large: all of one thread. Adds to worker->done; negative errno. */
	int (*run)(struct worker *worker, const char *name, uint64_t number, uint8_t *block);
};

/* ---- small files
 * --------------------------------------------------------------------------------- */

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int create_file(struct worker *worker, const char *name, uint64_t number, uint8_t *block)
{
	const struct bench *b = worker->bench;
	int fd = openat(b->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r;

	if (fd < 0)
		return -errno;
	if (b->value_bytes >= sizeof(number))
		memcpy(block, &number, sizeof(number));
	r = write_all(fd, block, b->value_bytes);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	worker->done++;
	return r;
}

static int read_file(struct worker *worker, const char *name, uint64_t number, uint8_t *block)
{
	const struct bench *b = worker->bench;
	int fd = openat(b->dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, block, b->block_bytes);
	if (n < 0)
		n = -errno;
	close(fd);
	worker->done++;
	if (n < 0)
		return (int)n;
	if ((uint64_t)n != b->value_bytes)
		return -EBADMSG;
	return n >= (ssize_t)sizeof(number) && memcmp(block, &number, sizeof(number)) ? -EBADMSG
										      : 0;
}

static int stat_file(struct worker *worker, const char *name, uint64_t number, uint8_t *block)
{
	struct stat st;

	(void)number;
	(void)block;
	if (fstatat(worker->bench->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	worker->done++;
	return (uint64_t)st.st_size == worker->bench->value_bytes ? 0 : -EBADMSG;
}

static int unlink_file(struct worker *worker, const char *name, uint64_t number, uint8_t *block)
{
	(void)number;
	(void)block;
	worker->done++;
	return unlinkat(worker->bench->dir, name, 0) < 0 ? -errno : 0;
}

/* ---- large files
 * --------------------------------------------------------------------------------- */

static int write_large(struct worker *worker, const char *name, uint64_t number, uint8_t *block)
{
	const struct bench *b = worker->bench;
	_cleanup_(closep) int fd =
		openat(b->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = 0;

	(void)number;
	if (fd < 0)
		return -errno;
	for (uint64_t at = 0; at < b->value_bytes && r == 0;) {
		uint64_t left = b->value_bytes - at;
		uint64_t len = left < b->block_bytes ? left : b->block_bytes;

		for (uint64_t page = 0; page + PAGE <= len; page += PAGE) {
			uint64_t place = at + page;

			memcpy(block + page, &place, sizeof(place));
		}
		r = write_all(fd, block, len);
		at += len;
		worker->done += len;
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(take_fd(&fd)) < 0 && r == 0)
		r = -errno;
	return r;
}

static bool pages_are_right(const uint8_t *block, uint64_t at, size_t len)
{
	uint64_t first = (PAGE - at % PAGE) % PAGE;

	for (uint64_t page = first; page + sizeof(uint64_t) <= len; page += PAGE) {
		uint64_t place = at + page;

		if (memcmp(block + page, &place, sizeof(place)))
			return false;
	}
	return true;
}

static int read_large(struct worker *worker, const char *name, uint64_t number, uint8_t *block)
{
	const struct bench *b = worker->bench;
	_cleanup_(closep) int fd = openat(b->dir, name, O_RDONLY | O_CLOEXEC);
	uint64_t at = 0;

	(void)number;
	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n = read(fd, block, b->block_bytes);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (!pages_are_right(block, at, (size_t)n))
			return -EBADMSG;
		at += (uint64_t)n;
	}
	worker->done += at;
	return at == b->value_bytes ? 0 : -EBADMSG;
}

/* --count blocks at random places. */
static int pread_large(struct worker *worker, const char *name, uint64_t number, uint8_t *block)
{
	const struct bench *b = worker->bench;
	_cleanup_(closep) int fd = openat(b->dir, name, O_RDONLY | O_CLOEXEC);
	uint64_t blocks = b->value_bytes / b->block_bytes;

	if (fd < 0)
		return -errno;
	for (unsigned i = 0; i < b->count; i++) {
		uint64_t at = bench_scramble(i + (number << 32)) % blocks * b->block_bytes;
		ssize_t n = pread(fd, block, b->block_bytes, (off_t)at);

		if (n < 0)
			return -errno;
		if ((uint64_t)n != b->block_bytes || !pages_are_right(block, at, (size_t)n))
			return -EBADMSG;
		worker->done++;
	}
	return 0;
}

/* ---- names
 * --------------------------------------------------------------------------------------- */

static int list_names(struct worker *worker, const char *name, uint64_t number, uint8_t *block)
{
	int fd = openat(worker->bench->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	(void)name;
	(void)number;
	(void)block;
	if (!dir)
		return -errno;
	/* Keys have two digits a byte; davfs2 shows a lost+found too. */
	for (errno = 0; (entry = readdir(dir));)
		worker->done += strlen(entry->d_name) == BENCH_NAME_BYTES - 1;
	if (errno) {
		closedir(dir);
		return -errno;
	}
	closedir(dir);
	return worker->done == worker->bench->count ? 0 : -EBADMSG;
}

static const struct work works[] = {
	{ "create", "files", true, create_file },
	{ "read", "files", true, read_file },
	{ "stat", "files", true, stat_file },
	{ "unlink", "files", true, unlink_file },
	{ "write-large", "bytes", false, write_large },
	{ "read-large", "bytes", false, read_large },
	{ "pread-large", "blocks", false, pread_large },
	{ "list", "names", false, list_names },
};

/* ---- threads
 * ------------------------------------------------------------------------------------- */

/* A worker's share of the small files: every --threads'th. */
static int run_share(struct worker *worker, uint8_t *block)
{
	const struct bench *b = worker->bench;
	char name[BENCH_NAME_BYTES];
	int r = 0;

	for (unsigned i = worker->index; i < b->count && r == 0; i += b->threads) {
		bench_name(b->first + i, name);
		r = b->work->run(worker, name, b->first + i, block);
	}
	return r;
}

static int run_large(struct worker *worker, uint8_t *block)
{
	const struct bench *b = worker->bench;
	char name[BENCH_NAME_BYTES];

	bench_name(b->first + (b->same ? 0 : worker->index), name);
	return b->work->run(worker, name, worker->index, block);
}

static void *run_worker(void *state)
{
	struct worker *worker = state;
	struct bench *b = worker->bench;
	uint64_t size = b->block_bytes > b->value_bytes ? b->block_bytes : b->value_bytes;
	_cleanup_(freep) uint8_t *block = NULL;

	if (!b->work->is_small)
		size = b->block_bytes;
	block = malloc(size + 1);
	if (!block)
		worker->error = -ENOMEM;
	for (uint64_t i = 0; block && i < size; i++)
		block[i] = (uint8_t)(bench_scramble(i / 8) >> i % 8 * 8);
	pthread_barrier_wait(&b->barrier);
	worker->start_ns = clock_monotonic_ns();
	if (block)
		worker->error =
			b->work->is_small ? run_share(worker, block) : run_large(worker, block);
	return NULL;
}

/* What was written is in DIR, whole. */
static bool has_arrived(struct bench *b, int dir)
{
	unsigned files = b->work->is_small ? b->count : b->same ? 1 : b->threads;
	char name[BENCH_NAME_BYTES];
	struct stat st;

	/* From the end, since the last ones come last. */
	for (unsigned i = files; i-- > 0;) {
		bench_name(b->first + i, name);
		if (fstatat(dir, name, &st, 0) < 0 || (uint64_t)st.st_size != b->value_bytes)
			return false;
	}
	return true;
}

static int wait_arrival(struct bench *b)
{
	_cleanup_(closep) int dir = open(b->until, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct timespec moment = { .tv_nsec = 2000000 };
	uint64_t deadline = clock_monotonic_ms() + 300000;

	if (dir < 0)
		return -errno;
	while (!has_arrived(b, dir)) {
		if (clock_monotonic_ms() > deadline)
			return -ETIMEDOUT;
		nanosleep(&moment, NULL);
	}
	return 0;
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int run(struct bench *b)
{
	struct worker workers[THREADS_MAX] = { 0 };
	uint64_t start = UINT64_MAX, done = 0;
	double cpu;
	int error = 0;

	/* This thread takes no part: on a busy machine it may come back from the barrier last. */
	pthread_barrier_init(&b->barrier, NULL, b->threads + 1);
	for (unsigned i = 0; i < b->threads; i++) {
		workers[i] = (struct worker){ .bench = b, .index = i };
		if (pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]) != 0)
			abort();
	}
	cpu = cpu_seconds();
	pthread_barrier_wait(&b->barrier);
	for (unsigned i = 0; i < b->threads; i++) {
		pthread_join(workers[i].thread, NULL);
		done += workers[i].done;
		start = workers[i].start_ns < start ? workers[i].start_ns : start;
		if (workers[i].error)
			error = workers[i].error;
	}
	if (error == 0 && b->until)
		error = wait_arrival(b);
	if (error == 0)
		printf("%s=%" PRIu64 " seconds=%.6f cpu=%.6f\n", b->work->unit, done,
		       (double)(clock_monotonic_ns() - start) / 1e9 + b->before_ms / 1e3,
		       cpu_seconds() - cpu);
	return error;
}

static const struct work *find_work(const char *name)
{
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (strcmp(works[i].name, name) == 0)
			return &works[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench b = {
		.count = 1000, .threads = 1, .value_bytes = 1024, .block_bytes = 128 << 10
	};
	bool same = false;
	const struct option_spec specs[] = {
		{ "count", 'n', OPTION_UNSIGNED, &b.count, "N", "files, names or blocks", 1, 0 },
		{ "first", 0, OPTION_UNSIGNED, &b.first, "N", "the first file's number", 0, 0 },
		{ "threads", 't', OPTION_UNSIGNED, &b.threads, "N",
		  "at once; a large file each unless --same", 1, THREADS_MAX },
		{ "same", 0, OPTION_FLAG, &same, NULL, "all threads use one large file", 0, 0 },
		{ "value-bytes", 'v', OPTION_SIZE, &b.value_bytes, "SIZE", "of a file", 0, 0 },
		{ "block-bytes", 'b', OPTION_SIZE, &b.block_bytes, "SIZE",
		  "of one read(2) or write(2)", 1, 64 << 20 },
		{ "before-ms", 0, OPTION_UNSIGNED, &b.before_ms, "N",
		  "what the work took already, to be added", 0, 0 },
		{ "until", 0, OPTION_STRING, &b.until, "DIR", "the time ends when DIR has it all",
		  0, 0 },
	};
	const struct options options = {
		.program = "bench-files",
		.summary = "times create, read, stat, unlink, write-large, read-large, "
			   "pread-large, list",
		.operands = "WORK DIR",
		.specs = specs,
		.spec_count = sizeof(specs) / sizeof(specs[0]),
	};
	int operand, status, r;

	if (options_parse(&options, argc, argv, &operand, &status))
		return status;
	b.work = argc == operand + 2 ? find_work(argv[operand]) : NULL;
	if (!b.work) {
		fprintf(stderr, "bench-files: name one kind of work and a directory; see --help\n");
		return 2;
	}
	b.same = same;
	b.dir = open(argv[operand + 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = b.dir < 0 ? -errno : run(&b);
	if (r < 0)
		fprintf(stderr, "bench-files: %s in %s: %s\n", b.work->name, argv[operand + 1],
			r == -EBADMSG ? "not what was written" : strerror(-r));
	return r < 0;
}
