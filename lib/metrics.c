/* SPDX-License-Identifier: MIT */
#include "lib/metrics.h"

#include <inttypes.h>
#include <math.h>

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

int metrics_end(struct buf *out)
{
	return buf_append_str(out, "# EOF\n");
}
