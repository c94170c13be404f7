/* SPDX-License-Identifier: MIT */
/*
 * Two images of every file and of the names: what programs see, and what has been synced. A power
 * cut builds a third one out of both. A byte that is the same in both images is never touched, so a
 * sector that holds synced bytes and a torn append keeps the synced ones, as on a disk that writes
 * sectors whole.
 */
#include "tests/sim/crash_disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

uint64_t crash_disk_random(struct crash_disk *disk)
{
	uint64_t z = disk->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static struct crash_name *find_name(struct crash_names *names, const char *path)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i].path, path) == 0)
			return &names->items[i];
	return NULL;
}

void crash_inode_unref(struct crash_disk *disk, struct crash_inode *inode)
{
	struct crash_inode **at = &disk->inodes;

	assert(inode->refs > 0);
	if (--inode->refs > 0)
		return;
	while (*at != inode)
		at = &(*at)->next;
	*at = inode->next;
	free(inode->data);
	free(inode->durable);
	free(inode);
}

static void remove_name(struct crash_disk *disk, struct crash_names *names, const char *path)
{
	struct crash_name *name = find_name(names, path);

	if (!name)
		return;
	crash_inode_unref(disk, name->inode);
	free(name->path);
	*name = names->items[--names->count];
}

static void set_name(struct crash_disk *disk, struct crash_names *names, const char *path,
		     struct crash_inode *inode)
{
	inode->refs++;
	remove_name(disk, names, path);
	if (names->count == names->cap) {
		names->cap = names->cap ? names->cap * 2 : 16;
		names->items = must(realloc(names->items, names->cap * sizeof(*names->items)));
	}
	names->items[names->count++] =
		(struct crash_name){ .path = must(strdup(path)), .inode = inode };
}

static void apply_op(struct crash_disk *disk, struct crash_names *names, const struct crash_op *op)
{
	for (size_t i = 0; i < op->count; i++) {
		if (op->effects[i].inode)
			set_name(disk, names, op->effects[i].path, op->effects[i].inode);
		else
			remove_name(disk, names, op->effects[i].path);
	}
}

static void free_op(struct crash_disk *disk, struct crash_op *op)
{
	for (size_t i = 0; i < op->count; i++) {
		free(op->effects[i].path);
		if (op->effects[i].inode)
			crash_inode_unref(disk, op->effects[i].inode);
	}
	free(op->effects);
}

static void add_effect(struct crash_op *op, const char *path, struct crash_inode *inode)
{
	op->effects = must(realloc(op->effects, (op->count + 1) * sizeof(*op->effects)));
	op->effects[op->count++] =
		(struct crash_name){ .path = must(strdup(path)), .inode = inode };
	if (inode)
		inode->refs++;
}

/* Durable with the next sync of its directory. */
static void add_op(struct crash_disk *disk, struct crash_op op)
{
	if (disk->op_count == disk->op_cap) {
		disk->op_cap = disk->op_cap ? disk->op_cap * 2 : 16;
		disk->ops = must(realloc(disk->ops, disk->op_cap * sizeof(*disk->ops)));
	}
	disk->ops[disk->op_count++] = op;
}

void crash_disk_init(struct crash_disk *disk, uint64_t seed)
{
	*disk = (struct crash_disk){ .random = seed };
}

static void clear_names(struct crash_disk *disk, struct crash_names *names)
{
	while (names->count > 0)
		remove_name(disk, names, names->items[names->count - 1].path);
	free(names->items);
	*names = (struct crash_names){ 0 };
}

static void clear_ops(struct crash_disk *disk)
{
	for (size_t i = 0; i < disk->op_count; i++)
		free_op(disk, &disk->ops[i]);
	disk->op_count = 0;
}

void crash_disk_deinit(struct crash_disk *disk)
{
	clear_ops(disk);
	free(disk->ops);
	clear_names(disk, &disk->names);
	clear_names(disk, &disk->durable_names);
	assert(!disk->inodes);
}

struct crash_inode *crash_disk_find(struct crash_disk *disk, const char *path)
{
	struct crash_name *name = find_name(&disk->names, path);

	return name ? name->inode : NULL;
}

bool crash_disk_is_in(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t dir_len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return slash == path;
	return slash && (size_t)(slash - path) == dir_len && memcmp(path, dir, dir_len) == 0;
}

static bool has_parent(struct crash_names *names, const char *path)
{
	for (size_t i = 0; i < names->count; i++)
		if (names->items[i].inode->is_dir && crash_disk_is_in(path, names->items[i].path))
			return true;
	return crash_disk_is_in(path, "/");
}

bool crash_disk_has_parent(struct crash_disk *disk, const char *path)
{
	return has_parent(&disk->names, path);
}

struct crash_inode *crash_disk_create(struct crash_disk *disk, const char *path, bool is_dir)
{
	struct crash_inode *inode = must(calloc(1, sizeof(*inode)));

	inode->is_dir = is_dir;
	inode->next = disk->inodes;
	disk->inodes = inode;
	crash_disk_link(disk, inode, path);
	return inode;
}

/* Shows at once. */
static void change_name(struct crash_disk *disk, const char *path, struct crash_inode *inode)
{
	struct crash_op op = { 0 };

	add_effect(&op, path, inode);
	apply_op(disk, &disk->names, &op);
	add_op(disk, op);
}

void crash_disk_link(struct crash_disk *disk, struct crash_inode *inode, const char *to)
{
	change_name(disk, to, inode);
}

void crash_disk_unlink(struct crash_disk *disk, const char *path)
{
	change_name(disk, path, NULL);
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

bool crash_disk_is_empty(struct crash_disk *disk, const char *dir)
{
	for (size_t i = 0; i < disk->names.count; i++)
		if (is_below(disk->names.items[i].path, dir))
			return false;
	return true;
}

/* @path with its beginning @from replaced by @to. */
static char *moved(const char *path, const char *from, const char *to)
{
	size_t tail = strlen(path) - strlen(from), len = strlen(to);
	char *result = must(malloc(len + tail + 1));

	memcpy(result, to, len);
	memcpy(result + len, path + strlen(from), tail + 1);
	return result;
}

static void move_path(struct crash_name *name, const char *from, const char *to)
{
	char *path;

	if (!is_below(name->path, from))
		return;
	path = moved(name->path, from, to);
	free(name->path);
	name->path = path;
}

/* What is durable below @from moves when the operation is; what is still to become so will become
 * so at its new place. */
static void move_content(struct crash_disk *disk, struct crash_op *op, const char *from,
			 const char *to)
{
	for (size_t i = 0; i < disk->durable_names.count; i++) {
		const struct crash_name *name = &disk->durable_names.items[i];
		char *path;

		if (!is_below(name->path, from))
			continue;
		path = moved(name->path, from, to);
		add_effect(op, path, name->inode);
		add_effect(op, name->path, NULL);
		free(path);
	}
	for (size_t i = 0; i < disk->op_count; i++)
		for (size_t j = 0; j < disk->ops[i].count; j++)
			move_path(&disk->ops[i].effects[j], from, to);
	for (size_t i = 0; i < disk->names.count; i++)
		move_path(&disk->names.items[i], from, to);
}

void crash_disk_rename(struct crash_disk *disk, const char *from, const char *to)
{
	struct crash_inode *inode = crash_disk_find(disk, from);
	struct crash_op op = { 0 };

	add_effect(&op, to, inode);
	add_effect(&op, from, NULL);
	apply_op(disk, &disk->names, &op);
	if (inode->is_dir)
		move_content(disk, &op, from, to);
	add_op(disk, op);
}

static bool op_is_in(const struct crash_op *op, const char *dir)
{
	for (size_t i = 0; i < op->count && i < 2; i++)
		if (crash_disk_is_in(op->effects[i].path, dir))
			return true;
	return false;
}

void crash_disk_sync_dir(struct crash_disk *disk, const char *path)
{
	size_t kept = 0;

	for (size_t i = 0; i < disk->op_count; i++) {
		if (!op_is_in(&disk->ops[i], path)) {
			disk->ops[kept++] = disk->ops[i];
			continue;
		}
		apply_op(disk, &disk->durable_names, &disk->ops[i]);
		free_op(disk, &disk->ops[i]);
	}
	disk->op_count = kept;
}

static void reserve(struct crash_inode *inode, size_t len)
{
	size_t cap = inode->cap ? inode->cap : 4096;

	while (cap < len)
		cap *= 2;
	if (cap == inode->cap)
		return;
	inode->data = must(realloc(inode->data, cap));
	inode->durable = must(realloc(inode->durable, cap));
	memset(inode->data + inode->cap, 0, cap - inode->cap);
	memset(inode->durable + inode->cap, 0, cap - inode->cap);
	inode->cap = cap;
}

static void mark_dirty(struct crash_inode *inode, size_t from, size_t to)
{
	if (inode->dirty_from == inode->dirty_to) {
		inode->dirty_from = from;
		inode->dirty_to = to;
		return;
	}
	if (from < inode->dirty_from)
		inode->dirty_from = from;
	if (to > inode->dirty_to)
		inode->dirty_to = to;
}

void crash_inode_write(struct crash_inode *inode, const void *data, size_t len, uint64_t offset)
{
	size_t end = (size_t)offset + len;

	if (len == 0)
		return;
	reserve(inode, end);
	memcpy(inode->data + offset, data, len);
	mark_dirty(inode, (size_t)offset, end);
	if (end > inode->len)
		inode->len = end;
}

void crash_inode_resize(struct crash_inode *inode, size_t len)
{
	reserve(inode, len);
	if (len < inode->len) {
		memset(inode->data + len, 0, inode->len - len);
		mark_dirty(inode, len, inode->len);
	}
	inode->len = len;
}

void crash_inode_sync(struct crash_inode *inode)
{
	size_t from = inode->dirty_from, to = inode->dirty_to;

	if (to > from)
		memcpy(inode->durable + from, inode->data + from, to - from);
	inode->durable_len = inode->len;
	inode->dirty_from = inode->dirty_to = 0;
}

void crash_inode_fail_sync(struct crash_inode *inode)
{
	inode->dirty_from = inode->dirty_to = 0;
}

uint64_t crash_disk_bytes(const struct crash_disk *disk)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < disk->names.count; i++)
		sum += disk->names.items[i].inode->len;
	return sum;
}

/* How merciless one power cut is: percentages. */
struct mercy {
	unsigned keep_sector;
	unsigned scramble_sector; /* of those not kept */
	unsigned keep_op;
	bool ops_in_order; /* a prefix of them survives, as with a journaling file system */
};

static bool chance(struct crash_disk *disk, unsigned percent)
{
	return crash_disk_random(disk) % 100 < percent;
}

static struct mercy choose_mercy(struct crash_disk *disk)
{
	static const unsigned odds[] = { 0, 10, 50, 90, 100 };

	return (struct mercy){
		.keep_sector = odds[crash_disk_random(disk) % 5],
		.scramble_sector = odds[crash_disk_random(disk) % 3],
		.keep_op = odds[crash_disk_random(disk) % 5],
		.ops_in_order = chance(disk, 50),
	};
}

static size_t choose_len(struct crash_disk *disk, const struct crash_inode *inode)
{
	size_t low = inode->len < inode->durable_len ? inode->len : inode->durable_len;
	size_t high = inode->len < inode->durable_len ? inode->durable_len : inode->len;

	switch (crash_disk_random(disk) % 3) {
	case 0:
		return inode->len;
	case 1:
		return inode->durable_len;
	default:
		return low + (size_t)(crash_disk_random(disk) % (high - low + 1));
	}
}

static void settle_sector(struct crash_disk *disk, struct crash_inode *inode, size_t from,
			  size_t to, const struct mercy *mercy)
{
	bool scramble;

	if (memcmp(inode->data + from, inode->durable + from, to - from) == 0)
		return;
	if (chance(disk, mercy->keep_sector))
		return;
	scramble = chance(disk, mercy->scramble_sector);
	for (size_t i = from; i < to; i++) {
		if (inode->data[i] == inode->durable[i])
			continue;
		inode->data[i] = scramble ? (uint8_t)crash_disk_random(disk) : inode->durable[i];
	}
}

static void settle_inode(struct crash_disk *disk, struct crash_inode *inode,
			 const struct mercy *mercy)
{
	size_t top = inode->len > inode->durable_len ? inode->len : inode->durable_len;
	size_t len = choose_len(disk, inode);

	inode->locked_by = NULL;
	if (inode->is_dir || inode->cap == 0) {
		inode->len = inode->durable_len = len;
		return;
	}
	for (size_t at = 0; at < top; at += CRASH_SECTOR)
		settle_sector(disk, inode, at, at + CRASH_SECTOR < top ? at + CRASH_SECTOR : top,
			      mercy);
	memset(inode->data + len, 0, inode->cap - len);
	memcpy(inode->durable, inode->data, inode->cap);
	inode->len = inode->durable_len = len;
	inode->dirty_from = inode->dirty_to = 0;
}

static void settle_names(struct crash_disk *disk, const struct mercy *mercy)
{
	bool lost_one = true;

	for (size_t i = 0; i < disk->op_count; i++) {
		if (chance(disk, mercy->keep_op))
			apply_op(disk, &disk->durable_names, &disk->ops[i]);
		else if (mercy->ops_in_order)
			break;
	}
	clear_ops(disk);
	while (lost_one) {
		lost_one = false;
		for (size_t i = 0; i < disk->durable_names.count && !lost_one; i++) {
			const char *path = disk->durable_names.items[i].path;

			if (has_parent(&disk->durable_names, path))
				continue;
			remove_name(disk, &disk->durable_names, path);
			lost_one = true;
		}
	}
	clear_names(disk, &disk->names);
	for (size_t i = 0; i < disk->durable_names.count; i++)
		set_name(disk, &disk->names, disk->durable_names.items[i].path,
			 disk->durable_names.items[i].inode);
}

void crash_disk_power_cut(struct crash_disk *disk)
{
	struct mercy mercy = choose_mercy(disk);

	settle_names(disk, &mercy);
	for (struct crash_inode *inode = disk->inodes; inode; inode = inode->next)
		settle_inode(disk, inode, &mercy);
}
