/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints that others fetch to bootstrap from: one for each peer, kept as long as it is asked
 * for, so that a transfer that breaks off can go on. While one lives, the log behind its point is
 * held, too: who has fetched it can pull on. It goes once he does, but from then on the log is held
 * behind what he has, until he has all of it: else a copy that takes long would end behind what
 * was trimmed meanwhile, and the next one, too. Nothing is held for one who has not been heard for
 * KEEP_MS, nor more than store_options.log_hold_bytes: a copy that is cut off by that is over.
 *
 * Making one, and removing it, takes as long as there are files: that is done beside this thread,
 * and who asked waits, or finds it made when he asks again.
 */
#include "node/replica_private.h"

#include "lib/cleanup.h"
#include "lib/container_of.h"
#include "lib/log.h"
#include "node/checkpoint.h"
#include "node/log_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define KEEP_MS    60000
#define MAKING_MS  (ASK_TIMEOUT_MS - 1000) /* for as long one waits */
#define SUM_BYTES  (16 * 1024 * 1024) /* of one answer: nobody else waits long */
#define LIST_BYTES (1024 * 1024)

/* Removes the old one, if there is one, then makes one, if it is to. */
struct replica_making {
	struct replica_work work;
	struct replica_node *peer;
	struct store *store;
	struct checkpoint *old, *copy;
	bool makes;
	uint64_t sequence; /* all up to here has to be in it */
	int result;
};

static struct replica_making *making_of(struct replica_work *work)
{
	return container_of(work, struct replica_making, work);
}

static bool reaches(const struct checkpoint *copy, uint64_t sequence)
{
	struct checkpoint_view view;

	checkpoint_view(copy, &view);
	return view.point.sequence >= sequence;
}

static int make(struct replica_making *making)
{
	int r = checkpoint_new(making->store, &making->copy);

	if (r < 0 || reaches(making->copy, making->sequence))
		return r;
	making->copy = checkpoint_free(making->copy);
	r = checkpoint_flush(making->store);
	return r == 0 ? checkpoint_new(making->store, &making->copy) : r;
}

static void run(struct replica_work *work)
{
	struct replica_making *making = making_of(work);

	making->old = checkpoint_free(making->old);
	if (making->makes)
		making->result = make(making);
}

static void removed(struct replica_work *work)
{
	free(making_of(work));
}

static void end(struct replica *replica, struct replica_node *peer)
{
	struct replica_making *making;

	if (!peer->copy)
		return;
	log_info("checkpoint for a peer is over", "peer=%s", peer->name);
	making = replica->closing ? NULL : calloc(1, sizeof(*making));
	if (!making) {
		peer->copy = checkpoint_free(peer->copy);
		return;
	}
	making->work = (struct replica_work){ .run = run, .done = removed };
	making->old = take_ptr(peer->copy);
	replica_work(replica, &making->work);
}

static void list(struct replica *replica, struct replica_node *peer, uint64_t request,
		 uint64_t from)
{
	struct replica_message answer = replica_reply(replica, REPLICA_CHECKPOINT, REPLICA_OK);
	struct checkpoint_view view;
	struct buf items = { 0 };
	int r = 0;

	checkpoint_view(peer->copy, &view);
	answer.id = view.id;
	answer.end = view.point;
	answer.total = (uint32_t)view.count;
	answer.size_bytes = view.bytes;
	for (uint64_t i = from; i < view.count && items.len < LIST_BYTES && r == 0; i++) {
		r = replica_append_file(&items, view.files[i].name, view.files[i].size);
		answer.items.count += r == 0;
	}
	answer.items.data = items.data;
	answer.items.len = items.len;
	if (r == 0)
		replica_answer(replica, request, &answer);
	else
		replica_answer_status(replica, request, REPLICA_CHECKPOINT, REPLICA_BUSY);
	buf_deinit(&items);
}

static void read_file(struct replica *replica, struct replica_node *peer, uint64_t request,
		      const struct replica_message *message)
{
	struct replica_message answer = replica_reply(replica, REPLICA_FILE, REPLICA_OK);
	size_t len = message->len < REPLICA_FILE_BYTES_MAX ? message->len : REPLICA_FILE_BYTES_MAX;
	uint8_t *bytes = malloc(len + 1);
	ssize_t n = bytes ? checkpoint_read_on(peer->copy, (size_t)message->index, message->offset,
					       bytes, len)
			  : -ENOMEM;

	if (n >= 0) {
		answer.bytes = bytes;
		answer.bytes_len = (size_t)n;
		replica->counters.bytes_sent += (uint64_t)n;
		replica_answer(replica, request, &answer);
	} else {
		replica_answer_status(replica, request, REPLICA_FILE,
				      n == -EINVAL ? REPLICA_GONE : REPLICA_BUSY);
	}
	free(bytes);
}

static void sum_file(struct replica *replica, struct replica_node *peer, uint64_t request,
		     const struct replica_message *message)
{
	struct replica_message answer = replica_reply(replica, REPLICA_SUM, REPLICA_OK);
	int r = checkpoint_sum(peer->copy, (size_t)message->index, SUM_BYTES, &answer.sum);

	if (r == 0)
		replica_answer(replica, request, &answer);
	else
		replica_answer_status(replica, request, REPLICA_SUM,
				      r == -EINVAL ? REPLICA_GONE : REPLICA_BUSY);
}

static void answer_made(struct replica *replica, struct replica_node *peer, int r)
{
	if (!peer->copy_asked.is_set)
		return;
	peer->copy_asked.is_set = false;
	if (r == 0 && peer->copy && replica_serves(replica, peer)) {
		peer->copy_is_new = false;
		list(replica, peer, peer->copy_asked.request, 0);
	} else {
		replica_answer_status(replica, peer->copy_asked.request, REPLICA_CHECKPOINT,
				      REPLICA_BUSY);
	}
}

static void made(struct replica_work *work)
{
	struct replica_making *making = making_of(work);
	struct replica *replica = work->replica;
	struct replica_node *peer = making->peer;
	int r = making->result;

	peer->making = NULL;
	peer->copy = making->copy;
	peer->copy_is_new = true;
	peer->copy_asked_ms = replica_now(replica);
	free(making);
	if (r == 0)
		log_info("checkpoint for a peer", "peer=%s", peer->name);
	else if (r != -EAGAIN)
		log_warn("no checkpoint for a peer", "peer=%s error=%d", peer->name, -r);
	if (r < 0)
		replica_log_failed(replica);
	answer_made(replica, peer, r);
}

/* It holds all up to @sequence at least: who had that must not have less for a copy. */
static void begin(struct replica *replica, struct replica_node *peer, uint64_t request,
		  uint64_t sequence)
{
	struct replica_making *making;

	answer_made(replica, peer, -EAGAIN);
	peer->copy_asked = (struct replica_parked){
		.is_set = true,
		.request = request,
		.until_ms = replica_now(replica) + MAKING_MS,
	};
	if (peer->making)
		return;
	if (peer->copy && peer->copy_is_new && reaches(peer->copy, sequence)) {
		answer_made(replica, peer, 0);
		return;
	}
	making = calloc(1, sizeof(*making));
	if (!making) {
		answer_made(replica, peer, -ENOMEM);
		return;
	}
	making->work = (struct replica_work){ .run = run, .done = made };
	making->peer = peer;
	making->store = replica->options.store;
	making->old = take_ptr(peer->copy);
	making->makes = true;
	making->sequence = sequence;
	peer->making = making;
	replica_work(replica, &making->work);
}

static void let_go(struct replica *replica, struct replica_node *peer)
{
	peer->hold = store_log_unpin(replica->options.store, peer->hold);
}

void replica_copy_passed(struct replica *replica, struct replica_node *peer, struct version point)
{
	struct checkpoint_view view;
	bool ends = false;
	int r;

	if (peer->copy && !peer->copy_is_new) {
		checkpoint_view(peer->copy, &view);
		ends = version_compare(point, view.point) >= 0;
	}
	if (!ends && !peer->hold)
		return;
	/* Before what has held it goes. */
	r = store_log_hold(replica->options.store, point, &peer->hold);
	peer->hold_until_ms = replica_now(replica) + KEEP_MS;
	if (ends && r != -ENOMEM)
		end(replica, peer);
}

void replica_copy_heard(struct replica *replica, struct replica_node *peer)
{
	if (peer->hold)
		peer->hold_until_ms = replica_now(replica) + KEEP_MS;
}

void replica_copy_caught_up(struct replica *replica, struct replica_node *peer)
{
	let_go(replica, peer);
}

static bool has_copy(const struct replica_node *peer, uint64_t id)
{
	struct checkpoint_view view;

	if (!peer->copy)
		return false;
	checkpoint_view(peer->copy, &view);
	return view.id == id;
}

void replica_copy_asked(struct replica *replica, struct replica_node *peer, uint64_t request,
			const struct replica_message *message)
{
	enum replica_status status = REPLICA_OK;

	if (peer->copy && checkpoint_is_cut_off(peer->copy)) {
		log_warn("a copy is given up: the log may hold no more for it", "peer=%s",
			 peer->name);
		end(replica, peer);
	}
	if (!replica_serves(replica, peer)) {
		status = replica->role == REPLICA_FOLLOWER ? REPLICA_NOT_LEADER : REPLICA_BUSY;
	} else if (message->kind == REPLICA_CHECKPOINT && message->id == 0) {
		begin(replica, peer, request, message->end.sequence);
		return;
	} else if (!has_copy(peer, message->id)) {
		status = REPLICA_GONE;
	}
	if (status != REPLICA_OK) {
		replica_answer_status(replica, request, message->kind, status);
		return;
	}
	peer->copy_asked_ms = replica_now(replica);
	if (message->kind == REPLICA_CHECKPOINT)
		list(replica, peer, request, message->index);
	else if (message->kind == REPLICA_FILE)
		read_file(replica, peer, request, message);
	else
		sum_file(replica, peer, request, message);
}

void replica_copy_tick(struct replica *replica)
{
	uint64_t now = replica_now(replica);

	for (unsigned i = 0; i < replica->peer_count; i++) {
		struct replica_node *peer = &replica->peers[i];

		if (peer->copy && now >= peer->copy_asked_ms + KEEP_MS)
			end(replica, peer);
		if (peer->hold && now >= peer->hold_until_ms)
			let_go(replica, peer);
		if (peer->copy_asked.is_set && now >= peer->copy_asked.until_ms)
			answer_made(replica, peer, -EAGAIN);
	}
}

uint64_t replica_copy_next(const struct replica *replica)
{
	uint64_t next = 0;

	for (unsigned i = 0; i < replica->peer_count; i++) {
		const struct replica_node *peer = &replica->peers[i];

		if (peer->copy)
			next = replica_sooner(next, peer->copy_asked_ms + KEEP_MS);
		if (peer->hold)
			next = replica_sooner(next, peer->hold_until_ms);
		if (peer->copy_asked.is_set)
			next = replica_sooner(next, peer->copy_asked.until_ms);
	}
	return next;
}

void replica_copy_stop(struct replica *replica)
{
	for (unsigned i = 0; i < replica->peer_count; i++) {
		answer_made(replica, &replica->peers[i], -EAGAIN);
		end(replica, &replica->peers[i]);
		let_go(replica, &replica->peers[i]);
	}
}
