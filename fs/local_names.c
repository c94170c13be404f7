/* SPDX-License-Identifier: MIT */
#include "fs/local_names.h"

#include "fs/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How often a reader begins again before what has been stored is the router's to list. */
#define AGE_MAX 16

struct local_name {
	struct inode *inode;
	uint64_t birth;
	char *name; /* the inode's own may change */
	unsigned age;
};

static int by_birth(const void *a, const void *b)
{
	const struct local_name *one = a, *other = b;

	return one->birth < other->birth ? -1 : one->birth > other->birth;
}

static int by_name(const void *a, const void *b)
{
	const struct local_name *const *one = a, *const *other = b;

	return strcmp((*one)->name, (*other)->name);
}

void local_names_deinit(struct local_names *local, struct mount *mount)
{
	mutex_lock(&mount->inodes.lock);
	for (size_t i = 0; i < local->count; i++)
		inode_unref_locked(&mount->inodes, local->names[i].inode, 1);
	mutex_unlock(&mount->inodes.lock);
	for (size_t i = 0; i < local->count; i++)
		free(local->names[i].name);
	free(local->names);
	free(local->by_name);
	*local = (struct local_names){ 0 };
}

/* Somebody else may have removed the record that unsaved content began from. */
static bool is_local(const struct inode *inode)
{
	return inode->linked && (!inode->stored || inode->unsaved);
}

/* Local no more, but perhaps not seen yet by who comes back. Another file may have taken the name
 * meanwhile: whether there is one shows when it is listed. */
static bool is_kept_locked(const struct local_name *old, struct inode_table *table)
	REQUIRES(&table->lock)
{
	const struct inode *now = inode_find_locked(table, old->name);

	return old->age < AGE_MAX && strcmp(old->inode->filename, old->name) == 0 &&
	       !(now && is_local(now));
}

static int add_locked(struct local_names *local, struct inode *inode, uint64_t birth,
		      const char *name, unsigned age)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	local->names[local->count++] = (struct local_name){
		.inode = inode_ref_locked(inode), .birth = birth, .name = copy, .age = age
	};
	return 0;
}

static int fill_locked(struct local_names *local, const struct local_names *old,
		       struct inode_table *table) REQUIRES(&table->lock)
{
	struct inode *inode;
	size_t count = old->count;
	int r = 0;

	for (inode = table->made_here.next; inode != &table->made_here; inode = inode->next)
		count += is_local(inode);
	if (count == 0)
		return 0;
	local->names = calloc(count, sizeof(*local->names));
	local->by_name = calloc(count, sizeof(*local->by_name));
	if (!local->names || !local->by_name)
		return -ENOMEM;
	for (inode = table->made_here.next; r == 0 && inode != &table->made_here;
	     inode = inode->next)
		if (is_local(inode))
			r = add_locked(local, inode, inode->birth, inode->filename, 0);
	for (size_t i = 0; r == 0 && i < old->count; i++)
		if (is_kept_locked(&old->names[i], table))
			r = add_locked(local, old->names[i].inode, old->names[i].birth,
				       old->names[i].name, old->names[i].age + 1);
	return r;
}

int local_names_collect(struct local_names *local, struct mount *mount)
{
	struct local_names fresh = { 0 };
	int r;

	mutex_lock(&mount->inodes.lock);
	r = fill_locked(&fresh, local, &mount->inodes);
	mutex_unlock(&mount->inodes.lock);
	if (r < 0) {
		local_names_deinit(&fresh, mount);
		return r;
	}
	local_names_deinit(local, mount);
	*local = fresh;
	if (local->count == 0)
		return 0;
	qsort(local->names, local->count, sizeof(*local->names), by_birth);
	for (size_t i = 0; i < local->count; i++)
		local->by_name[i] = &local->names[i];
	qsort(local->by_name, local->count, sizeof(struct local_name *), by_name);
	return 0;
}

bool local_names_contain(const struct local_names *local, const char *name)
{
	struct local_name key = { .name = (char *)(uintptr_t)name };
	const struct local_name *wanted = &key;

	return local->count > 0 &&
	       bsearch(&wanted, local->by_name, local->count, sizeof(struct local_name *), by_name);
}

/* The inode that the name finds by now: another one if the record was replaced elsewhere, and with
 * it perhaps none that the kernel has heard of. -ENOENT: the name is gone. */
static int find(struct mount *mount, const struct local_name *local,
		const struct interrupt *interrupt, struct inode **ret_inode)
{
	bool here;

	mutex_lock(&mount->inodes.lock);
	here = local->inode->linked && strcmp(local->inode->filename, local->name) == 0;
	if (here)
		*ret_inode = inode_ref_locked(local->inode);
	mutex_unlock(&mount->inodes.lock);
	return here ? 0 : resolve_name(mount, local->name, RESOLVE_RECENT, interrupt, ret_inode);
}

int local_names_next(const struct local_names *local, struct mount *mount, uint64_t birth,
		     const struct interrupt *interrupt, struct inode **ret_inode,
		     uint64_t *ret_birth)
{
	size_t low = 0, high = local->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (local->names[middle].birth <= birth)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < local->count; low++) {
		int r = find(mount, &local->names[low], interrupt, ret_inode);

		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		*ret_birth = local->names[low].birth;
		return 1;
	}
	return 0;
}
