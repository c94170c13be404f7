/* SPDX-License-Identifier: MIT */
/* POST /replica: messages of the other nodes of the shard (docs/PROTOCOL.md, "Replication"). */
#pragma once

#include "node/request.h"

void replica_door_begin(const struct request *request);
