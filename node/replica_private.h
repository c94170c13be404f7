/* SPDX-License-Identifier: MIT */
/* What the parts of the replication core share. Threads: the replication thread, unless a field
 * says else. */
#pragma once

#include "lib/mutex.h"
#include "node/acks.h"
#include "node/replica.h"
#include "node/replica_message.h"
#include "node/store.h"
#include "node/store_batch.h"

#define PROBE_EVERY_MS      1000 /* every peer, always */
#define PROBE_STARTING_MS   100
#define PROBE_TIMEOUT_MS    1000
#define START_WAIT_MS       1000 /* for peers that don't answer, before leading */
#define START_WAIT_EMPTY_MS 3000 /* as much with nothing to lose by waiting */
#define BACKOFF_FIRST_MS    100
#define BACKOFF_LAST_MS     2000
#define REACHED_MS          3000 /* a peer that was heard so lately is there */
#define PULL_WAIT_MS        250 /* so an idle follower never knows less than twice as long */
/* One fetches more than comes between two syncs, and buffers for it are less than what is handed
 * back to the kernel each time. */
#define PULL_BYTES       (1920 * 1024)
#define PULL_BYTES_FIRST 4096
#define PULL_BYTES_LEAST 512
#define PULL_VALUE_BYTES                                                                           \
	(16 * 1024 * 1024) /* that an answer should name; it may name any number                   \
			    */
#define BATCH_VALUE_BYTES (8 * 1024 * 1024)
#define SHIP_EVERY_MS     20 /* while writes come and nobody waits for followers */
#define HURRY_MS          1000 /* so long after somebody did wait others may */
#define ASK_TIMEOUT_MS    5000
#define SAMPLES           256
#define FOREIGN_MS        30000 /* nobody has said for so long that there is an older lineage */
#define SAMPLE_EVERY_MS   10 /* at most */
#define SAMPLE_IDLE_MS    100 /* at least */

/* What a peer asked and is answered later. */
struct replica_parked {
	bool is_set;
	uint64_t request;
	uint64_t until_ms;
};

enum replica_fence {
	FENCE_NONE,
	FENCE_ASKED,
	FENCE_ACCEPTED,
	FENCE_REFUSED,
	FENCE_UNREACHED,
};

/* Something that takes long. */
struct replica_work {
	void (*run)(struct replica_work *work); /* in any thread: touches nothing of the core */
	void (*done)(struct replica_work *work); /* in the replication thread: work is the
						    caller's again */
	/* its own */
	struct replica *replica;
	struct replica_work *next;
};

struct replica_making; /* node/replica_copy */
struct replica_mending; /* node/replica_mend */
struct wal_pin;

struct replica_node {
	unsigned place;
	uint16_t id;
	const char *name;

	/* As heard last. */
	uint64_t heard_ms; /* 0: never */
	struct replica_head head;
	uint64_t state_ms; /* when it was asked for what follows; 0: it never answered */
	struct version end, first;
	struct version known; /* it has all up to here that this node has; {0,0}: who knows */
	unsigned flags;
	uint64_t tried_ms; /* when the last question that it did not answer was asked */

	/* STATE */
	uint64_t probe_call; /* 0: none is under way */
	uint64_t probe_asked_ms;
	uint64_t probe_at_ms;

	/* FENCE */
	uint64_t fence_call;
	enum replica_fence fence;

	/* At the leader: what it pulled. */
	bool follows;
	uint64_t pulled_ms;
	struct version durable;
	struct replica_parked pull;
	struct version pull_after;
	uint32_t pull_bytes;
	uint64_t ship_at_ms; /* there is something for it, but not before; 0: nothing is put off */
	uint64_t shipped_ms; /* when it was given records last */
	bool is_behind; /* by so much that it was given half of what it takes, or more */
	/* An answer to RECORDS that tells of what is not on stable storage yet. */
	struct replica_parked records;
	struct buf records_answer;
	uint64_t records_sequence;

	struct checkpoint *copy; /* that it fetches */
	bool copy_is_new; /* nobody was told of it yet */
	uint64_t copy_asked_ms;
	struct replica_making *making; /* the next one; NULL: none */
	struct replica_parked copy_asked; /* that waits for it */
	struct wal_pin *hold; /* of the log that it needs, now that it has fetched one */
	uint64_t hold_until_ms;
};

/* When the log of a leader ended where. */
struct replica_sample {
	uint64_t at_ms;
	uint64_t sequence;
};

/* What follower, repair and bootstrap do, one step at a time. */
enum replica_step {
	STEP_REST, /* until at_ms; then the next pull */
	STEP_PULL, /* PULL is asked */
	STEP_APPLY, /* its records are prepared and applied */
	STEP_REPAIR, /* node/replica_repair */
	STEP_COPY, /* node/replica_bootstrap */
};

struct diverged_writer;
struct replica_verifying; /* node/replica_bootstrap */
struct replica_batch; /* node/replica_apply */
struct replica_repair;
struct replica_aside;
struct replica_bootstrap;

/* A value that is fetched. While a question is under way, or the last bytes are made durable in
 * another thread, it comes; else it waits to be wanted again. */
struct replica_fetch {
	uint64_t call; /* 0: no question is under way */
	int error; /* of what was tried last */
	uint8_t source[16]; /* the store that it is in */
	uint64_t id; /* there */
	uint64_t size_bytes;
	struct hash128 hash;
	uint64_t chunk; /* the next one to be written */
	struct value_writer *writer; /* NULL: nothing is fetched, or that thread has it */
	bool finishing; /* what follows is that thread's */
	struct replica_work work;
	struct value_writer *finished;
	struct value_file *file;
	uint64_t file_bytes;
	struct hash128 file_hash;
	int result;
};

/* Each takes a MiB or two: of the next chunk, of the message that brings it. */
#define FETCHES 8

#define FETCHED_MAX 64

/* A value file of this store that holds what one of the source held: one that installs a copy
 * gives the same id to another value. */
struct replica_fetched {
	uint8_t source[16];
	uint64_t id;
	uint64_t size_bytes;
	struct hash128 hash;
	struct value_file *file;
};

struct replica_job {
	enum replica_step step;
	uint64_t at_ms;
	uint32_t backoff_ms; /* that was waited last; 0: the last step succeeded */
	bool is_current; /* a pull was answered, and nothing has failed since */
	bool is_unreached; /* it rests because the source did not answer */
	uint64_t call; /* the one whose answer is waited for */
	uint64_t sent_ms;

	struct buf answer; /* what is applied points into it */
	struct replica_items items; /* records of it that are not prepared yet */
	uint8_t source[16]; /* the store that gave it */
	struct version leader_end;
	uint32_t lag_ms;
	struct replica_batch *preparing;
	uint32_t pull_bytes; /* that are asked for */
	uint64_t value_bytes; /* of the value files that the answer names */
};

enum replica_promotion_phase {
	PROMOTION_NONE,
	PROMOTION_ASKING, /* HANDOVER is asked, or about to be */
	PROMOTION_PROBING, /* who is there, and what is the highest promise */
	PROMOTION_FENCING,
};

struct replica_promotion {
	enum replica_promotion_phase phase;
	bool force;
	replica_promoted_fn done; /* NULL: a recovery, which nobody asked for */
	void *state;
	uint64_t call;
	uint64_t at_ms; /* next question */
	uint64_t until_ms;
	uint64_t begun_ms;
	uint64_t promise; /* PROMOTION_FENCING */
	unsigned tries;
};

enum replica_handover_phase {
	HANDOVER_NONE,
	HANDOVER_PAUSING, /* the store finishes what is under way */
	HANDOVER_PAUSED, /* the target pulls the rest */
};

struct replica_handover {
	enum replica_handover_phase phase;
	struct replica_node *target;
	struct replica_parked asked;
};

struct replica {
	/* immutable */
	struct replica_options options;
	char *dir;
	const struct replica_transport *transport;
	struct replica_node *peers;
	unsigned peer_count;
	uint64_t group;
	uint16_t id;

	enum replica_role role;
	bool closing;
	uint64_t begun_ms; /* in this role */
	uint64_t next_call;
	uint64_t next_ms; /* when it was said that the next tick is due */
	/* Of the store, or of the lineage that it will have once it has something. */
	struct lineage lineage;
	struct lineage own_lineage; /* the store's */
	uint64_t promise; /* the highest heard of; acted on once it is durable */
	uint64_t persist_at_ms; /* next attempt to make it so; 0: it is */
	uint32_t persist_backoff_ms;
	uint64_t epoch; /* LEADER: the one it leads in */
	/* An older lineage that was heard of, not set: none; and the highest promise in it. */
	struct lineage foreign;
	uint64_t foreign_promise;
	uint64_t foreign_ms; /* when it was heard of last */
	/* Others know this node as the leader of more than it can remember. */
	bool must_recover;
	/* It has asked to lead under this promise, so a higher one that names it is the answer;
	 * UINT64_MAX: it has not. */
	uint64_t asked_handover_under;
	int source; /* place of the node that is pulled from; -1: none */
	bool recovering; /* it is pulled from to lead again */
	bool is_replaced; /* a copy takes the place of the data when it is opened next */
	uint64_t lead_at_ms; /* next attempt after a failed one */
	uint32_t lead_backoff_ms;
	bool waits_logged;

	struct replica_job job;
	struct replica_fetch fetches[FETCHES];
	struct replica_fetched fetched[FETCHED_MAX]; /* a ring */
	unsigned fetched_at;
	struct replica_repair *repair;
	struct replica_bootstrap *bootstrap;
	struct replica_verifying *verifying; /* of this bootstrap, or of one that was given up */
	struct replica_aside *aside;
	struct replica_mending *mending; /* NULL: none is under way */
	uint64_t mend_at_ms; /* not before */
	struct version set_aside; /* all up to here was, as far as aside_epochs has it not */
	/* What was counted as set aside and is in the log yet: a repair begins anew, or a copy
	 * takes its place. As far as aside_epochs has it not. */
	struct version counted_after, counted_to;
	/* The history that a leader had when this store was compared with it. The next leader's
	 * may have less in common with it. */
	struct buf aside_epochs;
	uint32_t aside_epoch_count;
	struct replica_promotion promotion;
	struct replica_handover handover;
	struct store_pause pause;
	struct store_standing standing; /* as it was when there was memory to tell it */

	struct buf shipped; /* room for records on their way to a peer */
	/* LEADER: when the log ended where, a ring. */
	struct replica_sample samples[SAMPLES];
	unsigned sample_at;
	uint64_t sampled_ms;
	uint64_t waited, waited_ms; /* how many had waited for followers, and when one more did */
	uint64_t fresh_ms; /* as in replica_view */
	struct version leader_end;
	struct replica_counters counters;

	struct mutex lock;
	struct condition idle; /* nothing is out */
	/* protected by lock */
	struct replica_batch *finished; /* in the order in which they were */
	struct replica_batch **finished_tail;
	unsigned out; /* batches that the store has */
	bool synced; /* more of the log is durable */
	bool pause_is_out; /* the store has it */
	unsigned works_out; /* that have not ended */
	struct replica_work *works_done;
};

uint64_t replica_now(const struct replica *replica);
struct replica_node *replica_peer_at(struct replica *replica, int place);
struct replica_node *replica_peer_of(struct replica *replica, uint16_t id);
/* The place of the node that the promise names, self included; -1: it is not in the shard. */
int replica_leader(const struct replica *replica);
bool replica_is_reached(const struct replica *replica, const struct replica_node *peer);
void replica_changed(struct replica *replica);
void replica_set_role(struct replica *replica, enum replica_role role);
struct store_standing replica_standing(struct replica *replica);

/* Messages. Head and kind are set by the first. */
struct replica_message replica_request(struct replica *replica, enum replica_kind kind);
struct replica_message replica_reply(struct replica *replica, enum replica_kind kind,
				     enum replica_status status);
/* The call, or 0 if memory is out: then it counts as not answered. */
uint64_t replica_send(struct replica *replica, unsigned place,
		      const struct replica_message *message, uint32_t timeout_ms);
void replica_answer(struct replica *replica, uint64_t request,
		    const struct replica_message *message);
void replica_answer_status(struct replica *replica, uint64_t request, enum replica_kind kind,
			   enum replica_status status);

/* node/replica_start */
int replica_start(struct replica *replica);
/* What a message says about the shard: promises, lineages. */
void replica_learn(struct replica *replica, const struct replica_head *head);
/* The place of the node to copy an older lineage from; -1: none is known. */
int replica_foreign_source(struct replica *replica);
/* Stops whatever this node does, and follows whom the promise names. */
void replica_follow(struct replica *replica);
/* Stops whatever this node does, and finds out anew what it should do. */
void replica_choose(struct replica *replica);
/* Leads in @epoch, 0: the first one of all. */
int replica_lead(struct replica *replica, uint64_t epoch);
/* 0 once the promise is durable, if there is anything here that it protects. */
int replica_persist(struct replica *replica, uint64_t promise);
void replica_start_tick(struct replica *replica);
uint64_t replica_start_next(const struct replica *replica);
/* All that the source of a recovery has is here. */
void replica_recovered(struct replica *replica);

/* node/replica_work */
/* @work->done() comes once, perhaps from inside, at the latest by replica_work_drain(). */
void replica_work(struct replica *replica, struct replica_work *work);
void replica_work_tick(struct replica *replica);
void replica_work_drain(struct replica *replica);

/* node/replica_probe */
void replica_probe_tick(struct replica *replica);
uint64_t replica_probe_next(const struct replica *replica);
/* Forgets what they said, and asks at the next tick. */
void replica_probe_anew(struct replica *replica);
bool replica_probe_answered(struct replica *replica, uint64_t call, int error,
			    const struct replica_message *message);
void replica_state_asked(struct replica *replica, uint64_t request);

/* node/replica_pull */
/* Forgets what is under way. */
void replica_job_reset(struct replica *replica);
/* The next pull comes at @at_ms, 0: at once. */
void replica_job_rest(struct replica *replica, uint64_t at_ms);
/* A step has failed: yields when to try again. @what is logged if the one before had not. */
uint64_t replica_job_back_off(struct replica *replica, const char *what, int error);
/* As above; what comes then is a pull. */
void replica_job_fail(struct replica *replica, const char *what, int error);
void replica_job_succeed(struct replica *replica);
void replica_job_tick(struct replica *replica);
uint64_t replica_job_next(const struct replica *replica);
void replica_job_answered(struct replica *replica, uint64_t call, int error,
			  const struct replica_message *message, const void *bytes, size_t len);
/* The bytes of an answer, until all of its items are applied. */
int replica_job_keep(struct replica *replica, const void *bytes, size_t len);
void replica_peer_is_back(struct replica *replica, const struct replica_node *peer);

/* node/replica_apply */
struct replica_batch *replica_batch_new(struct replica *replica, enum store_batch_kind kind);
struct replica_batch *replica_batch_free(struct replica_batch *batch);
/* What the entry points to stays until the batch is done. */
int replica_batch_add(struct replica_batch *batch, const struct entry *entry);
void replica_batch_set_point(struct replica_batch *batch, struct version point, int64_t time_ns);
/* Gives the store job.preparing and what is left of job.items. 1: all is applied; 0: something must
 * come first, a value or the store; negative errno: it was given up. */
int replica_apply(struct replica *replica);
/* Forgets what is not with the store yet, waits for what is. */
void replica_apply_drop(struct replica *replica);
/* Waits until the store has nothing of ours. */
void replica_drain(struct replica *replica);

/* node/replica_value */
#define VALUE_COMES 1
#define VALUE_WAITS 2 /* as many as possible come already */
/* 0: *ret_file (a reference) holds the value of entry @index here; VALUE_COMES, VALUE_WAITS;
 * negative errno: -ESTALE if the source has it no more. */
int replica_value(struct replica *replica, const struct entry *entries, size_t count, size_t index,
		  struct value_file **ret_file);
bool replica_value_answered(struct replica *replica, uint64_t call, int error,
			    const struct replica_message *message);
/* What is under way is not waited for any more; it goes on when the value is wanted again. */
void replica_value_rest(struct replica *replica);
/* What failed before is asked for again. */
void replica_value_ask_again(struct replica *replica);
/* Forgets all values. No work may be out. */
void replica_value_forget(struct replica *replica);
void replica_value_asked(struct replica *replica, uint64_t request,
			 const struct replica_message *message);

/* node/replica_ship */
void replica_pull_asked(struct replica *replica, struct replica_node *peer, uint64_t request,
			const struct replica_message *message);
void replica_records_asked(struct replica *replica, struct replica_node *peer, uint64_t request,
			   const struct replica_message *message);
void replica_ship_synced(struct replica *replica);
void replica_ship_tick(struct replica *replica);
uint64_t replica_ship_next(const struct replica *replica);
/* Answers all that is parked, forgets what the followers have. */
void replica_ship_stop(struct replica *replica);
bool replica_serves(struct replica *replica, const struct replica_node *peer);
/* Whether the point is in this store's history, on stable storage. */
bool replica_has_point(struct replica *replica, struct version point);
/* How long ago the log ended at @sequence, or before it; REPLICA_LAG_UNKNOWN. */
uint64_t replica_lag_ms(struct replica *replica, const struct store_standing *standing,
			uint64_t sequence);

/* node/replica_promote */
void replica_promotion_tick(struct replica *replica);
uint64_t replica_promotion_next(const struct replica *replica);
bool replica_promotion_answered(struct replica *replica, uint64_t call, int error,
				const struct replica_message *message);
void replica_promotion_end(struct replica *replica, enum outcome outcome, const char *sentence);
/* Nobody has more of what this node led: it leads again. */
void replica_recovery_fence(struct replica *replica);
void replica_fence_asked(struct replica *replica, uint64_t request,
			 const struct replica_message *message);

/* node/replica_handover */
void replica_handover_tick(struct replica *replica);
uint64_t replica_handover_next(const struct replica *replica);
void replica_handover_asked(struct replica *replica, struct replica_node *peer, uint64_t request,
			    const struct replica_message *message);
void replica_handover_stop(struct replica *replica);

/* node/replica_repair */
void replica_repair_begin(struct replica *replica, const struct replica_message *message);
void replica_repair_answered(struct replica *replica, const struct replica_message *message,
			     const void *bytes, size_t len);
void replica_repair_tick(struct replica *replica);
uint64_t replica_repair_next(const struct replica *replica);
void replica_repair_drop(struct replica *replica);
/* Whether records are ahead of the log that pulling will never come to, as the PULL answer shows.
 */
bool replica_repair_is_in_vain(struct replica *replica, const struct replica_message *message);
/* Whether none is ahead of the log. */
bool replica_repair_is_over(struct replica *replica);
bool replica_epochs_contain(struct replica_items epochs, struct version point);
int replica_diverged_begin(struct replica *replica, struct version common,
			   struct diverged_writer **ret_writer);
int replica_diverged_add(struct replica *replica, struct diverged_writer *writer,
			 const struct entry *entry);
int replica_diverged_finish(struct diverged_writer *writer, uint64_t entries);
bool replica_diverged_is_counted(const struct replica *replica, struct version version);
/* All behind @after up to @to was counted, and lies in a diverged log. */
void replica_diverged_counted(struct replica *replica, struct version after, struct version to);

/* node/replica_aside */
struct replica_aside *replica_aside_new(struct replica_items epochs);
struct replica_aside *replica_aside_free(struct replica_aside *aside);
/* 1: there is more to save; 0: all is, and replica->aside is freed. */
int replica_aside_step(struct replica *replica);

/* node/replica_bootstrap */
void replica_bootstrap_begin(struct replica *replica, const char *why);
/* As above; what this store has and the history @epochs has not is saved first. */
void replica_bootstrap_diverged(struct replica *replica, struct replica_items epochs,
				struct version common);
void replica_bootstrap_answered(struct replica *replica, int error,
				const struct replica_message *message);
void replica_bootstrap_tick(struct replica *replica);
uint64_t replica_bootstrap_next(const struct replica *replica);
void replica_bootstrap_drop(struct replica *replica);
void replica_bootstrap_progress(const struct replica *replica, uint64_t *ret_bytes,
				uint64_t *ret_total);

/* node/replica_mend */
/* The log could not be read for a peer. */
void replica_log_failed(struct replica *replica);

/* node/replica_copy */
void replica_copy_asked(struct replica *replica, struct replica_node *peer, uint64_t request,
			const struct replica_message *message);
void replica_copy_tick(struct replica *replica);
uint64_t replica_copy_next(const struct replica *replica);
void replica_copy_stop(struct replica *replica);
/* The peer has all up to @point, which is in the log's history. */
void replica_copy_passed(struct replica *replica, struct replica_node *peer, struct version point);
/* The peer fetches what it was told of: that may take longer than it keeps from asking for more. */
void replica_copy_heard(struct replica *replica, struct replica_node *peer);
/* The peer has all there is. */
void replica_copy_caught_up(struct replica *replica, struct replica_node *peer);

/* How long to wait after one more failure; 0: after the first. */
static inline uint32_t replica_next_backoff(uint32_t backoff_ms)
{
	if (backoff_ms == 0)
		return BACKOFF_FIRST_MS;
	return backoff_ms < BACKOFF_LAST_MS / 2 ? 2 * backoff_ms : BACKOFF_LAST_MS;
}

/* The earlier of two times, 0 being never. */
static inline uint64_t replica_sooner(uint64_t a, uint64_t b)
{
	return a > 0 && (a < b || b == 0) ? a : b;
}
