#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The space of large values that were deleted or replaced comes back by itself, soon.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

DATA=$TMP/data-s0a
LARGE=$((200 * 1024 * 1024))
SMALL=$((5 * 1000 * 1000))
# What a node without values may take: log, space set aside, segments.
REST=$((48 * 1024 * 1024))

put()
{
	expect_http "$1" -T "$3" -H 'Expect:' "$ROUTER/kv/$2"
}

value_bytes()
{
	curl -fsS -m 5 "${NODE_URLS[0]}/status" | jq .store.value_bytes
}

values_take_at_most()
{
	(($(value_bytes) <= $1))
}

disk_takes_at_most()
{
	(($(du -sB1 "$DATA" 2>/dev/null | cut -f 1) <= $1))
}

expect_given_back()
{
	expect_within "$1" values_take_at_most $(($2 + $2 / 1000 + 1000))
	expect_within 20 disk_takes_at_most $(($2 + $2 / 1000 + REST))
}

# Enough small values that a segment names what was put before them.
flush()
{
	local i
	head -c 60000 /dev/urandom >"$TMP/inline"
	for ((i = 0; i < 25; i++)); do
		http -T "$TMP/inline" "$ROUTER/kv/$(printf 'ff%02x' "$i")"
		[[ $STATUS == 20[14] ]] || fail "got $STATUS"
	done
}

a_large_value_that_is_deleted_comes_back()
{
	put 201 00 "$TMP/large"
	values_take_at_most "$LARGE" && fail 'the value is not in a file'
	expect_http 204 -X DELETE "$ROUTER/kv/00"
	expect_given_back 20 0
}

replaced_ones_come_back()
{
	put 201 00 "$TMP/large"
	flush
	put 204 00 "$TMP/large"
	put 204 00 "$TMP/large"
	expect_given_back 20 "$LARGE"
	expect_http 200 "$ROUTER/kv/00"
	expect_same_file "$TMP/large" "$BODY"
	expect_http 204 -X DELETE "$ROUTER/kv/00"
	expect_given_back 20 0
}

a_reader_keeps_what_it_reads()
{
	local copy
	put 201 00 "$TMP/large"
	curl -sS -f -m 120 --limit-rate 60M -o "$TMP/copy" "$ROUTER/kv/00" &
	copy=$!
	expect_within 10 test -s "$TMP/copy"
	expect_http 204 -X DELETE "$ROUTER/kv/00"
	wait "$copy" || fail 'the reader was cut off'
	expect_same_file "$TMP/large" "$TMP/copy"
	rm "$TMP/copy"
	expect_given_back 30 0
}

a_small_one_comes_back_when_the_log_may_forget_it()
{
	put 201 01 "$TMP/small"
	flush
	expect_http 204 -X DELETE "$ROUTER/kv/01"
	expect_given_back 40 0
}

a_restart_does_not_lose_it()
{
	put 201 01 "$TMP/small"
	put 201 02 "$TMP/small"
	flush
	expect_http 204 -X DELETE "$ROUTER/kv/01"
	expect_http 204 -X DELETE "$ROUTER/kv/02"
	kill_process s0a
	nodes_start
	expect_within 10 is_ready "$ROUTER"
	# Somebody may have had them pinned, for a minute at most.
	[[ -z ${HEXKV_LONG:-} ]] || expect_given_back 100 0
}

fill()
{
	local i
	for ((i = 0; i < 40; i++)); do
		http -T "$TMP/small" -H 'Expect:' "$ROUTER/kv/$(printf '03%02x' "$i")"
		[[ $STATUS == 201 ]] || break
		STORED=$i
	done
	expect_equal 507 "$STATUS" "after $STORED values"
	((STORED > 10)) || fail "the disk was full after $STORED values"
}

half_of_the_disk_can_be_put()
{
	http -T "$TMP/half" -H 'Expect:' "$ROUTER/kv/04"
	[[ $STATUS == 201 ]]
}

a_full_disk_recovers_after_deletes_alone()
{
	local i
	fill
	for ((i = 1; i <= STORED; i++)); do
		expect_http 204 -X DELETE "$ROUTER/kv/$(printf '03%02x' "$i")"
	done
	expect_within 15 half_of_the_disk_can_be_put
	expect_http 200 "$ROUTER/kv/0300"
	expect_same_file "$TMP/small" "$BODY"
	expect_http 200 "$ROUTER/kv/04"
	expect_same_file "$TMP/half" "$BODY"
}

NODE_ARGS=(--log-retain-seconds 3)
head -c "$LARGE" /dev/urandom >"$TMP/large"
head -c "$SMALL" "$TMP/large" >"$TMP/small"
head -c 80000000 "$TMP/large" >"$TMP/half"
cluster_start 1
run_cases \
	a_large_value_that_is_deleted_comes_back \
	replaced_ones_come_back \
	a_reader_keeps_what_it_reads \
	a_small_one_comes_back_when_the_log_may_forget_it \
	a_restart_does_not_lose_it

stop_process router
stop_process s0a
rm -rf "$DATA"
small_disk "$DATA" 150M
NODE_ARGS=()
cluster_start 1
run_cases a_full_disk_recovers_after_deletes_alone
