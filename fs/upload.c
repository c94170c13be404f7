/* SPDX-License-Identifier: MIT */
/*
 * The thread of an upload makes one PUT of unknown length. libcurl asks it for bytes; it gives what
 * is in the staging file up to `end`, and waits for more there. `sent` is how far it ever read, as
 * libcurl may begin anew after a lost connection: no byte below it may change any more. A change at
 * or above it first draws `end` back to where it begins, so that nothing is read while it changes.
 *
 * The last chunk is sent only after upload_finish(): whatever ends the connection before, the
 * router has seen an incomplete request and stores nothing.
 */
#include "fs/upload.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mutex.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The thread is woken when so much more is there. */
#define BATCH_BYTES   (1024 * 1024)
#define WAIT_SLICE_MS 100

enum upload_state {
	UPLOAD_FOLLOWING,
	UPLOAD_FINISHING, /* all is there */
	UPLOAD_ABANDONED,
	UPLOAD_DONE, /* the thread has ended the request */
};

struct upload {
	atomic_uint references;

	/* immutable */
	struct uploads *uploads;
	struct staging *staging;
	bool has_replaces;
	struct version replaces;
	char key[KEY_HEX_MAX + 1];

	struct upload *next; /* protected by uploads->lock */

	struct mutex lock; /* protects what follows */
	struct condition changed;
	enum upload_state state;
	uint64_t end;
	uint64_t sent;
	uint64_t wanted; /* the thread sleeps until end is there, 0: it does not sleep */
	unsigned changing;
	bool finished; /* upload_finish() was called before it ended */
	struct remote_put_last last;
	int result;
	struct remote_stored stored;
};

struct uploads {
	struct uploads_options options;

	struct mutex lock; /* protects what follows */
	struct condition work;
	struct upload *first; /* that no thread has taken yet */
	unsigned free_threads;
	bool ending;

	atomic_bool stopping;
	unsigned thread_count;
	pthread_t threads[];
};

struct upload *upload_ref(struct upload *upload)
{
	if (upload)
		atomic_fetch_add(&upload->references, 1);
	return upload;
}

struct upload *upload_unref(struct upload *upload)
{
	if (!upload || atomic_fetch_sub(&upload->references, 1) != 1)
		return NULL;
	staging_unref(upload->staging);
	condition_deinit(&upload->changed);
	mutex_deinit(&upload->lock);
	free(upload);
	return NULL;
}

/* The thread's side */

static bool is_given_up(struct upload *upload)
{
	bool abandoned;

	mutex_lock(&upload->lock);
	abandoned = upload->state == UPLOAD_ABANDONED;
	mutex_unlock(&upload->lock);
	return abandoned || atomic_load(&upload->uploads->stopping);
}

static bool given_up(void *state)
{
	return is_given_up(state);
}

/* Until @len bytes at @offset can be read, or all there will be. 0 or -EINTR. */
static int wait_for_bytes_locked(struct upload *upload, uint64_t offset, size_t len)
	REQUIRES(&upload->lock)
{
	uint64_t idle_since = clock_monotonic_ms();
	uint64_t seen = upload->end;

	if (upload->state == UPLOAD_FOLLOWING && upload->end < offset + len)
		upload->wanted = offset + BATCH_BYTES;
	while (upload->state == UPLOAD_FOLLOWING && upload->end < offset + len) {
		uint64_t now;

		condition_wait_until(&upload->changed, &upload->lock,
				     clock_monotonic_ms() + WAIT_SLICE_MS);
		now = clock_monotonic_ms();
		if (upload->end != seen) {
			seen = upload->end;
			idle_since = now;
		}
		if (atomic_load(&upload->uploads->stopping) ||
		    now - idle_since > upload->uploads->options.idle_ms)
			upload->state = UPLOAD_ABANDONED;
	}
	upload->wanted = 0;
	return upload->state == UPLOAD_ABANDONED ? -EINTR : 0;
}

static ssize_t source(void *state, uint64_t offset, void *data, size_t len)
{
	struct upload *upload = state;
	ssize_t n;
	int r;

	mutex_lock(&upload->lock);
	r = wait_for_bytes_locked(upload, offset, len);
	if (offset >= upload->end)
		len = 0;
	else if (len > upload->end - offset)
		len = (size_t)(upload->end - offset);
	if (r == 0 && offset + len > upload->sent)
		upload->sent = offset + len;
	mutex_unlock(&upload->lock);
	if (r < 0 || len == 0)
		return r;
	n = staging_read(upload->staging, offset, data, len);
	return n < 0 || (size_t)n == len ? n : -EIO;
}

static void last_words(void *state, struct remote_put_last *ret_last)
{
	struct upload *upload = state;

	mutex_lock(&upload->lock);
	*ret_last = upload->last;
	mutex_unlock(&upload->lock);
}

static void send_content(struct upload *upload)
{
	const struct interrupt interrupt = { .raised = given_up, .state = upload };
	const struct remote_put put = {
		.key = upload->key,
		.replaces = upload->has_replaces ? &upload->replaces : NULL,
		.size_bytes = REMOTE_SIZE_UNKNOWN,
		.source = source,
		.last = last_words,
		.state = upload,
	};
	struct remote_stored stored = { 0 };
	int r = remote_put(upload->uploads->options.remote, &put, &interrupt, &stored);

	mutex_lock(&upload->lock);
	upload->finished = upload->state == UPLOAD_FINISHING;
	upload->state = UPLOAD_DONE;
	upload->result = r;
	upload->stored = stored;
	condition_broadcast(&upload->changed);
	mutex_unlock(&upload->lock);
	log_debug("upload ended", "key=%s error=%d finished=%d", upload->key, -r, upload->finished);
}

static struct upload *next_upload(struct uploads *uploads)
{
	struct upload *upload;

	mutex_lock(&uploads->lock);
	while (!uploads->first && !uploads->ending)
		condition_wait(&uploads->work, &uploads->lock);
	upload = uploads->first;
	if (upload)
		uploads->first = upload->next;
	mutex_unlock(&uploads->lock);
	return upload;
}

static void *upload_thread(void *state)
{
	struct uploads *uploads = state;
	struct upload *upload;

	while ((upload = next_upload(uploads))) {
		send_content(upload);
		upload_unref(upload);
		mutex_lock(&uploads->lock);
		uploads->free_threads++;
		mutex_unlock(&uploads->lock);
	}
	return NULL;
}

int uploads_new(const struct uploads_options *options, struct uploads **ret_uploads)
{
	struct uploads *uploads =
		calloc(1, sizeof(*uploads) + options->threads * sizeof(pthread_t));

	if (!uploads)
		return -ENOMEM;
	uploads->options = *options;
	mutex_init(&uploads->lock);
	condition_init(&uploads->work);
	atomic_init(&uploads->stopping, false);
	for (; uploads->thread_count < options->threads; uploads->thread_count++) {
		int r = pthread_create(&uploads->threads[uploads->thread_count], NULL,
				       upload_thread, uploads);

		if (r != 0) {
			uploads_free(uploads);
			return -r;
		}
	}
	mutex_lock(&uploads->lock);
	uploads->free_threads = options->threads;
	mutex_unlock(&uploads->lock);
	*ret_uploads = uploads;
	return 0;
}

struct uploads *uploads_free(struct uploads *uploads)
{
	if (!uploads)
		return NULL;
	atomic_store(&uploads->stopping, true);
	mutex_lock(&uploads->lock);
	uploads->ending = true;
	condition_broadcast(&uploads->work);
	mutex_unlock(&uploads->lock);
	for (unsigned i = 0; i < uploads->thread_count; i++)
		pthread_join(uploads->threads[i], NULL);
	condition_deinit(&uploads->work);
	mutex_deinit(&uploads->lock);
	free(uploads);
	return NULL;
}

/* The writer's side */

static bool take_thread(struct uploads *uploads)
{
	bool taken;

	mutex_lock(&uploads->lock);
	taken = uploads->free_threads > 0;
	uploads->free_threads -= taken;
	mutex_unlock(&uploads->lock);
	return taken;
}

static void give_thread(struct uploads *uploads)
{
	mutex_lock(&uploads->lock);
	uploads->free_threads++;
	mutex_unlock(&uploads->lock);
}

int upload_begin(struct uploads *uploads, const char *key, const struct version *replaces,
		 struct staging *staging, uint64_t from, struct upload **ret_upload)
{
	uint64_t in_order = staging_in_order(staging);
	struct upload *upload;

	*ret_upload = NULL;
	if (in_order < from || in_order - from < uploads->options.begin_bytes ||
	    !take_thread(uploads))
		return 0;
	upload = calloc(1, sizeof(*upload));
	if (!upload) {
		give_thread(uploads);
		return -ENOMEM;
	}
	atomic_init(&upload->references, 2);
	mutex_init(&upload->lock);
	condition_init(&upload->changed);
	upload->uploads = uploads;
	upload->staging = staging_ref(staging);
	upload->has_replaces = replaces;
	if (replaces)
		upload->replaces = *replaces;
	strncpy(upload->key, key, KEY_HEX_MAX);
	upload->end = in_order;
	mutex_lock(&uploads->lock);
	upload->next = uploads->first;
	uploads->first = upload;
	condition_signal(&uploads->work);
	mutex_unlock(&uploads->lock);
	*ret_upload = upload;
	return 0;
}

static void abandon_locked(struct upload *upload) REQUIRES(&upload->lock)
{
	if (upload->state != UPLOAD_FOLLOWING)
		return;
	upload->state = UPLOAD_ABANDONED;
	condition_broadcast(&upload->changed);
}

void upload_abandon(struct upload *upload)
{
	if (!upload)
		return;
	mutex_lock(&upload->lock);
	abandon_locked(upload);
	mutex_unlock(&upload->lock);
}

/* Of a cluster that is away something better may be heard when the file is flushed. */
static int lasting_error(int result)
{
	switch (result) {
	case -ENOSPC:
	case -EFBIG:
	case -EACCES:
	case -ESTALE:
		return result;
	default:
		return 0;
	}
}

int upload_before_change(struct upload *upload, uint64_t offset)
{
	int r = 0;

	mutex_lock(&upload->lock);
	if (offset < upload->sent)
		abandon_locked(upload);
	if (offset < upload->end)
		upload->end = offset;
	if (upload->state == UPLOAD_DONE && !upload->finished)
		r = lasting_error(upload->result);
	if (r == 0)
		upload->changing++;
	mutex_unlock(&upload->lock);
	return r;
}

void upload_after_change(struct upload *upload, uint64_t offset, uint64_t len)
{
	mutex_lock(&upload->lock);
	/* Two that change it at once may change the same bytes. */
	if (--upload->changing == 0 && offset == upload->end)
		upload->end += len;
	if (upload->wanted > 0 && upload->end >= upload->wanted)
		condition_broadcast(&upload->changed);
	mutex_unlock(&upload->lock);
}

int upload_finish(struct upload *upload, const char *key, const struct remote_put_last *last,
		  const struct interrupt *interrupt, struct remote_stored *ret_stored)
{
	int r = 0;

	mutex_lock(&upload->lock);
	if (strcmp(key, upload->key) != 0)
		abandon_locked(upload);
	if (upload->state == UPLOAD_FOLLOWING) {
		upload->last = *last;
		upload->end = staging_size(upload->staging);
		upload->state = UPLOAD_FINISHING;
		condition_broadcast(&upload->changed);
	}
	while (upload->state == UPLOAD_FINISHING && r == 0) {
		condition_wait_until(&upload->changed, &upload->lock,
				     clock_monotonic_ms() + WAIT_SLICE_MS);
		mutex_unlock(&upload->lock);
		r = interrupt_raised(interrupt) ? -EINTR : 0;
		mutex_lock(&upload->lock);
	}
	if (upload->state == UPLOAD_FINISHING)
		upload->state = UPLOAD_ABANDONED;
	else if (upload->state == UPLOAD_DONE && upload->finished)
		r = upload->result;
	else
		r = UPLOAD_NOTHING;
	if (r == 0)
		*ret_stored = upload->stored;
	mutex_unlock(&upload->lock);
	return r;
}
