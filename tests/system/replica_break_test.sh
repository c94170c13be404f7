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

waits_for_somebody()
{
	grep -q 'waits for a node' "$TMP/log/s0a"
}

# It would use up the generations that there are, and fill its log.
a_leader_that_has_forgotten_what_it_led_promises_nothing_while_it_is_alone()
{
	local epoch promise
	stop_process s0b
	stop_process s0c
	epoch=$(role 0 .epoch)
	promise=$(printf '%x' $((0x$epoch + (1 << 48))))
	python3 "$SOURCE_ROOT/tests/system/replica_forge.py" "${NODE_URLS[0]##*:}" s0 s0b "$promise"
	expect_within 15 waits_for_somebody
	expect_equal "$promise" "$(role 0 .promise)"
	nodes_start
	expect_within 20 all_follow
	expect_converged
}

need_command python3
NODE_ARGS=(--log-retain-bytes 1M)
shard_start 3
run_cases a_follower_behind_replaced_large_values_needs_no_copy_of_everything \
	a_leader_that_has_forgotten_what_it_led_promises_nothing_while_it_is_alone
