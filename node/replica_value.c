/* SPDX-License-Identifier: MIT */
/*
 * Value files. An entry names one of its maker's store; this store needs one with the same value:
 * one that was fetched for an entry before it, one that its own record of the key has (a PATCH), or
 * that of the other key in a MOVE; else it is fetched chunk by chunk.
 *
 * Several are fetched at once, so that neither the way to the source nor the disk here is waited
 * for with nothing else to do. A fetch belongs to the value, not to the question: when the node
 * that had it goes away, and the same value is found elsewhere, it goes on at the chunk where it
 * was.
 */
#include "node/replica_private.h"

#include "lib/cleanup.h"
#include "lib/container_of.h"
#include "node/value_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct value_file *find_fetched(struct replica *replica, const struct entry *wanted)
{
	for (unsigned i = 0; i < FETCHED_MAX; i++) {
		struct replica_fetched *fetched = &replica->fetched[i];

		if (fetched->file && fetched->id == wanted->file_id &&
		    fetched->size_bytes == wanted->size_bytes &&
		    hash128_equal(fetched->hash, wanted->hash) &&
		    memcmp(fetched->source, replica->job.source, 16) == 0)
			return value_file_ref(fetched->file);
	}
	return NULL;
}

static void remember(struct replica *replica, const struct replica_fetch *fetch)
{
	struct replica_fetched *fetched = &replica->fetched[replica->fetched_at];

	replica->fetched_at = (replica->fetched_at + 1) % FETCHED_MAX;
	value_file_unref(fetched->file);
	memcpy(fetched->source, fetch->source, 16);
	fetched->id = fetch->id;
	fetched->size_bytes = fetch->size_bytes;
	fetched->hash = fetch->hash;
	fetched->file = fetch->file;
}

/* The file of the store's own record of @of's key, if it holds the value of @wanted. */
static struct value_file *find_own(struct replica *replica, const struct entry *of,
				   const struct entry *wanted)
{
	struct value_file *file = NULL;
	struct store_record record;
	struct key key;

	if (key_from_bytes(of->key, of->key_len, &key) < 0 ||
	    store_get(replica->options.store, &key, 0, &record) != 0)
		return NULL;
	if (record.held.entry.kind == ENTRY_FILE && record.meta.size_bytes == wanted->size_bytes &&
	    hash128_equal(record.meta.hash, wanted->hash))
		file = value_file_ref(record.held.file);
	store_record_release(&record);
	return file;
}

static struct value_file *find_here(struct replica *replica, const struct entry *entries,
				    size_t count, size_t index)
{
	const struct entry *wanted = &entries[index];
	struct value_file *file = find_fetched(replica, wanted);

	if (!file)
		file = find_own(replica, wanted, wanted);
	if (!file && index + 1 < count && entries[index + 1].kind == ENTRY_TOMBSTONE)
		file = find_own(replica, &entries[index + 1], wanted);
	if (!file && index > 0 && entries[index - 1].kind == ENTRY_TOMBSTONE)
		file = find_own(replica, &entries[index - 1], wanted);
	return file;
}

/* Fetches */

static bool comes(const struct replica_fetch *fetch)
{
	return fetch->call > 0 || fetch->finishing;
}

static bool is_used(const struct replica_fetch *fetch)
{
	return comes(fetch) || fetch->writer || fetch->error < 0;
}

static void drop(struct replica_fetch *fetch)
{
	value_writer_abort(fetch->writer);
	*fetch = (struct replica_fetch){ 0 };
}

void replica_value_rest(struct replica *replica)
{
	for (unsigned i = 0; i < FETCHES; i++)
		replica->fetches[i].call = replica->fetches[i].error = 0;
}

void replica_value_ask_again(struct replica *replica)
{
	for (unsigned i = 0; i < FETCHES; i++)
		replica->fetches[i].error = 0;
}

void replica_value_forget(struct replica *replica)
{
	for (unsigned i = 0; i < FETCHES; i++)
		drop(&replica->fetches[i]);
	for (unsigned i = 0; i < FETCHED_MAX; i++) {
		value_file_unref(replica->fetched[i].file);
		replica->fetched[i].file = NULL;
	}
}

/* Two values that are the same are fetched one after the other: mostly it is one file. */
static struct replica_fetch *find_fetch(struct replica *replica, const struct entry *wanted)
{
	for (unsigned i = 0; i < FETCHES; i++) {
		struct replica_fetch *fetch = &replica->fetches[i];

		if (is_used(fetch) && fetch->size_bytes == wanted->size_bytes &&
		    hash128_equal(fetch->hash, wanted->hash))
			return fetch;
	}
	return NULL;
}

/* One that nothing is fetched with, or nothing that comes; NULL: there is none. */
static struct replica_fetch *find_free(struct replica *replica)
{
	struct replica_fetch *found = NULL;

	for (unsigned i = 0; i < FETCHES; i++) {
		struct replica_fetch *fetch = &replica->fetches[i];

		if (!is_used(fetch))
			return fetch;
		if (!comes(fetch))
			found = fetch;
	}
	if (found)
		drop(found);
	return found;
}

static int begin(struct replica *replica, const struct entry *wanted, struct replica_fetch *fetch)
{
	int r;

	if (!fetch->writer) {
		r = value_writer_new(store_values(replica->options.store), &fetch->writer);
		if (r < 0)
			return r;
		fetch->size_bytes = wanted->size_bytes;
		fetch->hash = wanted->hash;
		fetch->chunk = 0;
	}
	fetch->id = wanted->file_id;
	memcpy(fetch->source, replica->job.source, 16);
	return 0;
}

static int ask(struct replica *replica, struct replica_fetch *fetch, uint64_t chunk)
{
	struct replica_message message;

	/* Nobody is followed any more. */
	if (!replica_peer_at(replica, replica->source))
		return -EAGAIN;
	message = replica_request(replica, REPLICA_VALUE);
	message.id = fetch->id;
	message.size_bytes = fetch->size_bytes;
	message.index = chunk;
	fetch->call = replica_send(replica, (unsigned)replica->source, &message, ASK_TIMEOUT_MS);
	return fetch->call > 0 ? 0 : -ENOMEM;
}

/* Beside the replication thread: it waits for the disk. */
static void make_durable(struct replica_work *work)
{
	struct replica_fetch *fetch = container_of(work, struct replica_fetch, work);
	bool utf8;

	fetch->result = value_writer_finish(fetch->finished, &fetch->file, &fetch->file_bytes,
					    &fetch->file_hash, &utf8);
}

static void made_durable(struct replica_work *work)
{
	struct replica_fetch *fetch = container_of(work, struct replica_fetch, work);
	struct replica *replica = work->replica;
	int r = fetch->result;

	if (r == 0 && (fetch->file_bytes != fetch->size_bytes ||
		       !hash128_equal(fetch->file_hash, fetch->hash))) {
		value_file_unref(fetch->file);
		r = -EBADMSG;
	}
	if (r < 0) {
		fetch->finishing = false;
		fetch->error = r;
		return;
	}
	remember(replica, fetch);
	replica->counters.values_fetched++;
	*fetch = (struct replica_fetch){ 0 };
}

static void finish(struct replica *replica, struct replica_fetch *fetch)
{
	fetch->finished = fetch->writer;
	fetch->writer = NULL;
	fetch->finishing = true;
	fetch->work = (struct replica_work){ .run = make_durable, .done = made_durable };
	replica_work(replica, &fetch->work);
}

static int go_on(struct replica *replica, const struct entry *wanted, struct replica_fetch *fetch)
{
	int r = begin(replica, wanted, fetch);

	if (r < 0)
		return r;
	if (fetch->chunk * VALUE_CHUNK_BYTES < fetch->size_bytes)
		return ask(replica, fetch, fetch->chunk);
	finish(replica, fetch);
	return 0;
}

int replica_value(struct replica *replica, const struct entry *entries, size_t count, size_t index,
		  struct value_file **ret_file)
{
	const struct entry *wanted = &entries[index];
	struct replica_fetch *fetch = find_fetch(replica, wanted);
	struct value_file *file;
	int r;

	if (fetch && comes(fetch))
		return VALUE_COMES;
	if (fetch && fetch->error < 0) {
		r = fetch->error;
		fetch->error = 0;
		return r;
	}
	file = find_here(replica, entries, count, index);
	if (file) {
		replica->counters.values_shared++;
		*ret_file = file;
		return 0;
	}
	if (!fetch)
		fetch = find_free(replica);
	if (!fetch)
		return VALUE_WAITS;
	r = go_on(replica, wanted, fetch);
	return r < 0 ? r : VALUE_COMES;
}

static int check_chunk(const struct replica_fetch *fetch, const struct replica_message *message)
{
	uint64_t left = fetch->size_bytes - fetch->chunk * VALUE_CHUNK_BYTES;

	if (message->status == REPLICA_GONE ||
	    memcmp(message->head.store_id, fetch->source, 16) != 0)
		return -ESTALE;
	if (message->status != REPLICA_OK)
		return -EAGAIN;
	return message->bytes_len == (left < VALUE_CHUNK_BYTES ? left : VALUE_CHUNK_BYTES)
		       ? 0
		       : -EBADMSG;
}

/* The next one is on its way while this one is written. */
static int take_chunk(struct replica *replica, struct replica_fetch *fetch,
		      const struct replica_message *message)
{
	int r = check_chunk(fetch, message);

	if (r == 0 && (fetch->chunk + 1) * VALUE_CHUNK_BYTES < fetch->size_bytes)
		r = ask(replica, fetch, fetch->chunk + 1);
	if (r < 0)
		return r;
	replica->counters.bytes_received += message->bytes_len;
	r = value_writer_append(fetch->writer, message->bytes, message->bytes_len);
	if (r < 0) {
		fetch->writer = value_writer_abort(fetch->writer);
		fetch->call = 0;
	}
	fetch->chunk++;
	return r;
}

bool replica_value_answered(struct replica *replica, uint64_t call, int error,
			    const struct replica_message *message)
{
	struct replica_fetch *fetch = replica->fetches;

	while (fetch < replica->fetches + FETCHES && (fetch->call == 0 || fetch->call != call))
		fetch++;
	if (fetch == replica->fetches + FETCHES)
		return false;
	fetch->call = 0;
	if (error == 0 && message->kind != REPLICA_VALUE)
		error = -EBADMSG;
	fetch->error = error < 0 ? error : take_chunk(replica, fetch, message);
	replica_job_tick(replica);
	return true;
}

/* What others ask for */

#define ANSWER_HEAD_BYTES 256 /* more than there is before its bytes */

/* Into the answer itself: there is no need to move it once more. */
static ssize_t read_chunk(const struct replica_message *asked, const struct replica_message *answer,
			  struct value_file *file, struct buf *out)
{
	int r = buf_reserve_exact(out, ANSWER_HEAD_BYTES + VALUE_CHUNK_BYTES);
	ssize_t n;

	if (r == 0)
		r = replica_message_encode(answer, out);
	if (r == 0)
		r = buf_reserve_exact(out, VALUE_CHUNK_BYTES);
	if (r < 0)
		return r;
	n = value_file_read_chunk(file, asked->size_bytes, asked->index, out->data + out->len, 0);
	if (n >= 0)
		replica_message_add_bytes(out, (size_t)n);
	return n;
}

void replica_value_asked(struct replica *replica, uint64_t request,
			 const struct replica_message *message)
{
	struct replica_message answer = replica_reply(replica, REPLICA_VALUE, REPLICA_OK);
	_cleanup_(buf_deinit) struct buf out = { 0 };
	struct value_file *file;
	ssize_t n;

	if (value_pins_find(store_values(replica->options.store), message->id, message->size_bytes,
			    &file) < 0) {
		replica_answer_status(replica, request, REPLICA_VALUE, REPLICA_GONE);
		return;
	}
	n = read_chunk(message, &answer, file, &out);
	value_file_unref(file);
	if (n >= 0) {
		replica->counters.bytes_sent += (uint64_t)n;
		replica->transport->answer(replica->options.state, request, &out);
	} else {
		replica_answer_status(replica, request, REPLICA_VALUE, REPLICA_BUSY);
	}
}
