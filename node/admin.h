/* SPDX-License-Identifier: MIT */
/* What operators and their tools ask a node. */
#pragma once

#include "node/request.h"

/* The process answers. */
void admin_live(const struct request *request);
/* It takes requests; 503 while it starts or drains, or when its log can't be written. */
void admin_ready(const struct request *request);
void admin_status(const struct request *request);
void admin_topology(const struct request *request);
/* Text of Prometheus, or of OpenMetrics if that is accepted. */
void admin_metrics(const struct request *request);
