/* SPDX-License-Identifier: MIT */
/*
 * Evaluation order of one write: a repeated request id gets its first answer; then room on the
 * disk; then whether there is something to change (404); then what can't be done at all; then
 * preconditions (412), as RFC 9110 13.2.1 asks.
 */
#include "node/group.h"

#include "lib/hash.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The record a write is about, as the group sees it. */
struct current {
	bool exists;
	bool unreadable; /* the store can't tell: its block is damaged */
	struct entry entry;
};

static int grow(void **items, size_t *cap, size_t size)
{
	size_t new_cap = *cap ? *cap * 2 : 64;
	void *grown = realloc(*items, new_cap * size);

	if (!grown)
		return -ENOMEM;
	*items = grown;
	*cap = new_cap;
	return 0;
}

static int grow_entries(struct group *group)
{
	size_t cap = group->entry_cap, next_cap = cap, owner_cap = cap;
	int r;

	r = grow((void **)&group->entry_next, &next_cap, sizeof(*group->entry_next));
	if (r == 0)
		r = grow((void **)&group->entry_owner, &owner_cap, sizeof(*group->entry_owner));
	if (r == 0)
		r = grow((void **)&group->entries, &cap, sizeof(*group->entries));
	if (r == 0)
		group->entry_cap = cap;
	return r;
}

void group_reset(struct group *group, const struct group_base *base)
{
	/* Only entries are in them. */
	if (group->entry_count > 0)
		memset(group->buckets, 0, sizeof(group->buckets));
	for (size_t i = 0; i < group->held_count; i++)
		lsm_entry_release(&group->held[i]);
	group->held_count = group->entry_count = group->write_count = 0;
	group->wants_sync = false;
	dead_values_clear(&group->dead);
	buf_clear(&group->payload);
	if (base)
		group->base = *base;
}

void group_deinit(struct group *group)
{
	group_reset(group, NULL);
	free(group->writes);
	free(group->entries);
	free(group->entry_next);
	free(group->entry_owner);
	free(group->held);
	dead_values_deinit(&group->dead);
	buf_deinit(&group->payload);
	*group = (struct group){ 0 };
}

bool group_has_room(const struct group *group)
{
	return group->payload.len < GROUP_PAYLOAD_BYTES &&
	       group->entry_count + 2 <= GROUP_ENTRIES_MAX &&
	       group->write_count < GROUP_ENTRIES_MAX;
}

static uint32_t *bucket_of(struct group *group, const void *key, size_t len)
{
	return &group->buckets[hash64(key, len, 0) % GROUP_BUCKETS];
}

static bool is_for(const struct entry *entry, const struct key *key)
{
	return entry->key_len == key->len && memcmp(entry->key, key->bytes, key->len) == 0;
}

static const struct entry *find_pending(struct group *group, const struct key *key)
{
	for (uint32_t i = *bucket_of(group, key->bytes, key->len); i > 0;
	     i = group->entry_next[i - 1])
		if (is_for(&group->entries[i - 1], key))
			return &group->entries[i - 1];
	return NULL;
}

static int find_current(struct group *group, const struct store_write *write, const struct key *key,
			struct current *ret_current)
{
	const struct entry *pending = find_pending(group, key);
	struct lsm_entry *held;
	int r;

	*ret_current = (struct current){ 0 };
	if (pending) {
		ret_current->entry = *pending;
		ret_current->exists = pending->kind != ENTRY_TOMBSTONE;
		return 0;
	}
	if (group->held_count == group->held_cap) {
		r = grow((void **)&group->held, &group->held_cap, sizeof(*group->held));
		if (r < 0)
			return r;
	}
	held = &group->held[group->held_count];
	r = lsm_get(group->base.lsm, key->bytes, key->len,
		    group->base.waits || write->back ? 0 : VFS_NOWAIT, held);
	if (r == LSM_NOT_FOUND)
		return 0;
	if (r < 0 && r != -ENOMEM && r != -EAGAIN) {
		ret_current->unreadable = true;
		return r;
	}
	if (r < 0)
		return r;
	group->held_count++;
	ret_current->entry = held->entry;
	ret_current->exists = held->entry.kind != ENTRY_TOMBSTONE;
	return 0;
}

/* Two at most for one write: all or none. */
static int push_entries(struct group *group, struct entry *entries, size_t count)
{
	size_t payload_len = group->payload.len;
	int r;

	while (group->entry_count + count > group->entry_cap) {
		r = grow_entries(group);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < count; i++) {
		size_t at = group->entry_count + i;

		entries[i].position = group->base.next_position + at;
		entries[i].version = (struct version){
			.epoch = group->base.next.epoch,
			.sequence = group->base.next.sequence + at,
		};
		r = entry_encode(&entries[i], &group->payload);
		if (r < 0) {
			group->payload.len = payload_len;
			return r;
		}
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t *bucket = bucket_of(group, entries[i].key, entries[i].key_len);
		size_t at = group->entry_count++;

		group->entries[at] = entries[i];
		group->entry_owner[at] = (uint32_t)group->write_count;
		group->entry_next[at] = *bucket;
		*bucket = (uint32_t)at + 1;
	}
	return 0;
}

/* Replaces or deletes @old. A value file has one record at any time: patches and moves hand it on.
 */
static int push_over(struct group *group, const struct current *old, struct entry *entries,
		     size_t count)
{
	int r = push_entries(group, entries, count);

	if (r == 0 && old->exists)
		dead_values_add(&group->dead, &old->entry);
	return r;
}

static bool passes(const struct store_write *write, const struct current *current)
{
	const struct precondition *pre = &write->request.pre;
	struct record_meta meta;

	if (precondition_is_empty(pre))
		return true;
	if (current->exists)
		entry_to_meta(&current->entry, &meta);
	return precondition_evaluate(pre, current->exists ? &meta : NULL, false) == OUTCOME_OK;
}

static struct entry new_entry(const struct store_write *write, const struct key *key,
			      enum entry_kind kind, bool replaced, int64_t now_ns)
{
	return (struct entry){
		.kind = kind,
		.replaced = replaced,
		.key = key->bytes,
		.key_len = key->len,
		.mtime_ns = write->request.has_mtime ? write->request.mtime_ns : now_ns,
		.request_id = write->request.request_id,
	};
}

static void set_content_type(struct entry *entry, const char *text, size_t len)
{
	entry->content_type = text;
	entry->content_type_len = (uint8_t)len;
}

static void set_encoding(struct entry *entry, const char *text, size_t len)
{
	entry->encoding = text;
	entry->encoding_len = (uint8_t)len;
}

/* What the request says; the rest stays. */
static void set_labels(struct entry *entry, const struct object_request *request)
{
	if (request->has_content_type)
		set_content_type(entry, request->content_type.text, request->content_type.len);
	if (request->has_encoding)
		set_encoding(entry, request->encoding.text, request->encoding.len);
}

static int add_put(struct group *group, struct store_write *write)
{
	struct current current;
	struct entry entry;
	int r;

	r = find_current(group, write, &write->key, &current);
	/* A damaged old version must not keep anybody from writing a new one. */
	if (r < 0 && !(current.unreadable && precondition_is_empty(&write->request.pre)))
		return r;
	if (!passes(write, &current)) {
		write->outcome = OUTCOME_PRECONDITION_FAILED;
		return 0;
	}
	entry = new_entry(write, &write->key, write->file ? ENTRY_FILE : ENTRY_INLINE,
			  current.exists || current.unreadable, group->base.now_ns);
	set_content_type(&entry, CONTENT_TYPE_DEFAULT, strlen(CONTENT_TYPE_DEFAULT));
	set_encoding(&entry, ENCODING_DEFAULT, strlen(ENCODING_DEFAULT));
	set_labels(&entry, &write->request);
	entry.size_bytes = write->file_size;
	entry.hash = write->file_hash;
	entry.utf8 = write->file_utf8;
	if (write->file)
		entry.file_id = value_file_id(write->file);
	else
		entry.value = write->value;
	write->outcome = entry.replaced ? OUTCOME_NO_CONTENT : OUTCOME_CREATED;
	return push_over(group, &current, &entry, 1);
}

/* The record keeps its time unless the request sets one: mtime is the value's. */
static int add_patch(struct group *group, struct store_write *write)
{
	struct current current;
	struct entry entry;
	int r;

	r = find_current(group, write, &write->key, &current);
	if (r < 0)
		return r;
	if (!current.exists) {
		write->outcome = OUTCOME_NOT_FOUND;
		return 0;
	}
	if (!passes(write, &current)) {
		write->outcome = OUTCOME_PRECONDITION_FAILED;
		return 0;
	}
	entry = current.entry;
	entry.key = write->key.bytes;
	entry.request_id = write->request.request_id;
	entry.replaced = true;
	if (write->request.has_mtime)
		entry.mtime_ns = write->request.mtime_ns;
	set_labels(&entry, &write->request);
	write->outcome = OUTCOME_NO_CONTENT;
	return push_entries(group, &entry, 1);
}

/* A DELETE that demands that there is no record takes effect all the same: its id is remembered. */
static bool wants_absence(const struct store_write *write)
{
	return write->request.pre.if_none_match_any && !write->request.pre.if_match;
}

static int add_delete(struct group *group, struct store_write *write)
{
	struct current current;
	struct entry entry;
	int r;

	r = find_current(group, write, &write->key, &current);
	if (r < 0 && !(current.unreadable && precondition_is_empty(&write->request.pre)))
		return r;
	if (!current.exists && !current.unreadable && !wants_absence(write)) {
		write->outcome = OUTCOME_NOT_FOUND;
		return 0;
	}
	if (!passes(write, &current)) {
		write->outcome = OUTCOME_PRECONDITION_FAILED;
		return 0;
	}
	entry = new_entry(write, &write->key, ENTRY_TOMBSTONE, true, group->base.now_ns);
	write->outcome = OUTCOME_NO_CONTENT;
	return push_over(group, &current, &entry, 1);
}

static int add_move(struct group *group, struct store_write *write)
{
	const struct key *to = &write->request.destination;
	struct current source, destination;
	struct entry entries[2];
	int r;

	r = find_current(group, write, &write->key, &source);
	if (r < 0)
		return r;
	if (!source.exists) {
		write->outcome = OUTCOME_NOT_FOUND;
		return 0;
	}
	if (key_compare(&write->key, to) == 0) {
		write->outcome = OUTCOME_FORBIDDEN; /* RFC 4918 9.9.4 */
		return 0;
	}
	r = find_current(group, write, to, &destination);
	if (r < 0)
		return r;
	if (!passes(write, &source) || (destination.exists && !write->request.overwrite)) {
		write->outcome = OUTCOME_PRECONDITION_FAILED;
		return 0;
	}
	entries[0] = source.entry;
	entries[0].key = to->bytes;
	entries[0].key_len = to->len;
	entries[0].request_id = write->request.request_id;
	entries[0].replaced = destination.exists;
	if (write->request.has_mtime)
		entries[0].mtime_ns = write->request.mtime_ns;
	set_labels(&entries[0], &write->request);
	entries[1] = new_entry(write, &write->key, ENTRY_TOMBSTONE, true, group->base.now_ns);
	write->outcome = destination.exists ? OUTCOME_NO_CONTENT : OUTCOME_CREATED;
	return push_over(group, &destination, entries, 2);
}

static int add_barrier(struct group *group, struct store_write *write)
{
	struct current current;
	int r;

	r = find_current(group, write, &write->key, &current);
	if (r < 0)
		return r;
	write->outcome = current.exists ? OUTCOME_NO_CONTENT : OUTCOME_NOT_FOUND;
	if (current.exists && !passes(write, &current))
		write->outcome = OUTCOME_PRECONDITION_FAILED;
	if (current.exists)
		entry_to_meta(&current.entry, &write->meta);
	return 0;
}

/* Index + 1 of the write in this group that @write repeats. */
static uint32_t find_repeated(struct group *group, const struct store_write *write)
{
	const struct key *key = &write->key;

	for (uint32_t i = *bucket_of(group, key->bytes, key->len); i > 0;
	     i = group->entry_next[i - 1]) {
		const struct entry *entry = &group->entries[i - 1];
		uint32_t owner = group->entry_owner[i - 1];

		if (is_for(entry, key) &&
		    memcmp(&entry->request_id, &write->request.request_id,
			   sizeof(entry->request_id)) == 0 &&
		    key_compare(&group->writes[owner].write->key, key) == 0)
			return owner + 1;
	}
	return 0;
}

/* Of the group as far as it goes, or of what came before it. */
static uint64_t last_sequence(const struct group *group)
{
	return group->base.next.sequence + group->entry_count - 1;
}

static void label_default(struct label *label, bool has, const struct label *given,
			  const char *fallback)
{
	if (has)
		*label = *given;
	else
		label_set(label, fallback, strlen(fallback));
}

/* The labels of a first answer are not kept: they are the record's if it is still that version,
 * else those of the request, which is the same as it was then. */
static int answer_again(struct group *group, struct store_write *write,
			const struct request_answer *answer)
{
	const struct object_request *request = &write->request;
	struct record_meta *meta = &write->meta;
	struct current current;
	int r;

	write->repeated = true;
	write->point.sequence = answer->version.sequence;
	/* The tombstone comes behind what it moved. */
	if (write->kind == WRITE_MOVE && answer->version.sequence < last_sequence(group))
		write->point.sequence++;
	write->outcome =
		answer->tombstone || answer->replaced ? OUTCOME_NO_CONTENT : OUTCOME_CREATED;
	if (answer->tombstone)
		return 0;
	r = find_current(group, write,
			 write->kind == WRITE_MOVE ? &request->destination : &write->key, &current);
	if (r == -EAGAIN)
		return r;
	if (r == 0 && current.exists &&
	    version_compare(current.entry.version, answer->version) == 0) {
		entry_to_meta(&current.entry, meta);
		return 0;
	}
	label_default(&meta->content_type, request->has_content_type, &request->content_type,
		      CONTENT_TYPE_DEFAULT);
	label_default(&meta->encoding, request->has_encoding, &request->encoding, ENCODING_DEFAULT);
	meta->version = answer->version;
	meta->mtime_ns = answer->mtime_ns;
	meta->size_bytes = answer->size_bytes;
	meta->hash = answer->hash;
	meta->utf8 = answer->utf8;
	return 0;
}

/* 1: the write was answered, or will be, by what came before. Otherwise 0 or -EAGAIN. */
static int take_repeated(struct group *group, struct store_write *write, uint32_t *ret_repeats)
{
	const struct request_answer *answer;

	if (write->kind == WRITE_BARRIER || !request_id_is_set(&write->request.request_id))
		return 0;
	*ret_repeats = find_repeated(group, write);
	if (*ret_repeats > 0)
		return 1;
	answer = request_ids_find(group->base.ids, &write->request.request_id,
				  request_key_hash(write->key.bytes, write->key.len),
				  group->base.now_ns);
	if (!answer)
		return 0;
	return answer_again(group, write, answer) < 0 ? -EAGAIN : 1;
}

static int evaluate(struct group *group, struct store_write *write)
{
	if (group->base.full && write->kind != WRITE_DELETE && write->kind != WRITE_BARRIER) {
		write->outcome = OUTCOME_NO_SPACE;
		return 0;
	}
	switch (write->kind) {
	case WRITE_PUT:
		return add_put(group, write);
	case WRITE_PATCH:
		return add_patch(group, write);
	case WRITE_DELETE:
		return add_delete(group, write);
	case WRITE_MOVE:
		return add_move(group, write);
	case WRITE_BARRIER:
		return add_barrier(group, write);
	}
	return -EINVAL;
}

/* What other nodes are to have is on the leader's own disk first. */
static bool wants_disk(const struct store_write *write)
{
	return write->request.durability == DURABILITY_DISK || write->request.ack != ACK_LEADER;
}

int group_add(struct group *group, struct store_write *write)
{
	struct group_write slot = { .write = write, .first_entry = (uint32_t)group->entry_count };
	int r;

	if (group->write_count == group->write_cap) {
		r = grow((void **)&group->writes, &group->write_cap, sizeof(*group->writes));
		if (r < 0)
			return r;
	}
	write->maybe_applied = false;
	write->repeated = false;
	r = take_repeated(group, write, &slot.repeats);
	if (r == 0) {
		r = evaluate(group, write);
		if (r < 0 && r != -EAGAIN)
			write->outcome = outcome_from_error(r);
		write->point.sequence = last_sequence(group);
	}
	if (r == -EAGAIN)
		return r;
	write->point.epoch = group->base.next.epoch;
	slot.entry_count = (uint32_t)group->entry_count - slot.first_entry;
	if (slot.entry_count > 0 && group->entries[slot.first_entry].kind != ENTRY_TOMBSTONE)
		entry_to_meta(&group->entries[slot.first_entry], &write->meta);
	if (write->kind == WRITE_BARRIER ||
	    (wants_disk(write) &&
	     (slot.entry_count > 0 || slot.repeats > 0 || outcome_is_success(write->outcome))))
		group->wants_sync = true;
	group->writes[group->write_count++] = slot;
	return 0;
}

void group_answer_repeats(struct group *group)
{
	for (size_t i = 0; i < group->write_count; i++) {
		const struct group_write *slot = &group->writes[i];
		const struct store_write *first;

		if (slot->repeats == 0)
			continue;
		first = group->writes[slot->repeats - 1].write;
		slot->write->outcome = first->outcome;
		slot->write->maybe_applied = first->maybe_applied;
		slot->write->repeated = true;
		slot->write->meta = first->meta;
		slot->write->point = first->point;
	}
}

void group_remember_ids(const struct group *group)
{
	request_ids_add_entries(group->base.ids, group->entries, group->entry_count,
				group->base.now_ns);
}

void group_fail(struct group *group, enum outcome failure, bool maybe)
{
	for (size_t i = 0; i < group->write_count; i++) {
		struct group_write *slot = &group->writes[i];
		enum outcome outcome = slot->write->outcome;

		if (group->entry_count == 0 && slot->write->kind != WRITE_BARRIER &&
		    !wants_disk(slot->write))
			continue;
		if (!outcome_is_success(outcome) && outcome != OUTCOME_NOT_FOUND &&
		    outcome != OUTCOME_PRECONDITION_FAILED)
			continue;
		slot->write->outcome = failure;
		slot->write->maybe_applied = slot->entry_count > 0 && maybe;
	}
}
