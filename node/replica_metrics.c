/* SPDX-License-Identifier: MIT */
#include "node/replica_metrics.h"

#include "lib/clock.h"
#include "node/role.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct metric {
	const char *name; /* behind "hexkv_replica_" */
	const char *help;
	size_t offset; /* of a uint64_t */
};

#define VIEW(field)    offsetof(struct replica_view, field)
#define COUNTER(field) offsetof(struct replica_counters, field)
#define PEER(field)    offsetof(struct replica_peer, field)

static const struct metric gauges[] = {
	{ "epoch", "Epoch in which the node leads, or the newest it has something of.",
	  VIEW(epoch) },
	{ "promise", "Highest epoch that the node has accepted.", VIEW(promise) },
	{ "sequence", "Last sequence of the log on stable storage.", VIEW(end.sequence) },
	{ "bootstrap_bytes", "Bytes of the copy that have been fetched.", VIEW(bootstrap_bytes) },
	{ "bootstrap_total_bytes", "Bytes of the copy that is fetched; 0: none is.",
	  VIEW(bootstrap_total) },
};

static const struct metric counters[] = {
	{ "leads", "Times the node began to lead.", COUNTER(leads) },
	{ "bootstraps", "Copies that were fetched whole.", COUNTER(bootstraps) },
	{ "repairs", "Diverged suffixes that were set aside.", COUNTER(repairs) },
	{ "diverged_entries", "Entries that were set aside: acknowledged here, lost to the shard.",
	  COUNTER(diverged_entries) },
	{ "pulls_asked", "Pulls sent to the leader.", COUNTER(pulls_asked) },
	{ "pulls_answered", "Pulls of followers answered.", COUNTER(pulls_answered) },
	{ "received_entries", "Entries taken from other nodes.", COUNTER(entries_received) },
	{ "received_bytes", "Bytes taken from other nodes.", COUNTER(bytes_received) },
	{ "sent_entries", "Entries given to other nodes.", COUNTER(entries_sent) },
	{ "sent_bytes", "Bytes given to other nodes.", COUNTER(bytes_sent) },
	{ "fetched_values", "Value files fetched.", COUNTER(values_fetched) },
	{ "shared_values", "Value files that were here already.", COUNTER(values_shared) },
	{ "failures", "Steps that had to be tried again.", COUNTER(failures) },
};

static const struct metric peer_gauges[] = {
	{ "peer_sequence", "Last sequence that the other node has on stable storage.",
	  PEER(end.sequence) },
	{ "peer_promise", "Highest epoch that the other node has accepted.", PEER(promise) },
};

/* Of nodes that follow this one. */
static const struct metric lag_gauges[] = {
	{ "lag_records", "Records that the follower does not have yet.", PEER(lag_records) },
	{ "lag_bytes", "Bytes of log that the follower does not have yet.", PEER(lag_bytes) },
};

static uint64_t number_at(const void *base, size_t offset)
{
	uint64_t number;

	memcpy(&number, (const char *)base + offset, sizeof(number));
	return number;
}

/* "hexkv_replica_" and @name. */
struct full_name {
	char text[64];
};

static struct full_name full(const char *name)
{
	struct full_name full;

	snprintf(full.text, sizeof(full.text), "hexkv_replica_%s", name);
	return full;
}

static int add_plain(struct buf *out, const struct metric *metric, const char *type,
		     uint64_t number)
{
	struct full_name name = full(metric->name);
	int r = metrics_family(out, name.text, type, metric->help);

	if (r < 0)
		return r;
	return metrics_sample_u64(out, name.text, strcmp(type, "counter") == 0 ? "_total" : "", "",
				  number);
}

static int add_roles(const struct replica_view *view, struct buf *out)
{
	char label[48];
	int r;

	r = metrics_family(out, "hexkv_replica_role", "gauge", "1 for the role that the node has.");
	for (int role = 0; r >= 0 && role < REPLICA_ROLE_COUNT; role++) {
		snprintf(label, sizeof(label), "role=\"%s\"", role_name((enum replica_role)role));
		r = metrics_sample_u64(out, "hexkv_replica_role", "", label,
				       view->role == (enum replica_role)role);
	}
	return r;
}

static uint64_t age_ms(uint64_t then_ms)
{
	uint64_t now = clock_monotonic_ms();

	return now > then_ms ? now - then_ms : 0;
}

/* What is not known has no sample. */
static int add_staleness(const struct replica_view *view, struct buf *out)
{
	static const char name[] = "hexkv_replica_staleness_seconds";
	int r;

	r = metrics_family(out, name, "gauge", "How old what is read here may be.");
	if (r < 0 || (view->fresh_ms == 0 && view->role != REPLICA_LEADER))
		return r;
	return metrics_sample_double(
		out, name, "", "",
		view->role == REPLICA_LEADER ? 0 : (double)age_ms(view->fresh_ms) / 1000);
}

static void node_label(const struct service *service, const struct replica_peer *peer,
		       char ret_label[80])
{
	snprintf(ret_label, 80, "node=\"%s\"", service->shard->nodes[peer->place].name);
}

static int add_peers(const struct service *service, const struct replica_view *view,
		     const struct metric *metric, bool followers, struct buf *out)
{
	struct full_name name = full(metric->name);
	char label[80];
	int r;

	r = metrics_family(out, name.text, "gauge", metric->help);
	for (unsigned i = 0; r >= 0 && i < view->peer_count; i++) {
		const struct replica_peer *peer = &view->peers[i];

		if (followers && !peer->follows)
			continue;
		node_label(service, peer, label);
		r = metrics_sample_u64(out, name.text, "", label, number_at(peer, metric->offset));
	}
	return r;
}

static int add_reached(const struct service *service, const struct replica_view *view,
		       struct buf *out)
{
	char label[80];
	int r;

	r = metrics_family(out, "hexkv_replica_peer_reached", "gauge",
			   "1 while the other node is heard of.");
	for (unsigned i = 0; r >= 0 && i < view->peer_count; i++) {
		node_label(service, &view->peers[i], label);
		r = metrics_sample_u64(out, "hexkv_replica_peer_reached", "", label,
				       view->peers[i].reached);
	}
	return r;
}

/* Times in seconds: since a node was heard of, or how far behind a follower is. */
static int add_seconds(const struct service *service, const struct replica_view *view,
		       const char *name, const char *help, bool lag, struct buf *out)
{
	char label[80];
	int r;

	r = metrics_family(out, name, "gauge", help);
	for (unsigned i = 0; r >= 0 && i < view->peer_count; i++) {
		const struct replica_peer *peer = &view->peers[i];

		if (lag ? !peer->follows : peer->heard_ms == 0)
			continue;
		node_label(service, peer, label);
		r = metrics_sample_double(out, name, "", label,
					  (double)(lag ? peer->lag_ms : age_ms(peer->heard_ms)) /
						  1000);
	}
	return r;
}

static int add_all_peers(const struct service *service, const struct replica_view *view,
			 struct buf *out)
{
	int r;

	r = add_reached(service, view, out);
	if (r >= 0)
		r = add_seconds(service, view, "hexkv_replica_peer_silence_seconds",
				"Since the other node was heard of.", false, out);
	for (size_t i = 0; r >= 0 && i < sizeof(peer_gauges) / sizeof(peer_gauges[0]); i++)
		r = add_peers(service, view, &peer_gauges[i], false, out);
	for (size_t i = 0; r >= 0 && i < sizeof(lag_gauges) / sizeof(lag_gauges[0]); i++)
		r = add_peers(service, view, &lag_gauges[i], true, out);
	if (r >= 0)
		r = add_seconds(service, view, "hexkv_replica_lag_seconds",
				"How far the follower is behind.", true, out);
	return r;
}

int replica_metrics(const struct service *service, const struct replica_view *view, struct buf *out)
{
	static const struct metric reads = { "reads",
					     "1 while the node's records may be read, however old.",
					     0 };
	static const struct metric waits = { "ack_waits", "Writes that wait for followers.", 0 };
	int r;

	r = add_roles(view, out);
	if (r >= 0)
		r = add_plain(out, &reads, "gauge", view->reads);
	if (r >= 0)
		r = add_plain(out, &waits, "gauge", acks_waiting(service->acks));
	if (r >= 0)
		r = add_staleness(view, out);
	for (size_t i = 0; r >= 0 && i < sizeof(gauges) / sizeof(gauges[0]); i++)
		r = add_plain(out, &gauges[i], "gauge", number_at(view, gauges[i].offset));
	for (size_t i = 0; r >= 0 && i < sizeof(counters) / sizeof(counters[0]); i++)
		r = add_plain(out, &counters[i], "counter",
			      number_at(&view->counters, counters[i].offset));
	return r < 0 ? r : add_all_peers(service, view, out);
}

/* JSON */

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* Sets @name to @value in @object; a failure shows as a NULL in what uses it. */
static void set(json_t *object, const char *name, json_t *value)
{
	(void)json_object_set_new(object, name, value);
}

static json_t *version_json(struct version version)
{
	char etag[ETAG_BYTES_MAX];

	if (version.epoch == 0)
		return json_null();
	version_to_etag(version, etag);
	return json_stringn(etag + 1, strlen(etag) - 2);
}

static json_t *peer_json(const struct service *service, const struct replica_peer *peer)
{
	json_t *json = json_object();

	set(json, "name", json_string(service->shard->nodes[peer->place].name));
	set(json, "reached", json_boolean(peer->reached));
	set(json, "heard_ms_ago", peer->heard_ms ? integer(age_ms(peer->heard_ms)) : json_null());
	set(json, "role", peer->heard_ms ? json_string(role_name(peer->role)) : json_null());
	set(json, "promise", role_epoch(peer->promise));
	set(json, "end", version_json(peer->end));
	set(json, "whole", json_boolean(peer->whole));
	set(json, "follows", json_boolean(peer->follows));
	set(json, "lag_records", peer->follows ? integer(peer->lag_records) : json_null());
	set(json, "lag_bytes", peer->follows ? integer(peer->lag_bytes) : json_null());
	set(json, "lag_ms", peer->follows ? integer(peer->lag_ms) : json_null());
	return json;
}

static json_t *counters_json(const struct replica_counters *numbers)
{
	json_t *json = json_object();

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		set(json, counters[i].name, integer(number_at(numbers, counters[i].offset)));
	return json;
}

static json_t *bootstrap_json(const struct replica_view *view)
{
	if (view->bootstrap_total == 0)
		return json_null();
	return json_pack("{s:o, s:o}", "bytes", integer(view->bootstrap_bytes), "total_bytes",
			 integer(view->bootstrap_total));
}

json_t *replica_status(const struct service *service, const struct replica_view *view)
{
	json_t *json = json_object(), *peers = json_array();

	set(json, "epoch", role_epoch(view->epoch));
	set(json, "promise", role_epoch(view->promise));
	set(json, "end", version_json(view->end));
	set(json, "leader_end",
	    view->role == REPLICA_LEADER ? json_null() : version_json(view->leader_end));
	set(json, "reads", json_boolean(view->reads));
	set(json, "staleness_ms", role_staleness(view));
	set(json, "ack_waits", integer(acks_waiting(service->acks)));
	set(json, "bootstrap", bootstrap_json(view));
	set(json, "counters", counters_json(&view->counters));
	for (unsigned i = 0; i < view->peer_count; i++)
		(void)json_array_append_new(peers, peer_json(service, &view->peers[i]));
	set(json, "peers", peers);
	return json;
}
