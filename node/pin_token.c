/* SPDX-License-Identifier: MIT */
#include "node/pin_token.h"

#include "lib/bytes.h"
#include "lib/cleanup.h"
#include "lib/hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_BYTES 8

static uint64_t check_of(const uint8_t store_id[16], const uint8_t *data, size_t len)
{
	return hash64(data, len, hash64(store_id, 16, 0));
}

static int encode(const uint8_t store_id[16], const struct entry *entry, struct buf *out)
{
	struct entry plain = *entry;
	uint8_t check[CHECK_BYTES];
	int r;

	/* One version has one token, however it was written. */
	plain.replaced = false;
	plain.position = 0;
	plain.request_id = (struct request_id){ 0 };
	r = entry_encode(&plain, out);
	if (r < 0)
		return r;
	put_u64(check, check_of(store_id, out->data, out->len));
	return buf_append(out, check, sizeof(check));
}

char *pin_token_make(const uint8_t store_id[16], const struct entry *entry)
{
	_cleanup_(buf_deinit) struct buf bytes = { 0 };
	char etag[ETAG_BYTES_MAX];
	size_t version_len;
	char *token;

	if (encode(store_id, entry, &bytes) < 0)
		return NULL;
	version_to_etag(entry->version, etag);
	version_len = strlen(etag) - 2;
	token = malloc(version_len + 1 + 2 * bytes.len + 1);
	if (!token)
		return NULL;
	memcpy(token, etag + 1, version_len);
	token[version_len] = '.';
	hex_encode(bytes.data, bytes.len, token + version_len + 1);
	return token;
}

/* @bytes without its checksum, if that is right. */
static int decode(const uint8_t store_id[16], const struct buf *bytes, struct entry *ret_entry)
{
	struct bytes_reader reader;
	int r;

	if (bytes->len <= CHECK_BYTES ||
	    get_u64(bytes->data + bytes->len - CHECK_BYTES) !=
		    check_of(store_id, bytes->data, bytes->len - CHECK_BYTES))
		return -EBADMSG;
	reader = bytes_reader(bytes->data, bytes->len - CHECK_BYTES);
	r = entry_decode(&reader, ret_entry);
	if (r < 0)
		return r;
	return bytes_left(&reader) == 0 && ret_entry->kind == ENTRY_FILE ? 0 : -EBADMSG;
}

int pin_token_read(const uint8_t store_id[16], const struct key *key, const char *token,
		   struct buf *bytes, struct entry *ret_entry)
{
	const char *hex = strchr(token, '.');
	size_t len = hex ? strlen(++hex) : 0;
	struct entry entry;
	int r;

	if (len == 0 || !hex_is_valid(hex, len))
		return -EBADMSG;
	buf_clear(bytes);
	r = buf_reserve(bytes, len / 2);
	if (r < 0)
		return r;
	if (hex_decode(hex, len, bytes->data) < 0)
		return -EBADMSG;
	bytes->len = len / 2;
	r = decode(store_id, bytes, &entry);
	if (r < 0)
		return r;
	if (entry.key_len != key->len || memcmp(entry.key, key->bytes, key->len) != 0)
		return -EBADMSG;
	*ret_entry = entry;
	return 0;
}
