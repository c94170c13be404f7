/* SPDX-License-Identifier: MIT */
#include "router/budget.h"

bool budget_share_grow(struct budget_share *share, size_t total)
{
	struct budget *budget = share->budget;
	size_t more, used;

	if (total <= share->taken)
		return true;
	more = total - share->taken;
	used = atomic_load_explicit(&budget->used, memory_order_relaxed);
	do {
		if (more > budget->limit - used)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&budget->used, &used, used + more, memory_order_relaxed, memory_order_relaxed));
	share->taken = total;
	return true;
}

void budget_share_shrink(struct budget_share *share, size_t total)
{
	if (total >= share->taken)
		return;
	atomic_fetch_sub_explicit(&share->budget->used, share->taken - total, memory_order_relaxed);
	share->taken = total;
}
