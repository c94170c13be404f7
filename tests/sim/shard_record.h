/* SPDX-License-Identifier: MIT */
/*
 * What the clients of a simulated shard write: keys, values and request ids are made from numbers,
 * and what a record says tells the numbers back, so that an invented one shows. The content type
 * carries the value's number, the encoding the patch's. Threads: one.
 */
#pragma once

#include "node/entry.h"
#include "node/store.h"
#include "tests/sim/shard_truth.h"

struct key shard_key(unsigned number);
/* False: no key of ours. */
bool shard_key_number(const uint8_t *bytes, size_t len, unsigned *ret_number);

/* The bytes of value @value; borrowed until the next call. Some take several chunks if
 * @many_chunks. */
const uint8_t *shard_value(uint32_t value, bool many_chunks, size_t *ret_len);
size_t shard_value_len(uint32_t value, bool many_chunks);
void shard_label_value(struct label *label, uint32_t value);
void shard_label_patch(struct label *label, uint32_t patch);

void shard_request_id(uint32_t write, struct request_id *ret_id);

/* False: it says something that no client has ever said. */
bool shard_entry_read(const struct entry *entry, struct truth_entry *ret_entry);
/* The numbers of a record, its bytes checked too. NULL, or a sentence (static) about what is wrong
 * with it. */
const char *shard_record_read(struct store_record *record, bool many_chunks,
			      struct truth_cell *ret_cell);
