/* SPDX-License-Identifier: MIT */
/*
 * Threads that use one store at once, and note what they asked and what was answered
 * (tests/sim/serial_model.h): writers, and a reader to whom no key may go back in time.
 */
#pragma once

#include "lib/mutex.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/power_model.h"
#include "tests/sim/serial_model.h"

#include <stdatomic.h>

#define SERIAL_WRITERS 4
#define SERIAL_WINDOW  8 /* writes of one writer under way at once */

struct serial_users;

struct serial_call {
	struct store_write write;
	struct serial_write asked;
	uint8_t data[MODEL_VALUE_MAX];
	struct serial_users *users;
	bool answered;
};

struct serial_worker {
	struct serial_users *users;
	unsigned number;
	uint64_t random;
	struct serial_list writes;
	struct serial_call calls[SERIAL_WINDOW];
};

struct serial_users {
	/* set before the threads begin */
	uint64_t seed;
	uint64_t inline_bytes;
	uint64_t disk_odds; /* one write in so many wants the disk */
	struct crash_vfs *crash;
	struct store *store;

	struct serial_worker workers[SERIAL_WRITERS]; /* each its own thread's */
	_Atomic uint32_t last_number; /* of values and content types */
	_Atomic bool stop; /* set under the lock */

	struct mutex lock;
	struct condition answered;
	/* protected by lock */
	uint64_t answers;
	char fault[256]; /* the first one that a thread found */
};

void serial_users_init(struct serial_users *users);
void serial_users_deinit(struct serial_users *users);
uint64_t serial_pick(uint64_t *random, uint64_t below);
struct key serial_key(unsigned number);
/* The number of a label that a write of ours has set. */
uint32_t serial_number_of(const char *text, size_t len);

#define serial_note_fault(users, ...)                                                              \
	do {                                                                                       \
		mutex_lock(&(users)->lock);                                                        \
		if ((users)->fault[0] == '\0')                                                     \
			snprintf((users)->fault, sizeof((users)->fault), __VA_ARGS__);             \
		mutex_unlock(&(users)->lock);                                                      \
	} while (0)

/* Checked byte for byte. False, and, if there is power, a fault is noted. */
bool serial_read_cell(struct serial_users *users, struct store *store, unsigned number,
		      struct serial_cell *ret_cell);
/* For store_list(); state is a size_t. */
int serial_count_one(const struct entry *entry, void *state);

/* The request for what call->asked says. Negative: no value file could be written. */
int serial_call_fill(struct serial_users *users, struct serial_call *call);
void serial_call_await(struct serial_call *call);

/* Threads. State: a worker, until it has written enough or the power is gone. */
void *serial_write_keys(void *state);
/* State: the users, until they stop. */
void *serial_read_keys(void *state);
