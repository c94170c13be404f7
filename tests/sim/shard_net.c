/* SPDX-License-Identifier: MIT */
/*
 * Calls and asks lie in tables; a number names a place and its generation, so that what comes late
 * finds that it is over.
 */
#include "tests/sim/shard_net.h"

#include <errno.h>
#include <stdlib.h>

#define REFUSED 1 /* numbers[1] of an answer that is an error */
#define RESET   2

static struct shard_call *call_of(struct shard_net *net, uint64_t name)
{
	struct shard_call *call = &net->calls[(uint32_t)name];

	return call->open && call->generation == name >> 32 ? call : NULL;
}

static uint64_t open_call(struct shard_net *net, unsigned from, unsigned to, uint64_t core_call)
{
	size_t at = 0;

	while (at < net->call_count && net->calls[at].open)
		at++;
	if (at == net->call_cap) {
		net->call_cap = net->call_cap ? net->call_cap * 2 : 32;
		net->calls = realloc(net->calls, net->call_cap * sizeof(*net->calls));
		if (!net->calls)
			abort();
	}
	if (at == net->call_count)
		net->calls[net->call_count++].generation = 0;
	net->calls[at] = (struct shard_call){
		.open = true,
		.generation = net->calls[at].generation + 1,
		.from = from,
		.to = to,
		.core_call = core_call,
	};
	return (uint64_t)net->calls[at].generation << 32 | at;
}

static uint64_t open_ask(struct shard_net *net, unsigned node, uint64_t call)
{
	size_t at = 0;

	while (at < net->ask_count && net->asks[at].open)
		at++;
	if (at == net->ask_cap) {
		net->ask_cap = net->ask_cap ? net->ask_cap * 2 : 32;
		net->asks = realloc(net->asks, net->ask_cap * sizeof(*net->asks));
		if (!net->asks)
			abort();
	}
	if (at == net->ask_count)
		net->asks[net->ask_count++].generation = 0;
	net->asks[at] = (struct shard_ask){
		.open = true,
		.generation = net->asks[at].generation + 1,
		.node = node,
		.call = call,
	};
	return (uint64_t)net->asks[at].generation << 32 | at;
}

uint64_t shard_net_delay(struct shard_net *net)
{
	const struct shard_weather *weather = &net->weather;
	uint64_t delay = weather->delay_us + shard_random_below(net->random, weather->jitter_us);

	if (shard_random_percent(net->random, weather->slow_percent))
		delay += shard_random_below(net->random, weather->slow_us);
	return delay;
}

static bool is_lost(struct shard_net *net, unsigned from, unsigned to)
{
	bool lost =
		net->cut[from][to] || shard_random_percent(net->random, net->weather.loss_percent);

	net->lost += lost;
	return lost;
}

static void finish(struct shard_net *net, uint64_t name, int error, const struct buf *message)
{
	struct shard_call *call = call_of(net, name);
	unsigned from;

	if (!call)
		return;
	call->open = false;
	from = call->from;
	net->hooks.answered(net->state, from, call->core_call, error, message);
}

static void timed_out(void *state, struct shard_event *event)
{
	finish(state, event->numbers[0], -ETIMEDOUT, NULL);
}

static void answer_arrives(void *state, struct shard_event *event)
{
	struct shard_net *net = state;
	struct shard_call *call = call_of(net, event->numbers[0]);

	if (call && event->numbers[1] == 0)
		net->hooks.seen(net->state, call->to, call->from, &event->bytes);
	if (event->numbers[1] == 0)
		finish(net, event->numbers[0], 0, &event->bytes);
	else
		finish(net, event->numbers[0],
		       event->numbers[1] == REFUSED ? -ECONNREFUSED : -ECONNRESET, NULL);
}

/* @what: 0, REFUSED or RESET. */
static void send_back(struct shard_net *net, uint64_t name, unsigned what, struct buf *message)
{
	struct shard_call *call = call_of(net, name);
	struct shard_event *event;

	if (!call || is_lost(net, call->to, call->from)) {
		buf_deinit(message);
		return;
	}
	event = shard_events_add(net->events, net->events->now_us + shard_net_delay(net),
				 answer_arrives, net);
	event->numbers[0] = name;
	event->numbers[1] = what;
	event->bytes = buf_take(message);
	net->delivered++;
}

static void question_arrives(void *state, struct shard_event *event)
{
	struct shard_net *net = state;
	uint64_t ask;
	struct buf none = { 0 };

	ask = open_ask(net, event->node, event->numbers[0]);
	if (net->hooks.asked(net->state, event->node, ask, &event->bytes))
		return;
	net->asks[(uint32_t)ask].open = false;
	if (!net->silent[event->node])
		send_back(net, event->numbers[0], REFUSED, &none);
}

static void plan_question(struct shard_net *net, uint64_t call, unsigned to,
			  const struct buf *message)
{
	struct shard_event *event = shard_events_add(
		net->events, net->events->now_us + shard_net_delay(net), question_arrives, net);

	event->node = to;
	event->numbers[0] = call;
	if (buf_append(&event->bytes, message->data, message->len) < 0)
		abort();
	net->delivered++;
}

void shard_net_send(struct shard_net *net, unsigned from, unsigned to, uint64_t core_call,
		    struct buf *message, uint32_t timeout_ms)
{
	uint64_t call = open_call(net, from, to, core_call);
	struct shard_event *event;

	event = shard_events_add(net->events, net->events->now_us + (uint64_t)timeout_ms * 1000,
				 timed_out, net);
	event->numbers[0] = call;
	if (!is_lost(net, from, to)) {
		net->hooks.seen(net->state, from, to, message);
		plan_question(net, call, to, message);
		if (shard_random_percent(net->random, net->weather.twice_percent)) {
			plan_question(net, call, to, message);
			net->twice++;
		}
	}
	buf_deinit(message);
}

void shard_net_answer(struct shard_net *net, uint64_t name, struct buf *message)
{
	struct shard_ask *ask = &net->asks[(uint32_t)name];

	if (!ask->open || ask->generation != name >> 32) {
		buf_deinit(message);
		return;
	}
	ask->open = false;
	send_back(net, ask->call, 0, message);
}

void shard_net_forget(struct shard_net *net, unsigned node)
{
	for (size_t i = 0; i < net->call_count; i++)
		if (net->calls[i].from == node)
			net->calls[i].open = false;
	for (size_t i = 0; i < net->ask_count; i++) {
		struct buf none = { 0 };

		if (!net->asks[i].open || net->asks[i].node != node)
			continue;
		net->asks[i].open = false;
		if (!net->silent[node])
			send_back(net, net->asks[i].call, RESET, &none);
	}
}

void shard_net_deinit(struct shard_net *net)
{
	free(net->calls);
	free(net->asks);
}
