/* SPDX-License-Identifier: MIT */
/* Listing the directory. */
#include "fs/listing.h"
#include "fs/ops.h"
#include "fs/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct listing *listing_of(const struct fuse_file_info *fi)
{
	return (struct listing *)(uintptr_t)fi->fh; /* NOLINT: a directory's handle is the address
						     */
}

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct listing *listing;
	int r;

	(void)ino;
	r = listing_new(ops_mount(req), &listing);
	if (r < 0) {
		ops_reply_error(req, r);
		return;
	}
	fi->fh = (uintptr_t)listing;
	if (fuse_reply_open(req, fi) == -ENOENT)
		listing_free(listing);
}

void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	listing_free(listing_of(fi));
	fuse_reply_err(req, 0);
}

/* Renames and attributes are acknowledged once they are on stable storage. */
void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);

	(void)ino;
	(void)datasync;
	(void)fi;
	ops_reply_error(req, removals_sync(&mount->removals, mount->remote, &interrupt));
}

/* One answer in the making. */
struct answer_page {
	fuse_req_t req;
	struct mount *mount;
	bool plus;
	char *data;
	size_t len;
	size_t size;
};

static bool add(struct answer_page *page, const char *name, const struct fuse_entry_param *entry,
		uint64_t position)
{
	char *at = page->data + page->len;
	size_t room = page->size - page->len;
	size_t need;

	if (page->plus)
		need = fuse_add_direntry_plus(page->req, at, room, name, entry, (off_t)position);
	else
		need = fuse_add_direntry(page->req, at, room, name, &entry->attr, (off_t)position);
	if (need > room)
		return false;
	page->len += need;
	return true;
}

static bool add_directory(struct answer_page *page, const char *name, uint64_t position)
{
	const struct fuse_entry_param entry = {
		.attr = { .st_ino = FUSE_ROOT_ID, .st_mode = S_IFDIR },
	};

	return add(page, name, &entry, position);
}

/* The inode to hand out with the name, with a reference; NULL: the name alone. */
static struct inode *entry_inode(struct answer_page *page, const struct listing_entry *entry)
{
	if (entry->local || !page->plus)
		return entry->local;
	if (!entry->recent || !forget_has_room(&page->mount->forget, &page->mount->inodes))
		return NULL;
	return resolve_listed(page->mount, &entry->record, entry->listed_ms);
}

static bool add_entry(struct answer_page *page, const struct listing_entry *entry)
{
	struct inode *inode = entry_inode(page, entry);
	struct fuse_entry_param param = {
		.attr = { .st_ino = inode_name_st_ino(entry->name), .st_mode = S_IFREG },
	};
	bool fits;

	if (inode && page->plus)
		ops_entry(page->mount, inode, &param);
	fits = add(page, entry->name, &param, entry->position);
	/* With the entry the reference has become the kernel's. */
	if (inode && !(fits && page->plus))
		inode_unref(&page->mount->inodes, inode);
	return fits;
}

/* @position of the first entry. 0, or an error that came before anything was added. */
static int fill(struct answer_page *page, struct listing *listing, uint64_t position,
		const struct interrupt *interrupt)
{
	struct listing_entry entry;
	int r;

	if (position == 0 && !add_directory(page, ".", 1))
		return -EINVAL;
	if (position <= 1 && !add_directory(page, "..", LISTING_START))
		return page->len > 0 ? 0 : -EINVAL;
	if (position < LISTING_START)
		position = LISTING_START;
	for (;;) {
		r = listing_next(listing, position, interrupt, &entry);
		/* What is there goes out; the error comes with the next call. */
		if (r <= 0)
			return page->len > 0 ? 0 : r;
		if (!add_entry(page, &entry))
			return 0;
		position = entry.position;
	}
}

static void reply_page(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi,
		       bool plus)
{
	const struct interrupt interrupt = ops_interrupt(req);
	struct answer_page page = {
		.req = req,
		.mount = ops_mount(req),
		.plus = plus,
		.data = malloc(size),
		.size = size,
	};
	int r;

	if (!page.data) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	r = fill(&page, listing_of(fi), (uint64_t)offset, &interrupt);
	if (r < 0)
		ops_reply_error(req, r);
	else
		fuse_reply_buf(req, page.data, page.len);
	free(page.data);
	if (plus)
		forget_oldest(&page.mount->forget, &page.mount->inodes);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi)
{
	(void)ino;
	reply_page(req, size, offset, fi, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	(void)ino;
	reply_page(req, size, offset, fi, true);
}
