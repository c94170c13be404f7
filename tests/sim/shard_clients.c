/* SPDX-License-Identifier: MIT */
#include "tests/sim/shard_clients.h"

#include "tests/sim/shard_oracle.h"
#include "tests/sim/shard_record.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_US    2500000 /* then a client believes its request to be lost */
#define ACK_TIMEOUT_US 1500000
#define TRIES_MAX      12
#define RETRY_US       60000
#define NO_CLIENT      UINT_MAX
#define CLIENT_BITS    8 /* of shard_event.node of a request: the rest says which op */
#define CLIENT_MASK    0xff

/* ---- at the node ---- */

static void free_attempt(struct shard_attempt *attempt)
{
	struct shard_attempt **at = &attempt->node->attempts;

	while (*at != attempt)
		at = &(*at)->next;
	*at = attempt->next;
	free((void *)(uintptr_t)attempt->write.value);
	free(attempt);
}

/* What comes back to a client. */
enum answer { ANSWER_DONE, ANSWER_REFUSED, ANSWER_ELSEWHERE, ANSWER_UNKNOWN };

static void answer_arrives(void *state, struct shard_event *event);

static void answer(struct shard_attempt *attempt, enum answer what)
{
	struct shard_node *node = attempt->node;
	struct shard *shard = node->shard;
	struct replica_view view = { .leader = -1 };
	struct shard_event *event;

	shard_note(shard, "n%u answers write %u of client %d: %d", node->place, attempt->op->number,
		   (int)attempt->client, what);
	if (attempt->client == NO_CLIENT) {
		shard->clients->probed |= what == ANSWER_DONE;
		return;
	}
	if (shard_random_percent(&shard->random, shard->net.weather.loss_percent))
		return;
	if (node->replica)
		replica_view(node->replica, &view);
	event = shard_events_add(&shard->events,
				 shard->events.now_us + shard_net_delay(&shard->net),
				 answer_arrives, shard);
	event->node = attempt->client;
	event->numbers[0] = attempt->turn;
	event->numbers[1] = what;
	event->numbers[2] = (uint64_t)(int64_t)view.leader;
}

/* A node that has died in the middle of this says nothing any more. */
static void finish(struct shard_attempt *attempt, enum answer what)
{
	if (!attempt->is_over && !crash_vfs_is_cut(attempt->node->crash)) {
		if (what == ANSWER_DONE)
			shard_oracle_acknowledged(attempt);
		answer(attempt, what);
	}
	attempt->is_over = true;
}

static void on_held(struct ack_wait *wait, enum acks_result result)
{
	struct shard_attempt *attempt =
		(struct shard_attempt *)((char *)wait - offsetof(struct shard_attempt, wait));

	attempt->waits = false;
	finish(attempt, result == ACKS_HELD ? ANSWER_DONE : ANSWER_UNKNOWN);
	free_attempt(attempt);
}

static void waited_long(void *state, struct shard_event *event)
{
	struct shard_node *node = state;
	struct shard_attempt *attempt = node->attempts;

	while (attempt && attempt->turn != event->numbers[0])
		attempt = attempt->next;
	if (!attempt || !attempt->waits || !acks_cancel(node->acks, &attempt->wait))
		return;
	attempt->waits = false;
	finish(attempt, ANSWER_UNKNOWN);
	free_attempt(attempt);
}

static bool wait_for_followers(struct shard_attempt *attempt)
{
	struct shard_node *node = attempt->node;
	enum acks_result result;

	attempt->wait.point = attempt->write.point;
	attempt->wait.followers = acks_followers(attempt->op->ack, node->shard->node_count);
	attempt->wait.done = on_held;
	result = acks_wait(node->acks, &attempt->wait);
	if (result != ACKS_WAITING) {
		finish(attempt, result == ACKS_HELD ? ANSWER_DONE : ANSWER_UNKNOWN);
		return false;
	}
	attempt->waits = true;
	shard_node_plan(node, node->shard->events.now_us + ACK_TIMEOUT_US, waited_long)
		->numbers[0] = attempt->turn;
	return true;
}

static void on_stored(struct store_write *write)
{
	struct shard_attempt *attempt = write->state;

	if (attempt->is_over || crash_vfs_is_cut(attempt->node->crash)) {
		attempt->is_over = true;
	} else if (outcome_is_success(write->outcome)) {
		if (attempt->op->ack != ACK_LEADER && wait_for_followers(attempt))
			return;
		finish(attempt, ANSWER_DONE);
	} else if (write->maybe_applied) {
		finish(attempt, ANSWER_UNKNOWN);
	} else {
		finish(attempt,
		       write->outcome == OUTCOME_MISDIRECTED ? ANSWER_ELSEWHERE : ANSWER_REFUSED);
	}
	free_attempt(attempt);
}

static int store_value(struct shard_node *node, struct store_write *write, const uint8_t *data,
		       size_t len)
{
	struct value_writer *writer;
	int r;

	if (len <= node->shard->profile.inline_bytes) {
		void *copy = malloc(len + 1);

		assert(copy);
		memcpy(copy, data, len);
		write->value = copy;
		write->value_len = len;
		return 0;
	}
	r = value_writer_new(store_values(node->store), &writer);
	if (r < 0)
		return r;
	r = value_writer_append(writer, data, len);
	if (r < 0) {
		value_writer_abort(writer);
		return r;
	}
	return value_writer_finish(writer, &write->file, &write->file_size, &write->file_hash,
				   &write->file_utf8);
}

static int fill_in(struct shard_attempt *attempt)
{
	struct store_write *write = &attempt->write;
	const struct shard_op *op = attempt->op;
	const uint8_t *data;
	size_t len;

	write->kind = op->kind;
	write->key = shard_key(op->key);
	if (attempt->node->shard->sabotage == SABOTAGE_TWICE && op->acknowledged)
		write->key = shard_key((op->key + 1) % attempt->node->shard->profile.keys);
	write->done = on_stored;
	write->state = attempt;
	write->request.overwrite = true;
	write->request.durability = op->durability;
	shard_request_id(op->number, &write->request.request_id);
	if (op->kind == WRITE_MOVE) {
		write->request.has_destination = true;
		write->request.destination = shard_key(op->destination);
	}
	if (op->kind == WRITE_PATCH || op->kind == WRITE_PUT) {
		write->request.has_encoding = true;
		shard_label_patch(&write->request.encoding,
				  op->kind == WRITE_PATCH ? op->number : 0);
	}
	if (op->kind != WRITE_PUT)
		return 0;
	write->request.has_content_type = true;
	shard_label_value(&write->request.content_type, op->number);
	data = shard_value(op->number, attempt->node->shard->profile.many_chunks, &len);
	return store_value(attempt->node, write, data, len);
}

static void attempt_at(struct shard_node *node, unsigned client, uint64_t turn, struct shard_op *op)
{
	struct shard_attempt *attempt = calloc(1, sizeof(*attempt));

	assert(attempt);
	*attempt = (struct shard_attempt){
		.next = node->attempts,
		.node = node,
		.client = client,
		.turn = turn,
		.op = op,
	};
	node->attempts = attempt;
	if (fill_in(attempt) < 0) {
		finish(attempt, ANSWER_REFUSED);
		free_attempt(attempt);
		return;
	}
	store_submit(node->store, &attempt->write);
}

static void request_at_node(void *state, struct shard_event *event)
{
	struct shard_node *node = state;

	attempt_at(node, event->node & CLIENT_MASK, event->numbers[0],
		   &node->shard->clients->ops[event->node >> CLIENT_BITS]);
}

/* ---- at the client ---- */

static void begin_op(void *state, struct shard_event *event);

static void think(struct shard *shard, unsigned number)
{
	uint64_t at =
		shard->events.now_us + shard_random_around(&shard->random, shard->profile.think_us);

	shard_events_add(&shard->events, at, begin_op, shard)->node = number;
}

/* Nobody listens there. */
static void refuse(struct shard *shard, const struct shard_event *request)
{
	struct shard_event *event;

	if (shard->net.silent[request->numbers[1]])
		return;
	event = shard_events_add(&shard->events,
				 shard->events.now_us + shard_net_delay(&shard->net),
				 answer_arrives, shard);
	event->node = request->node & CLIENT_MASK;
	event->numbers[0] = request->numbers[0];
	event->numbers[1] = ANSWER_ELSEWHERE;
	event->numbers[2] = (uint64_t)-1;
}

/* Also if the client waits for it no longer. */
static void arrive(void *state, struct shard_event *event)
{
	struct shard *shard = state;
	struct shard_node *node = &shard->nodes[event->numbers[1]];
	struct shard_event *at_node;

	if (!shard_node_is_up(node)) {
		refuse(shard, event);
		return;
	}
	at_node = shard_node_plan(node, shard->events.now_us, request_at_node);
	at_node->node = event->node;
	at_node->numbers[0] = event->numbers[0];
}

static void give_up_waiting(void *state, struct shard_event *event);

static void send_op(struct shard *shard, unsigned number)
{
	struct shard_client *client = &shard->clients->all[number];
	struct shard_event *event;

	client->turn++;
	client->tries++;
	shard_note(shard, "client %u sends write %u (%d of key %u) to n%u", number,
		   client->op->number, client->op->kind, client->op->key, client->believes);
	event = shard_events_add(
		&shard->events, shard->events.now_us + shard_net_delay(&shard->net), arrive, shard);
	event->node = number | (client->op->number - 1) << CLIENT_BITS;
	event->numbers[0] = client->turn;
	event->numbers[1] = client->believes;
	event = shard_events_add(&shard->events, shard->events.now_us + PATIENCE_US,
				 give_up_waiting, shard);
	event->node = number;
	event->numbers[0] = client->turn;
}

static void send_again(void *state, struct shard_event *event)
{
	struct shard *shard = state;

	if (shard->clients->all[event->node].turn == event->numbers[0])
		send_op(shard, event->node);
}

static void retry(struct shard *shard, unsigned number)
{
	struct shard_client *client = &shard->clients->all[number];
	struct shard_event *event;

	client->turn++; /* nothing that comes late counts */
	if (client->tries >= TRIES_MAX || shard->clients->resting) {
		client->op = NULL;
		think(shard, number);
		return;
	}
	event = shard_events_add(&shard->events,
				 shard->events.now_us +
					 shard_random_around(&shard->random, RETRY_US),
				 send_again, shard);
	event->node = number;
	event->numbers[0] = client->turn;
}

static void give_up_waiting(void *state, struct shard_event *event)
{
	struct shard *shard = state;
	struct shard_client *client = &shard->clients->all[event->node];

	if (client->turn != event->numbers[0])
		return;
	client->believes = (unsigned)shard_random_below(&shard->random, shard->node_count);
	retry(shard, event->node);
}

static void answer_arrives(void *state, struct shard_event *event)
{
	struct shard *shard = state;
	struct shard_client *client = &shard->clients->all[event->node];
	enum answer what = (enum answer)event->numbers[1];
	int leader = (int)(int64_t)event->numbers[2];

	if (client->turn != event->numbers[0])
		return;
	shard_trace_number(shard, event->numbers[1] << 8 | event->node);
	if (what == ANSWER_ELSEWHERE)
		client->believes =
			leader >= 0 && shard_random_percent(&shard->random, 80)
				? (unsigned)leader
				: (unsigned)shard_random_below(&shard->random, shard->node_count);
	if (what == ANSWER_ELSEWHERE || what == ANSWER_UNKNOWN) {
		shard->counts.unknown += what == ANSWER_UNKNOWN;
		retry(shard, event->node);
		return;
	}
	/* Now and then the answer goes to one that asks again all the same. */
	if (what == ANSWER_DONE && shard_random_percent(&shard->random, 5)) {
		shard->counts.repeats++;
		retry(shard, event->node);
		return;
	}
	client->op = NULL;
	client->turn++;
	think(shard, event->node);
}

static enum ack choose_ack(struct shard *shard)
{
	uint64_t draw = shard_random_below(&shard->random, 100);

	if (draw < shard->profile.quorum_percent)
		return ACK_QUORUM;
	draw -= shard->profile.quorum_percent;
	return draw < shard->profile.all_percent ? ACK_ALL : ACK_LEADER;
}

static enum write_kind choose_kind(struct shard *shard)
{
	switch (shard_random_below(&shard->random, 10)) {
	case 0:
	case 1:
		return WRITE_DELETE;
	case 2:
		return WRITE_MOVE;
	case 3:
		return WRITE_PATCH;
	default:
		return WRITE_PUT;
	}
}

static struct shard_op *new_op(struct shard *shard)
{
	struct shard_clients *clients = shard->clients;
	struct shard_op *op;

	if (clients->op_count == SHARD_OPS_MAX)
		return NULL;
	op = &clients->ops[clients->op_count++];
	*op = (struct shard_op){
		.number = (uint32_t)clients->op_count,
		.kind = choose_kind(shard),
		.key = (unsigned)shard_random_below(&shard->random, shard->profile.keys),
		.destination = (unsigned)shard_random_below(&shard->random, shard->profile.keys),
		.ack = choose_ack(shard),
		.asked_us = shard->events.now_us,
	};
	/* Followers get only what is on stable storage. */
	if (op->ack == ACK_LEADER &&
	    shard_random_percent(&shard->random, shard->profile.memory_percent))
		op->durability = DURABILITY_MEMORY;
	shard->counts.writes++;
	return op;
}

static void begin_op(void *state, struct shard_event *event)
{
	struct shard *shard = state;
	struct shard_client *client = &shard->clients->all[event->node];

	if (shard->clients->resting)
		return;
	client->op = new_op(shard);
	client->tries = 0;
	if (client->op)
		send_op(shard, event->node);
}

void shard_clients_rest(struct shard *shard)
{
	shard->clients->resting = true;
}

bool shard_clients_probe(struct shard *shard)
{
	struct shard_clients *clients = shard->clients;
	struct shard_op *op = new_op(shard);

	if (!op)
		return false;
	op->kind = WRITE_PUT;
	op->ack = ACK_ALL;
	op->durability = DURABILITY_DISK;
	for (unsigned i = 0; i < shard->node_count && !clients->probed; i++) {
		struct shard_node *node = &shard->nodes[i];

		if (!shard_node_is_up(node))
			continue;
		shard_node_enter(node);
		attempt_at(node, NO_CLIENT, (uint64_t)1 << 48 | op->number, op);
		shard_node_leave(node);
	}
	return clients->probed;
}

void shard_clients_new(struct shard *shard)
{
	struct shard_clients *clients = calloc(1, sizeof(*clients));

	assert(clients);
	shard->clients = clients;
	clients->count = shard->profile.clients;
	clients->all = calloc(clients->count, sizeof(*clients->all));
	clients->ops = calloc(SHARD_OPS_MAX, sizeof(*clients->ops));
	assert(clients->all && clients->ops);
	for (unsigned i = 0; i < clients->count; i++) {
		clients->all[i].believes =
			(unsigned)shard_random_below(&shard->random, shard->node_count);
		think(shard, i);
	}
}

void shard_clients_free(struct shard *shard)
{
	if (!shard->clients)
		return;
	free(shard->clients->all);
	free(shard->clients->ops);
	free(shard->clients);
	shard->clients = NULL;
}
