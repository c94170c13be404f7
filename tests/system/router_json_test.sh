#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The JSON door: what it writes and reads, and that the object door sees the same record.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

JSON='Content-Type: application/json'

put_says_created_then_replaced_and_shows_the_record()
{
	local record='{"key":"90219201f2","content_type":"text/plain","encoding":"utf-8","value":"hello"}'
	local shown='{"90219201f2":{"content_type":"text/plain","encoding":"utf-8","value":"hello"}}'

	expect_http 201 -X PUT "$ROUTER/" -H "$JSON" -d "$record"
	expect_equal "$shown" "$(cat "$BODY")"
	expect_equal /kv/90219201f2 "$(header Content-Location)"
	expect_equal application/json "$(header Content-Type)"
	[[ -n $(header ETag) && -n $(header HexKV-Request-Id) ]] || fail "no ETag or no request id"
	expect_http 200 -X PUT "$ROUTER/" -H "$JSON" -d "$record"
	expect_equal "$shown" "$(cat "$BODY")"
	local etag
	etag=$(header ETag)
	expect_http 200 "$ROUTER/kv/90219201f2"
	expect_equal hello "$(cat "$BODY")"
	expect_equal "$etag" "$(header ETag)"
	expect_equal text/plain "$(header Content-Type)"
	expect_equal utf-8 "$(header HexKV-Encoding)"
}

post_takes_the_key_in_hex_or_raw_whatever_the_type()
{
	local shown='{"90219201f2":{"content_type":"text/plain","encoding":"utf-8","value":"hello"}}'

	expect_http 200 -X POST "$ROUTER/" -H 'Content-Type: application/octet-stream' -d 90219201f2
	expect_equal "$shown" "$(cat "$BODY")"
	expect_http 200 -X POST "$ROUTER/" -H "$JSON" -d 90219201F2
	expect_equal "$shown" "$(cat "$BODY")"
	printf '\x90\x21\x92\x01\xf2' >"$TMP/key"
	expect_http 200 -X POST "$ROUTER/" -H 'Content-Type: text/plain' --data-binary "@$TMP/key"
	expect_equal "$shown" "$(cat "$BODY")"
	expect_http 200 -X POST "$ROUTER/?key=hex" -H 'Content-Type:' -d 90219201f2
	expect_http 404 -X POST "$ROUTER/?key=raw" -d 90219201f2
	expect_http 200 -X POST "$ROUTER/" -H 'Transfer-Encoding: chunked' -d 90219201f2
}

text_keeps_its_shape_and_other_bytes_are_base64()
{
	local text='h\u0000\u00e9 \ud83d\ude00\n\"\\/'
	expect_http 201 -X PUT "$ROUTER/" -d \
		"{\"key\":\"01\",\"content_type\":\"a/b\",\"encoding\":\"c\",\"value\":\"$text\"}"
	expect_contains "$(cat "$BODY")" '"h\u0000é 😀\n\"\\/"'
	expect_http 200 -X POST "$ROUTER/" -d 01
	expect_contains "$(cat "$BODY")" '"value":"h\u0000é 😀\n\"\\/"}}'
	expect_http 200 "$ROUTER/kv/01"
	printf 'h\0é 😀\n"\\/' | cmp - "$BODY" || fail 'not the same bytes'

	expect_http 201 -X PUT "$ROUTER/" -d \
		'{"key":"02","content_type":"a/b","encoding":"c","value":"AP8=","value_base64":true}'
	expect_equal '{"02":{"content_type":"a/b","encoding":"c","value":"AP8=","value_base64":true}}' \
		"$(cat "$BODY")"
	expect_http 200 -X POST "$ROUTER/" -d 02
	expect_equal true "$(body_json '."02".value_base64')"
	expect_http 200 "$ROUTER/kv/02"
	printf '\x00\xff' | cmp - "$BODY" || fail 'not the same bytes'

	# Sent as base64, but text: it is shown as what it is.
	expect_http 200 -X PUT "$ROUTER/" -d \
		'{"key":"02","content_type":"a/b","encoding":"c","value":"aGk=","value_base64":true}'
	expect_equal '{"02":{"content_type":"a/b","encoding":"c","value":"hi"}}' "$(cat "$BODY")"
	expect_http 200 -X PUT "$ROUTER/" -d \
		'{"key":"02","content_type":"a/b","encoding":"c","value":""}'
	expect_http 200 -X POST "$ROUTER/" -d 02
	expect_equal '{"02":{"content_type":"a/b","encoding":"c","value":""}}' "$(cat "$BODY")"
}

what_the_object_door_writes_the_json_door_reads()
{
	expect_http 201 -X PUT "$ROUTER/kv/03" -d text -H 'Content-Type: text/x-ünï' \
		-H 'HexKV-Encoding: identity'
	expect_http 200 -X POST "$ROUTER/" -d 03
	expect_equal '{"03":{"content_type":"text/x-ünï","encoding":"identity","value":"text"}}' \
		"$(cat "$BODY")"
	expect_http 201 -X PUT "$ROUTER/kv/04" -H 'Content-Type:' --data-binary "@$ROUTER_BIN"
	expect_http 200 -X POST "$ROUTER/" -d 04
	expect_equal application/octet-stream "$(body_json '."04".content_type')"
	expect_equal binary "$(body_json '."04".encoding')"
	body_json '."04".value' | base64 -d | cmp - "$ROUTER_BIN" || fail 'not the same bytes'
}

preconditions_hold_at_the_json_door_too()
{
	local record='{"key":"05","content_type":"a/b","encoding":"c","value":"d"}'
	expect_http 201 -X PUT "$ROUTER/" -d "$record" -H 'If-None-Match: *'
	expect_http 412 -X PUT "$ROUTER/" -d "$record" -H 'If-None-Match: *'
	expect_http 412 -X PUT "$ROUTER/" -d "$record" -H 'If-Match: "1-1"'
}

# json_record KEY LENGTH FILL: a record whose value is LENGTH times the character.
json_record()
{
	printf '{"key":"%s","content_type":"a/b","encoding":"c","value":"' "$1"
	head -c "$2" /dev/zero | tr '\0' "$3"
	printf '"}'
}

large_bodies_up_to_the_bound_work_both_ways()
{
	json_record 06 16700000 a >"$TMP/large"
	expect_http 201 -X PUT "$ROUTER/" --data-binary "@$TMP/large"
	expect_http 200 -X POST "$ROUTER/" -d 06
	expect_equal 16700000 "$(body_json '."06".value | length')"
	# The value fits, its text as JSON does not: every control character takes six bytes.
	head -c 3000000 /dev/zero >"$TMP/zeros"
	expect_http 201 -X PUT "$ROUTER/kv/07" --data-binary "@$TMP/zeros"
	expect_http 413 -X POST "$ROUTER/" -d 07
	expect_contains "$(body_json .detail)" 'GET /kv/07'
	head -c 16777217 /dev/zero >"$TMP/zeros"
	expect_http 204 -X PUT "$ROUTER/kv/07" --data-binary "@$TMP/zeros"
	expect_http 413 -X POST "$ROUTER/" -d 07
	expect_contains "$(body_json .detail)" 'GET /kv/07'
	json_record 06 16777216 a >"$TMP/large"
	expect_http 413 -X PUT "$ROUTER/" --data-binary "@$TMP/large"
	expect_http 413 -X PUT "$ROUTER/" --data-binary "@$TMP/large" -H 'Transfer-Encoding: chunked'
}

# Clients that have sent nearly all of a record and then say no more.
the_door_says_503_when_its_memory_is_used_up_and_recovers()
{
	local sockets=() socket length i
	json_record 06 16700000 a >"$TMP/large"
	length=$(stat -c %s "$TMP/large")
	for i in 1 2 3 4; do
		exec {socket}<>"/dev/tcp/127.0.0.1/$ROUTER_PORT"
		printf 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n' \
			$((length + 1)) >&"$socket"
		cat "$TMP/large" >&"$socket"
		sockets+=("$socket")
	done
	expect_within 20 json_bytes_reach 60000000
	expect_http 503 -X PUT "$ROUTER/" --data-binary "@$TMP/large"
	[[ -n $(header Retry-After) ]] || fail 'no Retry-After'
	expect_http 200 "$ROUTER/kv/01"
	for socket in "${sockets[@]}"; do
		exec {socket}>&-
	done
	expect_within 20 json_bytes_are_back
	expect_http 200 -X PUT "$ROUTER/" --data-binary "@$TMP/large"
}

the_largest_bodies_together_keep_the_router_small()
{
	local pids=() i bound=$((200 * 1024))
	for i in 1 2 3 4; do
		curl -sS -o /dev/null -X PUT "$ROUTER/" --data-binary "@$TMP/large" &
		pids+=($!)
		curl -sS -o /dev/null -X POST "$ROUTER/" -d 06 &
		pids+=($!)
	done
	wait "${pids[@]}"
	expect_peak_below router "$bound"
	# Sixteen MiB of small values would be hundreds of MiB, parsed.
	{
		printf '{"key":['
		head -c 16000000 /dev/zero | tr '\0' ,
	} >"$TMP/many"
	expect_http 400 -X PUT "$ROUTER/" --data-binary "@$TMP/many"
	expect_peak_below router "$bound"
}

json_bytes()
{
	curl -sS "$ROUTER/metrics" | awk '$1 == "hexkv_router_json_bytes" { print $2 }'
}

json_bytes_reach()
{
	(($(json_bytes) >= $1))
}

json_bytes_are_back()
{
	(($(json_bytes) == 0))
}

cluster_start 2
run_cases \
	put_says_created_then_replaced_and_shows_the_record \
	post_takes_the_key_in_hex_or_raw_whatever_the_type \
	text_keeps_its_shape_and_other_bytes_are_base64 \
	what_the_object_door_writes_the_json_door_reads \
	preconditions_hold_at_the_json_door_too \
	large_bodies_up_to_the_bound_work_both_ways \
	the_door_says_503_when_its_memory_is_used_up_and_recovers \
	the_largest_bodies_together_keep_the_router_small
