/* SPDX-License-Identifier: MIT */
#include "node/admin.h"

#include "lib/clock.h"
#include "node/replica_metrics.h"
#include "node/replication.h"
#include "node/role.h"
#include "node/store_metrics.h"

#include <string.h>

static bool is_ready(const struct request *request, const struct store_stats *stats)
{
	enum replica_role role = replication_role(request_service(request)->replication).role;

	return server_is_ready(request->worker->worker->server) && !stats->failed &&
	       role != REPLICA_STARTING && role != REPLICA_RECOVERING;
}

void admin_live(const struct request *request)
{
	request_json(request, OUTCOME_OK, json_pack("{s:s}", "status", "live"));
}

void admin_ready(const struct request *request)
{
	struct store_stats stats;

	store_stats(request_service(request)->store, &stats);
	if (is_ready(request, &stats))
		request_json(request, OUTCOME_OK, json_pack("{s:s}", "status", "ready"));
	else if (stats.failed)
		request_problem(request, OUTCOME_UNAVAILABLE,
				"the node's log can't be written; see its own log");
	else
		request_problem(request, OUTCOME_UNAVAILABLE,
				"the node is starting or shutting down; try again");
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* Sets @name to @value in @object; a failure shows as a NULL in what uses it. */
static void set(json_t *object, const char *name, json_t *value)
{
	(void)json_object_set_new(object, name, value);
}

static json_t *log_status(const struct store_stats *stats)
{
	json_t *log = json_object();

	set(log, "bytes", integer(stats->log_bytes));
	set(log, "files", integer(stats->log_files));
	set(log, "syncs", integer(stats->log_syncs));
	set(log, "records", integer(stats->log_records));
	set(log, "entries", integer(stats->log_entries));
	return log;
}

static json_t *tree_status(const struct lsm_stats *lsm)
{
	json_t *tree = json_object();

	set(tree, "memtable_bytes", integer(lsm->memtable_bytes));
	set(tree, "sealed_memtables", integer(lsm->sealed_memtables));
	set(tree, "sealed_bytes", integer(lsm->sealed_bytes));
	set(tree, "segments", integer(lsm->segments));
	set(tree, "runs", integer(lsm->runs));
	set(tree, "segment_bytes", integer(lsm->segment_bytes));
	set(tree, "entries", integer(lsm->entries));
	set(tree, "filter_bytes", integer(lsm->filter_bytes));
	set(tree, "index_bytes", integer(lsm->index_bytes));
	set(tree, "damaged_blocks", integer(lsm->damaged_blocks));
	set(tree, "background_error",
	    lsm->background_error ? json_string(strerror(-lsm->background_error)) : json_null());
	return tree;
}

static json_t *store_status(const struct store_stats *stats)
{
	json_t *store = json_object();
	char etag[ETAG_BYTES_MAX];

	version_to_etag(stats->last, etag);
	set(store, "id", json_string(stats->store_id));
	set(store, "version", json_stringn(etag + 1, strlen(etag) - 2));
	set(store, "position", integer(stats->position));
	set(store, "flushed_position", integer(stats->flushed_position));
	set(store, "full", json_boolean(stats->full));
	set(store, "failed", json_boolean(stats->failed));
	set(store, "space_free", integer(stats->space_free));
	set(store, "space_total", integer(stats->space_total));
	set(store, "value_bytes", integer(stats->value_bytes));
	set(store, "log", log_status(stats));
	set(store, "tree", tree_status(&stats->lsm));
	return store;
}

void admin_status(const struct request *request)
{
	const struct service *service = request_service(request);
	const struct cluster_node *leader = role_leader(service);
	struct replica_view view;
	struct store_stats stats;
	json_t *status;

	store_stats(service->store, &stats);
	replication_view(service->replication, &view);
	status = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:b, s:I, s:I}", "program",
			   "hexkv-node", "version", HEXKV_VERSION, "cluster",
			   service->cluster->name, "name", service->node->name, "shard",
			   service->shard->name, "role", role_name(view.role), "leader",
			   leader ? json_string(leader->name) : json_null(), "url",
			   service->node->url, "ready", is_ready(request, &stats), "uptime_ms",
			   (json_int_t)(clock_monotonic_ms() - service->started_ms), "answers",
			   (json_int_t)traffic_total(&service->traffic));
	if (status) {
		set(status, "store", store_status(&stats));
		set(status, "replication", replica_status(service, &view));
		set(json_object_get(status, "store"), "file_system",
		    json_string(service->file_system));
	}
	request_json(request, OUTCOME_OK, status);
}

void admin_topology(const struct request *request)
{
	request_json(request, OUTCOME_OK, cluster_to_json(request_service(request)->cluster));
}

void admin_metrics(const struct request *request)
{
	const struct service *service = request_service(request);
	enum metrics_format format =
		request->ex->accepts_openmetrics ? METRICS_OPENMETRICS : METRICS_PROMETHEUS;
	struct replica_view view;
	struct store_stats stats;
	struct buf text = { 0 };
	int r;

	store_stats(service->store, &stats);
	replication_view(service->replication, &view);
	r = traffic_metrics(&service->traffic, &text);
	if (r >= 0)
		r = store_metrics(&stats, &text);
	if (r >= 0)
		r = replica_metrics(service, &view, &text);
	if (r >= 0)
		r = metrics_end(&text, format);
	if (r >= 0)
		request_text(request, metrics_content_type(format), &text);
	else
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
	buf_deinit(&text);
}
