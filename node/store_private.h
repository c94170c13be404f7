/* SPDX-License-Identifier: MIT */
/* What the store's own files share: store.c opens, closes and reads. */
#pragma once

#include "lib/mutex.h"
#include "node/commit.h"
#include "node/store.h"
#include "node/store_files.h"

#include <stdatomic.h>

struct store {
	/* immutable after open */
	struct store_options options; /* its strings are not kept */
	char *dir;
	struct store_files files;
	struct value_files *values;
	struct lsm *lsm;
	struct wal *wal;
	struct value_refs *refs;
	uint64_t epoch;
	uint64_t log_value_bytes; /* in value files that the log named when it was opened */

	struct request_ids *ids; /* changed by the commit thread only */
	struct commit *_Atomic commit; /* set last: until then the flush thread has no log */
	_Atomic uint64_t flushed_position;

	struct mutex lock;
	/* protected by lock */
	uint64_t space_at_ms; /* when it was asked for */
	uint64_t space_free, space_total;
};
