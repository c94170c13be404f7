/* SPDX-License-Identifier: MIT */
#include "fs/resolve.h"

#include "fs/asker.h"
#include "fs/stats.h"
#include "lib/cleanup.h"
#include "lib/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How long a look-up may lie before the open that it belongs to. */
#define OPEN_FOLLOWS_MS 100
/* How long a large value is pinned by a look-up, which an open may follow, and by an open. */
#define LOOKUP_PIN_S 20
#define OPEN_PIN_S   PIN_SECONDS_MAX

static void mark_asked_locked(const struct mount *mount, struct inode *inode, uint64_t question)
{
	if (inode->known_by < question)
		inode->known_by = question;
	inode->asked_at_ms = clock_monotonic_ms();
	inode->asked_by = 0;
	inode->fresh_until_ms = inode->asked_at_ms + mount->options->attr_timeout_ms;
}

/* A version that follows one was current later than that. */
static void inherit_locked(struct inode *inode, const struct inode *older)
{
	inode->mode = older->mode;
	inode->known_by = older->known_by;
}

/* Whether the inode is as good as the router's answer. */
static bool known_locked(struct inode *inode, enum resolve_how how)
{
	if (inode_is_local_locked(inode))
		return true;
	if (how == RESOLVE_NOW || clock_monotonic_ms() >= inode->fresh_until_ms)
		return false;
	inode->asked_at_ms = 0;
	return true;
}

/* The router has no such record. */
static int gone_locked(struct mount *mount, const char *name, struct inode **ret_inode)
	REQUIRES(&mount->inodes.lock)
{
	struct inode *inode = inode_find_locked(&mount->inodes, name);

	if (!inode)
		return -ENOENT;
	if (inode_is_local_locked(inode)) {
		*ret_inode = inode_ref_locked(inode);
		return 0;
	}
	inode_unlink_locked(&mount->inodes, inode);
	return -ENOENT;
}

/* A pin names the version that the inode's content is of. Takes it from @record. */
static void adopt_pin_locked(struct inode *inode, struct remote_record *record)
{
	if (!record->pin)
		return;
	inode_set_pin_locked(inode, record->pin);
	record->pin = NULL;
}

/* The leader has an older version than this, which was known before it was asked: a new leader has
 * gone on without it. A follower may only be behind. */
static bool is_lost_locked(const struct inode *inode, uint64_t question,
			   const struct remote_record *record)
{
	return !record->stale && question > inode->learnt_at;
}

/* The inode for what the router said: the one that is linked if it is that version or one that has
 * been stored through this mount since, otherwise a new one. @value is taken. */
static int adopt_locked(struct mount *mount, const char *name, uint64_t question,
			struct remote_record *record, struct value *value, struct inode **ret_inode)
	REQUIRES(&mount->inodes.lock)
{
	const struct record_meta *meta = &record->meta;
	struct inode *inode = inode_find_locked(&mount->inodes, name);
	struct inode *fresh;
	int order, r;

	if (inode && inode_is_local_locked(inode)) {
		value_unref(value);
		*ret_inode = inode_ref_locked(inode);
		return 0;
	}
	order = inode && inode->stored ? version_compare(meta->version, inode->version) : 1;
	if (order == 0 || (order < 0 && !is_lost_locked(inode, question, record))) {
		r = 0;
		if (order == 0)
			r = inode_set_record_locked(&mount->inodes, inode, meta, value);
		else
			value_unref(value);
		if (r == 0) {
			if (order == 0)
				adopt_pin_locked(inode, record);
			inode->stale = record->stale;
			mark_asked_locked(mount, inode, question);
			*ret_inode = inode_ref_locked(inode);
		}
		return r;
	}
	fresh = inode_new_from_elsewhere_locked(&mount->inodes, name);
	if (!fresh) {
		value_unref(value);
		return -ENOMEM;
	}
	r = inode_set_record_locked(&mount->inodes, fresh, meta, value);
	if (r < 0) {
		inode_unref_locked(&mount->inodes, fresh, 1);
		return r;
	}
	if (inode)
		inherit_locked(fresh, inode);
	fresh->stale = record->stale;
	adopt_pin_locked(fresh, record);
	inode_link_locked(&mount->inodes, fresh);
	mark_asked_locked(mount, fresh, question);
	*ret_inode = fresh;
	return 0;
}

/* Asks the router. @known: its version if there is an inode that would do. */
static int ask(struct mount *mount, const char *name, enum resolve_how how,
	       const struct version *known, const struct interrupt *interrupt,
	       struct inode **ret_inode)
{
	_cleanup_(remote_record_deinit) struct remote_record record = { 0 };
	struct value *value = NULL;
	struct inode *inode;
	uint64_t question = inode_ask(&mount->inodes);
	int r;

	r = remote_get(mount->remote, name, known, how == RESOLVE_NOW ? OPEN_PIN_S : LOOKUP_PIN_S,
		       interrupt, &record);
	/* Not what a page of names said that was asked for before. */
	changes_note(remote_changes(mount->remote), name);
	if (r < 0 && r != -ENOENT)
		return r;
	if (known)
		stats_count(r == REMOTE_SAME ? STATS_VERSION_HITS : STATS_VERSION_MISSES, 1);
	if (r == 0 && record.whole) {
		value = value_new(record.value.data, record.value.len);
		if (!value)
			return -ENOMEM;
	}
	mutex_lock(&mount->inodes.lock);
	inode = inode_find_locked(&mount->inodes, name);
	if (r == -ENOENT) {
		r = gone_locked(mount, name, ret_inode);
	} else if (r == REMOTE_SAME && inode && inode->stored &&
		   version_compare(inode->version, *known) == 0) {
		adopt_pin_locked(inode, &record);
		inode->stale = record.stale && !inode_is_local_locked(inode);
		mark_asked_locked(mount, inode, question);
		*ret_inode = inode_ref_locked(inode);
		r = 0;
	} else if (r == REMOTE_SAME) {
		r = -EAGAIN;
	} else if (inode_is_hidden_locked(&mount->inodes, name, record.meta.version)) {
		value_unref(value);
		r = -ENOENT;
	} else {
		r = adopt_locked(mount, name, question, &record, value, ret_inode);
	}
	mutex_unlock(&mount->inodes.lock);
	return r;
}

/* What is known without asking: 1 found, 0 not, -ENOENT. *ret_known is set for a conditional
 * question. */
static int look_locked(struct mount *mount, const char *name, enum resolve_how how,
		       struct version *ret_known, bool *ret_has_known, struct inode **ret_inode)
	REQUIRES(&mount->inodes.lock)
{
	struct inode *inode = inode_find_locked(&mount->inodes, name);

	*ret_has_known = false;
	if (inode && known_locked(inode, how)) {
		*ret_inode = inode_ref_locked(inode);
		return 1;
	}
	if (name_classify(name) == NAME_TEMPORARY)
		return -ENOENT;
	if (!inode)
		return 0;
	/* Labels that are not known yet, and a value that is about to be read, come with a whole
	 * answer only. So does a small value that had to make way: nothing keeps it readable
	 * elsewhere. */
	*ret_has_known = inode->stored && inode->content_type && !inode->value_wanted &&
			 (inode->value || inode->staging || inode->size_bytes > VALUE_SMALL_MAX);
	*ret_known = inode->version;
	return 0;
}

/* Like the one that @page was, as it is now. */
static bool list_again(struct mount *mount, struct listed_page **page, const char *name,
		       const struct interrupt *interrupt, struct listed_name *ret_name)
{
	struct listed_page *fresh;
	ssize_t at;

	if (listed_page_fetch(mount->remote, (*page)->from, interrupt, &fresh) < 0)
		return false;
	listed_page_unref(*page);
	*page = fresh;
	listed_add(mount->listed, fresh);
	at = listed_page_find(fresh, name);
	if (at >= 0)
		listed_page_get(fresh, (size_t)at, ret_name);
	return at >= 0;
}

/* The page is of a time before the inode's version, or that is lost: the router knows. */
static bool is_behind(struct mount *mount, struct inode *inode, const struct remote_name *listed)
{
	bool behind;

	mutex_lock(&mount->inodes.lock);
	behind = !inode_is_local_locked(inode) &&
		 version_compare(listed->version, inode->version) < 0;
	mutex_unlock(&mount->inodes.lock);
	return behind;
}

/* The inode of a name that was listed less than the attribute timeout ago; NULL if that is not so.
 */
static struct inode *find_listed(struct mount *mount, const char *name,
				 const struct interrupt *interrupt)
{
	uint64_t timeout_ms = mount->options->attr_timeout_ms;
	struct inode *inode = NULL;
	struct listed_page *page;
	struct listed_name listed;
	bool good;

	if (!mount->listed || timeout_ms == 0 || !listed_find(mount->listed, name, &listed, &page))
		return NULL;
	good = clock_monotonic_ms() - page->asked_ms < timeout_ms ||
	       (listed_too_old(mount->listed) &&
		list_again(mount, &page, name, interrupt, &listed));
	if (good && !listed_page_is_behind(page, mount->remote, name, &listed.record.version))
		inode = resolve_listed(mount, &listed.record, page->asked_ms);
	if (inode && is_behind(mount, inode, &listed.record)) {
		inode_unref(&mount->inodes, inode);
		inode = NULL;
	}
	listed_page_unref(page);
	return inode;
}

int resolve_name(struct mount *mount, const char *name, enum resolve_how how,
		 const struct interrupt *interrupt, struct inode **ret_inode)
{
	struct version known;
	bool has_known;
	int r;

	r = name_lookup_error(name_classify(name));
	if (r < 0)
		return r;
	do {
		mutex_lock(&mount->inodes.lock);
		r = look_locked(mount, name, how, &known, &has_known, ret_inode);
		mutex_unlock(&mount->inodes.lock);
		if (r == 0 && how == RESOLVE_RECENT) {
			*ret_inode = find_listed(mount, name, interrupt);
			r = *ret_inode != NULL;
		}
		if (r == 1)
			stats_count(STATS_NAME_HITS, 1);
		if (r != 0)
			return r < 0 ? r : 0;
		stats_count(STATS_NAME_MISSES, 1);
		r = ask(mount, name, how, has_known ? &known : NULL, interrupt, ret_inode);
		/* The inode that the question was about has gone meanwhile. */
	} while (r == -EAGAIN);
	return r;
}

/* What an exclusive CREATE answers is the leader's word, so the look-up before it need not be. The
 * one before that keeps this to names that were absent just now: a file system stacked on this one
 * looks names up here while its caller creates something in it, and sends no CREATE. */
static bool is_being_created(struct mount *mount, const char *name, pid_t pid)
{
	bool absent;

	mutex_lock(&mount->inodes.lock);
	absent = !inode_find_locked(&mount->inodes, name) &&
		 absent_take(&mount->absent, pid, inode_name_st_ino(name));
	mutex_unlock(&mount->inodes.lock);
	return absent && asker_creates_exclusively(pid);
}

static bool is_tried_again(struct mount *mount, const char *name, pid_t pid, uint64_t *ret_since)
{
	uint64_t st_ino = inode_name_st_ino(name);
	bool again;

	mutex_lock(&mount->inodes.lock);
	*ret_since = mount->inodes.questions;
	again = reopen_looks(&mount->reopen, pid, st_ino, true);
	mutex_unlock(&mount->inodes.lock);
	return again;
}

/* What was asked for before the look-up began may be older than the open that follows it. */
static void mark_asker(struct mount *mount, struct inode *inode, pid_t pid, uint64_t since)
{
	mutex_lock(&mount->inodes.lock);
	if (inode->known_by > since)
		inode->asked_by = pid;
	/* What is local needs no grace, and the kernel may keep its entry: the open that uses this
	 * look-up need not be the next one. */
	if (inode_is_local_locked(inode))
		(void)reopen_looks(&mount->reopen, pid, inode_name_st_ino(inode->filename), false);
	mutex_unlock(&mount->inodes.lock);
}

int resolve_lookup(struct mount *mount, const char *name, pid_t pid,
		   const struct interrupt *interrupt, struct inode **ret_inode)
{
	uint64_t since;
	bool again;
	int r;

	if (is_being_created(mount, name, pid))
		return -ENOENT;
	again = is_tried_again(mount, name, pid, &since);
	r = resolve_name(mount, name, again ? RESOLVE_NOW : RESOLVE_RECENT, interrupt, ret_inode);
	if (r == 0)
		mark_asker(mount, *ret_inode, pid, since);
	if (r == -ENOENT && name_classify(name) == NAME_KEY) {
		mutex_lock(&mount->inodes.lock);
		absent_note(&mount->absent, pid, inode_name_st_ino(name));
		(void)reopen_looks(&mount->reopen, pid, inode_name_st_ino(name), false);
		mutex_unlock(&mount->inodes.lock);
	}
	return r;
}

/* A file without a name is opened by way of one that is open, or by a look-up from before it lost
 * the name, and what has the name now may have been there when the open began. The second try tells
 * which it is; without it who has the file open is given it. */
static bool is_nameless_current_locked(const struct inode *inode, pid_t pid, enum reopen_try try)
{
	if (try == REOPEN_BY_NAME)
		return inode->handles > 0 || inode_is_readable_locked(inode);
	return inode->handles > 0 && (try == REOPEN_PAST_NAME || pid <= 0);
}

/* Whether the inode will do without asking. */
static bool is_current_locked(const struct inode *inode, pid_t pid, enum reopen_try try,
			      uint64_t since)
{
	if (inode_is_given_up_locked(inode))
		return false;
	if (inode->deleted)
		return is_nameless_current_locked(inode, pid, try);
	if (try == REOPEN_PAST_NAME && inode->handles > 0)
		return true;
	if (inode_is_local_locked(inode))
		return inode->linked || try == REOPEN_BY_NAME || pid <= 0;
	/* Those that it was opened with are what a changed file is stored with. A large one that is
	 * not pinned may go away under its reader. */
	if (!inode->content_type || !inode_is_readable_locked(inode))
		return false;
	if (try == REOPEN_BY_NAME && inode->known_by > since)
		return true;
	return inode->linked && inode->asked_at_ms > 0 && pid > 0 && inode->asked_by == pid &&
	       clock_monotonic_ms() - inode->asked_at_ms < OPEN_FOLLOWS_MS;
}

/* Asks the router. -ESTALE if the name stands for another inode. */
static int ask_current(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	struct inode *current;
	char name[NAME_BYTES_MAX + 1];
	int r;

	mutex_lock(&mount->inodes.lock);
	inode_name_locked(inode, name);
	r = inode->deleted ? -ESTALE : 0;
	mutex_unlock(&mount->inodes.lock);
	if (r == 0)
		r = resolve_name(mount, name, RESOLVE_NOW, interrupt, &current);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	mutex_lock(&mount->inodes.lock);
	current->asked_at_ms = 0;
	r = current == inode ? 0 : -ESTALE;
	inode_unref_locked(&mount->inodes, current, 1);
	mutex_unlock(&mount->inodes.lock);
	return r;
}

/* A file that was renamed to the name brought its own number. */
static struct reopen_file file_of(const struct inode *inode)
{
	return (struct reopen_file){
		.st_ino = inode_name_st_ino(inode->filename),
		.birth = inode->birth,
	};
}

int resolve_check_current(struct mount *mount, struct inode *inode, pid_t pid,
			  const struct interrupt *interrupt, struct resolve_try *ret_try)
{
	uint64_t since = 0;
	bool done;

	if (mount->listed)
		listed_opened(mount->listed);
	mutex_lock(&mount->inodes.lock);
	ret_try->began = mount->inodes.questions;
	ret_try->which = reopen_take(&mount->reopen, pid, file_of(inode), &since);
	done = is_current_locked(inode, pid, ret_try->which, since);
	inode->asked_at_ms = 0;
	mutex_unlock(&mount->inodes.lock);
	if (done) {
		stats_count(STATS_NAME_HITS, 1);
		return 0;
	}
	return ask_current(mount, inode, interrupt);
}

void resolve_try_failed(struct mount *mount, struct inode *inode, pid_t pid,
			const struct resolve_try *try)
{
	struct reopen_file file;

	mutex_lock(&mount->inodes.lock);
	file = file_of(inode);
	/* Or it was a first one that looked like a second: an open that ended with its look-up had
	 * left a note. */
	if (try->which != REOPEN_FIRST)
		file.birth = 0;
	reopen_note(&mount->reopen, pid, file, try->began);
	mutex_unlock(&mount->inodes.lock);
}

/* A page of names may have been on its way while the record changed here, so it never replaces what
 * is newer. */
struct inode *resolve_listed(struct mount *mount, const struct remote_name *name,
			     uint64_t listed_ms)
{
	uint64_t fresh_until_ms = listed_ms + mount->options->attr_timeout_ms;
	struct inode *inode, *old;

	mutex_lock(&mount->inodes.lock);
	if (inode_is_hidden_locked(&mount->inodes, name->key, name->version)) {
		mutex_unlock(&mount->inodes.lock);
		return NULL;
	}
	old = inode = inode_find_locked(&mount->inodes, name->key);
	if (inode &&
	    (inode_is_local_locked(inode) || version_compare(name->version, inode->version) <= 0)) {
		if (version_compare(name->version, inode->version) == 0 &&
		    inode->fresh_until_ms < fresh_until_ms)
			inode->fresh_until_ms = fresh_until_ms;
		inode_ref_locked(inode);
		mutex_unlock(&mount->inodes.lock);
		return inode;
	}
	inode = inode_new_from_elsewhere_locked(&mount->inodes, name->key);
	if (inode) {
		inode->stored = true;
		inode->version = name->version;
		inode->learnt_at = mount->inodes.questions;
		inode->size_bytes = name->size_bytes;
		inode->mtime_ns = name->mtime_ns;
		inode->value_wanted = name->size_bytes <= VALUE_SMALL_MAX;
		inode->fresh_until_ms = fresh_until_ms;
		if (old)
			inherit_locked(inode, old);
		inode_link_locked(&mount->inodes, inode);
	}
	mutex_unlock(&mount->inodes.lock);
	return inode;
}

double resolve_entry_timeout_locked(const struct mount *mount, const struct inode *inode)
{
	uint64_t now = clock_monotonic_ms();

	if (inode_is_local_locked(inode))
		return mount->options->attr_timeout_ms / 1000.0;
	/* The open that follows this look-up needs no question of its own only if the next open
	 * looks it up again. */
	if (inode->asked_at_ms > 0 || inode->fresh_until_ms <= now)
		return 0;
	return (double)(inode->fresh_until_ms - now) / 1000.0;
}
