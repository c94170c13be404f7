/* SPDX-License-Identifier: MIT */
#include "tests/sim/shard_sabotage.h"

#include "node/dir_tree.h"
#include "node/replica_message.h"
#include "node/store_batch.h"
#include "tests/sim/shard_clients.h"
#include "tests/sim/shard_oracle.h"
#include "tests/sim/shard_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- on the way ---- */

static void reencode(const struct replica_message *message, struct buf *bytes)
{
	struct buf out = { 0 };

	if (replica_message_encode(message, &out) < 0)
		abort();
	buf_deinit(bytes);
	*bytes = out;
}

/* Pulls say that the follower has all that its leader had. */
void shard_sabotage_question(struct shard_node *node, struct buf *bytes)
{
	struct replica_message message;
	struct replica_view view;

	if (node->shard->sabotage != SABOTAGE_EARLY_ACKS ||
	    replica_message_decode(bytes->data, bytes->len, &message) < 0 ||
	    message.kind != REPLICA_PULL)
		return;
	for (unsigned i = 0; i < node->shard->node_count; i++) {
		const struct shard_node *peer = &node->shard->nodes[i];

		if (!shard_node_is_up(peer))
			continue;
		replica_view(peer->replica, &view);
		if (view.role == REPLICA_LEADER && view.epoch == message.head.promise)
			message.end = view.end;
	}
	reencode(&message, bytes);
}

/* A record with another patch number in each of its entries, its sum right. */
static void append_changed(const struct shipped_record *record, struct buf *out)
{
	struct bytes_reader reader = bytes_reader(record->payload, record->payload_len);
	struct shipped_record changed = *record;
	struct buf payload = { 0 };

	while (bytes_left(&reader) > 0) {
		struct label label;
		struct entry entry;

		if (entry_decode(&reader, &entry) < 0)
			abort();
		if (entry.kind != ENTRY_TOMBSTONE) {
			shard_label_patch(&label, 1);
			entry.encoding = label.text;
			entry.encoding_len = label.len;
		}
		if (entry_encode(&entry, &payload) < 0)
			abort();
	}
	changed.payload = payload.data;
	changed.payload_len = payload.len;
	if (replica_append_record(out, &changed) < 0)
		abort();
	buf_deinit(&payload);
}

void shard_sabotage_answer(struct shard *shard, unsigned to, struct buf *bytes)
{
	struct replica_message message;
	struct replica_items left;
	struct shipped_record record;
	struct buf items = { 0 };

	(void)to;
	if (shard->sabotage != SABOTAGE_VALUE_IN_TRANSIT ||
	    replica_message_decode(bytes->data, bytes->len, &message) < 0 ||
	    message.kind != REPLICA_PULL || message.status != REPLICA_OK ||
	    message.items.count == 0 || !shard_random_percent(&shard->random, 5))
		return;
	left = message.items;
	while (replica_next_record(&left, &record))
		append_changed(&record, &items);
	message.items.data = items.data;
	message.items.len = items.len;
	reencode(&message, bytes);
	buf_deinit(&items);
}

/* ---- in a node ---- */

static int remove_diverged(const char *name, void *state)
{
	struct vfs *vfs = state;
	char path[300];

	if (strncmp(name, "diverged-", 9) != 0)
		return 0;
	snprintf(path, sizeof(path), SHARD_DIR "/%s", name);
	vfs_unlink(vfs, path);
	return 0;
}

static void batch_done(struct store_batch *batch)
{
	(void)batch;
}

/* As if a repair had brought it. */
static void plant(struct shard_node *node, struct entry *entry)
{
	struct store_batch batch = {
		.kind = BATCH_REPAIR,
		.entries = entry,
		.count = 1,
		.done = batch_done,
	};

	store_apply_batch(node->store, &batch);
	node->shard->sabotaged |= batch.result == 0;
}

static bool is_good_follower(struct shard_node *node, struct version *ret_end)
{
	struct replica_view view;

	replica_view(node->replica, &view);
	*ret_end = view.end;
	return view.role == REPLICA_FOLLOWER && view.end.sequence > 20;
}

#define EMPTY_VALUE 250 /* the number of one without bytes */

/* A record that nobody wrote, or one that was deleted. */
static void plant_record(struct shard_node *node, bool risen)
{
	struct shard *shard = node->shard;
	unsigned number = (unsigned)shard_random_below(&shard->random, shard->profile.keys);
	struct key key = shard_key(number);
	struct truth_cell cell = { .value = EMPTY_VALUE };
	struct label value, patch;
	struct entry entry = { .kind = ENTRY_INLINE, .key = key.bytes, .key_len = key.len };
	size_t len;

	if (shard->sabotaged || !is_good_follower(node, &cell.version))
		return;
	if (risen && !shard_oracle_deleted(node, number, &cell))
		return;
	shard_label_value(&value, cell.value);
	shard_label_patch(&patch, cell.patch);
	entry.version = cell.version;
	entry.content_type = value.text;
	entry.content_type_len = value.len;
	entry.encoding = patch.text;
	entry.encoding_len = patch.len;
	entry.value = shard_value(cell.value, shard->profile.many_chunks, &len);
	entry.size_bytes = len;
	entry.hash = hash128(entry.value, len);
	plant(node, &entry);
}

void shard_sabotage_step(struct shard_node *node)
{
	struct vfs *vfs = crash_vfs_base(node->crash);

	switch (node->shard->sabotage) {
	case SABOTAGE_NO_DIVERGED_LOG:
		vfs_list(vfs, SHARD_DIR, remove_diverged, vfs);
		break;
	case SABOTAGE_FOREIGN_WRITE:
	case SABOTAGE_RISEN:
		plant_record(node, node->shard->sabotage == SABOTAGE_RISEN);
		break;
	default:
		break;
	}
}

void shard_sabotage_view(struct shard_node *node, struct replica_view *view)
{
	if (node->shard->sabotage == SABOTAGE_FRESH && view->role == REPLICA_FOLLOWER)
		view->fresh_ms = shard_node_now_ms(node);
}

/* ---- on its disk ---- */

static void copy_file(struct vfs *from, struct vfs *to, const char *path)
{
	struct vfs_file *in = NULL, *out = NULL;
	uint64_t size = 0;
	uint8_t *data;

	if (vfs_open(from, path, VFS_READ, &in) < 0 || vfs_size(in, &size) < 0)
		abort();
	data = malloc(size + 1);
	if (!data || vfs_pread(in, data, size, 0, 0) != (ssize_t)size)
		abort();
	if (vfs_open(to, path, VFS_READ | VFS_WRITE | VFS_CREATE, &out) < 0)
		abort();
	if (size > 0 &&
	    vfs_pwritev(out, &(struct iovec){ .iov_base = data, .iov_len = size }, 1, 0) < 0)
		abort();
	vfs_sync(out);
	vfs_close(in);
	vfs_close(out);
	free(data);
}

struct copying {
	struct vfs *from, *to;
	const char *dir;
};

static void copy_dir(struct vfs *from, struct vfs *to, const char *dir);

static int copy_one(const char *name, void *state)
{
	struct copying *copying = state;
	struct vfs_file *file;
	char path[300];
	int r;

	snprintf(path, sizeof(path), "%s/%s", copying->dir, name);
	r = vfs_open(copying->from, path, VFS_READ, &file);
	if (r == 0)
		vfs_close(file);
	if (r == -EISDIR)
		copy_dir(copying->from, copying->to, path);
	else
		copy_file(copying->from, copying->to, path);
	return 0;
}

static void copy_dir(struct vfs *from, struct vfs *to, const char *dir)
{
	struct copying copying = { from, to, dir };

	vfs_mkdir(to, dir);
	vfs_list(from, dir, copy_one, &copying);
	vfs_sync_dir(to, dir);
	vfs_sync_dir(to, "/");
}

static struct crash_vfs *copy_disk(struct crash_vfs *crash)
{
	struct crash_vfs *copy = crash_vfs_new(1);

	copy_dir(crash_vfs_base(crash), crash_vfs_base(copy), SHARD_DIR);
	return copy;
}

/* The disk of an earlier time. */
static void go_back(struct shard_node *node)
{
	crash_vfs_free(node->crash);
	node->crash = node->earlier;
	node->earlier = NULL;
	node->shard->sabotaged = true;
}

static void forget_promise(struct shard_node *node)
{
	struct vfs *vfs = crash_vfs_base(node->crash);

	vfs_unlink(vfs, SHARD_DIR "/STANDING");
	copy_file(crash_vfs_base(node->earlier), vfs, SHARD_DIR "/STANDING");
	vfs_sync_dir(vfs, SHARD_DIR);
	node->shard->sabotaged = true;
}

void shard_sabotage_ended(struct shard_node *node)
{
	enum shard_sabotage how = node->shard->sabotage;
	struct vfs_file *file;

	if (how != SABOTAGE_SAME_EPOCH && how != SABOTAGE_FORGOTTEN_PROMISE &&
	    how != SABOTAGE_LOST_LOG)
		return;
	/* Copying must not meet the disk's own troubles. */
	crash_vfs_fail(node->crash, 1, 0, EIO);
	if (vfs_open(crash_vfs_base(node->crash), SHARD_DIR "/STANDING", VFS_READ, &file) < 0)
		return;
	vfs_close(file);
	if (!node->earlier)
		node->earlier = copy_disk(node->crash);
	else if (how == SABOTAGE_FORGOTTEN_PROMISE)
		forget_promise(node);
	else
		go_back(node);
	/* Nobody may tell it what it has forgotten, and what it had does not give it away first. */
	if (how == SABOTAGE_SAME_EPOCH && node->shard->sabotaged) {
		memset(node->shard->net.cut, true, sizeof(node->shard->net.cut));
		shard_oracle_wiped(node);
	}
}

void shard_sabotage_calm(struct shard *shard)
{
	if (shard->sabotage != SABOTAGE_DEAF)
		return;
	for (unsigned i = 0; i < shard->node_count; i++)
		shard->net.cut[i][0] = true;
	shard->sabotaged = true;
}
