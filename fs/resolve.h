/* SPDX-License-Identifier: MIT */
/*
 * From a name to the inode that it stands for now. This is where changes made elsewhere are
 * noticed: a newer version of a record becomes a new inode under the same name.
 *
 * Each open must see the current version, and a look-up precedes an open only if the kernel's entry
 * has expired. So a look-up that asked the router leaves a mark (asked_at_ms) that the open which
 * follows at once may use instead of asking again, and its entry is not cached; a look-up answered
 * from memory removes the mark. It is for the thread that looked up (asked_by): another's open may
 * have begun after the router had answered.
 */
#pragma once

#include "fs/mount.h"

enum resolve_how {
	RESOLVE_RECENT, /* what the router said less than the attribute timeout ago will do */
	RESOLVE_NOW, /* ask the router */
};

/* On success *ret_inode has one reference for the caller. -ENOENT, -ENAMETOOLONG, or what
 * remote_get() says. */
int resolve_name(struct mount *mount, const char *name, enum resolve_how how,
		 const struct interrupt *interrupt, struct inode **ret_inode);
/* The same for a look-up by the thread @pid. A name that it is about to create exclusively, after a
 * look-up that found none, is not asked for again: CREATE finds out. One that it tries again to
 * open gets an answer of the router's, which the open that follows may have too. */
int resolve_lookup(struct mount *mount, const char *name, pid_t pid,
		   const struct interrupt *interrupt, struct inode **ret_inode);
/* One of the two tries that the kernel gives an open. */
struct resolve_try {
	enum reopen_try which;
	uint64_t began; /* number of the last question before it */
};
/* For an open by the thread @pid: -ESTALE if its name stands for another version by now, or for
 * none (the kernel then looks it up again). *ret_try is set in any case. */
int resolve_check_current(struct mount *mount, struct inode *inode, pid_t pid,
			  const struct interrupt *interrupt, struct resolve_try *ret_try);
/* The open is about to be told ESTALE, by the above or since. */
void resolve_try_failed(struct mount *mount, struct inode *inode, pid_t pid,
			const struct resolve_try *try);
/* The inode for an entry of a listing, with one reference for the caller; NULL if it is hidden here
 * or memory is out. */
struct inode *resolve_listed(struct mount *mount, const struct remote_name *name,
			     uint64_t listed_ms);
/* How long the kernel may keep what it is told about the inode now, in seconds. */
double resolve_entry_timeout_locked(const struct mount *mount, const struct inode *inode);
