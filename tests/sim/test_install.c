/* SPDX-License-Identifier: MIT */
/* A node takes over another one's copy, and the power goes at every call on the way. */
#include "node/install.h"

#include "node/checkpoint.h"
#include "node/pin_token.h"
#include "tests/sim/own_writes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pair {
	struct own_writes leader, own;
	struct version point; /* of the leader's copy that lies in /own/bootstrap */
	struct store_standing before; /* of own */
};

static void fetch_copy(struct pair *pair)
{
	struct checkpoint *checkpoint;
	struct checkpoint_view view;

	assert_int_equal(install_prepare(pair->own.vfs, "/own"), 0);
	assert_int_equal(install_prepare(pair->own.vfs, "/own"), 0);
	assert_int_equal(checkpoint_new(pair->leader.store, &checkpoint), 0);
	checkpoint_view(checkpoint, &view);
	for (size_t i = 0; i < view.count; i++)
		assert_true(install_name_is_valid(view.files[i].name));
	own_writes_fetch(&pair->leader, checkpoint, install_path, "/own");
	pair->point = view.point;
	checkpoint_free(checkpoint);
}

/* Both stores are open. */
static void set_up(struct pair *pair, uint64_t seed)
{
	own_writes_init(&pair->leader, seed);
	own_writes_open(&pair->leader);
	for (int i = 0; i < 60; i++)
		own_writes_one(&pair->leader);
	own_writes_init_beside(&pair->own, &pair->leader);
	own_writes_open(&pair->own);
	for (int i = 0; i < 25; i++)
		own_writes_one(&pair->own);
	own_writes_barrier(&pair->own);
	fetch_copy(pair);
	own_writes_close(&pair->leader);
	assert_int_equal(store_standing(pair->own.store, &pair->before), 0);
}

static void tear_down(struct pair *pair)
{
	own_writes_deinit(&pair->own);
	own_writes_deinit(&pair->leader);
}

static bool is_there(struct pair *pair, const char *path)
{
	return own_writes_count_names(&pair->own, path) >= 0;
}

static bool has_file(struct pair *pair, const char *path)
{
	struct vfs_file *file;

	if (vfs_open(pair->own.vfs, path, VFS_READ, &file) < 0)
		return false;
	vfs_close(file);
	return true;
}

/* /own is the old store or the new one, all of it and nothing else. True: the new one. */
static bool expect_one_of_both(struct pair *pair)
{
	struct store_standing standing;
	struct store *store;
	bool is_new;

	assert_int_equal(own_writes_try_open(&pair->own, "/own", &store), 0);
	assert_int_equal(store_standing(store, &standing), 0);
	is_new = !lineage_equal(&standing.lineage, &pair->before.lineage);
	assert_memory_equal(standing.store_id, pair->before.store_id, 16);
	assert_true(standing.promise >= pair->before.promise);
	assert_true(standing.opened > pair->before.opened);
	if (is_new) {
		assert_int_equal(standing.end.epoch, pair->point.epoch);
		assert_int_equal(standing.end.sequence, pair->point.sequence);
		own_writes_expect_open_state(&pair->leader, store, pair->point.sequence);
		assert_false(is_there(pair, "/own/bootstrap"));
	} else {
		own_writes_expect_open_state(&pair->own, store, pair->own.last.sequence);
	}
	assert_false(is_there(pair, "/own/replaced"));
	assert_false(has_file(pair, "/own/INSTALL"));
	assert_false(has_file(pair, "/own/INSTALL.moved"));
	assert_int_equal(install_is_due(pair->own.vfs, "/own"), 0);
	store_close(store);
	own_writes_expect_sound(&pair->own, "/own");
	return is_new;
}

static void a_copy_takes_the_place_of_the_store_at_the_next_opening(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct pair pair;
		char *why;

		set_up(&pair, seed);
		assert_int_equal(install_complete(pair.own.vfs, "/own", 0, &why), 0);
		assert_null(why);
		assert_int_equal(install_is_due(pair.own.vfs, "/own"), 1);
		/* Until then the old one serves. */
		own_writes_expect_open_state(&pair.own, pair.own.store, pair.own.last.sequence);
		own_writes_close(&pair.own);
		assert_true(expect_one_of_both(&pair));
		assert_true(expect_one_of_both(&pair));
		tear_down(&pair);
	}
}

static void a_power_cut_at_any_call_leaves_the_old_store_or_the_new_one(void **state)
{
	bool done = false, was_old = false, was_new = false;

	(void)state;
	for (uint64_t nth = 1; !done; nth++) {
		struct store *store = NULL;
		struct pair pair;
		char *why = NULL;
		bool is_new;
		int r;

		set_up(&pair, nth);
		crash_vfs_cut_after(pair.own.crash, nth);
		r = install_complete(pair.own.vfs, "/own", 0, &why);
		free(why);
		own_writes_close(&pair.own);
		if (!crash_vfs_is_cut(pair.own.crash) &&
		    own_writes_try_open(&pair.own, "/own", &store) == 0) {
			done = !crash_vfs_is_cut(pair.own.crash);
			store_close(store);
		}
		crash_vfs_cut(pair.own.crash);
		crash_vfs_restart(pair.own.crash);
		/* And once more on the way up. */
		crash_vfs_cut_after(pair.own.crash, 1 + nth % 37);
		if (own_writes_try_open(&pair.own, "/own", &store) == 0)
			store_close(store);
		crash_vfs_cut(pair.own.crash);
		crash_vfs_restart(pair.own.crash);
		is_new = expect_one_of_both(&pair);
		assert_true(is_new || r < 0);
		was_old |= !is_new;
		was_new |= is_new;
		tear_down(&pair);
	}
	assert_true(was_old && was_new);
}

static void a_call_that_fails_leaves_the_old_store_or_the_new_one(void **state)
{
	uint64_t failures = 1;

	(void)state;
	for (uint64_t nth = 1; failures > 0; nth++) {
		struct store *store = NULL;
		struct pair pair;
		char *why = NULL;
		int r;

		set_up(&pair, nth);
		crash_vfs_fail(pair.own.crash, nth, 1, nth % 2 ? EIO : ENOSPC);
		r = install_complete(pair.own.vfs, "/own", 0, &why);
		free(why);
		failures = crash_vfs_failures(pair.own.crash);
		crash_vfs_fail(pair.own.crash, 1, 0, 0);
		own_writes_close(&pair.own);
		crash_vfs_fail(pair.own.crash, nth, 1, nth % 2 ? EIO : ENOSPC);
		if (own_writes_try_open(&pair.own, "/own", &store) == 0)
			store_close(store);
		failures += crash_vfs_failures(pair.own.crash);
		crash_vfs_fail(pair.own.crash, 1, 0, 0);
		assert_true(expect_one_of_both(&pair) || r < 0);
		tear_down(&pair);
	}
}

static void a_copy_that_is_not_whole_is_refused_and_the_old_store_stays(void **state)
{
	static const char *const spoilt[] = { "CURRENT", "HISTORY", "IDENTITY", "REQUEST-IDS" };
	char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(spoilt) / sizeof(*spoilt); i++) {
		struct pair pair;
		char *path;

		for (int missing = 0; missing < 2; missing++) {
			set_up(&pair, 7);
			path = install_path("/own", spoilt[i]);
			if (missing)
				assert_int_equal(vfs_unlink(pair.own.vfs, path), 0);
			else
				assert_int_equal(crash_vfs_flip(pair.own.crash, path, 20, 1), 0);
			free(path);
			assert_int_equal(install_complete(pair.own.vfs, "/own", 0, &why), -EBADMSG);
			assert_non_null(why);
			free(why);
			assert_int_equal(install_discard(pair.own.vfs, "/own"), 0);
			assert_false(is_there(&pair, "/own/bootstrap"));
			own_writes_close(&pair.own);
			assert_false(expect_one_of_both(&pair));
			tear_down(&pair);
		}
	}
}

struct spoil {
	struct pair *pair;
	bool done;
};

static int spoil_one(const char *name, void *state)
{
	struct spoil *spoil = state;
	char path[128];

	snprintf(path, sizeof(path), "/own/bootstrap/value/%s", name);
	assert_int_equal(crash_vfs_flip(spoil->pair->own.crash, path, 100, 3), 0);
	spoil->done = true;
	return 0;
}

static void every_byte_is_verified_before_it_is_installed(void **state)
{
	struct pair pair;
	struct spoil spoil = { .pair = &pair };
	char *why;

	(void)state;
	set_up(&pair, 9);
	assert_int_equal(vfs_list(pair.own.vfs, "/own/bootstrap/value", spoil_one, &spoil), 0);
	assert_true(spoil.done);
	assert_int_equal(install_complete(pair.own.vfs, "/own", 0, &why), -EBADMSG);
	assert_non_null(strstr(why, "value/"));
	free(why);
	own_writes_close(&pair.own);
	assert_false(expect_one_of_both(&pair));
	tear_down(&pair);
}

static void only_names_of_a_store_are_taken(void **state)
{
	static const char *const good[] = {
		"CURRENT",
		"MANIFEST-0000000000000001",
		"0123456789abcdef.seg",
		"HISTORY",
		"IDENTITY",
		"STANDING",
		"REQUEST-IDS",
		"value/0123456789abcdef.val",
		"log/00000001.wal",
		"log/123456789.wal",
	};
	static const char *const bad[] = {
		"",
		".",
		"..",
		"/etc/passwd",
		"../x",
		"value",
		"log",
		"value/",
		"value/../CURRENT",
		"value/0123456789abcdef.tmp",
		"value/x.val",
		"log/1.wal",
		"log/00000001.wal/x",
		"INSTALL",
		"LOCK",
		"BALLAST",
		"checkpoints",
		"0123456789abcdef.seg/..",
		"MANIFEST-1",
		"value/0123456789ABCDEF.val",
		"0123456789abcdef0.seg",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(install_name_is_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(install_name_is_valid(bad[i]));
}

struct tokens {
	struct store *store;
	struct store_standing standing;
	unsigned refused;
};

/* A token that this node gave for a file of its own, whose id the copy uses, too. */
static int try_old_token(const struct entry *entry, void *state)
{
	struct tokens *tokens = state;
	struct store_record record;
	struct key key;
	char *token;

	if (entry->kind != ENTRY_FILE)
		return 0;
	assert_int_equal(key_from_bytes(entry->key, entry->key_len, &key), 0);
	token = pin_token_make(tokens->standing.store_id, entry);
	assert_non_null(token);
	assert_int_equal(store_get_pinned(tokens->store, &key, token, &record), STORE_NOT_FOUND);
	free(token);
	tokens->refused++;
	return 0;
}

static void a_token_from_before_the_copy_names_nothing(void **state)
{
	struct tokens tokens = { 0 };
	struct key none = { 0 }, last;
	struct pair pair;
	bool more;
	char *why;

	(void)state;
	set_up(&pair, 3);
	assert_int_equal(install_complete(pair.own.vfs, "/own", 0, &why), 0);
	own_writes_close(&pair.own);
	assert_int_equal(own_writes_try_open(&pair.own, "/own", &tokens.store), 0);
	assert_int_equal(store_standing(tokens.store, &tokens.standing), 0);
	assert_int_equal(
		store_list(tokens.store, &none, OWN_KEYS, try_old_token, &tokens, &more, &last), 0);
	assert_true(tokens.refused > 0);
	store_close(tokens.store);
	tear_down(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_takes_the_place_of_the_store_at_the_next_opening),
		cmocka_unit_test(a_power_cut_at_any_call_leaves_the_old_store_or_the_new_one),
		cmocka_unit_test(a_call_that_fails_leaves_the_old_store_or_the_new_one),
		cmocka_unit_test(a_copy_that_is_not_whole_is_refused_and_the_old_store_stays),
		cmocka_unit_test(every_byte_is_verified_before_it_is_installed),
		cmocka_unit_test(only_names_of_a_store_are_taken),
		cmocka_unit_test(a_token_from_before_the_copy_names_nothing),
	};

	if (!getenv("HEXKV_TEST_LOG") && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
