/* SPDX-License-Identifier: MIT */
/*
 * The store's process is killed, or the power goes, at each call in turn that changes something on
 * the disk, while it writes, flushes, merges and copies, and then while it recovers from that.
 */
#include "lib/cleanup.h"
#include "node/checkpoint.h"
#include "tests/sim/fates.h"
#include "tests/sim/leftovers.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COPIES_DIR FATE_DIR "/checkpoints"

enum death { KILLED, POWER_CUT };

static const char *const death_names[] = { "killed", "power cut" };

struct life {
	struct crash_vfs *crash;
	struct store *store;
	enum fate fates[FATE_KEYS];
	enum fate copied[FATE_KEYS]; /* when the copy was asked for */
	bool is_copied;
};

static void life_begin(struct life *life, uint64_t seed)
{
	*life = (struct life){ .crash = crash_vfs_new(seed) };
}

/* False: it died on the way. */
static bool life_open(struct life *life)
{
	struct store_options options = fates_options(life->crash);
	char *why = NULL;
	int r;

	r = fates_open(&options, &life->store, &why);
	if (r < 0 && !crash_vfs_is_cut(life->crash)) {
		print_message("open: %s\n", why ? why : strerror(-r));
		fail();
	}
	free(why);
	return r == 0;
}

static void life_write(struct life *life)
{
	struct checkpoint_saved saved;
	struct store_stats stats;

	fates_write(life->store, life->crash, life->fates);
	memcpy(life->copied, life->fates, sizeof(life->copied));
	life->is_copied = checkpoint_save(life->store, "copy", &saved) == 0;
	if (!life->is_copied)
		return;
	free(saved.path);
	/* So this is what may have been interrupted. */
	store_stats(life->store, &stats);
	assert_true(stats.lsm.flushes > 1 && stats.lsm.compactions > 0);
}

/* The process is gone, and starts again on what is there. */
static void life_end(struct life *life, enum death death)
{
	store_close(life->store);
	life->store = NULL;
	if (death == KILLED) {
		crash_vfs_revive(life->crash);
		return;
	}
	crash_vfs_restart(life->crash);
	fates_forget_unsynced(life->fates);
}

static void print_problem(const char *sentence, void *state)
{
	(void)state;
	print_message("%s\n", sentence);
}

static int see_copy(const char *name, void *state)
{
	(void)state;
	return strcmp(name, "copy") == 0;
}

/* It is there whole, or not at all. */
static void check_copy(struct life *life, uint64_t nth)
{
	struct store_options options = fates_options(life->crash);
	struct vfs *vfs = crash_vfs_base(life->crash);
	char *why = NULL;

	if (vfs_list(vfs, COPIES_DIR, see_copy, NULL) != 1) {
		assert_false(life->is_copied);
		return;
	}
	assert_int_equal(store_check(vfs, COPIES_DIR "/copy", print_problem, NULL), 0);
	options.dir = COPIES_DIR "/copy";
	assert_int_equal(fates_open(&options, &life->store, &why), 0);
	fates_check(life->store, life->copied, "in the copy", nth);
	life->store = store_close(life->store);
}

static void check_life(struct life *life, const char *when, uint64_t nth)
{
	char why[256];

	if (!life_open(life)) {
		print_message("call %" PRIu64 ", %s: it does not open\n", nth, when);
		fail();
	}
	fates_check(life->store, life->fates, when, nth);
	if (!leftovers_none(life->store, crash_vfs_base(life->crash), FATE_DIR, why, sizeof(why))) {
		print_message("call %" PRIu64 ", %s: %s\n", nth, when, why);
		fail();
	}
	life->store = store_close(life->store);
	assert_int_equal(store_check(crash_vfs_base(life->crash), FATE_DIR, print_problem, NULL),
			 0);
}

/* False once it lived to its end. */
static bool die_at(uint64_t nth, enum death death)
{
	struct life life;
	bool died;

	life_begin(&life, nth);
	crash_vfs_cut_after(life.crash, nth);
	if (life_open(&life))
		life_write(&life);
	died = crash_vfs_is_cut(life.crash);
	life_end(&life, death);
	check_life(&life, death_names[death], nth);
	check_copy(&life, nth);
	crash_vfs_free(life.crash);
	return died;
}

static void nothing_acknowledged_is_lost_wherever_it_dies(void **state)
{
	(void)state;
	for (int death = KILLED; death <= POWER_CUT; death++) {
		uint64_t nth = 1;

		while (die_at(nth, death))
			assert_true(++nth < 20000);
		print_message("%s at %" PRIu64 " calls\n", death_names[death], nth - 1);
	}
}

/* What the recovery finds: much in the log that is not in segments, and no clean end. */
static bool die_in_recovery_at(uint64_t nth, enum death first, enum death second)
{
	struct life life;
	bool died;

	life_begin(&life, nth);
	assert_true(life_open(&life));
	life_write(&life);
	crash_vfs_cut(life.crash);
	life_end(&life, first);
	crash_vfs_cut_after(life.crash, nth);
	life_open(&life);
	died = crash_vfs_is_cut(life.crash);
	life_end(&life, second);
	check_life(&life, "after a second death", nth);
	crash_vfs_free(life.crash);
	return died;
}

static void nor_wherever_its_recovery_dies(void **state)
{
	(void)state;
	for (int deaths = 0; deaths < 4; deaths++) {
		uint64_t nth = 1;

		while (die_in_recovery_at(nth, deaths & 1 ? KILLED : POWER_CUT,
					  deaths & 2 ? KILLED : POWER_CUT))
			assert_true(++nth < 2000);
		print_message("%" PRIu64 " calls\n", nth - 1);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_acknowledged_is_lost_wherever_it_dies),
		cmocka_unit_test(nor_wherever_its_recovery_dies),
	};

	(void)argv;
	/* Every death makes the store complain, and rightly so. */
	if (argc == 1 && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
