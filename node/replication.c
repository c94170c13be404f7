/* SPDX-License-Identifier: MIT */
/*
 * Everything that touches the core happens in one thread; others reach it by tasks of its loop, and
 * it reaches them by tasks of theirs.
 *
 * Whoever waits here for an answer is answered by the core, or by the drain: then the core's own
 * answer comes later, or not before it is freed, and finds nobody. A promotion is therefore two
 * things: what its asker waits with, and the attempt that the core knows.
 *
 * What all requests have to know of the role is kept in atomics and may be a moment old: the store
 * has the last word on writes, and what a reader sees was true when it asked.
 */
#include "node/replication.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/log.h"
#include "lib/mutex.h"
#include "lib/server.h"
#include "node/acks.h"
#include "node/replica_calls.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Of all workers together. Ten times as many as the nodes of a shard have under way. */
#define QUESTIONS_MAX 256

struct replication_attempt {
	struct replication_promotion *promotion; /* NULL: its asker has been answered */
	struct replication_attempt *next, *previous;
	struct replication *replication;
};

struct replication {
	/* immutable */
	struct replication_options options;
	struct loop *loop;
	pthread_t thread;
	bool running;

	/* the thread's */
	struct replica_calls *calls;
	struct replica *core;
	struct loop_timer tick;
	struct loop_task wake, drain;
	struct replication_question *questions; /* that the core has not answered */
	unsigned question_count;
	uint64_t last_id;
	struct replication_attempt *attempts;
	bool draining;

	_Atomic unsigned role; /* enum replica_role */
	_Atomic bool reads;
	_Atomic int leader;
	_Atomic uint64_t fresh_ms;

	struct mutex lock;
	/* protected by lock */
	struct replica_view view;
	struct server *server;
	unsigned workers; /* of it */
	bool wants_restart;
};

/* What there is to say */

/* A copy that was taken over is no reason to forget what was counted on the way. */
static void add_before(const struct replica_counters *before, struct replica_counters *counters)
{
	const uint64_t *from = (const uint64_t *)before;
	uint64_t *to = (uint64_t *)counters;

	_Static_assert(sizeof(*counters) % sizeof(*to) == 0, "there is nothing but counters");
	for (size_t i = 0; i < sizeof(*counters) / sizeof(*to); i++)
		to[i] += from[i];
}

static void publish(struct replication *replication)
{
	struct replica_view view;

	replica_view(replication->core, &view);
	add_before(&replication->options.before, &view.counters);
	atomic_store(&replication->fresh_ms, view.fresh_ms);
	atomic_store(&replication->reads, view.reads);
	atomic_store(&replication->leader, view.leader);
	atomic_store(&replication->role, view.role);
	mutex_lock(&replication->lock);
	replication->view = view;
	mutex_unlock(&replication->lock);
}

struct replication_role replication_role(struct replication *replication)
{
	struct replication_role role = {
		.role = (enum replica_role)atomic_load(&replication->role),
		.reads = atomic_load(&replication->reads),
		.leader = atomic_load(&replication->leader),
		.fresh_ms = atomic_load(&replication->fresh_ms),
	};

	return role;
}

void replication_view(struct replication *replication, struct replica_view *ret_view)
{
	mutex_lock(&replication->lock);
	*ret_view = replication->view;
	mutex_unlock(&replication->lock);
}

/* The clock */

/* Also after every message: what it brought may be due at another time. */
static void tick(struct replication *replication)
{
	uint64_t next = replica_tick(replication->core);

	publish(replication);
	/* Without memory for the timer it is tried again as soon as anything happens. */
	if (next == 0)
		loop_clear_timer(replication->loop, &replication->tick);
	else if (loop_set_timer(replication->loop, &replication->tick, next) < 0)
		log_error("replication has no timer", "memory is out");
}

static void on_tick(struct loop_timer *timer)
{
	tick(container_of(timer, struct replication, tick));
}

static void on_wake(struct loop_task *task)
{
	tick(container_of(task, struct replication, wake));
}

/* What the core wants done */

static void transport_send(void *state, unsigned place, uint64_t call, struct buf *message,
			   uint32_t timeout_ms)
{
	struct replication *replication = state;

	replica_calls_send(replication->calls, place, call, message, timeout_ms);
}

static void call_answered(void *state, uint64_t call, int error, const void *message, size_t len)
{
	struct replication *replication = state;

	replica_answered(replication->core, call, error, message, len);
	tick(replication);
}

/* Gives the question back to who asked. */
static void give_back(struct replication *replication, struct replication_question *question)
{
	if (question->previous)
		question->previous->next = question->next;
	else
		replication->questions = question->next;
	if (question->next)
		question->next->previous = question->previous;
	replication->question_count--;
	loop_post(question->loop, &question->answered);
}

static void transport_answer(void *state, uint64_t request, struct buf *message)
{
	struct replication *replication = state;
	struct replication_question *question = replication->questions;

	while (question && question->id != request)
		question = question->next;
	if (!question) { /* answered by the drain */
		buf_deinit(message);
		return;
	}
	buf_deinit(&question->message);
	question->message = buf_take(message);
	give_back(replication, question);
}

static void transport_restart(void *state)
{
	struct replication *replication = state;

	log_info("taking over the copy that was fetched", "%s", "restart=true");
	mutex_lock(&replication->lock);
	replication->wants_restart = true;
	if (replication->server)
		server_restart(replication->server);
	mutex_unlock(&replication->lock);
}

static void transport_changed(void *state)
{
	struct replication *replication = state;

	/* replica_new() may say so before there is a core to look at. */
	if (replication->core)
		publish(replication);
}

static void transport_wake(void *state)
{
	struct replication *replication = state;

	loop_post(replication->loop, &replication->wake);
}

struct work {
	void (*run)(void *argument);
	void *argument;
};

static void *run_work(void *state)
{
	struct work work = *(struct work *)state;

	free(state);
	work.run(work.argument);
	return NULL;
}

/* Nobody waits for the thread: the core waits for what it does. */
static void transport_work(void *state, void (*run_it)(void *argument), void *argument)
{
	struct work *work = malloc(sizeof(*work));
	pthread_t thread;

	(void)state;
	if (work)
		*work = (struct work){ run_it, argument };
	if (work && pthread_create(&thread, NULL, run_work, work) == 0) {
		pthread_detach(thread);
		return;
	}
	free(work);
	run_it(argument);
}

static const struct replica_transport transport = {
	.send = transport_send,
	.answer = transport_answer,
	.restart = transport_restart,
	.changed = transport_changed,
	.wake = transport_wake,
	.work = transport_work,
};

static uint64_t now_ms(void *state)
{
	(void)state;
	return clock_monotonic_ms();
}

/* What others ask */

static void on_asked(struct loop_task *task)
{
	struct replication_question *question =
		container_of(task, struct replication_question, asked);
	struct replication *replication = question->replication;
	struct buf message = buf_take(&question->message);

	question->id = ++replication->last_id;
	question->previous = NULL;
	question->next = replication->questions;
	if (question->next)
		question->next->previous = question;
	replication->questions = question;
	replication->question_count++;
	if (replication->draining || replication->question_count > QUESTIONS_MAX) {
		give_back(replication, question);
	} else {
		replica_asked(replication->core, question->id, message.data, message.len);
		tick(replication);
	}
	buf_deinit(&message);
}

static void on_answered(struct loop_task *task)
{
	struct replication_question *question =
		container_of(task, struct replication_question, answered);

	question->done(question);
}

void replication_ask(struct replication *replication, struct replication_question *question)
{
	question->replication = replication;
	question->asked = (struct loop_task){ .run = on_asked };
	question->answered = (struct loop_task){ .run = on_answered };
	loop_post(replication->loop, &question->asked);
}

/* Gives the promotion back to who asked for it. */
static void answer_promotion(struct replication_promotion *promotion, enum outcome outcome,
			     const char *sentence)
{
	promotion->outcome = outcome;
	/* Without memory the outcome must do. */
	if (sentence && buf_append(&promotion->sentence, sentence, strlen(sentence) + 1) < 0)
		buf_clear(&promotion->sentence);
	loop_post(promotion->loop, &promotion->answered);
}

static void on_promoted(void *state, enum outcome outcome, const char *sentence)
{
	struct replication_attempt *attempt = state;
	struct replication *replication = attempt->replication;

	if (attempt->promotion)
		answer_promotion(attempt->promotion, outcome, sentence);
	if (attempt->previous)
		attempt->previous->next = attempt->next;
	else
		replication->attempts = attempt->next;
	if (attempt->next)
		attempt->next->previous = attempt->previous;
	free(attempt);
}

static void on_promotion_asked(struct loop_task *task)
{
	struct replication_promotion *promotion =
		container_of(task, struct replication_promotion, asked);
	struct replication *replication = promotion->replication;
	struct replication_attempt *attempt;

	if (replication->draining) {
		answer_promotion(promotion, OUTCOME_UNAVAILABLE, "the node is shutting down");
		return;
	}
	attempt = calloc(1, sizeof(*attempt));
	if (!attempt) {
		answer_promotion(promotion, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	attempt->replication = replication;
	attempt->promotion = promotion;
	attempt->next = replication->attempts;
	if (attempt->next)
		attempt->next->previous = attempt;
	replication->attempts = attempt;
	replica_promote(replication->core, promotion->force, on_promoted, attempt);
	tick(replication);
}

static void on_promotion_answered(struct loop_task *task)
{
	struct replication_promotion *promotion =
		container_of(task, struct replication_promotion, answered);

	promotion->done(promotion);
}

void replication_promote(struct replication *replication, struct replication_promotion *promotion)
{
	promotion->replication = replication;
	promotion->asked = (struct loop_task){ .run = on_promotion_asked };
	promotion->answered = (struct loop_task){ .run = on_promotion_answered };
	loop_post(replication->loop, &promotion->asked);
}

static void on_drain(struct loop_task *task)
{
	struct replication *replication = container_of(task, struct replication, drain);

	replication->draining = true;
	while (replication->questions)
		give_back(replication, replication->questions);
	for (struct replication_attempt *at = replication->attempts; at; at = at->next) {
		if (at->promotion)
			answer_promotion(at->promotion, OUTCOME_UNAVAILABLE,
					 "the node is shutting down; see which node leads now");
		at->promotion = NULL;
	}
}

void replication_drain(struct replication *replication)
{
	/* First: what is committed from now on will find nobody to wait for. */
	acks_stop(replication->options.acks);
	loop_post(replication->loop, &replication->drain);
}

/* The server around it */

void replication_attach(struct replication *replication, struct server *server)
{
	mutex_lock(&replication->lock);
	replication->server = server;
	replication->workers++;
	if (replication->wants_restart && server)
		server_restart(server);
	mutex_unlock(&replication->lock);
}

void replication_detach(struct replication *replication)
{
	mutex_lock(&replication->lock);
	if (--replication->workers == 0)
		replication->server = NULL;
	mutex_unlock(&replication->lock);
}

/* Begin and end */

static void *run(void *state)
{
	struct replication *replication = state;
	int r;

	tick(replication);
	r = loop_run(replication->loop);
	if (r < 0)
		log_error("replication failed", "error=%d", -r);
	return NULL;
}

static int open_core(struct replication *replication)
{
	const struct replication_options *options = &replication->options;
	const struct replica_calls_options calls = {
		.loop = replication->loop,
		.shard = options->shard,
		.token = options->token,
		.answered = call_answered,
		.state = replication,
	};
	const struct replica_options core = {
		.store = options->store,
		.acks = options->acks,
		.vfs = options->vfs,
		.dir = options->dir,
		.cluster = options->cluster,
		.shard = options->shard,
		.self = options->self,
		.transport = &transport,
		.state = replication,
		.now_ms = now_ms,
		.bootstrap_bytes_per_s = options->bootstrap_bytes_per_s,
	};
	int r;

	r = replica_calls_new(&calls, &replication->calls);
	if (r == 0)
		r = replica_new(&core, &replication->core);
	if (r == 0)
		publish(replication);
	return r;
}

int replication_new(const struct replication_options *options, struct replication **ret)
{
	struct replication *replication = calloc(1, sizeof(*replication));
	int r;

	if (!replication)
		return -ENOMEM;
	replication->options = *options;
	replication->tick.expired = on_tick;
	replication->wake.run = on_wake;
	replication->drain.run = on_drain;
	atomic_store(&replication->leader, -1);
	mutex_init(&replication->lock);
	r = loop_new(&replication->loop);
	if (r == 0)
		r = open_core(replication);
	if (r == 0) {
		r = -pthread_create(&replication->thread, NULL, run, replication);
		replication->running = r == 0;
	}
	if (r < 0) {
		replication_free(replication);
		return r;
	}
	*ret = replication;
	return 0;
}

struct replication *replication_free(struct replication *replication)
{
	if (!replication)
		return NULL;
	if (replication->running) {
		loop_stop(replication->loop);
		pthread_join(replication->thread, NULL);
	}
	/* No answer may reach a core that is going away. */
	replication->calls = replica_calls_free(replication->calls);
	replication->core = replica_free(replication->core);
	loop_free(replication->loop);
	mutex_deinit(&replication->lock);
	free(replication);
	return NULL;
}
