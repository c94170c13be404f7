/* SPDX-License-Identifier: MIT */
/* The object door, /kv/{hex}: checks a request before any node is asked, then forwards or moves. */
#pragma once

#include "router/service.h"

void object_door_begin(struct exchange *ex, struct service *service);
/* Gives a write that came without one a request id: in @request and in @ex's own fields, from where
 * it is forwarded and shown in every answer. -ENOMEM */
int object_door_ensure_request_id(struct exchange *ex, struct object_request *request);
