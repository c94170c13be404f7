/* SPDX-License-Identifier: MIT */
/* Which file system a directory is on, so that the space that several nodes share counts once. */
#pragma once

#define FILE_SYSTEM_ID_SIZE 33

/* Hex digits that are the same for all directories of one file system of one machine, until that
 * starts anew; "" if it can't be told. */
void file_system_id(const char *dir, char ret_id[FILE_SYSTEM_ID_SIZE]);
