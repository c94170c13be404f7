/* SPDX-License-Identifier: MIT */
/*
 * The names of the directory as one opendir() sees them, page by page: those of the records, as the
 * router lists them, then those that only this mount has.
 *
 * A position says which name is before it, whatever becomes of that name: who comes back to it goes
 * on behind the place where the name was. Positions are those of telldir(): any that was given out
 * may be asked for again, but for those that lie more than a gigabyte of names back.
 *
 * Threads: locks itself.
 */
#pragma once

#include "fs/mount.h"

struct listing;

struct listing_entry {
	struct remote_name record; /* key is the name in any case */
	struct inode *local; /* a name that only this mount has: a reference for the caller; else
				NULL */
	bool recent; /* the router said so less than the attribute timeout ago, and nothing newer
			is known of it */
	uint64_t listed_ms;
	uint64_t position; /* behind it */
	char name[NAME_BYTES_MAX + 1];
};

/* Where the names begin; smaller positions are the caller's. */
#define LISTING_START 2

int listing_new(struct mount *mount, struct listing **ret_listing);
struct listing *listing_free(struct listing *listing);
/* The entry at @position. 1, 0 at the end, negative errno. */
int listing_next(struct listing *listing, uint64_t position, const struct interrupt *interrupt,
		 struct listing_entry *ret_entry);
