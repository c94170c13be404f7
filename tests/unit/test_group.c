/* SPDX-License-Identifier: MIT */
#include "node/group.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define EPOCH 0x70001

struct fixture {
	char dir[64];
	struct lsm_options options;
	struct lsm *lsm;
	struct request_ids *ids;
	struct group group;
	struct group_base base;
};

/* What is there: "inline" and "file", and a tombstone at "gone". */
static const struct version there = { .epoch = 0x10001, .sequence = 1 };
static struct value_file *there_file;

static struct entry labelled(enum entry_kind kind, const char *key, uint64_t position)
{
	return (struct entry){ .kind = kind,
			       .key = (const uint8_t *)key,
			       .key_len = (uint8_t)strlen(key),
			       .position = position,
			       .version = { there.epoch, position },
			       .mtime_ns = 5,
			       .content_type = "a/b",
			       .content_type_len = 3,
			       .encoding = "x",
			       .encoding_len = 1,
			       .size_bytes = 3,
			       .value = (const uint8_t *)"old" };
}

static struct value_file *write_value(struct fixture *f)
{
	struct value_writer *writer;
	struct value_file *file;
	struct hash128 hash;
	uint64_t size;
	bool utf8;

	assert_int_equal(value_writer_new(f->options.values, &writer), 0);
	assert_int_equal(value_writer_append(writer, "large", 5), 0);
	assert_int_equal(value_writer_finish(writer, &file, &size, &hash, &utf8), 0);
	return file;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct entry entries[3] = { labelled(ENTRY_INLINE, "inline", 1),
				    labelled(ENTRY_FILE, "file", 2),
				    labelled(ENTRY_TOMBSTONE, "gone", 3) };
	uint64_t flushed;

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_group.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->options = (struct lsm_options){ .vfs = vfs_posix(), .dir = f->dir };
	f->options.memtable_bytes = 1 << 20;
	assert_int_equal(value_files_open(f->options.vfs, f->dir, &f->options.values), 0);
	assert_int_equal(lsm_open(&f->options, &f->lsm, &flushed), 0);
	assert_int_equal(value_files_sweep(f->options.values), 0);
	there_file = write_value(f);
	entries[1].file_id = value_file_id(there_file);
	entries[1].size_bytes = 5;
	assert_int_equal(lsm_apply(f->lsm, entries, 3), 0);
	f->ids = request_ids_new();
	assert_non_null(f->ids);
	f->base = (struct group_base){ .lsm = f->lsm,
				       .ids = f->ids,
				       .next = { EPOCH, 20 },
				       .next_position = 10,
				       .now_ns = 1000 };
	group_reset(&f->group, &f->base);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[96];

	group_deinit(&f->group);
	request_ids_free(f->ids);
	lsm_free(f->lsm);
	value_file_unref(there_file);
	value_files_free(f->options.values);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static struct store_write write_of(enum write_kind kind, const char *key)
{
	struct store_write write = { .kind = kind };

	assert_int_equal(key_from_bytes(key, strlen(key), &write.key), 0);
	write.request.overwrite = true;
	if (kind == WRITE_PUT) {
		write.value = "new!";
		write.value_len = 4;
		write.file_size = 4;
	}
	return write;
}

static struct store_write move_of(const char *from, const char *to)
{
	struct store_write write = write_of(WRITE_MOVE, from);

	write.request.has_destination = true;
	assert_int_equal(key_from_bytes(to, strlen(to), &write.request.destination), 0);
	return write;
}

static enum outcome add(struct fixture *f, struct store_write *write)
{
	assert_int_equal(group_add(&f->group, write), 0);
	return write->outcome;
}

/* As the commit thread does, but for the log. */
static void commit(struct fixture *f)
{
	group_answer_repeats(&f->group);
	group_remember_ids(&f->group);
	assert_int_equal(lsm_apply(f->lsm, f->group.entries, f->group.entry_count), 0);
	f->base.next.sequence += f->group.entry_count;
	f->base.next_position += f->group.entry_count;
	group_reset(&f->group, &f->base);
}

enum condition_kind { NONE, IF_ABSENT, IF_PRESENT, IF_THAT_VERSION, IF_OTHER_VERSION };

static void set_condition(struct precondition *pre, enum condition_kind kind)
{
	pre->if_none_match = pre->if_none_match_any = kind == IF_ABSENT;
	pre->if_match = kind >= IF_PRESENT;
	pre->if_match_any = kind == IF_PRESENT;
	if (kind < IF_THAT_VERSION)
		return;
	pre->match_count = 1;
	pre->match[0] = there;
	pre->match[0].sequence += kind == IF_OTHER_VERSION;
}

#define FULL  1
#define KEEPS 2 /* Overwrite: F */

static const struct row {
	enum write_kind kind;
	const char *key, *destination;
	enum condition_kind condition;
	unsigned flags;
	enum outcome outcome;
	size_t entries;
} rows[] = {
	{ WRITE_PUT, "new", NULL, NONE, 0, OUTCOME_CREATED, 1 },
	{ WRITE_PUT, "gone", NULL, NONE, 0, OUTCOME_CREATED, 1 },
	{ WRITE_PUT, "inline", NULL, NONE, 0, OUTCOME_NO_CONTENT, 1 },
	{ WRITE_PUT, "new", NULL, IF_ABSENT, 0, OUTCOME_CREATED, 1 },
	{ WRITE_PUT, "gone", NULL, IF_ABSENT, 0, OUTCOME_CREATED, 1 },
	{ WRITE_PUT, "inline", NULL, IF_ABSENT, 0, OUTCOME_PRECONDITION_FAILED, 0 },
	{ WRITE_PUT, "inline", NULL, IF_PRESENT, 0, OUTCOME_NO_CONTENT, 1 },
	{ WRITE_PUT, "new", NULL, IF_PRESENT, 0, OUTCOME_PRECONDITION_FAILED, 0 },
	{ WRITE_PUT, "inline", NULL, IF_THAT_VERSION, 0, OUTCOME_NO_CONTENT, 1 },
	{ WRITE_PUT, "inline", NULL, IF_OTHER_VERSION, 0, OUTCOME_PRECONDITION_FAILED, 0 },
	{ WRITE_PUT, "inline", NULL, NONE, FULL, OUTCOME_NO_SPACE, 0 },
	{ WRITE_PUT, "inline", NULL, IF_ABSENT, FULL, OUTCOME_NO_SPACE, 0 },

	{ WRITE_PATCH, "inline", NULL, NONE, 0, OUTCOME_NO_CONTENT, 1 },
	{ WRITE_PATCH, "new", NULL, NONE, 0, OUTCOME_NOT_FOUND, 0 },
	{ WRITE_PATCH, "gone", NULL, IF_PRESENT, 0, OUTCOME_NOT_FOUND, 0 },
	{ WRITE_PATCH, "inline", NULL, IF_OTHER_VERSION, 0, OUTCOME_PRECONDITION_FAILED, 0 },
	{ WRITE_PATCH, "inline", NULL, NONE, FULL, OUTCOME_NO_SPACE, 0 },

	{ WRITE_DELETE, "inline", NULL, NONE, 0, OUTCOME_NO_CONTENT, 1 },
	{ WRITE_DELETE, "new", NULL, IF_PRESENT, 0, OUTCOME_NOT_FOUND, 0 },
	{ WRITE_DELETE, "gone", NULL, NONE, 0, OUTCOME_NOT_FOUND, 0 },
	{ WRITE_DELETE, "inline", NULL, IF_OTHER_VERSION, 0, OUTCOME_PRECONDITION_FAILED, 0 },
	{ WRITE_DELETE, "inline", NULL, NONE, FULL, OUTCOME_NO_CONTENT, 1 },

	{ WRITE_MOVE, "inline", "new", NONE, 0, OUTCOME_CREATED, 2 },
	{ WRITE_MOVE, "inline", "gone", NONE, KEEPS, OUTCOME_CREATED, 2 },
	{ WRITE_MOVE, "inline", "file", NONE, 0, OUTCOME_NO_CONTENT, 2 },
	{ WRITE_MOVE, "inline", "file", NONE, KEEPS, OUTCOME_PRECONDITION_FAILED, 0 },
	{ WRITE_MOVE, "inline", "new", IF_OTHER_VERSION, 0, OUTCOME_PRECONDITION_FAILED, 0 },
	{ WRITE_MOVE, "inline", "inline", NONE, 0, OUTCOME_FORBIDDEN, 0 },
	{ WRITE_MOVE, "inline", "inline", IF_OTHER_VERSION, 0, OUTCOME_FORBIDDEN, 0 },
	{ WRITE_MOVE, "new", "new", NONE, 0, OUTCOME_NOT_FOUND, 0 },
	{ WRITE_MOVE, "gone", "file", NONE, KEEPS, OUTCOME_NOT_FOUND, 0 },
	{ WRITE_MOVE, "inline", "new", NONE, FULL, OUTCOME_NO_SPACE, 0 },

	{ WRITE_BARRIER, "inline", NULL, NONE, FULL, OUTCOME_NO_CONTENT, 0 },
	{ WRITE_BARRIER, "gone", NULL, IF_PRESENT, 0, OUTCOME_NOT_FOUND, 0 },
	{ WRITE_BARRIER, "inline", NULL, IF_OTHER_VERSION, 0, OUTCOME_PRECONDITION_FAILED, 0 },
};

static void each_write_has_its_answer_and_its_entries(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct store_write write = row->destination ? move_of(row->key, row->destination)
							    : write_of(row->kind, row->key);

		set_condition(&write.request.pre, row->condition);
		write.request.overwrite = !(row->flags & KEEPS);
		f->base.full = row->flags & FULL;
		group_reset(&f->group, &f->base);
		if (add(f, &write) != row->outcome || f->group.entry_count != row->entries)
			fail_msg("row %zu (%s): outcome %d, %zu entries", i, row->key,
				 write.outcome, f->group.entry_count);
		assert_int_equal(f->group.write_count, 1);
		assert_int_equal(f->group.payload.len > 0, row->entries > 0);
	}
}

static void entries_are_numbered_and_the_answer_is_the_record(void **state)
{
	struct fixture *f = *state;
	struct store_write put = write_of(WRITE_PUT, "new"), move = move_of("inline", "moved");

	add(f, &put);
	add(f, &move);
	assert_int_equal(f->group.entry_count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(f->group.entries[i].position, 10 + i);
		assert_int_equal(f->group.entries[i].version.epoch, EPOCH);
		assert_int_equal(f->group.entries[i].version.sequence, 20 + i);
	}
	assert_string_equal(put.meta.content_type.text, CONTENT_TYPE_DEFAULT);
	assert_int_equal(put.meta.size_bytes, 4);
	assert_int_equal(put.meta.mtime_ns, 1000);
	/* The destination: all that the source had but its version. */
	assert_string_equal(move.meta.content_type.text, "a/b");
	assert_int_equal(move.meta.version.sequence, 21);
	assert_int_equal(move.meta.mtime_ns, 5);
	assert_int_equal(f->group.entries[2].kind, ENTRY_TOMBSTONE);
	assert_memory_equal(f->group.entries[2].key, "inline", 6);
}

static void a_patch_changes_what_it_names_and_keeps_the_rest(void **state)
{
	struct fixture *f = *state;
	struct store_write patch = write_of(WRITE_PATCH, "file");

	patch.request.has_encoding = true;
	assert_int_equal(label_set(&patch.request.encoding, "gzip", 4), 0);
	add(f, &patch);
	assert_string_equal(patch.meta.encoding.text, "gzip");
	assert_string_equal(patch.meta.content_type.text, "a/b");
	assert_int_equal(patch.meta.mtime_ns, 5);
	assert_int_equal(patch.meta.size_bytes, 5);
	assert_int_equal(f->group.entries[0].file_id, value_file_id(there_file));
	assert_int_equal(f->group.dead.count, 0);
}

static void a_second_write_sees_the_first(void **state)
{
	struct fixture *f = *state;
	struct store_write create = write_of(WRITE_PUT, "new"), again = create;
	struct store_write delete = write_of(WRITE_DELETE, "new"), twice = delete;
	struct store_write move = move_of("inline", "new"), left = write_of(WRITE_PATCH, "inline");
	struct store_write match = write_of(WRITE_PUT, "new");

	set_condition(&create.request.pre, IF_ABSENT);
	set_condition(&again.request.pre, IF_ABSENT);
	assert_int_equal(add(f, &create), OUTCOME_CREATED);
	assert_int_equal(add(f, &again), OUTCOME_PRECONDITION_FAILED);
	assert_int_equal(add(f, &delete), OUTCOME_NO_CONTENT);
	assert_int_equal(add(f, &twice), OUTCOME_NOT_FOUND);
	assert_int_equal(add(f, &move), OUTCOME_CREATED);
	assert_int_equal(add(f, &left), OUTCOME_NOT_FOUND);
	set_condition(&match.request.pre, IF_THAT_VERSION);
	match.request.pre.match[0] = move.meta.version;
	assert_int_equal(add(f, &match), OUTCOME_NO_CONTENT);
	assert_int_equal(f->group.entry_count, 5);
}

static void a_repeated_id_in_the_group_gets_the_first_answer(void **state)
{
	struct fixture *f = *state;
	struct store_write first = write_of(WRITE_PUT, "new"), repeat, other_key, other_id;

	memset(&first.request.request_id, 7, sizeof(first.request.request_id));
	repeat = first;
	other_id = first;
	other_id.request.request_id.bytes[3] = 8;
	other_key = write_of(WRITE_PUT, "elsewhere");
	other_key.request.request_id = first.request.request_id;
	add(f, &first);
	assert_int_equal(add(f, &other_id), OUTCOME_NO_CONTENT);
	add(f, &repeat);
	assert_int_equal(add(f, &other_key), OUTCOME_CREATED);
	assert_int_equal(f->group.entry_count, 3);
	group_answer_repeats(&f->group);
	assert_int_equal(repeat.outcome, OUTCOME_CREATED);
	assert_int_equal(version_compare(repeat.meta.version, first.meta.version), 0);
}

static void whatever_comes_again_under_an_id_changes_nothing_and_says_so(void **state)
{
	static const enum write_kind kinds[] = { WRITE_PUT, WRITE_PATCH, WRITE_DELETE };
	struct fixture *f = *state;
	struct store_write first = write_of(WRITE_PUT, "new"), again;

	memset(&first.request.request_id, 7, sizeof(first.request.request_id));
	assert_int_equal(add(f, &first), OUTCOME_CREATED);
	assert_false(first.repeated);
	for (int committed = 0; committed < 2; committed++) {
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			again = write_of(kinds[i], "new");
			again.value = "other";
			again.value_len = 5;
			again.request.request_id = first.request.request_id;
			add(f, &again);
			group_answer_repeats(&f->group);
			assert_int_equal(again.outcome, OUTCOME_CREATED);
			assert_true(again.repeated);
			assert_int_equal(version_compare(again.meta.version, first.meta.version),
					 0);
		}
		assert_int_equal(f->group.entry_count, committed ? 0 : 1);
		if (!committed)
			commit(f);
	}
}

static void a_delete_that_demands_absence_is_remembered(void **state)
{
	struct fixture *f = *state;
	struct store_write delete = write_of(WRITE_DELETE, "new"), put, existing;

	memset(&delete.request.request_id, 7, sizeof(delete.request.request_id));
	put = write_of(WRITE_PUT, "new");
	put.request.request_id = delete.request.request_id;
	existing = write_of(WRITE_DELETE, "inline");
	assert_int_equal(add(f, &delete), OUTCOME_NOT_FOUND);
	assert_int_equal(f->group.entry_count, 0);
	delete.request.pre.if_none_match = delete.request.pre.if_none_match_any = true;
	existing.request.pre = delete.request.pre;
	assert_int_equal(add(f, &delete), OUTCOME_NO_CONTENT);
	assert_int_equal(add(f, &existing), OUTCOME_PRECONDITION_FAILED);
	assert_int_equal(f->group.entry_count, 1);
	commit(f);
	assert_int_equal(add(f, &put), OUTCOME_NO_CONTENT);
	assert_true(put.repeated);
	assert_int_equal(put.meta.version.epoch, 0);
	assert_int_equal(f->group.entry_count, 0);
}

static void a_remembered_id_gets_the_first_answer_also_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct store_write put = write_of(WRITE_PUT, "new"), move = move_of("inline", "moved");
	struct store_write delete = write_of(WRITE_DELETE, "file"), repeat;

	memset(&put.request.request_id, 1, sizeof(put.request.request_id));
	memset(&move.request.request_id, 2, sizeof(move.request.request_id));
	memset(&delete.request.request_id, 3, sizeof(delete.request.request_id));
	add(f, &put);
	add(f, &move);
	add(f, &delete);
	f->base.full = true;
	commit(f);
	repeat = put;
	assert_int_equal(add(f, &repeat), OUTCOME_CREATED);
	assert_int_equal(version_compare(repeat.meta.version, put.meta.version), 0);
	repeat = move;
	assert_int_equal(add(f, &repeat), OUTCOME_CREATED);
	assert_string_equal(repeat.meta.content_type.text, "a/b");
	repeat = delete;
	assert_int_equal(add(f, &repeat), OUTCOME_NO_CONTENT);
	assert_int_equal(f->group.entry_count, 0);
}

static void what_loses_its_record_is_counted_as_dead(void **state)
{
	struct fixture *f = *state;
	struct store_write move = move_of("file", "moved"), put = write_of(WRITE_PUT, "inline");
	struct store_write delete = write_of(WRITE_DELETE, "moved");

	add(f, &move);
	assert_int_equal(f->group.dead.count, 0);
	add(f, &put);
	assert_true(f->group.dead.inline_bytes > 3);
	add(f, &delete);
	assert_int_equal(f->group.dead.count, 1);
	assert_int_equal(f->group.dead.files[0].file_id, value_file_id(there_file));
	assert_int_equal(f->group.dead.files[0].bytes, 5);
}

static void a_sync_is_wanted_by_what_promises_the_disk(void **state)
{
	struct fixture *f = *state;
	struct store_write put = write_of(WRITE_PUT, "new"), absent = write_of(WRITE_DELETE, "no");
	struct store_write barrier = write_of(WRITE_BARRIER, "no");

	put.request.durability = DURABILITY_MEMORY;
	add(f, &put);
	add(f, &absent);
	assert_false(f->group.wants_sync);
	add(f, &barrier);
	assert_true(f->group.wants_sync);
	group_reset(&f->group, &f->base);
	put.request.durability = DURABILITY_DISK;
	add(f, &put);
	assert_true(f->group.wants_sync);
}

static void what_other_nodes_are_to_have_is_on_the_disk_first(void **state)
{
	struct fixture *f = *state;
	struct store_write put = write_of(WRITE_PUT, "new");

	put.request.durability = DURABILITY_MEMORY;
	put.request.ack = ACK_QUORUM;
	add(f, &put);
	assert_true(f->group.wants_sync);
}

static void expect_point(const struct store_write *write, uint64_t sequence)
{
	assert_int_equal(write->point.epoch, EPOCH);
	assert_int_equal(write->point.sequence, sequence);
}

static void each_answer_names_the_point_of_the_log_behind_it(void **state)
{
	struct fixture *f = *state;
	struct store_write before = write_of(WRITE_BARRIER, "inline"), put, move, delete, again[3];
	struct store_write behind = write_of(WRITE_BARRIER, "no");

	put = write_of(WRITE_PUT, "new");
	move = move_of("inline", "moved");
	delete = write_of(WRITE_DELETE, "file");
	memset(&put.request.request_id, 1, sizeof(put.request.request_id));
	memset(&move.request.request_id, 2, sizeof(move.request.request_id));
	memset(&delete.request.request_id, 3, sizeof(delete.request.request_id));
	again[0] = put;
	again[1] = move;
	again[2] = delete;
	add(f, &before);
	add(f, &put);
	add(f, &move);
	add(f, &delete);
	add(f, &behind);
	expect_point(&before, 19);
	expect_point(&put, 20);
	expect_point(&move, 22);
	expect_point(&delete, 23);
	expect_point(&behind, 23);
	/* In the group that holds the first, and after it. */
	for (int committed = 0; committed < 2; committed++) {
		for (size_t i = 0; i < 3; i++)
			add(f, &again[i]);
		group_answer_repeats(&f->group);
		expect_point(&again[0], 20);
		expect_point(&again[1], 22);
		expect_point(&again[2], 23);
		commit(f);
	}
}

static void after_a_failure_no_answer_rests_on_the_group(void **state)
{
	struct fixture *f = *state;
	struct store_write put = write_of(WRITE_PUT, "new"), absent = write_of(WRITE_DELETE, "no");
	struct store_write self = move_of("inline", "inline");

	add(f, &put);
	add(f, &absent);
	add(f, &self);
	group_fail(&f->group, OUTCOME_UNAVAILABLE, true);
	assert_int_equal(put.outcome, OUTCOME_UNAVAILABLE);
	assert_true(put.maybe_applied);
	assert_int_equal(absent.outcome, OUTCOME_UNAVAILABLE);
	assert_false(absent.maybe_applied);
	assert_int_equal(self.outcome, OUTCOME_FORBIDDEN);
}

static int damage(const char *name, void *state)
{
	struct fixture *f = state;
	char path[160];
	int fd;

	if (!strstr(name, ".seg"))
		return 0;
	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "oops", 4, 100), 4);
	close(fd);
	return 0;
}

static void a_damaged_record_can_be_replaced_and_deleted_but_not_judged(void **state)
{
	struct fixture *f = *state;
	struct store_write put = write_of(WRITE_PUT, "inline"), judged = put;
	struct store_write delete = write_of(WRITE_DELETE, "file");
	struct store_write patch = write_of(WRITE_PATCH, "file");
	struct store_write move = move_of("new", "file");

	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_int_equal(vfs_list(f->options.vfs, f->dir, damage, f), 0);
	set_condition(&judged.request.pre, IF_ABSENT);
	assert_int_equal(add(f, &judged), OUTCOME_INTERNAL);
	assert_int_equal(add(f, &patch), OUTCOME_INTERNAL);
	assert_int_equal(add(f, &put), OUTCOME_NO_CONTENT);
	assert_int_equal(add(f, &delete), OUTCOME_NO_CONTENT);
	assert_int_equal(add(f, &patch), OUTCOME_NOT_FOUND);
	assert_int_equal(add(f, &move), OUTCOME_NOT_FOUND);
	assert_int_equal(f->group.entry_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(each_write_has_its_answer_and_its_entries),
		TEST(entries_are_numbered_and_the_answer_is_the_record),
		TEST(a_patch_changes_what_it_names_and_keeps_the_rest),
		TEST(a_second_write_sees_the_first),
		TEST(a_repeated_id_in_the_group_gets_the_first_answer),
		TEST(whatever_comes_again_under_an_id_changes_nothing_and_says_so),
		TEST(a_delete_that_demands_absence_is_remembered),
		TEST(a_remembered_id_gets_the_first_answer_also_on_a_full_disk),
		TEST(what_loses_its_record_is_counted_as_dead),
		TEST(a_sync_is_wanted_by_what_promises_the_disk),
		TEST(what_other_nodes_are_to_have_is_on_the_disk_first),
		TEST(each_answer_names_the_point_of_the_log_behind_it),
		TEST(after_a_failure_no_answer_rests_on_the_group),
		TEST(a_damaged_record_can_be_replaced_and_deleted_but_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
