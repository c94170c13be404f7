/* SPDX-License-Identifier: MIT */
/*
 * One buffer collects what arrives, the other is being written by the one job that runs at a time.
 * They change places when the first is full (or the value has ended) and the job is done. The
 * writer and the second buffer belong to the job while it runs.
 */
#include "node/value_upload.h"

#include "lib/container_of.h"

#include "lib/cleanup.h"
#include "lib/log.h"

#include <errno.h>
#include <string.h>

#define UPLOAD_BUFFER_BYTES (512 * 1024)

enum upload_state {
	UPLOAD_COLLECTING,
	UPLOAD_ENDED, /* the last bytes are in a buffer */
	UPLOAD_COMPLETE, /* the file is there, or it failed */
	UPLOAD_ABANDONED, /* freed while a job runs */
};

struct value_upload {
	struct service_worker *worker;
	const struct value_upload_events *events;
	void *events_state;
	enum upload_state state;
	size_t reserved; /* of the worker's upload_bytes; 0: it stays in memory */
	bool sender_waits;
	bool wrote; /* some of it is in the file or on its way */
	struct buf collecting;

	/* The job's while it runs. */
	bool job_runs;
	bool job_is_last;
	struct pool_job job;
	struct buf writing;
	struct value_writer *writer;
	int error;
	struct value_upload_result result;
};

static struct value_upload *from_job(struct pool_job *job)
{
	return container_of(job, struct value_upload, job);
}

static int write_pieces(struct value_upload *upload)
{
	struct value_upload_result *result = &upload->result;
	int r = 0;

	if (!upload->writer)
		r = value_writer_new(store_values(upload->worker->service->store), &upload->writer);
	if (r >= 0 && upload->writing.len > 0)
		r = value_writer_append(upload->writer, upload->writing.data, upload->writing.len);
	if (r < 0 || !upload->job_is_last)
		return r;
	return value_writer_finish(take_ptr(upload->writer), &result->file, &result->file_size,
				   &result->file_hash, &result->file_utf8);
}

/* In a pool thread. */
static void write_run(struct pool_job *job)
{
	struct value_upload *upload = from_job(job);

	upload->error = write_pieces(upload);
	if (upload->error < 0)
		upload->writer = value_writer_abort(upload->writer);
}

/* In a pool thread: deleting may take a while, too. */
static void discard_run(struct pool_job *job)
{
	struct value_upload *upload = from_job(job);

	upload->writer = value_writer_abort(upload->writer);
	if (upload->result.file)
		upload->result.file = value_file_unref(upload->result.file);
}

static void upload_destroy(struct value_upload *upload)
{
	buf_deinit(&upload->collecting);
	buf_deinit(&upload->writing);
	upload->worker->upload_bytes -= upload->reserved;
	free(upload);
}

static void discard_done(struct pool_job *job)
{
	struct value_upload *upload = from_job(job);

	service_job_done(upload->worker);
	upload_destroy(upload);
}

static void submit(struct value_upload *upload, void (*run)(struct pool_job *),
		   void (*done)(struct pool_job *))
{
	upload->job.run = run;
	upload->job.done = done;
	service_submit(upload->worker, upload->worker->service->write_pool, &upload->job);
}

static void discard(struct value_upload *upload)
{
	if (upload->writer || upload->result.file)
		submit(upload, discard_run, discard_done);
	else
		upload_destroy(upload);
}

static void write_done(struct pool_job *job);

/* Gives what was collected to the pool, if it is time to. */
static void write_on(struct value_upload *upload)
{
	struct buf spare = upload->writing;
	bool full = upload->collecting.len >= UPLOAD_BUFFER_BYTES;

	if (upload->job_runs || !(full || upload->state == UPLOAD_ENDED))
		return;
	upload->writing = upload->collecting;
	buf_clear(&spare);
	upload->collecting = spare;
	upload->job_is_last = upload->state == UPLOAD_ENDED;
	upload->job_runs = true;
	upload->wrote = true;
	submit(upload, write_run, write_done);
}

static void complete(struct value_upload *upload)
{
	if (upload->error < 0)
		log_error("value not written", "error=\"%s\"", strerror(-upload->error));
	upload->state = UPLOAD_COMPLETE;
	upload->events->complete(upload->events_state, upload->error);
}

static void write_done(struct pool_job *job)
{
	struct value_upload *upload = from_job(job);

	service_job_done(upload->worker);
	upload->job_runs = false;
	if (upload->state == UPLOAD_ABANDONED) {
		discard(upload);
		return;
	}
	if (upload->error < 0 || upload->job_is_last) {
		complete(upload);
		return;
	}
	write_on(upload);
	if (upload->sender_waits) {
		upload->sender_waits = false;
		upload->events->room(upload->events_state);
	}
}

/* What one buffer needs for a value of the length that was announced, if it was. */
static size_t buffer_bytes(int64_t expected)
{
	if (expected >= 0 && expected < UPLOAD_BUFFER_BYTES)
		return (size_t)expected;
	return UPLOAD_BUFFER_BYTES;
}

/* All memory is taken here, so that nothing can fail while pieces arrive. */
static int reserve_buffers(struct value_upload *upload, int64_t expected)
{
	struct service_worker *worker = upload->worker;
	bool may_need_file = expected < 0 || (uint64_t)expected > worker->service->inline_bytes;
	size_t bytes = buffer_bytes(expected);
	int r;

	if (bytes == 0)
		return 0;
	if (may_need_file) {
		if (worker->upload_bytes + 2 * bytes > SERVICE_UPLOAD_BYTES_MAX)
			return -EBUSY;
		upload->reserved = 2 * bytes;
		worker->upload_bytes += upload->reserved;
	}
	r = buf_reserve(&upload->collecting, bytes);
	if (r < 0 || !may_need_file)
		return r;
	return buf_reserve(&upload->writing, bytes);
}

int value_upload_new(struct service_worker *worker, int64_t expected,
		     const struct value_upload_events *events, void *state,
		     struct value_upload **ret_upload)
{
	struct value_upload *upload;
	int r;

	upload = calloc(1, sizeof(*upload));
	if (!upload)
		return -ENOMEM;
	upload->worker = worker;
	upload->events = events;
	upload->events_state = state;
	r = reserve_buffers(upload, expected);
	if (r < 0) {
		upload_destroy(upload);
		return r;
	}
	*ret_upload = upload;
	return 0;
}

struct value_upload *value_upload_free(struct value_upload *upload)
{
	if (!upload)
		return NULL;
	if (upload->job_runs)
		upload->state = UPLOAD_ABANDONED;
	else
		discard(upload);
	return NULL;
}

static size_t collect(struct buf *buf, const void *data, size_t len)
{
	size_t room = (buf->cap < UPLOAD_BUFFER_BYTES ? buf->cap : UPLOAD_BUFFER_BYTES) - buf->len;

	if (len > room)
		len = room;
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	return len;
}

size_t value_upload_take(struct value_upload *upload, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t taken, piece;

	if (upload->state != UPLOAD_COLLECTING)
		return len;
	for (taken = 0; taken < len; taken += piece) {
		piece = collect(&upload->collecting, bytes + taken, len - taken);
		write_on(upload);
		if (piece == 0)
			break;
	}
	upload->sender_waits = taken < len;
	return taken;
}

bool value_upload_end(struct value_upload *upload)
{
	if (upload->state != UPLOAD_COLLECTING)
		return false;
	if (!upload->wrote && upload->collecting.len <= upload->worker->service->inline_bytes) {
		upload->state = UPLOAD_COMPLETE;
		upload->result.value = upload->collecting.data;
		upload->result.value_len = upload->collecting.len;
		return true;
	}
	upload->state = UPLOAD_ENDED;
	write_on(upload);
	return false;
}

struct value_upload_result value_upload_result(struct value_upload *upload)
{
	struct value_upload_result result = upload->result;

	upload->result.file = NULL;
	return result;
}
