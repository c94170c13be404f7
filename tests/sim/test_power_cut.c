/* SPDX-License-Identifier: MIT */
/*
 * The whole store on a disk that loses power ten thousand times, at random calls, in recoveries
 * too:
 *   test_power_cut [SEEDS [FIRST_SEED [log]]]
 */
#include "node/store.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/leftovers.h"
#include "tests/sim/power_model.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS            500
#define SEEDS_LONG       10000
#define CUTS_PER_SEED    20
#define BATCH_MAX        6
#define ORPHANS_MAX      256
#define VALUE_FILE_EXTRA (64 + 8) /* of a value of one chunk */
#define LET_GO_NS        11000000000 /* then dead value files are looked for */
#define NODE_ID          7

static uint64_t seeds, first_seed = 1;
static int64_t simulated_ns = 1700000000000000000;

struct sim {
	uint64_t seed;
	uint64_t random;
	uint64_t memtable_bytes, inline_bytes, log_retain_bytes;
	struct crash_vfs *crash;
	struct store *store;
	struct model model;
	uint64_t epoch; /* the last one that was led in */
	uint64_t orphans[ORPHANS_MAX]; /* value files that were written and never put */
	size_t orphan_count;
	/* A put whose outcome is unknown, to be sent again after the cut. */
	struct {
		bool is_set;
		unsigned key;
		uint32_t value;
		struct request_id id;
	} unknown;
	struct {
		uint64_t cuts, writes, failures, files, opens, repeats, changes;
	} seen;
};

static int64_t simulated_clock(void)
{
	return simulated_ns += 1000000;
}

static uint64_t pick(struct sim *sim, uint64_t below)
{
	sim->random = sim->random * 6364136223846793005u + 1442695040888963407u;
	return (sim->random >> 33) % below;
}

#define check(sim, condition, ...)                                                                 \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			print_message("seed %" PRIu64 ", cut %" PRIu64 ": ", (sim)->seed,          \
				      (sim)->seen.cuts);                                           \
			print_message(__VA_ARGS__);                                                \
			print_message("\n");                                                       \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

static struct key key_number(unsigned number)
{
	struct key key = { .len = 3, .bytes = { 'k', (uint8_t)(number / 5), (uint8_t)number } };

	return key;
}

static struct store_options options_for(struct sim *sim)
{
	return (struct store_options){
		.vfs = crash_vfs_base(sim->crash),
		.dir = "/data",
		.cluster = "sim",
		.node = "n1",
		.memtable_bytes = sim->memtable_bytes,
		.cache_bytes = sim->seed % 3 ? 65536 : 0,
		.inline_bytes = sim->inline_bytes,
		.log_retain_bytes = sim->log_retain_bytes,
		.log_retain_s = 600,
		.threads = false,
		.realtime_ns = simulated_clock,
	};
}

/* What a record holds, checked byte for byte. */
static struct model_cell read_cell(struct sim *sim, struct store_record *record)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	uint8_t expect[MODEL_VALUE_MAX];
	const uint8_t *data = store_record_inline(record);
	struct model_cell cell = { 0 };
	unsigned value = 0;
	size_t len;

	if (!data) {
		ssize_t n = value_file_read_chunk(record->held.file, record->meta.size_bytes, 0,
						  chunk, 0);

		check(sim, n == (ssize_t)record->meta.size_bytes, "value file: %zd", n);
		data = chunk;
	}
	check(sim, sscanf(record->meta.content_type.text, "v/%u;t=%u", &value, &cell.type) == 2,
	      "content type %s", record->meta.content_type.text);
	cell.value = value;
	len = model_value(cell.value, expect);
	check(sim, len == record->meta.size_bytes && memcmp(expect, data, len) == 0,
	      "value %u is not what was written", cell.value);
	return cell;
}

static struct model_cell get_cell(struct sim *sim, unsigned number)
{
	struct key key = key_number(number);
	struct store_record record;
	struct model_cell cell;
	int r;

	r = store_get(sim->store, &key, pick(sim, 2) ? VFS_NOWAIT : 0, &record);
	if (r == -EAGAIN)
		r = store_get(sim->store, &key, 0, &record);
	if (r == STORE_NOT_FOUND)
		return (struct model_cell){ 0 };
	check(sim, r == 0, "get: %d", r);
	cell = read_cell(sim, &record);
	check(sim, model_see_version(&sim->model, record.meta.version, cell),
	      "one version, two values");
	store_record_release(&record);
	return cell;
}

static int count_one(const struct entry *entry, void *state)
{
	(void)entry;
	++*(size_t *)state;
	return 0;
}

static void check_listing(struct sim *sim, const struct model_cell *cells)
{
	struct key last = { 0 };
	size_t count = 0, expect = 0;
	bool more = true;

	for (unsigned i = 0; i < MODEL_KEYS; i++)
		expect += cells[i].value > 0;
	while (more) {
		struct key after = last;

		check(sim, store_list(sim->store, &after, 7, count_one, &count, &more, &last) == 0,
		      "list");
	}
	check(sim, count == expect, "listed %zu, expected %zu", count, expect);
}

/* Nothing is there that the store does not know, and no value file that nothing refers to. */
static int check_name(const char *name, void *state)
{
	struct sim *sim = state;
	uint64_t id = strtoull(name, NULL, 16);

	for (size_t i = 0; i < sim->orphan_count; i++)
		check(sim, sim->orphans[i] != id, "orphan: %s", name);
	return 0;
}

static void check_orphans(struct sim *sim)
{
	struct vfs *vfs = crash_vfs_base(sim->crash);
	char why[256];

	check(sim, leftovers_none(sim->store, vfs, "/data", why, sizeof(why)), "%s", why);
	check(sim, vfs_list(vfs, "/data/value", check_name, sim) == 0, "list /data/value");
	sim->orphan_count = 0;
}

/* After an opening that worked. */
static void check_recovered(struct sim *sim)
{
	struct model_cell found[MODEL_KEYS];

	for (unsigned i = 0; i < MODEL_KEYS; i++)
		found[i] = get_cell(sim, i);
	check(sim, model_settle(&sim->model, found),
	      "the state is not a prefix with all that was acknowledged");
	check_listing(sim, found);
	check_orphans(sim);
}

struct call {
	struct store_write write;
	uint8_t data[MODEL_VALUE_MAX];
	char label[32];
	struct model_step step; /* if it succeeds */
	unsigned key;
	bool submitted, answered;
};

static void on_done(struct store_write *write)
{
	struct call *call = write->state;

	call->answered = true;
}

static int write_value_file(struct sim *sim, struct store_write *write, const void *data,
			    size_t len)
{
	struct value_writer *writer;
	int r = value_writer_new(store_values(sim->store), &writer);

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

static void set_type(struct call *call, struct model_cell cell)
{
	snprintf(call->label, sizeof(call->label), "v/%u;t=%u", cell.value, cell.type);
	call->write.request.has_content_type = true;
	label_set(&call->write.request.content_type, call->label, strlen(call->label));
}

/* 0, or the value file could not be written. */
static int make_put(struct sim *sim, struct call *call)
{
	struct model_cell cell = { .value = ++sim->model.last_value };
	size_t len = model_value(cell.value, call->data);

	call->step = (struct model_step){ .count = 1, .key = { call->key }, .cell = { cell } };
	set_type(call, cell);
	if (len > sim->inline_bytes) {
		sim->seen.files++;
		return write_value_file(sim, &call->write, call->data, len);
	}
	call->write.value = call->data;
	call->write.value_len = len;
	return 0;
}

/* @now is what the writes before this one will have made of the keys. */
static int make_call(struct sim *sim, struct call *call, struct model_cell *now)
{
	unsigned other = (unsigned)pick(sim, MODEL_KEYS);
	int r = 0;

	*call = (struct call){ .key = (unsigned)pick(sim, MODEL_KEYS) };
	call->write.key = key_number(call->key);
	call->write.done = on_done;
	call->write.state = call;
	call->write.request.overwrite = true;
	call->write.request.durability = pick(sim, 3) ? DURABILITY_MEMORY : DURABILITY_DISK;
	if (pick(sim, 2))
		request_id_generate(&call->write.request.request_id);
	switch (pick(sim, 10)) {
	case 0:
	case 1:
		call->write.kind = WRITE_DELETE;
		call->step = (struct model_step){ .count = now[call->key].value > 0,
						  .key = { call->key } };
		break;
	case 2:
		call->write.kind = WRITE_MOVE;
		call->write.request.has_destination = true;
		call->write.request.destination = key_number(other);
		if (now[call->key].value > 0 && other != call->key)
			call->step = (struct model_step){ .count = 2,
							  .key = { other, call->key },
							  .cell = { now[call->key] } };
		break;
	case 3:
		call->write.kind = WRITE_PATCH;
		if (now[call->key].value > 0) {
			struct model_cell cell = now[call->key];

			cell.type++;
			set_type(call, cell);
			call->step = (struct model_step){ .count = 1,
							  .key = { call->key },
							  .cell = { cell } };
		}
		break;
	default:
		call->write.kind = WRITE_PUT;
		r = make_put(sim, call);
	}
	for (unsigned i = 0; i < call->step.count && r == 0; i++)
		now[call->step.key[i]] = call->step.cell[i];
	return r;
}

/* Only one whose key no other write of the batch touches: then its value tells whether it was
 * applied. */
static void note_unknown(struct sim *sim, const struct call *calls, unsigned count)
{
	unsigned touched[MODEL_KEYS] = { 0 };

	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < calls[i].step.count; j++)
			touched[calls[i].step.key[j]]++;
	for (unsigned i = 0; i < count; i++) {
		const struct object_request *request = &calls[i].write.request;

		if (calls[i].write.kind != WRITE_PUT || touched[calls[i].key] != 1 ||
		    !request_id_is_set(&request->request_id) || !calls[i].write.maybe_applied)
			continue;
		sim->unknown.is_set = true;
		sim->unknown.key = calls[i].key;
		sim->unknown.value = calls[i].step.cell[0].value;
		sim->unknown.id = request->request_id;
	}
}

/* The steps of a batch that failed may be there after the cut, but no later write can follow them:
 * once one has succeeded they are known to be gone. */
static void note_answers(struct sim *sim, struct call *calls, unsigned count)
{
	size_t before = sim->model.step_count;
	bool failed = false;

	for (unsigned i = 0; i < count; i++) {
		struct call *call = &calls[i];
		enum outcome outcome = call->write.outcome;

		check(sim, call->answered, "no answer");
		sim->seen.writes++;
		if (call->step.count == 0 &&
		    (outcome == OUTCOME_NOT_FOUND || outcome == OUTCOME_FORBIDDEN))
			continue;
		if (call->step.count > 0)
			model_add(&sim->model, &call->step);
		if (outcome != OUTCOME_CREATED && outcome != OUTCOME_NO_CONTENT) {
			failed = true;
			continue;
		}
		check(sim, !failed, "a write succeeded behind one that failed in its group");
		check(sim, call->step.count > 0, "success out of nothing: kind %d outcome %d",
		      call->write.kind, outcome);
		if (call->write.request.durability == DURABILITY_DISK)
			sim->model.durable = sim->model.step_count;
		if (call->write.kind != WRITE_DELETE)
			check(sim,
			      model_see_version(&sim->model, call->write.meta.version,
						call->step.cell[0]),
			      "an answer's version was seen before");
	}
	if (!failed)
		return;
	sim->seen.failures++;
	note_unknown(sim, calls, count);
	/* Without a cut the failed writes are known to be undone by whatever succeeds next. */
	if (!crash_vfs_is_cut(sim->crash))
		model_cut(&sim->model, before);
}

static void run_batch(struct sim *sim)
{
	static struct call calls[BATCH_MAX];
	struct model_cell now[MODEL_KEYS];
	unsigned want = 1 + (unsigned)pick(sim, BATCH_MAX), count = 0;

	memcpy(now, sim->model.now, sizeof(now));
	while (count < want && make_call(sim, &calls[count], now) == 0)
		count++;
	if (count == 0)
		return;
	for (unsigned i = 0; i + 1 < count; i++)
		calls[i].write.next = &calls[i + 1].write;
	calls[count - 1].write.next = NULL;
	store_submit_batch(sim->store, &calls[0].write);
	note_answers(sim, calls, count);
}

static struct version version_of(struct sim *sim, unsigned number)
{
	struct key key = key_number(number);
	struct store_record record;
	struct version version;

	if (store_get(sim->store, &key, 0, &record) != 0)
		return (struct version){ 0 };
	version = record.meta.version;
	store_record_release(&record);
	return version;
}

/* A client that never heard an answer asks again: once applied it is not applied twice. */
static void repeat_unknown(struct sim *sim)
{
	static struct call call;
	struct model_cell cell = { .value = sim->unknown.value };
	unsigned key = sim->unknown.key;
	struct version before, after;
	bool applied;
	size_t len;

	if (!sim->unknown.is_set)
		return;
	sim->unknown.is_set = false;
	sim->seen.repeats++;
	applied = get_cell(sim, key).value == cell.value;
	before = version_of(sim, key);
	call = (struct call){ .key = key };
	call.write.key = key_number(key);
	call.write.done = on_done;
	call.write.state = &call;
	call.write.kind = WRITE_PUT;
	call.write.request.request_id = sim->unknown.id;
	set_type(&call, cell);
	call.step = (struct model_step){ .count = 1, .key = { key }, .cell = { cell } };
	len = model_value(cell.value, call.data);
	call.write.value = call.data;
	call.write.value_len = len;
	if (len > sim->inline_bytes)
		check(sim, write_value_file(sim, &call.write, call.data, len) == 0, "value file");
	store_submit(sim->store, &call.write);
	check(sim, call.answered && outcome_is_success(call.write.outcome), "repeat: outcome %d",
	      call.write.outcome);
	after = version_of(sim, key);
	check(sim, version_compare(after, call.write.meta.version) == 0, "another version");
	check(sim, applied == (version_compare(before, after) == 0), "applied %s",
	      applied ? "twice" : "never");
	check(sim, get_cell(sim, key).value == cell.value, "a repeat changed the value");
	if (applied)
		return;
	model_add(&sim->model, &call.step);
	sim->model.durable = sim->model.step_count;
}

/* A client that uploads and goes away. */
static void leave_orphan(struct sim *sim)
{
	struct store_write write = { 0 };
	uint8_t data[MODEL_VALUE_MAX];

	if (sim->orphan_count == ORPHANS_MAX)
		return;
	if (write_value_file(sim, &write, data, model_value(3, data)) < 0)
		return;
	sim->orphans[sim->orphan_count++] = value_file_id(write.file);
	value_file_unref(write.file);
}

/* 0, or a cut came between. */
static int lead(struct sim *sim)
{
	struct store_standing standing;
	int r;

	check(sim, store_standing(sim->store, &standing) == 0, "standing");
	check(sim, standing.promise >= sim->epoch, "the promise of an epoch was forgotten");
	r = store_lead_next(sim->store, NODE_ID);
	if (r < 0) {
		check(sim, crash_vfs_is_cut(sim->crash), "lead: %d", r);
		return r;
	}
	check(sim, store_standing(sim->store, &standing) == 0, "standing");
	check(sim, standing.role == STORE_LEADING && standing.epoch > sim->epoch,
	      "an epoch came back");
	check(sim, standing.promise == standing.epoch, "it leads without a promise");
	check(sim, version_compare(standing.end, standing.synced) == 0,
	      "it leads, and not all of its log is on stable storage");
	sim->epoch = standing.epoch;
	return 0;
}

/* Steps down, refuses what is asked then, and leads again. */
static void change_roles(struct sim *sim)
{
	struct call call = { .write = { .kind = WRITE_DELETE,
					.key = key_number(0),
					.done = on_done,
					.state = &call } };

	sim->seen.changes++;
	check(sim, store_follow(sim->store) == 0, "follow");
	store_submit(sim->store, &call.write);
	check(sim,
	      call.answered && call.write.outcome == OUTCOME_MISDIRECTED &&
		      !call.write.maybe_applied,
	      "a follower took a write");
	if (lead(sim) == 0)
		sim->model.durable = sim->model.step_count;
}

static void run_until_cut(struct sim *sim)
{
	crash_vfs_cut_after(sim->crash, 1 + pick(sim, pick(sim, 4) ? 150 : 900));
	while (!crash_vfs_is_cut(sim->crash) && sim->model.step_count < 4000) {
		run_batch(sim);
		if (pick(sim, 40) == 0)
			leave_orphan(sim);
		if (pick(sim, 30) == 0)
			simulated_ns += 700000000;
		if (pick(sim, 20) == 0)
			simulated_ns += LET_GO_NS;
		if (pick(sim, 30) == 0)
			change_roles(sim);
		if (!crash_vfs_is_cut(sim->crash) && pick(sim, 20) == 0) {
			unsigned number = (unsigned)pick(sim, MODEL_KEYS);
			struct model_cell cell = get_cell(sim, number);

			check(sim, cell.value == sim->model.now[number].value, "read %u, wrote %u",
			      cell.value, sim->model.now[number].value);
		}
		if (pick(sim, 60) == 0)
			return; /* a clean close instead */
	}
}

/* Opens, perhaps through more cuts on the way. */
static void open_store(struct sim *sim)
{
	for (;;) {
		struct store_options options = options_for(sim);
		char *why = NULL;
		int r;

		if (pick(sim, 4) == 0)
			crash_vfs_cut_after(sim->crash, 1 + pick(sim, 40));
		r = store_open(&options, &sim->store, &why);
		sim->seen.opens++;
		if (r == 0) {
			free(why);
			r = lead(sim);
			crash_vfs_cut_after(sim->crash, 0);
			if (r == 0 && !crash_vfs_is_cut(sim->crash))
				return;
			store_close(sim->store);
			why = NULL;
		} else {
			check(sim, crash_vfs_is_cut(sim->crash), "open: %d: %s", r, why);
			free(why);
		}
		sim->seen.cuts++;
		crash_vfs_restart(sim->crash);
	}
}

static void close_store(struct sim *sim)
{
	sim->store = store_close(sim->store);
	if (crash_vfs_is_cut(sim->crash)) {
		sim->seen.cuts++;
		crash_vfs_restart(sim->crash);
		return;
	}
	/* A clean close keeps everything. */
	sim->model.durable = sim->model.step_count;
	if (pick(sim, 2)) {
		crash_vfs_cut(sim->crash);
		crash_vfs_restart(sim->crash);
	}
}

/* Small memtables make many runs and compactions, a low bound many value files, little retention
 * many log files that are trimmed. */
static void choose_sizes(struct sim *sim)
{
	static const uint64_t inline_bytes[] = { 256, 16, 1024, MODEL_VALUE_MAX };

	sim->memtable_bytes = 1024u << sim->seed % 5;
	sim->inline_bytes = inline_bytes[sim->seed / 5 % 4];
	sim->log_retain_bytes = 16384u << sim->seed % 4;
}

static void let_time_pass(struct sim *sim, int64_t ns)
{
	struct call call = { .write = { .kind = WRITE_BARRIER,
					.key = key_number(0),
					.done = on_done,
					.state = &call } };

	simulated_ns += ns;
	store_submit(sim->store, &call.write);
	check(sim, call.answered, "no answer");
}

/* In time only those value files are left that records need, whatever was forgotten in a cut. */
static void check_reclaimed(struct sim *sim)
{
	uint8_t data[MODEL_VALUE_MAX];
	struct store_stats stats;
	uint64_t live = 0;

	for (int i = 0; i < 50; i++)
		let_time_pass(sim, LET_GO_NS);
	let_time_pass(sim, 602 * INT64_C(1000000000));
	let_time_pass(sim, LET_GO_NS);
	for (unsigned i = 0; i < MODEL_KEYS; i++) {
		struct model_cell cell = get_cell(sim, i);
		size_t len = cell.value > 0 ? model_value(cell.value, data) : 0;

		if (len > sim->inline_bytes)
			live += VALUE_FILE_EXTRA + len;
	}
	store_stats(sim->store, &stats);
	check(sim, stats.value_bytes == live,
	      "value files have %" PRIu64 " bytes, records need %" PRIu64, stats.value_bytes, live);
}

static void run_seed(uint64_t seed, uint64_t *cuts, uint64_t *repeats)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert_non_null(sim);
	sim->seed = sim->random = seed;
	choose_sizes(sim);
	sim->crash = crash_vfs_new(seed);
	crash_vfs_set_again_percent(sim->crash, 20);
	while (sim->seen.cuts < CUTS_PER_SEED) {
		open_store(sim);
		check_recovered(sim);
		repeat_unknown(sim);
		run_until_cut(sim);
		close_store(sim);
	}
	open_store(sim);
	check_recovered(sim);
	check_reclaimed(sim);
	store_close(sim->store);
	*cuts += sim->seen.cuts;
	*repeats += sim->seen.repeats;
	model_deinit(&sim->model);
	crash_vfs_free(sim->crash);
	free(sim);
}

static void every_power_cut_leaves_a_prefix_with_all_acknowledged_writes(void **state)
{
	uint64_t cuts = 0, repeats = 0;

	(void)state;
	for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
		run_seed(seed, &cuts, &repeats);
	print_message("%" PRIu64 " power cuts, %" PRIu64 " requests repeated\n", cuts, repeats);
	assert_true(cuts >= seeds * CUTS_PER_SEED);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_power_cut_leaves_a_prefix_with_all_acknowledged_writes),
	};

	seeds = getenv("HEXKV_LONG") ? SEEDS_LONG : SEEDS;
	if (argc > 1)
		seeds = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	/* Every cut makes the store complain, and rightly so. */
	if (argc <= 3 && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
