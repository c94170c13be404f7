/* SPDX-License-Identifier: MIT */
#include "node/manifest_format.h"

#include "lib/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_manifest.XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static struct manifest *open_manifest(void)
{
	struct manifest *manifest;

	assert_int_equal(manifest_open(vfs_posix(), dir, &manifest), 0);
	return manifest;
}

static int add(struct manifest *manifest, uint64_t id, uint64_t run, const uint64_t *removed,
	       size_t removed_count)
{
	struct manifest_segment added = { .file_id = id, .run = run };
	struct manifest_edit edit = { .removed = removed,
				      .removed_count = removed_count,
				      .added = &added,
				      .added_count = 1,
				      .flushed = removed_count ? 0 : id * 10,
				      .next_file_id = id + 1 };

	return manifest_edit(manifest, &edit);
}

static void edits_are_found_again_with_the_newest_run_first(void **state)
{
	static const uint64_t removed[] = { 1, 2 };
	struct manifest *manifest = open_manifest();
	const struct manifest_state *found;

	(void)state;
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(add(manifest, id, id, NULL, 0), 0);
	assert_int_equal(add(manifest, 4, 2, removed, 2), 0);
	manifest_free(manifest);
	manifest = open_manifest();
	found = manifest_state(manifest);
	assert_int_equal(found->count, 2);
	assert_int_equal(found->segments[0].file_id, 3);
	assert_int_equal(found->segments[1].file_id, 4);
	assert_int_equal(found->segments[1].run, 2);
	assert_int_equal(found->flushed, 30);
	assert_int_equal(found->next_file_id, 5);
	manifest_free(manifest);
}

static void an_edit_that_does_not_fit_changes_nothing(void **state)
{
	static const uint64_t absent = 99;
	struct manifest *manifest = open_manifest();

	(void)state;
	assert_int_equal(add(manifest, 5, 5, NULL, 0), 0);
	assert_int_equal(add(manifest, 5, 6, NULL, 0), -EBADMSG);
	assert_int_equal(add(manifest, 6, 6, &absent, 1), -EBADMSG);
	assert_int_equal(manifest_state(manifest)->count, 1);
	assert_int_equal(add(manifest, 7, 7, NULL, 0), 0);
	manifest_free(manifest);
}

static int count_name(const char *name, void *state)
{
	*(int *)state += strncmp(name, "MANIFEST-", 9) == 0;
	return 0;
}

static void it_is_rewritten_when_it_has_grown(void **state)
{
	struct manifest *manifest = open_manifest();
	uint64_t last = 0;
	int files = 0;

	(void)state;
	for (uint64_t id = 1; id < 3000; id++) {
		assert_int_equal(add(manifest, id, id, &last, last > 0), 0);
		last = id;
	}
	assert_int_equal(vfs_list(vfs_posix(), dir, count_name, &files), 0);
	assert_int_equal(files, 1);
	manifest_free(manifest);
	manifest = open_manifest();
	assert_int_equal(manifest_state(manifest)->count, 1);
	assert_int_equal(manifest_state(manifest)->segments[0].file_id, 2999);
	manifest_free(manifest);
}

static void segments_without_current_are_damage(void **state)
{
	struct manifest *manifest = open_manifest();
	char path[128];
	FILE *file;

	(void)state;
	manifest_free(manifest);
	snprintf(path, sizeof(path), "%s/0000000000000001.seg", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	snprintf(path, sizeof(path), "%s/CURRENT", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(manifest_open(vfs_posix(), dir, &manifest), -EBADMSG);
}

/* Header, edits 1 to @edits, each with its seal. *ret_last: where the last edit begins. */
static struct buf file_of(unsigned edits, size_t *ret_last)
{
	struct buf out = { 0 };

	assert_int_equal(buf_reserve(&out, FILE_HEADER_BYTES), 0);
	file_header_encode(&manifest_kind, 7, out.data);
	out.len = FILE_HEADER_BYTES;
	for (uint64_t id = 1; id <= edits; id++) {
		struct manifest_segment added = { .file_id = id, .run = id };
		struct manifest_edit edit = {
			.added = &added, .added_count = 1, .flushed = id, .next_file_id = id + 1
		};
		struct buf payload = { 0 };

		*ret_last = out.len;
		assert_int_equal(manifest_edit_encode(&edit, &payload), 0);
		assert_int_equal(manifest_record_encode(7, out.len, MANIFEST_EDIT, payload.data,
							payload.len, &out),
				 0);
		buf_deinit(&payload);
		assert_int_equal(manifest_record_encode(7, out.len, MANIFEST_SEAL, NULL, 0, &out),
				 0);
	}
	return out;
}

static int replay(const struct buf *file, size_t len, struct manifest_state *ret_state)
{
	*ret_state = (struct manifest_state){ .next_file_id = 1 };
	return manifest_replay(ret_state, 7, file->data, len, "MANIFEST");
}

static void every_flipped_bit_is_an_error_or_harmless(void **state)
{
	struct manifest_state found;
	size_t last;
	struct buf file = file_of(3, &last);

	(void)state;
	assert_non_null(freopen("/dev/null", "w", stderr));
	for (size_t bit = 0; bit < file.len * 8; bit++) {
		int r;

		file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		r = replay(&file, file.len, &found);
		assert_true(r == -EBADMSG || r == -ENOTSUP || (r == 0 && found.count == 3));
		manifest_state_deinit(&found);
		file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buf_deinit(&file);
}

static void an_unfinished_edit_at_the_end_is_left_out(void **state)
{
	struct manifest_state found;
	size_t last;
	struct buf file = file_of(3, &last);

	(void)state;
	/* Also where the seal before it was lost. */
	for (int lost = 0; lost < 2; lost++) {
		for (size_t len = last; len < file.len - MANIFEST_RECORD_HEADER_BYTES; len++) {
			assert_int_equal(replay(&file, len, &found), 0);
			assert_int_equal(found.count, 2);
			manifest_state_deinit(&found);
		}
		assert_int_equal(replay(&file, file.len, &found), 0);
		assert_int_equal(found.count, 3);
		manifest_state_deinit(&found);
		memset(file.data + last - MANIFEST_RECORD_HEADER_BYTES, 0,
		       MANIFEST_RECORD_HEADER_BYTES);
	}
	buf_deinit(&file);
}

static void unknown_versions_and_features_are_refused(void **state)
{
	uint8_t header[FILE_HEADER_BYTES];
	struct file_kind newer = manifest_kind;

	(void)state;
	newer.version++;
	file_header_encode(&newer, 7, header);
	assert_int_equal(file_header_check(&manifest_kind, 7, header, sizeof(header), "x"),
			 -ENOTSUP);
	file_header_encode(&manifest_kind, 7, header);
	put_u32(header + 12, 4);
	put_u64(header + 56, checksum(7, 0, header, 56));
	assert_int_equal(file_header_check(&manifest_kind, 7, header, sizeof(header), "x"),
			 -ENOTSUP);
	file_header_encode(&manifest_kind, 7, header);
	assert_int_equal(file_header_check(&manifest_kind, 7, header, sizeof(header), "x"), 0);
	assert_int_equal(file_header_check(&manifest_kind, 8, header, sizeof(header), "x"),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(edits_are_found_again_with_the_newest_run_first),
		T(an_edit_that_does_not_fit_changes_nothing),
		T(it_is_rewritten_when_it_has_grown),
		T(segments_without_current_are_damage),
		T(every_flipped_bit_is_an_error_or_harmless),
		T(an_unfinished_edit_at_the_end_is_left_out),
		T(unknown_versions_and_features_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
