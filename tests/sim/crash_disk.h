/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory that remembers what has been synced. A power cut loses, keeps, or scrambles
 * everything else: bytes of files by 512-byte sector, and names (created, linked, renamed,
 * unlinked) one operation at a time.
 *
 * Threads: the caller serialises.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRASH_SECTOR 512

struct crash_inode {
	struct crash_inode *next; /* all inodes */
	bool is_dir;
	unsigned refs; /* names, pending operations, open files */
	void *locked_by;
	uint8_t *data, *durable; /* both of cap bytes, zero behind their length */
	size_t len, durable_len, cap;
	size_t dirty_from, dirty_to; /* written since the last sync */
};

struct crash_name {
	char *path;
	struct crash_inode *inode;
};

/* name -> inode; a name is a whole path. */
struct crash_names {
	struct crash_name *items;
	size_t count, cap;
};

/* One operation on names that no directory sync has made durable yet: its effects come together.
 * The first two are in the directories whose sync makes it durable; those behind them are what a
 * renamed directory takes along. */
struct crash_op {
	struct crash_name *effects; /* inode NULL: the name goes away */
	size_t count;
};

struct crash_disk {
	struct crash_inode *inodes;
	struct crash_names names, durable_names;
	struct crash_op *ops;
	size_t op_count, op_cap;
	uint64_t random;
};

/* Memory running out ends the process: this is a test's disk. */
void crash_disk_init(struct crash_disk *disk, uint64_t seed);
void crash_disk_deinit(struct crash_disk *disk);
uint64_t crash_disk_random(struct crash_disk *disk);

struct crash_inode *crash_disk_find(struct crash_disk *disk, const char *path);
/* False if @path's directory does not exist ("/" does). */
bool crash_disk_has_parent(struct crash_disk *disk, const char *path);
struct crash_inode *crash_disk_create(struct crash_disk *disk, const char *path, bool is_dir);
void crash_disk_link(struct crash_disk *disk, struct crash_inode *inode, const char *to);
void crash_disk_unlink(struct crash_disk *disk, const char *path);
/* A directory takes along what is in it, the part that is durable there and the part that is not.
 */
void crash_disk_rename(struct crash_disk *disk, const char *from, const char *to);
void crash_disk_sync_dir(struct crash_disk *disk, const char *path);
bool crash_disk_is_empty(struct crash_disk *disk, const char *dir);
/* Whether @path names something directly in @dir. */
bool crash_disk_is_in(const char *path, const char *dir);

void crash_inode_write(struct crash_inode *inode, const void *data, size_t len, uint64_t offset);
void crash_inode_resize(struct crash_inode *inode, size_t len);
void crash_inode_sync(struct crash_inode *inode);
/* A failed sync: what was written stays in doubt for ever, a later sync does not mend it. */
void crash_inode_fail_sync(struct crash_inode *inode);
void crash_inode_unref(struct crash_disk *disk, struct crash_inode *inode);
/* Bytes of all files that have a name. */
uint64_t crash_disk_bytes(const struct crash_disk *disk);

/* Decides what survives; from then on that is what is there, and durable. */
void crash_disk_power_cut(struct crash_disk *disk);
