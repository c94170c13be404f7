/* SPDX-License-Identifier: MIT */
/*
 * A leader for tests of the mount: it remembers which writes it applied, may get one late, and may
 * not answer. For fs_router_start(), whose lock protects it.
 */
#pragma once

#include "tests/unit/fs_fixture.h"

#define FS_LEADER_IDS  32
#define FS_LEADER_KEYS 2 /* "00" and "01" */

enum fs_fault {
	FS_NO_FAULT,
	FS_LATE, /* kept; no answer */
	FS_APPLIED_UNSEEN, /* no answer */
	FS_REFUSED, /* 507 */
};

struct fs_leader_record {
	bool exists;
	unsigned version;
	char value[16];
};

struct fs_leader {
	enum fs_fault fault; /* of the next write */
	struct fs_leader_record records[FS_LEADER_KEYS];
	unsigned versions;
	struct {
		char id[33];
		char key;
		char etag[32];
	} applied[FS_LEADER_IDS];
	unsigned applied_count;
	char late[4096];
	unsigned writes;
};

/* The respond function; the state is a leader. */
enum fs_answer fs_leader_answer(void *state, const char *request, struct buf *ret_answer);
/* The node that stood still goes on: what it got late is taken now. */
void fs_leader_go_on(struct fs_leader *leader);
