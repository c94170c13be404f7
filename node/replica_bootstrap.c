/* SPDX-License-Identifier: MIT */
/*
 * A whole copy, for a follower that the log does not reach back to, or whose history has nothing in
 * common with its leader's:
 *
 *	1. what this store has and the shard has not is saved in a diverged log;
 *	2. the leader makes a checkpoint and lists its files;
 *	3. they are fetched piece by piece into bootstrap/, and each is compared by its hash;
 *	4. the copy is completed and verified (node/install), and the store is opened anew on it.
 *
 * Until 4 the old store serves, however stale. A transfer that breaks off goes on where it was,
 * also after a restart: the file BOOTSTRAP says which checkpoint of which store bootstrap/ is from,
 * and whole files that are there already only have to have the right hash. If that checkpoint is
 * gone the next one is fetched from the beginning.
 */
#include "node/replica_private.h"

#include "lib/cleanup.h"
#include "lib/container_of.h"
#include "lib/log.h"
#include "node/atomic_file.h"
#include "node/install.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_NAME  "BOOTSTRAP"
#define NOTE_BYTES 24
#define FILES_MAX  (16 * 1024 * 1024)
#define KEEP_MS    15000 /* a quarter of what nobody asks for is kept */

enum copy_phase {
	COPY_SAVE, /* node/replica_aside */
	COPY_LIST,
	COPY_FETCH,
	COPY_SUM,
	COPY_VERIFY,
	COPY_INSTALLED,
};

struct copy_file {
	char *name;
	uint64_t size;
};

struct replica_bootstrap {
	enum copy_phase phase;
	uint64_t at_ms; /* next step */
	uint8_t store_id[16]; /* whose checkpoint it is */
	uint64_t id; /* 0: a new one is asked for */
	struct version wanted; /* what this store has in common with it; the copy has it, too */
	struct copy_file *files;
	size_t count, total;
	uint64_t bytes, bytes_total;

	size_t index; /* the file that is fetched */
	uint64_t offset;
	bool asked_many; /* it, and those behind it: all that one answer holds */
	uint64_t keep_at_ms; /* COPY_VERIFY: when to say again that it is wanted */
	bool asked_keep; /* the question under way says only that */
	struct vfs_file *file;
	struct hash_stream *hash; /* of what is there of it */
};

struct replica_verifying {
	struct replica_work work;
	struct replica_bootstrap *copy; /* NULL: it was given up */
	struct vfs *vfs;
	char *dir;
	char *why;
	int result;
};

/* What there is of it counts. */
static void close_file(struct replica_bootstrap *copy)
{
	vfs_close(copy->file);
	copy->file = NULL;
	if (copy->hash)
		copy->hash = hash_stream_free(copy->hash);
	copy->offset = 0;
}

/* What there is of it is fetched, or at least read, again. */
static void give_up_file(struct replica_bootstrap *copy)
{
	copy->bytes -= copy->offset;
	close_file(copy);
}

static void forget_files(struct replica_bootstrap *copy)
{
	close_file(copy);
	for (size_t i = 0; i < copy->count; i++)
		free(copy->files[i].name);
	free(copy->files);
	copy->files = NULL;
	copy->count = copy->total = copy->index = 0;
	copy->bytes = 0;
}

void replica_bootstrap_drop(struct replica *replica)
{
	struct replica_bootstrap *copy = take_ptr(replica->bootstrap);

	replica->aside = replica_aside_free(replica->aside);
	if (!copy)
		return;
	if (replica->verifying && replica->verifying->copy == copy)
		replica->verifying->copy = NULL;
	forget_files(copy);
	free(copy);
}

/* The note */

static int write_note(struct replica *replica, const struct replica_bootstrap *copy)
{
	uint8_t note[NOTE_BYTES];

	memcpy(note, copy->store_id, 16);
	put_u64(note + 16, copy->id);
	return atomic_file_write(replica->options.vfs, replica->dir, NOTE_NAME, note, sizeof(note));
}

static void read_note(struct replica *replica, struct replica_bootstrap *copy)
{
	_cleanup_(buf_deinit) struct buf note = { 0 };

	if (atomic_file_read(replica->options.vfs, replica->dir, NOTE_NAME, NOTE_BYTES, &note) <
		    0 ||
	    note.len != NOTE_BYTES)
		return;
	memcpy(copy->store_id, note.data, 16);
	copy->id = get_u64(note.data + 16);
}

static int remove_note(struct replica *replica)
{
	char path[4096];
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", replica->dir, NOTE_NAME) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = vfs_unlink(replica->options.vfs, path);
	return r == -ENOENT ? 0 : r;
}

/* What was fetched is of no use: the next list is of a new checkpoint. */
static int begin_anew(struct replica *replica, struct replica_bootstrap *copy)
{
	int r;

	forget_files(copy);
	copy->id = 0;
	copy->phase = COPY_LIST;
	r = remove_note(replica);
	if (r == 0)
		r = install_discard(replica->options.vfs, replica->dir);
	return r;
}

/* Steps */

/* As replica_job_fail(), but what is there stays. */
static void wait_and_retry(struct replica *replica, const char *what, int error)
{
	struct replica_bootstrap *copy = replica->bootstrap;

	copy->at_ms = replica_job_back_off(replica, what, error);
}

static void go_on(struct replica *replica)
{
	replica_job_succeed(replica);
	replica->transport->wake(replica->options.state);
}

static void send(struct replica *replica, struct replica_message *message)
{
	struct replica_job *job = &replica->job;

	message->id = replica->bootstrap->id;
	job->call = replica_send(replica, (unsigned)replica->source, message, ASK_TIMEOUT_MS);
	if (job->call == 0)
		wait_and_retry(replica, "can't ask for a copy", -ENOMEM);
}

static void ask_list(struct replica *replica)
{
	struct replica_message message = replica_request(replica, REPLICA_CHECKPOINT);

	message.index = replica->bootstrap->count;
	message.end = replica->bootstrap->wanted;
	send(replica, &message);
}

static int take_list(struct replica *replica, const struct replica_message *message)
{
	struct replica_bootstrap *copy = replica->bootstrap;
	struct replica_items items = message->items;
	char name[REPLICA_NAME_MAX + 1];
	struct copy_file *files;
	uint64_t size;

	if (message->end.sequence < copy->wanted.sequence)
		return -ESTALE;
	if (message->total > FILES_MAX || message->total < copy->count + items.count ||
	    message->id == 0 || items.count == 0)
		return -EBADMSG;
	files = realloc(copy->files, message->total * sizeof(*files));
	if (!files)
		return -ENOMEM;
	copy->files = files;
	while (replica_next_file(&items, name, &size)) {
		if (!install_name_is_valid(name))
			return -EBADMSG;
		files[copy->count] = (struct copy_file){ strdup(name), size };
		if (!files[copy->count].name)
			return -ENOMEM;
		copy->count++;
	}
	copy->total = message->total;
	copy->bytes_total = message->size_bytes;
	return 0;
}

static void listed(struct replica *replica, const struct replica_message *message)
{
	struct replica_bootstrap *copy = replica->bootstrap;
	bool is_new = copy->id == 0;
	int r = take_list(replica, message);

	if (r == 0)
		r = install_prepare(replica->options.vfs, replica->dir);
	if (r == 0 && is_new) {
		copy->id = message->id;
		memcpy(copy->store_id, message->head.store_id, 16);
		r = write_note(replica, copy);
	}
	if (r < 0) {
		begin_anew(replica, copy);
		wait_and_retry(replica, "a copy can't be begun", r);
		return;
	}
	if (copy->count == copy->total) {
		log_info("fetches a copy", "files=%zu bytes=%" PRIu64 " sequence=%" PRIu64,
			 copy->total, copy->bytes_total, message->end.sequence);
		copy->phase = COPY_FETCH;
	}
	go_on(replica);
}

static int hash_there(struct replica_bootstrap *copy, uint64_t size)
{
	_cleanup_(freep) uint8_t *bytes = malloc(REPLICA_FILE_BYTES_MAX);

	if (!bytes)
		return -ENOMEM;
	while (copy->offset < size) {
		ssize_t n = vfs_pread(copy->file, bytes, REPLICA_FILE_BYTES_MAX, copy->offset, 0);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		hash_stream_update(copy->hash, bytes, (size_t)n);
		copy->offset += (uint64_t)n;
	}
	return 0;
}

static int create_file(struct vfs *vfs, const char *path, struct vfs_file **ret_file)
{
	int r = vfs_unlink(vfs, path);

	if (r < 0 && r != -ENOENT)
		return r;
	return vfs_open(vfs, path, VFS_READ | VFS_WRITE | VFS_CREATE, ret_file);
}

/* A file that is there with its whole length is not fetched again, only compared. One that is not,
 * and that one answer holds, is not opened yet. */
static int open_file(struct replica *replica, struct replica_bootstrap *copy)
{
	const struct copy_file *file = &copy->files[copy->index];
	_cleanup_(freep) char *path = install_path(replica->dir, file->name);
	struct vfs *vfs = replica->options.vfs;
	uint64_t size = 0;
	int r;

	if (!path)
		return -ENOMEM;
	r = vfs_open(vfs, path, VFS_READ | VFS_WRITE, &copy->file);
	if (r == 0)
		r = vfs_size(copy->file, &size);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && size == file->size && size > 0) {
		copy->hash = hash_stream_new();
		r = copy->hash ? hash_there(copy, size) : -ENOMEM;
		copy->bytes += copy->offset;
		return r;
	}
	vfs_close(copy->file);
	copy->file = NULL;
	if (file->size > 0 && file->size <= REPLICA_FILE_BYTES_MAX)
		return 0;
	copy->hash = hash_stream_new();
	return copy->hash ? create_file(vfs, path, &copy->file) : -ENOMEM;
}

static void ask_piece(struct replica *replica, struct replica_bootstrap *copy)
{
	const struct copy_file *file = &copy->files[copy->index];
	struct replica_message message = replica_request(replica, REPLICA_FILE);
	uint64_t left = file->size - copy->offset;

	message.index = copy->index;
	message.offset = copy->offset;
	copy->asked_many = !copy->file;
	message.len = left < REPLICA_FILE_BYTES_MAX && !copy->asked_many ? (uint32_t)left
									 : REPLICA_FILE_BYTES_MAX;
	send(replica, &message);
}

static void fetch(struct replica *replica, struct replica_bootstrap *copy)
{
	int r = 0;

	if (!copy->file)
		r = open_file(replica, copy);
	if (r < 0) {
		forget_files(copy);
		copy->phase = COPY_LIST;
		wait_and_retry(replica, "a copy can't be written", r);
		return;
	}
	if (!copy->file || copy->offset < copy->files[copy->index].size) {
		ask_piece(replica, copy);
		return;
	}
	r = vfs_sync(copy->file);
	if (r < 0) {
		give_up_file(copy);
		wait_and_retry(replica, "a copy can't be written", r);
		return;
	}
	copy->phase = COPY_SUM;
	go_on(replica);
}

/* As the rate allows. */
static void count_fetched(struct replica *replica, struct replica_bootstrap *copy, size_t len)
{
	uint64_t rate = replica->options.bootstrap_bytes_per_s;

	copy->bytes += len;
	replica->counters.bytes_received += len;
	if (rate > 0)
		copy->at_ms = replica_now(replica) + len * 1000 / rate;
	go_on(replica);
}

static void changed(struct replica *replica)
{
	begin_anew(replica, replica->bootstrap);
	wait_and_retry(replica, "a copy has changed", -EBADMSG);
}

/* What came in one message, with a sum, need not be compared once more. Its writing is, like that
 * of all files, before the copy is verified: one by one that takes longer than all the rest. */
static int write_whole(struct replica *replica, const struct copy_file *file, const uint8_t *bytes)
{
	struct iovec part = { (void *)(uintptr_t)bytes, file->size };
	_cleanup_(freep) char *path = install_path(replica->dir, file->name);
	_cleanup_(vfs_closep) struct vfs_file *created = NULL;
	int r = path ? create_file(replica->options.vfs, path, &created) : -ENOMEM;

	return r == 0 && file->size > 0 ? vfs_pwritev(created, &part, 1, 0) : r;
}

/* The file that was asked for, and as many that follow as there are bytes for. */
static void fetched_many(struct replica *replica, const struct replica_message *message)
{
	struct replica_bootstrap *copy = replica->bootstrap;
	size_t at = 0, index = copy->index;
	int r = 0;

	while (index < copy->count && copy->files[index].size <= message->bytes_len - at &&
	       r == 0) {
		r = write_whole(replica, &copy->files[index], message->bytes + at);
		at += copy->files[index++].size;
	}
	if (r < 0) {
		wait_and_retry(replica, "a copy can't be written", r);
	} else if (index == copy->index || at < message->bytes_len) {
		changed(replica);
	} else {
		copy->index = index;
		count_fetched(replica, copy, at);
	}
}

static void fetched(struct replica *replica, const struct replica_message *message)
{
	struct replica_bootstrap *copy = replica->bootstrap;
	uint64_t left = copy->files[copy->index].size - copy->offset;
	struct iovec part = { (void *)(uintptr_t)message->bytes, message->bytes_len };
	uint64_t wanted = left < REPLICA_FILE_BYTES_MAX ? left : REPLICA_FILE_BYTES_MAX;
	int r;

	if (copy->asked_many) {
		fetched_many(replica, message);
		return;
	}
	if (message->bytes_len != wanted) {
		changed(replica);
		return;
	}
	r = vfs_pwritev(copy->file, &part, 1, copy->offset);
	if (r < 0) {
		give_up_file(copy);
		wait_and_retry(replica, "a copy can't be written", r);
		return;
	}
	hash_stream_update(copy->hash, message->bytes, message->bytes_len);
	copy->offset += message->bytes_len;
	count_fetched(replica, copy, message->bytes_len);
}

static void ask_sum(struct replica *replica)
{
	struct replica_message message = replica_request(replica, REPLICA_SUM);

	message.index = replica->bootstrap->index;
	send(replica, &message);
}

static void summed(struct replica *replica, const struct replica_message *message)
{
	struct replica_bootstrap *copy = replica->bootstrap;

	if (!hash128_equal(hash_stream_digest(copy->hash), message->sum)) {
		_cleanup_(freep) char *path =
			install_path(replica->dir, copy->files[copy->index].name);

		give_up_file(copy);
		if (path)
			vfs_unlink(replica->options.vfs, path);
		copy->phase = COPY_FETCH;
		wait_and_retry(replica, "a file of a copy is not what it should be", -EBADMSG);
		return;
	}
	close_file(copy);
	copy->index++;
	copy->phase = COPY_FETCH;
	go_on(replica);
}

/* 4. */

static struct replica_verifying *verifying_of(struct replica_work *work)
{
	return container_of(work, struct replica_verifying, work);
}

static void free_verifying(struct replica_verifying *verifying)
{
	free(verifying->dir);
	free(verifying->why);
	free(verifying);
}

static void run_verifying(struct replica_work *work)
{
	struct replica_verifying *verifying = verifying_of(work);

	verifying->result = install_verify(verifying->vfs, verifying->dir, &verifying->why);
}

static void install(struct replica *replica, struct replica_bootstrap *copy, int r)
{
	bool is_foreign = lineage_is_set(&replica->foreign);

	if (r == 0)
		r = install_mark(replica->options.vfs, replica->dir,
				 is_foreign ? replica->foreign_promise : 0);
	if (r < 0) {
		/* Some of its files have been replaced: what is not as it was is fetched again. */
		copy->index = 0;
		copy->bytes = 0;
		wait_and_retry(replica, "a copy can't be installed", r);
		return;
	}
	/* A note of what is no more costs one question. */
	(void)remove_note(replica);
	copy->phase = COPY_INSTALLED;
	replica->is_replaced = true;
	replica->counters.bootstraps++;
	log_info("a copy is ready", "files=%zu", copy->total);
	replica->transport->restart(replica->options.state);
}

/* What this node has taken in meanwhile, for a leader that it follows now, is not in a copy that
 * was given up: such a one is not installed. */
static void verified(struct replica_work *work)
{
	struct replica_verifying *verifying = verifying_of(work);
	struct replica *replica = work->replica;
	struct replica_bootstrap *copy = verifying->copy;

	replica->verifying = NULL;
	if (copy && !replica->closing) {
		copy->phase = COPY_FETCH;
		if (verifying->result == -EBADMSG) {
			log_error("a copy is damaged", "why=\"%s\"",
				  verifying->why ? verifying->why : "");
			begin_anew(replica, copy);
		}
		install(replica, copy, verifying->result);
	}
	free_verifying(verifying);
	replica->transport->wake(replica->options.state);
}

static void verify(struct replica *replica, struct replica_bootstrap *copy)
{
	struct replica_verifying *verifying = calloc(1, sizeof(*verifying));

	if (verifying)
		verifying->dir = strdup(replica->dir);
	if (!verifying || !verifying->dir) {
		free(verifying);
		wait_and_retry(replica, "a copy can't be installed", -ENOMEM);
		return;
	}
	verifying->work = (struct replica_work){ .run = run_verifying, .done = verified };
	verifying->copy = copy;
	verifying->vfs = replica->options.vfs;
	replica->verifying = verifying;
	copy->phase = COPY_VERIFY;
	copy->keep_at_ms = replica_now(replica) + KEEP_MS;
	replica_work(replica, &verifying->work);
}

/* Else it would be gone by the end of a long verification, and with it the log behind it. */
static void ask_keep(struct replica *replica, struct replica_bootstrap *copy)
{
	struct replica_message message = replica_request(replica, REPLICA_CHECKPOINT);

	message.index = copy->total;
	message.id = copy->id;
	copy->keep_at_ms = replica_now(replica) + KEEP_MS;
	replica->job.call =
		replica_send(replica, (unsigned)replica->source, &message, ASK_TIMEOUT_MS);
	copy->asked_keep = replica->job.call > 0;
}

/* The job's view */

static bool is_expected(const struct replica *replica, const struct replica_message *message)
{
	const struct replica_head *head = &message->head;

	if (lineage_is_set(&replica->foreign))
		return lineage_equal(&head->lineage, &replica->foreign);
	return lineage_equal(&head->lineage, &replica->lineage) &&
	       (replica->recovering || head->promise == replica->promise);
}

static void refused(struct replica *replica, const struct replica_message *message)
{
	struct replica_bootstrap *copy = replica->bootstrap;
	int r;

	if (message->status == REPLICA_BUSY && message->kind == REPLICA_SUM) {
		go_on(replica);
	} else if (message->status == REPLICA_BUSY) {
		wait_and_retry(replica, "no copy can be had now", -EAGAIN);
	} else if (message->status == REPLICA_GONE) {
		r = begin_anew(replica, copy);
		if (r < 0)
			wait_and_retry(replica, "a copy can't be begun", r);
		else
			go_on(replica);
	} else {
		replica_job_fail(replica, "no copy is given", -EPROTO);
	}
}

void replica_bootstrap_answered(struct replica *replica, int error,
				const struct replica_message *message)
{
	static const enum replica_kind kinds[] = {
		[COPY_LIST] = REPLICA_CHECKPOINT,
		[COPY_FETCH] = REPLICA_FILE,
		[COPY_SUM] = REPLICA_SUM,
	};
	struct replica_bootstrap *copy = replica->bootstrap;

	if (copy->asked_keep) {
		copy->asked_keep = false;
	} else if (error < 0) {
		wait_and_retry(replica, "the node that is copied does not answer", error);
	} else if (message->kind != kinds[copy->phase] || !is_expected(replica, message)) {
		replica_job_fail(replica, "no copy is given", -EPROTO);
	} else if (message->status != REPLICA_OK) {
		refused(replica, message);
	} else if (copy->id > 0 && memcmp(message->head.store_id, copy->store_id, 16) != 0) {
		refused(replica, &(struct replica_message){ .status = REPLICA_GONE });
	} else if (copy->phase == COPY_LIST) {
		listed(replica, message);
	} else if (copy->phase == COPY_FETCH) {
		fetched(replica, message);
	} else {
		summed(replica, message);
	}
}

/* For an answer, for a verification, or for the end. */
static bool is_waiting(const struct replica *replica, const struct replica_bootstrap *copy)
{
	return replica->job.call > 0 || replica->verifying || copy->phase == COPY_INSTALLED;
}

static bool is_kept(const struct replica *replica, const struct replica_bootstrap *copy)
{
	return copy->phase == COPY_VERIFY && replica->job.call == 0;
}

void replica_bootstrap_tick(struct replica *replica)
{
	struct replica_bootstrap *copy = replica->bootstrap;
	int r;

	if (is_kept(replica, copy) && replica_now(replica) >= copy->keep_at_ms)
		ask_keep(replica, copy);
	/* Whatever is verified must be as it is, even if nobody wants it any more. */
	if (is_waiting(replica, copy) || replica_now(replica) < copy->at_ms)
		return;
	switch (copy->phase) {
	case COPY_SAVE:
		r = replica_aside_step(replica);
		if (r < 0)
			wait_and_retry(replica, "data can't be set aside", r);
		else if (r == 0)
			copy->phase = COPY_LIST;
		if (r >= 0)
			go_on(replica);
		break;
	case COPY_LIST:
		ask_list(replica);
		break;
	case COPY_FETCH:
		if (copy->index == copy->count)
			verify(replica, copy);
		else
			fetch(replica, copy);
		break;
	case COPY_SUM:
		ask_sum(replica);
		break;
	case COPY_VERIFY:
	case COPY_INSTALLED:
		break;
	}
}

uint64_t replica_bootstrap_next(const struct replica *replica)
{
	const struct replica_bootstrap *copy = replica->bootstrap;

	if (is_kept(replica, copy))
		return copy->keep_at_ms;
	if (is_waiting(replica, copy))
		return 0;
	return copy->at_ms > 0 ? copy->at_ms : replica_now(replica);
}

void replica_bootstrap_progress(const struct replica *replica, uint64_t *ret_bytes,
				uint64_t *ret_total)
{
	const struct replica_bootstrap *copy = replica->bootstrap;

	*ret_bytes = copy ? copy->bytes : 0;
	*ret_total = copy ? copy->bytes_total : 0;
}

static bool begin(struct replica *replica, struct version wanted, const char *why)
{
	struct replica_bootstrap *copy = calloc(1, sizeof(*copy));

	if (!copy) {
		replica_job_fail(replica, "can't begin a copy", -ENOMEM);
		return false;
	}
	replica_bootstrap_drop(replica);
	replica_repair_drop(replica);
	replica_job_rest(replica, 0);
	replica->bootstrap = copy;
	copy->phase = COPY_LIST;
	copy->wanted = wanted;
	read_note(replica, copy);
	replica->job.step = STEP_COPY;
	log_warn("needs a copy of everything", "why=\"%s\"", why);
	replica_set_role(replica, REPLICA_BOOTSTRAPPING);
	replica->transport->wake(replica->options.state);
	return true;
}

void replica_bootstrap_begin(struct replica *replica, const char *why)
{
	begin(replica, replica_standing(replica).synced, why);
}

void replica_bootstrap_diverged(struct replica *replica, struct replica_items epochs,
				struct version common)
{
	/* The list is copied before the answer that it stands in goes. */
	struct replica_aside *aside = replica_aside_new(epochs);

	if (!aside) {
		replica_job_fail(replica, "data can't be set aside", -ENOMEM);
	} else if (!begin(replica, common, "its history has diverged")) {
		replica_aside_free(aside);
	} else {
		replica->aside = aside;
		replica->bootstrap->phase = COPY_SAVE;
	}
}
