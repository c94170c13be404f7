/* SPDX-License-Identifier: MIT */
#include "lib/record.h"

#include "lib/hex.h"
#include "lib/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int key_from_hex(const char *hex, size_t len, struct key *ret_key)
{
	if (len == 0 || len > KEY_HEX_MAX || !hex_is_valid(hex, len))
		return -EINVAL;
	ret_key->len = (uint8_t)(len / 2);
	return hex_decode(hex, len, ret_key->bytes);
}

int key_from_bytes(const void *data, size_t len, struct key *ret_key)
{
	if (len == 0 || len > KEY_BYTES_MAX)
		return -EINVAL;
	ret_key->len = (uint8_t)len;
	memcpy(ret_key->bytes, data, len);
	return 0;
}

void key_to_hex(const struct key *key, char *ret_hex)
{
	hex_encode(key->bytes, key->len, ret_hex);
}

int key_compare(const struct key *a, const struct key *b)
{
	size_t len = a->len < b->len ? a->len : b->len;
	int order = memcmp(a->bytes, b->bytes, len);

	return order ? order : (int)a->len - (int)b->len;
}

int version_compare(struct version a, struct version b)
{
	if (a.epoch != b.epoch)
		return a.epoch < b.epoch ? -1 : 1;
	if (a.sequence != b.sequence)
		return a.sequence < b.sequence ? -1 : 1;
	return 0;
}

void version_to_etag(struct version version, char ret_etag[ETAG_BYTES_MAX])
{
	snprintf(ret_etag, ETAG_BYTES_MAX, "\"%" PRIx64 "-%" PRIx64 "\"", version.epoch,
		 version.sequence);
}

/* Lower-case hex without leading zeros, up to @end. */
static int parse_part(const char **at, const char *end, char stop, uint64_t *ret_value)
{
	const char *start = *at;
	const char *p = start;
	uint64_t value = 0;

	for (; p < end && *p != stop; p++) {
		if (p - start == 16)
			return -EINVAL;
		if (*p >= '0' && *p <= '9')
			value = value << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			value = value << 4 | (uint64_t)(*p - 'a' + 10);
		else
			return -EINVAL;
	}
	if (p == end || p == start || (*start == '0' && p - start > 1))
		return -EINVAL;
	*at = p + 1;
	*ret_value = value;
	return 0;
}

int version_from_etag(const char *etag, size_t len, struct version *ret_version)
{
	const char *at = etag + 1;
	const char *end = etag + len;
	struct version version;

	if (len < 2 || etag[0] != '"')
		return -EINVAL;
	if (parse_part(&at, end, '-', &version.epoch) < 0 ||
	    parse_part(&at, end, '"', &version.sequence) < 0 || at != end)
		return -EINVAL;
	*ret_version = version;
	return 0;
}

static bool has_control_byte(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] == 0x7f)
			return true;
		/* U+0080 to U+009F. */
		if (text[i] == 0xc2 && i + 1 < len && text[i + 1] < 0xa0)
			return true;
	}
	return false;
}

int label_set(struct label *label, const char *text, size_t len)
{
	if (len == 0 || len > LABEL_BYTES_MAX)
		return -EINVAL;
	if (text[0] == ' ' || text[len - 1] == ' ')
		return -EINVAL;
	if (!utf8_is_valid(text, len) || has_control_byte((const uint8_t *)text, len))
		return -EINVAL;
	label->len = (uint8_t)len;
	memmove(label->text, text, len);
	label->text[len] = '\0';
	return 0;
}
