/* SPDX-License-Identifier: MIT */
/*
 * Where a name was reached last, for when the resolver fails: libcurl asks it anew for each
 * connection, since who comes back may do so under another address, and knows no more than it says.
 * Internal to what uses libcurl. Threads: locks itself, and is shared by all of the program.
 */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>

/* After a transfer that had a connection. */
void http_address_note(CURL *easy);
/* After one that ended with @code: if that was for want of an address and there is one from
 * before, sets up the handle to be run once more. Then @ret_list is to be freed when it has been
 * reset. */
bool http_address_fall_back(CURL *easy, CURLcode code, struct curl_slist **ret_list);
