/* SPDX-License-Identifier: MIT */
#include "tests/unit/replica_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIR_NAME  "/data"
#define TICKS_MAX 1000

static const char cluster_text[] =
	"{\"cluster\":\"test\",\"shards\":[{\"name\":\"s\",\"slots\":[[0,4095]],\"leader\":\"a\","
	"\"nodes\":[{\"name\":\"a\",\"url\":\"http://127.0.0.1:8001\"},"
	"{\"name\":\"b\",\"url\":\"http://127.0.0.1:8002\"},"
	"{\"name\":\"c\",\"url\":\"http://127.0.0.1:8003\"}]}]}";

/* The transport */

static void send_message(void *state, unsigned place, uint64_t call, struct buf *message,
			 uint32_t timeout_ms)
{
	struct replica_fixture *fixture = state;
	struct replica_question *question = &fixture->questions[fixture->question_count++];

	(void)timeout_ms;
	assert_true(fixture->question_count <
		    sizeof(fixture->questions) / sizeof(*fixture->questions));
	*question = (struct replica_question){ .place = place, .call = call };
	question->bytes = buf_take(message);
	assert_int_equal(replica_message_decode(question->bytes.data, question->bytes.len,
						&question->message),
			 0);
}

static void take_answer(void *state, uint64_t request, struct buf *message)
{
	struct replica_fixture *fixture = state;

	(void)request;
	buf_deinit(&fixture->answer);
	fixture->answer = buf_take(message);
}

static void restart(void *state)
{
	struct replica_fixture *fixture = state;

	fixture->restarts++;
}

static void changed(void *state)
{
	(void)state;
}

static void wake(void *state)
{
	struct replica_fixture *fixture = state;

	fixture->awake = true;
}

static const struct replica_transport transport = {
	.send = send_message,
	.answer = take_answer,
	.restart = restart,
	.changed = changed,
	.wake = wake,
};

static uint64_t now_ms(void *state)
{
	struct replica_fixture *fixture = state;

	return fixture->now_ms;
}

/* Beginning and end */

struct replica_fixture *replica_fixture_new(unsigned self)
{
	struct replica_fixture *fixture = calloc(1, sizeof(*fixture));
	struct store_options options = {
		.dir = DIR_NAME,
		.cluster = "test",
		.memtable_bytes = 1 << 20,
		.inline_bytes = 64,
		.log_retain_bytes = 1 << 20,
		.log_retain_s = 600,
		.keeps_deletions = true,
	};
	char *why = NULL;

	assert_non_null(fixture);
	assert_int_equal(cluster_parse(cluster_text, strlen(cluster_text), &fixture->cluster, &why),
			 0);
	fixture->shard = &fixture->cluster->shards[0];
	fixture->self = self;
	fixture->now_ms = 1000000;
	fixture->crash = crash_vfs_new(1);
	options.vfs = crash_vfs_base(fixture->crash);
	options.node = fixture->shard->nodes[self].name;
	if (store_open(&options, &fixture->store, &why) < 0)
		fail_msg("%s", why);
	for (unsigned i = 0; i < REPLICA_FIXTURE_NODES; i++) {
		fixture->heads[i] = (struct replica_head){
			.node = fixture->shard->nodes[i].id,
			.role = REPLICA_FOLLOWER,
			.group = replica_group("test", "s"),
		};
		memset(fixture->heads[i].store_id, 'a' + (int)i, 16);
	}
	return fixture;
}

void replica_fixture_start(struct replica_fixture *fixture)
{
	struct replica_options options = {
		.store = fixture->store,
		.vfs = crash_vfs_base(fixture->crash),
		.dir = DIR_NAME,
		.cluster = fixture->cluster,
		.shard = fixture->shard,
		.self = fixture->self,
		.transport = &transport,
		.state = fixture,
		.now_ms = now_ms,
	};

	assert_int_equal(replica_new(&options, &fixture->replica), 0);
	replica_fixture_run(fixture);
}

struct replica_fixture *replica_fixture_free(struct replica_fixture *fixture)
{
	replica_free(fixture->replica);
	store_close(fixture->store);
	crash_vfs_free(fixture->crash);
	cluster_free(fixture->cluster);
	buf_deinit(&fixture->answer);
	for (size_t i = 0; i < fixture->question_count; i++)
		buf_deinit(&fixture->questions[i].bytes);
	free(fixture);
	return NULL;
}

uint16_t replica_fixture_id(const struct replica_fixture *fixture, unsigned place)
{
	return fixture->shard->nodes[place].id;
}

void replica_fixture_agree(struct replica_fixture *fixture, const struct lineage *lineage,
			   uint64_t promise)
{
	for (unsigned i = 0; i < REPLICA_FIXTURE_NODES; i++) {
		struct replica_head *head = &fixture->heads[i];

		head->lineage = *lineage;
		head->promise = promise;
		head->role = head->node == epoch_node(promise) ? REPLICA_LEADER : REPLICA_FOLLOWER;
	}
}

/* Time */

void replica_fixture_run(struct replica_fixture *fixture)
{
	unsigned ticks = 0;
	uint64_t next;

	do {
		fixture->awake = false;
		next = replica_tick(fixture->replica);
		assert_true(++ticks < TICKS_MAX);
	} while (fixture->awake || next <= fixture->now_ms);
}

void replica_fixture_pass(struct replica_fixture *fixture, uint64_t ms)
{
	fixture->now_ms += ms;
	replica_fixture_run(fixture);
}

enum replica_role replica_fixture_role(struct replica_fixture *fixture)
{
	struct replica_view view;

	replica_view(fixture->replica, &view);
	return view.role;
}

struct store_standing replica_fixture_standing(struct replica_fixture *fixture)
{
	struct store_standing standing;

	assert_int_equal(store_standing(fixture->store, &standing), 0);
	return standing;
}

/* Messages */

bool replica_fixture_asks(struct replica_fixture *fixture, unsigned place, enum replica_kind kind,
			  struct replica_question *ret_question)
{
	for (size_t i = 0; i < fixture->question_count; i++) {
		struct replica_question *question = &fixture->questions[i];

		if (question->place != place || question->message.kind != kind)
			continue;
		*ret_question = *question;
		memmove(question, question + 1,
			(--fixture->question_count - i) * sizeof(*question));
		return true;
	}
	return false;
}

struct replica_question replica_fixture_take(struct replica_fixture *fixture, unsigned place,
					     enum replica_kind kind)
{
	struct replica_question question = { 0 };

	if (!replica_fixture_asks(fixture, place, kind, &question))
		fail_msg("node %u was not asked a question of kind %d", place, kind);
	return question;
}

void replica_fixture_answer(struct replica_fixture *fixture, struct replica_question *question,
			    const struct replica_message *message)
{
	struct replica_message answer = *message;
	struct buf bytes = { 0 };

	answer.kind = question->message.kind;
	answer.is_answer = true;
	answer.head = fixture->heads[question->place];
	assert_int_equal(replica_message_encode(&answer, &bytes), 0);
	buf_deinit(&question->bytes);
	replica_answered(fixture->replica, question->call, 0, bytes.data, bytes.len);
	buf_deinit(&bytes);
	replica_fixture_run(fixture);
}

void replica_fixture_refuse(struct replica_fixture *fixture, struct replica_question *question)
{
	buf_deinit(&question->bytes);
	replica_answered(fixture->replica, question->call, -ECONNREFUSED, NULL, 0);
	replica_fixture_run(fixture);
}

void replica_fixture_state(struct replica_fixture *fixture, unsigned place, struct version end,
			   unsigned flags)
{
	struct replica_message answer = { .end = end, .flags = flags };
	struct replica_question question;

	while (replica_fixture_asks(fixture, place, REPLICA_STATE, &question))
		replica_fixture_answer(fixture, &question, &answer);
}

bool replica_fixture_ask(struct replica_fixture *fixture, unsigned place,
			 const struct replica_message *message, struct replica_message *ret_answer)
{
	struct replica_message asked = *message;
	struct buf bytes = { 0 };

	asked.head = fixture->heads[place];
	assert_int_equal(replica_message_encode(&asked, &bytes), 0);
	buf_clear(&fixture->answer);
	replica_asked(fixture->replica, 1, bytes.data, bytes.len);
	buf_deinit(&bytes);
	replica_fixture_run(fixture);
	if (fixture->answer.len == 0)
		return false;
	assert_int_equal(
		replica_message_decode(fixture->answer.data, fixture->answer.len, ret_answer), 0);
	return true;
}

static void promoted(void *state, enum outcome outcome, const char *sentence)
{
	struct replica_fixture *fixture = state;

	fixture->promoted = true;
	fixture->outcome = outcome;
	snprintf(fixture->sentence, sizeof(fixture->sentence), "%s", sentence);
}

void replica_fixture_promote(struct replica_fixture *fixture, bool force)
{
	fixture->promoted = false;
	replica_promote(fixture->replica, force, promoted, fixture);
	replica_fixture_run(fixture);
}

/* What is there before */

void replica_fixture_lead(struct replica_fixture *fixture, uint64_t epoch,
			  const struct lineage *lineage)
{
	assert_int_equal(store_promise(fixture->store, epoch), 0);
	assert_int_equal(store_lead(fixture->store, epoch, lineage), 0);
}

static void written(struct store_write *write)
{
	bool *done = write->state;

	*done = true;
}

void replica_fixture_submit(struct replica_fixture *fixture, struct store_write *write)
{
	bool done = false;

	write->done = written;
	write->state = &done;
	store_submit(fixture->store, write);
	assert_true(done);
	assert_true(outcome_is_success(write->outcome));
}

void replica_fixture_write(struct replica_fixture *fixture, const char *key, const char *value,
			   uint8_t id)
{
	struct store_write write = {
		.kind = value ? WRITE_PUT : WRITE_DELETE,
		.value = value,
		.value_len = value ? strlen(value) : 0,
	};

	assert_int_equal(key_from_bytes(key, strlen(key), &write.key), 0);
	write.request.request_id.bytes[0] = id;
	replica_fixture_submit(fixture, &write);
}
