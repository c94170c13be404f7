/* SPDX-License-Identifier: MIT */
/*
 * Breaks a simulated shard on purpose, each way once in a while, so that tests can see that the
 * oracle notices. Threads: one.
 */
#pragma once

#include "tests/sim/shard.h"

/* Hooks; each does something only if it is its kind of sabotage. */

/* A question on its way from @node, and an answer on its way to @to, after the oracle has seen it.
 */
void shard_sabotage_question(struct shard_node *node, struct buf *message);
void shard_sabotage_answer(struct shard *shard, unsigned to, struct buf *message);
/* After a step of a node, before the oracle looks. */
void shard_sabotage_step(struct shard_node *node);
void shard_sabotage_view(struct shard_node *node, struct replica_view *view);
/* Its process is over. */
void shard_sabotage_ended(struct shard_node *node);
/* Nothing goes wrong any more. */
void shard_sabotage_calm(struct shard *shard);
