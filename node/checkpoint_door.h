/* SPDX-License-Identifier: MIT */
/* POST /admin/checkpoint?name=NAME: a copy of the store for people to keep (docs/PROTOCOL.md). */
#pragma once

#include "node/request.h"

void checkpoint_door_begin(const struct request *request);
