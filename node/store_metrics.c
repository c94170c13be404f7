/* SPDX-License-Identifier: MIT */
#include "node/store_metrics.h"

enum metric_type { GAUGE, COUNTER };

struct metric {
	const char *name;
	enum metric_type type;
	const char *help;
	uint64_t value;
};

static int append(const struct metric *metric, struct buf *out)
{
	bool counts = metric->type == COUNTER;
	int r;

	r = metrics_family(out, metric->name, counts ? "counter" : "gauge", metric->help);
	if (r < 0)
		return r;
	return metrics_sample_u64(out, metric->name, counts ? "_total" : "", "", metric->value);
}

int store_metrics(const struct store_stats *stats, struct buf *out)
{
	const struct lsm_stats *lsm = &stats->lsm;
	const struct metric metrics[] = {
		{ "hexkv_store_position", GAUGE, "Apply position of the newest entry.",
		  stats->position },
		{ "hexkv_store_flushed_position", GAUGE, "Up to here segments hold everything.",
		  stats->flushed_position },
		{ "hexkv_store_log_bytes", GAUGE, "Bytes of log files.", stats->log_bytes },
		{ "hexkv_store_log_files", GAUGE, "Log files.", stats->log_files },
		{ "hexkv_store_log_syncs", COUNTER, "Times the log was synced.", stats->log_syncs },
		{ "hexkv_store_log_records", COUNTER, "Groups written to the log.",
		  stats->log_records },
		{ "hexkv_store_log_entries", COUNTER, "Writes put into the log.",
		  stats->log_entries },
		{ "hexkv_store_value_bytes", GAUGE, "Bytes of value files.", stats->value_bytes },
		{ "hexkv_store_pins", COUNTER, "Pins given or renewed.", stats->pins.given },
		{ "hexkv_store_pins_refused", COUNTER, "Pins not given or renewed.",
		  stats->pins.refused },
		{ "hexkv_store_kept_values", GAUGE,
		  "Replaced or deleted value files that only a pin keeps.",
		  stats->pins.kept_files },
		{ "hexkv_store_kept_value_bytes", GAUGE, "Their bytes.", stats->pins.kept_bytes },
		{ "hexkv_store_space_free_bytes", GAUGE, "Free bytes of the file system.",
		  stats->space_free },
		{ "hexkv_store_space_bytes", GAUGE, "Bytes of the file system.",
		  stats->space_total },
		{ "hexkv_store_full", GAUGE, "1 while puts are refused for lack of space.",
		  stats->full },
		{ "hexkv_store_failed", GAUGE, "1 while the log can't be written.", stats->failed },
		{ "hexkv_store_memtable_bytes", GAUGE, "Bytes of the active memtable.",
		  lsm->memtable_bytes },
		{ "hexkv_store_sealed_memtables", GAUGE, "Memtables that wait for their flush.",
		  lsm->sealed_memtables },
		{ "hexkv_store_sealed_bytes", GAUGE, "Bytes of memtables that wait.",
		  lsm->sealed_bytes },
		{ "hexkv_store_segments", GAUGE, "Live segment files.", lsm->segments },
		{ "hexkv_store_runs", GAUGE, "Sorted runs.", lsm->runs },
		{ "hexkv_store_segment_bytes", GAUGE, "Bytes of live segment files.",
		  lsm->segment_bytes },
		{ "hexkv_store_entries", GAUGE, "Entries, replaced ones and tombstones included.",
		  lsm->entries },
		{ "hexkv_store_filter_bytes", GAUGE, "Memory of Bloom filters.",
		  lsm->filter_bytes },
		{ "hexkv_store_index_bytes", GAUGE, "Memory of segment indexes.",
		  lsm->index_bytes },
		{ "hexkv_store_flushes", COUNTER, "Flushes of memtables.", lsm->flushes },
		{ "hexkv_store_flushed_bytes", COUNTER, "Bytes written by flushes.",
		  lsm->flushed_bytes },
		{ "hexkv_store_compactions", COUNTER, "Merges of runs.", lsm->compactions },
		{ "hexkv_store_compacted_bytes", COUNTER, "Bytes written by merges.",
		  lsm->compacted_bytes },
		{ "hexkv_store_cache_hits", COUNTER, "Blocks found in the cache.",
		  lsm->cache_hits },
		{ "hexkv_store_cache_misses", COUNTER, "Blocks that had to be read.",
		  lsm->cache_misses },
		{ "hexkv_store_damaged_blocks", COUNTER, "Blocks that failed their checksum.",
		  lsm->damaged_blocks },
		{ "hexkv_store_background_error", GAUGE,
		  "Error number of the last flush or merge, 0 if it succeeded.",
		  (uint64_t)(lsm->background_error < 0 ? -lsm->background_error : 0) },
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < sizeof(metrics) / sizeof(metrics[0]); i++)
		r = append(&metrics[i], out);
	return r;
}
