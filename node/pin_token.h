/* SPDX-License-Identifier: MIT */
/*
 * What stands in HexKV-Pin-Token: "EPOCH-SEQUENCE.", then in hex the entry of that version
 * (docs/FORMAT.md, "Entry") and a checksum that is bound to the store. So a token says all there is
 * to know of a version whose entry may be gone, also to a node that has started again. It is no
 * secret and gives no right that its bearer has not. Threads: pure functions.
 */
#pragma once

#include "node/entry.h"

/* @store_id: what the ids of value files count in, of which a store gets a new one when it takes
 * over another's files. @entry is an ENTRY_FILE. To be freed; NULL if memory is out. */
char *pin_token_make(const uint8_t store_id[16], const struct entry *entry);
/* The entry borrows from @bytes, which the caller frees. -EBADMSG: not a token of this store for
 * @key; -ENOMEM. */
int pin_token_read(const uint8_t store_id[16], const struct key *key, const char *token,
		   struct buf *bytes, struct entry *ret_entry);
