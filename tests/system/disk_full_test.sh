#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A full disk: puts are refused with 507, reads and deletes go on, and room is noticed by itself.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

fill()
{
	local i
	head -c 1000000 /dev/urandom >"$TMP/megabyte"
	for ((i = 0; i < 400; i++)); do
		http -T "$TMP/megabyte" -H 'Expect:' "$ROUTER/kv/$(printf '%04x' "$i")"
		[[ $STATUS == 201 ]] || break
		STORED=$i
	done
}

puts_end_with_507()
{
	fill
	expect_equal 507 "$STATUS" "after $STORED values"
	expect_contains "$(cat "$BODY")" not-applied
	((STORED > 3)) || fail 'the disk was full from the start'
}

reads_go_on()
{
	expect_http 200 "$ROUTER/kv/0000"
	expect_same_file "$TMP/megabyte" "$BODY"
	expect_http 200 "$ROUTER/health/ready"
	expect_http 200 "$ROUTER/keys"
}

deletes_go_on()
{
	expect_http 204 -X DELETE "$ROUTER/kv/0001"
	expect_http 404 "$ROUTER/kv/0001"
}

puts_work()
{
	http -T "$TMP/megabyte" -H 'Expect:' "$ROUTER/kv/ffff"
	[[ $STATUS == 201 || $STATUS == 204 ]]
}

room_is_noticed_by_itself()
{
	mount -o remount,size=400M "$TMP/data-s0a"
	expect_within 15 puts_work
	expect_http 200 "$ROUTER/kv/ffff"
	expect_same_file "$TMP/megabyte" "$BODY"
}

nothing_is_lost_by_a_restart()
{
	local i
	kill_process s0a
	nodes_start
	expect_within 10 is_ready "$ROUTER"
	for ((i = 0; i <= STORED; i++)); do
		((i != 1)) || continue
		expect_http 200 "$ROUTER/kv/$(printf '%04x' "$i")"
		expect_same_file "$TMP/megabyte" "$BODY"
	done
	expect_http 404 "$ROUTER/kv/0001"
}

STORED=-1
small_disk "$TMP/data-s0a" 150M
cluster_start 1
run_cases \
	puts_end_with_507 \
	reads_go_on \
	deletes_go_on \
	room_is_noticed_by_itself \
	nothing_is_lost_by_a_restart
