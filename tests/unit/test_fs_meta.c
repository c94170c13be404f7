/* SPDX-License-Identifier: MIT */
#include "fs/meta.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_MS 5000

/* A router with one record, in version @sequence, whose labels are text/plain and utf-8. */
struct record {
	struct fs_router router;
	struct mount mount;
	struct inode *inode; /* of the record */
	uint64_t sequence;
	bool gone;
	bool broken;
	unsigned patches; /* that were applied */
};

static enum fs_answer serve_record(void *state, const char *request, struct buf *ret_answer)
{
	struct record *record = state;
	const char *match = fs_request_field(request, "If-Match");
	char etag[64], fields[512];
	bool patch = strncmp(request, "PATCH ", 6) == 0;

	snprintf(etag, sizeof(etag), "\"%x-%x\"", FS_EPOCH, (unsigned)record->sequence);
	if (record->broken || record->gone || (*match && strcmp(match, etag) != 0)) {
		fs_write_answer(ret_answer,
				record->broken ? 500
				: record->gone ? 404
					       : 412,
				"", NULL, 0);
		return FS_ANSWER;
	}
	if (patch) {
		record->sequence++;
		record->patches++;
	}
	fs_record_fields(fields, sizeof(fields), record->sequence, 0);
	fs_write_answer(ret_answer, 200, fields, NULL, 0);
	return FS_ANSWER;
}

static int setup(void **state)
{
	struct record *record = calloc(1, sizeof(*record));
	struct inode_table *table;

	if (!record)
		return -1;
	record->sequence = 7;
	fs_router_start(&record->router, serve_record, record, PATIENCE_MS);
	record->mount.remote = record->router.remote;
	table = &record->mount.inodes;
	inode_table_init(table, 0644);
	mutex_lock(&table->lock);
	record->inode = inode_new_locked(table, INODE_RECORD, "00ff");
	record->inode->stored = true;
	record->inode->version = (struct version){ .epoch = FS_EPOCH, .sequence = 7 };
	inode_link_locked(table, record->inode);
	mutex_unlock(&table->lock);
	*state = record;
	return 0;
}

static int teardown(void **state)
{
	struct record *record = *state;

	inode_unref(&record->mount.inodes, record->inode);
	inode_table_deinit(&record->mount.inodes);
	fs_router_stop(&record->router);
	free(record);
	return 0;
}

static void assert_labels(struct record *record, const char *content_type, const char *encoding)
{
	struct labels labels;

	mutex_lock(&record->mount.inodes.lock);
	meta_labels_locked(record->inode, &labels);
	mutex_unlock(&record->mount.inodes.lock);
	assert_string_equal(labels.content_type, content_type);
	assert_string_equal(labels.encoding, encoding);
}

static void labels_that_nobody_chose_are_the_defaults(void **state)
{
	assert_labels(*state, CONTENT_TYPE_DEFAULT, ENCODING_DEFAULT);
}

static void labels_of_a_record_are_asked_for_once(void **state)
{
	struct record *record = *state;

	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), 0);
	assert_labels(record, "text/plain", "utf-8");
	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), 0);
	assert_int_equal(fs_router_requests(&record->router), 1);
}

static void labels_of_what_is_only_here_are_not_asked_for(void **state)
{
	struct record *record = *state;

	record->inode->stored = false;
	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), 0);
	record->inode->stored = true;
	record->inode->deleted = true;
	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), 0);
	assert_int_equal(fs_router_requests(&record->router), 0);
}

static void a_record_that_was_removed_elsewhere_has_the_defaults(void **state)
{
	struct record *record = *state;

	record->gone = true;
	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), 0);
	assert_labels(record, CONTENT_TYPE_DEFAULT, ENCODING_DEFAULT);
}

static void labels_that_cannot_be_had_are_an_error_and_not_the_defaults(void **state)
{
	struct record *record = *state;

	record->broken = true;
	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), -EIO);
	record->broken = false;
	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), 0);
	assert_labels(record, "text/plain", "utf-8");
}

static void a_change_of_a_stored_record_is_stored_at_once(void **state)
{
	struct record *record = *state;
	const struct meta_change change = { .content_type = "image/png",
					    .has_mtime = true,
					    .mtime_ns = 1234567890123456789 };

	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), 0);
	assert_int_equal(meta_change(&record->mount, record->inode, &change, NULL), 0);
	assert_non_null(strstr(record->router.last, "PATCH /kv/00ff HTTP/1.1"));
	assert_non_null(strstr(record->router.last, "\"content_type\":\"image/png\""));
	assert_non_null(strstr(record->router.last, "\"mtime_ns\":1234567890123456789"));
	assert_null(strstr(record->router.last, "\"encoding\""));
	assert_string_equal(fs_request_field(record->router.last, "If-Match"), "\"10001-7\"");
	assert_string_equal(fs_request_field(record->router.last, "HexKV-Durability"), "disk");
	assert_labels(record, "image/png", "utf-8");
	assert_int_equal(record->inode->version.sequence, 8);
	assert_int_equal(record->inode->mtime_ns, 1234567890123456789);
	assert_int_equal(record->patches, 1);
}

static void one_label_changed_leaves_the_other_to_be_asked_for(void **state)
{
	struct record *record = *state;
	const struct meta_change change = { .content_type = "image/png" };

	assert_int_equal(meta_change(&record->mount, record->inode, &change, NULL), 0);
	assert_null(record->inode->content_type);
	assert_null(record->inode->encoding);
}

static void a_change_of_unsaved_content_waits_for_it(void **state)
{
	struct record *record = *state;
	const struct meta_change change = { .encoding = "base64",
					    .has_mtime = true,
					    .mtime_ns = 5 };

	record->inode->stored = false;
	record->inode->unsaved = true;
	assert_int_equal(meta_change(&record->mount, record->inode, &change, NULL), 0);
	assert_int_equal(fs_router_requests(&record->router), 0);
	assert_labels(record, CONTENT_TYPE_DEFAULT, "base64");
	assert_true(record->inode->labels_set);
	assert_int_equal(record->inode->mtime_ns, 5);
}

/* As when a file is opened from a listing, written to, and labelled before it is closed. */
static void a_label_that_was_chosen_stays_when_the_other_is_asked_for(void **state)
{
	struct record *record = *state;
	const struct meta_change change = { .content_type = "image/png" };

	record->inode->unsaved = true;
	assert_int_equal(meta_change(&record->mount, record->inode, &change, NULL), 0);
	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), 0);
	assert_labels(record, "image/png", "utf-8");
}

static void a_change_of_a_record_replaced_elsewhere_is_made_of_the_newer(void **state)
{
	struct record *record = *state;
	const struct meta_change change = { .content_type = "image/png" };

	record->sequence = 20;
	assert_int_equal(meta_change(&record->mount, record->inode, &change, NULL), 0);
	assert_int_equal(record->patches, 1);
	assert_string_equal(fs_request_field(record->router.last, "If-Match"), "");
	/* Who opened the older one keeps it; who looks the name up finds the newer. */
	assert_int_equal(record->inode->version.sequence, 7);
	assert_false(record->inode->linked);
}

static void a_change_that_failed_changes_nothing(void **state)
{
	struct record *record = *state;
	const struct meta_change change = { .content_type = "image/png",
					    .has_mtime = true,
					    .mtime_ns = 5 };

	assert_int_equal(meta_need_labels(&record->mount, record->inode, NULL), 0);
	record->broken = true;
	assert_int_equal(meta_change(&record->mount, record->inode, &change, NULL), -EIO);
	assert_labels(record, "text/plain", "utf-8");
	assert_int_not_equal(record->inode->mtime_ns, 5);
	assert_int_equal(record->inode->version.sequence, 7);
	record->broken = false;
	record->gone = true;
	assert_int_equal(meta_change(&record->mount, record->inode, &change, NULL), -ENOENT);
	/* And nothing is left locked. */
	assert_false(record->inode->sending);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(labels_that_nobody_chose_are_the_defaults),
		TEST(labels_of_a_record_are_asked_for_once),
		TEST(labels_of_what_is_only_here_are_not_asked_for),
		TEST(a_record_that_was_removed_elsewhere_has_the_defaults),
		TEST(labels_that_cannot_be_had_are_an_error_and_not_the_defaults),
		TEST(a_change_of_a_stored_record_is_stored_at_once),
		TEST(one_label_changed_leaves_the_other_to_be_asked_for),
		TEST(a_change_of_unsaved_content_waits_for_it),
		TEST(a_label_that_was_chosen_stays_when_the_other_is_asked_for),
		TEST(a_change_of_a_record_replaced_elsewhere_is_made_of_the_newer),
		TEST(a_change_that_failed_changes_nothing),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_meta", tests, NULL, NULL);
}
