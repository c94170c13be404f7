/* SPDX-License-Identifier: MIT */
/*
 * The store with all its threads, and many that use it, on a disk that loses power at a random
 * call:
 *   test_power_threads [CUTS [FIRST_SEED [log]]]
 * Threads make no two runs alike, so a seed does not bring a failure back: what was asked, answered
 * and found is printed, and the files as the power cut left them are kept.
 */
#include "lib/bytes.h"
#include "node/checkpoint.h"
#include "node/log_read.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/image.h"
#include "tests/sim/leftovers.h"
#include "tests/sim/serial_users.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CUTS          400
#define CUTS_LONG     10000
#define CUTS_PER_DISK 15
#define REPEATS       8 /* requests that are sent again after a cut */
#define COPIES        2 /* checkpoints between two cuts */
#define NODE_ID       3

static uint64_t wanted_cuts, first_seed = 1;

struct sim {
	uint64_t random;
	uint64_t memtable_bytes, log_retain_bytes;
	struct serial_users users;
	struct serial_case story;
	struct {
		char name[32];
		uint64_t sequence;
	} saved[COPIES];
	size_t saved_count;
	struct {
		uint64_t cuts, closes, answers, unknown, found, lost, repeats, checkpoints, changes;
	} seen;
};

static uint64_t pick(struct sim *sim, uint64_t below)
{
	return serial_pick(&sim->random, below);
}

#define check(sim, condition, ...)                                                                 \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			print_message("seed %" PRIu64 ", cut %" PRIu64 ": ", (sim)->users.seed,    \
				      (sim)->seen.cuts);                                           \
			print_message(__VA_ARGS__);                                                \
			print_message("\n");                                                       \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

static bool is_cut(struct sim *sim)
{
	return crash_vfs_is_cut(sim->users.crash);
}

static struct store_options options_for(struct sim *sim, const char *dir, bool threads)
{
	return (struct store_options){
		.vfs = crash_vfs_base(sim->users.crash),
		.dir = dir,
		.cluster = "sim",
		.node = "n1",
		.memtable_bytes = sim->memtable_bytes,
		.cache_bytes = sim->users.seed % 3 ? 65536 : 0,
		.inline_bytes = sim->users.inline_bytes,
		.log_retain_bytes = sim->log_retain_bytes,
		.log_retain_s = 600,
		.threads = threads,
	};
}

/* ---- what else goes on meanwhile ---------------------------------------------------------------
 */

/* Until @count more writes were answered. False: the writers are done. */
static bool let_write(struct sim *sim, uint64_t count)
{
	mutex_lock(&sim->users.lock);
	count += sim->users.answers;
	while (!sim->users.stop && sim->users.answers < count)
		condition_wait(&sim->users.answered, &sim->users.lock);
	mutex_unlock(&sim->users.lock);
	return !sim->users.stop;
}

static void save_checkpoint(struct sim *sim)
{
	struct checkpoint_saved saved;
	size_t at = sim->saved_count;
	int r;

	if (at == COPIES)
		return;
	snprintf(sim->saved[at].name, sizeof(sim->saved[at].name), "c%" PRIu64 "-%zu",
		 sim->seen.cuts + sim->seen.closes, at);
	r = checkpoint_save(sim->users.store, sim->saved[at].name, &saved);
	if (r < 0) {
		if (!is_cut(sim))
			serial_note_fault(&sim->users, "saving a checkpoint: %d", r);
		return;
	}
	free(saved.path);
	sim->saved[at].sequence = saved.version.sequence;
	sim->saved_count++;
	sim->seen.checkpoints++;
}

static void change_roles(struct sim *sim)
{
	int r = store_follow(sim->users.store);

	if (r == 0)
		r = store_lead_next(sim->users.store, NODE_ID);
	if (r < 0 && !is_cut(sim))
		serial_note_fault(&sim->users, "following and leading: %d", r);
	sim->seen.changes++;
}

static void *do_chores(void *state)
{
	uint64_t random = ((struct sim *)state)->users.seed;
	struct sim *sim = state;

	while (let_write(sim, 1 + serial_pick(&random, 100))) {
		struct checkpoint *checkpoint;
		struct store_stats stats;
		int r;

		switch (serial_pick(&random, 6)) {
		case 0:
			change_roles(sim);
			break;
		case 1:
			store_want_room(sim->users.store);
			break;
		case 2:
			save_checkpoint(sim);
			break;
		case 3:
			store_stats(sim->users.store, &stats);
			break;
		default:
			r = checkpoint_new(sim->users.store, &checkpoint);
			if (r == 0)
				checkpoint_free(checkpoint);
			else if (!is_cut(sim))
				serial_note_fault(&sim->users, "making a checkpoint: %d", r);
		}
	}
	return NULL;
}

static void run_threads(struct sim *sim)
{
	pthread_t writers[SERIAL_WRITERS], reader, chores;

	sim->users.stop = false;
	assert_int_equal(pthread_create(&reader, NULL, serial_read_keys, &sim->users), 0);
	assert_int_equal(pthread_create(&chores, NULL, do_chores, sim), 0);
	for (unsigned i = 0; i < SERIAL_WRITERS; i++) {
		sim->users.workers[i].random = pick(sim, UINT32_MAX);
		assert_int_equal(pthread_create(&writers[i], NULL, serial_write_keys,
						&sim->users.workers[i]),
				 0);
	}
	for (unsigned i = 0; i < SERIAL_WRITERS; i++)
		pthread_join(writers[i], NULL);
	mutex_lock(&sim->users.lock);
	sim->users.stop = true;
	condition_broadcast(&sim->users.answered);
	mutex_unlock(&sim->users.lock);
	pthread_join(reader, NULL);
	pthread_join(chores, NULL);
}

/* ---- after the cut -----------------------------------------------------------------------------
 */

static void keep_files(const struct image *image)
{
	char dir[] = "/tmp/hexkv-power-XXXXXX", data[64];

	if (image->count == 0 || !mkdtemp(dir))
		return;
	snprintf(data, sizeof(data), "%s/data", dir);
	image_put(image, vfs_posix(), data);
	print_message("the files as the power cut left them: %s\n", data);
}

static void check_fault(struct sim *sim)
{
	if (sim->users.fault[0] != '\0')
		serial_print(&sim->story);
	check(sim, sim->users.fault[0] == '\0', "%s", sim->users.fault);
}

static int see_tail(const struct shipped_record *record, void *state)
{
	struct bytes_reader reader = bytes_reader(record->payload, record->payload_len);
	struct serial_case *story = state;
	uint64_t sequence = record->first_sequence;

	while (bytes_left(&reader) > 0) {
		struct serial_tail *tail;
		struct entry entry;
		int r = entry_decode(&reader, &entry);

		if (r < 0)
			return r;
		story->tail = realloc(story->tail, (story->tail_count + 1) * sizeof(*story->tail));
		assert_non_null(story->tail);
		tail = &story->tail[story->tail_count++];
		*tail = (struct serial_tail){ .sequence = sequence++, .id = entry.request_id };
		if (entry.kind != ENTRY_TOMBSTONE)
			tail->value = serial_number_of(entry.encoding, entry.encoding_len);
	}
	return 0;
}

static struct version end_of(struct sim *sim)
{
	struct store_standing standing;

	check(sim, store_standing(sim->users.store, &standing) == 0, "standing");
	return standing.end;
}

static void find_cells(struct sim *sim, struct store *store, struct serial_cell *cells)
{
	for (unsigned i = 0; i < SERIAL_KEYS; i++)
		check(sim, serial_read_cell(&sim->users, store, i, &cells[i]), "%s",
		      sim->users.fault);
}

/* As if a node were started from them. */
static void open_copies(struct sim *sim, struct serial_copy *copies)
{
	for (size_t i = 0; i < sim->saved_count; i++) {
		struct store_options options;
		struct store *store;
		char dir[64];
		char *why = NULL;

		snprintf(dir, sizeof(dir), "/data/checkpoints/%s", sim->saved[i].name);
		options = options_for(sim, dir, false);
		check(sim, store_open(&options, &store, &why) == 0, "checkpoint: %s", why);
		copies[i].sequence = sim->saved[i].sequence;
		find_cells(sim, store, copies[i].found);
		store_close(store);
	}
}

static void gather_writes(struct sim *sim)
{
	for (unsigned i = 0; i < SERIAL_WRITERS; i++) {
		struct serial_list *from = &sim->users.workers[i].writes;

		for (size_t j = 0; j < from->count; j++) {
			*serial_list_add(&sim->story.writes) = from->items[j];
			sim->seen.answers += from->items[j].fate == SERIAL_DONE;
			sim->seen.unknown += from->items[j].fate == SERIAL_MAYBE;
		}
		from->count = 0;
	}
}

/* Of a store that leads. */
static void check_recovered(struct sim *sim, const struct image *image)
{
	struct serial_copy copies[COPIES];
	struct serial_case *story = &sim->story;
	struct version answered = serial_last_answered(story);
	const char *why;
	size_t listed = 0, there = 0;
	struct key after = { 0 };
	bool more;
	int r = 0;

	story->end = end_of(sim).sequence;
	find_cells(sim, sim->users.store, story->found);
	if (story->end > answered.sequence)
		r = store_log_read(sim->users.store, answered, SIZE_MAX, see_tail, story);
	check(sim, r == 0, "reading the log: %d", r);
	open_copies(sim, copies);
	story->copies = copies;
	story->copy_count = sim->saved_count;
	why = serial_judge(story);
	if (why) {
		serial_print(story);
		keep_files(image);
	}
	check(sim, !why, "%s", why);
	for (unsigned i = 0; i < SERIAL_KEYS; i++)
		there += story->found[i].value > 0;
	check(sim,
	      store_list(sim->users.store, &after, SERIAL_KEYS + 1, serial_count_one, &listed,
			 &more, &after) == 0 &&
		      listed == there,
	      "listed %zu, there are %zu", listed, there);
	for (size_t i = 0; i < story->writes.count; i++)
		sim->seen.found += story->writes.items[i].fate == SERIAL_MAYBE &&
				   story->writes.items[i].recovered;
	sim->seen.lost += answered.sequence > story->end ? answered.sequence - story->end : 0;
}

static bool was_recovered(const struct serial_case *story, const struct request_id *id)
{
	for (size_t i = 0; i < story->writes.count; i++)
		if (story->writes.items[i].recovered &&
		    memcmp(&story->writes.items[i].id, id, sizeof(*id)) == 0)
			return true;
	return false;
}

/* Clients that did not hear, or heard of what is lost, ask again: what is there is not applied
 * twice. */
static void repeat_some(struct sim *sim)
{
	struct serial_case *story = &sim->story;
	struct serial_call *call = &sim->users.workers[0].calls[0];
	struct store_standing standing;

	check(sim, store_standing(sim->users.store, &standing) == 0, "standing");
	for (unsigned i = 0; i < REPEATS && story->writes.count > 0; i++) {
		struct serial_write *again = &story->writes.items[pick(sim, story->writes.count)];
		bool recovered = was_recovered(story, &again->id);
		struct serial_cell cell;

		if (again->kind != WRITE_PUT || again->condition != SERIAL_ANYWAY ||
		    !request_id_is_set(&again->id) ||
		    (recovered && again->sequence <= standing.log_begin.sequence))
			continue; /* its id went with the log */
		call->asked = *again;
		call->asked.durability = DURABILITY_DISK;
		check(sim, serial_call_fill(&sim->users, call) == 0, "value file");
		store_submit(sim->users.store, &call->write);
		serial_call_await(call);
		sim->seen.repeats++;
		check(sim, outcome_is_success(call->write.outcome), "repeat: outcome %d",
		      call->write.outcome);
		if (call->write.repeated != recovered)
			serial_print(story);
		check(sim, call->write.repeated == recovered, "sequence %" PRIu64 " was applied %s",
		      again->sequence, recovered ? "twice" : "never");
		check(sim, serial_read_cell(&sim->users, sim->users.store, again->key, &cell), "%s",
		      sim->users.fault);
		if (!recovered)
			check(sim,
			      cell.value == again->value &&
				      cell.sequence == call->write.point.sequence,
			      "a repeat changed nothing");
		if (!recovered)
			again->recovered = true;
		else if (cell.value != story->found[again->key].value)
			check(sim, false, "a repeat changed the value");
		story->found[again->key] = cell;
	}
}

/* ---- one cut after the other -------------------------------------------------------------------
 */

static void restart(struct sim *sim, struct image *image)
{
	struct vfs *vfs = crash_vfs_base(sim->users.crash);
	struct vfs_file *file;

	sim->seen.cuts++;
	crash_vfs_restart(sim->users.crash);
	image_deinit(image);
	*image = (struct image){ 0 };
	if (vfs_open(vfs, "/data/CURRENT", VFS_READ, &file) < 0)
		return; /* not much is there yet */
	vfs_close(file);
	*image = image_take(vfs, "/data");
}

/* Opens and leads, perhaps through more cuts on the way. */
static void open_store(struct sim *sim, bool threads, struct image *image)
{
	for (;;) {
		struct store_options options = options_for(sim, "/data", threads);
		char *why = NULL;
		int r;

		if (pick(sim, 5) == 0)
			crash_vfs_cut_after(sim->users.crash, 1 + pick(sim, 40));
		r = store_open(&options, &sim->users.store, &why);
		if (r == 0) {
			r = store_lead_next(sim->users.store, NODE_ID);
			crash_vfs_cut_after(sim->users.crash, 0);
			if (r == 0 && !is_cut(sim))
				return;
			store_close(sim->users.store);
		}
		if (!is_cut(sim))
			keep_files(image);
		check(sim, is_cut(sim), "open: %d: %s", r, why);
		free(why);
		restart(sim, image);
	}
}

static void open_and_check(struct sim *sim, struct image *image)
{
	bool threads = pick(sim, 3) == 0;
	struct serial_case *story = &sim->story;
	char why[256];

	open_store(sim, threads, image);
	check_recovered(sim, image);
	if (!threads)
		check(sim,
		      leftovers_none(sim->users.store, crash_vfs_base(sim->users.crash), "/data",
				     why, sizeof(why)),
		      "%s", why);
	repeat_some(sim);
	story->base_end = end_of(sim);
	memcpy(story->base, story->found, sizeof(story->base));
	story->writes.count = story->tail_count = 0;
	sim->saved_count = 0;
	if (threads)
		return;
	store_close(sim->users.store);
	open_store(sim, true, image);
	check(sim, end_of(sim).sequence == story->base_end.sequence,
	      "a clean close lost something");
}

static void run_until_cut(struct sim *sim, struct image *image)
{
	bool close = pick(sim, 10) == 0;

	if (!close)
		crash_vfs_cut_after(sim->users.crash, 1 + pick(sim, pick(sim, 4) ? 300 : 3000));
	run_threads(sim);
	gather_writes(sim);
	check_fault(sim);
	if (!close)
		crash_vfs_cut(sim->users.crash);
	store_close(sim->users.store);
	if (!close) {
		restart(sim, image);
		return;
	}
	/* A clean close keeps everything. */
	sim->seen.closes++;
	for (size_t i = 0; i < sim->story.writes.count; i++)
		sim->story.writes.items[i].durability = DURABILITY_DISK;
}

/* Small memtables make many runs and merges, a low bound many value files. */
static void choose_sizes(struct sim *sim)
{
	static const uint64_t inline_bytes[] = { 256, 16, 1024, MODEL_VALUE_MAX };
	static const uint64_t disk_odds[] = { 3, 1, 20, 100 };

	sim->memtable_bytes = 1024u << sim->users.seed % 5;
	sim->users.inline_bytes = inline_bytes[sim->users.seed / 5 % 4];
	sim->log_retain_bytes = 65536u << sim->users.seed % 4;
	sim->users.disk_odds = disk_odds[sim->users.seed % 4];
}

static void run_disk(uint64_t seed, struct sim *total)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	struct image image = { 0 };

	assert_non_null(sim);
	serial_users_init(&sim->users);
	sim->users.seed = sim->random = seed;
	choose_sizes(sim);
	sim->users.crash = crash_vfs_new(seed);
	crash_vfs_set_again_percent(sim->users.crash, 20);
	while (sim->seen.cuts < CUTS_PER_DISK) {
		open_and_check(sim, &image);
		run_until_cut(sim, &image);
	}
	open_and_check(sim, &image);
	store_close(sim->users.store);
	total->seen.cuts += sim->seen.cuts;
	total->seen.answers += sim->seen.answers;
	total->seen.unknown += sim->seen.unknown;
	total->seen.found += sim->seen.found;
	total->seen.lost += sim->seen.lost;
	total->seen.repeats += sim->seen.repeats;
	total->seen.checkpoints += sim->seen.checkpoints;
	total->seen.changes += sim->seen.changes;
	image_deinit(&image);
	serial_list_deinit(&sim->story.writes);
	free(sim->story.tail);
	crash_vfs_free(sim->users.crash);
	serial_users_deinit(&sim->users);
	free(sim);
}

static void what_many_threads_wrote_is_a_prefix_with_all_acknowledged_after_every_cut(void **state)
{
	static struct sim total;

	(void)state;
	for (uint64_t seed = first_seed; total.seen.cuts < wanted_cuts; seed++)
		run_disk(seed, &total);
	print_message("%" PRIu64 " power cuts, %" PRIu64 " answers, %" PRIu64
		      " outcomes unknown, %" PRIu64 " of them found, %" PRIu64
		      " entries of memory lost, %" PRIu64 " requests repeated, %" PRIu64
		      " checkpoints opened, %" PRIu64 " times in a new role\n",
		      total.seen.cuts, total.seen.answers, total.seen.unknown, total.seen.found,
		      total.seen.lost, total.seen.repeats, total.seen.checkpoints,
		      total.seen.changes);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			what_many_threads_wrote_is_a_prefix_with_all_acknowledged_after_every_cut),
	};

	wanted_cuts = getenv("HEXKV_LONG") ? CUTS_LONG : CUTS;
	if (argc > 1)
		wanted_cuts = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	/* Every cut makes the store complain, and rightly so. */
	if (argc <= 3 && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
