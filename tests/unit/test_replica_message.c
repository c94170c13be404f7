/* SPDX-License-Identifier: MIT */
#include "node/replica_message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct replica_message message_of(enum replica_kind kind, bool is_answer)
{
	struct replica_message message = {
		.kind = kind,
		.is_answer = is_answer,
		.head = {
			.node = 517,
			.role = REPLICA_FOLLOWER,
			.group = replica_group("demo", "s0"),
			.store_id = { 1, 2, 3, 4, 5, 6, 7, 8, 9 },
			.lineage = { .id = { 9, 8, 7 }, .created_ns = -12345678901 },
			.promise = 0x0001000200030205,
		},
	};

	return message;
}

/* One of each kind, with everything in it that it may have. Borrows from @items and @epochs. */
static struct replica_message sample(enum replica_kind kind, bool is_answer, struct buf *items,
				     struct buf *epochs)
{
	struct replica_message message = message_of(kind, is_answer);

	message.status = is_answer && kind == REPLICA_HANDOVER ? REPLICA_REFUSED : REPLICA_OK;
	message.end = (struct version){ 0x10002, 77 };
	message.first = (struct version){ 0x10001, 7 };
	message.flags = REPLICA_WHOLE;
	message.bytes_max = 1 << 20;
	message.wait_ms = 1000;
	message.lag_ms = 31;
	message.id = 0xabcdef0123456789;
	message.size_bytes = (uint64_t)5 << 32;
	message.index = 3;
	message.offset = (uint64_t)1 << 33;
	message.len = 4096;
	message.total = 12;
	message.sum = (struct hash128){ 1, 2 };
	message.bytes = (const uint8_t *)"some bytes";
	message.bytes_len = 10;
	message.items = (struct replica_items){ items->data, items->len, 2 };
	message.epochs = (struct replica_items){ epochs->data, epochs->len, 2 };
	return message;
}

static void fill_items(enum replica_kind kind, bool is_answer, struct buf *items)
{
	struct shipped_record record = {
		.epoch = 0x10001,
		.first_sequence = 40,
		.time_ns = -5,
		.count = 3,
		.payload = (const uint8_t *)"entries",
		.payload_len = 7,
	};
	int r = 0;

	for (unsigned i = 0; i < 2 && r == 0; i++) {
		if (kind == REPLICA_PULL && is_answer)
			r = replica_append_record(items, &record);
		else if (kind == REPLICA_RECORDS && is_answer)
			r = replica_append_found(items, i ? NULL : record.payload, 7);
		else if (kind == REPLICA_RECORDS)
			r = replica_append_key(items, record.payload, 7);
		else if (kind == REPLICA_CHECKPOINT)
			r = replica_append_file(items, i ? "value/0123.val" : "CURRENT", 99);
	}
	assert_int_equal(r, 0);
}

static void encode_sample(enum replica_kind kind, bool is_answer, struct buf *out)
{
	struct buf items = { 0 }, epochs = { 0 };
	struct replica_message message;

	fill_items(kind, is_answer, &items);
	for (uint64_t i = 1; i <= 2; i++)
		assert_int_equal(
			replica_append_epoch(&epochs, &(struct history_epoch){ i << 16, 10 * i }),
			0);
	message = sample(kind, is_answer, &items, &epochs);
	assert_int_equal(replica_message_encode(&message, out), 0);
	buf_deinit(&items);
	buf_deinit(&epochs);
}

static void every_message_comes_back_as_it_was(void **state)
{
	(void)state;
	for (int kind = REPLICA_STATE; kind < REPLICA_KIND_COUNT; kind++) {
		for (int is_answer = 0; is_answer < 2; is_answer++) {
			struct buf out = { 0 }, again = { 0 };
			struct replica_message message;

			encode_sample(kind, is_answer, &out);
			assert_int_equal(replica_message_decode(out.data, out.len, &message), 0);
			assert_int_equal(message.kind, kind);
			assert_int_equal(message.is_answer, is_answer);
			assert_int_equal(message.head.node, 517);
			assert_int_equal(message.head.role, REPLICA_FOLLOWER);
			assert_true(message.head.lineage.created_ns == -12345678901);
			assert_true(message.head.promise == 0x0001000200030205);
			assert_int_equal(replica_message_encode(&message, &again), 0);
			assert_int_equal(out.len, again.len);
			assert_memory_equal(out.data, again.data, out.len);
			buf_deinit(&out);
			buf_deinit(&again);
		}
	}
}

static void a_message_that_is_cut_anywhere_is_refused(void **state)
{
	(void)state;
	for (int kind = REPLICA_STATE; kind < REPLICA_KIND_COUNT; kind++) {
		for (int is_answer = 0; is_answer < 2; is_answer++) {
			struct buf out = { 0 };
			struct replica_message message;

			encode_sample(kind, is_answer, &out);
			for (size_t len = 0; len < out.len; len++) {
				uint8_t *cut = malloc(len + 1);

				memcpy(cut, out.data, len);
				assert_int_equal(replica_message_decode(cut, len, &message),
						 -EBADMSG);
				free(cut);
			}
			assert_int_equal(buf_append_u8(&out, 0), 0);
			assert_int_equal(replica_message_decode(out.data, out.len, &message),
					 -EBADMSG);
			buf_deinit(&out);
		}
	}
}

static void the_records_of_a_pull_come_back(void **state)
{
	struct replica_message message;
	struct shipped_record record;
	struct history_epoch epoch;
	struct buf out = { 0 };

	(void)state;
	encode_sample(REPLICA_PULL, true, &out);
	assert_int_equal(replica_message_decode(out.data, out.len, &message), 0);
	assert_int_equal(message.end.sequence, 77);
	assert_int_equal(message.lag_ms, 31);
	assert_true(replica_next_epoch(&message.epochs, &epoch));
	assert_int_equal(epoch.first_sequence, 10);
	assert_true(replica_next_record(&message.items, &record));
	assert_int_equal(record.first_sequence, 40);
	assert_true(record.time_ns == -5);
	assert_int_equal(record.count, 3);
	assert_memory_equal(record.payload, "entries", 7);
	assert_true(replica_next_record(&message.items, &record));
	assert_false(replica_next_record(&message.items, &record));
	buf_deinit(&out);
}

static void a_flipped_bit_in_a_record_is_found(void **state)
{
	struct replica_message message;
	struct buf out = { 0 };

	(void)state;
	encode_sample(REPLICA_PULL, true, &out);
	out.data[out.len - 1] ^= 1;
	assert_int_equal(replica_message_decode(out.data, out.len, &message), -EBADMSG);
	buf_deinit(&out);
}

static int decode_file(const char *name)
{
	struct replica_message message = message_of(REPLICA_CHECKPOINT, true);
	struct buf items = { 0 }, out = { 0 };
	int r;

	assert_int_equal(replica_append_file(&items, name, 1), 0);
	message.total = 1;
	message.items = (struct replica_items){ items.data, items.len, 1 };
	assert_int_equal(replica_message_encode(&message, &out), 0);
	r = replica_message_decode(out.data, out.len, &message);
	buf_deinit(&items);
	buf_deinit(&out);
	return r;
}

static void a_file_name_cannot_leave_its_directory(void **state)
{
	(void)state;
	assert_int_equal(decode_file("value/0000000100000001.val"), 0);
	assert_int_equal(decode_file("0001.seg"), 0);
	assert_int_equal(decode_file("../x"), -EBADMSG);
	assert_int_equal(decode_file("/etc/passwd"), -EBADMSG);
	assert_int_equal(decode_file("value/../../x"), -EBADMSG);
	assert_int_equal(decode_file("value//x"), -EBADMSG);
	assert_int_equal(decode_file("value/"), -EBADMSG);
	assert_int_equal(decode_file("."), -EBADMSG);
	assert_int_equal(decode_file(".hidden"), -EBADMSG);
	assert_int_equal(decode_file("a b"), -EBADMSG);
}

static void a_history_that_does_not_ascend_is_refused(void **state)
{
	struct replica_message message = message_of(REPLICA_PULL, true);
	struct buf epochs = { 0 }, out = { 0 };

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(replica_append_epoch(&epochs, &(struct history_epoch){ 5, 5 }), 0);
	message.epochs = (struct replica_items){ epochs.data, epochs.len, 2 };
	assert_int_equal(replica_message_encode(&message, &out), 0);
	assert_int_equal(replica_message_decode(out.data, out.len, &message), -EBADMSG);
	buf_deinit(&epochs);
	buf_deinit(&out);
}

static void a_message_that_is_too_long_is_not_encoded(void **state)
{
	struct replica_message message = message_of(REPLICA_FILE, true);
	struct buf out = { 0 };

	(void)state;
	message.bytes_len = REPLICA_MESSAGE_BYTES_MAX;
	message.bytes = calloc(1, message.bytes_len);
	assert_int_equal(replica_message_encode(&message, &out), -EMSGSIZE);
	assert_int_equal(out.len, 0);
	free((void *)(uintptr_t)message.bytes);
	buf_deinit(&out);
}

static void names_of_cluster_and_shard_are_not_run_together(void **state)
{
	(void)state;
	assert_true(replica_group("ab", "c") != replica_group("a", "bc"));
	assert_true(replica_group("a", "b") == replica_group("a", "b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_comes_back_as_it_was),
		cmocka_unit_test(a_message_that_is_cut_anywhere_is_refused),
		cmocka_unit_test(the_records_of_a_pull_come_back),
		cmocka_unit_test(a_flipped_bit_in_a_record_is_found),
		cmocka_unit_test(a_file_name_cannot_leave_its_directory),
		cmocka_unit_test(a_history_that_does_not_ascend_is_refused),
		cmocka_unit_test(a_message_that_is_too_long_is_not_encoded),
		cmocka_unit_test(names_of_cluster_and_shard_are_not_run_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
