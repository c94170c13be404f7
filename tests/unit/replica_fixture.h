/* SPDX-License-Identifier: MIT */
/*
 * One node of a shard of three, with a real store on a disk in memory and the real replication
 * core; the other two are whatever the test says in their name. Nothing happens by itself: time
 * stands still until the test moves it.
 *
 * What goes wrong fails the test that runs. Threads: one; one fixture at a time.
 */
#pragma once

#include "node/replica.h"
#include "node/replica_message.h"
#include "node/store.h"
#include "tests/sim/crash_vfs.h"

#define REPLICA_FIXTURE_NODES 3

/* What this node has asked another one, and was not answered yet. */
struct replica_question {
	unsigned place;
	uint64_t call;
	struct buf bytes;
	struct replica_message message; /* borrows from bytes */
};

struct replica_fixture {
	struct crash_vfs *crash;
	struct cluster *cluster;
	const struct cluster_shard *shard;
	unsigned self;
	struct store *store;
	struct replica *replica; /* NULL until replica_fixture_start() */
	uint64_t now_ms;
	bool awake;
	unsigned restarts;
	struct replica_question questions[64];
	size_t question_count;
	struct buf answer; /* to what was asked last; empty: none yet */
	/* How the other nodes begin their messages. */
	struct replica_head heads[REPLICA_FIXTURE_NODES];
	/* Of a promotion. */
	bool promoted;
	enum outcome outcome;
	char sentence[256];
};

/* Place @self of the shard; the cluster file's leader is place 0. */
struct replica_fixture *replica_fixture_new(unsigned self);
struct replica_fixture *replica_fixture_free(struct replica_fixture *fixture);
void replica_fixture_start(struct replica_fixture *fixture);
uint16_t replica_fixture_id(const struct replica_fixture *fixture, unsigned place);
/* The other two have @lineage and @promise. */
void replica_fixture_agree(struct replica_fixture *fixture, const struct lineage *lineage,
			   uint64_t promise);

/* Ticks until there is nothing more to do now. */
void replica_fixture_run(struct replica_fixture *fixture);
void replica_fixture_pass(struct replica_fixture *fixture, uint64_t ms);
enum replica_role replica_fixture_role(struct replica_fixture *fixture);
struct store_standing replica_fixture_standing(struct replica_fixture *fixture);

/* The oldest such question, which is then no more among those that wait; false: there is none. To
 * be given back to replica_fixture_answer(), or replica_fixture_refuse(): nobody listens there. */
bool replica_fixture_asks(struct replica_fixture *fixture, unsigned place, enum replica_kind kind,
			  struct replica_question *ret_question);
void replica_fixture_answer(struct replica_fixture *fixture, struct replica_question *question,
			    const struct replica_message *message);
void replica_fixture_refuse(struct replica_fixture *fixture, struct replica_question *question);
/* As above, but there must be one. */
struct replica_question replica_fixture_take(struct replica_fixture *fixture, unsigned place,
					     enum replica_kind kind);
/* Answers all that wait from @place to know where it stands. */
void replica_fixture_state(struct replica_fixture *fixture, unsigned place, struct version end,
			   unsigned flags);
/* Asks this node in the name of @place. False: it has not answered yet. */
bool replica_fixture_ask(struct replica_fixture *fixture, unsigned place,
			 const struct replica_message *message, struct replica_message *ret_answer);
void replica_fixture_promote(struct replica_fixture *fixture, bool force);

/* Leads in @epoch and writes; before the core is there. */
void replica_fixture_lead(struct replica_fixture *fixture, uint64_t epoch,
			  const struct lineage *lineage);
/* It must succeed. */
void replica_fixture_submit(struct replica_fixture *fixture, struct store_write *write);
/* @id: of the request, 0: none. @value NULL: it is deleted. */
void replica_fixture_write(struct replica_fixture *fixture, const char *key, const char *value,
			   uint8_t id);
