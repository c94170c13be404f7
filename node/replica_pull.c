/* SPDX-License-Identifier: MIT */
/*
 * What a follower does, one step at a time: pull, apply, pull on. A pull's answer may send it to
 * repair or to bootstrap instead; both come back here. What fails is tried again, later each time,
 * and begins with a pull, so that it sees what has changed meanwhile.
 */
#include "node/replica_private.h"

#include "lib/cleanup.h"
#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

void replica_job_reset(struct replica *replica)
{
	struct replica_job *job = &replica->job;

	replica_apply_drop(replica);
	replica_repair_drop(replica);
	replica_bootstrap_drop(replica);
	replica_value_rest(replica);
	*job = (struct replica_job){ 0 };
}

void replica_job_succeed(struct replica *replica)
{
	struct replica_job *job = &replica->job;

	if (job->backoff_ms > 0)
		log_info("goes on", "source=%d", replica->source);
	job->backoff_ms = 0;
	job->at_ms = 0;
}

void replica_job_rest(struct replica *replica, uint64_t at_ms)
{
	replica_apply_drop(replica);
	replica->job.step = STEP_REST;
	replica->job.call = 0;
	replica->job.at_ms = at_ms;
}

uint64_t replica_job_back_off(struct replica *replica, const char *what, int error)
{
	struct replica_job *job = &replica->job;

	if (job->backoff_ms == 0)
		log_warn(what, "source=%d error=%d", replica->source, -error);
	job->backoff_ms = replica_next_backoff(job->backoff_ms);
	job->is_current = false;
	replica->counters.failures++;
	return replica_now(replica) + job->backoff_ms;
}

void replica_job_fail(struct replica *replica, const char *what, int error)
{
	uint64_t at_ms = replica_job_back_off(replica, what, error);

	replica_repair_drop(replica);
	replica_job_rest(replica, at_ms);
	replica_changed(replica);
}

/* It is heard again: no reason to wait any longer for it. */
void replica_peer_is_back(struct replica *replica, const struct replica_node *peer)
{
	struct replica_job *job = &replica->job;

	if ((int)peer->place == replica->source && job->step == STEP_REST && job->is_unreached) {
		job->is_unreached = false;
		job->at_ms = 0;
	}
}

static void pull(struct replica *replica)
{
	struct replica_message message = replica_request(replica, REPLICA_PULL);
	struct replica_job *job = &replica->job;

	message.end = replica_standing(replica).synced;
	if (job->pull_bytes == 0)
		job->pull_bytes = PULL_BYTES_FIRST;
	message.bytes_max = job->pull_bytes;
	/* Whether it is caught up is worth to be known at once. */
	message.wait_ms = replica->recovering || !job->is_current ? 0 : PULL_WAIT_MS;
	job->sent_ms = replica_now(replica);
	job->step = STEP_PULL;
	replica->counters.pulls_asked++;
	job->call = replica_send(replica, (unsigned)replica->source, &message,
				 message.wait_ms + ASK_TIMEOUT_MS);
	if (job->call == 0)
		replica_job_fail(replica, "can't pull", -ENOMEM);
}

/* What a pull brings counts as durable here only once all of it is, large values included: where
 * there are many of those it is asked for less. */
static void adapt(struct replica_job *job)
{
	uint64_t bytes = job->answer.len;

	if (job->value_bytes > PULL_VALUE_BYTES) {
		bytes = bytes * PULL_VALUE_BYTES / job->value_bytes;
		job->pull_bytes = bytes > PULL_BYTES_LEAST ? (uint32_t)bytes : PULL_BYTES_LEAST;
	} else if (bytes >= job->pull_bytes / 2 && job->value_bytes < PULL_VALUE_BYTES / 2) {
		job->pull_bytes =
			job->pull_bytes < PULL_BYTES / 2 ? 2 * job->pull_bytes : PULL_BYTES;
	}
}

/* All of an answer is applied. */
static void applied(struct replica *replica)
{
	struct replica_job *job = &replica->job;
	struct version leader_end = job->leader_end;
	bool is_known = job->lag_ms != REPLICA_LAG_UNKNOWN && job->lag_ms < job->sent_ms;
	uint64_t fresh_ms = is_known ? job->sent_ms - job->lag_ms : 0;
	struct store_standing standing = replica_standing(replica);
	bool caught_up = standing.synced.sequence >= leader_end.sequence;

	adapt(job);
	replica_job_succeed(replica);
	replica_job_rest(replica, 0);
	job->is_current = true;
	if (replica->recovering) {
		if (caught_up)
			replica_recovered(replica);
		return;
	}
	replica->leader_end = leader_end;
	if (fresh_ms > replica->fresh_ms)
		replica->fresh_ms = fresh_ms;
	if (caught_up && !standing.whole && replica_repair_is_over(replica)) {
		int r = store_set_whole(replica->options.store);

		if (r < 0)
			log_error("can't write where this node stands", "error=%d", -r);
		else
			log_info("is caught up", "sequence=%" PRIu64, standing.synced.sequence);
	}
	if (replica->role != REPLICA_FOLLOWER)
		replica_set_role(replica, REPLICA_FOLLOWER);
	replica_changed(replica);
}

static void apply(struct replica *replica)
{
	int r = replica_apply(replica);

	if (r < 0)
		replica_job_fail(replica, "shipped records can't be applied", r);
	else if (r == 1)
		applied(replica);
}

/* The bytes stay until all that points into them is applied. */
int replica_job_keep(struct replica *replica, const void *bytes, size_t len)
{
	struct replica_job *job = &replica->job;
	struct replica_message message;
	int r;

	buf_clear(&job->answer);
	r = buf_reserve_exact(&job->answer, len);
	if (r == 0)
		r = buf_append(&job->answer, bytes, len);
	if (r == 0)
		r = replica_message_decode(job->answer.data, job->answer.len, &message);
	if (r < 0)
		return r;
	job->items = message.items;
	job->value_bytes = 0;
	memcpy(job->source, message.head.store_id, 16);
	job->leader_end = message.end;
	job->lag_ms = message.lag_ms;
	return 0;
}

/* The first answer of a leader brings its lineage, and with it the promise is worth keeping. */
static int adopt_lineage(struct replica *replica, const struct replica_message *message)
{
	struct replica_items left = message->epochs;
	_cleanup_(freep) struct history_epoch *epochs =
		calloc((size_t)left.count + 1, sizeof(*epochs));
	size_t count = 0;
	int r;

	if (!epochs)
		return -ENOMEM;
	while (replica_next_epoch(&left, &epochs[count]))
		count++;
	r = store_adopt_history(replica->options.store, &message->head.lineage, epochs, count);
	if (r < 0)
		return r;
	replica->lineage = replica->own_lineage = message->head.lineage;
	return replica_persist(replica, replica->promise);
}

/* A node that leads in a lower epoch has not heard of the promise yet. */
static bool is_from_leader(const struct replica *replica, const struct replica_message *message)
{
	return replica->recovering ||
	       (message->head.role == REPLICA_LEADER && message->head.promise == replica->promise);
}

static void pulled(struct replica *replica, const struct replica_message *message,
		   const void *bytes, size_t len)
{
	struct replica_job *job = &replica->job;
	int r;

	if (message->status <= REPLICA_TRIMMED && !is_from_leader(replica, message)) {
		replica_job_fail(replica, "follows a node that does not lead yet", -EAGAIN);
		return;
	}
	switch (message->status) {
	case REPLICA_OK:
		if (!lineage_is_set(&message->head.lineage)) {
			replica_job_fail(replica, "the leader has no lineage", -EPROTO);
			return;
		}
		replica_value_ask_again(replica);
		r = replica_job_keep(replica, bytes, len);
		if (r == 0 && !lineage_is_set(&replica->own_lineage))
			r = adopt_lineage(replica, message);
		if (r < 0) {
			replica_job_fail(replica, "can't take in what was pulled", r);
			return;
		}
		if (replica_repair_is_in_vain(replica, message)) {
			replica_bootstrap_begin(replica, "a repair was left unfinished");
			return;
		}
		job->step = STEP_APPLY;
		apply(replica);
		break;
	case REPLICA_DIVERGED:
		replica_repair_begin(replica, message);
		break;
	case REPLICA_TRIMMED:
		replica_bootstrap_begin(replica, "the log was trimmed");
		break;
	case REPLICA_BUSY:
		if (is_from_leader(replica, message)) {
			replica_job_fail(replica, "is told to ask again", -EAGAIN);
			break;
		}
		replica_job_fail(replica, "follows a node that does not lead yet", -EAGAIN);
		break;
	case REPLICA_NOT_LEADER:
		replica_job_fail(replica, "follows a node that does not lead yet", -EAGAIN);
		break;
	default:
		replica_job_fail(replica, "is refused", -EPROTO);
		break;
	}
}

void replica_job_answered(struct replica *replica, uint64_t call, int error,
			  const struct replica_message *message, const void *bytes, size_t len)
{
	struct replica_job *job = &replica->job;

	if (job->call == 0 || job->call != call)
		return;
	job->call = 0;
	if (error == 0 && message->head.node != replica_peer_at(replica, replica->source)->id)
		error = -EPROTO;
	if (job->step == STEP_COPY) {
		replica_bootstrap_answered(replica, error, message);
	} else if (error < 0) {
		replica_job_fail(replica, "the node that is followed does not answer", error);
		job->is_unreached = true;
	} else if (job->step == STEP_PULL && message->kind == REPLICA_PULL) {
		pulled(replica, message, bytes, len);
	} else if (job->step == STEP_REPAIR && message->kind == REPLICA_RECORDS) {
		replica_repair_answered(replica, message, bytes, len);
	} else {
		replica_job_fail(replica, "an answer is not to the question", -EPROTO);
	}
}

static bool has_source(const struct replica *replica)
{
	return replica->source >= 0 && replica->source != (int)replica->options.self;
}

void replica_job_tick(struct replica *replica)
{
	struct replica_job *job = &replica->job;

	switch (job->step) {
	case STEP_REST:
		if (lineage_is_set(&replica->foreign))
			replica->source = replica_foreign_source(replica);
		if (replica->role == REPLICA_LEADER || replica->role == REPLICA_STARTING ||
		    !has_source(replica) || replica_now(replica) < job->at_ms)
			return;
		if (lineage_is_set(&replica->foreign))
			replica_bootstrap_diverged(replica, (struct replica_items){ 0 },
						   (struct version){ 0 });
		else
			pull(replica);
		break;
	case STEP_PULL:
		break;
	case STEP_APPLY:
		apply(replica);
		break;
	case STEP_REPAIR:
		replica_repair_tick(replica);
		break;
	case STEP_COPY:
		replica_bootstrap_tick(replica);
		break;
	}
}

uint64_t replica_job_next(const struct replica *replica)
{
	const struct replica_job *job = &replica->job;

	if (job->step == STEP_COPY)
		return replica_bootstrap_next(replica);
	if (job->step == STEP_REPAIR)
		return replica_repair_next(replica);
	if (job->step != STEP_REST || !has_source(replica) || replica->role == REPLICA_LEADER ||
	    replica->role == REPLICA_STARTING)
		return 0;
	return job->at_ms > 0 ? job->at_ms : replica_now(replica);
}
