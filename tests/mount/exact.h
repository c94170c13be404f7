/* SPDX-License-Identifier: MIT */
/*
 * One thread, one or two mounts, and a model that knows what each step must give: every byte, size,
 * time, label and error. Threads: one.
 */
#pragma once

#include "tests/mount/random.h"
#include "tests/mount/side.h"
#include "tests/mount/site.h"
#include "tests/mount/world.h"

#define EXACT_BYTES_MAX (6u << 20)
#define EXACT_OPENS     12
#define EXACT_MAPS      6

struct exact_options {
	struct site *sites;
	unsigned mounts;
	struct side *side;
	uint64_t seed;
	uint64_t steps;
	uint64_t until; /* stops there, with everything still open */
	uint64_t seconds; /* 0: no bound */
	unsigned keys; /* 1: like fsx */
	bool remounts;
	bool checks; /* looks at all records after each step */
};
void exact_run(const struct exact_options *options);

/* For its own files. */

struct open {
	int fd; /* -1: closed, perhaps still mapped */
	struct file *file; /* NULL: the slot is free */
	bool readable, writable, appends;
	bool sends; /* its close stores what is unsaved */
	unsigned maps;
};

struct map {
	uint8_t *data; /* NULL: the slot is free */
	size_t len;
	struct open *open;
	bool writable;
	bool changed; /* since the last msync */
};

struct exact {
	const struct exact_options *options;
	struct random random;
	struct world world;
	struct open opens[EXACT_OPENS];
	struct map maps[EXACT_MAPS];
	uint8_t *data; /* EXACT_BYTES_MAX, for whoever needs it */
	uint8_t *expected;
};

/* Each does one step, or nothing if there is nothing to do it with. */
typedef void exact_step(struct exact *exact);

/* exact_open.c */
exact_step exact_open, exact_close, exact_pread, exact_pwrite, exact_append, exact_ftruncate,
	exact_fsync, exact_fstat, exact_verify;
/* exact_map.c */
exact_step exact_map, exact_map_change, exact_map_check, exact_unmap, exact_map_private;
/* exact_name.c */
exact_step exact_stat, exact_truncate, exact_unlink, exact_rename, exact_utimens, exact_list,
	exact_set_label, exact_get_label, exact_remove_label, exact_refused;
/* exact_side.c */
exact_step exact_side_get, exact_side_get_all, exact_side_put, exact_side_delete, exact_remount;

/* Closes what is still open and frees the world. */
void exact_end(struct exact *exact);

/* "MOUNT/NAME", in one of a few static buffers. */
const char *exact_path(const struct exact *exact, unsigned mount, unsigned name);
unsigned exact_pick_mount(struct exact *exact);
unsigned exact_pick_name(struct exact *exact);
size_t exact_pick_size(struct exact *exact);
/* An open file that is still open; NULL if there is none. */
struct open *exact_pick_open(struct exact *exact, bool writable);

/* @result of a system call: fails the test unless it is @expected (0 or a negative errno). */
void exact_expect(const char *what, long result, long expected);
void exact_expect_bytes(const char *what, const uint8_t *data, const struct bytes *content,
			size_t offset, size_t len);
void exact_check_file(struct exact *exact, int fd, const struct file *file, const char *what);
/* Whether a file of the key other than @mine was changed through a mapping: when that is stored is
 * for the kernel to say. */
bool exact_is_mapped(const struct exact *exact, const struct file *mine, unsigned key);
/* Has the mount find what the name stands for now; what it finds, borrowed, NULL if nothing. */
struct file *exact_settle(struct exact *exact, unsigned mount, unsigned name);
/* The name was removed or given to another: whoever has an older file of it open keeps that for
 * himself. @but is none of them. */
void exact_withdraw(struct exact *exact, unsigned mount, unsigned name, const struct file *but);
/* What fsync(2) of the file must give. */
long exact_fsync_result(const struct exact *exact, const struct file *file);
/* Before a close: the mount does not store an empty version at once when its process has another
 * descriptor of the file. */
void exact_sync_begun(struct exact *exact, struct open *open);
/* What was changed through mappings is known to the mount after this. */
void exact_sync_maps(struct exact *exact, struct file *file);
/* Its content was changed just now. */
void exact_changed(struct file *file, int64_t before_ns);
/* The time must be one that it may have, and is that one from now on. */
void exact_check_mtime(const char *what, const char *name, struct span *mtime, int64_t mtime_ns);
/* The same of an open file. */
void exact_check_time(struct exact *exact, int fd, struct file *file, const char *what);
/* After the last descriptor and mapping of @open is gone. */
void exact_released(struct exact *exact, struct open *open);
/* What a mapping changed is stored a moment after it is gone. */
void exact_wait_stored(struct exact *exact, unsigned key);
