#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Values larger than memory should hold pass through the router in bounded memory, both ways.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

BOUND_KIB=$((100 * 1024))

# A reader that has begun finishes on what it began, whatever becomes of the record.
a_value_outlives_its_replacement_and_its_deletion_for_who_reads_it()
{
	head -c $((40 * 1024 * 1024)) "$TMP/large" >"$TMP/part"
	expect_http 201 -X PUT "$ROUTER/kv/05" -T "$TMP/part"
	curl -sS --limit-rate 10M "$ROUTER/kv/05" >"$TMP/first" &
	local first=$!
	expect_within 20 file_has_begun "$TMP/first"
	expect_http 204 -X PUT "$ROUTER/kv/05" -d new
	curl -sS --limit-rate 10M -r 1- "$ROUTER/kv/01" >"$TMP/second" &
	local second=$!
	expect_within 20 file_has_begun "$TMP/second"
	expect_http 204 -X DELETE "$ROUTER/kv/05"
	expect_http 404 "$ROUTER/kv/05"
	wait "$first" || fail "the first reader ended with $?"
	expect_same_file "$TMP/part" "$TMP/first"
	kill "$second"
	wait "$second" || true
	cmp -n 1000000 -i 1:0 "$TMP/large" "$TMP/second" || fail 'not the same bytes'
	rm "$TMP/first" "$TMP/second"
}

file_has_begun()
{
	[[ -s $1 ]]
}

five_gib_go_in_and_out()
{
	local sum size=$((5 * 1024 * 1024 * 1024))
	# The same bytes as often as it takes, told apart by a number in front of each MiB.
	number_of_each_mib $((size >> 20)) | tee >(xxh128sum >"$TMP/sum") |
		curl -sS -f -T - -H "Content-Type: a/b" "$ROUTER/kv/06" || fail 'the upload failed'
	sum=$(curl -sS -f "$ROUTER/kv/06" | xxh128sum)
	expect_equal "$(<"$TMP/sum")" "$sum"
	expect_http 200 -I "$ROUTER/kv/06"
	expect_equal "$size" "$(header Content-Length)"
	expect_equal "${sum%% *}" "$(header HexKV-Hash)"
	expect_peak_below router "$BOUND_KIB"
	expect_peak_below s0a "$BOUND_KIB"
	expect_peak_below s1a "$BOUND_KIB"
	expect_http 204 -X DELETE "$ROUTER/kv/06"
}

number_of_each_mib()
{
	python3 -c "
import os, sys
rest = os.urandom((1 << 20) - 8)
for i in range($1):
    sys.stdout.buffer.write(i.to_bytes(8, 'little') + rest)"
}

a_value_of_300_mib_goes_in_and_out()
{
	expect_http 201 -X PUT "$ROUTER/kv/01" -T "$TMP/large"
	curl -sS "$ROUTER/kv/01" | cmp - "$TMP/large" || fail 'not the same bytes'
	expect_peak_below router "$BOUND_KIB"
	expect_http 200 -I "$ROUTER/kv/01"
	expect_equal "$(stat -c %s "$TMP/large")" "$(header Content-Length)"
}

an_upload_of_unknown_length_streams_too()
{
	expect_http 204 -X PUT "$ROUTER/kv/01" -T - <"$TMP/large"
	curl -sS "$ROUTER/kv/01" | cmp - "$TMP/large" || fail 'not the same bytes'
	expect_peak_below router "$BOUND_KIB"
}

values_around_the_bounds_arrive_whole()
{
	local size
	for size in 0 1 65535 65536 65537 262143 262144 262145 1048576; do
		head -c "$size" "$TMP/large" >"$TMP/part"
		http -X PUT "$ROUTER/kv/02" -T "$TMP/part"
		expect_contains '201 204' "$STATUS"
		curl -sS "$ROUTER/kv/02" | cmp - "$TMP/part" || fail "$size bytes"
		http -X PUT "$ROUTER/kv/02" -T - <"$TMP/part"
		expect_equal 204 "$STATUS"
		curl -sS "$ROUTER/kv/02" | cmp - "$TMP/part" || fail "$size bytes, chunked"
	done
}

a_part_of_a_large_value_is_a_part()
{
	expect_http 206 -r 100000000-100999999 "$ROUTER/kv/01"
	expect_equal 1000000 "$(stat -c %s "$BODY")"
	cmp -n 1000000 -i 100000000:0 "$TMP/large" "$BODY" || fail 'not the same bytes'
	expect_http 206 -r 299999990-299999999 "$ROUTER/kv/01"
	expect_equal 10 "$(stat -c %s "$BODY")"
}

slow_clients_hold_neither_memory_nor_others()
{
	local pids=() i
	for i in 1 2 3 4 5 6 7 8; do
		curl -sS --limit-rate 200K -m 6 -o /dev/null "$ROUTER/kv/01" 2>/dev/null &
		pids+=($!)
		curl -sS --limit-rate 200K -m 6 -o /dev/null -T "$TMP/large" \
			"$ROUTER/kv/03" 2>/dev/null &
		pids+=($!)
	done
	for i in 1 2 3 4 5 6 7 8 9 10; do
		expect_http 200 -m 2 "$ROUTER/kv/02"
	done
	wait "${pids[@]}" || true
	expect_peak_below router "$BOUND_KIB"
	expect_http 404 "$ROUTER/kv/03"
}

# The node's deadline is for the node: a client may take longer.
a_client_may_pause_for_longer_than_the_nodes_deadline()
{
	{
		head -c 1000000 "$TMP/large"
		sleep 3
		head -c 2000000 "$TMP/large" | tail -c 1000000
	} | curl -sS -o /dev/null -w '%{http_code}' -T - "$ROUTER/kv/04" >"$TMP/status"
	expect_equal 201 "$(<"$TMP/status")"
	head -c 2000000 "$TMP/large" >"$TMP/part"
	curl -sS "$ROUTER/kv/04" | cmp - "$TMP/part" || fail 'not the same bytes'
	curl -sS "$ROUTER/kv/01" | (
		head -c 1000
		sleep 3
		cat
	) | cmp - "$TMP/large" || fail 'not the same bytes'
}

ROUTER_ARGS=(--node-timeout-ms 2000)
cluster_start 2
head -c $((300 * 1024 * 1024)) /dev/urandom >"$TMP/large"
[[ -z ${HEXKV_LONG:-} ]] || run_cases five_gib_go_in_and_out
run_cases \
	a_value_of_300_mib_goes_in_and_out \
	a_value_outlives_its_replacement_and_its_deletion_for_who_reads_it \
	an_upload_of_unknown_length_streams_too \
	values_around_the_bounds_arrive_whole \
	a_part_of_a_large_value_is_a_part \
	slow_clients_hold_neither_memory_nor_others \
	a_client_may_pause_for_longer_than_the_nodes_deadline
