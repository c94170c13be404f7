/* SPDX-License-Identifier: MIT */
/* One sentence on standard error that says what to mend, for whoever types the command. */
#pragma once

/* Always -EINVAL. The program's name goes before it. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
