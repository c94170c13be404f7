/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints that others fetch to bootstrap from: one for each peer, kept as long as it is asked
 * for, so that a transfer that breaks off can go on. While one lives, the log behind its point
 * does, too: who has fetched it can pull on.
 */
#include "node/replica_private.h"

#include "lib/log.h"
#include "node/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define KEEP_MS    60000
#define SUM_BYTES  (16 * 1024 * 1024) /* of one answer: nobody else waits long */
#define LIST_BYTES (1024 * 1024)

static void end(struct replica_node *peer)
{
	if (!peer->copy)
		return;
	log_info("checkpoint for a peer is over", "peer=%s", peer->name);
	peer->copy = checkpoint_free(peer->copy);
}

static bool reaches(const struct checkpoint *copy, uint64_t sequence)
{
	struct checkpoint_view view;

	checkpoint_view(copy, &view);
	return view.point.sequence >= sequence;
}

/* It holds all up to @sequence at least: who had that must not have less for a copy. */
static int begin(struct replica *replica, struct replica_node *peer, uint64_t sequence)
{
	struct store *store = replica->options.store;
	int r;

	end(peer);
	r = checkpoint_new(store, &peer->copy);
	if (r == 0 && !reaches(peer->copy, sequence)) {
		peer->copy = checkpoint_free(peer->copy);
		r = checkpoint_flush(store);
		if (r == 0)
			r = checkpoint_new(store, &peer->copy);
	}
	if (r == 0)
		log_info("checkpoint for a peer", "peer=%s", peer->name);
	else if (r != -EAGAIN)
		log_warn("no checkpoint for a peer", "peer=%s error=%d", peer->name, -r);
	return r;
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
	ssize_t n = bytes ? checkpoint_read(peer->copy, (size_t)message->index, message->offset,
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

	if (!replica_serves(replica, peer))
		status = replica->role == REPLICA_FOLLOWER ? REPLICA_NOT_LEADER : REPLICA_BUSY;
	else if (message->kind == REPLICA_CHECKPOINT && message->id == 0)
		status =
			begin(replica, peer, message->end.sequence) < 0 ? REPLICA_BUSY : REPLICA_OK;
	else if (!has_copy(peer, message->id))
		status = REPLICA_GONE;
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

	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].copy && now >= replica->peers[i].copy_asked_ms + KEEP_MS)
			end(&replica->peers[i]);
}

uint64_t replica_copy_next(const struct replica *replica)
{
	uint64_t next = 0;

	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].copy)
			next = replica_sooner(next, replica->peers[i].copy_asked_ms + KEEP_MS);
	return next;
}

void replica_copy_stop(struct replica *replica)
{
	for (unsigned i = 0; i < replica->peer_count; i++)
		end(&replica->peers[i]);
}
