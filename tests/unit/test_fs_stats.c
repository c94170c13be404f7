/* SPDX-License-Identifier: MIT */
#include "fs/stats.h"
#include "fs/stats_text.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int forget_counts(void **state)
{
	(void)state;
	memset(&stats, 0, sizeof(stats));
	return 0;
}

static void a_quantile_is_at_most_a_quarter_too_large(void **state)
{
	static const uint64_t times_ns[] = { 1024,       1025,     5000,       16000,       999999,
					     3000000000, 77777777, 1234567890, 200000000000 };

	(void)state;
	for (size_t i = 0; i < sizeof(times_ns) / sizeof(times_ns[0]); i++) {
		struct latency latency = { 0 };
		uint64_t told;

		latency_observe(&latency, times_ns[i]);
		told = latency_quantile_ns(&latency, 500);
		assert_true(told > times_ns[i]);
		assert_true(told <= times_ns[i] + times_ns[i] / 4 + 1);
		assert_int_equal(latency_count(&latency), 1);
	}
}

static void quantiles_split_what_was_observed(void **state)
{
	struct latency latency = { 0 };

	(void)state;
	assert_int_equal(latency_quantile_ns(&latency, 500), 0);
	for (unsigned i = 0; i < 98; i++)
		latency_observe(&latency, 10000);
	latency_observe(&latency, 1000000);
	latency_observe(&latency, UINT64_MAX / 4);
	assert_in_range(latency_quantile_ns(&latency, 500), 10000, 12500);
	assert_in_range(latency_quantile_ns(&latency, 980), 10000, 12500);
	assert_in_range(latency_quantile_ns(&latency, 990), 1000000, 1250000);
	assert_true(latency_quantile_ns(&latency, 1000) > UINT64_C(1000000000000));
	assert_int_equal(latency_count(&latency), 100);
}

static void read_operation(uint32_t opcode, uint64_t unique, size_t more)
{
	char message[256] = { 0 };
	const struct fuse_in_header header = { .opcode = opcode, .unique = unique };

	memcpy(message, &header, sizeof(header));
	stats_operation_read(message, sizeof(header) + more);
}

static void answer_operation(uint64_t unique, int error, size_t more)
{
	const struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + more),
		.error = -error,
		.unique = unique,
	};

	stats_operation_answered(&header, sizeof(header));
}

static char *text_of(void)
{
	static char text[65536];
	static struct mount mount;
	const struct mount_options options = { .url = "http://127.0.0.1:1" };
	struct buf out = { 0 };

	mount.options = &options;
	inode_table_init(&mount.inodes, 0644);
	assert_int_equal(stats_text(&mount, &out), 0);
	assert_int_equal(buf_append_u8(&out, 0), 0);
	assert_true(out.len <= sizeof(text));
	memcpy(text, out.data, out.len);
	buf_deinit(&out);
	inode_table_deinit(&mount.inodes);
	return text;
}

static void assert_line(const char *text, const char *line)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("no line '%s' in:\n%s", line, text);
}

static void operations_are_counted_with_their_errors(void **state)
{
	const char *text;

	(void)state;
	read_operation(FUSE_LOOKUP, 11, 8);
	answer_operation(11, 0, 100);
	read_operation(FUSE_LOOKUP, 12, 8);
	answer_operation(12, ENOENT, 0);
	read_operation(FUSE_READ, 13, sizeof(struct fuse_read_in));
	answer_operation(13, 0, 4096);
	read_operation(FUSE_WRITE, 14, sizeof(struct fuse_write_in) + 50);
	assert_line(text_of(), "hexkv_fs_operations_in_progress 1");
	answer_operation(14, 0, 8);
	read_operation(FUSE_FORGET, 15, 8);
	text = text_of();
	assert_line(text, "hexkv_fs_operations_total{op=\"lookup\"} 2");
	assert_line(text, "hexkv_fs_operation_errors_total{op=\"lookup\",error=\"ENOENT\"} 1");
	assert_line(text, "hexkv_fs_operation_seconds_count{op=\"lookup\"} 2");
	assert_line(text, "hexkv_fs_operations_total{op=\"forget\"} 1");
	assert_line(text, "hexkv_fs_read_bytes_total 4096");
	assert_line(text, "hexkv_fs_written_bytes_total 50");
	assert_line(text, "hexkv_fs_operations_in_progress 0");
	assert_null(strstr(text, "op=\"mkdir\""));
	assert_null(strstr(text, "op=\"forget\",quantile"));
}

static void one_that_is_never_answered_is_not_in_progress_for_ever(void **state)
{
	const char *text;

	(void)state;
	read_operation(FUSE_GETATTR, 21, 16);
	/* Somebody else's answer. */
	answer_operation(20, 0, 8);
	read_operation(FUSE_GETATTR, 22, 16);
	answer_operation(22, 0, 8);
	text = text_of();
	assert_line(text, "hexkv_fs_operations_total{op=\"getattr\"} 2");
	assert_line(text, "hexkv_fs_operation_seconds_count{op=\"getattr\"} 1");
	assert_line(text, "hexkv_fs_operations_in_progress 0");
}

static void what_makes_no_sense_is_passed_over(void **state)
{
	const struct fuse_in_header unknown = { .opcode = 4000000000, .unique = 31 };

	(void)state;
	stats_operation_read("", 0);
	stats_operation_read(&unknown, sizeof(unknown));
	stats_operation_answered("", 1);
	answer_operation(0, 0, 0);
	assert_line(text_of(), "hexkv_fs_operations_in_progress 0");
}

static void requests_are_counted_by_door_method_and_answer(void **state)
{
	const struct stats_attempt attempts[] = {
		{ METHOD_GET, "/kv/00ff", false, 0, 206, 1000000 },
		{ METHOD_GET, "/kv/00ff", false, -ETIMEDOUT, 0, 1000000 },
		{ METHOD_GET, "/kv/00ff", true, 0, 503, 1000000 },
		{ METHOD_GET, "/keys?limit=1000", false, 0, 200, 1000000 },
		{ METHOD_GET, "/status", false, 0, 200, 1000000 },
		{ METHOD_PUT, "/kv/00ff", false, 0, 201, 1000000 },
		{ METHOD_OTHER, "/kv/00ff", false, 0, 9999, 1000000 },
		{ METHOD_HEAD, "/kv/00ff", false, -9999, 0, 1000000 },
	};
	const char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		stats_attempted(&attempts[i]);
	text = text_of();
	assert_line(text, "hexkv_fs_requests_total{door=\"object\",method=\"GET\"} 3");
	assert_line(text, "hexkv_fs_requests_repeated_total{door=\"object\",method=\"GET\"} 1");
	assert_line(text,
		    "hexkv_fs_answers_total{door=\"object\",method=\"GET\",status=\"206\"} 1");
	assert_line(text, "hexkv_fs_request_errors_total{door=\"object\",method=\"GET\","
			  "error=\"ETIMEDOUT\"} 1");
	assert_line(text, "hexkv_fs_requests_total{door=\"keys\",method=\"GET\"} 1");
	assert_line(text, "hexkv_fs_requests_total{door=\"admin\",method=\"GET\"} 1");
	assert_line(text,
		    "hexkv_fs_answers_total{door=\"object\",method=\"PUT\",status=\"201\"} 1");
	assert_line(text, "hexkv_fs_requests_total{door=\"object\",method=\"other\"} 1");
	assert_line(text, "hexkv_fs_request_errors_total{door=\"object\",method=\"HEAD\","
			  "error=\"other\"} 1");
}

static void every_line_is_a_name_and_a_number(void **state)
{
	char *text, *save = NULL;

	(void)state;
	read_operation(FUSE_READ, 41, 8);
	answer_operation(41, EIO, 0);
	stats_gauge_add(STATS_UPLOADS, -1);
	text = text_of();
	assert_line(text, "hexkv_fs_uploads 0");
	assert_line(text, "hexkv_fs_router{url=\"http://127.0.0.1:1\"} 1");
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *space = strchr(line, ' '), *end;

		assert_int_equal(strncmp(line, "hexkv_fs_", 9), 0);
		assert_non_null(space);
		strtod(space + 1, &end);
		assert_true(end > space + 1 && *end == '\0');
	}
}

static void *count_a_lot(void *state)
{
	uint64_t first = (uint64_t)(uintptr_t)state;

	for (uint64_t i = 0; i < 1000; i++) {
		read_operation(FUSE_STATFS, first + i, 0);
		answer_operation(first + i, 0, 80);
	}
	return NULL;
}

static void threads_count_together(void **state)
{
	pthread_t threads[4];
	const char *text;

	(void)state;
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, count_a_lot, (void *)((i + 1) * 10000)),
			0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	text = text_of();
	assert_line(text, "hexkv_fs_operations_total{op=\"statfs\"} 4000");
	assert_line(text, "hexkv_fs_operation_seconds_count{op=\"statfs\"} 4000");
	assert_line(text, "hexkv_fs_operations_in_progress 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quantile_is_at_most_a_quarter_too_large),
		cmocka_unit_test(quantiles_split_what_was_observed),
		cmocka_unit_test_teardown(operations_are_counted_with_their_errors, forget_counts),
		cmocka_unit_test_teardown(one_that_is_never_answered_is_not_in_progress_for_ever,
					  forget_counts),
		cmocka_unit_test_teardown(what_makes_no_sense_is_passed_over, forget_counts),
		cmocka_unit_test_teardown(requests_are_counted_by_door_method_and_answer,
					  forget_counts),
		cmocka_unit_test_teardown(every_line_is_a_name_and_a_number, forget_counts),
		cmocka_unit_test_teardown(threads_count_together, forget_counts),
	};

	return cmocka_run_group_tests_name("fs_stats", tests, NULL, NULL);
}
