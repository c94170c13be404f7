/* SPDX-License-Identifier: MIT */
/*
 * Tells reads that follow each other from those that don't, among several programs that read one
 * file at once: each sequence is followed by itself.
 *
 * Threads: the caller serialises.
 */
#pragma once

#include "fs/block.h"

#define SEQUENCES_MAX 8

struct sequence {
	struct block_owner blocks; /* what was asked for ahead of it */
	uint64_t begin;
	uint64_t end; /* where the next read begins */
	uint64_t bytes; /* that were read */
	uint64_t next; /* up to where it has been asked for ahead */
	unsigned reads; /* that followed each other; 0: there is no sequence */
	unsigned strays; /* reads that were off */
};

/* The one that the read goes on with, NULL if it begins one. */
struct sequence *sequence_find(struct sequence sequences[SEQUENCES_MAX], uint64_t offset,
			       size_t len);
/* The one to give up for a new one. */
struct sequence *sequence_least(struct sequence sequences[SEQUENCES_MAX]);
void sequence_begin(struct sequence *sequence, uint64_t offset, size_t len);
void sequence_go_on(struct sequence *sequence, uint64_t offset, size_t len);
/* Long enough that more will follow. */
bool sequence_is_established(const struct sequence *sequence);
/* How much is worth to be asked for ahead: the longer it is, the more. */
uint64_t sequence_ahead_bytes(const struct sequence *sequence);
