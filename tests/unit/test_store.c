/* SPDX-License-Identifier: MIT */
/* The store on the real file system: what each kind of write answers, and what a reopening finds.
 */
#include "node/store.h"

#include "lib/clock.h"
#include "lib/mutex.h"
#include "node/identity.h"
#include "node/standing.h"
#include "node/wal_format.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NODE_ID 1

struct fixture {
	char dir[64];
	struct store *store;
	struct mutex lock;
	struct condition answered;
};

static struct store_options options_for(struct fixture *fixture)
{
	return (struct store_options){
		.vfs = vfs_posix(),
		.dir = fixture->dir,
		.cluster = "test",
		.node = "n1",
		.memtable_bytes = 64 * 1024,
		.cache_bytes = 1024 * 1024,
		.inline_bytes = 4096,
		.log_retain_bytes = 1024 * 1024,
		.log_retain_s = 600,
		.threads = true,
	};
}

static void open_store(struct fixture *fixture)
{
	struct store_options options = options_for(fixture);
	char *why = NULL;

	if (store_open(&options, &fixture->store, &why) < 0)
		fail_msg("%s", why);
	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	strcpy(fixture->dir, "/tmp/hexkv-store-XXXXXX");
	if (!mkdtemp(fixture->dir))
		return -1;
	mutex_init(&fixture->lock);
	condition_init(&fixture->answered);
	*state = fixture;
	open_store(fixture);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	store_close(fixture->store);
	nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	condition_deinit(&fixture->answered);
	mutex_deinit(&fixture->lock);
	free(fixture);
	return 0;
}

static void reopen(struct fixture *fixture)
{
	fixture->store = store_close(fixture->store);
	open_store(fixture);
}

struct call {
	struct store_write write;
	struct fixture *fixture;
	bool answered;
};

static void on_done(struct store_write *write)
{
	struct call *call = write->state;

	mutex_lock(&call->fixture->lock);
	call->answered = true;
	condition_broadcast(&call->fixture->answered);
	mutex_unlock(&call->fixture->lock);
}

static struct key key_of(const char *text)
{
	struct key key;

	assert_int_equal(key_from_bytes(text, strlen(text), &key), 0);
	return key;
}

static void call_init(struct call *call, struct fixture *fixture, enum write_kind kind,
		      const char *key)
{
	*call = (struct call){ .fixture = fixture };
	call->write.kind = kind;
	call->write.key = key_of(key);
	call->write.request.overwrite = true;
	call->write.done = on_done;
	call->write.state = call;
}

static void call_wait(struct call *call)
{
	uint64_t deadline = clock_monotonic_ms() + 20000;
	int r = 0;

	mutex_lock(&call->fixture->lock);
	while (!call->answered && r == 0)
		r = condition_wait_until(&call->fixture->answered, &call->fixture->lock, deadline);
	mutex_unlock(&call->fixture->lock);
	assert_int_equal(r, 0);
}

static enum outcome call_run(struct call *call)
{
	store_submit(call->fixture->store, &call->write);
	call_wait(call);
	return call->write.outcome;
}

static enum outcome put(struct fixture *fixture, const char *key, const char *value,
			struct call *call)
{
	call_init(call, fixture, WRITE_PUT, key);
	call->write.value = value;
	call->write.value_len = strlen(value);
	return call_run(call);
}

/* A value of @len bytes 'v' in a file of its own. */
static enum outcome put_file(struct fixture *fixture, const char *key, size_t len,
			     struct call *call)
{
	struct store_write *write = &call->write;
	struct value_writer *writer;
	char *data = malloc(len);

	assert_non_null(data);
	memset(data, 'v', len);
	call_init(call, fixture, WRITE_PUT, key);
	assert_int_equal(value_writer_new(store_values(fixture->store), &writer), 0);
	assert_int_equal(value_writer_append(writer, data, len), 0);
	assert_int_equal(value_writer_finish(writer, &write->file, &write->file_size,
					     &write->file_hash, &write->file_utf8),
			 0);
	free(data);
	return call_run(call);
}

static void assert_value(struct fixture *fixture, const char *key, const char *value)
{
	struct key k = key_of(key);
	struct store_record record;

	if (!value) {
		assert_int_equal(store_get(fixture->store, &k, 0, &record), STORE_NOT_FOUND);
		return;
	}
	assert_int_equal(store_get(fixture->store, &k, 0, &record), 0);
	assert_int_equal(record.meta.size_bytes, strlen(value));
	assert_memory_equal(store_record_inline(&record), value, strlen(value));
	store_record_release(&record);
}

static void a_record_is_created_replaced_deleted_and_found_again(void **state)
{
	struct fixture *fixture = *state;
	struct call call;
	struct version first;

	assert_int_equal(put(fixture, "a", "one", &call), OUTCOME_CREATED);
	assert_string_equal(call.write.meta.content_type.text, CONTENT_TYPE_DEFAULT);
	assert_true(call.write.meta.utf8);
	first = call.write.meta.version;
	assert_int_equal(put(fixture, "a", "two", &call), OUTCOME_NO_CONTENT);
	assert_true(version_compare(call.write.meta.version, first) > 0);
	assert_value(fixture, "a", "two");
	assert_int_equal(put(fixture, "b", "", &call), OUTCOME_CREATED);
	reopen(fixture);
	assert_value(fixture, "a", "two");
	assert_value(fixture, "b", "");
	call_init(&call, fixture, WRITE_DELETE, "a");
	assert_int_equal(call_run(&call), OUTCOME_NO_CONTENT);
	call_init(&call, fixture, WRITE_DELETE, "a");
	assert_int_equal(call_run(&call), OUTCOME_NOT_FOUND);
	reopen(fixture);
	assert_value(fixture, "a", NULL);
	assert_value(fixture, "b", "");
	assert_int_equal(put(fixture, "a", "three", &call), OUTCOME_CREATED);
	/* A new epoch with every opening; the sequence goes on. */
	assert_true(call.write.meta.version.epoch > first.epoch);
	assert_int_equal(call.write.meta.version.sequence, first.sequence + 4);
}

static void a_repeated_request_is_applied_once_even_after_a_reopening(void **state)
{
	struct fixture *fixture = *state;
	struct call call, again;
	struct request_id id;

	request_id_generate(&id);
	call_init(&call, fixture, WRITE_PUT, "a");
	call.write.value = "one";
	call.write.value_len = 3;
	call.write.request.request_id = id;
	call.write.request.has_content_type = true;
	label_set(&call.write.request.content_type, "text/plain", 10);
	again = call;
	again.write.state = &again;
	assert_int_equal(call_run(&call), OUTCOME_CREATED);
	for (int i = 0; i < 2; i++) {
		struct call third;

		again.answered = false;
		assert_int_equal(call_run(&again), OUTCOME_CREATED);
		assert_int_equal(version_compare(again.write.meta.version, call.write.meta.version),
				 0);
		assert_string_equal(again.write.meta.content_type.text, "text/plain");
		put(fixture, "a", "other", &third);
		again.answered = false;
		assert_int_equal(call_run(&again), OUTCOME_CREATED);
		assert_true(again.write.repeated);
		assert_value(fixture, "a", "other");
		reopen(fixture);
	}
	/* The same id for another key is another request. */
	again.answered = false;
	again.write.key = key_of("b");
	assert_int_equal(call_run(&again), OUTCOME_CREATED);
	assert_value(fixture, "b", "one");
}

static void a_repeat_in_the_same_group_gets_the_first_answer(void **state)
{
	struct fixture *fixture = *state;
	struct call calls[3];

	for (int i = 0; i < 3; i++) {
		call_init(&calls[i], fixture, WRITE_PUT, "a");
		calls[i].write.value = "one";
		calls[i].write.value_len = 3;
		request_id_generate(&calls[i].write.request.request_id);
		if (i > 0)
			calls[i - 1].write.next = &calls[i].write;
	}
	calls[1].write.request.request_id = calls[0].write.request.request_id;
	store_submit_batch(fixture->store, &calls[0].write);
	for (int i = 0; i < 3; i++)
		call_wait(&calls[i]);
	assert_int_equal(calls[0].write.outcome, OUTCOME_CREATED);
	assert_int_equal(calls[1].write.outcome, OUTCOME_CREATED);
	assert_int_equal(version_compare(calls[0].write.meta.version, calls[1].write.meta.version),
			 0);
	/* The third sees what the first will have done. */
	assert_int_equal(calls[2].write.outcome, OUTCOME_NO_CONTENT);
}

static void preconditions_see_earlier_writes_of_their_group(void **state)
{
	struct fixture *fixture = *state;
	struct call calls[4];

	for (int i = 0; i < 4; i++) {
		call_init(&calls[i], fixture, i == 2 ? WRITE_DELETE : WRITE_PUT, "a");
		calls[i].write.value = "x";
		calls[i].write.value_len = 1;
		calls[i].write.request.pre.if_none_match = i != 2;
		calls[i].write.request.pre.if_none_match_any = i != 2;
		if (i > 0)
			calls[i - 1].write.next = &calls[i].write;
	}
	store_submit_batch(fixture->store, &calls[0].write);
	for (int i = 0; i < 4; i++)
		call_wait(&calls[i]);
	assert_int_equal(calls[0].write.outcome, OUTCOME_CREATED);
	assert_int_equal(calls[1].write.outcome, OUTCOME_PRECONDITION_FAILED);
	assert_int_equal(calls[2].write.outcome, OUTCOME_NO_CONTENT);
	assert_int_equal(calls[3].write.outcome, OUTCOME_CREATED);
}

static void a_patch_changes_metadata_and_keeps_value_and_time(void **state)
{
	struct fixture *fixture = *state;
	struct call call;
	int64_t mtime_ns;

	put(fixture, "a", "value", &call);
	mtime_ns = call.write.meta.mtime_ns;
	call_init(&call, fixture, WRITE_PATCH, "a");
	call.write.request.has_encoding = true;
	label_set(&call.write.request.encoding, "utf-8", 5);
	assert_int_equal(call_run(&call), OUTCOME_NO_CONTENT);
	assert_string_equal(call.write.meta.encoding.text, "utf-8");
	assert_string_equal(call.write.meta.content_type.text, CONTENT_TYPE_DEFAULT);
	assert_int_equal(call.write.meta.mtime_ns, mtime_ns);
	call_init(&call, fixture, WRITE_PATCH, "a");
	call.write.request.has_mtime = true;
	call.write.request.mtime_ns = -7;
	assert_int_equal(call_run(&call), OUTCOME_NO_CONTENT);
	assert_int_equal(call.write.meta.mtime_ns, -7);
	assert_string_equal(call.write.meta.encoding.text, "utf-8");
	call_init(&call, fixture, WRITE_PATCH, "missing");
	assert_int_equal(call_run(&call), OUTCOME_NOT_FOUND);
	reopen(fixture);
	assert_value(fixture, "a", "value");
}

static enum outcome move(struct fixture *fixture, const char *from, const char *to, bool overwrite,
			 struct call *call)
{
	call_init(call, fixture, WRITE_MOVE, from);
	call->write.request.has_destination = true;
	call->write.request.destination = key_of(to);
	call->write.request.overwrite = overwrite;
	return call_run(call);
}

static void a_move_takes_the_record_along(void **state)
{
	struct fixture *fixture = *state;
	struct call call;

	put(fixture, "a", "value", &call);
	put(fixture, "b", "other", &call);
	assert_int_equal(move(fixture, "a", "b", false, &call), OUTCOME_PRECONDITION_FAILED);
	assert_int_equal(move(fixture, "a", "a", true, &call), OUTCOME_FORBIDDEN);
	assert_int_equal(move(fixture, "none", "a", true, &call), OUTCOME_NOT_FOUND);
	assert_int_equal(move(fixture, "a", "b", true, &call), OUTCOME_NO_CONTENT);
	assert_int_equal(move(fixture, "b", "c", false, &call), OUTCOME_CREATED);
	assert_int_equal(call.write.meta.size_bytes, 5);
	reopen(fixture);
	assert_value(fixture, "a", NULL);
	assert_value(fixture, "b", NULL);
	assert_value(fixture, "c", "value");
}

static void a_barrier_answers_for_the_record(void **state)
{
	struct fixture *fixture = *state;
	struct call call;

	call_init(&call, fixture, WRITE_PUT, "a");
	call.write.request.durability = DURABILITY_MEMORY;
	call.write.value = "x";
	call.write.value_len = 1;
	assert_int_equal(call_run(&call), OUTCOME_CREATED);
	assert_value(fixture, "a", "x");
	call_init(&call, fixture, WRITE_BARRIER, "a");
	assert_int_equal(call_run(&call), OUTCOME_NO_CONTENT);
	call_init(&call, fixture, WRITE_BARRIER, "b");
	assert_int_equal(call_run(&call), OUTCOME_NOT_FOUND);
}

static void large_values_live_in_files_until_nothing_refers_to_them(void **state)
{
	struct fixture *fixture = *state;
	struct store_record record;
	struct call call;
	struct key key = key_of("a");
	char *data = malloc(VALUE_CHUNK_BYTES);

	assert_non_null(data);
	assert_int_equal(put_file(fixture, "a", 100000, &call), OUTCOME_CREATED);
	assert_null(call.write.file);
	assert_int_equal(move(fixture, "a", "b", true, &call), OUTCOME_CREATED);
	reopen(fixture);
	assert_int_equal(store_get(fixture->store, &key, 0, &record), STORE_NOT_FOUND);
	key = key_of("b");
	assert_int_equal(store_get(fixture->store, &key, 0, &record), 0);
	assert_null(store_record_inline(&record));
	assert_int_equal(record.meta.size_bytes, 100000);
	assert_int_equal(value_file_read_chunk(record.held.file, 100000, 0, data, 0), 100000);
	assert_int_equal(data[99999], 'v');
	store_record_release(&record);
	free(data);
}

static void a_directory_belongs_to_one_node_and_one_process(void **state)
{
	struct fixture *fixture = *state;
	struct store_options options = options_for(fixture);
	struct store *second;
	char *why = NULL;

	assert_int_equal(store_open(&options, &second, &why), -EBUSY);
	assert_non_null(strstr(why, "another process"));
	free(why);
	fixture->store = store_close(fixture->store);
	options.node = "n2";
	assert_int_equal(store_open(&options, &second, &why), -EPERM);
	assert_non_null(strstr(why, "belongs to node \"n1\""));
	free(why);
	open_store(fixture);
}

static void problem(const char *sentence, void *state)
{
	print_message("%s\n", sentence);
	++*(int *)state;
}

static void put_many(struct fixture *fixture, int count)
{
	struct call call;

	for (int i = 0; i < count; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key%d", i);
		call_init(&call, fixture, WRITE_PUT, key);
		call.write.request.durability = DURABILITY_MEMORY;
		call.write.value = "some value that fills memtables";
		call.write.value_len = 31;
		assert_int_equal(call_run(&call), OUTCOME_CREATED);
	}
}

static void a_sound_directory_passes_the_check(void **state)
{
	struct fixture *fixture = *state;
	int problems = 0;

	put_many(fixture, 3000);
	fixture->store = store_close(fixture->store);
	assert_int_equal(store_check(vfs_posix(), fixture->dir, problem, &problems), 0);
	assert_int_equal(problems, 0);
	open_store(fixture);
	assert_value(fixture, "key2999", "some value that fills memtables");
	assert_value(fixture, "key0", "some value that fills memtables");
}

static void what_the_log_refers_to_survives_a_reopening(void **state)
{
	struct fixture *fixture = *state;
	uint64_t deadline = clock_monotonic_ms() + 20000;
	struct store_stats stats;
	int problems = 0;
	struct call call;

	assert_int_equal(put_file(fixture, "a", 100000, &call), OUTCOME_CREATED);
	assert_int_equal(put(fixture, "a", "no file", &call), OUTCOME_NO_CONTENT);
	put_many(fixture, 2000);
	do {
		store_stats(fixture->store, &stats);
		assert_true(clock_monotonic_ms() < deadline);
	} while (stats.flushed_position < 2);
	reopen(fixture);
	fixture->store = store_close(fixture->store);
	assert_int_equal(store_check(vfs_posix(), fixture->dir, problem, &problems), 0);
	open_store(fixture);
	store_stats(fixture->store, &stats);
	assert_in_range(stats.value_bytes, 100000, 101000);
}

static char *fingerprint(struct fixture *fixture)
{
	char command[200], *text = calloc(1, 65536);
	FILE *pipe;

	snprintf(command, sizeof(command), "cd %s && find . -type f | sort | xargs cksum",
		 fixture->dir);
	pipe = popen(command, "r");
	assert_true(text && pipe);
	assert_true(fread(text, 1, 65535, pipe) > 0);
	assert_int_equal(pclose(pipe), 0);
	return text;
}

static void a_check_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	char *before, *after;
	int problems = 0;
	struct call call;

	assert_int_equal(put(fixture, "key", "value", &call), OUTCOME_CREATED);
	fixture->store = store_close(fixture->store);
	before = fingerprint(fixture);
	assert_int_equal(store_check(vfs_posix(), fixture->dir, problem, &problems), 0);
	after = fingerprint(fixture);
	assert_string_equal(before, after);
	free(before);
	free(after);
	open_store(fixture);
}

static void a_check_of_another_directory_makes_nothing_in_it(void **state)
{
	char dir[] = "/tmp/hexkv-store-XXXXXX";
	int problems = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(store_check(vfs_posix(), dir, problem, &problems), 1);
	assert_int_equal(problems, 1);
	assert_int_equal(rmdir(dir), 0);
}

/* Neither opening nor the check may take the directory for sound. */
static void assert_refused(struct fixture *fixture, const char *sentence)
{
	struct store_options options = options_for(fixture);
	struct store *store;
	char *why = NULL;
	int problems = 0;

	assert_int_equal(store_check(vfs_posix(), fixture->dir, problem, &problems), 1);
	assert_int_equal(problems, 1);
	assert_int_equal(store_open(&options, &store, &why), -EBADMSG);
	assert_non_null(strstr(why, sentence));
	free(why);
}

static void remove_file(struct fixture *fixture, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
	assert_int_equal(unlink(path), 0);
}

static void an_epoch_is_never_used_again_because_its_history_is_gone(void **state)
{
	struct fixture *fixture = *state;
	uint64_t deadline = clock_monotonic_ms() + 20000;
	struct store_stats stats;
	struct call call;

	/* More than the log may weigh, and dead: all goes to segments, and the log is empty. */
	assert_int_equal(put_file(fixture, "key", 2 * 1024 * 1024, &call), OUTCOME_CREATED);
	call_init(&call, fixture, WRITE_DELETE, "key");
	assert_int_equal(call_run(&call), OUTCOME_NO_CONTENT);
	do {
		store_stats(fixture->store, &stats);
		assert_true(clock_monotonic_ms() < deadline);
	} while (stats.log_bytes != WAL_FILE_HEADER_BYTES);
	fixture->store = store_close(fixture->store);
	remove_file(fixture, "HISTORY");
	assert_refused(fixture, "HISTORY is missing");
}

static void an_id_of_a_value_file_is_never_used_again_because_its_standing_is_gone(void **state)
{
	struct fixture *fixture = *state;

	fixture->store = store_close(fixture->store);
	remove_file(fixture, "STANDING");
	assert_refused(fixture, "STANDING is missing");
}

static void lose_newest_log_files(struct fixture *fixture)
{
	struct call call;

	assert_int_equal(put(fixture, "key", "1", &call), OUTCOME_CREATED);
	reopen(fixture);
	assert_int_equal(put(fixture, "key", "2", &call), OUTCOME_NO_CONTENT);
	reopen(fixture);
	fixture->store = store_close(fixture->store);
	remove_file(fixture, "log/00000003.wal");
	remove_file(fixture, "log/00000002.wal");
}

static void a_log_that_lost_its_newest_files_is_refused(void **state)
{
	lose_newest_log_files(*state);
	assert_refused(*state, "00000003.wal is missing");
}

static void so_is_one_whose_end_no_program_noted(void **state)
{
	struct fixture *fixture = *state;
	struct identity identity;
	struct standing standing;

	lose_newest_log_files(fixture);
	assert_int_equal(identity_read(vfs_posix(), fixture->dir, &identity), 0);
	assert_int_equal(standing_read(vfs_posix(), fixture->dir, identity.store_id, &standing), 0);
	standing.log_file = standing.log_position = 0;
	assert_int_equal(standing_write(vfs_posix(), fixture->dir, identity.store_id, &standing),
			 0);
	assert_refused(fixture, "HISTORY knows of later records");
}

static atomic_bool disk_is_full;
static struct vfs_file *_Atomic ballast;

static int open_noting_the_ballast(struct vfs *vfs, const char *path, unsigned flags,
				   struct vfs_file **ret_file)
{
	int r = vfs_posix()->ops->open(vfs, path, flags, ret_file);

	if (r == 0 && strstr(path, "/BALLAST"))
		ballast = *ret_file;
	return r;
}

static int allocate_all_but_the_ballast(struct vfs_file *file, uint64_t offset, uint64_t len)
{
	if (file == ballast && disk_is_full)
		return -ENOSPC;
	return vfs_posix()->ops->allocate(file, offset, len);
}

static void room_is_noticed_though_nobody_writes(void **state)
{
	struct fixture *fixture = *state;
	struct store_options options = options_for(fixture);
	uint64_t deadline = clock_monotonic_ms() + 20000;
	struct vfs_ops ops = *vfs_posix()->ops;
	struct vfs vfs = { .ops = &ops };
	struct store_stats stats;
	char *why = NULL;

	ops.open = open_noting_the_ballast;
	ops.allocate = allocate_all_but_the_ballast;
	options.vfs = &vfs;
	fixture->store = store_close(fixture->store);
	remove_file(fixture, "BALLAST");
	disk_is_full = true;
	assert_int_equal(store_open(&options, &fixture->store, &why), 0);
	store_stats(fixture->store, &stats);
	assert_true(stats.full);
	disk_is_full = false;
	while (stats.full) {
		store_stats(fixture->store, &stats);
		assert_true(clock_monotonic_ms() < deadline);
	}
	fixture->store = store_close(fixture->store);
	open_store(fixture);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_record_is_created_replaced_deleted_and_found_again),
		TEST(a_repeated_request_is_applied_once_even_after_a_reopening),
		TEST(a_repeat_in_the_same_group_gets_the_first_answer),
		TEST(preconditions_see_earlier_writes_of_their_group),
		TEST(a_patch_changes_metadata_and_keeps_value_and_time),
		TEST(a_move_takes_the_record_along),
		TEST(a_barrier_answers_for_the_record),
		TEST(large_values_live_in_files_until_nothing_refers_to_them),
		TEST(a_directory_belongs_to_one_node_and_one_process),
		TEST(a_sound_directory_passes_the_check),
		TEST(what_the_log_refers_to_survives_a_reopening),
		TEST(room_is_noticed_though_nobody_writes),
		TEST(a_check_changes_nothing),
		TEST(a_check_of_another_directory_makes_nothing_in_it),
		TEST(an_id_of_a_value_file_is_never_used_again_because_its_standing_is_gone),
		TEST(an_epoch_is_never_used_again_because_its_history_is_gone),
		TEST(a_log_that_lost_its_newest_files_is_refused),
		TEST(so_is_one_whose_end_no_program_noted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
