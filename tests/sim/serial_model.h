/* SPDX-License-Identifier: MIT */
/*
 * What a store must hold after a power cut when many threads wrote to it at once. Each answer names
 * the sequence of its write, so the order in which they were committed is known afterwards: the
 * writes are replayed in it, and every answer must be the one that a store without threads would
 * have given. What was recovered must be a prefix of that order, without a hole, with everything
 * acknowledged on disk; behind the last answer it may go on with writes whose outcome nobody heard,
 * and the log says which.
 *
 * Threads: each list of writes belongs to one thread until all of them are judged by one.
 */
#pragma once

#include "node/store.h"

#define SERIAL_KEYS 32

struct serial_cell {
	uint32_t value; /* number; 0: no record */
	uint32_t type; /* number of the content type */
	uint64_t sequence;
};

enum serial_fate {
	SERIAL_NEVER, /* not applied, and never will be */
	SERIAL_MAYBE,
	SERIAL_DONE,
};

enum serial_condition { SERIAL_ANYWAY, SERIAL_IF_ABSENT, SERIAL_IF_MATCH };

struct serial_write {
	/* what was asked for */
	unsigned writer;
	enum write_kind kind;
	unsigned key, destination;
	uint32_t value, type;
	enum serial_condition condition;
	uint64_t match; /* sequence */
	enum durability durability;
	struct request_id id;

	/* what was answered */
	enum serial_fate fate;
	enum outcome outcome;
	bool repeated;
	uint64_t epoch, sequence; /* of its last entry */

	bool recovered; /* serial_judge() found it */
};

struct serial_list {
	struct serial_write *items;
	size_t count, cap;
};

struct serial_write *serial_list_add(struct serial_list *list);
void serial_list_deinit(struct serial_list *list);

/* A consistent copy of the store as it was at @sequence. */
struct serial_copy {
	uint64_t sequence;
	struct serial_cell found[SERIAL_KEYS];
};

struct serial_case {
	/* before the writes */
	struct serial_cell base[SERIAL_KEYS];
	struct version base_end;
	/* all of them, in any order: they are sorted and marked */
	struct serial_list writes;
	/* after the recovery */
	struct serial_cell found[SERIAL_KEYS];
	uint64_t end; /* last sequence */
	/* What the log has behind the last answer: request id of each entry, and the number of a
	 * put's value. */
	struct serial_tail {
		uint64_t sequence;
		struct request_id id;
		uint32_t value;
	} * tail;
	size_t tail_count;
	const struct serial_copy *copies;
	size_t copy_count;
};

/* The last write that was answered, or the base. */
struct version serial_last_answered(const struct serial_case *story);
/* NULL, or a sentence (static) that says what can't be. */
const char *serial_judge(struct serial_case *story);
/* Everything that is needed to look into it. */
void serial_print(const struct serial_case *story);
