/* SPDX-License-Identifier: MIT */
#include "lib/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define BUCKET_FIRST_NS 16000

/* In the last bucket is what fits no other. */
static unsigned bucket_of(uint64_t ns)
{
	uint64_t bound = BUCKET_FIRST_NS;
	unsigned i = 0;

	while (i < HISTOGRAM_BUCKETS - 1 && ns > bound) {
		bound *= 2;
		i++;
	}
	return i;
}

void histogram_observe(struct histogram *histogram, uint64_t ns)
{
	atomic_fetch_add_explicit(&histogram->bucket[bucket_of(ns)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
}

static int append_escaped(struct buf *out, const char *text)
{
	for (const char *at = text; *at; at++) {
		int r;

		if (*at == '\n')
			r = buf_append_str(out, "\\n");
		else if (*at == '\\' || *at == '"')
			r = buf_printf(out, "\\%c", *at);
		else
			r = buf_append(out, at, 1);
		if (r < 0)
			return r;
	}
	return 0;
}

int metrics_family(struct buf *out, const char *name, const char *type, const char *help)
{
	int r;

	r = buf_printf(out, "# TYPE %s %s\n# HELP %s ", name, type, name);
	if (r < 0)
		return r;
	r = append_escaped(out, help);
	if (r < 0)
		return r;
	return buf_append_str(out, "\n");
}

static int append_name(struct buf *out, const char *name, const char *suffix, const char *labels)
{
	if (labels[0] == '\0')
		return buf_printf(out, "%s%s ", name, suffix);
	return buf_printf(out, "%s%s{%s} ", name, suffix, labels);
}

int metrics_sample_u64(struct buf *out, const char *name, const char *suffix, const char *labels,
		       uint64_t value)
{
	int r;

	r = append_name(out, name, suffix, labels);
	if (r < 0)
		return r;
	return buf_printf(out, "%" PRIu64 "\n", value);
}

int metrics_sample_double(struct buf *out, const char *name, const char *suffix, const char *labels,
			  double value)
{
	int r;

	r = append_name(out, name, suffix, labels);
	if (r < 0)
		return r;
	if (isnan(value))
		return buf_append_str(out, "NaN\n");
	if (isinf(value))
		return buf_append_str(out, value > 0 ? "+Inf\n" : "-Inf\n");
	return buf_printf(out, "%.9g\n", value);
}

static int append_bucket(struct buf *out, const char *name, const char *labels, unsigned bucket,
			 uint64_t cumulated)
{
	const char *comma = labels[0] ? "," : "";

	if (bucket == HISTOGRAM_BUCKETS - 1)
		return buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels,
				  comma, cumulated);
	return buf_printf(out, "%s_bucket{%s%sle=\"%.9g\"} %" PRIu64 "\n", name, labels, comma,
			  (double)((uint64_t)BUCKET_FIRST_NS << bucket) / 1e9, cumulated);
}

int metrics_histogram(struct buf *out, const char *name, const char *labels,
		      const struct histogram *histogram)
{
	uint64_t cumulated = 0;
	int r;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		cumulated += atomic_load_explicit(&histogram->bucket[i], memory_order_relaxed);
		r = append_bucket(out, name, labels, i, cumulated);
		if (r < 0)
			return r;
	}
	/* The count must equal the last bucket, also while others are counting. */
	r = metrics_sample_u64(out, name, "_count", labels, cumulated);
	if (r < 0)
		return r;
	return metrics_sample_double(
		out, name, "_sum", labels,
		(double)atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed) / 1e9);
}

/* "# HELP " and what follows: in the older form quotes are not escaped. */
static int append_help(struct buf *out, const char *text, const char *end)
{
	for (; text < end; text++) {
		int r;

		if (*text == '\\' && text + 1 < end && text[1] == '"')
			continue;
		r = buf_append(out, text, 1);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One line about a family, which in the older form has the name of its samples. */
static int append_comment(struct buf *out, const char *line, const char *end, bool is_counter)
{
	const char *name_end = memchr(line + strlen("# TYPE "), ' ', (size_t)(end - line) - 7);
	int r = buf_append(out, line, (size_t)(name_end - line));

	if (r >= 0 && is_counter)
		r = buf_append_str(out, "_total");
	return r < 0 ? r : append_help(out, name_end, end);
}

/* The TYPE of a family comes first, then its HELP. */
static int convert_to_prometheus(struct buf *out)
{
	struct buf converted = { 0 };
	const char *end = (const char *)out->data + out->len;
	bool is_counter = false;
	int r = 0;

	for (const char *line = (const char *)out->data; line < end && r >= 0;) {
		const char *next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;

		if (line[0] != '#') {
			r = buf_append(&converted, line, (size_t)(next - line));
		} else {
			if (strncmp(line, "# TYPE ", 7) == 0)
				is_counter =
					next - line > 9 && strncmp(next - 9, " counter\n", 9) == 0;
			r = append_comment(&converted, line, next, is_counter);
		}
		line = next;
	}
	if (r < 0) {
		buf_deinit(&converted);
		return r;
	}
	buf_deinit(out);
	*out = converted;
	return 0;
}

int metrics_end(struct buf *out, enum metrics_format format)
{
	if (format == METRICS_OPENMETRICS)
		return buf_append_str(out, "# EOF\n");
	return convert_to_prometheus(out);
}

const char *metrics_content_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}
