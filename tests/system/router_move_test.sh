#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# MOVE between two shards: the record arrives whole, the source goes, and neither a concurrent
# writer nor a node that dies loses anything.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

owner_of()
{
	http -I "${NODE_URLS[0]}/kv/$1"
	if [[ $STATUS == 421 ]]; then printf 1; else printf 0; fi
}

# key_of SHARD PREFIX: a key that begins with PREFIX and lives there.
key_of()
{
	local i
	for ((i = 0; i < 256; i++)); do
		KEY=$(printf '%s%02x' "$2" "$i")
		[[ $(owner_of "$KEY") != "$1" ]] || return 0
	done
	fail 'no key found'
}

# pair PREFIX: SOURCE in shard 0, DESTINATION in shard 1.
pair()
{
	key_of 0 "$1"
	SOURCE=$ROUTER/kv/$KEY
	key_of 1 "$1"
	DESTINATION=$ROUTER/kv/$KEY
}

value_labels_and_mtime_arrive()
{
	pair aa
	expect_http 201 -X PUT "$SOURCE" -d moved -H 'Content-Type: text/x-moved' \
		-H 'HexKV-Encoding: ünï' -H 'HexKV-Mtime: 1700000000123456789'
	expect_http 201 -X MOVE "$SOURCE" -H "Destination: $DESTINATION"
	[[ -n $(header ETag) && -n $(header HexKV-Request-Id) ]] || fail 'no ETag or request id'
	local etag
	etag=$(header ETag)
	expect_http 404 "$SOURCE"
	expect_http 200 "$DESTINATION"
	expect_equal moved "$(cat "$BODY")"
	expect_equal text/x-moved "$(header Content-Type)"
	expect_equal ünï "$(header HexKV-Encoding)"
	expect_equal 1700000000123456789 "$(header HexKV-Mtime)"
	expect_equal "$etag" "$(header ETag)"
}

a_large_record_streams_across()
{
	pair ab
	head -c 50000000 /dev/urandom >"$TMP/large"
	expect_http 201 -X PUT "$SOURCE" -T "$TMP/large"
	expect_http 201 -X MOVE "$SOURCE" -H "Destination: $DESTINATION"
	expect_http 404 "$SOURCE"
	curl -sS "$DESTINATION" | cmp - "$TMP/large" || fail 'not the same bytes'
}

an_existing_destination_is_replaced_only_with_leave()
{
	pair ac
	expect_http 201 -X PUT "$SOURCE" -d new
	expect_http 201 -X PUT "$DESTINATION" -d old
	expect_http 412 -X MOVE "$SOURCE" -H "Destination: $DESTINATION" -H 'Overwrite: F'
	expect_http 200 "$SOURCE"
	expect_http 200 "$DESTINATION"
	expect_equal old "$(cat "$BODY")"
	expect_http 204 -X MOVE "$SOURCE" -H "Destination: $DESTINATION" -H 'Overwrite: T'
	expect_http 404 "$SOURCE"
	expect_http 200 "$DESTINATION"
	expect_equal new "$(cat "$BODY")"
	expect_http 201 -X PUT "$SOURCE" -d again
	expect_http 204 -X DELETE "$DESTINATION"
	expect_http 201 -X MOVE "$SOURCE" -H "Destination: $DESTINATION" -H 'Overwrite: F'
}

preconditions_are_those_of_the_source()
{
	pair ad
	expect_http 201 -X PUT "$SOURCE" -d x
	local etag
	etag=$(header ETag)
	expect_http 412 -X MOVE "$SOURCE" -H "Destination: $DESTINATION" -H 'If-Match: "1-1"'
	expect_http 412 -X MOVE "$SOURCE" -H "Destination: $DESTINATION" -H "If-None-Match: $etag"
	expect_http 404 "$DESTINATION"
	expect_http 201 -X MOVE "$SOURCE" -H "Destination: $DESTINATION" -H "If-Match: $etag"
}

a_source_that_is_not_there_is_404_and_a_repeated_request_is_not()
{
	local id='HexKV-Request-Id: 00112233445566778899aabbccddeeff'
	pair ae
	expect_http 404 -X MOVE "$SOURCE" -H "Destination: $DESTINATION"
	expect_http 404 "$DESTINATION"
	expect_http 201 -X PUT "$SOURCE" -d x
	expect_http 201 -X MOVE "$SOURCE" -H "Destination: $DESTINATION" -H "$id"
	expect_equal 00112233445566778899aabbccddeeff "$(header HexKV-Request-Id)"
	# The client did not see the answer and asks again.
	expect_http 204 -X MOVE "$SOURCE" -H "Destination: $DESTINATION" -H "$id"
	expect_http 404 -X MOVE "$SOURCE" -H "Destination: $DESTINATION"
	expect_http 200 "$DESTINATION"
	expect_equal x "$(cat "$BODY")"
}

# Writes numbers to the source, each only if the number before is there, until told to stop.
# The numbers that were acknowledged are in $TMP/acknowledged.
race_writer()
{
	local i=1 status
	while [[ ! -e $TMP/stop ]]; do
		status=$(curl -sS -o /dev/null -w '%{http_code}' -X PUT "$SOURCE" -d "$i") || continue
		[[ $status == 20? ]] && printf '%s\n' "$i" >>"$TMP/acknowledged"
		i=$((i + 1))
	done
}

a_writer_that_races_the_move_loses_nothing()
{
	local writer round source destination last
	for round in 1 2 3 4 5 6 7 8; do
		pair "b$round"
		rm -f "$TMP/stop" "$TMP/acknowledged"
		touch "$TMP/acknowledged"
		expect_http 201 -X PUT "$SOURCE" -d 0
		race_writer &
		writer=$!
		expect_within 10 test -s "$TMP/acknowledged"
		http -X MOVE "$SOURCE" -H "Destination: $DESTINATION"
		expect_contains '201 204 503' "$STATUS"
		touch "$TMP/stop"
		wait "$writer"
		last=$(tail -1 "$TMP/acknowledged")
		http "$SOURCE"
		source=$([[ $STATUS == 200 ]] && cat "$BODY" || printf '')
		http "$DESTINATION"
		destination=$([[ $STATUS == 200 ]] && cat "$BODY" || printf '')
		# The newest acknowledged value is in one of the two places.
		[[ $source == "$last" || $destination == "$last" ]] ||
			fail "wrote $last, source has '$source', destination has '$destination'"
	done
}

two_moves_of_one_record_leave_one_copy()
{
	local round first second there
	for round in 1 2 3 4 5 6 7 8; do
		pair "c$round"
		key_of 1 "d$round"
		expect_http 201 -X PUT "$SOURCE" -d x
		curl -sS -o /dev/null -w '%{http_code}' -X MOVE "$SOURCE" \
			-H "Destination: $DESTINATION" >"$TMP/first" &
		second=$(curl -sS -o /dev/null -w '%{http_code}' -X MOVE "$SOURCE" \
			-H "Destination: $ROUTER/kv/$KEY")
		wait "$!"
		first=$(<"$TMP/first")
		expect_contains '201 404' "$first"
		expect_contains '201 404' "$second"
		there=0
		for url in "$SOURCE" "$DESTINATION" "$ROUTER/kv/$KEY"; do
			http "$url"
			[[ $STATUS != 200 ]] || there=$((there + 1))
		done
		expect_equal 1 "$there" "copies after $first and $second"
	done
}

a_dead_destination_leaves_the_source()
{
	pair e0
	expect_http 201 -X PUT "$SOURCE" -d kept
	kill_process s1a
	http -X MOVE "$SOURCE" -H "Destination: $DESTINATION"
	expect_contains '502 503' "$STATUS"
	expect_http 200 "$SOURCE"
	expect_equal kept "$(cat "$BODY")"
	nodes_start
	expect_within 10 is_ready "$ROUTER"
	expect_http 201 -X MOVE "$SOURCE" -H "Destination: $DESTINATION"
	expect_http 404 "$SOURCE"
	expect_http 200 "$DESTINATION"
	expect_equal kept "$(cat "$BODY")"
}

a_node_killed_in_the_middle_loses_nothing()
{
	local victim source destination
	for victim in s0a s1a; do
		pair "f${victim:1:1}"
		expect_http 201 -X PUT "$SOURCE" -T "$TMP/large"
		curl -sS -o /dev/null -X MOVE "$SOURCE" -H "Destination: $DESTINATION" 2>/dev/null &
		expect_within 10 moves_have_begun
		kill_process "$victim"
		wait "$!" || true
		nodes_start
		expect_within 10 is_ready "$ROUTER"
		curl -sS "$SOURCE" -o "$TMP/source"
		curl -sS "$DESTINATION" -o "$TMP/destination"
		source=$(cmp -s "$TMP/source" "$TMP/large" && printf whole || printf no)
		destination=$(cmp -s "$TMP/destination" "$TMP/large" && printf whole || printf no)
		[[ $source == whole || $destination == whole ]] || fail "$victim died and the record too"
	done
}

MOVES=0
moves_have_begun()
{
	local now
	now=$(curl -sS "$ROUTER/metrics" | awk '$1 == "hexkv_router_moves_across_total" { print $2 }')
	((now > MOVES)) || return 1
	MOVES=$now
}

ROUTER_ARGS=(--node-timeout-ms 5000)
cluster_start 2
run_cases \
	value_labels_and_mtime_arrive \
	a_large_record_streams_across \
	an_existing_destination_is_replaced_only_with_leave \
	preconditions_are_those_of_the_source \
	a_source_that_is_not_there_is_404_and_a_repeated_request_is_not \
	a_writer_that_races_the_move_loses_nothing \
	two_moves_of_one_record_leave_one_copy \
	a_dead_destination_leaves_the_source \
	a_node_killed_in_the_middle_loses_nothing
