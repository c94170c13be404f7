/* SPDX-License-Identifier: MIT */
/*
 * What is written after a write without an answer, against a leader that remembers what it applied
 * and may get the older write late.
 */
#include "fs/remote_call.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TIMEOUT_MS 700
#define IDS        32
#define KEYS       2 /* "00" and "01" */

enum fault {
	NO_FAULT,
	LATE, /* kept; no answer */
	APPLIED_UNSEEN, /* no answer */
	REFUSED, /* 507 */
};

struct record {
	bool exists;
	unsigned version;
	char value[16];
};

struct leader {
	enum fault fault; /* of the next write */
	struct record records[KEYS];
	unsigned versions;
	struct {
		char id[33];
		char key;
		char etag[32];
	} applied[IDS];
	unsigned applied_count;
	char late[4096];
	unsigned writes;
};

static bool is_method(const char *request, const char *method)
{
	return strncmp(request, method, strlen(method)) == 0 && request[strlen(method)] == ' ';
}

static bool holds(const struct record *record, const char *request)
{
	unsigned version = 0;

	if (*fs_request_field(request, "If-None-Match"))
		return !record->exists;
	if (!*fs_request_field(request, "If-Match"))
		return true;
	sscanf(fs_request_field(request, "If-Match"), "\"10001-%x\"", &version);
	return record->exists && record->version == version;
}

static unsigned apply(struct leader *leader, const char *request, struct record *record)
{
	bool delete = is_method(request, "DELETE");
	bool fences = delete &&*fs_request_field(request, "If-None-Match");
	const char *body = strstr(request, "\r\n\r\n");
	unsigned status = record->exists ? 204 : 201;

	if (!is_method(request, "PUT") && !record->exists && !fences)
		return 404;
	if (!holds(record, request))
		return 412;
	record->version = ++leader->versions;
	if (is_method(request, "PUT"))
		snprintf(record->value, sizeof(record->value), "%.*s", 5, body + 4);
	if (is_method(request, "MOVE")) {
		leader->records[1] = *record;
		delete = true;
	}
	record->exists = !delete;
	return delete ? 204 : status;
}

static unsigned take(struct leader *leader, const char *request, char *ret_fields, size_t size)
{
	char key = strstr(request, "/kv/")[5];
	char id[33];
	unsigned status;

	snprintf(id, sizeof(id), "%s", fs_request_field(request, "HexKV-Request-Id"));
	for (unsigned i = 0; i < leader->applied_count; i++) {
		if (strcmp(leader->applied[i].id, id) == 0 && leader->applied[i].key == key) {
			snprintf(ret_fields, size, "%sHexKV-Repeated: true\r\n",
				 leader->applied[i].etag);
			return 204;
		}
	}
	status = apply(leader, request, &leader->records[key - '0']);
	if (status >= 300)
		return status;
	assert_true(leader->applied_count < IDS);
	snprintf(ret_fields, size, "ETag: \"10001-%x\"\r\n", leader->versions);
	strcpy(leader->applied[leader->applied_count].id, id);
	strcpy(leader->applied[leader->applied_count].etag, ret_fields);
	leader->applied[leader->applied_count++].key = key;
	return status;
}

static void answer_head(struct leader *leader, const char *request, struct buf *ret_answer)
{
	const struct record *record = &leader->records[strstr(request, "/kv/")[5] - '0'];
	char fields[512] = "";

	if (record->exists)
		fs_record_fields(fields, sizeof(fields), record->version, strlen(record->value));
	fs_write_answer(ret_answer, record->exists ? 200 : 404, fields, NULL, 0);
}

static enum fs_answer answer(void *state, const char *request, struct buf *ret_answer)
{
	struct leader *leader = state;
	static const char not_applied[] = "{\"outcome\":\"not-applied\"}";
	enum fault fault = leader->fault;
	char fields[128] = "";
	unsigned status;

	if (is_method(request, "HEAD")) {
		answer_head(leader, request, ret_answer);
		return FS_ANSWER;
	}
	leader->fault = NO_FAULT;
	leader->writes++;
	if (fault == LATE) {
		snprintf(leader->late, sizeof(leader->late), "%s", request);
		return FS_SILENCE;
	}
	status = fault == REFUSED ? 507 : take(leader, request, fields, sizeof(fields));
	if (fault == APPLIED_UNSEEN)
		return FS_SILENCE;
	fs_write_answer(ret_answer, status, fields, not_applied,
			status == 507 ? strlen(not_applied) : 0);
	return FS_ANSWER;
}

struct world {
	struct fs_router router;
	struct leader leader;
};

static void set_fault(struct world *world, enum fault fault)
{
	pthread_mutex_lock(&world->router.lock);
	world->leader.fault = fault;
	pthread_mutex_unlock(&world->router.lock);
}

static void assert_writes(struct world *world, unsigned count)
{
	pthread_mutex_lock(&world->router.lock);
	assert_int_equal(world->leader.writes, count);
	pthread_mutex_unlock(&world->router.lock);
}

/* The node that stood still goes on. */
static void late_write_comes(struct world *world)
{
	char fields[128];

	pthread_mutex_lock(&world->router.lock);
	assert_true(*world->leader.late);
	(void)take(&world->leader, world->leader.late, fields, sizeof(fields));
	pthread_mutex_unlock(&world->router.lock);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	fs_router_start(&world->router, answer, &world->leader, TIMEOUT_MS);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	fs_router_stop(&world->router);
	free(world);
	return 0;
}

static ssize_t text_source(void *state, uint64_t offset, void *data, size_t len)
{
	const char *text = state;
	size_t left = strlen(text) - offset;

	len = len < left ? len : left;
	memcpy(data, text + offset, len);
	return (ssize_t)len;
}

static int put(struct world *world, const char *key, const char *value, bool only_new)
{
	const struct remote_put request = {
		.key = key,
		.only_new = only_new,
		.size_bytes = strlen(value),
		.source = text_source,
		.state = (void *)value, /* NOLINT: only read */
	};
	struct remote_stored stored;

	return remote_put(world->router.remote, &request, NULL, &stored);
}

static int delete (struct world *world, const char *key)
{
	return remote_delete(world->router.remote, key, NULL, DURABILITY_MEMORY, NULL);
}

static void put_without_answer(struct world *world, const char *value, enum fault fault)
{
	set_fault(world, fault);
	assert_int_equal(put(world, "00", value, false), -ETIMEDOUT);
	assert_true(remote_is_in_doubt(world->router.remote, "00"));
}

static void assert_record(struct world *world, int index, const char *value)
{
	struct record record;

	pthread_mutex_lock(&world->router.lock);
	record = world->leader.records[index];
	pthread_mutex_unlock(&world->router.lock);
	assert_int_equal(record.exists, value != NULL);
	if (value)
		assert_string_equal(record.value, value);
}

static void an_older_write_that_comes_late_changes_nothing(void **state)
{
	struct world *world = *state;

	put_without_answer(world, "first", LATE);
	assert_int_equal(put(world, "00", "again", false), 0);
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
	assert_writes(world, 2);
	late_write_comes(world);
	assert_record(world, 0, "again");
	/* And one after it has an id of its own. */
	assert_int_equal(put(world, "00", "third", false), 0);
	assert_writes(world, 3);
	assert_record(world, 0, "third");
}

static void an_older_write_that_was_applied_is_replaced(void **state)
{
	struct world *world = *state;

	put_without_answer(world, "first", APPLIED_UNSEEN);
	assert_record(world, 0, "first");
	assert_int_equal(put(world, "00", "again", false), 0);
	assert_writes(world, 3);
	assert_record(world, 0, "again");
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
}

static void doubt_outlasts_errors(void **state)
{
	struct world *world = *state;

	put_without_answer(world, "first", LATE);
	set_fault(world, REFUSED);
	assert_int_equal(put(world, "00", "again", false), -ENOSPC);
	assert_true(remote_is_in_doubt(world->router.remote, "00"));
	put_without_answer(world, "again", APPLIED_UNSEEN);
	assert_int_equal(put(world, "00", "third", false), 0);
	late_write_comes(world);
	assert_record(world, 0, "third");
}

static void what_was_refused_is_not_in_doubt(void **state)
{
	struct world *world = *state;

	set_fault(world, REFUSED);
	assert_int_equal(put(world, "00", "first", false), -ENOSPC);
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
	assert_int_equal(delete (world, "00"), -ENOENT);
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
}

static void a_claim_never_succeeds_twice(void **state)
{
	struct world *world = *state;

	set_fault(world, LATE);
	assert_int_equal(put(world, "00", "first", true), -ETIMEDOUT);
	assert_int_equal(put(world, "00", "again", true), 0);
	late_write_comes(world);
	assert_record(world, 0, "again");
	assert_int_equal(put(world, "00", "third", true), -ESTALE);
	assert_record(world, 0, "again");
}

static void what_was_deleted_does_not_come_back(void **state)
{
	struct world *world = *state;

	/* There is nothing to delete yet. */
	put_without_answer(world, "first", LATE);
	assert_int_equal(delete (world, "00"), -ENOENT);
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
	late_write_comes(world);
	assert_record(world, 0, NULL);
	/* There is. */
	assert_int_equal(put(world, "00", "again", false), 0);
	put_without_answer(world, "third", LATE);
	assert_int_equal(delete (world, "00"), 0);
	late_write_comes(world);
	assert_record(world, 0, NULL);
	/* There was by the time. */
	put_without_answer(world, "first", APPLIED_UNSEEN);
	assert_int_equal(delete (world, "00"), 0);
	assert_record(world, 0, NULL);
}

static void a_delete_that_comes_late_deletes_nothing_newer(void **state)
{
	struct world *world = *state;

	assert_int_equal(put(world, "00", "first", false), 0);
	set_fault(world, LATE);
	assert_int_equal(delete (world, "00"), -ETIMEDOUT);
	assert_int_equal(put(world, "00", "again", false), 0);
	late_write_comes(world);
	assert_record(world, 0, "again");
}

static int move(struct world *world)
{
	struct version version = { .epoch = FS_EPOCH };
	struct remote_stored stored;

	pthread_mutex_lock(&world->router.lock);
	version.sequence = world->leader.records[0].version;
	pthread_mutex_unlock(&world->router.lock);
	return remote_move(world->router.remote, "00", "01", true, &version, NULL, &stored);
}

static void a_move_that_comes_late_replaces_nothing_newer(void **state)
{
	struct world *world = *state;

	assert_int_equal(put(world, "00", "first", false), 0);
	set_fault(world, LATE);
	assert_int_equal(move(world), -ETIMEDOUT);
	assert_int_equal(put(world, "01", "again", false), 0);
	late_write_comes(world);
	assert_record(world, 0, "first");
	assert_record(world, 1, "again");
	assert_int_equal(move(world), 0);
	assert_record(world, 0, NULL);
	assert_record(world, 1, "first");
}

static void a_move_waits_until_nothing_is_in_doubt(void **state)
{
	struct world *world = *state;

	assert_int_equal(put(world, "00", "first", false), 0);
	put_without_answer(world, "again", LATE);
	/* The version has changed by settling. */
	assert_int_equal(move(world), -ESTALE);
	assert_int_equal(move(world), 0);
	late_write_comes(world);
	assert_record(world, 0, NULL);
	assert_record(world, 1, "first");
}

static void too_many_doubts_are_forgotten_from_the_oldest_on(void **state)
{
	struct doubts *doubts = calloc(1, sizeof(*doubts));
	struct doubt doubt = { .id = { { 1 } } }, found;
	char key[16];

	(void)state;
	assert_non_null(doubts);
	doubts_init(doubts);
	for (int i = 0; i <= DOUBTS_MAX; i++) {
		snprintf(key, sizeof(key), "%08x", i);
		assert_int_equal(doubts_begin(doubts, key, &doubt.id, 1000, NULL), 0);
		assert_true(doubts_concern(doubts, key));
		doubts_end(doubts, key, &doubt);
	}
	assert_false(doubts_concern(doubts, "00000000"));
	assert_true(doubts_find(doubts, "00000001", &found));
	assert_true(doubts_find(doubts, key, &found));
	doubt.id.bytes[0] = 2;
	assert_int_equal(doubts_begin(doubts, key, &doubt.id, 1000, NULL), DOUBT_OTHER);
	doubts_settled(doubts, key, &found.id);
	assert_int_equal(doubts_begin(doubts, key, &doubt.id, 1000, NULL), 0);
	assert_int_equal(doubts_begin(doubts, key, &doubt.id, 1, NULL), -ETIMEDOUT);
	doubts_end(doubts, key, NULL);
	assert_false(doubts_concern(doubts, key));
	doubts_deinit(doubts);
	free(doubts);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_older_write_that_comes_late_changes_nothing),
		TEST(an_older_write_that_was_applied_is_replaced),
		TEST(doubt_outlasts_errors),
		TEST(what_was_refused_is_not_in_doubt),
		TEST(a_claim_never_succeeds_twice),
		TEST(what_was_deleted_does_not_come_back),
		TEST(a_delete_that_comes_late_deletes_nothing_newer),
		TEST(a_move_that_comes_late_replaces_nothing_newer),
		TEST(a_move_waits_until_nothing_is_in_doubt),
		cmocka_unit_test(too_many_doubts_are_forgotten_from_the_oldest_on),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
