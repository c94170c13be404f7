/* SPDX-License-Identifier: MIT */
/* GET /keys: one page of the names of this node's records, in key order. */
#pragma once

#include "node/request.h"

#define KEYS_LIMIT_MAX 1000
/* Of the whole body, so that a page fits a frame. */
#define KEYS_BODY_MAX (256 * 1024)

void keys_begin(const struct request *request);
