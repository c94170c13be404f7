/* SPDX-License-Identifier: MIT */
/*
 * Watched inodes stand in a ring in the order in which they are due. A thread takes one out of it,
 * asks without the lock, and puts it back; if its last handle was closed meanwhile (inode is NULL
 * then) it frees the watch instead.
 */
#include "fs/keeper.h"

#include "fs/content.h"
#include "fs/mount.h"
#include "lib/clock.h"
#include "lib/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS   4000
#define LASTS_MS       10000 /* a pin that does is good for what comes next */
/* Values in no file of their own have no pin, and may have so many bytes: they are brought here. */
#define UNPINNED_BYTES_MAX (1024 * 1024)

struct keeper_watch {
	struct inode *inode; /* NULL: nobody has it open any more */
	uint64_t due_ms;
	unsigned failures; /* in a row */
	bool under_way;
	bool is_away; /* the last question got no answer */
	struct keeper_watch *next, *previous;
};

struct keeper {
	struct keeper_options options;
	struct inode_table *table;
	atomic_bool stopping;

	/* protected by table->lock */
	struct condition work;
	struct keeper_watch ring;
	unsigned failing; /* threads that try again what failed */
	unsigned away; /* watched inodes whose leader is */

	unsigned thread_count;
	pthread_t threads[];
};

/* What a request is made of, taken in one moment. */
struct question {
	char key[NAME_BYTES_MAX + 1];
	struct version version;
	struct pin *pin; /* a reference; NULL: there is none yet */
};

/* The ring */

static void ring_add(struct keeper *keeper, struct keeper_watch *watch)
{
	struct keeper_watch *before = keeper->ring.previous;

	while (before != &keeper->ring && before->due_ms > watch->due_ms)
		before = before->previous;
	watch->previous = before;
	watch->next = before->next;
	watch->next->previous = watch;
	before->next = watch;
	if (before == &keeper->ring)
		condition_signal(&keeper->work);
}

static void ring_remove(struct keeper_watch *watch)
{
	watch->next->previous = watch->previous;
	watch->previous->next = watch->next;
}

/* Everything that an opener may still want is here. */
static bool is_whole_locked(const struct inode *inode)
{
	return inode->value || (inode->staging && staging_gap_count(inode->staging) == 0);
}

/* Its content is of a version that is stored, too large to be kept here, and not here. */
static bool wants_pin_locked(const struct inode *inode)
{
	if (inode->kind != INODE_RECORD || inode->handles == 0 || inode->value)
		return false;
	/* Once it is pinned there is no need to keep it here. */
	if (is_whole_locked(inode))
		return inode->writers == 0 && inode->stored && !inode->unsaved && !inode->deleted &&
		       inode->size_bytes > VALUE_SMALL_MAX;
	return inode->stored;
}

/* False: there is nothing to ask. */
static bool ask_what_locked(struct inode *inode, struct question *ret_question)
{
	if (!wants_pin_locked(inode))
		return false;
	if (!inode->pin && inode->deleted)
		return false;
	ret_question->pin = pin_ref(inode->pin);
	ret_question->version = inode->pin ? inode->pin->version : inode->version;
	snprintf(ret_question->key, sizeof(ret_question->key), "%s",
		 inode->pin ? inode->pin->key : inode->filename);
	return true;
}

/* The answer's pin is taken. */
static void got_pin_locked(struct inode *inode, const struct question *question, struct pin *pin)
{
	/* The content may have become another meanwhile. */
	if (question->pin
		    ? inode->pin == question->pin
		    : version_compare(inode->version, question->version) == 0 && !inode->deleted)
		inode_set_pin_locked(inode, pin);
	else
		pin_unref(pin);
}

/* A pin that is gone: whoever reads finds out whether its version is still the current one. */
static void lost_pin_locked(struct inode *inode, const struct question *question)
{
	if (question->pin && inode->pin == question->pin)
		inode_set_pin_locked(inode, NULL);
}

static uint64_t retry_at(struct keeper_watch *watch, uint64_t now)
{
	uint64_t pause = RETRY_FIRST_MS;

	for (unsigned i = 0; i < watch->failures && pause < RETRY_MAX_MS; i++)
		pause *= 2;
	watch->failures++;
	return now + pause;
}

enum outage { OUTAGE_SAME, OUTAGE_BEGINS, OUTAGE_ENDS };

static enum outage note_away_locked(struct keeper *keeper, struct keeper_watch *watch, bool away)
{
	bool was = keeper->away > 0;

	keeper->away += away;
	keeper->away -= watch->is_away;
	watch->is_away = away;
	if (was == (keeper->away > 0))
		return OUTAGE_SAME;
	return was ? OUTAGE_ENDS : OUTAGE_BEGINS;
}

static void log_outage(enum outage outage, const struct question *question, int error)
{
	if (outage == OUTAGE_BEGINS)
		log_warn("open files are not kept for now", "key=%s error=%d", question->key,
			 -error);
	else if (outage == OUTAGE_ENDS)
		log_info("open files are kept again", "key=%s", question->key);
}

/* When to ask again. */
static uint64_t note_answer_locked(struct keeper *keeper, struct keeper_watch *watch,
				   const struct question *question, int result, struct pin *pin)
{
	uint64_t now = clock_monotonic_ms();

	if (result == 0 && (pin || !question->pin)) {
		watch->failures = 0;
		if (pin)
			got_pin_locked(watch->inode, question, pin);
		return now + keeper->options.renew_ms;
	}
	/* Otherwise it was refused for lack of room, or the cluster is away: what there is may last
	 * until it is not. */
	if (result == -ESTALE || result == -ENOENT)
		lost_pin_locked(watch->inode, question);
	return retry_at(watch, now);
}

static bool keeper_stops(void *state)
{
	return atomic_load(&((struct keeper *)state)->stopping);
}

static void bring(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	bool small;

	mutex_lock(&mount->inodes.lock);
	small = !inode->pin && inode->size_bytes <= UNPINNED_BYTES_MAX;
	mutex_unlock(&mount->inodes.lock);
	if (!small || inode_begin_send(&mount->inodes, inode, interrupt) < 0)
		return;
	/* What fails here is tried when it is read. */
	(void)content_bring(mount, inode, interrupt);
	inode_end_send(&mount->inodes, inode);
}

/* One round for @watch, which is out of the ring. */
static void serve_locked(struct keeper *keeper, struct keeper_watch *watch)
	REQUIRES(&keeper->table->lock)
{
	const struct interrupt interrupt = { .raised = keeper_stops, .state = keeper };
	struct mount *mount = keeper->options.mount;
	struct inode *inode = inode_ref_locked(watch->inode);
	struct question question = { .pin = NULL };
	struct pin *pin = NULL;
	enum outage outage = OUTAGE_SAME;
	bool asks = ask_what_locked(inode, &question), failed = watch->failures > 0;
	int r = 0;

	watch->under_way = true;
	if (asks) {
		const struct remote_pinning pinning = {
			.key = question.key,
			.version = question.version,
			.token = question.pin ? question.pin->token : NULL,
			.seconds = PIN_SECONDS_MAX,
			.timeout_ms = keeper->options.attempt_ms,
			.quiet = true,
		};

		keeper->failing += failed;
		mutex_unlock(&keeper->table->lock);
		r = remote_pin(mount->remote, &pinning, &interrupt, &pin);
		mutex_lock(&keeper->table->lock);
		keeper->failing -= failed;
		condition_signal(&keeper->work);
	}
	watch->under_way = false;
	if (!watch->inode) {
		pin_unref(pin);
		free(watch);
		asks = false;
	} else if (asks) {
		outage = note_away_locked(keeper, watch, r < 0 && r != -ESTALE && r != -ENOENT);
		watch->due_ms = note_answer_locked(keeper, watch, &question, r, pin);
		ring_add(keeper, watch);
	} else {
		watch->due_ms = clock_monotonic_ms() + keeper->options.renew_ms;
		ring_add(keeper, watch);
	}
	mutex_unlock(&keeper->table->lock);
	log_outage(outage, &question, r);
	pin_unref(question.pin);
	if (asks && r == 0 && pin)
		content_release(mount, inode);
	else if (asks && r == 0)
		bring(mount, inode, &interrupt);
	mutex_lock(&keeper->table->lock);
	inode_unref_locked(keeper->table, inode, 1);
}

/* The next that is due and may be served; else NULL, and when to look again. */
static struct keeper_watch *next_locked(struct keeper *keeper, uint64_t *ret_at_ms)
{
	uint64_t now = clock_monotonic_ms();
	bool fair = keeper->failing < (keeper->options.threads + 1) / 2;

	*ret_at_ms = UINT64_MAX;
	for (struct keeper_watch *watch = keeper->ring.next; watch != &keeper->ring;
	     watch = watch->next) {
		if (watch->due_ms > now) {
			*ret_at_ms = watch->due_ms;
			break;
		}
		if (fair || watch->failures == 0)
			return watch;
	}
	return NULL;
}

static void *keeper_thread(void *state)
{
	struct keeper *keeper = state;

	mutex_lock(&keeper->table->lock);
	while (!atomic_load(&keeper->stopping)) {
		uint64_t at_ms;
		struct keeper_watch *watch = next_locked(keeper, &at_ms);

		if (watch) {
			ring_remove(watch);
			serve_locked(keeper, watch);
		} else if (at_ms == UINT64_MAX) {
			condition_wait(&keeper->work, &keeper->table->lock);
		} else {
			condition_wait_until(&keeper->work, &keeper->table->lock, at_ms);
		}
	}
	mutex_unlock(&keeper->table->lock);
	return NULL;
}

int keeper_new(const struct keeper_options *options, struct keeper **ret_keeper)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper) + options->threads * sizeof(pthread_t));

	if (!keeper)
		return -ENOMEM;
	keeper->options = *options;
	keeper->table = &options->mount->inodes;
	condition_init(&keeper->work);
	keeper->ring.next = keeper->ring.previous = &keeper->ring;
	for (; keeper->thread_count < options->threads; keeper->thread_count++) {
		int r = pthread_create(&keeper->threads[keeper->thread_count], NULL, keeper_thread,
				       keeper);

		if (r != 0) {
			keeper_free(keeper);
			return -r;
		}
	}
	*ret_keeper = keeper;
	return 0;
}

struct keeper *keeper_free(struct keeper *keeper)
{
	if (!keeper)
		return NULL;
	mutex_lock(&keeper->table->lock);
	atomic_store(&keeper->stopping, true);
	condition_broadcast(&keeper->work);
	mutex_unlock(&keeper->table->lock);
	for (unsigned i = 0; i < keeper->thread_count; i++)
		pthread_join(keeper->threads[i], NULL);
	condition_deinit(&keeper->work);
	free(keeper);
	return NULL;
}

void keeper_watch_locked(struct keeper *keeper, struct inode_table *table, struct inode *inode)
{
	struct keeper_watch *watch = inode->watch;
	uint64_t now = clock_monotonic_ms();

	(void)table;
	if (!keeper || !wants_pin_locked(inode))
		return;
	if (!watch) {
		watch = calloc(1, sizeof(*watch));
		/* Without memory it is as good as the pin that it has. */
		if (!watch)
			return;
		watch->inode = inode;
		inode->watch = watch;
	} else if (watch->under_way) {
		return;
	} else {
		ring_remove(watch);
	}
	watch->due_ms = now;
	/* The pin that came with the open is renewed well before its end. */
	if (inode->pin && inode->pin->until_ms > now)
		watch->due_ms += (inode->pin->until_ms - now) / 3;
	ring_add(keeper, watch);
}

void keeper_unwatch_locked(struct keeper *keeper, struct inode_table *table, struct inode *inode)
{
	struct keeper_watch *watch = inode->watch;

	(void)table;
	/* The pin lapses by itself: a look-up may have got it for an open that is about to come. */
	if (!watch)
		return;
	(void)note_away_locked(keeper, watch, false);
	inode->watch = NULL;
	watch->inode = NULL;
	if (watch->under_way)
		return;
	ring_remove(watch);
	free(watch);
}

int keeper_pin_now(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	struct inode_table *table = &mount->inodes;
	struct question question = { .pin = NULL };
	struct remote_pinning pinning = { .key = question.key, .seconds = PIN_SECONDS_MAX };
	struct pin *pin = NULL;
	bool asks, lasts;
	int r;

	mutex_lock(&table->lock);
	lasts = inode->pin && inode->pin->until_ms > clock_monotonic_ms() + LASTS_MS;
	asks = !lasts && ask_what_locked(inode, &question);
	mutex_unlock(&table->lock);
	if (lasts || !asks)
		return lasts ? 0 : -ENOENT;
	pinning.version = question.version;
	pinning.token = question.pin ? question.pin->token : NULL;
	r = remote_pin(mount->remote, &pinning, interrupt, &pin);
	if (r == 0 && !pin)
		r = -ENOENT;
	mutex_lock(&table->lock);
	if (r == 0) {
		got_pin_locked(inode, &question, pin);
		r = inode->pin ? 0 : -ENOENT;
	}
	mutex_unlock(&table->lock);
	pin_unref(question.pin);
	return r;
}
