/* SPDX-License-Identifier: MIT */
/*
 * Counters, gauges and latency histograms, and their text: as OpenMetrics
 * (https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md) for who asks
 * for that, else in the older form of Prometheus
 * (https://prometheus.io/docs/instrumenting/exposition_formats/), which all tools read.
 * Threads: updates are relaxed atomics, safe from any thread; writing the text may see them a
 * little apart.
 */
#pragma once

#include "lib/buf.h"

#include <stdatomic.h>
#include <stdint.h>

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS };

#define HISTOGRAM_BUCKETS 24 /* upper bounds 2^i * 16 us, the last is +Inf */

struct histogram {
	_Atomic uint64_t bucket[HISTOGRAM_BUCKETS];
	_Atomic uint64_t count;
	_Atomic uint64_t sum_ns;
};

void histogram_observe(struct histogram *histogram, uint64_t ns);

/* Text of one family: metrics_family(), then its samples; at the end metrics_end(). A counter's
 * family is named without the suffix "_total" of its samples. @labels is "" or
 * 'method="GET",code="200"'. */
int metrics_family(struct buf *out, const char *name, const char *type, const char *help);
int metrics_sample_u64(struct buf *out, const char *name, const char *suffix, const char *labels,
		       uint64_t value);
int metrics_sample_double(struct buf *out, const char *name, const char *suffix, const char *labels,
			  double value);
int metrics_histogram(struct buf *out, const char *name, const char *labels,
		      const struct histogram *histogram);
/* Makes the text what @format wants. */
int metrics_end(struct buf *out, enum metrics_format format);
const char *metrics_content_type(enum metrics_format format);
