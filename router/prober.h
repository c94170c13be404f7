/* SPDX-License-Identifier: MIT */
/*
 * Asks every node what it is, GET /role, and tells the table of leaders: four times a second, and
 * at once when somebody doubts what stands there. One worker does it for all.
 * Threads: that worker's.
 */
#pragma once

#include "router/service.h"

struct prober;

/* 0 or -ENOMEM. */
int prober_new(struct service *service, struct prober **ret_prober);
/* Before the peers go. */
struct prober *prober_free(struct prober *prober);
