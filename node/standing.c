/* SPDX-License-Identifier: MIT */
#include "node/standing.h"

#include "lib/cleanup.h"
#include "lib/hex.h"
#include "node/text_file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define STANDING_NAME "STANDING"
#define FIRST_LINE    "hexkv standing\n"

static int parse(const char *text, const uint8_t store_id[16], struct standing *standing)
{
	uint8_t of[16];
	uint64_t whole = 0;
	int r;

	r = text_file_take_head(&text, of);
	if (r == 0 && memcmp(of, store_id, 16) != 0)
		r = -EBADMSG;
	if (r == 0)
		r = text_file_take_number(&text, "opened", 10, &standing->opened);
	if (r == 0)
		r = text_file_take_number(&text, "promise", 16, &standing->promise);
	if (r == 0)
		r = text_file_take_number(&text, "whole", 10, &whole);
	if (r == 0)
		r = text_file_take_number(&text, "copied", 10, &standing->copied);
	if (r == 0)
		r = text_file_take_number(&text, "ahead_epoch", 16, &standing->ahead.epoch);
	if (r == 0)
		r = text_file_take_number(&text, "ahead_sequence", 10, &standing->ahead.sequence);
	/* Directories of earlier programs don't say it. */
	if (r == 0 && strncmp(text, "log_file ", 9) == 0) {
		r = text_file_take_number(&text, "log_file", 16, &standing->log_file);
		if (r == 0)
			r = text_file_take_number(&text, "log_position", 10,
						  &standing->log_position);
	}
	if (r == 0 && (whole > 1 || standing->opened > UINT32_MAX))
		r = -EBADMSG;
	if (r == 0)
		standing->whole = whole;
	return r;
}

int standing_read(struct vfs *vfs, const char *dir, const uint8_t store_id[16],
		  struct standing *ret_standing)
{
	_cleanup_(buf_deinit) struct buf text = { 0 };
	struct standing standing = { 0 };
	int r;

	r = text_file_read(vfs, dir, STANDING_NAME, FIRST_LINE, &text);
	if (r == 0)
		r = parse((char *)text.data + strlen(FIRST_LINE), store_id, &standing);
	if (r == 0)
		*ret_standing = standing;
	return r;
}

int standing_write(struct vfs *vfs, const char *dir, const uint8_t store_id[16],
		   const struct standing *standing)
{
	_cleanup_(buf_deinit) struct buf text = { 0 };
	char store[33];
	int r;

	hex_encode(store_id, 16, store);
	r = buf_printf(&text, FIRST_LINE "format 1\nfeatures 0\nstore %s\n", store);
	if (r == 0)
		r = buf_printf(&text, "opened %" PRIu64 "\npromise %016" PRIx64 "\nwhole %d\n",
			       standing->opened, standing->promise, standing->whole);
	if (r == 0)
		r = buf_printf(&text, "copied %" PRIu64 "\n", standing->copied);
	if (r == 0)
		r = buf_printf(&text, "ahead_epoch %016" PRIx64 "\nahead_sequence %" PRIu64 "\n",
			       standing->ahead.epoch, standing->ahead.sequence);
	if (r == 0)
		r = buf_printf(&text, "log_file %08" PRIx64 "\nlog_position %" PRIu64 "\n",
			       standing->log_file, standing->log_position);
	if (r == 0)
		r = text_file_write(vfs, dir, STANDING_NAME, &text);
	return r;
}
