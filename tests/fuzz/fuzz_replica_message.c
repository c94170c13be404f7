/* SPDX-License-Identifier: MIT */
/* Messages between replicas. The sum of the head is made right first, else the fuzzer would get no
 * further than that. What decodes must encode to the same bytes. */
#include "node/replica_message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SUMMED_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *bytes = malloc(len + 1);
	struct replica_message message;
	struct buf out = { 0 };

	memcpy(bytes, data, len);
	if (len >= SUMMED_BYTES + 8)
		put_u64(bytes + SUMMED_BYTES, hash64(bytes, SUMMED_BYTES, 0));
	if (replica_message_decode(bytes, len, &message) == 0) {
		assert(replica_message_encode(&message, &out) == 0);
		assert(out.len == len && memcmp(out.data, bytes, len) == 0);
	}
	buf_deinit(&out);
	free(bytes);
	return 0;
}
