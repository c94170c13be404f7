/* SPDX-License-Identifier: MIT */
#include "lib/object.h"

#include "lib/hash.h"
#include "lib/hex.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH_PREFIX     "/kv/"
#define PATH_PREFIX_LEN (sizeof(PATH_PREFIX) - 1)

bool request_id_is_set(const struct request_id *id)
{
	static const struct request_id unset;

	return memcmp(id, &unset, sizeof(unset)) != 0;
}

/* Random bytes are fetched for many at once: each time is a system call. */
#define IDS_AT_ONCE 64

static _Thread_local struct {
	struct request_id ids[IDS_AT_ONCE];
	unsigned left;
} drawn;

/* In the child, whose only thread this is: what is left is its parent's. */
static void forget_drawn(void)
{
	drawn.left = 0;
}

static bool forks_are_watched;

static void watch_forks(void)
{
	forks_are_watched = pthread_atfork(NULL, NULL, forget_drawn) == 0;
}

static void draw(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
	arc4random_buf(drawn.ids, sizeof(drawn.ids));
	drawn.left = forks_are_watched ? IDS_AT_ONCE : 1;
}

void request_id_generate(struct request_id *ret_id)
{
	do {
		if (drawn.left == 0)
			draw();
		*ret_id = drawn.ids[--drawn.left];
	} while (!request_id_is_set(ret_id));
}

void request_id_to_hex(const struct request_id *id, char ret_hex[33])
{
	hex_encode(id->bytes, sizeof(id->bytes), ret_hex);
}

struct request_id request_id_of_copy(const struct request_id *id, const char *etag,
				     const struct key *destination)
{
	uint8_t seed[16 + ETAG_BYTES_MAX + KEY_BYTES_MAX] = { 0 };
	struct request_id copy_id;
	struct hash128 hash;

	memcpy(seed, id->bytes, 16);
	memcpy(seed + 16, etag, strnlen(etag, ETAG_BYTES_MAX));
	memcpy(seed + 16 + ETAG_BYTES_MAX, destination->bytes, destination->len);
	hash = hash128(seed, sizeof(seed));
	memcpy(copy_id.bytes, &hash.high, 8);
	memcpy(copy_id.bytes + 8, &hash.low, 8);
	return copy_id;
}

int object_path_parse(const char *path, struct key *ret_key)
{
	if (strncmp(path, PATH_PREFIX, PATH_PREFIX_LEN) != 0)
		return -ENOENT;
	path += PATH_PREFIX_LEN;
	return key_from_hex(path, strlen(path), ret_key);
}

/* Decimal digits with an optional minus, nothing else. */
static int parse_i64(const char *text, int64_t *ret_value)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	char *end;
	long long value;

	if (digits[0] < '0' || digits[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return -EINVAL;
	*ret_value = value;
	return 0;
}

static int parse_u64(const char *text, uint64_t *ret_value)
{
	char *end;
	unsigned long long value;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return -EINVAL;
	*ret_value = value;
	return 0;
}

/* Index of @text in @words, -EINVAL if it is none of them. */
static int parse_word(const char *text, const char *const *words, int count)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0)
			return i;
	}
	return -EINVAL;
}

static int parse_labels(const struct fields *fields, struct object_request *request,
			const char **ret_why)
{
	size_t len;
	const char *text = fields_get(fields, FIELD_CONTENT_TYPE, &len);

	if (text) {
		if (label_set(&request->content_type, text, len) < 0) {
			*ret_why = "Content-Type must be 1 to 255 bytes of UTF-8 without control "
				   "bytes or outer spaces";
			return -EINVAL;
		}
		request->has_content_type = true;
	}
	text = fields_get(fields, FIELD_ENCODING, &len);
	if (text) {
		if (label_set(&request->encoding, text, len) < 0) {
			*ret_why = "HexKV-Encoding must be 1 to 255 bytes of UTF-8 without control "
				   "bytes or outer spaces";
			return -EINVAL;
		}
		request->has_encoding = true;
	}
	return 0;
}

static int parse_words(const struct fields *fields, struct object_request *request,
		       const char **ret_why)
{
	static const char *const durabilities[] = { "disk", "memory" };
	const char *const acks[] = { ack_name(ACK_LEADER), ack_name(ACK_QUORUM),
				     ack_name(ACK_ALL) };
	static const char *const reads[] = { "", "leader", "any" };
	const char *text = fields_get(fields, FIELD_DURABILITY, NULL);
	int word;

	if (text) {
		word = parse_word(text, durabilities, 2);
		if (word < 0) {
			*ret_why = "HexKV-Durability is disk or memory";
			return word;
		}
		request->durability = (enum durability)word;
	}
	text = fields_get(fields, FIELD_ACK, NULL);
	if (text) {
		word = parse_word(text, acks, ACK_COUNT);
		if (word < 0) {
			*ret_why = "HexKV-Ack is leader, quorum or all";
			return word;
		}
		request->ack = (enum ack)word;
	}
	text = fields_get(fields, FIELD_READ, NULL);
	if (text) {
		word = parse_word(text, reads, 3);
		if (word <= 0) {
			*ret_why = "HexKV-Read is leader or any";
			return -EINVAL;
		}
		request->read = (enum read_from)word;
	}
	return 0;
}

static int parse_request_id(const struct fields *fields, struct object_request *request,
			    const char **ret_why)
{
	size_t len;
	const char *text = fields_get(fields, FIELD_REQUEST_ID, &len);

	if (!text)
		return 0;
	if (len != 2 * sizeof(request->request_id.bytes) ||
	    hex_decode(text, len, request->request_id.bytes) < 0 ||
	    !request_id_is_set(&request->request_id)) {
		*ret_why = "HexKV-Request-Id must be 32 hex digits that are not all zero";
		return -EINVAL;
	}
	return 0;
}

/* The path of an absolute URI of ours, or the text itself if it is a path. */
static const char *destination_path(const char *text)
{
	if (strncasecmp(text, "http://", 7) == 0)
		text += 7;
	else if (strncasecmp(text, "https://", 8) == 0)
		text += 8;
	else
		return text;
	if (*text == '/')
		return NULL;
	return strchr(text, '/');
}

static int parse_move(const struct fields *fields, struct object_request *request,
		      const char **ret_why)
{
	const char *text = fields_get(fields, FIELD_OVERWRITE, NULL);

	request->overwrite = true;
	if (text) {
		if (strcasecmp(text, "T") != 0 && strcasecmp(text, "F") != 0) {
			*ret_why = "Overwrite is T or F";
			return -EINVAL;
		}
		request->overwrite = strcasecmp(text, "T") == 0;
	}
	text = fields_get(fields, FIELD_DESTINATION, NULL);
	if (text) {
		const char *path = destination_path(text);

		if (!path || object_path_parse(path, &request->destination) < 0) {
			*ret_why = "Destination must be the URL or the path /kv/{hex} of a key of "
				   "1 to 127 bytes";
			return -EINVAL;
		}
		request->has_destination = true;
	}
	return 0;
}

/* "EPOCH-SEQUENCE.HEX". */
static int parse_token(const char *text, size_t len, struct version *ret_version)
{
	size_t version_len = strcspn(text, ".");
	char etag[ETAG_BYTES_MAX];

	if (len > PIN_TOKEN_BYTES_MAX || version_len == len || version_len + 3 > sizeof(etag) ||
	    strspn(text + version_len + 1, "0123456789abcdef") != len - version_len - 1)
		return -EINVAL;
	etag[0] = etag[version_len + 1] = '"';
	memcpy(etag + 1, text, version_len);
	return version_from_etag(etag, version_len + 2, ret_version);
}

static int parse_pin(const struct fields *fields, struct object_request *request,
		     const char **ret_why)
{
	const char *seconds = fields_get(fields, FIELD_PIN, NULL);
	size_t len;
	const char *token = fields_get(fields, FIELD_PIN_TOKEN, &len);
	uint64_t value;

	if (seconds) {
		if (parse_u64(seconds, &value) < 0 || value < 1 || value > PIN_SECONDS_MAX) {
			*ret_why = "HexKV-Pin is a number of seconds from 1 to 60";
			return -EINVAL;
		}
		request->pin_s = (uint32_t)value;
	}
	if (token) {
		if (parse_token(token, len, &request->pinned) < 0) {
			*ret_why = "HexKV-Pin-Token must be as an answer gave it";
			return -EINVAL;
		}
		request->has_pinned = true;
	}
	return 0;
}

int object_request_parse(const struct fields *fields, struct object_request *ret_request,
			 const char **ret_why)
{
	const char *mtime = fields_get(fields, FIELD_MTIME, NULL);
	int r;

	memset(ret_request, 0, sizeof(*ret_request));
	r = precondition_parse(fields, &ret_request->pre, ret_why);
	if (r < 0)
		return r;
	r = parse_labels(fields, ret_request, ret_why);
	if (r < 0)
		return r;
	if (mtime) {
		if (parse_i64(mtime, &ret_request->mtime_ns) < 0) {
			*ret_why = "HexKV-Mtime must be nanoseconds since 1970 as a decimal number "
				   "of 64 bits";
			return -EINVAL;
		}
		ret_request->has_mtime = true;
	}
	r = parse_words(fields, ret_request, ret_why);
	if (r < 0)
		return r;
	r = parse_request_id(fields, ret_request, ret_why);
	if (r < 0)
		return r;
	r = parse_pin(fields, ret_request, ret_why);
	if (r < 0)
		return r;
	return parse_move(fields, ret_request, ret_why);
}

static int set_text(struct fields *fields, enum field field, const char *text)
{
	return fields_set(fields, field, text, strlen(text));
}

static int set_version_and_dates(struct fields *fields, const struct record_meta *meta)
{
	char etag[ETAG_BYTES_MAX], date[HTTP_DATE_BYTES_MAX];
	int r;

	version_to_etag(meta->version, etag);
	http_date_format(record_modified_s(meta), date);
	r = set_text(fields, FIELD_ETAG, etag);
	if (r < 0)
		return r;
	r = set_text(fields, FIELD_LAST_MODIFIED, date);
	if (r < 0)
		return r;
	return fields_setf(fields, FIELD_MTIME, "%" PRId64, meta->mtime_ns);
}

static int set_value_facts(struct fields *fields, const struct record_meta *meta)
{
	int r;

	r = fields_setf(fields, FIELD_HASH, "%016" PRIx64 "%016" PRIx64, meta->hash.high,
			meta->hash.low);
	if (r < 0)
		return r;
	r = set_text(fields, FIELD_UTF8, meta->utf8 ? "true" : "false");
	if (r < 0)
		return r;
	r = set_text(fields, FIELD_ACCEPT_RANGES, "bytes");
	if (r < 0)
		return r;
	return fields_setf(fields, FIELD_SIZE, "%" PRIu64, meta->size_bytes);
}

/* The fields that may follow a body, and what each stands for. */
static const struct {
	enum field trailer;
	enum field field;
} late_fields[] = {
	{ FIELD_FINAL_TYPE, FIELD_CONTENT_TYPE },
	{ FIELD_ENCODING, FIELD_ENCODING },
	{ FIELD_MTIME, FIELD_MTIME },
	{ FIELD_DURABILITY, FIELD_DURABILITY },
};

/* Whether the list of names in @text holds @name. */
static bool is_listed(const char *text, const char *name)
{
	size_t len = strlen(name);

	while (*text) {
		size_t skip = strspn(text, " \t,");
		size_t word = strcspn(text + skip, " \t,");

		if (word == len && strncasecmp(text + skip, name, len) == 0)
			return true;
		text += skip + word;
	}
	return false;
}

static bool trailer_is_whole(const struct fields *trailer, const struct fields *fields)
{
	const char *announced = fields_get(fields, FIELD_TRAILER, NULL);

	if (!announced)
		return true;
	for (size_t i = 0; i < sizeof(late_fields) / sizeof(late_fields[0]); i++)
		if (!fields_get(trailer, late_fields[i].trailer, NULL) &&
		    is_listed(announced, field_name(late_fields[i].trailer)))
			return false;
	return true;
}

int object_trailer_apply(const struct fields *trailer, struct fields *fields, const char **ret_why)
{
	if (!trailer_is_whole(trailer, fields)) {
		*ret_why = "a field that Trailer announced did not follow the body; something on "
			   "the way drops trailers";
		return -EINVAL;
	}
	for (size_t i = 0; i < sizeof(late_fields) / sizeof(late_fields[0]); i++) {
		size_t len;
		const char *value = fields_get(trailer, late_fields[i].trailer, &len);

		*ret_why = "memory is out; try again";
		if (value && fields_set(fields, late_fields[i].field, value, len) < 0)
			return -ENOMEM;
	}
	fields_unset(fields, FIELD_TRAILER);
	return 0;
}

int object_fields_set(struct fields *fields, const struct record_meta *meta)
{
	int r;

	r = fields_set(fields, FIELD_CONTENT_TYPE, meta->content_type.text, meta->content_type.len);
	if (r < 0)
		return r;
	r = fields_set(fields, FIELD_ENCODING, meta->encoding.text, meta->encoding.len);
	if (r < 0)
		return r;
	r = set_version_and_dates(fields, meta);
	if (r < 0)
		return r;
	return set_value_facts(fields, meta);
}

static int get_label(const struct fields *fields, enum field field, struct label *ret_label)
{
	size_t len;
	const char *text = fields_get(fields, field, &len);

	return text && label_set(ret_label, text, len) == 0 ? 0 : -EBADMSG;
}

static int get_hash(const struct fields *fields, struct hash128 *ret_hash)
{
	size_t len;
	const char *text = fields_get(fields, FIELD_HASH, &len);
	uint8_t bytes[16];
	uint64_t high = 0, low = 0;

	if (!text || len != 32 || hex_decode(text, len, bytes) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < 8; i++) {
		high = high << 8 | bytes[i];
		low = low << 8 | bytes[i + 8];
	}
	*ret_hash = (struct hash128){ .low = low, .high = high };
	return 0;
}

int object_fields_parse(const struct fields *fields, struct record_meta *ret_meta)
{
	size_t etag_len;
	const char *etag = fields_get(fields, FIELD_ETAG, &etag_len);
	const char *mtime = fields_get(fields, FIELD_MTIME, NULL);
	const char *size = fields_get(fields, FIELD_SIZE, NULL);
	const char *utf8 = fields_get(fields, FIELD_UTF8, NULL);
	struct record_meta meta = { 0 };

	if (!etag || !mtime || !size || !utf8)
		return -EBADMSG;
	if (get_label(fields, FIELD_CONTENT_TYPE, &meta.content_type) < 0 ||
	    get_label(fields, FIELD_ENCODING, &meta.encoding) < 0 ||
	    version_from_etag(etag, etag_len, &meta.version) < 0 ||
	    parse_i64(mtime, &meta.mtime_ns) < 0 || parse_u64(size, &meta.size_bytes) < 0 ||
	    get_hash(fields, &meta.hash) < 0)
		return -EBADMSG;
	if (strcmp(utf8, "true") != 0 && strcmp(utf8, "false") != 0)
		return -EBADMSG;
	meta.utf8 = utf8[0] == 't';
	*ret_meta = meta;
	return 0;
}
