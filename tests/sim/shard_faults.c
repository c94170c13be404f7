/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong in a simulated shard, one thing after another, each for a while. Several may go
 * wrong at once.
 */
#include "tests/sim/shard.h"

#include "tests/sim/shard_oracle.h"
#include "tests/sim/shard_sabotage.h"

#include <errno.h>
#include <string.h>

#define RETRY_WITHIN_US 3000000 /* a store tries to write its log and tree again */
#define MANY_CALLS      80 /* a death comes within so many calls of the disk */

static uint64_t draw(struct shard *shard, uint64_t below)
{
	return shard_random_below(&shard->random, below);
}

static struct shard_node *any_node(struct shard *shard)
{
	return &shard->nodes[draw(shard, shard->node_count)];
}

static void later(struct shard *shard, uint64_t mean_us, void (*run)(void *, struct shard_event *),
		  unsigned node)
{
	uint64_t at = shard->events.now_us + shard_random_around(&shard->random, mean_us);

	shard_events_add(&shard->events, at, run, shard)->node = node;
}

static uint64_t time_down(struct shard *shard)
{
	return shard_random_around(&shard->random, draw(shard, 8) ? 1500000 : 15000000);
}

/* ---- deaths ---- */

static void die(struct shard *shard, struct shard_node *node, enum shard_fate fate)
{
	if (!shard_node_is_up(node))
		return;
	node->dies_by_power = fate == FATE_CUT;
	if (fate != FATE_STOPPED && draw(shard, 3)) {
		/* In the middle of something. */
		crash_vfs_cut_after(node->crash, 1 + draw(shard, MANY_CALLS));
		return;
	}
	shard_node_end(node, fate);
	shard_node_start_in(node, time_down(shard));
}

/* All at once, as when the power of a room goes. */
static void die_together(struct shard *shard)
{
	for (unsigned i = 0; i < shard->node_count; i++)
		if (shard_node_is_up(&shard->nodes[i])) {
			shard_node_end(&shard->nodes[i], FATE_CUT);
			shard_node_start_in(&shard->nodes[i], time_down(shard));
		}
	shard->counts.cuts++;
}

static void wipe(struct shard *shard, struct shard_node *node)
{
	if (shard_node_is_up(node))
		shard_node_end(node, FATE_KILLED);
	shard_node_wipe(node);
	shard_node_start_in(node, time_down(shard));
	shard->counts.wipes++;
}

/* ---- the network ---- */

static void join(void *state, struct shard_event *event)
{
	struct shard *shard = state;

	(void)event;
	shard_note(shard, "no partition");
	memset(shard->net.cut, 0, sizeof(shard->net.cut));
}

static void part(struct shard *shard)
{
	unsigned side = (unsigned)draw(shard, 1u << shard->node_count);
	bool one_way = draw(shard, 3) == 0;

	shard->counts.partitions++;
	shard_note(shard, "partition %x%s", side, one_way ? ", one way" : "");
	for (unsigned i = 0; i < shard->node_count; i++)
		for (unsigned j = 0; j < shard->node_count; j++)
			if ((side >> i & 1) != (side >> j & 1) && (!one_way || (side >> i & 1)))
				shard->net.cut[i][j] = true;
	later(shard, draw(shard, 4) ? 2000000 : 12000000, join, 0);
}

static void change_weather(struct shard *shard)
{
	static const uint64_t delays[] = { 50, 200, 1000, 20000 };
	static const unsigned odds[] = { 0, 0, 1, 5, 20 };

	shard->net.weather = (struct shard_weather){
		.delay_us = delays[draw(shard, 4)],
		.jitter_us = delays[draw(shard, 4)],
		.slow_percent = odds[draw(shard, 5)],
		.slow_us = 1000 << draw(shard, 11),
		.loss_percent = odds[draw(shard, 5)],
		.twice_percent = odds[draw(shard, 5)],
	};
}

/* ---- slow ones, full disks ---- */

static void pause_node(struct shard *shard, struct shard_node *node)
{
	if (!shard_node_is_up(node))
		return;
	shard->counts.pauses++;
	shard_note(shard, "n%u is paused", node->place);
	node->paused_until_us =
		shard->events.now_us +
		shard_random_around(&shard->random, draw(shard, 2) ? 50000 : 3000000);
}

/* Of the disk that it began with; a node may have got another one since. */
static void later_mend(struct shard *shard, struct shard_node *node,
		       void (*mend)(void *, struct shard_event *))
{
	uint64_t at = shard->events.now_us + shard_random_around(&shard->random, 3000000);
	struct shard_event *event = shard_events_add(&shard->events, at, mend, shard);

	event->node = node->place;
	event->numbers[0] = node->disk;
	node->disk_troubles++;
}

static struct shard_node *to_mend(struct shard *shard, const struct shard_event *event)
{
	struct shard_node *node = &shard->nodes[event->node];

	if (node->disk != event->numbers[0] || !shard->faulty)
		return NULL;
	node->disk_troubles--;
	node->doubtful_until_us = shard->events.now_us + RETRY_WITHIN_US;
	return node;
}

static void make_room(void *state, struct shard_event *event)
{
	struct shard_node *node = to_mend(state, event);

	if (node)
		crash_vfs_set_capacity(node->crash, 0);
}

static void fill_disk(struct shard *shard, struct shard_node *node)
{
	uint64_t space, total;

	if (vfs_space(crash_vfs_base(node->crash), SHARD_DIR, &space, &total) < 0)
		return;
	shard->counts.full_disks++;
	shard_note(shard, "n%u: disk full", node->place);
	crash_vfs_set_capacity(node->crash, total - space + 1 + draw(shard, 200000));
	later_mend(shard, node, make_room);
}

static void end_failures(void *state, struct shard_event *event)
{
	struct shard_node *node = to_mend(state, event);

	if (node)
		crash_vfs_fail(node->crash, 1, 0, EIO);
}

static void fail_disk(struct shard *shard, struct shard_node *node)
{
	if (!shard_node_is_up(node))
		return;
	shard->counts.failing_disks++;
	shard_note(shard, "n%u: disk fails", node->place);
	node->disk_failed = true;
	crash_vfs_fail(node->crash, 1 + draw(shard, MANY_CALLS), 1 + draw(shard, 4), EIO);
	later_mend(shard, node, end_failures);
}

/* ---- who leads ---- */

static void promoted(void *state, enum outcome outcome, const char *sentence)
{
	struct shard_node *node = state;

	shard_note(node->shard, "n%u: promotion: %d: %s", node->place, outcome, sentence);
	shard_trace_number(node->shard, outcome);
	node->shard->counts.promoted += outcome == OUTCOME_OK;
}

static void handed_over(void *state, enum outcome outcome, const char *sentence)
{
	struct shard_node *node = state;

	promoted(state, outcome, sentence);
	if (outcome == OUTCOME_OK && !crash_vfs_is_cut(node->crash))
		shard_oracle_handed_over(node);
}

void shard_faults_promote(struct shard *shard, struct shard_node *node, bool force)
{
	bool agreed = !force || shard->sabotage == SABOTAGE_HANDOVER;
	struct replica_view view;

	if (!shard_node_is_up(node))
		return;
	replica_view(node->replica, &view);
	if (view.role == REPLICA_LEADER)
		return;
	shard->counts.promotions++;
	shard->counts.forced += force;
	shard_note(shard, "n%u shall lead%s", node->place, force ? ", forced" : "");
	shard_node_enter(node);
	replica_promote(node->replica, force, agreed ? handed_over : promoted, node);
	shard_node_leave(node);
}

/* ---- one after another ---- */

static void one_fault(struct shard *shard)
{
	struct shard_node *node = any_node(shard);
	uint64_t what = draw(shard, 100);

	if (what < 12) {
		shard->counts.kills++;
		die(shard, node, FATE_KILLED);
	} else if (what < 24) {
		shard->counts.cuts++;
		die(shard, node, FATE_CUT);
	} else if (what < 30) {
		shard->counts.stops++;
		die(shard, node, FATE_STOPPED);
	} else if (what < 33) {
		wipe(shard, node);
	} else if (what < 35) {
		die_together(shard);
	} else if (what < 50) {
		part(shard);
	} else if (what < 60) {
		change_weather(shard);
	} else if (what < 68) {
		pause_node(shard, node);
	} else if (what < 72) {
		fill_disk(shard, node);
	} else if (what < 76) {
		fail_disk(shard, node);
	} else {
		shard_faults_promote(shard, node, what < 88);
	}
}

static void next_fault(void *state, struct shard_event *event)
{
	struct shard *shard = state;

	(void)event;
	if (!shard->faulty)
		return;
	one_fault(shard);
	later(shard, shard->profile.fault_every_us, next_fault, 0);
}

void shard_faults_begin(struct shard *shard)
{
	shard->faulty = true;
	change_weather(shard);
	later(shard, shard->profile.fault_every_us, next_fault, 0);
}

void shard_faults_end(struct shard *shard)
{
	shard->faulty = false;
	shard->net.weather = (struct shard_weather){ .delay_us = 100, .jitter_us = 100 };
	memset(shard->net.cut, 0, sizeof(shard->net.cut));
	shard_sabotage_calm(shard);
	for (unsigned i = 0; i < shard->node_count; i++) {
		struct shard_node *node = &shard->nodes[i];

		crash_vfs_set_capacity(node->crash, 0);
		crash_vfs_fail(node->crash, 1, 0, EIO);
		crash_vfs_cut_after(node->crash, 0);
		if (node->disk_troubles > 0)
			node->doubtful_until_us = shard->events.now_us + RETRY_WITHIN_US;
		node->disk_troubles = 0;
		node->paused_until_us = 0;
		if (!shard_node_is_up(node))
			shard_node_start(node);
	}
}
