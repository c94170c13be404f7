/* SPDX-License-Identifier: MIT */
/*
 * The requests that the mount makes of the router, typed. Every call is repeated with the same
 * request id while the cluster can't be reached, and gives up once nothing has moved for
 * timeout_ms.
 *
 * Errors: 0 or a negative errno from the outcome table: -ENOENT no record, -ESTALE precondition
 * failed, -EIO and -ETIMEDOUT the cluster is away, -EINTR, -ENOSPC, -EACCES.
 * Threads: any number at once.
 */
#pragma once

#include "fs/changes.h"
#include "fs/interrupt.h"
#include "fs/pin.h"
#include "lib/buf.h"
#include "lib/object.h"

#include <sys/types.h>

struct remote;

struct remote_options {
	const char *url;
	const char *token; /* NULL: none */
	unsigned connections_max;
	uint32_t timeout_ms;
};

int remote_new(const struct remote_options *options, struct remote **ret_remote);
struct remote *remote_free(struct remote *remote);

/* Keys are canonical hex names throughout. */

int remote_head(struct remote *remote, const char *key, const struct interrupt *interrupt,
		struct record_meta *ret_meta);
/* The leader's word, for what is about to be written. */
int remote_head_at_leader(struct remote *remote, const char *key, const struct interrupt *interrupt,
			  struct record_meta *ret_meta);

/* How old an answer may be. */
struct remote_age {
	bool stale; /* a follower's word, while there is no leader */
	uint64_t holds_ms; /* what was acknowledged before that is in it; 0: not known */
};
/* Whether it is from before what this mount did to @key lately. @found: the version that it tells;
 * NULL: no record. */
bool remote_lacks(struct remote *remote, const char *key, const struct remote_age *age,
		  const struct version *found);

/* Whether an answer just now came from a follower, while there is no leader. */
bool remote_was_stale_lately(struct remote *remote);

enum remote_fetch { REMOTE_SAME = 1 };

/* What remote_get() found. */
struct remote_record {
	struct record_meta meta;
	struct buf value;
	bool whole;
	bool stale; /* a follower's word, while there is no leader: it may be behind */
	struct pin *pin; /* NULL: none */
};
void remote_record_deinit(struct remote_record *record);
/* The record's metadata, and its value if that is not larger than VALUE_SMALL_MAX (whole). A
 * follower that lacks what this mount did to the key is believed only if no leader answers in time.
 * If the record is still @known (may be NULL): REMOTE_SAME and nothing else. Either way a larger
 * value is pinned for @pin_s seconds (0: not). @ret_record is all zero. */
int remote_get(struct remote *remote, const char *key, const struct version *known, uint32_t pin_s,
	       const struct interrupt *interrupt, struct remote_record *ret_record);

/* Pins a version, or renews its pin: -ESTALE or -ENOENT if it is gone. *ret_pin is NULL if none was
 * given. */
struct remote_pinning {
	const char *key;
	struct version version;
	const char *token; /* NULL: it must be the current version */
	uint32_t seconds;
	uint32_t timeout_ms; /* 0: as for all requests */
	bool quiet; /* that it failed is for the caller to say */
};
int remote_pin(struct remote *remote, const struct remote_pinning *pinning,
	       const struct interrupt *interrupt, struct pin **ret_pin);

/* Exactly @len bytes of one version; -ESTALE if it is neither the current one nor pinned any more,
 * or if a follower says so and no leader answers in time.
 * @sink gets them in order with their offset in the value. */
struct remote_range {
	const char *key;
	struct version version;
	const char *token; /* of its pin; NULL: none */
	uint64_t offset;
	uint64_t len;
	int (*sink)(void *state, uint64_t offset, const void *data, size_t len);
	void *state;
};
int remote_read(struct remote *remote, const struct remote_range *range,
		const struct interrupt *interrupt);

#define REMOTE_SIZE_UNKNOWN UINT64_MAX

/* What a put of unknown size says last. */
struct remote_put_last {
	char content_type[LABEL_BYTES_MAX + 1];
	char encoding[LABEL_BYTES_MAX + 1];
	int64_t mtime_ns;
	enum durability durability;
};

struct remote_put {
	const char *key;
	const char *content_type; /* NULL: the default */
	const char *encoding;
	bool has_mtime;
	int64_t mtime_ns;
	bool only_new; /* -ESTALE if there is a record */
	const struct version *replaces; /* -ESTALE if this is not the current one; NULL: whatever is
					   there */
	enum durability durability;
	uint64_t size_bytes; /* REMOTE_SIZE_UNKNOWN: until the source has no more */
	/* Bytes from @offset on; 0 is an error before size_bytes. */
	ssize_t (*source)(void *state, uint64_t offset, void *data, size_t len);
	/* With an unknown size: asked for once the source has ended, and counts instead of the
	 * labels, time and durability above. */
	void (*last)(void *state, struct remote_put_last *ret_last);
	void *state;
};
/* What the leader assigned. */
struct remote_stored {
	struct version version;
	int64_t mtime_ns;
};
int remote_put(struct remote *remote, const struct remote_put *put,
	       const struct interrupt *interrupt, struct remote_stored *ret_stored);

struct remote_patch {
	const char *key;
	const struct version *of; /* as remote_put.replaces */
	const char *content_type; /* NULL: unchanged */
	const char *encoding;
	bool has_mtime;
	int64_t mtime_ns;
};
int remote_patch(struct remote *remote, const struct remote_patch *patch,
		 const struct interrupt *interrupt, struct remote_stored *ret_stored);

/* Returns once everything that was acknowledged for @key before is on stable storage; -ESTALE if
 * @of is not the current version. */
int remote_barrier(struct remote *remote, const char *key, const struct version *of,
		   const struct interrupt *interrupt);

/* @of: as remote_put.replaces. */
int remote_delete(struct remote *remote, const char *key, const struct version *of,
		  enum durability durability, const struct interrupt *interrupt);
/* -EEXIST if there is a record at @to and @overwrite is false. */
int remote_move(struct remote *remote, const char *from, const char *to, bool overwrite,
		const struct version *of, const struct interrupt *interrupt,
		struct remote_stored *ret_stored);

/* Whether a write of @key through here may still be applied: it is under way, or ended without an
 * answer. The next write settles that first. */
bool remote_is_in_doubt(struct remote *remote, const char *key);

struct remote_name {
	const char *key;
	struct version version;
	uint64_t size_bytes;
	int64_t mtime_ns;
};
/* One page of names as text (lib/name_page.h) from @cursor on (NULL: the start), and how old it is.
 */
int remote_list(struct remote *remote, const char *cursor, const struct interrupt *interrupt,
		struct buf *ret_page, struct remote_age *ret_age);
/* What is known of single names, in the order of asking: every change through here is noted. */
struct changes *remote_changes(struct remote *remote);

/* The router's GET /status as it is, within @timeout_ms. Logs nothing. */
int remote_status(struct remote *remote, uint32_t timeout_ms, struct buf *ret_json);
