/* SPDX-License-Identifier: MIT */
/*
 * How fast a client must send or take what holds memory for it: so many bytes in every stretch of
 * time, so that nobody stops, and so many a second on the whole, so that no body or answer lasts
 * for longer than its length allows. Without the second a drip that keeps to the first holds on for
 * hours; without the first whoever was quick at the beginning may rest on it.
 * Units: ms of the client's time: what the server itself makes it wait is left out by the caller.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct http_pace_limits {
	uint64_t stretch_ms; /* 0: no limits */
	uint64_t stretch_bytes; /* in each */
	uint64_t rate; /* bytes a second, once the first stretch is over */
};

struct http_pace {
	uint64_t since_ms;
	uint64_t since_bytes;
	uint64_t stretch_ms; /* the current one's begin */
	uint64_t stretch_bytes;
	bool begun;
};

/* @moved: bytes so far, counted from anywhere; the first call is where it begins. False: too slow.
 */
bool http_pace_is_kept(struct http_pace *pace, const struct http_pace_limits *limits,
		       uint64_t now_ms, uint64_t moved);
