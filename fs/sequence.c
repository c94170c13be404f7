/* SPDX-License-Identifier: MIT */
/*
 * A young sequence goes on exactly where it ended: random reads do not look like one by chance. One
 * that is established may be a little off, since the kernel's read-ahead arrives on several
 * threads, and what the page cache has already is left out.
 */
#include "fs/sequence.h"

#include "lib/clock.h"

#define ESTABLISHED_READS 3
#define NEAR_BYTES        ((uint64_t)4 * 1024 * 1024)
#define BEHIND_BYTES      ((uint64_t)2 * 1024 * 1024)
#define STRAYS_MAX        4
#define AHEAD_MIN_BYTES   ((uint64_t)1024 * 1024)
#define AHEAD_MAX_BYTES   ((uint64_t)16 * 1024 * 1024)

bool sequence_is_established(const struct sequence *sequence)
{
	return sequence->reads >= ESTABLISHED_READS;
}

static bool goes_on(const struct sequence *sequence, uint64_t offset, size_t len)
{
	if (sequence->reads == 0)
		return false;
	if (sequence_is_established(sequence))
		return offset + NEAR_BYTES >= sequence->end && offset <= sequence->end + NEAR_BYTES;
	return offset <= sequence->end && offset >= sequence->begin && offset + len > sequence->end;
}

struct sequence *sequence_find(struct sequence sequences[SEQUENCES_MAX], uint64_t offset,
			       size_t len)
{
	struct sequence *best = NULL;

	for (unsigned i = 0; i < SEQUENCES_MAX; i++) {
		struct sequence *sequence = &sequences[i];

		if (goes_on(sequence, offset, len) && (!best || sequence->reads > best->reads))
			best = sequence;
	}
	return best;
}

struct sequence *sequence_least(struct sequence sequences[SEQUENCES_MAX])
{
	struct sequence *least = &sequences[0];

	for (unsigned i = 1; i < SEQUENCES_MAX; i++) {
		struct sequence *sequence = &sequences[i];
		bool established = sequence_is_established(sequence);

		if (established != sequence_is_established(least)
			    ? !established
			    : sequence->blocks.used_ns < least->blocks.used_ns)
			least = sequence;
	}
	return least;
}

void sequence_begin(struct sequence *sequence, uint64_t offset, size_t len)
{
	sequence->begin = offset;
	sequence->end = offset + len;
	sequence->bytes = len;
	sequence->next = 0;
	sequence->reads = 1;
	sequence->strays = 0;
	sequence->blocks.used_ns = clock_monotonic_ns();
}

static bool is_stray(const struct sequence *sequence, uint64_t offset, size_t len)
{
	return offset > sequence->end || offset + len + BEHIND_BYTES < sequence->end;
}

void sequence_go_on(struct sequence *sequence, uint64_t offset, size_t len)
{
	sequence->blocks.used_ns = clock_monotonic_ns();
	if (!is_stray(sequence, offset, len)) {
		sequence->strays -= sequence->strays > 0;
	} else if (++sequence->strays > STRAYS_MAX) {
		/* It jumps about: what lies between is not wanted. */
		sequence_begin(sequence, offset, len);
		return;
	}
	sequence->bytes += len;
	sequence->reads++;
	if (offset + len > sequence->end)
		sequence->end = offset + len;
}

uint64_t sequence_ahead_bytes(const struct sequence *sequence)
{
	if (sequence->bytes < AHEAD_MIN_BYTES)
		return AHEAD_MIN_BYTES;
	return sequence->bytes < AHEAD_MAX_BYTES ? sequence->bytes : AHEAD_MAX_BYTES;
}
