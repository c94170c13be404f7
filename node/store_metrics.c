/* SPDX-License-Identifier: MIT */
#include "node/store_metrics.h"

#include <stddef.h>
#include <string.h>

enum metric_type {
	GAUGE, /* uint64_t */
	COUNTER, /* uint64_t */
	FLAG, /* bool: a gauge */
	ERROR_NUMBER, /* int, 0 or a negative errno: a gauge, without its sign */
};

struct metric {
	const char *name;
	enum metric_type type;
	const char *help;
	size_t offset; /* in struct store_stats */
};

#define AT(field) offsetof(struct store_stats, field)

static const struct metric metrics[] = {
	{ "hexkv_store_position", GAUGE, "Apply position of the newest entry.", AT(position) },
	{ "hexkv_store_flushed_position", GAUGE, "Up to here segments hold everything.",
	  AT(flushed_position) },
	{ "hexkv_store_log_bytes", GAUGE, "Bytes of log files.", AT(log_bytes) },
	{ "hexkv_store_log_files", GAUGE, "Log files.", AT(log_files) },
	{ "hexkv_store_log_syncs", COUNTER, "Times the log was synced.", AT(log_syncs) },
	{ "hexkv_store_log_records", COUNTER, "Groups written to the log.", AT(log_records) },
	{ "hexkv_store_log_entries", COUNTER, "Writes put into the log.", AT(log_entries) },
	{ "hexkv_store_log_damages", COUNTER, "Places in the log that could not be read.",
	  AT(log_damages) },
	{ "hexkv_store_damaged_log_file", GAUGE,
	  "Number of the log file with the last of them, 0 once it is given up.",
	  AT(damaged_log_file) },
	{ "hexkv_store_damaged_log_offset", GAUGE, "Its offset there.", AT(damaged_log_offset) },
	{ "hexkv_store_value_bytes", GAUGE, "Bytes of value files.", AT(value_bytes) },
	{ "hexkv_store_pins", COUNTER, "Pins given or renewed.", AT(pins.given) },
	{ "hexkv_store_pins_refused", COUNTER, "Pins not given or renewed.", AT(pins.refused) },
	{ "hexkv_store_kept_values", GAUGE,
	  "Replaced or deleted value files that only a pin keeps.", AT(pins.kept_files) },
	{ "hexkv_store_kept_value_bytes", GAUGE, "Their bytes.", AT(pins.kept_bytes) },
	{ "hexkv_store_space_free_bytes", GAUGE, "Free bytes of the file system.", AT(space_free) },
	{ "hexkv_store_space_bytes", GAUGE, "Bytes of the file system.", AT(space_total) },
	{ "hexkv_store_full", FLAG, "1 while puts are refused for lack of space.", AT(full) },
	{ "hexkv_store_failed", FLAG, "1 while the log can't be written.", AT(failed) },
	{ "hexkv_store_memtable_bytes", GAUGE, "Bytes of the active memtable.",
	  AT(lsm.memtable_bytes) },
	{ "hexkv_store_sealed_memtables", GAUGE, "Memtables that wait for their flush.",
	  AT(lsm.sealed_memtables) },
	{ "hexkv_store_sealed_bytes", GAUGE, "Bytes of memtables that wait.",
	  AT(lsm.sealed_bytes) },
	{ "hexkv_store_segments", GAUGE, "Live segment files.", AT(lsm.segments) },
	{ "hexkv_store_runs", GAUGE, "Sorted runs.", AT(lsm.runs) },
	{ "hexkv_store_segment_bytes", GAUGE, "Bytes of live segment files.",
	  AT(lsm.segment_bytes) },
	{ "hexkv_store_entries", GAUGE, "Entries, replaced ones and tombstones included.",
	  AT(lsm.entries) },
	{ "hexkv_store_filter_bytes", GAUGE, "Memory of Bloom filters.", AT(lsm.filter_bytes) },
	{ "hexkv_store_index_bytes", GAUGE, "Memory of segment indexes.", AT(lsm.index_bytes) },
	{ "hexkv_store_flushes", COUNTER, "Flushes of memtables.", AT(lsm.flushes) },
	{ "hexkv_store_flushed_bytes", COUNTER, "Bytes written by flushes.",
	  AT(lsm.flushed_bytes) },
	{ "hexkv_store_compactions", COUNTER, "Merges of runs.", AT(lsm.compactions) },
	{ "hexkv_store_compacted_bytes", COUNTER, "Bytes written by merges.",
	  AT(lsm.compacted_bytes) },
	{ "hexkv_store_cache_hits", COUNTER, "Blocks found in the cache.", AT(lsm.cache_hits) },
	{ "hexkv_store_cache_misses", COUNTER, "Blocks that had to be read.",
	  AT(lsm.cache_misses) },
	{ "hexkv_store_damaged_blocks", COUNTER, "Blocks that failed their checksum.",
	  AT(lsm.damaged_blocks) },
	{ "hexkv_store_background_error", ERROR_NUMBER,
	  "Error number of the last flush or merge, 0 if it succeeded.", AT(lsm.background_error) },
};

static uint64_t value_of(const struct metric *metric, const struct store_stats *stats)
{
	const char *at = (const char *)stats + metric->offset;
	uint64_t number;
	bool flag;
	int error;

	switch (metric->type) {
	case FLAG:
		memcpy(&flag, at, sizeof(flag));
		return flag;
	case ERROR_NUMBER:
		memcpy(&error, at, sizeof(error));
		return (uint64_t)(error < 0 ? -error : 0);
	case GAUGE:
	case COUNTER:
		break;
	}
	memcpy(&number, at, sizeof(number));
	return number;
}

static int append(const struct metric *metric, const struct store_stats *stats, struct buf *out)
{
	bool counts = metric->type == COUNTER;
	int r;

	r = metrics_family(out, metric->name, counts ? "counter" : "gauge", metric->help);
	if (r < 0)
		return r;
	return metrics_sample_u64(out, metric->name, counts ? "_total" : "", "",
				  value_of(metric, stats));
}

int store_metrics(const struct store_stats *stats, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < sizeof(metrics) / sizeof(metrics[0]); i++)
		r = append(&metrics[i], stats, out);
	return r;
}
