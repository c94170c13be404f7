/* SPDX-License-Identifier: MIT */
/* From the path of a request to its handler. */
#pragma once

#include "node/request.h"

/* begin() of the server's service. */
void routes_begin(struct exchange *ex, struct worker *worker);
