/* SPDX-License-Identifier: MIT */
/* The shortest way from one store's log into another's: no network, no patience. */
#pragma once

#include "node/log_read.h"
#include "node/store_batch.h"

/* What the store's log holds up to now, as far as it may be read. */
struct version shipping_end(struct store *store);
/* Makes the follower's history the leader's, as far as both reach. */
int shipping_adopt(struct store *leader, struct store *follower);
/* Applies one batch; its result. */
int shipping_apply(struct store *store, struct store_batch *batch);
/* The value file of @entry, which the entry names afterwards. */
int shipping_copy_value(struct store *from, struct store *to, struct entry *entry,
			struct value_file **ret_file);
/* Takes @follower back to where both histories part; 0 if it stands there. */
int shipping_reset(struct store *leader, struct store *follower);
/* Reads from the leader what follows the follower's end and applies it. The
 * number of records, a store_log_result as -1000 - result, or a negative errno. */
int shipping_pull(struct store *leader, struct store *follower, unsigned records_max);
