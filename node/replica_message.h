/* SPDX-License-Identifier: MIT */
/*
 * The messages that the nodes of a shard exchange (docs/PROTOCOL.md, "Replication"): encode and
 * decode, no I/O. Bytes that are decoded are hostile: whatever decodes without an error has sums
 * that fit, counts that fit, and parts that can be read without a further check, but for what
 * encoded entries say (entry_decode()).
 *
 * Ownership: a message borrows its parts from the bytes that it was decoded from, or from whoever
 * set it up. Threads: pure functions.
 */
#pragma once

#include "lib/buf.h"
#include "lib/bytes.h"
#include "lib/record.h"
#include "node/epoch.h"
#include "node/lineage.h"
#include "node/replica_items.h"
#include "node/replica_role.h"

#define REPLICA_MESSAGE_BYTES_MAX (5 * 1024 * 1024)
#define REPLICA_KEYS_MAX          256 /* of one RECORDS */
#define REPLICA_FILE_BYTES_MAX    (1024 * 1024) /* of one FILE */
#define REPLICA_EPOCHS_MAX        65536
#define REPLICA_LAG_UNKNOWN       UINT32_MAX

enum replica_kind {
	REPLICA_STATE = 1, /* who are you, how far */
	REPLICA_PULL, /* the log behind my end */
	REPLICA_VALUE, /* one chunk of a value file */
	REPLICA_RECORDS, /* the records of these keys */
	REPLICA_CHECKPOINT, /* a copy to bootstrap from: its files */
	REPLICA_FILE, /* a piece of one of them, or several small ones */
	REPLICA_SUM, /* the hash of one of them */
	REPLICA_FENCE, /* follow nobody below this promise */
	REPLICA_HANDOVER, /* let me lead */
	REPLICA_KIND_COUNT,
};

enum replica_status {
	REPLICA_OK,
	REPLICA_DIVERGED, /* PULL: the asker's end is not in the answerer's history */
	REPLICA_TRIMMED, /* PULL: the log does not reach back to it */
	REPLICA_NOT_LEADER, /* PULL, RECORDS, CHECKPOINT, HANDOVER: ask the one the head's promise
			       names */
	REPLICA_BUSY, /* ask again later; SUM: at once, it is being made */
	REPLICA_GONE, /* VALUE, FILE, SUM: there is no such thing any more */
	REPLICA_REFUSED, /* FENCE: there is a higher promise; HANDOVER: not now, and why */
	REPLICA_WAIT, /* HANDOVER: pull up to end and ask again */
	REPLICA_STATUS_COUNT,
};

/* Who says it: begins every message. */
struct replica_head {
	uint16_t node; /* cluster_node.id */
	enum replica_role role;
	uint64_t group; /* replica_group() */
	uint8_t store_id[16];
	struct lineage lineage; /* all zero: none yet */
	uint64_t promise;
};

enum replica_flag {
	REPLICA_EMPTY = 1, /* STATE: nothing was ever stored here */
	REPLICA_WHOLE = 2, /* STATE: has been caught up since it began from nothing */
};

struct replica_message {
	enum replica_kind kind;
	bool is_answer;
	enum replica_status status; /* answers */
	struct replica_head head;

	/* Only those that the table in docs/PROTOCOL.md gives to the kind travel. */
	struct version end; /* STATE answer, PULL both, RECORDS answer, CHECKPOINT both, HANDOVER
			       both */
	struct version first; /* STATE answer: the log holds what comes after this point */
	unsigned flags; /* STATE answer: enum replica_flag */
	uint32_t bytes_max, wait_ms; /* PULL request */
	/* PULL answer: whoever has its records has all that could be read at the answerer so many
	 * ms before it answered, or REPLICA_LAG_UNKNOWN. */
	uint32_t lag_ms;
	struct replica_items epochs; /* PULL answer: the answerer's history, or nothing */
	struct replica_items items; /* PULL answer: records; RECORDS: keys, answer: found;
				       CHECKPOINT answer: files */
	uint64_t id; /* VALUE, CHECKPOINT, FILE, SUM; FENCE, HANDOVER answer: the promise */
	uint64_t
		size_bytes; /* VALUE request: of the whole value; CHECKPOINT answer: of all files */
	uint64_t index; /* VALUE request: the chunk; CHECKPOINT, FILE, SUM: the file, counted from 0
			 */
	uint64_t offset; /* FILE request */
	uint32_t len; /* FILE request: how much from there */
	uint32_t total; /* CHECKPOINT answer: how many files there are in all */
	struct hash128 sum; /* SUM answer */
	const uint8_t *bytes; /* VALUE, FILE answer; HANDOVER answer: a sentence */
	size_t bytes_len;
};

/* Two clusters, or two shards, that meet by a mistake tell each other apart by it. */
uint64_t replica_group(const char *cluster, const char *shard);

/* Appends. -EMSGSIZE: more than REPLICA_MESSAGE_BYTES_MAX; -ENOMEM; @out is then as before. */
int replica_message_encode(const struct replica_message *message, struct buf *out);
/* @out ends with a VALUE or FILE answer without bytes; @len of them lie behind it, in what is
 * reserved of @out, and become part of the answer. */
void replica_message_add_bytes(struct buf *out, size_t len);
/* 0 or -EBADMSG. */
int replica_message_decode(const void *data, size_t len, struct replica_message *ret_message);
