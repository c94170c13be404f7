/* SPDX-License-Identifier: MIT */
/* A follower that the log does not reach back to waits until somebody puts a copy there. */
#include "node/replica_private.h"

#include <errno.h>

void replica_bootstrap_begin(struct replica *replica, const char *why)
{
	replica_job_fail(replica, why, -ENOTSUP);
}

void replica_bootstrap_diverged(struct replica *replica, struct replica_items epochs)
{
	(void)epochs;
	replica_job_fail(replica, "the log does not reach back to where it diverged", -ENOTSUP);
}

void replica_bootstrap_answered(struct replica *replica, int error,
				const struct replica_message *message)
{
	(void)message;
	replica_job_fail(replica, "an answer is not to the question", error);
}

void replica_bootstrap_tick(struct replica *replica)
{
	replica_job_rest(replica, 0);
}

uint64_t replica_bootstrap_next(const struct replica *replica)
{
	return replica_now(replica);
}

void replica_bootstrap_drop(struct replica *replica)
{
	(void)replica;
}

void replica_bootstrap_progress(const struct replica *replica, uint64_t *ret_bytes,
				uint64_t *ret_total)
{
	(void)replica;
	*ret_bytes = *ret_total = 0;
}
