/* SPDX-License-Identifier: MIT */
#include "tests/sim/serial_users.h"

#include "lib/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS      120 /* of one writer, unless the power goes */
#define DEADLINE_MS 120000

void serial_users_init(struct serial_users *users)
{
	mutex_init(&users->lock);
	condition_init(&users->answered);
	for (unsigned i = 0; i < SERIAL_WRITERS; i++) {
		users->workers[i].users = users;
		users->workers[i].number = i;
	}
}

void serial_users_deinit(struct serial_users *users)
{
	for (unsigned i = 0; i < SERIAL_WRITERS; i++)
		serial_list_deinit(&users->workers[i].writes);
	condition_deinit(&users->answered);
	mutex_deinit(&users->lock);
}

uint64_t serial_pick(uint64_t *random, uint64_t below)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return (*random >> 33) % below;
}

struct key serial_key(unsigned number)
{
	return (struct key){ .len = 2, .bytes = { 'k', (uint8_t)number } };
}

uint32_t serial_number_of(const char *text, size_t len)
{
	uint32_t number = 0;

	for (size_t i = 2; i < len; i++)
		number = number * 10 + (uint32_t)(text[i] - '0');
	return number;
}

bool serial_read_cell(struct serial_users *users, struct store *store, unsigned number,
		      struct serial_cell *ret_cell)
{
	struct key key = serial_key(number);
	uint8_t expect[MODEL_VALUE_MAX];
	struct store_record record;
	const uint8_t *data;
	uint8_t *chunk = NULL;
	bool same;
	int r;

	*ret_cell = (struct serial_cell){ 0 };
	r = store_get(store, &key, 0, &record);
	if (r == STORE_NOT_FOUND)
		return true;
	if (r < 0) {
		if (!crash_vfs_is_cut(users->crash))
			serial_note_fault(users, "reading key %u: %d", number, r);
		return false;
	}
	*ret_cell = (struct serial_cell){
		.value = serial_number_of(record.meta.encoding.text, record.meta.encoding.len),
		.type = serial_number_of(record.meta.content_type.text,
					 record.meta.content_type.len),
		.sequence = record.meta.version.sequence,
	};
	same = model_value(ret_cell->value, expect) == record.meta.size_bytes;
	data = store_record_inline(&record);
	if (same && !data) {
		ssize_t n;

		data = chunk = malloc(VALUE_CHUNK_BYTES);
		n = chunk ? value_file_read_chunk(record.held.file, record.meta.size_bytes, 0,
						  chunk, 0)
			  : -ENOMEM;
		same = n == (ssize_t)record.meta.size_bytes ||
		       (n < 0 && crash_vfs_is_cut(users->crash));
		if (n < 0)
			data = expect;
	}
	same = same && memcmp(data, expect, record.meta.size_bytes) == 0;
	if (!same)
		serial_note_fault(users, "key %u does not hold value %" PRIu32, number,
				  ret_cell->value);
	free(chunk);
	store_record_release(&record);
	return same;
}

int serial_count_one(const struct entry *entry, void *state)
{
	(void)entry;
	++*(size_t *)state;
	return 0;
}

/* Nobody sees a key go back to what it was before. */
void *serial_read_keys(void *state)
{
	struct serial_users *users = state;
	uint64_t last[SERIAL_KEYS] = { 0 };

	for (unsigned i = 0; !users->stop; i++) {
		unsigned number = i * 7 % SERIAL_KEYS;
		struct serial_cell cell;
		struct key after = { 0 };
		size_t count = 0;
		bool more;

		if (!serial_read_cell(users, users->store, number, &cell))
			continue;
		if (cell.value > 0 && cell.sequence < last[number])
			serial_note_fault(users,
					  "key %u went back from sequence %" PRIu64 " to %" PRIu64,
					  number, last[number], cell.sequence);
		if (cell.value > 0)
			last[number] = cell.sequence;
		if (i % 64 == 0 &&
		    store_list(users->store, &after, SERIAL_KEYS, serial_count_one, &count, &more,
			       &after) < 0 &&
		    !crash_vfs_is_cut(users->crash))
			serial_note_fault(users, "listing");
	}
	return NULL;
}

static void on_done(struct store_write *write)
{
	struct serial_call *call = write->state;
	struct serial_users *users = call->users;

	mutex_lock(&users->lock);
	call->answered = true;
	users->answers++;
	condition_broadcast(&users->answered);
	mutex_unlock(&users->lock);
}

void serial_call_await(struct serial_call *call)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;
	struct serial_users *users = call->users;
	int r = 0;

	mutex_lock(&users->lock);
	while (!call->answered && r == 0)
		r = condition_wait_until(&users->answered, &users->lock, deadline);
	mutex_unlock(&users->lock);
	if (r == 0)
		return;
	/* The store still has it: there is no going on. */
	printf("seed %" PRIu64 ": a write was not answered\n", users->seed);
	exit(1);
}

static void set_label(struct label *label, bool *has, char letter, uint32_t number)
{
	char text[16];

	*has = true;
	label_set(label, text, (size_t)snprintf(text, sizeof(text), "%c/%" PRIu32, letter, number));
}

static int write_value_file(struct serial_users *users, struct store_write *write, const void *data,
			    size_t len)
{
	struct value_writer *writer;
	int r = value_writer_new(store_values(users->store), &writer);

	if (r < 0)
		return r;
	r = value_writer_append(writer, data, len);
	if (r < 0) {
		value_writer_abort(writer);
		return r;
	}
	return value_writer_finish(writer, &write->file, &write->file_size, &write->file_hash,
				   &write->file_utf8);
}

int serial_call_fill(struct serial_users *users, struct serial_call *call)
{
	const struct serial_write *asked = &call->asked;
	struct object_request *request = &call->write.request;
	size_t len;

	call->write = (struct store_write){ .kind = asked->kind, .done = on_done, .state = call };
	call->users = users;
	call->answered = false;
	call->write.key = serial_key(asked->key);
	request->durability = asked->durability;
	request->request_id = asked->id;
	request->overwrite = true;
	request->has_destination = asked->kind == WRITE_MOVE;
	request->destination = serial_key(asked->destination);
	request->pre.if_none_match = request->pre.if_none_match_any =
		asked->condition == SERIAL_IF_ABSENT;
	if (asked->condition == SERIAL_IF_MATCH) {
		request->pre.if_match = true;
		request->pre.match_count = 1;
		request->pre.match[0] = (struct version){ asked->epoch, asked->match };
	}
	if (asked->kind == WRITE_PUT || asked->kind == WRITE_PATCH)
		set_label(&request->content_type, &request->has_content_type, 't', asked->type);
	if (asked->kind != WRITE_PUT)
		return 0;
	set_label(&request->encoding, &request->has_encoding, 'v', asked->value);
	len = model_value(asked->value, call->data);
	if (len > users->inline_bytes)
		return write_value_file(users, &call->write, call->data, len);
	call->write.value = call->data;
	call->write.value_len = len;
	return 0;
}

static void choose_condition(struct serial_worker *worker, struct serial_write *asked)
{
	struct key key = serial_key(asked->key);
	struct store_record record;

	if (asked->kind == WRITE_PUT && serial_pick(&worker->random, 4) == 0)
		asked->condition = SERIAL_IF_ABSENT;
	if (serial_pick(&worker->random, 4) > 0 ||
	    store_get(worker->users->store, &key, 0, &record) != 0)
		return;
	asked->condition = SERIAL_IF_MATCH;
	asked->match = record.meta.version.sequence;
	asked->epoch = record.meta.version.epoch;
	store_record_release(&record);
}

static struct serial_write choose_write(struct serial_worker *worker)
{
	static const enum write_kind kinds[] = { WRITE_DELETE, WRITE_DELETE, WRITE_MOVE,
						 WRITE_PATCH };
	struct serial_write asked = { .writer = worker->number };
	uint64_t kind = serial_pick(&worker->random, 10);

	asked.kind = kind < 4 ? kinds[kind] : WRITE_PUT;
	asked.key = (unsigned)serial_pick(&worker->random, SERIAL_KEYS);
	asked.destination =
		(asked.key + 1 + (unsigned)serial_pick(&worker->random, SERIAL_KEYS - 1)) %
		SERIAL_KEYS;
	if (asked.kind == WRITE_PUT)
		asked.value = ++worker->users->last_number;
	if (asked.kind == WRITE_PUT || asked.kind == WRITE_PATCH)
		asked.type = ++worker->users->last_number;
	asked.durability = serial_pick(&worker->random, worker->users->disk_odds)
				   ? DURABILITY_MEMORY
				   : DURABILITY_DISK;
	/* All but a put show in the log by their ids alone. */
	if (asked.kind != WRITE_PUT || serial_pick(&worker->random, 3))
		request_id_generate(&asked.id);
	choose_condition(worker, &asked);
	return asked;
}

static void note_answer(struct serial_call *call, struct serial_write *noted)
{
	*noted = call->asked;
	noted->outcome = call->write.outcome;
	noted->fate = outcome_is_success(call->write.outcome) ? SERIAL_DONE
		      : call->write.maybe_applied             ? SERIAL_MAYBE
							      : SERIAL_NEVER;
	noted->repeated = call->write.repeated;
	noted->epoch = call->write.point.epoch;
	noted->sequence = noted->fate == SERIAL_DONE ? call->write.point.sequence : 0;
}

/* In this thread, if nobody else commits. */
static void commit_call(struct serial_call *call)
{
	store_commit(call->users->store, &call->write);
	call->write.state = call;
	on_done(&call->write);
}

/* Several at once, some of them the same request twice, some as one batch; or one after the other.
 */
static void write_window(struct serial_worker *worker)
{
	unsigned want = 1 + (unsigned)serial_pick(&worker->random, SERIAL_WINDOW), count = 0;
	enum { EACH, BATCH, HERE } how = (unsigned)serial_pick(&worker->random, 3);

	for (; count < want; count++) {
		struct serial_call *call = &worker->calls[count];

		call->asked = choose_write(worker);
		if (count > 0 && request_id_is_set(&call[-1].asked.id) &&
		    serial_pick(&worker->random, 12) == 0)
			call->asked = call[-1].asked;
		if (serial_call_fill(worker->users, call) < 0)
			break;
		if (how == HERE)
			commit_call(call);
		else if (how == EACH)
			store_submit(worker->users->store, &call->write);
		else if (count > 0)
			call[-1].write.next = &call->write;
	}
	if (how == BATCH && count > 0)
		store_submit_batch(worker->users->store, &worker->calls[0].write);
	for (unsigned i = 0; i < count; i++) {
		serial_call_await(&worker->calls[i]);
		note_answer(&worker->calls[i], serial_list_add(&worker->writes));
	}
}

void *serial_write_keys(void *state)
{
	struct serial_worker *worker = state;

	for (unsigned round = 0; round < ROUNDS && !crash_vfs_is_cut(worker->users->crash); round++)
		write_window(worker);
	return NULL;
}
