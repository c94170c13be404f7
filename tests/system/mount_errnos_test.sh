#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What each call answers when it can't do what it is asked: tests/mount/errnos.c has them all.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

each_call_answers_with_the_right_errno()
{
	"$BUILD/tests/mount/mount_errnos" "$MNT" || fail 'an answer was not the expected one'
	expect_equal '' "$(ls -A "$MNT")"
}

cluster_start
mount_start
run_cases each_call_answers_with_the_right_errno
mount_stop
