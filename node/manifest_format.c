/* SPDX-License-Identifier: MIT */
/*
 * An edit is written only once the edit before it is on stable storage. So an unreadable edit that
 * a readable record follows is damage, and one that none follows is what a crash left of an edit
 * that nobody was told of. A seal behind each edit tells the two apart for the last edit too. The
 * seal itself is not waited for: where one is unreadable, the edit behind it counts all the same.
 */
#include "node/manifest_format.h"

#include "lib/bytes.h"
#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const struct file_kind manifest_kind = { .name = "manifest", .magic = "hexkvMAN", .version = 1 };

void manifest_state_deinit(struct manifest_state *state)
{
	free(state->segments);
	*state = (struct manifest_state){ 0 };
}

int manifest_edit_encode(const struct manifest_edit *edit, struct buf *out)
{
	int r;

	r = buf_append_u64(out, edit->flushed);
	if (r == 0)
		r = buf_append_u64(out, edit->next_file_id);
	if (r == 0)
		r = buf_append_u32(out, (uint32_t)edit->removed_count);
	if (r == 0)
		r = buf_append_u32(out, (uint32_t)edit->added_count);
	for (size_t i = 0; i < edit->removed_count && r == 0; i++)
		r = buf_append_u64(out, edit->removed[i]);
	for (size_t i = 0; i < edit->added_count && r == 0; i++) {
		r = buf_append_u64(out, edit->added[i].file_id);
		if (r == 0)
			r = buf_append_u64(out, edit->added[i].run);
	}
	return r;
}

static int remove_segment(struct manifest_state *state, uint64_t file_id)
{
	for (size_t i = 0; i < state->count; i++) {
		if (state->segments[i].file_id != file_id)
			continue;
		state->count--;
		memmove(&state->segments[i], &state->segments[i + 1],
			(state->count - i) * sizeof(*state->segments));
		return 0;
	}
	return -EBADMSG;
}

/* Keeps the newest run first. */
static int add_segment(struct manifest_state *state, struct manifest_segment added)
{
	struct manifest_segment *segments;
	size_t at = 0;

	for (size_t i = 0; i < state->count; i++)
		if (state->segments[i].file_id == added.file_id ||
		    state->segments[i].run == added.run)
			return -EBADMSG;
	segments = realloc(state->segments, (state->count + 1) * sizeof(*segments));
	if (!segments)
		return -ENOMEM;
	state->segments = segments;
	while (at < state->count && segments[at].run > added.run)
		at++;
	memmove(&segments[at + 1], &segments[at], (state->count - at) * sizeof(*segments));
	segments[at] = added;
	state->count++;
	return 0;
}

int manifest_edit_replay(struct manifest_state *state, const void *data, size_t len)
{
	struct bytes_reader reader = bytes_reader(data, len);
	uint64_t flushed = bytes_read_u64(&reader);
	uint64_t next_file_id = bytes_read_u64(&reader);
	uint32_t removed = bytes_read_u32(&reader);
	uint32_t added = bytes_read_u32(&reader);
	int r = 0;

	if (reader.bad || bytes_left(&reader) != (uint64_t)removed * 8 + (uint64_t)added * 16)
		return -EBADMSG;
	if ((flushed > 0 && flushed < state->flushed) || next_file_id < state->next_file_id)
		return -EBADMSG;
	for (uint32_t i = 0; i < removed && r == 0; i++)
		r = remove_segment(state, bytes_read_u64(&reader));
	for (uint32_t i = 0; i < added && r == 0; i++) {
		struct manifest_segment segment = { .file_id = bytes_read_u64(&reader) };

		segment.run = bytes_read_u64(&reader);
		r = segment.file_id < next_file_id ? add_segment(state, segment) : -EBADMSG;
	}
	if (flushed > 0)
		state->flushed = flushed;
	state->next_file_id = next_file_id;
	return r;
}

int manifest_record_encode(uint64_t file_id, uint64_t offset, enum manifest_record_kind kind,
			   const void *payload, size_t len, struct buf *out)
{
	size_t start = out->len;
	int r;

	r = buf_append_u64(out, 0);
	if (r == 0)
		r = buf_append_u32(out, (uint32_t)len);
	if (r == 0)
		r = buf_append_u32(out, (uint32_t)kind);
	if (r == 0)
		r = buf_append(out, payload, len);
	if (r < 0)
		return r;
	put_u64(out->data + start, checksum(file_id, offset, out->data + start + 8, len + 8));
	return 0;
}

/* The record at @offset: its payload and kind; false if it is not one. */
static bool read_record(uint64_t file_id, const uint8_t *data, size_t len, size_t offset,
			struct bytes_reader *ret_payload, uint32_t *ret_kind)
{
	const uint8_t *record = data + offset;
	uint32_t payload_len, kind;

	if (len - offset < MANIFEST_RECORD_HEADER_BYTES)
		return false;
	payload_len = get_u32(record + 8);
	kind = get_u32(record + 12);
	if (payload_len > len - offset - MANIFEST_RECORD_HEADER_BYTES ||
	    (kind != MANIFEST_EDIT && kind != MANIFEST_SEAL) ||
	    get_u64(record) != checksum(file_id, offset, record + 8, (size_t)payload_len + 8))
		return false;
	*ret_payload = bytes_reader(record + MANIFEST_RECORD_HEADER_BYTES, payload_len);
	*ret_kind = kind;
	return true;
}

/* Whether a readable record begins anywhere behind @offset. */
static bool record_follows(uint64_t file_id, const uint8_t *data, size_t len, size_t offset)
{
	struct bytes_reader payload;
	uint32_t kind;

	while (++offset < len)
		if (read_record(file_id, data, len, offset, &payload, &kind))
			return true;
	return false;
}

static int damaged(const char *path, size_t offset, const char *why)
{
	log_error("damaged file", "kind=manifest file=%s offset=%zu why=\"%s\"", path, offset, why);
	return -EBADMSG;
}

/* Where the record behind an unreadable one at @offset is: len if a crash explains the rest, 0 if
 * it is damage. */
static size_t skip_unreadable(uint64_t file_id, const uint8_t *data, size_t len, size_t offset,
			      bool seal_expected)
{
	size_t next = offset + MANIFEST_RECORD_HEADER_BYTES;
	struct bytes_reader payload;
	uint32_t kind;

	if (seal_expected && next < len && read_record(file_id, data, len, next, &payload, &kind) &&
	    kind == MANIFEST_EDIT)
		return next;
	return record_follows(file_id, data, len, offset) ? 0 : len;
}

int manifest_replay(struct manifest_state *state, uint64_t file_id, const void *bytes, size_t len,
		    const char *path)
{
	const uint8_t *data = bytes;
	size_t offset = FILE_HEADER_BYTES;
	bool any = false, seal_expected = false;
	int r;

	r = file_header_check(&manifest_kind, file_id, data, len, path);
	while (r == 0 && offset < len) {
		struct bytes_reader payload;
		uint32_t kind;

		if (!read_record(file_id, data, len, offset, &payload, &kind)) {
			size_t next = skip_unreadable(file_id, data, len, offset, seal_expected);

			/* CURRENT names a file once its first edit is durable. */
			if (next == 0 || !any)
				return damaged(path, offset, "a record fails its checksum");
			seal_expected = false;
			offset = next;
			continue;
		}
		if (kind == MANIFEST_EDIT)
			r = manifest_edit_replay(state, payload.at, bytes_left(&payload));
		if (r == -EBADMSG)
			return damaged(path, offset, "an edit does not fit what was before it");
		any |= kind == MANIFEST_EDIT;
		seal_expected = kind == MANIFEST_EDIT;
		offset += MANIFEST_RECORD_HEADER_BYTES + bytes_left(&payload);
	}
	if (r == 0 && !any)
		return damaged(path, offset, "it has no edit");
	return r;
}

void manifest_current_encode(uint64_t file_id, char ret_text[MANIFEST_CURRENT_BYTES + 1])
{
	snprintf(ret_text, MANIFEST_CURRENT_BYTES + 1, "hexkv-current 1 %016" PRIx64, file_id);
	snprintf(ret_text + 32, MANIFEST_CURRENT_BYTES + 1 - 32, " %016" PRIx64 "\n",
		 checksum(0, 0, ret_text, 32));
}

int manifest_current_decode(const char *text, size_t len, uint64_t *ret_file_id)
{
	char expected[MANIFEST_CURRENT_BYTES + 1];
	uint64_t file_id;

	if (len != MANIFEST_CURRENT_BYTES || strspn(text + 16, "0123456789abcdef") != 16 ||
	    sscanf(text + 16, "%16" SCNx64, &file_id) != 1)
		return -EBADMSG;
	manifest_current_encode(file_id, expected);
	if (memcmp(text, expected, len) != 0)
		return -EBADMSG;
	*ret_file_id = file_id;
	return 0;
}
