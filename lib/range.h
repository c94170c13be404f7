/* SPDX-License-Identifier: MIT */
/* Range and If-Range (RFC 9110 14.2, 13.1.5): which bytes of a value an answer carries. */
#pragma once

#include "lib/field.h"
#include "lib/outcome.h"
#include "lib/record.h"

struct byte_range {
	uint64_t offset;
	uint64_t len;
};

/* Range and If-Range against a record. OUTCOME_OK: send it whole (no range, a malformed one, more
 * than one, another unit, If-Range did not match); OUTCOME_PARTIAL: *ret_range;
 * OUTCOME_RANGE_NOT_SATISFIABLE. */
enum outcome object_range(const struct fields *fields, const struct record_meta *meta,
			  struct byte_range *ret_range);
/* Whether the request asks for a range of more than @bytes, by itself: the value may be shorter. */
bool range_is_longer(const struct fields *fields, uint64_t bytes);
