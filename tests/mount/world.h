/* SPDX-License-Identifier: MIT */
/*
 * The model: what is stored, and what each mount makes of it. A mount's file is one version of a
 * record as its openers see it; a version stored elsewhere is another file under the same name.
 *
 * Failures of memory end the test. Threads: the caller serialises.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_MOUNTS 2
#define WORLD_KEYS   8
#define WORLD_NAMES  (WORLD_KEYS + 6) /* keys, then temporary names */
#define LABEL_MAX    32

struct bytes {
	uint8_t *data;
	size_t len;
};

/* A time that lies somewhere between. */
struct span {
	int64_t from_ns, to_ns;
};

struct labels {
	char content_type[LABEL_MAX];
	char encoding[LABEL_MAX];
};

struct record {
	bool exists;
	uint64_t version; /* that it has, or had last */
	struct bytes value;
	struct labels labels;
	struct span mtime;
	uint64_t foreign_ms[WORLD_MOUNTS]; /* when a change that this mount did not make was over */
};

struct file {
	unsigned references; /* the name's and each open file's */
	unsigned mount;
	unsigned name;
	bool linked; /* the name finds it */
	bool deleted;
	bool stored;
	bool unsaved;
	bool mapped_unsaved; /* changed through a mapping: the mount may not know yet */
	bool mapped_changed; /* the same, and not forgotten when the file is removed */
	bool labels_set; /* of a temporary file */
	uint64_t version;
	struct bytes content;
	struct labels labels;
	struct span mtime;
	int hides; /* the key that this temporary file was, -1: none */
	uint64_t hides_version;
};

struct world {
	unsigned mounts;
	uint64_t versions;
	struct record records[WORLD_KEYS];
	struct file *linked[WORLD_MOUNTS][WORLD_NAMES];
};

extern const char *const world_names[WORLD_NAMES];

static inline bool world_is_temporary(unsigned name)
{
	return name >= WORLD_KEYS;
}

void bytes_set(struct bytes *bytes, const void *data, size_t len);
void bytes_write(struct bytes *bytes, size_t offset, const void *data, size_t len);
void bytes_truncate(struct bytes *bytes, size_t len);

void labels_default(struct labels *labels);

struct span span_now(int64_t from_ns);

/* Whether its openers see something that is not, or not any more, stored. */
bool file_is_local(const struct file *file);
struct file *file_ref(struct file *file);
void file_unref(struct file *file);
/* A new one under the name, with a reference for the caller besides the name's. */
struct file *world_create(struct world *world, unsigned mount, unsigned name);
void world_unlink(struct world *world, struct file *file);
void world_mark_deleted(struct world *world, struct file *file);
void world_rename(struct world *world, struct file *file, unsigned name);
void world_set_hides(struct world *world, struct file *file, int key, uint64_t version);

/* What an open of the name finds: borrowed, NULL if nothing. */
struct file *world_look(struct world *world, unsigned mount, unsigned name);
/* No version of the record that there was is stored any more: nothing hides them. */
void world_unhide(struct world *world, unsigned mount, unsigned key);
/* Whether this mount hides the version of the record that there is. */
bool world_is_hidden(const struct world *world, unsigned mount, unsigned key);

/* Changes of what is stored, made by the mount @by, -1: past all of them. NULL: unchanged. */
void world_store(struct world *world, int by, unsigned key, const struct bytes *value,
		 const struct labels *labels, struct span mtime);
void world_remove(struct world *world, int by, unsigned key);
/* The file's content becomes the record. */
void world_save(struct world *world, struct file *file);
/* As world_save() if something is unsaved and can be stored. */
void world_flush(struct world *world, struct file *file);
