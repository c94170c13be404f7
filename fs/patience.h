/* SPDX-License-Identifier: MIT */
/*
 * How much of its timeout a request to the router has left: what the kernel's request that it is
 * made for has waited for a thread counts, as far as the router has been silent meanwhile.
 *
 * Threads: any; what a thread begins counts for that thread.
 */
#pragma once

#include <stdint.h>

/* This thread serves a request of the kernel that came at @since_ms. */
void patience_begin(uint64_t since_ms);
void patience_end(void);
/* The router has done something for anybody. */
void patience_renew(void);
/* Of @timeout_ms. Never nothing: the router may be back. */
uint32_t patience_left_ms(uint32_t timeout_ms);
