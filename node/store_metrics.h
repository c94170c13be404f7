/* SPDX-License-Identifier: MIT */
/* The store's numbers as OpenMetrics families, hexkv_store_*. */
#pragma once

#include "node/store.h"

#include "lib/metrics.h"

/* 0 or -ENOMEM. */
int store_metrics(const struct store_stats *stats, struct buf *out);
