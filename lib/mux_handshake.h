/* SPDX-License-Identifier: MIT */
/*
 * How an asking side turns a connection into one for frames (docs/PROTOCOL.md, "Frames"): one fixed
 * request, and whether its answer agrees. No I/O. Threads: no state.
 */
#pragma once

#include "lib/buf.h"

/* @authority "host:port"; @token NULL: none. A string for free(), or NULL if memory is out. */
char *mux_handshake_request(const char *authority, const char *token);
/* Reads the answer's head from what was received. 1: agreed, *ret_used bytes are the head, frames
 * follow; 0: not whole yet; -EPROTO: another answer. */
int mux_handshake_answer(const struct buf *received, size_t *ret_used);
