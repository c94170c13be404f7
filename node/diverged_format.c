/* SPDX-License-Identifier: MIT */
#include "node/diverged_format.h"

#include "lib/bytes.h"

#include <errno.h>
#include <string.h>

const struct file_kind diverged_kind = { .name = "diverged", .magic = "hexkvDIV", .version = 1 };

static int append_name(struct buf *out, const char *name)
{
	size_t len = strlen(name);
	int r = buf_append_u16(out, (uint16_t)len);

	return r == 0 ? buf_append(out, name, len) : r;
}

int diverged_about_encode(const struct diverged_about *about, struct buf *out)
{
	const uint64_t numbers[] = { about->end.epoch,    about->end.sequence,
				     about->common.epoch, about->common.sequence,
				     about->leader_epoch, (uint64_t)about->time_ns };
	int r = buf_append(out, about->store_id, sizeof(about->store_id));

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers) && r == 0; i++)
		r = buf_append_u64(out, numbers[i]);
	if (r == 0)
		r = append_name(out, about->cluster);
	return r == 0 ? append_name(out, about->node) : r;
}

static void read_name(struct bytes_reader *reader, char ret_name[256])
{
	size_t len = bytes_read_u16(reader);
	const uint8_t *name = len < 256 ? bytes_read(reader, len) : NULL;

	if (!name) {
		reader->bad = true;
		return;
	}
	memcpy(ret_name, name, len);
	ret_name[len] = '\0';
}

int diverged_about_decode(const uint8_t *data, size_t len, struct diverged_about *ret_about)
{
	struct bytes_reader reader = bytes_reader(data, len);
	const uint8_t *store_id = bytes_read(&reader, sizeof(ret_about->store_id));
	struct diverged_about about = { 0 };

	if (store_id)
		memcpy(about.store_id, store_id, sizeof(about.store_id));
	about.end.epoch = bytes_read_u64(&reader);
	about.end.sequence = bytes_read_u64(&reader);
	about.common.epoch = bytes_read_u64(&reader);
	about.common.sequence = bytes_read_u64(&reader);
	about.leader_epoch = bytes_read_u64(&reader);
	about.time_ns = (int64_t)bytes_read_u64(&reader);
	read_name(&reader, about.cluster);
	read_name(&reader, about.node);
	if (reader.bad || bytes_left(&reader) > 0)
		return -EBADMSG;
	*ret_about = about;
	return 0;
}

void diverged_end_encode(const struct diverged_end *end, uint8_t ret_data[DIVERGED_END_BYTES])
{
	put_u64(ret_data, end->entries);
	put_u64(ret_data + 8, end->value_bytes);
	put_u64(ret_data + 16, end->hash.low);
	put_u64(ret_data + 24, end->hash.high);
}

int diverged_end_decode(const uint8_t *data, size_t len, struct diverged_end *ret_end)
{
	if (len != DIVERGED_END_BYTES)
		return -EBADMSG;
	*ret_end = (struct diverged_end){
		.entries = get_u64(data),
		.value_bytes = get_u64(data + 8),
		.hash = { .low = get_u64(data + 16), .high = get_u64(data + 24) },
	};
	return 0;
}

void diverged_head_encode(enum diverged_kind kind, size_t len,
			  uint8_t ret_head[DIVERGED_HEAD_BYTES])
{
	memset(ret_head, 0, DIVERGED_HEAD_BYTES);
	put_u32(ret_head, (uint32_t)len);
	ret_head[4] = (uint8_t)kind;
}

uint64_t diverged_sum(uint64_t file_id, uint64_t offset, const uint8_t head[DIVERGED_HEAD_BYTES],
		      const void *payload, size_t len)
{
	/* The payload is hashed where it is: it may have megabytes. */
	uint8_t both[DIVERGED_HEAD_BYTES + 8];

	memcpy(both, head, DIVERGED_HEAD_BYTES);
	put_u64(both + DIVERGED_HEAD_BYTES, hash64(payload, len, 0));
	return checksum(file_id, offset, both, sizeof(both));
}

int diverged_head_decode(const uint8_t head[DIVERGED_HEAD_BYTES], enum diverged_kind *ret_kind,
			 size_t *ret_len)
{
	uint32_t len = get_u32(head);

	if (len > DIVERGED_PAYLOAD_MAX || head[4] < DIVERGED_ABOUT || head[4] > DIVERGED_END ||
	    head[5] || head[6] || head[7])
		return -EBADMSG;
	*ret_kind = (enum diverged_kind)head[4];
	*ret_len = len;
	return 0;
}
