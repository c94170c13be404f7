/* SPDX-License-Identifier: MIT */
#include "node/store_metrics.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The text has the line @name @value. */
static void expect_sample(struct buf *text, const char *name, uint64_t value)
{
	char line[128];

	snprintf(line, sizeof(line), "\n%s %llu\n", name, (unsigned long long)value);
	if (!strstr((const char *)text->data, line))
		fail_msg("no line %s", line + 1);
}

static void write_text(const struct store_stats *stats, struct buf *text)
{
	buf_clear(text);
	assert_int_equal(store_metrics(stats, text), 0);
	assert_int_equal(buf_append(text, "", 1), 0);
}

static void every_number_is_that_of_its_field(void **state)
{
	const struct store_stats stats = {
		.position = UINT64_MAX,
		.log_syncs = 2,
		.pins = { .given = 3, .kept_bytes = 4 },
		.lsm = { .memtable_bytes = 5, .entries = 6, .damaged_blocks = 7 },
		.space_total = 1ULL << 40,
	};
	struct buf text = { 0 };

	(void)state;
	write_text(&stats, &text);
	expect_sample(&text, "hexkv_store_position", UINT64_MAX);
	expect_sample(&text, "hexkv_store_flushed_position", 0);
	expect_sample(&text, "hexkv_store_log_syncs_total", 2);
	expect_sample(&text, "hexkv_store_pins_total", 3);
	expect_sample(&text, "hexkv_store_kept_value_bytes", 4);
	expect_sample(&text, "hexkv_store_memtable_bytes", 5);
	expect_sample(&text, "hexkv_store_entries", 6);
	expect_sample(&text, "hexkv_store_damaged_blocks_total", 7);
	expect_sample(&text, "hexkv_store_space_bytes", 1ULL << 40);
	buf_deinit(&text);
}

static void what_is_no_number_is_shown_as_one(void **state)
{
	struct store_stats stats = { .full = true };
	struct buf text = { 0 };

	(void)state;
	write_text(&stats, &text);
	expect_sample(&text, "hexkv_store_full", 1);
	expect_sample(&text, "hexkv_store_failed", 0);
	expect_sample(&text, "hexkv_store_background_error", 0);
	stats = (struct store_stats){ .failed = true, .lsm.background_error = -ENOSPC };
	write_text(&stats, &text);
	expect_sample(&text, "hexkv_store_full", 0);
	expect_sample(&text, "hexkv_store_failed", 1);
	expect_sample(&text, "hexkv_store_background_error", ENOSPC);
	buf_deinit(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_is_that_of_its_field),
		cmocka_unit_test(what_is_no_number_is_shown_as_one),
	};

	return cmocka_run_group_tests_name("store_metrics", tests, NULL, NULL);
}
