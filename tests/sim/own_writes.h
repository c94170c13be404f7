/* SPDX-License-Identifier: MIT */
/*
 * One store on a disk of memory, without threads, and what it held after each of its writes: for
 * tests that look at copies of it.
 */
#pragma once

#include "node/store.h"
#include "tests/sim/crash_vfs.h"

#define OWN_KEYS   20
#define OWN_WRITES 4096

struct own_writes {
	struct crash_vfs *crash;
	struct vfs *vfs;
	const char *dir; /* "/data" */
	const char *node; /* "n1" */
	bool is_beside;
	uint64_t retain_bytes;
	uint64_t random;
	struct store *store;
	struct version last; /* of what was written */
	/* held[s][k]: number of the value of key k once sequence s was there; 0: none. */
	uint32_t (*held)[OWN_KEYS];
};

void own_writes_init(struct own_writes *own, uint64_t seed);
/* Another node, in /own, on the disk of @beside, which must be there for longer. */
void own_writes_init_beside(struct own_writes *own, struct own_writes *beside);
void own_writes_deinit(struct own_writes *own);
/* It leads then. */
void own_writes_open(struct own_writes *own);
/* It is idle then. As store_open(). */
int own_writes_try_open(struct own_writes *own, const char *dir, struct store **ret_store);
void own_writes_close(struct own_writes *own);
/* A PUT, small or large, or a DELETE, sometimes with durability memory. */
void own_writes_one(struct own_writes *own);
void own_writes_put_with_id(struct own_writes *own, struct request_id *ret_id, struct key *ret_key);
/* It follows, and its records become those of @sequence again, as a repair does it. */
void own_writes_repair(struct own_writes *own, uint64_t sequence);
/* What completes the repair. */
void own_writes_reset(struct own_writes *own, uint64_t sequence);
/* All is on stable storage. */
void own_writes_barrier(struct own_writes *own);
/* Until what failed works again. */
void own_writes_settle(struct own_writes *own);
/* Old values and old log go. */
void own_writes_let_time_pass(struct own_writes *own);

/* Fetches the files of a checkpoint of this node, as another node would; @path_of names each one's
 * place (to be freed). */
struct checkpoint;
void own_writes_fetch(struct own_writes *own, struct checkpoint *checkpoint,
		      char *(*path_of)(const char *dir, const char *name), const char *dir);

/* store_check() finds nothing. */
void own_writes_expect_sound(struct own_writes *own, const char *dir);
/* @dir opens as this node's directory and holds what there was at @sequence. */
void own_writes_expect_state(struct own_writes *own, const char *dir, uint64_t sequence);
/* The store that is open holds that. */
void own_writes_expect_open_state(struct own_writes *own, struct store *store, uint64_t sequence);
/* Names in @dir; -1: there is no such directory. */
int own_writes_count_names(struct own_writes *own, const char *dir);
