#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Every row of the protocol's status table that a client can bring about, at the router's doors and
# at a node's.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

JSON='Content-Type: application/json'

# expect_problem STATUS CURL-ARGUMENTS...: an answer by RFC 9457 with all its members.
expect_problem()
{
	expect_http "$@"
	expect_contains "$(header Content-Type)" application/problem+json
	jq -e --argjson status "$1" '.status == $status and (.title | length > 0) and
		(.request_id | length > 0) and (.retryable | type == "boolean") and
		(.outcome == "not-applied" or .outcome == "unknown")' "$BODY" >/dev/null ||
		fail "not a whole problem: $(cat "$BODY")"
}

put_json()
{
	expect_problem 400 -X PUT "$ROUTER/" -H "$JSON" -d "$1"
}

broken_json_is_400()
{
	put_json '{"key":"01",'
	put_json '["01"]'
	put_json ''
	put_json '{"key":"01","content_type":"a/b","encoding":"c"}'
	put_json '{"key":"01","content_type":"a/b","encoding":"c","value":"d","colour":"e"}'
	put_json '{"key":"01","key":"02","content_type":"a/b","encoding":"c","value":"d"}'
	put_json '{"key":1,"content_type":"a/b","encoding":"c","value":"d"}'
	put_json '{"key":"01","content_type":"a/b","encoding":"c","value":null}'
	put_json '{"key":"01","content_type":"","encoding":"c","value":"d"}'
	put_json '{"key":"01","content_type":"a/b","encoding":"c","value":"*","value_base64":true}'
	put_json $'{"key":"01","content_type":"a/b","encoding":"c","value":"\xff"}'
	expect_problem 404 "$ROUTER/kv/01"
}

a_bad_key_is_400()
{
	local long
	long=$(printf '00%.0s' {1..128})
	put_json '{"key":"xyz","content_type":"a/b","encoding":"c","value":"d"}'
	put_json '{"key":"123","content_type":"a/b","encoding":"c","value":"d"}'
	put_json '{"key":"","content_type":"a/b","encoding":"c","value":"d"}'
	put_json "{\"key\":\"$long\",\"content_type\":\"a/b\",\"encoding\":\"c\",\"value\":\"d\"}"
	expect_problem 400 "$ROUTER/kv/xyz"
	expect_problem 400 "$ROUTER/kv/123"
	expect_problem 400 "$ROUTER/kv/$long"
	expect_problem 400 -X PUT "$ROUTER/kv/0g" -d x
	expect_problem 400 -X POST "$ROUTER/" -d ''
	expect_problem 400 -X POST "$ROUTER/" -d "$long"
	expect_problem 400 -X POST "$ROUTER/?key=hex" -d xyz
	expect_problem 400 -X POST "$ROUTER/?key=colour" -d 01
}

the_longest_key_works_in_either_case()
{
	local key
	key=$(printf 'aB%.0s' {1..127})
	expect_http 201 -X PUT "$ROUTER/kv/$key" -d longest
	expect_http 200 "$ROUTER/kv/${key,,}"
	expect_equal longest "$(cat "$BODY")"
	expect_http 200 -X POST "$ROUTER/?key=hex" -d "$key"
	expect_equal "${key,,}" "$(body_json 'keys[0]')"
}

a_bad_header_value_is_400()
{
	expect_problem 400 -X PUT "$ROUTER/kv/01" -d x -H 'HexKV-Durability: maybe'
	expect_problem 400 -X PUT "$ROUTER/kv/01" -d x -H 'HexKV-Ack: nobody'
	expect_problem 400 -X PUT "$ROUTER/kv/01" -d x -H 'HexKV-Mtime: noon'
	expect_problem 400 -X PUT "$ROUTER/kv/01" -d x -H 'HexKV-Request-Id: 12'
	expect_problem 400 "$ROUTER/kv/01" -H 'HexKV-Read: sometimes'
	expect_problem 400 -X MOVE "$ROUTER/kv/01"
	expect_problem 400 -X MOVE "$ROUTER/kv/01" -H 'Destination: /elsewhere/02'
	expect_problem 400 -X PATCH "$ROUTER/kv/01" -d '{"content_type":null}'
	expect_problem 400 -X PATCH "$ROUTER/kv/01" -d '{"value":"x"}'
}

# raw_request TEXT: sends the bytes, prints the status of the answer.
raw_request()
{
	local answer=''
	exec {socket}<>"/dev/tcp/127.0.0.1/$ROUTER_PORT"
	printf '%b' "$1" | cat >&"$socket" # in one write
	IFS= read -r -t $((20 * PATIENCE)) answer <&"$socket" || true
	exec {socket}>&-
	cut -d ' ' -f 2 <<<"$answer"
}

both_lengths_are_400()
{
	expect_equal 400 "$(raw_request "PUT /kv/01 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")"
}

what_is_not_there_is_404()
{
	expect_problem 404 "$ROUTER/kv/00000000"
	expect_problem 404 -X DELETE "$ROUTER/kv/00000000"
	expect_problem 404 -X PATCH "$ROUTER/kv/00000000" -d '{}'
	expect_problem 404 -X MOVE "$ROUTER/kv/00000000" -H 'Destination: /kv/01'
	expect_problem 404 -X POST "$ROUTER/" -d 00000000
	expect_http 404 -I "$ROUTER/kv/00000000"
	expect_problem 404 "$ROUTER/elsewhere"
	expect_problem 404 --path-as-is "$ROUTER/kv/../status"
	expect_problem 404 "$ROUTER/kv/"
	expect_problem 404 "$ROUTER/kv/01/02"
}

another_method_is_405_and_says_which_exist()
{
	expect_problem 405 "$ROUTER/"
	expect_contains "$(header Allow)" PUT
	expect_contains "$(header Allow)" POST
	expect_contains "$(cat "$BODY")" 'POST'
	expect_problem 405 -X DELETE "$ROUTER/"
	expect_problem 405 -X POST "$ROUTER/kv/01" -d x
	expect_contains "$(header Allow)" MOVE
	expect_problem 405 -X BREW "$ROUTER/kv/01"
	expect_problem 405 -X PUT "$ROUTER/keys" -d x
	expect_problem 405 -X DELETE "$ROUTER/status"
}

preconditions_are_412_and_304()
{
	local etag
	expect_http 201 -X PUT "$ROUTER/kv/0c" -d one
	etag=$(header ETag)
	expect_problem 412 -X PUT "$ROUTER/kv/0c" -d two -H 'If-None-Match: *'
	expect_problem 412 -X PUT "$ROUTER/kv/0c" -d two -H 'If-Match: "1-1"'
	expect_problem 412 -X DELETE "$ROUTER/kv/0c" -H 'If-Match: "1-1"'
	expect_problem 412 -X PUT "$ROUTER/kv/0c0c" -d two -H 'If-Match: *'
	expect_http 304 "$ROUTER/kv/0c" -H "If-None-Match: $etag"
	expect_http 204 -X PUT "$ROUTER/kv/0c" -d two -H "If-Match: $etag"
	expect_http 200 "$ROUTER/kv/0c" -H "If-None-Match: $etag"
	expect_equal two "$(cat "$BODY")"
}

move_needs_leave_to_overwrite()
{
	expect_http 201 -X PUT "$ROUTER/kv/0d" -d moved -H 'Content-Type: text/plain'
	expect_http 201 -X PUT "$ROUTER/kv/0d0d" -d there
	expect_problem 412 -X MOVE "$ROUTER/kv/0d" -H 'Destination: /kv/0d0d' -H 'Overwrite: F'
	expect_http 204 -X MOVE "$ROUTER/kv/0d" -H "Destination: $ROUTER/kv/0d0d"
	expect_problem 404 "$ROUTER/kv/0d"
	expect_http 200 "$ROUTER/kv/0d0d"
	expect_equal moved "$(cat "$BODY")"
	expect_equal text/plain "$(header Content-Type)"
	expect_http 201 -X MOVE "$ROUTER/kv/0d0d" -H 'Destination: /kv/0d0e'
}

ranges_are_206_and_416()
{
	expect_http 201 -X PUT "$ROUTER/kv/0e" -d 0123456789
	expect_http 206 -r 2-4 "$ROUTER/kv/0e"
	expect_equal 234 "$(cat "$BODY")"
	expect_equal 'bytes 2-4/10' "$(header Content-Range)"
	expect_http 206 -r -3 "$ROUTER/kv/0e"
	expect_equal 789 "$(cat "$BODY")"
	expect_problem 416 -r 10-11 "$ROUTER/kv/0e"
	expect_equal 'bytes */10' "$(header Content-Range)"
	expect_http 200 -r 2-4 -H 'If-Range: "1-1"' "$ROUTER/kv/0e"
}

a_json_body_over_its_bound_is_413()
{
	{
		printf '{"key":"01","content_type":"a/b","encoding":"c","value":"'
		head -c 17000000 /dev/zero | tr '\0' a
		printf '"}'
	} >"$TMP/large.json"
	expect_problem 413 -X PUT "$ROUTER/" -H "$JSON" -H 'Expect:' --data-binary "@$TMP/large.json"
	expect_problem 404 "$ROUTER/kv/01"
}

too_large_headers_are_431()
{
	local junk
	junk=$(head -c 60000 /dev/zero | tr '\0' a)
	expect_http 431 "$ROUTER/kv/01" -H "X-Junk: $junk"
}

a_node_names_the_owner_of_another_slot_with_421()
{
	local first second
	expect_http 201 -X PUT "$ROUTER/kv/0f" -d x
	http "${NODE_URLS[0]}/kv/0f"
	first=$STATUS
	http "${NODE_URLS[1]}/kv/0f"
	second=$STATUS
	expect_equal '200 421' "$(printf '%s\n' "$first" "$second" | sort | paste -sd ' ')"
}

listing_may_be_forbidden()
{
	expect_http 200 "$ROUTER/keys?limit=2"
	expect_equal 2 "$(body_json '.names | length')"
	expect_problem 400 "$ROUTER/keys?limit=0"
	expect_problem 400 "$ROUTER/keys?limit=many"
	expect_problem 400 "$ROUTER/keys?cursor=%21"
	stop_process router
	ROUTER_ARGS=(--no-listing)
	router_start
	expect_problem 403 "$ROUTER/keys"
	expect_http 200 "$ROUTER/kv/0e"
	stop_process router
	ROUTER_ARGS=()
	router_start
}

a_mount_shows_the_token()
{
	FS_ARGS=(-o "token_file=$TMP/token")
	mount_start
	expect_equal 0123456789 "$(cat "$MNT/0e")"
	printf mounted >"$MNT/0e0e"
	expect_http 200 "$ROUTER/kv/0e0e" -H 'Authorization: Bearer secret'
	expect_equal mounted "$(cat "$BODY")"
	mount_stop
	printf 'wrong\n' >"$TMP/wrong"
	expect_exit 1 "$FS_BIN" "$ROUTER" "$MNT" -f -o "token_file=$TMP/wrong"
	expect_contains "$OUTPUT" token
}

a_token_is_asked_of_everybody_but_health()
{
	printf 'secret\n' >"$TMP/token"
	stop_process router
	stop_process s0a
	stop_process s1a
	ROUTER_ARGS=(--token-file "$TMP/token")
	NODE_ARGS=(--token-file "$TMP/token")
	nodes_start
	router_start
	expect_problem 401 "$ROUTER/kv/0e"
	expect_problem 401 "$ROUTER/kv/0e" -H 'Authorization: Bearer wrong'
	expect_problem 401 "${NODE_URLS[0]}/kv/0e"
	expect_problem 401 "$ROUTER/status"
	expect_http 200 "$ROUTER/kv/0e" -H 'Authorization: Bearer secret'
	expect_http 200 "$ROUTER/health/live"
	[[ ! -w /dev/fuse ]] || a_mount_shows_the_token
	stop_process router
	stop_process s0a
	stop_process s1a
	ROUTER_ARGS=()
	NODE_ARGS=()
	nodes_start
	router_start
}

operators_pages_are_there()
{
	local url
	for url in "$ROUTER" "${NODE_URLS[@]}"; do
		expect_http 200 "$url/health/live"
		expect_http 200 "$url/health/ready"
		expect_http 200 "$url/status"
		jq -e . "$BODY" >/dev/null || fail 'status is not JSON'
		expect_http 200 "$url/topology"
		expect_equal 2 "$(body_json '.shards | length')"
		expect_http 200 "$url/metrics" -H 'Accept: application/openmetrics-text; version=1.0.0'
		expect_equal '# EOF' "$(tail -1 "$BODY")"
	done
}

numbers_are_as_prometheus_wants_them()
{
	local url
	for url in "$ROUTER" "${NODE_URLS[@]}"; do
		expect_http 200 "$url/metrics"
		expect_contains "$(header Content-Type)" 'text/plain; version=0.0.4'
	done
}

# owner_of KEY: index of the node that answers for it.
owner_of()
{
	http "${NODE_URLS[0]}/kv/$1"
	if [[ $STATUS == 421 ]]; then printf 1; else printf 0; fi
}

a_stopped_shard_is_503_and_the_other_serves()
{
	local here=0e there=10 owner
	owner=$(owner_of "$here")
	while [[ $(owner_of "$there") == "$owner" ]]; do
		there=$(printf '%x' $((16#$there + 1)))
	done
	expect_http 201 -X PUT "$ROUTER/kv/$there" -d other
	stop_process "${NODE_NAMES[owner]}"
	expect_problem 503 "$ROUTER/kv/$here"
	[[ -n $(header Retry-After) ]] || fail 'no Retry-After'
	expect_equal true "$(body_json .retryable)"
	expect_problem 503 -X PUT "$ROUTER/kv/$here" -d lost
	expect_equal not-applied "$(body_json .outcome)"
	expect_http 200 "$ROUTER/kv/$there"
	expect_http 503 "$ROUTER/health/ready"
	expect_http 200 "$ROUTER/health/live"
	nodes_start
	expect_within 10 is_ready "$ROUTER"
	expect_http 200 "$ROUTER/kv/$here"
	expect_equal 0123456789 "$(cat "$BODY")"
}

a_node_that_does_not_answer_is_504()
{
	local owner name
	owner=$(owner_of 0e)
	name=${NODE_NAMES[owner]}
	pause_process "$name"
	http -m $((100 * PATIENCE)) -X PUT "$ROUTER/kv/0e" -d unknown
	continue_process "$name"
	# A worker that had no connection to the node could not send it anything.
	expect_contains '504 unknown, 503 not-applied' "$STATUS $(body_json .outcome)"
	expect_within 10 is_ready "$ROUTER"
	expect_http 200 "$ROUTER/kv/0e"
}

the_space_that_nodes_share_counts_once()
{
	local total
	expect_http 200 "${NODE_URLS[0]}/status"
	total=$(body_json .store.space_total)
	[[ $(body_json .store.file_system) =~ ^[0-9a-f]{32}$ ]] || fail "$(cat "$BODY")"
	expect_http 200 "$ROUTER/status"
	expect_equal "$total" "$(body_json .space.total_bytes)"
}

another_transfer_coding_is_501()
{
	expect_equal 501 "$(raw_request 'PUT /kv/01 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n')"
}

too_many_large_values_at_once_are_429()
{
	local owner name port socket i sockets=()
	owner=$(owner_of 0e)
	name=${NODE_NAMES[owner]}
	port=${NODE_URLS[owner]##*:}
	stop_process "$name"
	NODE_ARGS=(--workers 1)
	nodes_start
	# 64 MiB of buffers for what arrives.
	for ((i = 0; i < 64; i++)); do
		exec {socket}<>"/dev/tcp/127.0.0.1/$port"
		printf 'PUT /kv/0e HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n' >&"$socket"
		sockets+=("$socket")
	done
	head -c 200000 /dev/zero >"$TMP/large"
	expect_within 10 answers 429 -X PUT "${NODE_URLS[owner]}/kv/0e" -T "$TMP/large"
	expect_problem 429 -X PUT "$ROUTER/kv/0e" -T "$TMP/large"
	[[ -n $(header Retry-After) ]] || fail 'no Retry-After'
	expect_equal 'true not-applied' "$(body_json '"\(.retryable) \(.outcome)"')"
	expect_http 204 -X PUT "$ROUTER/kv/0e" -d small
	for socket in "${sockets[@]}"; do
		exec {socket}>&-
	done
	expect_within 10 answers 204 -X PUT "$ROUTER/kv/0e" -T "$TMP/large"
	NODE_ARGS=()
	stop_process "$name"
	nodes_start
	expect_within 10 is_ready "$ROUTER"
}

# answers STATUS CURL-ARGUMENTS...
answers()
{
	local expected=$1
	shift
	http "$@"
	[[ $STATUS == "$expected" ]]
}

cluster_start 2
run_cases \
	broken_json_is_400 \
	a_bad_key_is_400 \
	the_longest_key_works_in_either_case \
	a_bad_header_value_is_400 \
	both_lengths_are_400 \
	another_transfer_coding_is_501 \
	what_is_not_there_is_404 \
	another_method_is_405_and_says_which_exist \
	preconditions_are_412_and_304 \
	move_needs_leave_to_overwrite \
	ranges_are_206_and_416 \
	a_json_body_over_its_bound_is_413 \
	too_large_headers_are_431 \
	a_node_names_the_owner_of_another_slot_with_421 \
	listing_may_be_forbidden \
	a_token_is_asked_of_everybody_but_health \
	operators_pages_are_there \
	numbers_are_as_prometheus_wants_them \
	the_space_that_nodes_share_counts_once \
	a_stopped_shard_is_503_and_the_other_serves \
	a_node_that_does_not_answer_is_504 \
	too_many_large_values_at_once_are_429
