/* SPDX-License-Identifier: MIT */
/* How the crowd reads: each open one version, however often and in whatever way it is read. */
#include "tests/mount/crowd.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/mount/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_piece(struct crowd_thread *thread, int fd, size_t offset, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n =
			pread(fd, thread->data + offset + done, len - done, (off_t)(offset + done));

		if (n < 0)
			return -errno;
		if (n == 0)
			report_fail("%s: the file ends at %zu, not before %zu", thread->who,
				    offset + done, offset + len);
		done += (size_t)n;
	}
	return 0;
}

/* Forwards or backwards, in pieces. */
static int read_pieces(struct crowd_thread *thread, int fd, size_t len)
{
	bool backwards = random_once_in(&thread->random, 4);
	size_t done = 0;

	while (done < len) {
		size_t piece = 1 + random_below(&thread->random, 1u << 20);
		int r;

		if (piece > len - done)
			piece = len - done;
		r = read_piece(thread, fd, backwards ? len - done - piece : done, piece);
		if (r < 0)
			return r;
		done += piece;
	}
	if (pread(fd, &(char){ 0 }, 1, (off_t)len) > 0)
		report_fail("%s: there is more than the %zu bytes of its size", thread->who, len);
	return 0;
}

/* A fault in what is mapped is an error of the copy. */
static int read_mapped(struct crowd_thread *thread, int fd, size_t len)
{
	uint8_t *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	size_t done = 0;
	int r = 0;

	if (map == MAP_FAILED)
		return -errno;
	while (done < len && r == 0) {
		ssize_t n = pwrite(thread->scratch_fd, map + done, len - done, (off_t)done);

		if (n < 0)
			r = errno == EFAULT ? -EIO : -errno;
		else
			done += (size_t)n;
	}
	munmap(map, len);
	if (r == 0 && pread(thread->scratch_fd, thread->data, len, 0) != (ssize_t)len)
		report_fail("%s: the scratch file is too short", thread->who);
	return r;
}

/* What an open file holds, each time it is asked. */
static int read_open(struct crowd_thread *thread, unsigned key, int fd, uint64_t *ret_write)
{
	unsigned times = 1 + (unsigned)random_below(&thread->random, 3);

	for (unsigned i = 0; i < times; i++) {
		struct stat st;
		uint64_t write;
		int r;

		if (fstat(fd, &st) < 0)
			return -errno;
		if (st.st_size < CLAIM_BYTES_MIN || (size_t)st.st_size > CLAIM_BYTES_MAX)
			report_fail("%s: the size of %s is %zu", thread->who, crowd_names[key],
				    (size_t)st.st_size);
		r = random_once_in(&thread->random, 3)
			    ? read_mapped(thread, fd, (size_t)st.st_size)
			    : read_pieces(thread, fd, (size_t)st.st_size);
		if (r < 0)
			return r;
		write = claim_check(key, thread->data, (size_t)st.st_size, thread->who);
		if (i > 0 && write != *ret_write)
			report_fail("%s: one open of %s holds versions %" PRIu64 " and %" PRIu64,
				    thread->who, crowd_names[key], *ret_write, write);
		*ret_write = write;
		if (i + 1 < times)
			poll(NULL, 0, (int)random_below(&thread->random, 30));
	}
	return 0;
}

static int read_file(struct crowd_thread *thread, unsigned key)
{
	struct history *history = &thread->crowd->keys[key].history;
	uint64_t from_ns = clock_monotonic_ns(), to_ns, write = 0;
	char path[PATH_MAX + 64];
	int fd, r;

	fd = open(crowd_path(thread, crowd_names[key], path, sizeof(path)), O_RDONLY | O_CLOEXEC);
	to_ns = clock_monotonic_ns();
	if (fd < 0 && errno == ENOENT) {
		history_check_absent(history, from_ns, to_ns, thread->who);
		return 0;
	}
	if (!crowd_expect(thread, "open", key, fd < 0 ? -errno : 0))
		return -EIO;
	r = read_open(thread, key, fd, &write);
	close(fd);
	if (!crowd_expect(thread, "read", key, r))
		return r;
	history_check(history, write, from_ns, to_ns, thread->who);
	return 0;
}

static int read_http(struct crowd_thread *thread, unsigned key)
{
	struct history *history = &thread->crowd->keys[key].history;
	_cleanup_(buf_deinit) struct buf value = { 0 };
	uint64_t from_ns = clock_monotonic_ns(), to_ns;
	struct record_meta meta;
	int r;

	r = side_get(thread->crowd->options->side, crowd_names[key], &meta, &value);
	to_ns = clock_monotonic_ns();
	if (r == -ENOENT) {
		history_check_absent(history, from_ns, to_ns, thread->who);
		return 0;
	}
	if (!crowd_expect(thread, "GET", key, r))
		return r;
	history_check(history, claim_check(key, value.data, value.len, thread->who), from_ns, to_ns,
		      thread->who);
	return 0;
}

static int read_in_place(struct crowd_thread *thread, unsigned key)
{
	struct mutex *lock = &thread->crowd->keys[key].in_place;
	int r;

	mutex_lock(lock);
	r = read_file(thread, key);
	mutex_unlock(lock);
	return r;
}

int crowd_read(struct crowd_thread *thread, unsigned key)
{
	int r;

	if (thread->mount == 0 && crowd_is_in_place(key))
		r = read_in_place(thread, key);
	else
		r = thread->mount < CROWD_MOUNTS ? read_file(thread, key) : read_http(thread, key);
	if (r == 0)
		atomic_fetch_add(&thread->crowd->reads, 1);
	return r;
}
