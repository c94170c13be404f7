#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Pins: a version of a large value stays readable for the time that was asked for, through the router
# and at the node, and the disk has its space back afterwards.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

DATA=$TMP/data-s0a
MIB=1048576

put()
{
	http -T "$2" -H 'Expect:' "$ROUTER/kv/$1"
	[[ $STATUS == 20[14] ]] || fail "PUT $1 answered $STATUS"
}

# pin KEY SECONDS [BASE]: TOKEN and ETAG of the current version.
pin()
{
	expect_http 206 -r 0-9 -H "HexKV-Pin: $2" "${3:-$ROUTER}/kv/$1"
	TOKEN=$(header hexkv-pin-token)
	ETAG=$(header etag)
	[[ -n $TOKEN ]] || fail "no token for $1"
	expect_equal "$2" "$(header hexkv-pin)"
}

# read_pinned STATUS KEY [CURL-ARGUMENTS...]
read_pinned()
{
	local expected=$1 key=$2
	shift 2
	expect_http "$expected" -H "HexKV-Pin-Token: $TOKEN" -H "If-Match: $ETAG" "$@" \
		"$ROUTER/kv/$key"
}

metric()
{
	curl -sS -m 10 "${NODE_URLS[0]}/metrics" | awk -v name="$1" '$1 == name { print $2 }'
}

metric_is()
{
	[[ $(metric "$1") == "$2" ]]
}

file_count()
{
	find "$DATA/value" -name '*.val' | wc -l
}

has_files()
{
	[[ $(file_count) == "$1" ]]
}

a_pin_that_ends_gives_the_space_back()
{
	local given
	put 03 "$TMP/old"
	given=$(metric hexkv_store_pins_total)
	pin 03 5
	expect_equal $((given + 1)) "$(metric hexkv_store_pins_total)"
	expect_http 204 -X DELETE "$ROUTER/kv/03"
	read_pinned 200 03
	# Nothing else holds it once log and tree have let go.
	expect_within 60 metric_is hexkv_store_value_bytes 0
	expect_within 20 has_files 0
	expect_equal 0 "$(metric hexkv_store_kept_values)"
	expect_equal 0 "$(metric hexkv_store_kept_value_bytes)"
	read_pinned 412 03
	expect_contains "$(cat "$BODY")" precondition-failed
}

a_pinned_version_streams_through_the_router()
{
	put 01 "$TMP/old"
	pin 01 60
	put 01 "$TMP/new"
	read_pinned 200 01
	expect_same_file "$TMP/old" "$BODY"
	expect_equal "$ETAG" "$(header etag)"
	expect_http 204 -X DELETE "$ROUTER/kv/01"
	read_pinned 206 01 -r 5000000-9999999
	cmp "$BODY" <(tail -c +5000001 "$TMP/old" | head -c 5000000) || fail 'another range'
	read_pinned 200 01 -I
	expect_equal "$(stat -c %s "$TMP/old")" "$(header hexkv-size)"
	# A client that is pointed straight at the node.
	expect_http 200 -H "HexKV-Pin-Token: $TOKEN" "${NODE_URLS[0]}/kv/01"
	expect_same_file "$TMP/old" "$BODY"
	expect_http 404 "$ROUTER/kv/01"
}

hostile_values_are_refused()
{
	local base value
	for base in "$ROUTER" "${NODE_URLS[0]}"; do
		for value in 0 61 -1 x 1.5 99999999999999999999 '60;' "$(printf '1%.0s' {1..3000})"; do
			expect_http 400 -H "HexKV-Pin: $value" "$base/kv/01"
		done
		for value in x 1-2 1-2.xyz 1-2.AA "$TOKEN $TOKEN" "$(printf 'a%.0s' {1..3000})" \
			"1-2.$(printf 'a%.0s' {1..3000})" '../../1.val' '%00'; do
			expect_http 400 -H "HexKV-Pin-Token: $value" "$base/kv/01"
		done
		expect_http 400 -H 'HexKV-Pin: 5' -H 'HexKV-Pin: 6' "$base/kv/01"
		expect_http 412 -H 'HexKV-Pin-Token: 1-2.' "$base/kv/01"
		expect_http 412 -H "HexKV-Pin-Token: 1-2.${TOKEN#*.}" "$base/kv/01"
		expect_http 412 -H "HexKV-Pin-Token: ${TOKEN}00" "$base/kv/01"
	done
}

a_pin_survives_a_crash_of_the_node()
{
	put 02 "$TMP/old"
	pin 02 60
	expect_http 204 -X DELETE "$ROUTER/kv/02"
	kill_process s0a
	nodes_start
	read_pinned 200 02
	expect_same_file "$TMP/old" "$BODY"
	read_pinned 200 02 -I -H 'HexKV-Pin: 60'
	expect_equal "$TOKEN" "$(header hexkv-pin-token)"
	kill_process s0a
	nodes_start
	read_pinned 200 02
	expect_same_file "$TMP/old" "$BODY"
}

many_pins_are_kept_and_go()
{
	local i
	head -c 100000 "$TMP/old" >"$TMP/part"
	for i in {1..40}; do
		put "05$(printf %02x "$i")" "$TMP/part"
		pin "05$(printf %02x "$i")" 60
		TOKENS[i]=$TOKEN
		expect_http 204 -X DELETE "$ROUTER/kv/05$(printf %02x "$i")"
	done
	for i in {1..40}; do
		expect_http 200 -H "HexKV-Pin-Token: ${TOKENS[i]}" \
			"$ROUTER/kv/05$(printf %02x "$i")"
		expect_same_file "$TMP/part" "$BODY"
	done
	[[ -z ${HEXKV_LONG:-} ]] || expect_within 120 has_files 0
}

large_value_fits()
{
	http -T "$TMP/large" -H 'Expect:' "$ROUTER/kv/06"
	[[ $STATUS == 201 ]]
}

# A pin is renewed as long as it can be, and yet a value finds room after a while.
a_full_disk_ends_pins()
{
	local refused
	put 07 "$TMP/old"
	pin 07 "$WHILE"
	expect_http 204 -X DELETE "$ROUTER/kv/07"
	large_value_fits && fail 'there was room enough'
	expect_equal 507 "$STATUS"
	read_pinned 200 07 -I -H "HexKV-Pin: $WHILE"
	expect_equal '' "$(header hexkv-pin)"
	refused=$(metric hexkv_store_pins_refused_total)
	((refused > 0)) || fail 'no pin was refused'
	expect_within 90 large_value_fits
	read_pinned 412 07
	expect_http 204 -X DELETE "$ROUTER/kv/06"
}

pin_is_gone()
{
	http -H "HexKV-Pin-Token: $TOKEN" -I "$ROUTER/kv/08"
	[[ $STATUS == 412 ]]
}

half_fits()
{
	http -T "$TMP/half" -H 'Expect:' "$ROUTER/kv/08"
	[[ $STATUS == 201 ]]
}

pins_hold_a_quarter_of_the_disk_at_most()
{
	expect_within 30 half_fits
	pin 08 60
	expect_http 204 -X DELETE "$ROUTER/kv/08"
	expect_within 30 pin_is_gone
}

TOKENS=()
WHILE=60
[[ -n ${HEXKV_LONG:-} || $PATIENCE != 1 ]] || WHILE=20
NODE_ARGS=(--log-retain-bytes 1M --log-retain-s 1)
head -c $((20 * MIB + 77)) /dev/urandom >"$TMP/old"
head -c $((20 * MIB + 77)) /dev/urandom >"$TMP/new"
cluster_start 1
# The first, as what is dead when a node starts is kept for a minute.
run_cases a_pin_that_ends_gives_the_space_back a_pinned_version_streams_through_the_router \
	hostile_values_are_refused a_pin_survives_a_crash_of_the_node many_pins_are_kept_and_go

stop_process router
stop_process s0a
rm -rf "$DATA"
small_disk "$DATA" 150M
head -c 134000000 /dev/urandom >"$TMP/large"
head -c 60000000 "$TMP/large" >"$TMP/half"
cluster_start 1
run_cases a_full_disk_ends_pins pins_hold_a_quarter_of_the_disk_at_most
