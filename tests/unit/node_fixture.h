/* SPDX-License-Identifier: MIT */
/*
 * A node without sockets: the real service over a real store in a temporary directory, one loop,
 * and a client that decides itself when it sends, reads and goes away.
 */
#pragma once

#include "node/service.h"

#include "lib/exchange.h"

struct node_fixture {
	char dir[64];
	struct service *service;
	struct loop *loop;
	struct worker worker;
	struct service_worker *state;
	/* Of the clients that begin from now on. */
	bool over_frame;
	bool chunked;
};

/* One shard, this node its leader, @nodes nodes in all. */
void node_fixture_open(struct node_fixture *fixture, unsigned nodes);
/* The same directory again, as after a restart. */
void node_fixture_reopen(struct node_fixture *fixture);
/* Fails the test if anything is still under way or reserved. */
void node_fixture_close(struct node_fixture *fixture);
/* Runs the loop until @condition holds; fails the test after a deadline. */
void node_fixture_run_until(struct node_fixture *fixture, bool (*condition)(void *), void *state);
/* Files below value/ of the data directory. */
unsigned node_fixture_value_files(const struct node_fixture *fixture);

/* A request and what came back. */
struct client {
	struct exchange ex;
	struct node_fixture *fixture;
	const uint8_t *data; /* the body to send */
	size_t left;
	size_t piece; /* how much of it at a time */
	bool refused; /* body() took less; resume_body() clears it */
	bool ended;
	bool reads; /* takes the answer's body */
	bool freed;
	struct answer answer;
	unsigned status; /* 0: no answer yet */
	struct buf body;
	ssize_t result; /* of the answer's body: 1 whole, negative: broke off */
};

/* Begins; nothing of the body is sent. NULL-terminated pairs of field and value follow. */
void client_begin(struct client *client, struct node_fixture *fixture, enum method method,
		  const char *path, const void *body, size_t body_len, ...);
/* Sends what the node takes. */
void client_send(struct client *client);
/* Sends and reads what is possible now. */
void client_step(struct client *client);
/* Runs until the answer is whole, or broke off. */
void client_wait(struct client *client);
/* Runs until there is a status. */
void client_wait_head(struct client *client);
/* The exchange has finished, whatever was under way. */
void client_finish(struct client *client);
/* Frees what the client has of the answer; the exchange must be gone. */
void client_deinit(struct client *client);
const char *client_field(const struct client *client, enum field field);

/* All of it in one: the status. */
unsigned client_ask(struct node_fixture *fixture, enum method method, const char *path,
		    const void *body, size_t body_len);
