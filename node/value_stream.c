/* SPDX-License-Identifier: MIT */
/*
 * A stream is in one of four states. WAITING: there is no memory for it yet; it stands in the
 * worker's queue, for a bounded time. STARTING: the answer waits for the first chunk. In both it
 * owns itself. SENDING: the answer owns it, and asks through read(). CLOSED: the answer is gone and
 * a read was under way: the last job's done() frees it. One job runs at a time, so a buffer that is
 * being filled is never the one that read() looks at.
 *
 * A reader that does not read keeps its memory only while nobody waits for it: what it holds can be
 * read again. When it goes on it stands in the queue as well, before those whose answers have not
 * begun: of an answer that breaks off nobody has anything. While somebody waits, whoever needs the
 * next chunk queues for it, so memory goes round.
 */
#include "node/value_stream.h"

#include "lib/clock.h"
#include "lib/container_of.h"

#include "lib/frame.h"
#include "lib/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum stream_state { STREAM_WAITING, STREAM_STARTING, STREAM_SENDING, STREAM_CLOSED };

struct chunk {
	uint8_t *data; /* NULL: no memory yet */
	size_t reserved; /* of the worker's budget */
	uint64_t index;
	ssize_t len; /* 0: empty, negative: why it can't be read */
};

struct value_stream {
	struct request request;
	struct answer answer; /* until STREAM_SENDING */
	struct store_record record;
	enum stream_state state;
	uint64_t offset; /* in the value, of the answer's first byte */
	uint64_t end;
	struct chunk chunks[2];
	struct chunk *loading; /* NULL: no job is under way */
	struct pool_job job;
	struct loop_timer patience; /* STREAM_WAITING */
	bool queued; /* for memory: STREAM_WAITING, or STREAM_SENDING whose memory was taken */
	struct value_stream *next_waiting;
	/* STREAM_SENDING */
	uint64_t read_ms; /* when the reader last took something */
	uint64_t wanted; /* the chunk that it waits for, if queued */
	struct value_stream *next_sending;
	struct value_stream **sending_link; /* NULL: not in the list */
};

static uint64_t file_bytes(const struct value_stream *stream)
{
	return stream->record.meta.size_bytes;
}

static void chunk_release(struct value_stream *stream, struct chunk *chunk)
{
	free(chunk->data);
	stream->request.worker->stream_bytes -= chunk->reserved;
	*chunk = (struct chunk){ 0 };
}

/* Memory for a chunk, within @budget of the worker. */
static int chunk_reserve(struct value_stream *stream, struct chunk *chunk, uint64_t budget)
{
	size_t bytes = file_bytes(stream) < VALUE_CHUNK_BYTES ? (size_t)file_bytes(stream)
							      : VALUE_CHUNK_BYTES;

	if (chunk->data)
		return 0;
	if (stream->request.worker->stream_bytes + bytes > budget)
		return -EBUSY;
	/* Pages that a short value leaves untouched cost nothing. */
	chunk->data = malloc(VALUE_CHUNK_BYTES);
	if (!chunk->data)
		return -ENOMEM;
	chunk->reserved = bytes;
	stream->request.worker->stream_bytes += bytes;
	return 0;
}

static void start_waiting(struct service_worker *worker);
static void reclaim_expired(struct loop_timer *timer);

/* The timer runs while anybody waits. */
static void watch_queue(struct service_worker *worker)
{
	uint64_t often_ms = worker->service->stream_idle_ms / 4 + 1;

	if (!worker->waiting) {
		loop_clear_timer(worker->worker->loop, &worker->reclaim);
	} else if (!worker->reclaim.armed) {
		worker->reclaim.expired = reclaim_expired;
		/* Without memory for it, memory becomes free as readers read. */
		(void)loop_set_timer(worker->worker->loop, &worker->reclaim,
				     clock_monotonic_ms() + often_ms);
	}
}

static void enqueue(struct value_stream *stream)
{
	struct value_stream **at = &stream->request.worker->waiting;

	while (*at && ((*at)->state == STREAM_SENDING || stream->state == STREAM_WAITING))
		at = &(*at)->next_waiting;
	stream->next_waiting = *at;
	*at = stream;
	stream->queued = true;
	watch_queue(stream->request.worker);
}

static void dequeue(struct value_stream *stream)
{
	struct value_stream **at = &stream->request.worker->waiting;

	if (!stream->queued)
		return;
	while (*at != stream)
		at = &(*at)->next_waiting;
	*at = stream->next_waiting;
	stream->queued = false;
	watch_queue(stream->request.worker);
}

static void link_sending(struct value_stream *stream)
{
	struct value_stream **list = &stream->request.worker->sending;

	stream->next_sending = *list;
	if (*list)
		(*list)->sending_link = &stream->next_sending;
	*list = stream;
	stream->sending_link = list;
	stream->read_ms = clock_monotonic_ms();
}

static void unlink_sending(struct value_stream *stream)
{
	if (!stream->sending_link)
		return;
	*stream->sending_link = stream->next_sending;
	if (stream->next_sending)
		stream->next_sending->sending_link = stream->sending_link;
	stream->sending_link = NULL;
}

static void stream_free(struct value_stream *stream)
{
	struct service_worker *worker = stream->request.worker;

	dequeue(stream);
	unlink_sending(stream);
	chunk_release(stream, &stream->chunks[0]);
	chunk_release(stream, &stream->chunks[1]);
	answer_deinit(&stream->answer);
	store_record_release(&stream->record);
	free(stream);
	start_waiting(worker);
}

static struct value_stream *from_job(struct pool_job *job)
{
	return container_of(job, struct value_stream, job);
}

/* In a pool thread. */
static void load_run(struct pool_job *job)
{
	struct value_stream *stream = from_job(job);
	struct chunk *chunk = stream->loading;

	chunk->len = value_file_read_chunk(stream->record.held.file, file_bytes(stream),
					   chunk->index, chunk->data, 0);
	if (chunk->len == 0)
		chunk->len = -EBADMSG;
}

static void load(struct value_stream *stream, struct chunk *chunk, uint64_t index)
{
	exchange_ref(stream->request.ex);
	chunk->index = index;
	chunk->len = 0;
	stream->loading = chunk;
	service_submit(stream->request.worker, request_service(&stream->request)->read_pool,
		       &stream->job);
}

/* Reads ahead while the other chunk is being sent, if there is more, and memory that nobody waits
 * for. */
static void load_next(struct value_stream *stream, struct chunk *sending)
{
	struct chunk *next =
		sending == &stream->chunks[0] ? &stream->chunks[1] : &stream->chunks[0];
	uint64_t index = sending->index + 1;

	if (stream->loading || index * VALUE_CHUNK_BYTES >= stream->end)
		return;
	if (next->len != 0 && next->index == index)
		return;
	if (stream->request.worker->waiting) {
		chunk_release(stream, next);
		start_waiting(stream->request.worker);
		return;
	}
	if (chunk_reserve(stream, next, SERVICE_STREAM_BYTES_MAX / 2) < 0)
		return;
	load(stream, next, index);
}

static struct chunk *find_chunk(struct value_stream *stream, uint64_t index)
{
	for (unsigned i = 0; i < 2; i++) {
		struct chunk *chunk = &stream->chunks[i];

		if (chunk != stream->loading && chunk->len != 0 && chunk->index == index)
			return chunk;
	}
	return NULL;
}

/* The one to read over: with memory for one chunk only, the one that was sent. */
static struct chunk *oldest_chunk(struct value_stream *stream)
{
	struct chunk *a = &stream->chunks[0], *b = &stream->chunks[1];

	return b->data && b->index < a->index ? b : a;
}

/* Memory for the chunk that the reader waits for, now or later; then it is loaded. */
static void load_or_queue(struct value_stream *stream, uint64_t index)
{
	struct service_worker *worker = stream->request.worker;
	struct chunk *chunk = oldest_chunk(stream);

	if (!worker->waiting && chunk_reserve(stream, chunk, SERVICE_STREAM_BYTES_MAX) == 0) {
		load(stream, chunk, index);
		return;
	}
	chunk_release(stream, &stream->chunks[0]);
	chunk_release(stream, &stream->chunks[1]);
	stream->wanted = index;
	enqueue(stream);
	start_waiting(worker);
}

static ssize_t stream_read(void *state, struct exchange *ex, uint64_t offset, void *data,
			   size_t len)
{
	struct value_stream *stream = state;
	uint64_t at = stream->offset + offset;
	struct chunk *chunk;
	size_t skip;

	(void)ex;
	if (at >= stream->end)
		return -EINVAL;
	stream->read_ms = clock_monotonic_ms();
	chunk = find_chunk(stream, at / VALUE_CHUNK_BYTES);
	if (!chunk) {
		if (!stream->loading && !stream->queued)
			load_or_queue(stream, at / VALUE_CHUNK_BYTES);
		return 0;
	}
	if (chunk->len < 0)
		return chunk->len;
	load_next(stream, chunk);
	skip = at % VALUE_CHUNK_BYTES;
	if (skip >= (size_t)chunk->len)
		return -EBADMSG;
	if (len > (size_t)chunk->len - skip)
		len = (size_t)chunk->len - skip;
	if (len > stream->end - at)
		len = stream->end - at;
	memcpy(data, chunk->data + skip, len);
	return (ssize_t)len;
}

static void stream_close(void *state)
{
	struct value_stream *stream = state;

	unlink_sending(stream);
	if (stream->loading)
		stream->state = STREAM_CLOSED;
	else
		stream_free(stream);
}

static const struct body_source stream_source = {
	.read = stream_read,
	.close = stream_close,
};

static void log_damage(const struct value_stream *stream, const struct chunk *chunk)
{
	log_error("value not readable", "file=%" PRIu64 " chunk=%" PRIu64 " error=\"%s\"",
		  value_file_id(stream->record.held.file), chunk->index,
		  strerror((int)-chunk->len));
}

/* The first chunk is here: the answer goes out, and takes the stream with it. */
static void begin_sending(struct value_stream *stream, const struct chunk *chunk)
{
	struct request request = stream->request;
	struct answer answer = stream->answer;

	if (chunk->len < 0) {
		request_problem(&request, outcome_from_error((int)chunk->len),
				"the stored value can't be read; restore it from a copy");
		stream_free(stream);
		return;
	}
	stream->answer = (struct answer){ 0 };
	stream->state = STREAM_SENDING;
	link_sending(stream);
	answer.source = &stream_source;
	answer.source_state = stream;
	request_respond(&request, &answer);
}

static void load_done(struct pool_job *job)
{
	struct value_stream *stream = from_job(job);
	struct exchange *ex = stream->request.ex;
	struct chunk *chunk = stream->loading;

	stream->loading = NULL;
	service_job_done(stream->request.worker);
	if (chunk->len < 0)
		log_damage(stream, chunk);
	switch (stream->state) {
	case STREAM_WAITING:
		assert(!"nothing is read for a stream that waits");
		break;
	case STREAM_STARTING:
		begin_sending(stream, chunk);
		break;
	case STREAM_SENDING:
		/* From now on it is up to the reader. */
		stream->read_ms = clock_monotonic_ms();
		exchange_resume_answer(ex);
		break;
	case STREAM_CLOSED:
		stream_free(stream);
		break;
	}
	exchange_unref(ex);
}

static void start(struct value_stream *stream)
{
	stream->state = STREAM_STARTING;
	load(stream, &stream->chunks[0], stream->offset / VALUE_CHUNK_BYTES);
}

/* Memory has become free: the oldest goes first. */
static void start_waiting(struct service_worker *worker)
{
	struct value_stream *stream;

	while ((stream = worker->waiting) &&
	       chunk_reserve(stream, &stream->chunks[0], SERVICE_STREAM_BYTES_MAX) == 0) {
		dequeue(stream);
		if (stream->state == STREAM_SENDING) {
			load(stream, &stream->chunks[0], stream->wanted);
			continue;
		}
		loop_clear_timer(worker->worker->loop, &stream->patience);
		start(stream);
		exchange_unref(stream->request.ex);
	}
}

/* Takes back what readers hold who do not read. */
static void reclaim_expired(struct loop_timer *timer)
{
	struct service_worker *worker = container_of(timer, struct service_worker, reclaim);
	uint64_t now = clock_monotonic_ms();

	for (struct value_stream *at = worker->sending; at; at = at->next_sending) {
		if (at->loading || now - at->read_ms < worker->service->stream_idle_ms)
			continue;
		chunk_release(at, &at->chunks[0]);
		chunk_release(at, &at->chunks[1]);
	}
	start_waiting(worker);
	watch_queue(worker);
}

static void refuse_crowd(const struct request *request)
{
	request_problem(request, OUTCOME_TOO_MANY_REQUESTS,
			"too many large values are being read at once; try again");
}

static void patience_ended(struct loop_timer *timer)
{
	struct value_stream *stream = container_of(timer, struct value_stream, patience);
	struct exchange *ex = stream->request.ex;

	dequeue(stream);
	refuse_crowd(&stream->request);
	stream_free(stream);
	exchange_unref(ex);
}

static int wait_for_memory(struct value_stream *stream)
{
	struct service_worker *worker = stream->request.worker;
	int r;

	stream->patience.expired = patience_ended;
	r = loop_set_timer(worker->worker->loop, &stream->patience,
			   clock_monotonic_ms() + worker->service->stream_wait_ms);
	if (r < 0)
		return r;
	enqueue(stream);
	exchange_ref(stream->request.ex);
	return 0;
}

/* Starts to read, now or once there is memory. */
static int start_or_wait(struct value_stream *stream)
{
	int r = -EBUSY;

	/* Nobody overtakes those who wait. */
	if (!stream->request.worker->waiting)
		r = chunk_reserve(stream, &stream->chunks[0], SERVICE_STREAM_BYTES_MAX);
	if (r == 0)
		start(stream);
	else if (r == -EBUSY)
		r = wait_for_memory(stream);
	return r;
}

static struct value_stream *stream_new(const struct request *request, struct store_record *record,
				       uint64_t offset, struct answer *answer)
{
	struct value_stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		store_record_release(record);
		answer_deinit(answer);
		return NULL;
	}
	stream->request = *request;
	stream->record = *record;
	stream->answer = *answer;
	stream->offset = offset;
	stream->end = offset + answer->stream_bytes;
	stream->job.run = load_run;
	stream->job.done = load_done;
	return stream;
}

static ssize_t announce_read(void *state, struct exchange *ex, uint64_t offset, void *data,
			     size_t len)
{
	(void)state;
	(void)ex;
	(void)offset;
	(void)data;
	(void)len;
	return -EMSGSIZE;
}

static void announce_close(void *state)
{
	(void)state;
}

/* Stands for a body that no frame can carry. */
static const struct body_source announced_source = {
	.read = announce_read,
	.close = announce_close,
};

void value_stream_respond(const struct request *request, struct store_record *record,
			  uint64_t offset, struct answer *answer)
{
	struct value_stream *stream;

	/* Only its head is used: the client asks again, over a connection of its own. */
	if (request->ex->over_frame && answer->stream_bytes > FRAME_BODY_MAX) {
		store_record_release(record);
		answer->source = &announced_source;
		request_respond(request, answer);
		return;
	}

	stream = stream_new(request, record, offset, answer);
	if (!stream) {
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	request->ex->handler = &request_waits;
	if (start_or_wait(stream) < 0) {
		stream_free(stream);
		refuse_crowd(request);
	}
}
