/* SPDX-License-Identifier: MIT */
/* What operators ask the router itself: whether it lives, topology, metrics. (What it must ask the
 * nodes for: router/status.h.) */
#pragma once

#include "router/service.h"

void admin_live(struct exchange *ex, struct service *service);
void admin_topology(struct exchange *ex, struct service *service);
void admin_metrics(struct exchange *ex, struct service *service);
