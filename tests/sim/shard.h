/* SPDX-License-Identifier: MIT */
/*
 * A simulated shard: nodes with real stores on disks in memory and the real replication core, a
 * network, a clock, clients, faults, and an oracle that looks at everything that happens. One seed
 * is one exact run.
 *
 * Files: shard_events (what happens when), shard_net (messages), shard_node (one process after
 * another on a disk), shard_clients (who writes), shard_faults (what goes wrong), shard_truth (what
 * was really written), shard_oracle (what must hold), shard_record (keys and values).
 *
 * Memory running out ends the process. Threads: one; one shard at a time.
 */
#pragma once

#include "node/acks.h"
#include "node/replica.h"
#include "node/store.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/shard_net.h"
#include "tests/sim/shard_truth.h"

#define SHARD_DIR "/data"

struct shard;

enum shard_fate { FATE_UP, FATE_KILLED, FATE_CUT, FATE_STOPPED };

#define SHARD_WORKS_MAX 64

struct shard_node {
	struct shard *shard;
	unsigned place;
	uint16_t id;

	/* the disk */
	struct crash_vfs *crash;
	unsigned disk; /* counts them: a wiped node has got another one */
	bool dies_by_power; /* if a cut that was planned comes */
	uint64_t doubtful_until_us; /* what the log has may wait to be applied */
	unsigned disk_troubles; /* full, or failing: things may go wrong on it */
	bool disk_failed; /* it did once */

	/* the process */
	unsigned life; /* counts them */
	enum shard_fate fate;
	struct store *store;
	struct acks *acks;
	struct replica *replica;
	bool wants_restart, wants_tick;
	uint64_t tick_at_us; /* of the tick that is planned; 0: none */
	uint64_t ticks_planned;
	/* What its other threads have yet to do. */
	struct shard_work {
		void (*run)(void *argument); /* NULL: it is done */
		void *argument;
	} works[SHARD_WORKS_MAX];
	uint64_t paused_until_us;
	int64_t skew_ns; /* of its wall clock */
	uint64_t since_ms; /* what its monotonic clock said at the beginning */
	struct crash_vfs *earlier; /* a copy of its disk, for sabotage */
	struct shard_attempt *attempts; /* that wait for the store or for followers */
};

/* How a self-test breaks things. */
enum shard_sabotage {
	SABOTAGE_NONE,
	SABOTAGE_EARLY_ACKS, /* pulls say that followers have more than they have */
	SABOTAGE_SAME_EPOCH, /* a node begins an epoch that was begun before */
	SABOTAGE_VALUE_IN_TRANSIT, /* shipped records are changed on the way, sums and all */
	SABOTAGE_FORGOTTEN_PROMISE, /* a node comes back with an older standing */
	SABOTAGE_LOST_LOG, /* a disk loses what it said it had synced */
	SABOTAGE_NO_DIVERGED_LOG, /* what was set aside is deleted */
	SABOTAGE_FRESH, /* followers say they are fresher than they are */
	SABOTAGE_DEAF, /* a follower never hears from its leader again */
	SABOTAGE_FOREIGN_WRITE, /* a record appears that nobody wrote */
	SABOTAGE_RISEN, /* a deleted record comes back */
	SABOTAGE_HANDOVER, /* a forced promotion passes for one that was agreed upon */
	SABOTAGE_TWICE, /* a write is applied again under its id */
	SABOTAGE_COUNT,
};

/* What a seed decides once. */
struct shard_profile {
	unsigned nodes, keys, clients;
	uint64_t think_us; /* of a client between two writes */
	uint64_t memtable_bytes, inline_bytes, log_retain_bytes, cache_bytes;
	uint32_t log_retain_s;
	uint64_t bootstrap_bytes_per_s;
	bool keeps_ids; /* the log always reaches back to the first request */
	bool many_chunks; /* some values are large */
	unsigned memory_percent; /* of writes that ask for memory durability */
	unsigned quorum_percent, all_percent;
	uint64_t fault_every_us;
	uint64_t faulty_us; /* how long things go wrong */
};

struct shard_counts {
	uint64_t events, writes, acked, acked_more, unknown, repeats, reads;
	uint64_t kills, cuts, stops, wipes, partitions, pauses, full_disks, failing_disks;
	uint64_t promotions, forced, promoted;
	uint64_t left_overs, epochs, resets, installs, set_aside, lineages;
};

struct shard {
	uint64_t seed;
	enum shard_sabotage sabotage;
	bool sabotaged; /* it has come to it */
	struct shard_random random; /* network, clients, faults */
	struct shard_random served; /* arc4random_buf() */
	struct shard_profile profile;
	struct shard_events events;
	struct shard_net net;
	struct cluster *cluster;
	struct shard_node nodes[SHARD_NODES_MAX];
	unsigned node_count;
	struct shard_clients *clients;
	struct shard_oracle *oracle;
	bool faulty; /* things still go wrong */
	bool verbose;
	uint64_t trace; /* hash of everything that happened */
	struct shard_counts counts;
	char broken[512]; /* the first thing that must not be; "": nothing */
};

struct shard *shard_new(uint64_t seed, enum shard_sabotage sabotage);
/* The whole run: faults, then calm until all nodes are the same. False: shard->broken. */
bool shard_run(struct shard *shard);
struct shard *shard_free(struct shard *shard);

/* The first one counts. */
void shard_break(struct shard *shard, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
bool shard_is_broken(const struct shard *shard);
/* For whoever reads along, if shard->verbose. */
void shard_note(struct shard *shard, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Goes into the hash of the run. */
void shard_trace(struct shard *shard, const void *data, size_t len);
void shard_trace_number(struct shard *shard, uint64_t number);

/* ---- shard_node ---- */

void shard_node_init(struct shard *shard, unsigned place);
void shard_node_deinit(struct shard_node *node);
/* Starts the process. */
void shard_node_start(struct shard_node *node);
/* Later, unless it has been started and ended since. */
void shard_node_start_in(struct shard_node *node, uint64_t after_us);
/* Ends it. FATE_STOPPED is a clean end. */
void shard_node_end(struct shard_node *node, enum shard_fate fate);
/* Of one that is down: an empty disk. */
void shard_node_wipe(struct shard_node *node);
static inline bool shard_node_is_up(const struct shard_node *node)
{
	return node->fate == FATE_UP;
}
/* Its disk fails, or did lately: what its log has may be taken back, or wait to be applied. */
bool shard_node_is_doubtful(const struct shard_node *node);
/* Before and after anything is asked of its store or replica: sets clocks; then sees to what the
 * call has brought about (a death, a restart, a tick, something for the oracle). */
void shard_node_enter(struct shard_node *node);
void shard_node_leave(struct shard_node *node);
uint64_t shard_node_now_ms(const struct shard_node *node);
/* The network's hooks. */
bool shard_node_asked(void *state, unsigned to, uint64_t ask, const struct buf *message);
void shard_node_answered(void *state, unsigned from, uint64_t call, int error,
			 const struct buf *message);
/* Runs @run at @at_us, or later if the node is paused then; not at all once this life is over. */
struct shard_event *shard_node_plan(struct shard_node *node, uint64_t at_us,
				    void (*run)(void *, struct shard_event *));

/* ---- shard_clients ---- */

void shard_clients_new(struct shard *shard);
void shard_clients_free(struct shard *shard);
/* No new writes. */
void shard_clients_rest(struct shard *shard);
/* A write with ack=all, asked of every node that may lead; true once one was acknowledged. */
bool shard_clients_probe(struct shard *shard);

/* ---- shard_faults ---- */

void shard_faults_begin(struct shard *shard);
void shard_faults_promote(struct shard *shard, struct shard_node *node, bool force);
/* Everything is mended and all nodes run. */
void shard_faults_end(struct shard *shard);
