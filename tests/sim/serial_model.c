/* SPDX-License-Identifier: MIT */
#include "tests/sim/serial_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 40 /* writes around the place where the recovered state ends */

static char sentence[256];

#define complain(...) (snprintf(sentence, sizeof(sentence), __VA_ARGS__), sentence)

struct serial_write *serial_list_add(struct serial_list *list)
{
	if (list->count == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 64;
		list->items = realloc(list->items, list->cap * sizeof(*list->items));
		if (!list->items)
			abort();
	}
	list->items[list->count] = (struct serial_write){ 0 };
	return &list->items[list->count++];
}

void serial_list_deinit(struct serial_list *list)
{
	free(list->items);
	*list = (struct serial_list){ 0 };
}

/* Has a place in the order of commits. */
static bool counts(const struct serial_write *write)
{
	return write->fate == SERIAL_DONE && !write->repeated;
}

static uint64_t entries_of(const struct serial_write *write)
{
	return write->kind == WRITE_MOVE ? 2 : 1;
}

/* Those that count first, by sequence. */
static int by_sequence(const void *a, const void *b)
{
	const struct serial_write *left = a, *right = b;

	if (counts(left) != counts(right))
		return counts(left) ? -1 : 1;
	return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

struct version serial_last_answered(const struct serial_case *story)
{
	struct version last = story->base_end;

	for (size_t i = 0; i < story->writes.count; i++) {
		const struct serial_write *write = &story->writes.items[i];

		if (counts(write) && write->sequence > last.sequence)
			last = (struct version){ write->epoch, write->sequence };
	}
	return last;
}

/* Whether @write may follow the state @cells. */
static const char *may_follow(const struct serial_cell *cells, const struct serial_write *write)
{
	const struct serial_cell *cell = &cells[write->key];

	if (write->condition == SERIAL_IF_ABSENT && cell->value > 0)
		return "a write took effect that demanded that there be no record";
	if (write->condition == SERIAL_IF_MATCH &&
	    (cell->value == 0 || cell->sequence != write->match))
		return "a write took effect that demanded another version";
	if (write->kind != WRITE_PUT && cell->value == 0)
		return "a record was changed that was not there";
	return NULL;
}

/* The first of two answers of a success. */
static bool creates(const struct serial_cell *cells, const struct serial_write *write)
{
	if (write->kind == WRITE_MOVE)
		return cells[write->destination].value == 0;
	return write->kind == WRITE_PUT && cells[write->key].value == 0;
}

static void apply(struct serial_cell *cells, const struct serial_write *write)
{
	struct serial_cell *cell = &cells[write->key];

	switch (write->kind) {
	case WRITE_PUT:
		*cell = (struct serial_cell){ write->value, write->type, write->sequence };
		break;
	case WRITE_PATCH:
		cell->type = write->type;
		cell->sequence = write->sequence;
		break;
	case WRITE_DELETE:
		*cell = (struct serial_cell){ 0 };
		break;
	case WRITE_MOVE:
		cells[write->destination] = *cell;
		cells[write->destination].sequence = write->sequence - 1;
		*cell = (struct serial_cell){ 0 };
		break;
	case WRITE_BARRIER:
		break;
	}
}

static const char *compare(const struct serial_cell *found, const struct serial_cell *expected,
			   const char *where)
{
	for (unsigned i = 0; i < SERIAL_KEYS; i++) {
		const struct serial_cell *a = &found[i], *b = &expected[i];

		if (a->value == b->value &&
		    (a->value == 0 || (a->type == b->type && a->sequence == b->sequence)))
			continue;
		return complain(
			"%s: key %u has value %" PRIu32 ", type %" PRIu32 ", sequence %" PRIu64
			"; expected %" PRIu32 ", %" PRIu32 ", %" PRIu64,
			where, i, a->value, a->type, a->sequence, b->value, b->type, b->sequence);
	}
	return NULL;
}

static const char *compare_copies(const struct serial_case *story, const struct serial_cell *cells,
				  uint64_t from, uint64_t before)
{
	const char *why = NULL;

	for (size_t i = 0; i < story->copy_count && !why; i++)
		if (story->copies[i].sequence >= from && story->copies[i].sequence < before)
			why = compare(story->copies[i].found, cells, "a checkpoint");
	return why;
}

/* All answers in their order; ret_cells is the state at the end, or at the last answer. */
static const char *replay(struct serial_case *story, struct serial_cell *ret_cells)
{
	struct serial_cell cells[SERIAL_KEYS];
	uint64_t at = story->base_end.sequence;
	const char *why;

	memcpy(cells, story->base, sizeof(cells));
	memcpy(ret_cells, story->base, sizeof(cells));
	for (size_t i = 0; i < story->writes.count && counts(&story->writes.items[i]); i++) {
		struct serial_write *write = &story->writes.items[i];

		if (write->sequence != at + entries_of(write))
			return complain("sequence %" PRIu64 " follows %" PRIu64, write->sequence,
					at);
		why = compare_copies(story, cells, at, write->sequence);
		if (!why)
			why = may_follow(cells, write);
		if (!why && creates(cells, write) != (write->outcome == OUTCOME_CREATED))
			why = "it was answered that a record is new, or replaced, and it is not so";
		if (why)
			return complain("at sequence %" PRIu64 ": %s", write->sequence, why);
		apply(cells, write);
		at = write->sequence;
		write->recovered = at <= story->end;
		if (write->durability == DURABILITY_DISK && !write->recovered)
			return complain("sequence %" PRIu64
					" was acknowledged on disk, the log ends at %" PRIu64,
					at, story->end);
		if (!write->recovered && at - entries_of(write) < story->end)
			return complain("half a move was recovered: the log ends at %" PRIu64,
					story->end);
		if (write->recovered)
			memcpy(ret_cells, cells, sizeof(cells));
	}
	return compare_copies(story, cells, at, UINT64_MAX);
}

/* The write without a known outcome that @tail is an entry of. */
static struct serial_write *find_unknown(struct serial_case *story, const struct serial_tail *tail)
{
	for (size_t i = 0; i < story->writes.count; i++) {
		struct serial_write *write = &story->writes.items[i];

		if (write->fate != SERIAL_MAYBE || write->recovered)
			continue;
		if (request_id_is_set(&tail->id)
			    ? memcmp(&tail->id, &write->id, sizeof(tail->id)) == 0
			    : write->kind == WRITE_PUT && write->value == tail->value)
			return write;
	}
	return NULL;
}

/* What was recovered behind the last answer. */
static const char *replay_tail(struct serial_case *story, struct serial_cell *cells)
{
	uint64_t at = serial_last_answered(story).sequence;

	if (at > story->end)
		return NULL;
	for (size_t i = 0; i < story->tail_count;) {
		const struct serial_tail *tail = &story->tail[i];
		struct serial_write *write = find_unknown(story, tail);
		const char *why;

		if (tail->sequence != at + 1)
			return complain("the log has sequence %" PRIu64 " behind %" PRIu64,
					tail->sequence, at);
		if (!write)
			return complain("the log has sequence %" PRIu64
					", which was answered as never applied, twice, or not sent",
					tail->sequence);
		i += entries_of(write);
		at += entries_of(write);
		write->sequence = at;
		write->recovered = true;
		why = may_follow(cells, write);
		if (why)
			return complain("at sequence %" PRIu64 ", behind the last answer: %s", at,
					why);
		apply(cells, write);
	}
	if (at != story->end)
		return complain("the log ends at %" PRIu64 ", and goes to %" PRIu64, story->end,
				at);
	return NULL;
}

static const struct serial_write *find_done(const struct serial_case *story,
					    const struct request_id *id)
{
	for (size_t i = 0; i < story->writes.count && counts(&story->writes.items[i]); i++)
		if (memcmp(&story->writes.items[i].id, id, sizeof(*id)) == 0)
			return &story->writes.items[i];
	return NULL;
}

/* An answer that was given again is the first one, and promises no less. */
static const char *check_repeats(const struct serial_case *story)
{
	for (size_t i = 0; i < story->writes.count; i++) {
		const struct serial_write *write = &story->writes.items[i], *first;

		if (write->fate != SERIAL_DONE || !write->repeated)
			continue;
		first = find_done(story, &write->id);
		if (!first || first->sequence != write->sequence ||
		    first->outcome != write->outcome)
			return complain("the repeated answer of sequence %" PRIu64
					" is not the first one",
					write->sequence);
		if (write->durability == DURABILITY_DISK && !first->recovered)
			return complain("sequence %" PRIu64
					" was acknowledged on disk when asked again, "
					"and is missing",
					write->sequence);
	}
	return NULL;
}

const char *serial_judge(struct serial_case *story)
{
	struct serial_cell cells[SERIAL_KEYS];
	const char *why;

	if (story->writes.count > 0)
		qsort(story->writes.items, story->writes.count, sizeof(*story->writes.items),
		      by_sequence);
	why = replay(story, cells);
	if (!why)
		why = replay_tail(story, cells);
	if (!why)
		why = check_repeats(story);
	return why ? why : compare(story->found, cells, "recovered");
}

static void print_write(const struct serial_write *write)
{
	static const char *const kinds[] = { "put", "patch", "delete", "move", "barrier" };
	static const char *const fates[] = { "never", "maybe", "done" };
	static const char *const conditions[] = { "", ", if absent", ", if match" };

	printf("  sequence %" PRIu64 ": writer %u %s key %u", write->sequence, write->writer,
	       kinds[write->kind], write->key);
	if (write->kind == WRITE_MOVE)
		printf(" to %u", write->destination);
	printf(", value %" PRIu32 ", type %" PRIu32 "%s", write->value, write->type,
	       conditions[write->condition]);
	if (write->condition == SERIAL_IF_MATCH)
		printf(" %" PRIu64, write->match);
	printf(", %s, id %02x%02x, %s, outcome %d%s%s\n",
	       write->durability == DURABILITY_DISK ? "disk" : "memory", write->id.bytes[0],
	       write->id.bytes[1], fates[write->fate], write->outcome,
	       write->repeated ? ", repeated" : "", write->recovered ? ", recovered" : "");
}

void serial_print(const struct serial_case *story)
{
	printf("from sequence %" PRIu64 ", last answered %" PRIu64 ", recovered to %" PRIu64
	       ", %zu writes\n",
	       story->base_end.sequence, serial_last_answered(story).sequence, story->end,
	       story->writes.count);
	for (size_t i = 0; i < story->writes.count; i++) {
		const struct serial_write *write = &story->writes.items[i];

		if (write->fate == SERIAL_MAYBE ||
		    (write->fate == SERIAL_DONE && write->sequence + SHOWN > story->end))
			print_write(write);
	}
	for (size_t i = 0; i < story->tail_count; i++)
		printf("  log: sequence %" PRIu64 ", id %02x%02x, value %" PRIu32 "\n",
		       story->tail[i].sequence, story->tail[i].id.bytes[0],
		       story->tail[i].id.bytes[1], story->tail[i].value);
	for (unsigned i = 0; i < SERIAL_KEYS; i++)
		printf("  key %u: before %" PRIu32 " (sequence %" PRIu64 "), found %" PRIu32
		       " (sequence %" PRIu64 ", type %" PRIu32 ")\n",
		       i, story->base[i].value, story->base[i].sequence, story->found[i].value,
		       story->found[i].sequence, story->found[i].type);
}
