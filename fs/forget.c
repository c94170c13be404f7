/* SPDX-License-Identifier: MIT */
#include "fs/forget.h"

#include "fs/inode.h"
#include "lib/log.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/uio.h>

/* Well over what a program lists before it looks at it, ls and rsync at least. */
#define KEPT_MAX 32768
/* Asked for at once. Those that are in use stay, and come up again later. */
#define BATCH 1024
/* What a kernel that can't be asked may hold of a listing. */
#define ROOM_MAX 200000

/* From version 7.45 of the kernel's interface on, which is newer than the headers here. */
#define NOTIFY_PRUNE 9
struct notify_prune {
	uint32_t count;
	uint32_t padding;
	uint64_t spare;
};

void forget_init(struct forget *forget)
{
	atomic_init(&forget->fd, -1);
	forget->births = 0;
}

static void ask(struct forget *forget, int fd, uint64_t *ids, size_t count)
{
	struct notify_prune prune = { .count = (uint32_t)count };
	struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + sizeof(prune) + count * sizeof(*ids)),
		.error = NOTIFY_PRUNE,
	};
	const struct iovec iov[] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = &prune, .iov_len = sizeof(prune) },
		{ .iov_base = ids, .iov_len = count * sizeof(*ids) },
	};

	if (writev(fd, iov, 3) < 0 && (errno == EINVAL || errno == ENOSYS)) {
		log_debug("the kernel can't be asked to forget", "error=%d", errno);
		atomic_store(&forget->fd, -1);
	}
}

void forget_oldest(struct forget *forget, struct inode_table *table)
{
	int fd = atomic_load(&forget->fd);
	uint64_t ids[BATCH];
	size_t count = 0;

	if (fd < 0)
		return;
	mutex_lock(&table->lock);
	if (table->from_elsewhere_count > KEPT_MAX && table->births - forget->births >= BATCH / 2) {
		forget->births = table->births;
		count = inode_oldest_locked(table, ids, BATCH);
	}
	mutex_unlock(&table->lock);
	if (count > 0)
		ask(forget, fd, ids, count);
}

bool forget_has_room(struct forget *forget, struct inode_table *table)
{
	bool room;

	if (atomic_load(&forget->fd) >= 0)
		return true;
	mutex_lock(&table->lock);
	room = table->from_elsewhere_count < ROOM_MAX;
	mutex_unlock(&table->lock);
	return room;
}
