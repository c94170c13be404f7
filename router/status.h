/* SPDX-License-Identifier: MIT */
/*
 * What the router says about the whole cluster. GET /status: every node's own status beside each
 * other, a node that does not answer in time shown as such, and the sums that the mount's statfs
 * needs. GET /health/ready: whether every shard has a leader that is ready.
 */
#pragma once

#include "router/service.h"

void status_begin(struct exchange *ex, struct service *service);
void status_ready_begin(struct exchange *ex, struct service *service);
