/* SPDX-License-Identifier: MIT */
/*
 * A store without threads on a disk of memory, and what is known of each of its keys although calls
 * of it fail: for tests that make them fail. A fault of the store ends the test.
 *
 * Threads: one.
 */
#pragma once

#include "node/store.h"
#include "tests/sim/crash_vfs.h"

#define FATE_KEYS         60 /* that fates_write() writes */
#define FATE_INLINE_BYTES 256
#define FATE_FILE_BYTES   700
#define FATE_DIR          "/data"
#define FATE_NODE_ID      1

/* What is known of one key after its put, and perhaps a delete. */
enum fate { FATE_ABSENT, FATE_PRESENT, FATE_UNKNOWN };

struct fate_call {
	struct store_write write;
	uint8_t data[FATE_FILE_BYTES];
	bool answered;
};

/* Fast clock of all these stores. */
void fates_pass_time(int64_t ns);
struct store_options fates_options(struct crash_vfs *crash);
/* As a node that is alone does it. *ret_why is to be freed if it fails. */
int fates_open(const struct store_options *options, struct store **ret_store, char **ret_why);

void fate_call_init(struct fate_call *call, enum write_kind kind, unsigned key,
		    enum durability durability);
/* The fate of the key that was @before and is @on_success if it works. */
enum fate fate_run(struct store *store, struct fate_call *call, enum fate on_success,
		   enum fate before);
/* Every seventh key has its value in a file. */
enum fate fate_put(struct store *store, unsigned key, enum durability durability);
enum fate fate_delete(struct store *store, unsigned key, enum fate before);
int fate_get(struct store *store, unsigned key, struct store_record *ret_record);

/* Puts, deletes, and new epochs, so many that there are flushes and merges. Every third key is put
 * with durability memory. Ends early when the power is gone. */
void fates_write(struct store *store, struct crash_vfs *crash, enum fate *fates);
/* What only the memory promised may be gone: the power was cut. */
void fates_forget_unsynced(enum fate *fates);
/* Of a store that works again: one attempt in two may fail. */
void fates_check(struct store *store, const enum fate *fates, const char *when, uint64_t nth);
