/* SPDX-License-Identifier: MIT */
/*
 * The file of request ids as it may come from anywhere; its hash is made right, so that what lies
 * behind it is reached. What was decoded must be encoded to the same ids again.
 */
#include "lib/hash.h"
#include "node/request_ids_file.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_again(struct request_ids *ids)
{
	struct request_ids *again = request_ids_new();
	struct buf bytes = { 0 }, twice = { 0 };
	int64_t newest;

	if (!again || request_ids_encode(ids, UINT64_MAX, &bytes) < 0)
		abort();
	assert(request_ids_decode(again, bytes.data, bytes.len, &newest) == 0);
	if (request_ids_encode(again, UINT64_MAX, &twice) < 0)
		abort();
	assert(bytes.len == twice.len && memcmp(bytes.data, twice.data, bytes.len) == 0);
	buf_deinit(&bytes);
	buf_deinit(&twice);
	request_ids_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct request_ids *ids = request_ids_new();
	struct buf bytes = { 0 };
	int64_t newest;

	if (!ids || buf_append(&bytes, data, len) < 0)
		abort();
	if (request_ids_decode(ids, data, len, &newest) == 0)
		check_again(ids);
	if (buf_append_u64(&bytes, hash64(bytes.data, bytes.len, 0)) < 0)
		abort();
	if (request_ids_decode(ids, bytes.data, bytes.len, &newest) == 0)
		check_again(ids);
	buf_deinit(&bytes);
	request_ids_free(ids);
	return 0;
}
