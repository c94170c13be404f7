/* SPDX-License-Identifier: MIT */
/*
 * The object door's way to a node: one exchange becomes one call. Small bodies are collected and
 * travel by frame, larger ones and those of unknown length stream through with backpressure both
 * ways. Threads: the worker's.
 */
#pragma once

#include "router/service.h"

/* The request has been checked; a write carries a request id. Answers @ex, now or later. */
void forward_begin(struct exchange *ex, struct service *service, const struct key *key);
