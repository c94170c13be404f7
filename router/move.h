/* SPDX-License-Identifier: MIT */
/* MOVE between two shards. (Within one shard the node does it in one log record.) */
#pragma once

#include "router/service.h"

/* @own_id: the request id is the client's, so this may be a request that was sent before. Answers
 * @ex later. */
void move_begin(struct exchange *ex, struct service *service, const struct key *source,
		const struct object_request *request, bool own_id);
