/* SPDX-License-Identifier: MIT */
/*
 * Inodes: what the kernel's node ids stand for. An inode is one file as its openers see it. A
 * version of a record that was learnt from elsewhere gets an inode of its own under the same name,
 * and so the same st_ino: those who have the older one open stay on it, and the kernel's page cache
 * never mixes two. Changes made here change the inode in place.
 *
 * Ownership: reference-counted; the kernel's look-ups, open files and callers each hold references.
 * A temporary file is held by its name as well: it exists nowhere else.
 * Threads: table->lock protects every field; nothing waits for disk or network under it. Whoever
 * changes an inode's content or sends it brackets that with inode_begin_*(), which keep the two
 * apart for as long as a request takes.
 */
#pragma once

#include "fs/interrupt.h"
#include "fs/names.h"
#include "fs/pin.h"
#include "fs/staging.h"
#include "fs/upload.h"
#include "fs/value.h"
#include "lib/mutex.h"
#include "lib/record.h"

#include <stdbool.h>
#include <stdint.h>

enum inode_kind { INODE_ROOT, INODE_RECORD, INODE_TEMPORARY };

struct inode {
	enum inode_kind kind;
	uint64_t birth; /* never used twice: order of the names that only this mount has */
	uint64_t references;

	/* The name. */
	char *filename; /* never NULL; see inode_name_locked() */
	bool may_be_renamed; /* there is room for any name */
	uint64_t st_ino; /* hash of the name */
	bool linked; /* the name finds this inode */
	bool deleted; /* removed or replaced through this mount: nothing is stored any more */
	struct inode *next_of_bucket;
	bool nameless; /* a record's file that the name found once: it may be stored yet */
	struct inode *next_nameless; /* of the bucket of the name that it had */
	struct inode *next, *previous; /* of the ring that it is in */
	bool from_elsewhere; /* in the ring of those */

	/* The record as it is stored. */
	bool stored;
	struct version version;
	uint64_t size_bytes;
	int64_t mtime_ns; /* of unsaved content too: it is stored with that */
	char *content_type; /* NULL: not known if stored, else the default */
	char *encoding;
	struct value *value; /* its bytes, if small and at hand */
	struct inode *value_next, *value_previous; /* those that keep one, oldest first */
	bool value_wanted; /* small and not read yet: an open may as well fetch it */
	uint64_t fresh_until_ms; /* the router was asked less than the attribute timeout ago */
	uint64_t known_by; /* the question to the router, or store, that gave this version */
	uint64_t learnt_at; /* the last question that had been asked when this version was learnt */
	bool stale; /* a follower told of it, while there was no leader, and nobody since: what was
		       made of it replaces nothing that is newer */
	uint64_t asked_at_ms; /* the last look-up asked the router: good for the open that follows,
				 0 = not */
	pid_t asked_by; /* that look-up's thread; 0: not known */

	struct pin *pin; /* of what is not here of the content; NULL: none */
	struct keeper_watch *watch; /* fs/keeper: it is open and wants a pin */

	/* What has been changed here. */
	struct staging *staging; /* NULL: nothing */
	struct upload *upload; /* that follows the writer; NULL: none */
	uint64_t upload_from; /* bytes that were uploaded already: another begins well beyond */
	bool unsaved; /* the content is not stored yet */
	bool conflict; /* the record was changed elsewhere: the content can't be stored, and whoever
			  opens the name gets what is */
	bool unsure; /* an attempt to store it ended without an answer: it may be stored */
	bool synced; /* a temporary file that was fsynced: renaming it must be durable */
	bool labels_set; /* a program chose the labels of a temporary file */

	unsigned mode; /* permissions, kept in memory only */
	unsigned handles; /* open files */
	struct reader *reader; /* theirs */
	unsigned writers; /* open for writing */
	unsigned ending; /* of these, that are being closed */
	unsigned storing; /* that change it without having it open, and will open or store it */

	/* Changing against sending. */
	unsigned changing;
	unsigned senders; /* that wait for the changing to end */
	bool sending;

	/* A temporary file that was a record: that record is hidden here, and removed with the
	 * file. */
	char *hides;
	struct version hides_version;
	struct inode *next_that_hides; /* of the bucket of what it hides */
};

#define INODE_BUCKETS          65536
#define INODE_HIDING_BUCKETS   1024
#define INODE_NAMELESS_BUCKETS 1024

struct inode_table {
	struct mutex lock;
	struct condition changed; /* changing or sending of some inode ended */
	struct inode *buckets[INODE_BUCKETS];
	struct inode made_here; /* head of the ring of those that began with this mount */
	struct inode from_elsewhere; /* and of the others, that the router told of; oldest first */
	uint64_t from_elsewhere_count;
	struct inode *value_oldest, *value_newest;
	uint64_t value_bytes;
	uint64_t count;
	uint64_t births;
	uint64_t questions; /* how many were asked of the router, in the order of asking */
	int64_t names_changed_ns; /* when names came or went through this mount, or the time that a
				     program gave the directory since */
	struct inode *hiding[INODE_HIDING_BUCKETS];
	struct inode *nameless[INODE_NAMELESS_BUCKETS];
	unsigned new_mode;
	struct inode root;
};

void inode_table_init(struct inode_table *table, unsigned new_mode);
/* Frees every inode, whoever holds it. */
void inode_table_deinit(struct inode_table *table);

uint64_t inode_name_st_ino(const char *name);
/* The number of a question that is about to be asked: its answer holds at some time after that. */
uint64_t inode_ask(struct inode_table *table);

/* All _locked functions: the caller holds table->lock. */

/* Not linked; one reference for the caller. NULL if memory is out. */
struct inode *inode_new_locked(struct inode_table *table, enum inode_kind kind, const char *name)
	REQUIRES(&table->lock);
/* A record that the router told of. */
struct inode *inode_new_from_elsewhere_locked(struct inode_table *table, const char *name)
	REQUIRES(&table->lock);
/* Perhaps only this mount has it from now on. */
void inode_set_made_here_locked(struct inode_table *table, struct inode *inode)
	REQUIRES(&table->lock);
/* A copy of its name. */
void inode_name_locked(const struct inode *inode, char ret_name[NAME_BYTES_MAX + 1]);
/* The first one that is @wanted, borrowed; NULL if there is none. */
struct inode *inode_any_locked(struct inode_table *table, bool (*wanted)(const struct inode *))
	REQUIRES(&table->lock);
/* Up to @count of those from elsewhere, the oldest first, which then count as the youngest. What is
 * told of them is their node ids. */
size_t inode_oldest_locked(struct inode_table *table, uint64_t *ret_ids, size_t count)
	REQUIRES(&table->lock);
/* Borrowed; NULL if there is none. */
struct inode *inode_find_locked(struct inode_table *table, const char *name) REQUIRES(&table->lock);
/* The same with a reference for the caller, who does not hold the lock. */
struct inode *inode_find(struct inode_table *table, const char *name);
/* Removed or replaced through this mount: whoever has it open keeps it, nobody finds it. */
void inode_mark_deleted(struct inode_table *table, struct inode *inode);
/* Those of @name that it does not find any more, since a newer version came from elsewhere, or the
 * record went: the one behind @previous (NULL: the first), borrowed; NULL if there is none. */
struct inode *inode_next_nameless_locked(struct inode_table *table, const char *name,
					 const struct inode *previous) REQUIRES(&table->lock);
/* Makes @inode the one that its name finds, instead of any other. */
void inode_link_locked(struct inode_table *table, struct inode *inode) REQUIRES(&table->lock);
void inode_unlink_locked(struct inode_table *table, struct inode *inode) REQUIRES(&table->lock);
/* Makes room for any name, as renaming must not fail. -ENOMEM. */
int inode_reserve_name(struct inode_table *table, struct inode *inode);
/* Gives it another name (and the kind that goes with it) and links it there. */
void inode_rename_locked(struct inode_table *table, struct inode *inode, const char *name)
	REQUIRES(&table->lock);
struct inode *inode_ref_locked(struct inode *inode);
/* Frees the inode with its last reference. */
void inode_unref_locked(struct inode_table *table, struct inode *inode, uint64_t count)
	REQUIRES(&table->lock);
void inode_unref(struct inode_table *table, struct inode *inode);

/* The temporary file that the newest version of the record @name became that was moved aside, if
 * that hides @version; NULL if there is none. Borrowed. */
struct inode *inode_hider_locked(struct inode_table *table, const char *name,
				 struct version version) REQUIRES(&table->lock);
bool inode_is_hidden_locked(struct inode_table *table, const char *name, struct version version)
	REQUIRES(&table->lock);
void inode_set_hides_locked(struct inode_table *table, struct inode *inode, char *key,
			    struct version version) REQUIRES(&table->lock);

#define VERSION_NEWEST ((struct version){ UINT64_MAX, UINT64_MAX })
/* The versions of @name up to @newest are not stored any more: nothing hides them. */
void inode_unhide_locked(struct inode_table *table, const char *name, struct version newest)
	REQUIRES(&table->lock);

/* Takes the reference to @value (NULL: none). Values of files that nobody has open are dropped,
 * oldest first, beyond a bound. */
void inode_set_value_locked(struct inode_table *table, struct inode *inode, struct value *value)
	REQUIRES(&table->lock);
/* There are more values than may stay in memory: those of files that are opened go elsewhere. */
bool inode_values_are_many_locked(const struct inode_table *table) REQUIRES(&table->lock);
/* Takes the reference to @pin (NULL: none). */
void inode_set_pin_locked(struct inode *inode, struct pin *pin);
/* What the router said about the record now. @value is taken, NULL: not at hand. */
int inode_set_record_locked(struct inode_table *table, struct inode *inode,
			    const struct record_meta *meta, struct value *value)
	REQUIRES(&table->lock);
/* Gives up the upload that follows its writer, if there is one. */
void inode_abandon_upload_locked(struct inode_table *table, struct inode *inode)
	REQUIRES(&table->lock);
/* Its content will never be stored: nobody may open it any more. */
bool inode_is_given_up_locked(const struct inode *inode);
/* What is stored no more can be read all the same: it is here, or pinned. */
bool inode_is_readable_locked(const struct inode *inode);
/* Current size, with what is unsaved. */
uint64_t inode_size_locked(struct inode *inode);
/* Its content is that of a record elsewhere unless something is unsaved. */
bool inode_is_local_locked(const struct inode *inode);

/* Between these nobody sends the content. -EINTR. */
int inode_begin_change(struct inode_table *table, struct inode *inode,
		       const struct interrupt *interrupt);
void inode_end_change(struct inode_table *table, struct inode *inode);
/* Between these nobody changes or sends the content. */
int inode_begin_send(struct inode_table *table, struct inode *inode,
		     const struct interrupt *interrupt);
void inode_end_send(struct inode_table *table, struct inode *inode);
