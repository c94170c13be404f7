/* SPDX-License-Identifier: MIT */
/*
 * /kv/{hex}: what all methods check before one of them takes over: the key, the header fields, and
 * whether this node is the one to ask.
 */
#pragma once

#include "lib/object.h"
#include "node/request.h"

void object_door_begin(const struct request *request);
/* True if @key belongs to this node's shard; otherwise it has answered 421. */
bool object_door_owns(const struct request *request, const struct key *key);

/* The methods (node/object_get.c, node/object_put.c, node/object_change.c). @wanted is borrowed. */
void object_get_begin(const struct request *request, const struct key *key,
		      const struct object_request *wanted);
void object_put_begin(const struct request *request, const struct key *key,
		      const struct object_request *wanted);
void object_delete_begin(const struct request *request, const struct key *key,
			 const struct object_request *wanted);
void object_patch_begin(const struct request *request, const struct key *key,
			const struct object_request *wanted);
void object_move_begin(const struct request *request, const struct key *key,
		       const struct object_request *wanted);
