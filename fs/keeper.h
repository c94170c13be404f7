/* SPDX-License-Identifier: MIT */
/*
 * Keeps what is open whole. The version that an open file began on is pinned at its leader
 * (fs/pin.h) by the very request that the open makes anyway; threads here renew the pins of open
 * files, and get one where it is missing, until the last handle is closed. Then it lapses.
 *
 * One request at most is under way for an inode, however many handles it has. While the cluster is
 * away they go on trying: a pin lasts long enough for that. Those that fail never keep all threads
 * from the others. An outage is logged when it begins and when it is over, however many files are
 * open.
 * Threads: any; the inode table's lock protects all.
 */
#pragma once

#include "fs/inode.h"
#include "fs/remote.h"

struct mount;
struct keeper;

struct keeper_options {
	struct mount *mount; /* its remote and its inodes */
	unsigned threads;
	uint32_t attempt_ms; /* the most that a request may take */
	uint32_t renew_ms; /* how often */
};

int keeper_new(const struct keeper_options *options, struct keeper **ret_keeper);
/* Gives up what is under way. Accepts NULL. */
struct keeper *keeper_free(struct keeper *keeper);

/* The inode has been opened, or has got what a pin may be wanted for. Does nothing for what needs
 * none. @table is the mount's. */
void keeper_watch_locked(struct keeper *keeper, struct inode_table *table, struct inode *inode)
	REQUIRES(&table->lock);
/* The last handle has been closed. */
void keeper_unwatch_locked(struct keeper *keeper, struct inode_table *table, struct inode *inode)
	REQUIRES(&table->lock);
/* A pin for a stored version that is about to be replaced or removed: there is one that lasts for a
 * while, or one is got now. 0; -ENOENT: there is none to be had; or what the request ended with. */
int keeper_pin_now(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
