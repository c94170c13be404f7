/* SPDX-License-Identifier: MIT */
/*
 * The JSON door, `/`: PUT / writes a record, POST / reads one. Bodies and values are held whole, so
 * every request takes what it holds from one budget.
 */
#pragma once

#include "router/gather.h"
#include "router/json_record.h"
#include "router/work.h"

void json_door_begin(struct exchange *ex, struct service *service);

/* For the two halves of it. */
void json_put_begin(struct exchange *ex, struct service *service);
void json_post_begin(struct exchange *ex, struct service *service);
/* 503: the budget is used up, or memory is. */
void json_reply_busy(struct exchange *ex, struct service *service);
/* Answers with the record in @body and those fields of the node's answer that hold for it. */
void json_reply_record(struct exchange *ex, unsigned status, const struct key *key,
		       const struct fields *from, struct buf *body);
/* Passes on what a node has answered. */
void json_reply_node(struct exchange *ex, struct gather *gather);
