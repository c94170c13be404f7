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

has_trimmed()
{
	(($(metric 0 hexkv_store_damaged_log_file) == 0))
}

# Nobody can be told what stood there; who lacks it fetches a copy, and writes go on.
a_leader_whose_log_rots_gives_it_up()
{
	local n file size
	stop_process s0c
	for ((n = 0; n < 20; n++)); do
		put "cc$(printf %02x "$n")" "some text that is number $n"
	done
	file=$(find "$TMP/data-s0a/log" -name '*.wal' | sort | tail -1)
	size=$(grep -obUa 'number 3' "$file" | head -1 | cut -d : -f 1)
	[[ $size ]] || fail "nothing was found in $file"
	printf '\377' | dd of="$file" bs=1 seek="$size" conv=notrunc status=none
	node_start 2
	expect_within 60 all_follow
	expect_converged
	expect_equal 0,1 "$(bootstraps 1),$(bootstraps 2)"
	expect_equal 1 "$(metric 0 hexkv_store_log_damages_total)"
	expect_within 20 has_trimmed
	grep -q "event=\"log is damaged\" file=${file##*/} offset=[0-9]" "$TMP/log/s0a" ||
		fail 'nothing says where the log is damaged'
	put cd 'goes on'
	expect_everywhere cd 'goes on'
	node_kill 0
	node_start 0
	expect_within 20 all_follow
	expect_converged
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
	a_leader_whose_log_rots_gives_it_up \
	a_leader_that_has_forgotten_what_it_led_promises_nothing_while_it_is_alone
