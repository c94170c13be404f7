/* SPDX-License-Identifier: MIT */
/*
 * Edits are appended and synced. Every open, every failure and every REWRITE_BYTES begin a new file
 * with one edit that holds the whole state; CURRENT then moves to it by temporary file, fsync,
 * rename and fsync of the directory, and only then the old file is deleted.
 */
#include "node/manifest.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "node/manifest_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REWRITE_BYTES      ((uint64_t)64 * 1024)
#define MANIFEST_BYTES_MAX ((uint64_t)64 * 1024 * 1024)
#define NAME_PREFIX        "MANIFEST-"

struct manifest {
	struct vfs *vfs;
	char *dir;
	struct manifest_state state;
	uint64_t file_id; /* of the file that CURRENT names */
	uint64_t last_id; /* the highest that was tried */
	struct vfs_file *file;
	uint64_t bytes;
	bool broken;
};

struct manifest *manifest_free(struct manifest *manifest)
{
	if (!manifest)
		return NULL;
	vfs_close(manifest->file);
	manifest_state_deinit(&manifest->state);
	free(manifest->dir);
	free(manifest);
	return NULL;
}
DEFINE_CLEANUP(struct manifest *, manifest_free)

static char *file_path(const char *dir, uint64_t file_id)
{
	char *path;

	return asprintf(&path, "%s/" NAME_PREFIX "%016" PRIx64, dir, file_id) < 0 ? NULL : path;
}

static char *named_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static int read_file(struct vfs *vfs, const char *path, struct buf *out)
{
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	uint64_t size;
	ssize_t n;
	int r;

	r = vfs_open(vfs, path, VFS_READ, &file);
	if (r == 0)
		r = vfs_size(file, &size);
	if (r < 0)
		return r;
	if (size > MANIFEST_BYTES_MAX)
		return -EBADMSG;
	r = buf_reserve(out, (size_t)size + 1);
	if (r < 0)
		return r;
	n = vfs_pread(file, out->data, (size_t)size, 0, 0);
	if (n < 0)
		return (int)n;
	out->len = (size_t)n;
	out->data[n] = '\0';
	return 0;
}

/* -ENOENT: there is no CURRENT. */
static int read_current(struct vfs *vfs, const char *dir, uint64_t *ret_file_id)
{
	_cleanup_(freep) char *path = named_path(dir, "CURRENT");
	struct buf text = { 0 };
	int r;

	if (!path)
		return -ENOMEM;
	r = read_file(vfs, path, &text);
	if (r == 0)
		r = manifest_current_decode((const char *)text.data, text.len, ret_file_id);
	buf_deinit(&text);
	if (r == -EBADMSG)
		log_error("damaged file", "kind=current file=%s offset=0 why=\"%s\"", path,
			  "it fails its checksum");
	return r;
}

static int read_state(struct vfs *vfs, const char *dir, uint64_t file_id,
		      struct manifest_state *state)
{
	_cleanup_(freep) char *path = file_path(dir, file_id);
	struct buf data = { 0 };
	int r;

	if (!path)
		return -ENOMEM;
	r = read_file(vfs, path, &data);
	if (r == -ENOENT) {
		log_error("missing file", "kind=manifest file=%s why=\"CURRENT names it\"", path);
		r = -EBADMSG;
	}
	if (r == 0)
		r = manifest_replay(state, file_id, data.data, data.len, path);
	buf_deinit(&data);
	return r;
}

struct names {
	uint64_t last_id; /* of a manifest */
	bool segments;
};

static int see_name(const char *name, void *state)
{
	struct names *names = state;
	size_t len = strlen(name);
	uint64_t id;

	if (len > 4 && strcmp(name + len - 4, ".seg") == 0)
		names->segments = true;
	if (strncmp(name, NAME_PREFIX, sizeof(NAME_PREFIX) - 1) == 0 &&
	    sscanf(name + sizeof(NAME_PREFIX) - 1, "%16" SCNx64, &id) == 1 && id > names->last_id &&
	    id < UINT64_MAX)
		names->last_id = id;
	return 0;
}

static int load(struct manifest *manifest)
{
	struct names names = { 0 };
	int r;

	manifest->state.next_file_id = 1;
	r = vfs_list(manifest->vfs, manifest->dir, see_name, &names);
	if (r < 0)
		return r;
	r = read_current(manifest->vfs, manifest->dir, &manifest->file_id);
	manifest->last_id = names.last_id;
	if (r == -ENOENT && names.segments) {
		/* A new directory gets its CURRENT before its first segment. */
		log_error("missing file", "kind=current file=%s/CURRENT why=\"there are segments\"",
			  manifest->dir);
		return -EBADMSG;
	}
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (manifest->file_id > manifest->last_id)
		manifest->last_id = manifest->file_id;
	return read_state(manifest->vfs, manifest->dir, manifest->file_id, &manifest->state);
}

int manifest_open_to_read(struct vfs *vfs, const char *dir, struct manifest **ret_manifest)
{
	_cleanup_(manifest_freep) struct manifest *manifest = calloc(1, sizeof(*manifest));
	int r;

	if (!manifest)
		return -ENOMEM;
	manifest->vfs = vfs;
	manifest->dir = strdup(dir);
	if (!manifest->dir)
		return -ENOMEM;
	r = load(manifest);
	if (r < 0)
		return r;
	*ret_manifest = take_ptr(manifest);
	return 0;
}

int manifest_open(struct vfs *vfs, const char *dir, struct manifest **ret_manifest)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	int r;

	r = manifest_open_to_read(vfs, dir, &manifest);
	if (r == 0)
		r = manifest_rewrite(manifest);
	if (r < 0)
		return r;
	*ret_manifest = take_ptr(manifest);
	return 0;
}

const struct manifest_state *manifest_state(const struct manifest *manifest)
{
	return &manifest->state;
}

uint64_t manifest_file_id(const struct manifest *manifest)
{
	return manifest->file_id;
}

bool manifest_is_broken(const struct manifest *manifest)
{
	return manifest->broken;
}

bool manifest_is_stale_name(const struct manifest *manifest, const char *name)
{
	char current[40];

	if (strcmp(name, "CURRENT.tmp") == 0)
		return true;
	snprintf(current, sizeof(current), NAME_PREFIX "%016" PRIx64, manifest->file_id);
	return strncmp(name, NAME_PREFIX, sizeof(NAME_PREFIX) - 1) == 0 &&
	       strcmp(name, current) != 0;
}

static int write_bytes(struct vfs_file *file, const void *data, size_t len, uint64_t offset)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };

	return vfs_pwritev(file, &part, 1, offset);
}

/* Behind what was just synced; see manifest_format.c. */
static int append_seal(struct vfs_file *file, uint64_t file_id, uint64_t *bytes)
{
	struct buf record = { 0 };
	int r;

	r = manifest_record_encode(file_id, *bytes, MANIFEST_SEAL, NULL, 0, &record);
	if (r == 0)
		r = write_bytes(file, record.data, record.len, *bytes);
	if (r == 0)
		*bytes += record.len;
	buf_deinit(&record);
	return r;
}

static int write_current(struct manifest *manifest, uint64_t file_id)
{
	_cleanup_(freep) char *temporary = named_path(manifest->dir, "CURRENT.tmp");
	_cleanup_(freep) char *path = named_path(manifest->dir, "CURRENT");
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	char text[MANIFEST_CURRENT_BYTES + 1];
	int r;

	if (!temporary || !path)
		return -ENOMEM;
	manifest_current_encode(file_id, text);
	r = vfs_unlink(manifest->vfs, temporary);
	if (r < 0 && r != -ENOENT)
		return r;
	r = vfs_open(manifest->vfs, temporary, VFS_WRITE | VFS_CREATE, &file);
	if (r == 0)
		r = write_bytes(file, text, MANIFEST_CURRENT_BYTES, 0);
	if (r == 0)
		r = vfs_sync(file);
	if (r == 0)
		r = vfs_rename(manifest->vfs, temporary, path);
	return r < 0 ? r : vfs_sync_dir(manifest->vfs, manifest->dir);
}

/* Header, and one edit that holds all of @state. */
static int encode_snapshot(const struct manifest_state *state, uint64_t file_id, struct buf *out)
{
	struct manifest_edit edit = { .added = state->segments,
				      .added_count = state->count,
				      .flushed = state->flushed,
				      .next_file_id = state->next_file_id };
	struct buf payload = { 0 };
	int r;

	r = buf_reserve(out, FILE_HEADER_BYTES);
	if (r < 0)
		return r;
	file_header_encode(&manifest_kind, file_id, out->data);
	out->len = FILE_HEADER_BYTES;
	r = manifest_edit_encode(&edit, &payload);
	if (r == 0)
		r = manifest_record_encode(file_id, FILE_HEADER_BYTES, MANIFEST_EDIT, payload.data,
					   payload.len, out);
	buf_deinit(&payload);
	return r;
}

/* A new file with @state, which CURRENT names in the end. The steps and their order:
 * 1. the new file is on stable storage, and its directory entry,
 * 2. CURRENT names it, and that is on stable storage,
 * 3. the old file goes. */
static int switch_file(struct manifest *manifest, const struct manifest_state *state)
{
	uint64_t file_id = ++manifest->last_id, bytes;
	_cleanup_(freep) char *path = file_path(manifest->dir, file_id);
	_cleanup_(freep) char *old_path = file_path(manifest->dir, manifest->file_id);
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	struct buf data = { 0 };
	int r;

	if (!path || !old_path)
		return -ENOMEM;
	r = vfs_open(manifest->vfs, path, VFS_WRITE | VFS_CREATE, &file);
	if (r == 0)
		r = encode_snapshot(state, file_id, &data);
	if (r == 0)
		r = write_bytes(file, data.data, data.len, 0);
	bytes = data.len;
	buf_deinit(&data);
	if (r == 0)
		r = vfs_sync(file);
	if (r == 0)
		r = append_seal(file, file_id, &bytes);
	if (r == 0)
		r = vfs_sync_dir(manifest->vfs, manifest->dir);
	if (r < 0) {
		if (file)
			vfs_unlink(manifest->vfs, path);
		return r;
	}
	/* From here on a failure leaves open which of the two files a recovery reads. */
	r = write_current(manifest, file_id);
	if (r < 0)
		return r;
	if (manifest->file_id > 0)
		vfs_unlink(manifest->vfs, old_path);
	vfs_close(manifest->file);
	manifest->file = take_ptr(file);
	manifest->file_id = file_id;
	manifest->bytes = bytes;
	return 0;
}

int manifest_rewrite(struct manifest *manifest)
{
	int r = switch_file(manifest, &manifest->state);

	manifest->broken = r < 0;
	return r;
}

static int copy_state(const struct manifest_state *from, struct manifest_state *ret_to)
{
	size_t bytes = from->count * sizeof(*from->segments);

	*ret_to = *from;
	ret_to->segments = malloc(bytes > 0 ? bytes : 1);
	if (!ret_to->segments)
		return -ENOMEM;
	if (bytes > 0)
		memcpy(ret_to->segments, from->segments, bytes);
	return 0;
}

static int append_edit(struct manifest *manifest, const struct buf *payload)
{
	struct buf record = { 0 };
	int r;

	r = manifest_record_encode(manifest->file_id, manifest->bytes, MANIFEST_EDIT, payload->data,
				   payload->len, &record);
	if (r == 0)
		r = write_bytes(manifest->file, record.data, record.len, manifest->bytes);
	if (r == 0)
		r = vfs_sync(manifest->file);
	if (r == 0) {
		manifest->bytes += record.len;
		/* The edit is durable: without its seal it counts all the same, but nothing may
		 * be appended behind half a seal. */
		if (append_seal(manifest->file, manifest->file_id, &manifest->bytes) < 0)
			manifest->broken = true;
	}
	buf_deinit(&record);
	return r;
}

int manifest_edit(struct manifest *manifest, const struct manifest_edit *edit)
{
	struct manifest_state state;
	struct buf payload = { 0 };
	int r;

	r = copy_state(&manifest->state, &state);
	if (r < 0)
		return r;
	r = manifest_edit_encode(edit, &payload);
	if (r == 0)
		r = manifest_edit_replay(&state, payload.data, payload.len);
	if (r == 0 && (manifest->broken || manifest->bytes > REWRITE_BYTES)) {
		r = switch_file(manifest, &state);
		manifest->broken = r < 0;
	} else if (r == 0) {
		r = append_edit(manifest, &payload);
		if (r < 0)
			manifest->broken = true;
	}
	buf_deinit(&payload);
	if (r < 0) {
		manifest_state_deinit(&state);
		return r;
	}
	free(manifest->state.segments);
	manifest->state = state;
	return 0;
}
