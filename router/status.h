/* SPDX-License-Identifier: MIT */
/*
 * GET /status: every node's own status beside each other, what a node does not answer in time shown
 * as such, and the sums that the mount's statfs needs.
 */
#pragma once

#include "router/service.h"

void status_begin(struct exchange *ex, struct service *service);
