/* SPDX-License-Identifier: MIT */
/* Only files that were there before the name goes are withdrawn: whoever opens what comes next by
 * that name, though it may come while the request is under way, keeps it. */
#include "fs/withdraw.h"

#include <errno.h>
#include <stdlib.h>

static size_t count_locked(struct inode_table *table, const char *name) REQUIRES(&table->lock)
{
	const struct inode *inode = NULL;
	size_t count = 1;

	while ((inode = inode_next_nameless_locked(table, name, inode)))
		count++;
	return count;
}

static int collect_locked(struct inode_table *table, const char *name, const struct inode *renamed,
			  struct withdrawal *ret_withdrawal) REQUIRES(&table->lock)
{
	struct inode *named = renamed ? NULL : inode_find_locked(table, name);
	struct inode *inode = NULL;
	struct inode **inodes = calloc(count_locked(table, name), sizeof(*inodes));
	size_t count = 0;

	if (!inodes)
		return -ENOMEM;
	if (named)
		inodes[count++] = inode_ref_locked(named);
	while ((inode = inode_next_nameless_locked(table, name, inode)))
		/* What is in conflict is not stored anyway, and its writer is to learn that. */
		if (inode != renamed && !inode->conflict)
			inodes[count++] = inode_ref_locked(inode);
	*ret_withdrawal = (struct withdrawal){ .named = named, .inodes = inodes, .count = count };
	return 0;
}

static void drop(struct mount *mount, struct withdrawal *withdrawal)
{
	for (size_t i = 0; i < withdrawal->count; i++)
		inode_unref(&mount->inodes, withdrawal->inodes[i]);
	free(withdrawal->inodes);
	*withdrawal = (struct withdrawal){ 0 };
}

int withdraw_begin(struct mount *mount, const char *name, const struct inode *renamed,
		   const struct interrupt *interrupt, struct withdrawal *ret_withdrawal)
{
	struct withdrawal withdrawal = { 0 };
	size_t held = 0;
	int r;

	mutex_lock(&mount->inodes.lock);
	r = collect_locked(&mount->inodes, name, renamed, &withdrawal);
	mutex_unlock(&mount->inodes.lock);
	while (r == 0 && held < withdrawal.count) {
		r = inode_begin_send(&mount->inodes, withdrawal.inodes[held], interrupt);
		held += r == 0;
	}
	if (r < 0) {
		while (held-- > 0)
			inode_end_send(&mount->inodes, withdrawal.inodes[held]);
		drop(mount, &withdrawal);
		return r;
	}
	*ret_withdrawal = withdrawal;
	return 0;
}

void withdraw_end(struct mount *mount, struct withdrawal *withdrawal, bool gone)
{
	for (size_t i = 0; i < withdrawal->count; i++) {
		if (gone)
			inode_mark_deleted(&mount->inodes, withdrawal->inodes[i]);
		inode_end_send(&mount->inodes, withdrawal->inodes[i]);
	}
	drop(mount, withdrawal);
}
