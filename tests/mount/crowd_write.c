/* SPDX-License-Identifier: MIT */
/* How the crowd writes. What fails half-way is never closed half-written: a program's mistake. */
#include "tests/mount/crowd.h"

#include "tests/mount/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TRIES_MAX 1000

static int result_of(long result)
{
	return result < 0 ? -errno : 0;
}

/* In pieces, all of it: in trouble what failed is tried again. */
static int write_all(struct crowd_thread *thread, int fd, size_t len)
{
	unsigned tries = 0;
	size_t done = 0;

	while (done < len) {
		size_t piece = 1 + random_below(&thread->random, 1u << 20);
		ssize_t n = pwrite(fd, thread->data + done, piece < len - done ? piece : len - done,
				   (off_t)done);

		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (!thread->crowd->options->trouble || tries++ == TRIES_MAX)
			return -errno;
		poll(NULL, 0, 100);
	}
	return 0;
}

static int map_all(struct crowd_thread *thread, int fd, size_t len)
{
	uint8_t *map;
	int r;

	if (ftruncate(fd, (off_t)len) < 0)
		return -errno;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	memcpy(map, thread->data, len);
	r = random_once_in(&thread->random, 2) ? result_of(msync(map, len, MS_SYNC)) : 0;
	munmap(map, len);
	return r;
}

/* Both errors are the write's; the first counts. -ENODATA: fsync() says that what was stored is
 * gone, which it also does where others have replaced and then removed it. */
static int finish(int fd, bool syncs, int r)
{
	if (r == 0 && syncs)
		r = fsync(fd) == 0 ? 0 : errno == ESTALE ? -ENODATA : -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int write_renamed(struct crowd_thread *thread, unsigned key, size_t len, bool syncs)
{
	char temporary[PATH_MAX + 64], path[PATH_MAX + 64], name[40];
	int fd, r;

	snprintf(name, sizeof(name), ".tmp%u-%" PRIu64, thread->number, thread->counter++);
	crowd_path(thread, name, temporary, sizeof(temporary));
	crowd_path(thread, crowd_names[key], path, sizeof(path));
	fd = open(temporary, O_RDWR | O_CREAT | O_EXCL, 0644);
	if (fd < 0)
		return -errno;
	r = write_all(thread, fd, len);
	if (r == 0)
		r = result_of(rename(temporary, path));
	if (r < 0)
		(void)unlink(temporary);
	return finish(fd, syncs, r);
}

static int write_in_place(struct crowd_thread *thread, unsigned key, size_t len, bool syncs)
{
	char path[PATH_MAX + 64];
	int fd, r;

	crowd_path(thread, crowd_names[key], path, sizeof(path));
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return -errno;
	if (random_once_in(&thread->random, 4)) {
		r = map_all(thread, fd, len);
		/* What a mapping changed is only certain to be stored once that was asked for. */
		return finish(fd, true, r);
	}
	r = write_all(thread, fd, len);
	return finish(fd, syncs, r);
}

static int write_somehow(struct crowd_thread *thread, unsigned key, size_t len, bool syncs)
{
	struct crowd *crowd = thread->crowd;
	struct mutex *lock = &crowd->keys[key].in_place;
	int r;

	if (thread->mount == CROWD_MOUNTS)
		return side_put(crowd->options->side, crowd_names[key], thread->data, len, NULL,
				NULL);
	if (thread->mount > 0 || !crowd_is_in_place(key))
		return write_renamed(thread, key, len, syncs);
	mutex_lock(lock);
	r = write_in_place(thread, key, len, syncs);
	mutex_unlock(lock);
	return r;
}

/* Whether it may have been removed through a mount since so many of the removals were over. */
static bool removed_since(struct crowd_thread *thread, unsigned key, unsigned over)
{
	return atomic_load(&thread->crowd->keys[key].removals_begun) != over;
}

int crowd_write(struct crowd_thread *thread, unsigned key)
{
	struct history *history = &thread->crowd->keys[key].history;
	bool syncs = random_once_in(&thread->random, 2);
	size_t len = claim_size(&thread->random);
	uint64_t write = history_begin(history, false);
	unsigned removals = atomic_load(&thread->crowd->keys[key].removals_over);
	int r;

	claim_make(&thread->random, key, write, thread->data, len);
	report_note("%s writes version %" PRIu64 " of %s, %zu bytes", thread->who, write,
		    crowd_names[key], len);
	r = write_somehow(thread, key, len, syncs);
	if (r == -ENODATA)
		return 0;
	if (!crowd_expect(thread, "write", key, r))
		return r;
	/* Without fsync a crash within a second may take it away. And fsync of a file that is being
	 * removed says nothing: a crash may bring back what had its name before. */
	history_acknowledge(history, write,
			    (syncs && !removed_since(thread, key, removals)) ||
				    thread->mount == CROWD_MOUNTS ||
				    !thread->crowd->options->trouble);
	atomic_fetch_add(&thread->crowd->writes, 1);
	return 0;
}

int crowd_remove(struct crowd_thread *thread, unsigned key)
{
	struct crowd *crowd = thread->crowd;
	struct history *history = &crowd->keys[key].history;
	bool here = thread->mount < CROWD_MOUNTS;
	uint64_t write = history_begin(history, true);
	char path[PATH_MAX + 64];
	int r;

	report_note("%s removes %s: version %" PRIu64, thread->who, crowd_names[key], write);
	if (here) {
		atomic_fetch_add(&crowd->keys[key].removals_begun, 1);
		r = result_of(unlink(crowd_path(thread, crowd_names[key], path, sizeof(path))));
		atomic_fetch_add(&crowd->keys[key].removals_over, 1);
	} else {
		r = side_delete(crowd->options->side, crowd_names[key]);
	}
	/* For a second a mount may think so although it was made elsewhere. */
	if (r == -ENOENT)
		return 0;
	if (!crowd_expect(thread, "removal", key, r))
		return r;
	history_acknowledge(history, write, !here || !crowd->options->trouble);
	return 0;
}
