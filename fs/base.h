/* SPDX-License-Identifier: MIT */
/*
 * What a staging file still lacks of the version that it began from, its base: fetched when it is
 * needed here, or on the way when the whole is stored again.
 *
 * Errors: 0 or a negative errno; -ESTALE if the version is gone. Threads: the caller keeps writers
 * away; a struct base belongs to one thread.
 */
#pragma once

#include "fs/mount.h"

/* Where the version can be read. */
struct base_place {
	char key[NAME_BYTES_MAX + 1]; /* "": nowhere */
	struct version version;
	const char *token; /* of a pin; NULL: none */
};

struct base {
	struct remote *remote;
	struct staging *staging; /* a reference */
	struct pin *pin; /* a reference, NULL: none */
	struct base_place place;
	struct base_place other; /* where its metadata or name were changed here */
	const struct interrupt *interrupt;

	/* base_read()'s own; zero-initialise. */
	uint8_t *block;
	uint64_t block_start;
	size_t block_len;
	bool no_room; /* the staging file takes no more */
};

/* The base of @inode's content. @staging is the inode's. */
void base_init(struct base *base, struct mount *mount, struct inode *inode, struct staging *staging,
	       const struct interrupt *interrupt);
void base_deinit(struct base *base);
/* Fetches all of it. */
int base_fetch(struct base *base);
/* If the parts that are missing are more than should be remembered: fetches some that are small. */
int base_bound(struct base *base);
/* Bytes of the content as it is now, whether they are here or not: for remote_put.source, the
 * state being the base. What is fetched is kept if there is room for it. */
ssize_t base_read(void *state, uint64_t offset, void *data, size_t len);
