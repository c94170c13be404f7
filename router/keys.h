/* SPDX-License-Identifier: MIT */
/*
 * GET /keys over all shards: one page of names, shard by shard in file order. A page ends where its
 * shard does; shards without names are passed over.
 */
#pragma once

#include "router/service.h"

void keys_begin(struct exchange *ex, struct service *service);
