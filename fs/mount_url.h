/* SPDX-License-Identifier: MIT */
/* Which URLs can be mounted. */
#pragma once

/* NULL if @url is http://HOST[:PORT], with slashes behind it or not; otherwise what is wrong with
 * it, as the second half of a sentence. */
const char *mount_url_complaint(const char *url);
