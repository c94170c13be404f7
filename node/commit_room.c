/* SPDX-License-Identifier: MIT */
/*
 * The commit thread's care for space: it counts what its groups leave dead, makes log and tree let
 * go of it, soon at little cost, at once and at any cost when the disk has no room, and refuses
 * puts while there is none.
 */
#include "node/commit_private.h"

#include "lib/log.h"
#include "node/ballast.h"
#include "node/value_pins.h"

#define PRESSED_MS 10000

/* A little more, as log records have times of another clock. */
static uint64_t retain_ms(const struct commit *commit)
{
	return ((uint64_t)commit->options.log_retain_s + 1) * 1000;
}

/* When something of what was left in the log has the age to go, by its bytes or by its age alone.
 */
static uint64_t next_trim_ms(const struct commit *commit, uint64_t now)
{
	uint64_t spared = ((uint64_t)commit->options.log_spare_s + 1) * 1000;

	if (commit->options.log_spare_s > 0 && commit->left_at_ms + spared > now)
		return commit->left_at_ms + spared;
	return commit->left_at_ms + retain_ms(commit);
}

void commit_set_full(struct commit *commit, bool full)
{
	if (commit->full == full)
		return;
	commit->full = full;
	if (full) {
		log_warn("disk full", "only deletes are accepted until there is room");
		ballast_release(commit->options.vfs, commit->options.dir);
		commit->options.trim(commit->options.state, true);
		commit->retry_at_ms = commit_now_ms(commit) + COMMIT_RETRY_MS;
	} else {
		log_info("disk has room again", "%s", "");
	}
}

/* The error of the last flush may be old news: it counts only while a flush would not fit. */
static bool flush_lacks_room(struct commit *commit)
{
	struct lsm_stats stats;
	uint64_t space, total;

	lsm_stats(commit->options.lsm, &stats);
	if (!commit_is_no_room(stats.background_error))
		return false;
	if (vfs_space(commit->options.vfs, commit->options.dir, &space, &total) < 0)
		return true;
	return space < 2 * stats.sealed_bytes + commit->options.ballast_bytes;
}

uint64_t commit_space_free(struct commit *commit)
{
	uint64_t space, total;

	if (vfs_space(commit->options.vfs, commit->options.dir, &space, &total) < 0)
		return UINT64_MAX;
	return space;
}

bool commit_room_is_short(struct commit *commit)
{
	uint64_t dead = commit->dead_bytes + commit->dead_inline_bytes;

	return dead > 0 && dead >= commit_space_free(commit);
}

bool commit_is_pressed(const struct commit *commit)
{
	return commit->full || commit->pressed_until_ms > 0;
}

void commit_press(struct commit *commit)
{
	commit->pressed_until_ms = commit_now_ms(commit) + PRESSED_MS;
}

void commit_let_go(struct commit *commit)
{
	uint64_t now = commit_now_ms(commit),
		 room = commit_is_pressed(commit) ? commit_space_free(commit) : 0;
	bool all = commit_is_pressed(commit) && commit->dead_inline_bytes >= room;

	if (commit->unapplied.len > 0)
		return;
	if (commit->dead_bytes > 0) {
		if (commit_rotate_log(commit) < 0)
			return;
		commit->dead_bytes = 0;
		commit->left_at_ms = now;
		if (commit->trim_at_ms == 0)
			commit->trim_at_ms = next_trim_ms(commit, now);
	}
	commit->let_go_at_ms = now + COMMIT_LET_GO_MS;
	if (all)
		commit->dead_inline_bytes = 0;
	if (lsm_reclaim(commit->options.lsm, room, all) < 0)
		log_warn("space of old values not freed", "memory is out");
	commit->options.trim(commit->options.state, commit_is_pressed(commit));
}

bool commit_has_dead(const struct commit *commit)
{
	return commit->dead_bytes > 0 || lsm_has_dead(commit->options.lsm);
}

void commit_tidy_up(struct commit *commit, uint64_t now)
{
	if (commit->let_go_at_ms > 0 && now >= commit->let_go_at_ms) {
		commit->let_go_at_ms = 0;
		if (commit_has_dead(commit)) {
			commit->let_go_at_ms = now + COMMIT_LET_GO_MS;
			commit_let_go(commit);
		}
	}
	if (commit->trim_at_ms > 0 && now >= commit->trim_at_ms) {
		uint64_t next = next_trim_ms(commit, now);

		commit->options.trim(commit->options.state, false);
		commit->trim_at_ms = next > now ? next : 0;
	}
}

/* Values were refused, or will be. */
static void relieve(struct commit *commit)
{
	value_pins_press(commit->options.values);
	if (commit_has_dead(commit) || commit_room_is_short(commit))
		commit_let_go(commit);
	commit->options.trim(commit->options.state, true);
}

void commit_look_for_room(struct commit *commit)
{
	if (commit_room_is_short(commit))
		commit_press(commit);
	if (flush_lacks_room(commit))
		commit_set_full(commit, true);
	if (commit_is_pressed(commit))
		relieve(commit);
	if (commit->full && !flush_lacks_room(commit) &&
	    ballast_restore(commit->options.vfs, commit->options.dir,
			    commit->options.ballast_bytes) == 0)
		commit_set_full(commit, false);
}

void commit_note_dead(struct commit *commit, const struct dead_values *dead)
{
	for (size_t i = 0; i < dead->count; i++) {
		lsm_note_dead(commit->options.lsm, dead->files[i].file_id, dead->files[i].bytes,
			      commit->next_position - 1);
		commit->dead_bytes += dead->files[i].bytes;
	}
	commit->dead_inline_bytes += dead->inline_bytes;
	lsm_note_dead_inline(commit->options.lsm, dead->inline_bytes);
	if (dead->count > 0 && commit->let_go_at_ms == 0)
		commit->let_go_at_ms = commit_now_ms(commit) + COMMIT_LET_GO_MS;
}
