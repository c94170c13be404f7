#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What goes wrong around a shard: followers that are slow, a leader's log that rots.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"

bootstraps()
{
	metric "$1" hexkv_replica_bootstraps_total
}

a_follower_behind_replaced_large_values_needs_no_copy_of_everything()
{
	local i
	pause_process s0b
	for i in 1 2 3 4 5; do
		head -c 2M /dev/urandom >"$TMP/value"
		expect_http "$((i == 1 ? 201 : 204))" -T "$TMP/value" "${NODE_URLS[0]}/kv/aa"
		# The next one finds the log gone on in a new file.
		expect_http "$((i == 1 ? 201 : 204))" -X PUT -d "$i" "${NODE_URLS[0]}/kv/ab"
	done
	continue_process s0b
	expect_converged
	expect_equal 0,0 "$(bootstraps 1),$(bootstraps 2)"
}

NODE_ARGS=(--log-retain-bytes 1M)
shard_start 3
run_cases a_follower_behind_replaced_large_values_needs_no_copy_of_everything
