/* SPDX-License-Identifier: MIT */
#include "lib/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *text_of(struct buf *out)
{
	buf_append_u8(out, 0);
	out->len--;
	return (const char *)out->data;
}

static void families_and_samples_are_openmetrics(void **state)
{
	struct buf out = { 0 };

	(void)state;
	metrics_family(&out, "hexkv_requests", "counter", "Requests with \"quotes\"\\\nlines.");
	metrics_sample_u64(&out, "hexkv_requests", "_total", "method=\"GET\"", UINT64_MAX);
	metrics_sample_double(&out, "hexkv_age_seconds", "", "", 0.25);
	metrics_sample_double(&out, "x", "", "", NAN);
	metrics_sample_double(&out, "x", "", "", -INFINITY);
	metrics_end(&out, METRICS_OPENMETRICS);
	assert_string_equal(text_of(&out),
			    "# TYPE hexkv_requests counter\n"
			    "# HELP hexkv_requests Requests with \\\"quotes\\\"\\\\\\nlines.\n"
			    "hexkv_requests_total{method=\"GET\"} 18446744073709551615\n"
			    "hexkv_age_seconds 0.25\n"
			    "x NaN\n"
			    "x -Inf\n"
			    "# EOF\n");
	buf_deinit(&out);
}

static void the_older_form_names_a_counter_as_its_samples(void **state)
{
	struct buf out = { 0 };

	(void)state;
	metrics_family(&out, "hexkv_requests", "counter", "With \"quotes\"\\\nlines.");
	metrics_sample_u64(&out, "hexkv_requests", "_total", "method=\"GET\"", 7);
	metrics_family(&out, "hexkv_age", "gauge", "Not a counter");
	metrics_sample_u64(&out, "hexkv_age", "", "", 8);
	assert_int_equal(metrics_end(&out, METRICS_PROMETHEUS), 0);
	assert_string_equal(text_of(&out),
			    "# TYPE hexkv_requests_total counter\n"
			    "# HELP hexkv_requests_total With \"quotes\"\\\\\\nlines.\n"
			    "hexkv_requests_total{method=\"GET\"} 7\n"
			    "# TYPE hexkv_age gauge\n"
			    "# HELP hexkv_age Not a counter\n"
			    "hexkv_age 8\n");
	buf_deinit(&out);
}

static void a_histogram_counts_into_the_right_bucket(void **state)
{
	struct histogram histogram = { 0 };

	(void)state;
	histogram_observe(&histogram, 0);
	histogram_observe(&histogram, 16000);
	histogram_observe(&histogram, 16001);
	histogram_observe(&histogram, 32000);
	histogram_observe(&histogram, 16000ull << 22);
	histogram_observe(&histogram, (16000ull << 22) + 1);
	assert_int_equal(histogram.bucket[0], 2);
	assert_int_equal(histogram.bucket[1], 2);
	assert_int_equal(histogram.bucket[22], 1);
	assert_int_equal(histogram.bucket[23], 1);
	histogram_observe(&histogram, UINT64_MAX / 2);
	assert_int_equal(histogram.bucket[23], 2);
	assert_int_equal(histogram.count, 7);
}

static void a_histogram_is_cumulative_and_ends_with_infinity(void **state)
{
	struct histogram histogram = { 0 };
	struct buf out = { 0 };
	const char *text;

	(void)state;
	histogram_observe(&histogram, 10000);
	histogram_observe(&histogram, 20000);
	histogram_observe(&histogram, 100000000000);
	metrics_histogram(&out, "hexkv_seconds", "door=\"json\"", &histogram);
	text = text_of(&out);
	assert_non_null(strstr(text, "hexkv_seconds_bucket{door=\"json\",le=\"1.6e-05\"} 1\n"));
	assert_non_null(strstr(text, "hexkv_seconds_bucket{door=\"json\",le=\"3.2e-05\"} 2\n"));
	assert_non_null(strstr(text, "hexkv_seconds_bucket{door=\"json\",le=\"67.108864\"} 2\n"));
	assert_non_null(strstr(text, "hexkv_seconds_bucket{door=\"json\",le=\"+Inf\"} 3\n"
				     "hexkv_seconds_count{door=\"json\"} 3\n"
				     "hexkv_seconds_sum{door=\"json\"} 100.00003\n"));
	buf_clear(&out);
	metrics_histogram(&out, "plain", "", &histogram);
	assert_non_null(strstr(text_of(&out), "plain_bucket{le=\"+Inf\"} 3\nplain_count 3\n"));
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_and_samples_are_openmetrics),
		cmocka_unit_test(the_older_form_names_a_counter_as_its_samples),
		cmocka_unit_test(a_histogram_counts_into_the_right_bucket),
		cmocka_unit_test(a_histogram_is_cumulative_and_ends_with_infinity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
