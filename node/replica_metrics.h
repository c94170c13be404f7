/* SPDX-License-Identifier: MIT */
/* What replication has to say, as OpenMetrics families hexkv_replica_* and as JSON. */
#pragma once

#include "node/service.h"

#include "lib/metrics.h"
#include "node/replica.h"

#include <jansson.h>

/* 0 or -ENOMEM. */
int replica_metrics(const struct service *service, const struct replica_view *view,
		    struct buf *out);
/* A new reference; NULL if memory is out. */
json_t *replica_status(const struct service *service, const struct replica_view *view);
