/* SPDX-License-Identifier: MIT */
/* What keeps the bytes that a reader was given alive: a memtable or a block. Embedded first in
 * them. */
#pragma once

struct pin {
	void (*release)(struct pin *);
};

static inline void pin_release(struct pin *pin)
{
	if (pin)
		pin->release(pin);
}
