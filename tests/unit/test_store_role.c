/* SPDX-License-Identifier: MIT */
/* A store that leads, pauses, follows and leads again, with a commit thread and without one. */
#include "lib/clock.h"
#include "lib/mutex.h"
#include "node/epoch.h"
#include "node/log_read.h"
#include "node/store.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE_ID  7
#define DEADLINE 20000

struct fixture {
	char dir[64];
	bool threads;
	struct store *store;
	struct mutex lock;
	struct condition changed; /* something is done */
};

static void open_store(struct fixture *fixture)
{
	struct store_options options = {
		.vfs = vfs_posix(),
		.dir = fixture->dir,
		.cluster = "test",
		.node = "n1",
		.memtable_bytes = 64 * 1024,
		.inline_bytes = 4096,
		.log_retain_bytes = 1024 * 1024,
		.log_retain_s = 600,
		.threads = fixture->threads,
	};
	char *why = NULL;

	if (store_open(&options, &fixture->store, &why) < 0)
		fail_msg("%s", why);
}

static int setup(void **state, bool threads)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	strcpy(fixture->dir, "/tmp/hexkv-role-XXXXXX");
	if (!mkdtemp(fixture->dir))
		return -1;
	fixture->threads = threads;
	mutex_init(&fixture->lock);
	condition_init(&fixture->changed);
	*state = fixture;
	open_store(fixture);
	return 0;
}

static int setup_with_threads(void **state)
{
	return setup(state, true);
}

static int setup_without_threads(void **state)
{
	return setup(state, false);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	store_close(fixture->store);
	nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	condition_deinit(&fixture->changed);
	mutex_deinit(&fixture->lock);
	free(fixture);
	return 0;
}

static void reopen(struct fixture *fixture)
{
	fixture->store = store_close(fixture->store);
	open_store(fixture);
}

static struct store_standing standing_of(struct fixture *fixture)
{
	struct store_standing standing;

	assert_int_equal(store_standing(fixture->store, &standing), 0);
	return standing;
}

static void note(struct fixture *fixture, bool *flag)
{
	mutex_lock(&fixture->lock);
	*flag = true;
	condition_broadcast(&fixture->changed);
	mutex_unlock(&fixture->lock);
}

static bool is_set(struct fixture *fixture, const bool *flag)
{
	bool set;

	mutex_lock(&fixture->lock);
	set = *flag;
	mutex_unlock(&fixture->lock);
	return set;
}

static void wait_for(struct fixture *fixture, const bool *flag)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE;
	int r = 0;

	mutex_lock(&fixture->lock);
	while (!*flag && r == 0)
		r = condition_wait_until(&fixture->changed, &fixture->lock, deadline);
	mutex_unlock(&fixture->lock);
	assert_int_equal(r, 0);
}

struct call {
	struct store_write write;
	struct fixture *fixture;
	bool answered;
	/* What else is done from inside the answer. */
	void (*then)(struct fixture *fixture);
};

static void on_done(struct store_write *write)
{
	struct call *call = write->state;

	if (call->then)
		call->then(call->fixture);
	note(call->fixture, &call->answered);
}

static void begin_put(struct fixture *fixture, struct call *call, const char *key)
{
	*call = (struct call){ .fixture = fixture, .then = call->then };
	call->write.kind = WRITE_PUT;
	assert_int_equal(key_from_bytes(key, strlen(key), &call->write.key), 0);
	call->write.value = "value";
	call->write.value_len = 5;
	call->write.done = on_done;
	call->write.state = call;
	store_submit(fixture->store, &call->write);
}

static enum outcome put(struct fixture *fixture, const char *key, struct call *call)
{
	call->then = NULL;
	begin_put(fixture, call, key);
	wait_for(fixture, &call->answered);
	return call->write.outcome;
}

static bool has(struct fixture *fixture, const char *name)
{
	struct store_record record;
	struct key key;
	int r;

	assert_int_equal(key_from_bytes(name, strlen(name), &key), 0);
	r = store_get(fixture->store, &key, 0, &record);
	if (r == 0)
		store_record_release(&record);
	return r == 0;
}

static void a_store_takes_writes_only_while_it_leads(void **state)
{
	struct fixture *fixture = *state;
	struct store_standing standing = standing_of(fixture);
	struct call call;

	assert_int_equal(standing.role, STORE_IDLE);
	assert_true(standing.empty);
	assert_false(standing.whole);
	assert_false(lineage_is_set(&standing.lineage));
	assert_int_equal(standing.opened, 1);
	assert_int_equal(put(fixture, "k", &call), OUTCOME_MISDIRECTED);
	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	assert_int_equal(put(fixture, "k", &call), OUTCOME_CREATED);
	standing = standing_of(fixture);
	assert_int_equal(standing.role, STORE_LEADING);
	assert_false(standing.empty);
	assert_true(standing.whole);
	assert_true(lineage_is_set(&standing.lineage));
	assert_int_equal(epoch_node(standing.epoch), NODE_ID);
	assert_true(standing.epoch == epoch_first(&standing.lineage, NODE_ID));
	assert_true(standing.end.epoch == standing.epoch);
	assert_int_equal(standing.end.sequence, 1);
	assert_int_equal(standing.synced.sequence, 1);
	assert_int_equal(standing.log_begin.sequence, 0);
	assert_int_equal(store_follow(fixture->store), 0);
	assert_int_equal(standing_of(fixture).role, STORE_FOLLOWING);
	assert_int_equal(put(fixture, "l", &call), OUTCOME_MISDIRECTED);
	assert_true(has(fixture, "k"));
	assert_false(has(fixture, "l"));
	reopen(fixture);
	standing = standing_of(fixture);
	assert_int_equal(standing.role, STORE_IDLE);
	assert_int_equal(standing.opened, 2);
	assert_true(standing.whole);
	assert_int_equal(standing.end.sequence, 1);
	assert_true(has(fixture, "k"));
}

static void each_time_as_leader_has_an_epoch_of_its_own(void **state)
{
	struct fixture *fixture = *state;
	uint64_t last = 0;
	struct call call;

	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
		if (i % 3 != 1)
			assert_true(outcome_is_success(put(fixture, "k", &call)));
		assert_true(standing_of(fixture).epoch > last);
		last = standing_of(fixture).epoch;
		if (i % 3 != 1)
			assert_true(call.write.meta.version.epoch == last);
		assert_int_equal(store_follow(fixture->store), 0);
		if (i % 2)
			reopen(fixture);
	}
}

static void a_promise_is_kept(void **state)
{
	struct fixture *fixture = *state;
	struct lineage lineage = { .id = { 1, 2 }, .created_ns = 9 };
	uint64_t mine = epoch_first(&lineage, NODE_ID), theirs = epoch_after_promotion(mine, 9);
	struct store_standing standing;
	struct call call;

	/* Nobody leads who was not promised it. */
	assert_int_equal(store_lead(fixture->store, mine, &lineage), -EINVAL);
	assert_int_equal(store_promise(fixture->store, mine), 0);
	assert_int_equal(store_lead(fixture->store, mine, &lineage), 0);
	standing = standing_of(fixture);
	assert_true(lineage_equal(&standing.lineage, &lineage));
	assert_int_equal(store_lead(fixture->store, mine, &lineage), -EINVAL);
	assert_int_equal(put(fixture, "k", &call), OUTCOME_CREATED);
	/* A higher one ends it. */
	assert_int_equal(store_promise(fixture->store, mine), 0);
	assert_int_equal(standing_of(fixture).role, STORE_LEADING);
	assert_int_equal(store_promise(fixture->store, theirs), 0);
	assert_int_equal(standing_of(fixture).role, STORE_FOLLOWING);
	assert_int_equal(put(fixture, "k", &call), OUTCOME_MISDIRECTED);
	assert_int_equal(store_promise(fixture->store, mine), -ESTALE);
	assert_int_equal(store_lead(fixture->store, mine, &lineage), -EINVAL);
	reopen(fixture);
	assert_true(standing_of(fixture).promise == theirs);
	assert_true(standing_of(fixture).epoch == mine);
	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	assert_true(standing_of(fixture).epoch == epoch_after_start(theirs, NODE_ID));
}

struct paused {
	struct store_pause pause;
	struct fixture *fixture;
	bool done;
};

static void on_paused(struct store_pause *pause)
{
	struct paused *paused = pause->state;

	note(paused->fixture, &paused->done);
}

static void begin_pause(struct fixture *fixture, struct paused *paused)
{
	*paused = (struct paused){ .pause = { .done = on_paused, .state = paused },
				   .fixture = fixture };
	store_pause(fixture->store, &paused->pause);
}

static int pause_store(struct fixture *fixture)
{
	struct paused paused;

	begin_pause(fixture, &paused);
	wait_for(fixture, &paused.done);
	return paused.pause.result;
}

static void writes_wait_while_it_pauses(void **state)
{
	struct fixture *fixture = *state;
	struct call before, calls[3] = { 0 };

	assert_int_equal(pause_store(fixture), -EPERM);
	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	before.write.request.durability = DURABILITY_MEMORY;
	assert_int_equal(put(fixture, "before", &before), OUTCOME_CREATED);
	assert_int_equal(pause_store(fixture), 0);
	assert_int_equal(standing_of(fixture).role, STORE_PAUSED);
	assert_int_equal(standing_of(fixture).synced.sequence, 1);
	assert_int_equal(pause_store(fixture), -EPERM);
	begin_put(fixture, &calls[0], "a");
	begin_put(fixture, &calls[1], "b");
	assert_false(is_set(fixture, &calls[0].answered));
	assert_true(has(fixture, "before"));
	assert_false(has(fixture, "a"));
	store_resume(fixture->store);
	begin_put(fixture, &calls[2], "c");
	for (unsigned i = 0; i < 3; i++) {
		wait_for(fixture, &calls[i].answered);
		assert_int_equal(calls[i].write.outcome, OUTCOME_CREATED);
		assert_int_equal(calls[i].write.meta.version.sequence, 2 + i);
	}
}

static void writes_that_wait_are_refused_once_another_leads(void **state)
{
	struct fixture *fixture = *state;
	struct call calls[2] = { 0 };
	uint64_t epoch;

	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	assert_int_equal(pause_store(fixture), 0);
	begin_put(fixture, &calls[0], "a");
	epoch = epoch_after_promotion(standing_of(fixture).epoch, 9);
	assert_int_equal(store_promise(fixture->store, epoch), 0);
	assert_int_equal(standing_of(fixture).role, STORE_PAUSED);
	assert_false(is_set(fixture, &calls[0].answered));
	/* It may not go on: the promise names another. */
	store_resume(fixture->store);
	wait_for(fixture, &calls[0].answered);
	assert_int_equal(calls[0].write.outcome, OUTCOME_MISDIRECTED);
	assert_false(calls[0].write.maybe_applied);
	assert_int_equal(standing_of(fixture).role, STORE_FOLLOWING);
	assert_int_equal(put(fixture, "b", &calls[1]), OUTCOME_MISDIRECTED);
	assert_int_equal(standing_of(fixture).end.sequence, 0);
}

static void closing_answers_what_waits(void **state)
{
	struct fixture *fixture = *state;
	struct call call = { 0 };

	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	assert_int_equal(pause_store(fixture), 0);
	begin_put(fixture, &call, "a");
	fixture->store = store_close(fixture->store);
	assert_true(is_set(fixture, &call.answered));
	assert_int_equal(call.write.outcome, OUTCOME_UNAVAILABLE);
	open_store(fixture);
	assert_false(has(fixture, "a"));
}

static void lead_again(struct fixture *fixture)
{
	assert_int_equal(store_follow(fixture->store), 0);
	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
}

static void roles_may_change_from_inside_an_answer(void **state)
{
	struct fixture *fixture = *state;
	struct call first = { .then = lead_again }, second;

	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	begin_put(fixture, &first, "a");
	wait_for(fixture, &first.answered);
	assert_int_equal(first.write.outcome, OUTCOME_CREATED);
	assert_int_equal(put(fixture, "a", &second), OUTCOME_NO_CONTENT);
	assert_true(second.write.meta.version.epoch > first.write.meta.version.epoch);
}

static void a_history_is_adopted_as_far_as_the_log_has_come(void **state)
{
	struct fixture *fixture = *state;
	struct lineage lineage = { .id = { 1, 2 }, .created_ns = 9 }, other = { .id = { 3 } };
	uint64_t mine = epoch_first(&lineage, NODE_ID);
	const struct history_epoch epochs[] = { { mine, 1 },
						{ epoch_after_promotion(mine, 9), 2 },
						{ epoch_after_promotion(mine, 9) +
							  (UINT64_C(1) << 32),
						  5 } },
				   elsewhere[] = { { mine + (UINT64_C(1) << 32), 1 } };
	struct store_standing standing;
	struct history history;
	struct call call;

	/* What is empty can be anything. */
	assert_int_equal(store_adopt_history(fixture->store, &other, elsewhere, 1), 0);
	assert_int_equal(store_adopt_history(fixture->store, &lineage, NULL, 0), 0);
	assert_int_equal(store_promise(fixture->store, mine), 0);
	assert_int_equal(store_lead(fixture->store, mine, &other), 0);
	standing = standing_of(fixture);
	assert_true(lineage_equal(&standing.lineage, &lineage));
	assert_int_equal(store_adopt_history(fixture->store, &lineage, epochs, 3), -EPERM);
	assert_int_equal(put(fixture, "k", &call), OUTCOME_CREATED);
	assert_int_equal(store_follow(fixture->store), 0);
	assert_int_equal(store_adopt_history(fixture->store, &other, epochs, 3), -EINVAL);
	assert_int_equal(store_adopt_history(fixture->store, &lineage, elsewhere, 1), -EINVAL);
	assert_int_equal(store_adopt_history(fixture->store, &lineage, NULL, 0), -EINVAL);
	assert_int_equal(store_adopt_history(fixture->store, &lineage, epochs, 3), 0);
	reopen(fixture);
	assert_int_equal(store_history(fixture->store, &history), 0);
	assert_int_equal(history.count, 2);
	assert_true(history.epochs[1].epoch == epochs[1].epoch);
	history_deinit(&history);
}

static void being_whole_is_remembered(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(store_set_whole(fixture->store), 0);
	assert_int_equal(store_set_whole(fixture->store), 0);
	assert_true(standing_of(fixture).whole);
	reopen(fixture);
	assert_true(standing_of(fixture).whole);
}

static int refuse(const struct shipped_record *record, void *state)
{
	(void)record;
	(void)state;
	return -EIO;
}

/* Its records as they are come to others with a copy alone, from now on and after an opening. */
static void assert_log_is_new(struct fixture *fixture, struct version old)
{
	struct store_standing standing = standing_of(fixture);

	assert_true(standing.whole);
	assert_int_equal(standing.ahead.sequence, 0);
	assert_true(standing.log_begin.epoch == standing.epoch);
	assert_int_equal(standing.log_begin.sequence, old.sequence + 1);
	assert_int_equal(store_log_read(fixture->store, old, 1024, refuse, NULL),
			 STORE_LOG_TRIMMED);
	assert_int_equal(store_log_read(fixture->store, (struct version){ 0 }, 1024, refuse, NULL),
			 STORE_LOG_TRIMMED);
	assert_true(has(fixture, "k"));
	assert_true(has(fixture, "l"));
}

static void what_is_ahead_of_its_log_leads_with_a_new_one(void **state)
{
	struct fixture *fixture = *state;
	struct call call;
	struct version old;

	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	assert_int_equal(put(fixture, "k", &call), OUTCOME_CREATED);
	assert_int_equal(put(fixture, "l", &call), OUTCOME_CREATED);
	old = standing_of(fixture).end;
	assert_int_equal(store_follow(fixture->store), 0);
	assert_int_equal(store_set_ahead(fixture->store, (struct version){ 1, UINT64_MAX }), 0);
	reopen(fixture);
	assert_false(standing_of(fixture).whole);
	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	assert_log_is_new(fixture, old);
	assert_int_equal(standing_of(fixture).synced.sequence, old.sequence + 1);
	reopen(fixture);
	assert_log_is_new(fixture, old);
	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	assert_int_equal(put(fixture, "m", &call), OUTCOME_CREATED);
	assert_int_equal(call.write.meta.version.sequence, old.sequence + 2);
	reopen(fixture);
	assert_true(has(fixture, "m"));
	assert_true(has(fixture, "k"));
}

static void a_log_that_is_read_from_does_not_begin_anew(void **state)
{
	struct fixture *fixture = *state;
	struct wal_pin *pin = NULL;
	struct call call;

	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	assert_int_equal(put(fixture, "k", &call), OUTCOME_CREATED);
	assert_int_equal(put(fixture, "l", &call), OUTCOME_CREATED);
	assert_int_equal(store_follow(fixture->store), 0);
	assert_int_equal(store_set_ahead(fixture->store, (struct version){ 1, 9 }), 0);
	assert_int_equal(store_log_pin(fixture->store, 0, &pin), 0);
	assert_int_equal(store_lead_next(fixture->store, NODE_ID), -EBUSY);
	assert_int_equal(standing_of(fixture).role, STORE_FOLLOWING);
	assert_int_equal(standing_of(fixture).ahead.sequence, 9);
	store_log_unpin(fixture->store, pin);
	assert_int_equal(store_lead_next(fixture->store, NODE_ID), 0);
	assert_int_equal(put(fixture, "m", &call), OUTCOME_CREATED);
	assert_true(standing_of(fixture).whole);
	assert_true(standing_of(fixture).log_begin.epoch == standing_of(fixture).epoch);
	reopen(fixture);
	assert_true(has(fixture, "k"));
	assert_true(has(fixture, "m"));
}

int main(void)
{
#define WITH(name)    cmocka_unit_test_setup_teardown(name, setup_with_threads, teardown)
#define WITHOUT(name) cmocka_unit_test_setup_teardown(name, setup_without_threads, teardown)
	const struct CMUnitTest tests[] = {
		WITH(a_store_takes_writes_only_while_it_leads),
		WITHOUT(a_store_takes_writes_only_while_it_leads),
		WITH(each_time_as_leader_has_an_epoch_of_its_own),
		WITHOUT(each_time_as_leader_has_an_epoch_of_its_own),
		WITH(a_promise_is_kept),
		WITHOUT(a_promise_is_kept),
		WITH(writes_wait_while_it_pauses),
		WITHOUT(writes_wait_while_it_pauses),
		WITH(writes_that_wait_are_refused_once_another_leads),
		WITHOUT(writes_that_wait_are_refused_once_another_leads),
		WITH(closing_answers_what_waits),
		WITHOUT(closing_answers_what_waits),
		WITH(roles_may_change_from_inside_an_answer),
		WITHOUT(roles_may_change_from_inside_an_answer),
		WITH(a_history_is_adopted_as_far_as_the_log_has_come),
		WITHOUT(a_history_is_adopted_as_far_as_the_log_has_come),
		WITH(being_whole_is_remembered),
		WITHOUT(being_whole_is_remembered),
		WITH(what_is_ahead_of_its_log_leads_with_a_new_one),
		WITHOUT(what_is_ahead_of_its_log_leads_with_a_new_one),
		WITH(a_log_that_is_read_from_does_not_begin_anew),
		WITHOUT(a_log_that_is_read_from_does_not_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
