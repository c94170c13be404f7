/* SPDX-License-Identifier: MIT */
#include "lib/http_pace.h"

bool http_pace_is_kept(struct http_pace *pace, const struct http_pace_limits *limits,
		       uint64_t now_ms, uint64_t moved)
{
	uint64_t age;

	if (limits->stretch_ms == 0)
		return true;
	if (!pace->begun) {
		*pace = (struct http_pace){ .since_ms = now_ms,
					    .since_bytes = moved,
					    .stretch_ms = now_ms,
					    .stretch_bytes = moved,
					    .begun = true };
		return true;
	}
	age = now_ms - pace->since_ms;
	if (age > limits->stretch_ms &&
	    (moved - pace->since_bytes) * 1000 < (age - limits->stretch_ms) * limits->rate)
		return false;
	if (now_ms - pace->stretch_ms < limits->stretch_ms)
		return true;
	if (moved - pace->stretch_bytes < limits->stretch_bytes)
		return false;
	pace->stretch_ms = now_ms;
	pace->stretch_bytes = moved;
	return true;
}
