/* SPDX-License-Identifier: MIT */
/*
 * The leader's half of a planned change: the node that asks to lead gets it once it has everything.
 * While it is far behind it is told to come nearer, and writes go on. Then writes wait, for at most
 * PAUSE_MS; when the last pull shows that it has all, the promise that names it is made durable:
 * from that moment this node can lead no more, whether the answer arrives or not.
 */
#include "node/replica_private.h"

#include "lib/log.h"
#include "node/log_read.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define PAUSE_MS   2000
#define NEAR_BYTES (1024 * 1024)
#define ASLEEP_MS  3000 /* a follower that has not pulled for so long */

static void tell(struct replica *replica, uint64_t request, enum replica_status status,
		 const char *sentence)
{
	struct replica_message message = replica_reply(replica, REPLICA_HANDOVER, status);

	message.id = replica->promise;
	message.end = replica_standing(replica).end;
	message.bytes = (const uint8_t *)sentence;
	message.bytes_len = strlen(sentence);
	replica_answer(replica, request, &message);
}

/* What the target waits for, if it does. */
static void answer(struct replica *replica, enum replica_status status, const char *sentence)
{
	struct replica_parked *asked = &replica->handover.asked;

	if (!asked->is_set)
		return;
	asked->is_set = false;
	tell(replica, asked->request, status, sentence);
}

static void paused(struct store_pause *pause)
{
	struct replica *replica = pause->state;

	mutex_lock(&replica->lock);
	replica->pause_is_out = false;
	replica->transport->wake(replica->options.state);
	condition_broadcast(&replica->idle);
	mutex_unlock(&replica->lock);
}

static bool is_pause_out(struct replica *replica)
{
	bool out;

	mutex_lock(&replica->lock);
	out = replica->pause_is_out;
	mutex_unlock(&replica->lock);
	return out;
}

/* Writes go on, unless the store leads no more. */
static void give_up(struct replica *replica, const char *sentence)
{
	if (replica->handover.phase == HANDOVER_NONE)
		return;
	store_resume(replica->options.store);
	answer(replica, REPLICA_REFUSED, sentence);
	replica->handover = (struct replica_handover){ 0 };
	log_warn("handed over nothing", "why=\"%s\"", sentence);
}

void replica_handover_stop(struct replica *replica)
{
	give_up(replica, "it leads no more");
}

static bool is_near(struct replica *replica, const struct replica_node *peer)
{
	return store_log_distance(replica->options.store, peer->durable) <= NEAR_BYTES;
}

static void begin(struct replica *replica, struct replica_node *peer, uint64_t request)
{
	struct replica_handover *handover = &replica->handover;

	handover->phase = HANDOVER_PAUSING;
	handover->target = peer;
	handover->asked = (struct replica_parked){
		.is_set = true,
		.request = request,
		.until_ms = replica_now(replica) + PAUSE_MS,
	};
	replica->pause = (struct store_pause){ .done = paused, .state = replica };
	replica->pause_is_out = true;
	store_pause(replica->options.store, &replica->pause);
	replica_handover_tick(replica);
}

void replica_handover_asked(struct replica *replica, struct replica_node *peer, uint64_t request,
			    const struct replica_message *message)
{
	struct replica_handover *handover = &replica->handover;

	if (replica->role != REPLICA_LEADER) {
		tell(replica, request, REPLICA_NOT_LEADER, "it does not lead");
	} else if (handover->phase != HANDOVER_NONE && handover->target == peer) {
		/* It has asked again: nobody waits for the first answer. */
		answer(replica, REPLICA_WAIT, "");
		handover->asked.is_set = true;
		handover->asked.request = request;
	} else if (handover->phase != HANDOVER_NONE || is_pause_out(replica)) {
		tell(replica, request, REPLICA_WAIT, "another hand-over is under way");
	} else if (!peer->follows || message->head.promise != replica->epoch ||
		   replica_now(replica) - peer->pulled_ms > ASLEEP_MS) {
		tell(replica, request, REPLICA_WAIT, "it does not follow yet");
	} else if (!is_near(replica, peer)) {
		tell(replica, request, REPLICA_WAIT, "it is too far behind");
	} else {
		begin(replica, peer, request);
	}
}

static void hand_over(struct replica *replica)
{
	struct replica_handover *handover = &replica->handover;
	struct replica_node *target = handover->target;
	uint64_t promise = epoch_after_promotion(replica->promise, target->id);
	int r = promise > 0 ? store_promise(replica->options.store, promise) : -ERANGE;

	if (r < 0) {
		log_error("promise can't be written", "error=%d", -r);
		give_up(replica, "the promise can't be written");
		return;
	}
	replica->promise = promise;
	log_info("hands over", "to=%s promise=%" PRIx64, target->name, promise);
	answer(replica, REPLICA_OK, "");
	*handover = (struct replica_handover){ 0 };
	replica_follow(replica);
}

void replica_handover_tick(struct replica *replica)
{
	struct replica_handover *handover = &replica->handover;
	struct store_standing standing;

	if (handover->phase == HANDOVER_PAUSING && !is_pause_out(replica)) {
		if (replica->pause.result < 0) {
			give_up(replica, "its log can't be written");
			return;
		}
		handover->phase = HANDOVER_PAUSED;
		replica_ship_synced(replica);
	}
	if (handover->phase == HANDOVER_NONE)
		return;
	standing = replica_standing(replica);
	if (handover->phase == HANDOVER_PAUSED &&
	    version_compare(handover->target->durable, standing.end) == 0 &&
	    version_compare(standing.synced, standing.end) == 0)
		hand_over(replica);
	else if (replica_now(replica) >= handover->asked.until_ms)
		give_up(replica, "it did not come to the end of the log in time");
}

uint64_t replica_handover_next(const struct replica *replica)
{
	return replica->handover.phase == HANDOVER_NONE ? 0 : replica->handover.asked.until_ms;
}
