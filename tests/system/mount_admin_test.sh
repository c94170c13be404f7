#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What an administrator does with a mount: what it counts, options, and what it says when it can't
# work.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

# ---- .stats --------------------------------------------------------------------------------------

# stat_line NAME: its value in .stats, 0 if there is no such line.
stat_line()
{
	awk -v name="$1" '$1 == name { found = $2 } END { print found + 0 }' "$MNT/.stats"
}

stat_line_is()
{
	[[ $(stat_line "$1") == "$2" ]]
}

the_mount_tells_what_it_has_counted()
{
	local before lookups
	put 00a0 value
	before=$(stat_line 'hexkv_fs_requests_total{door="object",method="GET"}')
	expect_equal value "$(cat "$MNT/00a0")"
	expect_equal $((before + 1)) "$(stat_line 'hexkv_fs_requests_total{door="object",method="GET"}')"
	printf 'more' >"$MNT/00a1"
	expect_equal 4 "$(stat_line hexkv_fs_written_bytes_total)"
	expect_equal 1 "$(stat_line 'hexkv_fs_answers_total{door="object",method="PUT",status="201"}')"
	lookups=$(stat_line 'hexkv_fs_operation_errors_total{op="lookup",error="ENOENT"}')
	[[ ! -e $MNT/00a2 ]] || fail '00a2 is there'
	expect_equal $((lookups + 1)) \
		"$(stat_line 'hexkv_fs_operation_errors_total{op="lookup",error="ENOENT"}')"
	exec 7<"$MNT/00a0"
	expect_equal 1 "$(stat_line hexkv_fs_open_files)"
	exec 7<&-
	expect_within 5 stat_line_is hexkv_fs_open_files 0
	expect_equal 1 "$(stat_line "hexkv_fs_router{url=\"$ROUTER\"}")"
}

every_line_of_it_is_a_name_and_a_number()
{
	local odd
	odd=$(grep -vE '^hexkv_fs_[a-z_]+(\{[^ ]+\})? [0-9.e+-]+$' "$MNT/.stats") || true
	expect_equal '' "$odd"
	(($(wc -l <"$MNT/.stats") > 20)) || fail "there are only: $(cat "$MNT/.stats")"
}

it_is_hidden_and_can_only_be_read()
{
	[[ $(ls -a "$MNT") != *.stats* ]] || fail 'it is listed'
	fails_with 'Permission denied' tee "$MNT/.stats"
	fails_with 'not permitted' rm -f "$MNT/.stats"
	fails_with 'not permitted' mv "$MNT/.stats" "$MNT/00a3"
	fails_with 'not permitted' mv -f "$MNT/00a0" "$MNT/.stats"
	fails_with 'not permitted' chmod 600 "$MNT/.stats"
	fails_with 'Permission denied' touch "$MNT/.stats"
	fails_with 'not permitted' setfattr -n user.encoding -v x "$MNT/.stats"
	fails_with 'exists' mkdir "$MNT/.stats"
	cp "$MNT/.stats" "$TMP/copy"
	[[ -s $TMP/copy ]] || fail 'the copy is empty'
	expect_equal '' "$(getfattr -d "$MNT/.stats")"
	expect_contains "$(tail -n 1 "$MNT/.stats")" hexkv_fs_
	expect_contains "$(value_of 00a0)" value
}

it_answers_while_the_router_is_away_and_asks_it_nothing()
{
	local before
	pause_process router
	before=$(stat_line hexkv_fs_uptime_seconds)
	timeout $((5 * PATIENCE)) cat "$MNT/.stats" >"$TMP/paused" || fail 'it waits for the router'
	continue_process router
	expect_contains "$(cat "$TMP/paused")" hexkv_fs_uptime_seconds
	[[ $(stat_line hexkv_fs_uptime_seconds) != "$before" ]] || fail 'time stands still'
}

cluster_start
mount_start
run_cases \
	the_mount_tells_what_it_has_counted \
	every_line_of_it_is_a_name_and_a_number \
	it_is_hidden_and_can_only_be_read \
	it_answers_while_the_router_is_away_and_asks_it_nothing
mount_stop
