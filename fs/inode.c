/* SPDX-License-Identifier: MIT */
#include "fs/inode.h"

#include "lib/clock.h"
#include "lib/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_BYTES_MAX (16 * 1024 * 1024)
#define WAIT_SLICE_MS    100

static uint64_t name_hash(const char *name)
{
	return hash64(name, strlen(name), 0);
}

/* Small numbers are left to "." and the kernel's own. */
uint64_t inode_name_st_ino(const char *name)
{
	uint64_t hash = name_hash(name);

	return hash < 256 ? hash + 256 : hash;
}

uint64_t inode_ask(struct inode_table *table)
{
	uint64_t number;

	mutex_lock(&table->lock);
	number = ++table->questions;
	mutex_unlock(&table->lock);
	return number;
}

static struct inode **bucket_of(struct inode_table *table, const char *name)
{
	return &table->buckets[name_hash(name) % INODE_BUCKETS];
}

static void ring_init(struct inode *head)
{
	head->next = head->previous = head;
}

static void ring_add(struct inode *head, struct inode *inode)
{
	inode->next = head;
	inode->previous = head->previous;
	inode->next->previous = inode;
	inode->previous->next = inode;
}

static void ring_remove(struct inode *inode)
{
	inode->next->previous = inode->previous;
	inode->previous->next = inode->next;
}

void inode_table_init(struct inode_table *table, unsigned new_mode)
{
	memset(table, 0, sizeof(*table));
	mutex_init(&table->lock);
	condition_init(&table->changed);
	ring_init(&table->made_here);
	ring_init(&table->from_elsewhere);
	table->new_mode = new_mode;
	table->names_changed_ns = clock_realtime_ns();
	table->root.kind = INODE_ROOT;
	table->root.st_ino = 1;
	table->root.references = 1;
}

static void inode_free_content(struct inode *inode)
{
	upload_abandon(inode->upload);
	upload_unref(inode->upload);
	value_unref(inode->value);
	pin_unref(inode->pin);
	staging_unref(inode->staging);
	free(inode->content_type);
	free(inode->encoding);
	free(inode->hides);
	free(inode->filename);
	free(inode);
}

static void free_ring(struct inode *head)
{
	struct inode *inode = head->next;

	while (inode != head) {
		struct inode *next = inode->next;

		inode_free_content(inode);
		inode = next;
	}
}

void inode_table_deinit(struct inode_table *table)
{
	free_ring(&table->made_here);
	free_ring(&table->from_elsewhere);
	condition_deinit(&table->changed);
	mutex_deinit(&table->lock);
}

struct inode *inode_new_locked(struct inode_table *table, enum inode_kind kind, const char *name)
{
	struct inode *inode = calloc(1, sizeof(*inode));
	char *filename = strdup(name);

	if (!inode || !filename) {
		free(inode);
		free(filename);
		return NULL;
	}
	inode->kind = kind;
	inode->birth = ++table->births;
	inode->references = 1;
	inode->mode = table->new_mode;
	inode->filename = filename;
	inode->st_ino = inode_name_st_ino(name);
	inode->mtime_ns = clock_realtime_ns();
	ring_add(&table->made_here, inode);
	table->count++;
	return inode;
}

struct inode *inode_new_from_elsewhere_locked(struct inode_table *table, const char *name)
{
	struct inode *inode = inode_new_locked(table, INODE_RECORD, name);

	if (!inode)
		return NULL;
	ring_remove(inode);
	ring_add(&table->from_elsewhere, inode);
	inode->from_elsewhere = true;
	table->from_elsewhere_count++;
	return inode;
}

static void leave_ring(struct inode_table *table, struct inode *inode)
{
	ring_remove(inode);
	table->from_elsewhere_count -= inode->from_elsewhere;
	inode->from_elsewhere = false;
}

void inode_set_made_here_locked(struct inode_table *table, struct inode *inode)
{
	leave_ring(table, inode);
	ring_add(&table->made_here, inode);
}

void inode_name_locked(const struct inode *inode, char ret_name[NAME_BYTES_MAX + 1])
{
	strcpy(ret_name, inode->filename);
}

static struct inode *any_of_ring(struct inode *head, bool (*wanted)(const struct inode *))
{
	struct inode *inode = head->next;

	while (inode != head && !wanted(inode))
		inode = inode->next;
	return inode == head ? NULL : inode;
}

struct inode *inode_any_locked(struct inode_table *table, bool (*wanted)(const struct inode *))
{
	struct inode *inode = any_of_ring(&table->made_here, wanted);

	return inode ? inode : any_of_ring(&table->from_elsewhere, wanted);
}

size_t inode_oldest_locked(struct inode_table *table, uint64_t *ret_ids, size_t count)
{
	if (count > table->from_elsewhere_count)
		count = table->from_elsewhere_count;
	for (size_t i = 0; i < count; i++) {
		struct inode *inode = table->from_elsewhere.next;

		ret_ids[i] = (uintptr_t)inode;
		ring_remove(inode);
		ring_add(&table->from_elsewhere, inode);
	}
	return count;
}

struct inode *inode_find_locked(struct inode_table *table, const char *name)
{
	struct inode *inode = *bucket_of(table, name);

	while (inode && strcmp(inode->filename, name) != 0)
		inode = inode->next_of_bucket;
	return inode;
}

struct inode *inode_find(struct inode_table *table, const char *name)
{
	struct inode *inode;

	mutex_lock(&table->lock);
	inode = inode_find_locked(table, name);
	if (inode)
		inode_ref_locked(inode);
	mutex_unlock(&table->lock);
	return inode;
}

static struct inode **nameless_bucket(struct inode_table *table, const char *name)
{
	return &table->nameless[name_hash(name) % INODE_NAMELESS_BUCKETS];
}

static void enter_nameless_locked(struct inode_table *table, struct inode *inode)
	REQUIRES(&table->lock)
{
	struct inode **bucket = nameless_bucket(table, inode->filename);

	inode->nameless = true;
	inode->next_nameless = *bucket;
	*bucket = inode;
}

static void leave_nameless_locked(struct inode_table *table, struct inode *inode)
	REQUIRES(&table->lock)
{
	struct inode **at = nameless_bucket(table, inode->filename);

	if (!inode->nameless)
		return;
	while (*at != inode)
		at = &(*at)->next_nameless;
	*at = inode->next_nameless;
	inode->next_nameless = NULL;
	inode->nameless = false;
}

struct inode *inode_next_nameless_locked(struct inode_table *table, const char *name,
					 const struct inode *previous)
{
	struct inode *inode = previous ? previous->next_nameless : *nameless_bucket(table, name);

	while (inode && strcmp(inode->filename, name) != 0)
		inode = inode->next_nameless;
	return inode;
}

void inode_mark_deleted(struct inode_table *table, struct inode *inode)
{
	mutex_lock(&table->lock);
	leave_nameless_locked(table, inode);
	inode->deleted = true;
	inode->unsaved = false;
	inode_abandon_upload_locked(table, inode);
	table->names_changed_ns = clock_realtime_ns();
	inode_unlink_locked(table, inode);
	mutex_unlock(&table->lock);
}

void inode_link_locked(struct inode_table *table, struct inode *inode)
{
	struct inode **bucket = bucket_of(table, inode->filename);
	struct inode *other;

	if (inode->linked)
		return;
	leave_nameless_locked(table, inode);
	other = inode_find_locked(table, inode->filename);
	if (other)
		inode_unlink_locked(table, other);
	inode->next_of_bucket = *bucket;
	*bucket = inode;
	inode->linked = true;
	if (inode->kind == INODE_TEMPORARY)
		inode->references++;
}

void inode_unlink_locked(struct inode_table *table, struct inode *inode)
{
	struct inode **at = bucket_of(table, inode->filename);

	if (!inode->linked)
		return;
	while (*at != inode)
		at = &(*at)->next_of_bucket;
	*at = inode->next_of_bucket;
	inode->next_of_bucket = NULL;
	inode->linked = false;
	if (inode->kind == INODE_TEMPORARY)
		inode_unref_locked(table, inode, 1);
	else if (!inode->deleted)
		enter_nameless_locked(table, inode);
}

int inode_reserve_name(struct inode_table *table, struct inode *inode)
{
	char *filename;

	mutex_lock(&table->lock);
	filename = realloc(inode->filename, NAME_BYTES_MAX + 1);
	if (filename) {
		inode->filename = filename;
		inode->may_be_renamed = true;
	}
	mutex_unlock(&table->lock);
	return filename ? 0 : -ENOMEM;
}

void inode_rename_locked(struct inode_table *table, struct inode *inode, const char *name)
{
	assert(inode->may_be_renamed);
	inode_ref_locked(inode);
	inode_abandon_upload_locked(table, inode);
	table->names_changed_ns = clock_realtime_ns();
	inode_unlink_locked(table, inode);
	leave_nameless_locked(table, inode);
	strcpy(inode->filename, name);
	inode->st_ino = inode_name_st_ino(name);
	inode->kind = name_classify(name) == NAME_KEY ? INODE_RECORD : INODE_TEMPORARY;
	inode_set_made_here_locked(table, inode);
	inode_link_locked(table, inode);
	inode_unref_locked(table, inode, 1);
}

struct inode *inode_ref_locked(struct inode *inode)
{
	inode->references++;
	return inode;
}

void inode_unref_locked(struct inode_table *table, struct inode *inode, uint64_t count)
{
	assert(inode->references >= count);
	inode->references -= count;
	if (inode->references > 0 || inode->kind == INODE_ROOT)
		return;
	inode_unlink_locked(table, inode);
	leave_nameless_locked(table, inode);
	inode_set_value_locked(table, inode, NULL);
	inode_set_hides_locked(table, inode, NULL, (struct version){ 0 });
	leave_ring(table, inode);
	table->count--;
	inode_free_content(inode);
}

void inode_unref(struct inode_table *table, struct inode *inode)
{
	mutex_lock(&table->lock);
	inode_unref_locked(table, inode, 1);
	mutex_unlock(&table->lock);
}

static struct inode **hiding_bucket(struct inode_table *table, const char *name)
{
	return &table->hiding[name_hash(name) % INODE_HIDING_BUCKETS];
}

struct inode *inode_hider_locked(struct inode_table *table, const char *name,
				 struct version version)
{
	struct inode *newest = NULL;

	for (struct inode *inode = *hiding_bucket(table, name); inode;
	     inode = inode->next_that_hides)
		if (strcmp(inode->hides, name) == 0 &&
		    (!newest || version_compare(inode->hides_version, newest->hides_version) > 0))
			newest = inode;
	return newest && version_compare(version, newest->hides_version) <= 0 ? newest : NULL;
}

bool inode_is_hidden_locked(struct inode_table *table, const char *name, struct version version)
{
	return inode_hider_locked(table, name, version) != NULL;
}

void inode_set_hides_locked(struct inode_table *table, struct inode *inode, char *key,
			    struct version version)
{
	if (inode->hides) {
		struct inode **at = hiding_bucket(table, inode->hides);

		while (*at != inode)
			at = &(*at)->next_that_hides;
		*at = inode->next_that_hides;
		inode->next_that_hides = NULL;
		free(inode->hides);
	}
	inode->hides = key;
	inode->hides_version = version;
	if (key) {
		struct inode **bucket = hiding_bucket(table, key);

		inode->next_that_hides = *bucket;
		*bucket = inode;
	}
}

void inode_unhide_locked(struct inode_table *table, const char *name, struct version newest)
{
	struct inode *inode = *hiding_bucket(table, name), *next;

	for (; inode; inode = next) {
		next = inode->next_that_hides;
		if (strcmp(inode->hides, name) == 0 &&
		    version_compare(inode->hides_version, newest) <= 0)
			inode_set_hides_locked(table, inode, NULL, (struct version){ 0 });
	}
}

static void forget_value_locked(struct inode_table *table, struct inode *inode)
	REQUIRES(&table->lock)
{
	if (!inode->value)
		return;
	*(inode->value_previous ? &inode->value_previous->value_next : &table->value_oldest) =
		inode->value_next;
	*(inode->value_next ? &inode->value_next->value_previous : &table->value_newest) =
		inode->value_previous;
	inode->value_next = inode->value_previous = NULL;
	table->value_bytes -= inode->value->len;
	inode->value = value_unref(inode->value);
}

/* Those who have a file open have its value nowhere else: what they hold stays. */
static void make_room_for_values_locked(struct inode_table *table, const struct inode *newest)
	REQUIRES(&table->lock)
{
	struct inode *inode = table->value_oldest, *next;

	for (; inode != newest && table->value_bytes > VALUES_BYTES_MAX; inode = next) {
		next = inode->value_next;
		if (inode->handles == 0)
			forget_value_locked(table, inode);
	}
}

bool inode_values_are_many_locked(const struct inode_table *table)
{
	return table->value_bytes > VALUES_BYTES_MAX;
}

void inode_set_value_locked(struct inode_table *table, struct inode *inode, struct value *value)
{
	forget_value_locked(table, inode);
	if (!value)
		return;
	inode->value = value;
	inode->value_previous = table->value_newest;
	*(table->value_newest ? &table->value_newest->value_next : &table->value_oldest) = inode;
	table->value_newest = inode;
	table->value_bytes += value->len;
	make_room_for_values_locked(table, inode);
}

void inode_set_pin_locked(struct inode *inode, struct pin *pin)
{
	pin_unref(inode->pin);
	inode->pin = pin;
}

int inode_set_record_locked(struct inode_table *table, struct inode *inode,
			    const struct record_meta *meta, struct value *value)
{
	char *content_type = strdup(meta->content_type.text);
	char *encoding = strdup(meta->encoding.text);

	if (!content_type || !encoding) {
		free(content_type);
		free(encoding);
		value_unref(value);
		return -ENOMEM;
	}
	free(inode->content_type);
	free(inode->encoding);
	inode->content_type = content_type;
	inode->encoding = encoding;
	inode->stored = true;
	if (version_compare(inode->version, meta->version) != 0)
		inode->learnt_at = table->questions;
	inode->version = meta->version;
	inode->size_bytes = meta->size_bytes;
	inode->mtime_ns = meta->mtime_ns;
	if (value) {
		inode_set_value_locked(table, inode, value);
		inode->value_wanted = false;
	}
	return 0;
}

void inode_abandon_upload_locked(struct inode_table *table, struct inode *inode)
{
	(void)table;
	upload_abandon(inode->upload);
	inode->upload = upload_unref(inode->upload);
}

bool inode_is_given_up_locked(const struct inode *inode)
{
	return inode->conflict || (inode->deleted && inode->unsaved);
}

bool inode_is_readable_locked(const struct inode *inode)
{
	return inode->staging || inode->value || inode->size_bytes == 0 ||
	       (inode->pin && clock_monotonic_ms() < inode->pin->until_ms);
}

uint64_t inode_size_locked(struct inode *inode)
{
	return inode->staging ? staging_size(inode->staging) : inode->size_bytes;
}

bool inode_is_local_locked(const struct inode *inode)
{
	return inode->kind == INODE_TEMPORARY || inode->deleted || inode->unsaved;
}

/* Waits on the condition in slices, so that an interrupt is seen. */
static int wait_locked(struct inode_table *table, const struct interrupt *interrupt)
	REQUIRES(&table->lock)
{
	if (interrupt_raised(interrupt))
		return -EINTR;
	condition_wait_until(&table->changed, &table->lock, clock_monotonic_ms() + WAIT_SLICE_MS);
	return 0;
}

int inode_begin_change(struct inode_table *table, struct inode *inode,
		       const struct interrupt *interrupt)
{
	int r = 0;

	mutex_lock(&table->lock);
	/* Writers that overlap without end must not keep a sender out. */
	while (r == 0 && (inode->sending || (inode->changing > 0 && inode->senders > 0)))
		r = wait_locked(table, interrupt);
	if (r == 0)
		inode->changing++;
	mutex_unlock(&table->lock);
	return r;
}

void inode_end_change(struct inode_table *table, struct inode *inode)
{
	mutex_lock(&table->lock);
	if (--inode->changing == 0)
		condition_broadcast(&table->changed);
	mutex_unlock(&table->lock);
}

int inode_begin_send(struct inode_table *table, struct inode *inode,
		     const struct interrupt *interrupt)
{
	int r = 0;

	mutex_lock(&table->lock);
	inode->senders++;
	while (r == 0 && (inode->sending || inode->changing > 0))
		r = wait_locked(table, interrupt);
	inode->senders--;
	if (r == 0)
		inode->sending = true;
	else
		condition_broadcast(&table->changed);
	mutex_unlock(&table->lock);
	return r;
}

void inode_end_send(struct inode_table *table, struct inode *inode)
{
	mutex_lock(&table->lock);
	inode->sending = false;
	condition_broadcast(&table->changed);
	mutex_unlock(&table->lock);
}
