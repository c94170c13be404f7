/* SPDX-License-Identifier: MIT */
/*
 * What this node is in its shard: GET /role, POST /admin/promote, and who may read and write here.
 * Whoever may not is told where to go: 421 with the leader's URL, or 503 while there is none.
 */
#pragma once

#include "lib/object.h"
#include "node/replica.h"
#include "node/request.h"

/* True if the node leads. */
bool role_may_write(const struct request *request);
/* True if the node may answer a read that asks for @from. The answer to @request then says how
 * stale it may be, if any node might have given it. */
bool role_may_read(struct request *request, enum read_from from);
/* The node leads no longer, or not here: 421, or 503 if it is not known who does. */
void role_refuse(const struct request *request);
/* As "/status" and "/role" say it. */
const char *role_name(enum replica_role role);
/* As JSON; new references, NULL if memory is out. */
json_t *role_epoch(uint64_t epoch);
json_t *role_staleness(const struct replica_view *view);
/* NULL: unknown. */
const struct cluster_node *role_leader(const struct service *service);

void role_begin(const struct request *request);
void role_promote_begin(const struct request *request);
