/* SPDX-License-Identifier: MIT */
/*
 * One process after another on one disk. A death in the middle of a call shows when the call is
 * over: from then on the disk answered nothing, and nothing that the process said since leaves it.
 */
#include "tests/sim/shard.h"

#include "node/store_batch.h"
#include "tests/sim/shard_oracle.h"
#include "tests/sim/shard_sabotage.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGAN_NS         1700000000000000000
#define REOPEN_AFTER_US  1000000 /* a start that failed is tried again */
#define DEAD_US          3000000 /* about so long */
#define TICK_LATE_US     3000 /* a timer is never on time */
#define WAKE_LATE_US     300
#define STORE_TICK_US    100000
#define TICK_MAX_MS      3600000
#define RESTART_AFTER_US 20000

static int64_t wall_clock_ns;
static struct shard_node *current; /* the one that runs */

static int64_t read_wall_clock(void)
{
	return wall_clock_ns += 1000;
}

uint64_t shard_node_now_ms(const struct shard_node *node)
{
	return node->since_ms + node->shard->events.now_us / 1000;
}

bool shard_node_is_doubtful(const struct shard_node *node)
{
	return node->disk_troubles > 0 || node->doubtful_until_us > node->shard->events.now_us;
}

void shard_node_enter(struct shard_node *node)
{
	current = node;
	wall_clock_ns = BEGAN_NS + node->skew_ns + (int64_t)node->shard->events.now_us * 1000;
}

/* In place of wal_append(): the linker sees to it. */
int __wrap_wal_append(struct wal *wal, const struct wal_record *record);
int __real_wal_append(struct wal *wal, const struct wal_record *record);

int __wrap_wal_append(struct wal *wal, const struct wal_record *record)
{
	shard_oracle_appended(current, record);
	return __real_wal_append(wal, record);
}

/* ---- what is planned for a process ---- */

static void due(void *state, struct shard_event *event)
{
	struct shard_node *node = state;
	void (*run)(void *, struct shard_event *) =
		(void (*)(void *, struct shard_event *))(uintptr_t)event->numbers[2];

	if (!shard_node_is_up(node) || event->numbers[1] != node->life)
		return;
	if (node->paused_until_us > node->shard->events.now_us) {
		struct shard_event *later =
			shard_events_add(&node->shard->events, node->paused_until_us, due, node);

		later->node = event->node;
		memcpy(later->numbers, event->numbers, sizeof(later->numbers));
		later->bytes = buf_take(&event->bytes);
		return;
	}
	shard_node_enter(node);
	run(node, event);
	shard_node_leave(node);
}

struct shard_event *shard_node_plan(struct shard_node *node, uint64_t at_us,
				    void (*run)(void *, struct shard_event *))
{
	struct shard_event *event = shard_events_add(&node->shard->events, at_us, due, node);

	event->numbers[1] = node->life;
	event->numbers[2] = (uint64_t)(uintptr_t)run;
	return event;
}

static void tick(void *state, struct shard_event *event);

static void plan_tick(struct shard_node *node, uint64_t at_us)
{
	struct shard_event *event;

	if (node->tick_at_us > 0 && node->tick_at_us <= at_us)
		return;
	node->tick_at_us = at_us;
	event = shard_node_plan(node, at_us, tick);
	event->numbers[0] = ++node->ticks_planned;
}

static void tick(void *state, struct shard_event *event)
{
	struct shard_node *node = state;
	uint64_t next_ms, now_ms = shard_node_now_ms(node);
	uint64_t late_us = shard_random_below(&node->shard->random, TICK_LATE_US);

	if (event->numbers[0] != node->ticks_planned)
		return; /* there was cause for an earlier one */
	node->tick_at_us = 0;
	node->wants_tick = false;
	next_ms = replica_tick(node->replica);
	if (next_ms == UINT64_MAX)
		return;
	next_ms = next_ms > now_ms ? next_ms - now_ms : 0;
	if (next_ms > TICK_MAX_MS)
		next_ms = TICK_MAX_MS;
	plan_tick(node, node->shard->events.now_us + next_ms * 1000 + late_us);
}

/* The commit thread's sense of time. */
static void tick_store(void *state, struct shard_event *event)
{
	struct shard_node *node = state;
	uint64_t after_us = STORE_TICK_US + shard_random_below(&node->shard->random, TICK_LATE_US);

	(void)event;
	store_tick(node->store);
	shard_node_plan(node, node->shard->events.now_us + after_us, tick_store);
}

/* ---- its replica ---- */

/* Nothing leaves a process that has died in the middle of this call. */
static bool is_dying(const struct shard_node *node)
{
	return crash_vfs_is_cut(node->crash);
}

static void send_message(void *state, unsigned place, uint64_t call, struct buf *message,
			 uint32_t timeout_ms)
{
	struct shard_node *node = state;

	shard_sabotage_question(node, message);
	if (is_dying(node))
		buf_deinit(message);
	else
		shard_net_send(&node->shard->net, node->place, place, call, message, timeout_ms);
}

static void send_answer(void *state, uint64_t request, struct buf *message)
{
	struct shard_node *node = state;

	if (is_dying(node))
		buf_deinit(message);
	else
		shard_net_answer(&node->shard->net, request, message);
}

static void want_restart(void *state)
{
	struct shard_node *node = state;

	node->wants_restart = true;
}

static void note_change(void *state)
{
	(void)state;
}

static void want_tick(void *state)
{
	struct shard_node *node = state;

	node->wants_tick = true;
}

static void run_work(struct shard_work *work)
{
	void (*run)(void *) = work->run;

	work->run = NULL;
	if (run)
		run(work->argument);
}

static void work_is_due(void *state, struct shard_event *event)
{
	struct shard_node *node = state;

	run_work(&node->works[event->numbers[0]]);
}

/* Some take so long that who asked has given up. */
static void do_work(void *state, void (*run)(void *argument), void *argument)
{
	struct shard_node *node = state;
	struct shard_events *events = &node->shard->events;
	bool is_slow = node->shard->faulty && shard_random_below(&node->shard->random, 12) == 0;
	uint64_t after_us = shard_random_below(&node->shard->random, is_slow ? 10000000 : 20000);
	unsigned i = 0;

	while (i < SHARD_WORKS_MAX && node->works[i].run)
		i++;
	if (i == SHARD_WORKS_MAX || after_us % 8 == 0) {
		run(argument);
		return;
	}
	node->works[i] = (struct shard_work){ run, argument };
	shard_node_plan(node, events->now_us + after_us, work_is_due)->numbers[0] = i;
}

static const struct replica_transport transport = {
	.send = send_message,
	.answer = send_answer,
	.restart = want_restart,
	.changed = note_change,
	.wake = want_tick,
	.work = do_work,
};

static void hear(void *state, struct shard_event *event)
{
	struct shard_node *node = state;

	replica_asked(node->replica, event->numbers[0], event->bytes.data, event->bytes.len);
}

bool shard_node_asked(void *state, unsigned to, uint64_t ask, const struct buf *message)
{
	struct shard *shard = state;
	struct shard_node *node = &shard->nodes[to];
	struct shard_event *event;

	if (!shard_node_is_up(node))
		return false;
	event = shard_node_plan(node, shard->events.now_us, hear);
	event->numbers[0] = ask;
	if (buf_append(&event->bytes, message->data, message->len) < 0)
		abort();
	return true;
}

static void hear_answer(void *state, struct shard_event *event)
{
	struct shard_node *node = state;
	int error = event->node;

	replica_answered(node->replica, event->numbers[0], -error, error ? NULL : event->bytes.data,
			 event->bytes.len);
}

void shard_node_answered(void *state, unsigned from, uint64_t call, int error,
			 const struct buf *message)
{
	struct shard *shard = state;
	struct shard_event *event;

	event = shard_node_plan(&shard->nodes[from], shard->events.now_us, hear_answer);
	event->numbers[0] = call;
	event->node = (unsigned)-error;
	if (message && buf_append(&event->bytes, message->data, message->len) < 0)
		abort();
	shard_sabotage_answer(shard, from, &event->bytes);
}

/* ---- beginning and end ---- */

static uint64_t now_ms(void *state)
{
	return shard_node_now_ms(state);
}

static int open_store(struct shard_node *node)
{
	const struct shard_profile *profile = &node->shard->profile;
	const struct cluster_shard *of = &node->shard->cluster->shards[0];
	struct store_options options = {
		.vfs = crash_vfs_base(node->crash),
		.dir = SHARD_DIR,
		.cluster = node->shard->cluster->name,
		.node = of->nodes[node->place].name,
		.memtable_bytes = profile->memtable_bytes,
		.cache_bytes = profile->cache_bytes,
		.inline_bytes = profile->inline_bytes,
		.log_retain_bytes = profile->log_retain_bytes,
		.log_retain_s = profile->log_retain_s,
		.keeps_deletions = true,
		.threads = false,
		.realtime_ns = read_wall_clock,
	};
	char *why = NULL;
	int r;

	r = store_open(&options, &node->store, &why);
	if (r < 0 && !is_dying(node) && node->disk_troubles == 0)
		shard_break(node->shard, "node %u can't be opened: %d: %s", node->place, r, why);
	free(why);
	return r;
}

static int open_replica(struct shard_node *node)
{
	struct replica_options options = {
		.store = node->store,
		.acks = node->acks,
		.vfs = crash_vfs_base(node->crash),
		.dir = SHARD_DIR,
		.cluster = node->shard->cluster,
		.shard = &node->shard->cluster->shards[0],
		.self = node->place,
		.transport = &transport,
		.state = node,
		.now_ms = now_ms,
		.realtime_ns = read_wall_clock,
		.bootstrap_bytes_per_s = node->shard->profile.bootstrap_bytes_per_s,
	};

	return replica_new(&options, &node->replica);
}

static void start_later(void *state, struct shard_event *event)
{
	struct shard_node *node = state;

	if (!shard_node_is_up(node) && node->life == event->numbers[0])
		shard_node_start(node);
}

void shard_node_start_in(struct shard_node *node, uint64_t after_us)
{
	struct shard_event *event = shard_events_add(
		&node->shard->events, node->shard->events.now_us + after_us, start_later, node);

	event->numbers[0] = node->life;
}

static void free_all(struct shard_node *node)
{
	/* It is waited for; in a process that has died the disk takes none of it. */
	for (unsigned i = 0; i < SHARD_WORKS_MAX; i++)
		run_work(&node->works[i]);
	node->replica = replica_free(node->replica);
	if (node->acks)
		acks_stop(node->acks);
	node->store = store_close(node->store);
	node->acks = acks_free(node->acks);
	assert(!node->attempts);
}

void shard_node_start(struct shard_node *node)
{
	int r;

	if (shard_is_broken(node->shard))
		return;
	shard_note(node->shard, "n%u starts", node->place);
	shard_node_enter(node);
	node->wants_restart = node->wants_tick = false;
	node->tick_at_us = 0;
	r = open_store(node);
	if (r == 0) {
		node->acks = acks_new(node->shard->node_count);
		r = node->acks ? open_replica(node) : -ENOMEM;
	}
	if (r < 0) {
		free_all(node);
		if (is_dying(node))
			shard_node_end(node, node->dies_by_power ? FATE_CUT : FATE_KILLED);
		shard_node_start_in(node, REOPEN_AFTER_US);
		return;
	}
	node->fate = FATE_UP;
	node->shard->net.silent[node->place] = false;
	shard_oracle_started(node);
	plan_tick(node, node->shard->events.now_us);
	shard_node_plan(node, node->shard->events.now_us + STORE_TICK_US, tick_store);
	shard_node_leave(node);
}

/* What a dead process does on its way out counts for nothing: its disk does not answer. */
void shard_node_end(struct shard_node *node, enum shard_fate fate)
{
	struct shard *shard = node->shard;

	shard_note(shard, "n%u ends (%d)", node->place, fate);
	shard_node_enter(node);
	node->fate = fate;
	node->life++;
	node->paused_until_us = 0;
	if (fate != FATE_STOPPED)
		crash_vfs_cut(node->crash);
	free_all(node);
	if (is_dying(node)) {
		if (fate == FATE_CUT || node->dies_by_power)
			crash_vfs_restart(node->crash);
		else
			crash_vfs_revive(node->crash);
	}
	shard->net.silent[node->place] =
		fate == FATE_CUT && shard_random_percent(&shard->random, 50);
	shard_net_forget(&shard->net, node->place);
	shard_oracle_ended(node);
	shard_sabotage_ended(node);
}

void shard_node_leave(struct shard_node *node)
{
	if (is_dying(node)) {
		shard_node_end(node, node->dies_by_power ? FATE_CUT : FATE_KILLED);
		shard_node_start_in(node, shard_random_around(&node->shard->random, DEAD_US));
		return;
	}
	shard_sabotage_step(node);
	shard_oracle_look(node);
	if (node->wants_restart) {
		shard_node_end(node, FATE_STOPPED);
		shard_node_start_in(node, RESTART_AFTER_US);
		return;
	}
	if (node->wants_tick)
		plan_tick(node, node->shard->events.now_us +
					shard_random_below(&node->shard->random, WAKE_LATE_US));
	node->wants_tick = false;
}

static struct crash_vfs *new_disk(struct shard_node *node)
{
	struct crash_vfs *crash = crash_vfs_new(shard_random_next(&node->shard->random));

	crash_vfs_set_again_percent(crash, 20);
	node->disk++;
	return crash;
}

void shard_node_wipe(struct shard_node *node)
{
	shard_note(node->shard, "n%u is wiped", node->place);
	crash_vfs_free(node->crash);
	node->crash = new_disk(node);
	node->disk_troubles = 0;
	node->disk_failed = false;
	shard_oracle_wiped(node);
}

void shard_node_init(struct shard *shard, unsigned place)
{
	struct shard_node *node = &shard->nodes[place];

	*node = (struct shard_node){
		.shard = shard,
		.place = place,
		.id = shard->cluster->shards[0].nodes[place].id,
		.fate = FATE_STOPPED,
		.since_ms = 1 + shard_random_below(&shard->random, 1000000),
		.skew_ns = (int64_t)shard_random_below(&shard->random, 4000000000) - 2000000000,
	};
	node->crash = new_disk(node);
}

void shard_node_deinit(struct shard_node *node)
{
	if (shard_node_is_up(node)) {
		crash_vfs_cut(node->crash);
		free_all(node);
	}
	node->crash = crash_vfs_free(node->crash);
	node->earlier = crash_vfs_free(node->earlier);
}
