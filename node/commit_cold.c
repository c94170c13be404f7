/* SPDX-License-Identifier: MIT */
/*
 * Every write looks up what it replaces, and that may be on a disk that is slow, or busy with
 * something else. Whoever commits never waits for it: a write whose old version is not in memory
 * (the block cache, the page cache) is set aside, a few threads read for those, and then it has its
 * turn again, before all that came later.
 *
 * Order: writes that are set aside come back in the order in which they went, and in front of what
 * waits. Until one has come back, later writes of its keys are set aside behind it, and so is every
 * barrier: it speaks of all that came before it. So writes of one key are committed in the order of
 * their submission, as if nothing had ever been set aside.
 *
 * Whoever follows refuses what waits, so what is aside while the store follows is refused when it
 * comes back, also if the store leads again by then: others may have written its keys.
 *
 * Who comes back may wait for the disk: what was read may have been forgotten meanwhile, and it
 * must not go in circles.
 */
#include "node/commit_private.h"

#include "lib/hash.h"

#include <stdlib.h>

static uint32_t *bucket_of(struct commit *commit, const struct key *key)
{
	return &commit->cold.keys[hash64(key->bytes, key->len, 0) % COLD_BUCKETS];
}

static void count_keys(struct commit *commit, const struct store_write *write, uint32_t by)
{
	*bucket_of(commit, &write->key) += by;
	if (write->kind == WRITE_MOVE)
		*bucket_of(commit, &write->request.destination) += by;
}

/* Or another one of its bucket: that costs a look-up, which is less than to walk all of them. */
static bool has_key(struct commit *commit, const struct key *key)
{
	return *bucket_of(commit, key) > 0;
}

bool commit_is_behind_cold(struct commit *commit, const struct store_write *write)
{
	if (commit->cold.aside == 0 || write->back)
		return false;
	return write->kind == WRITE_BARRIER || has_key(commit, &write->key) ||
	       (write->kind == WRITE_MOVE && has_key(commit, &write->request.destination));
}

void commit_set_aside(struct commit *commit, struct store_write *write)
{
	struct cold *cold = &commit->cold;

	count_keys(commit, write, 1);
	cold->aside++;
	write->leads = commit->leads;
	write->next = NULL;
	mutex_lock(&commit->lock);
	*cold->tail = write;
	cold->tail = &write->next;
	if (!cold->unread)
		cold->unread = write;
	condition_signal(&cold->work);
	mutex_unlock(&commit->lock);
}

void commit_mark_back(const struct commit *commit, struct store_write *write)
{
	write->back = true;
	write->leads = commit->leads;
}

bool commit_cold_is_back(const struct commit *commit)
{
	return commit->cold.head && commit->cold.head->back;
}

struct store_write *commit_take_cold(struct commit *commit, struct store_write *rest)
{
	struct store_write *first = commit->cold.head, **link = &first;
	struct cold *cold = &commit->cold;

	while (*link && (*link)->back) {
		count_keys(commit, *link, UINT32_MAX);
		cold->aside--;
		link = &(*link)->next;
	}
	cold->head = *link;
	if (!cold->head)
		cold->tail = &cold->head;
	*link = rest;
	return first;
}

struct store_write *commit_keep_cold(struct commit *commit, struct store_write *list)
{
	struct store_write *rest = list, **link = &rest;
	struct cold *cold = &commit->cold;

	while (*link && (*link)->back) {
		count_keys(commit, *link, 1);
		cold->aside++;
		link = &(*link)->next;
	}
	if (link == &rest)
		return list;
	rest = *link;
	*link = cold->head;
	if (!cold->head)
		cold->tail = link;
	cold->head = list;
	return rest;
}

void commit_refuse_stale(struct commit *commit, struct store_write **list)
{
	struct store_write *stale = *list, **link = &stale;

	/* They are the oldest, so they are in front. */
	while (*link && (*link)->back && (*link)->leads != commit->leads)
		link = &(*link)->next;
	*list = *link;
	*link = NULL;
	commit_refuse(commit, stale, OUTCOME_MISDIRECTED);
}

/* Brings it where it can be read without waiting. What can't be read shows later. */
static void look_up(struct commit *commit, const struct key *key)
{
	struct lsm_entry held;

	if (lsm_get(commit->options.lsm, key->bytes, key->len, 0, &held) == 0)
		lsm_entry_release(&held);
}

static void *read_cold(void *state)
{
	struct commit *commit = state;
	struct cold *cold = &commit->cold;

	mutex_lock(&commit->lock);
	for (;;) {
		struct store_write *write = cold->unread;

		if (!write && cold->stopping)
			break;
		if (!write) {
			condition_wait(&cold->work, &commit->lock);
			continue;
		}
		cold->unread = write->next;
		mutex_unlock(&commit->lock);
		look_up(commit, &write->key);
		if (write->kind == WRITE_MOVE)
			look_up(commit, &write->request.destination);
		mutex_lock(&commit->lock);
		write->back = true;
		if (commit_cold_is_back(commit))
			condition_signal(&commit->work);
	}
	mutex_unlock(&commit->lock);
	return NULL;
}

int commit_cold_init(struct commit *commit)
{
	struct cold *cold = &commit->cold;

	cold->tail = &cold->head;
	condition_init(&cold->work);
	while (commit->options.threads && cold->thread_count < COLD_THREADS) {
		if (pthread_create(&cold->threads[cold->thread_count], NULL, read_cold, commit) !=
		    0)
			return -ENOMEM;
		cold->thread_count++;
	}
	return 0;
}

void commit_cold_stop(struct commit *commit)
{
	struct cold *cold = &commit->cold;

	mutex_lock(&commit->lock);
	cold->stopping = true;
	condition_broadcast(&cold->work);
	mutex_unlock(&commit->lock);
	for (unsigned i = 0; i < cold->thread_count; i++)
		pthread_join(cold->threads[i], NULL);
	cold->thread_count = 0;
}

void commit_cold_deinit(struct commit *commit)
{
	commit_cold_stop(commit);
	condition_deinit(&commit->cold.work);
}
