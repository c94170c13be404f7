#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Nodes that are dead, stuck, or belong to another cluster: each request is answered within its
# deadline, the other shard is served as if nothing was, and all recovers by itself.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

owner_of()
{
	http -I "${NODE_URLS[0]}/kv/$1"
	if [[ $STATUS == 421 ]]; then printf 1; else printf 0; fi
}

# SICK lives in shard 0, WELL in shard 1.
choose_keys()
{
	local i key
	for ((i = 0; i < 256; i++)); do
		key=$(printf '%02x' "$i")
		if [[ $(owner_of "$key") == 0 ]]; then SICK=$ROUTER/kv/$key; else WELL=$ROUTER/kv/$key; fi
		[[ -z ${SICK:-} || -z ${WELL:-} ]] || return 0
	done
	fail 'no keys found'
}

# now_ms: milliseconds, for deadlines.
now_ms()
{
	printf '%s' $((${EPOCHREALTIME/./} / 1000))
}

# well_is_quick COUNT: so many requests to the other shard, which don't wait for the sick one. A busy
# machine may hold up some of them.
well_is_quick()
{
	local i took all=''
	for ((i = 0; i < $1; i++)); do
		took=$(curl -sS -m 20 -o /dev/null -w '%{http_code} %{time_total}' "$WELL")
		[[ $took == '200 '* ]] || fail "the other shard: $took s"
		all+=$took$'\n'
	done
	awk -v most="$PATIENCE" '$2 < most { quick++ } END { exit !(2 * quick > NR) }' <<<"${all%?}" ||
		fail "the other shard: $all"
}

# The first request waits for a leader: its node might only be starting anew.
a_killed_node_is_503_soon_and_comes_back()
{
	local start
	kill_process s0a
	start=$(now_ms)
	http "$SICK"
	expect_contains '502 503' "$STATUS"
	expect_http 503 "$SICK"
	[[ -n $(header Retry-After) ]] || fail 'no Retry-After'
	expect_http 503 -X PUT "$SICK" -d lost
	expect_equal not-applied "$(body_json .outcome)"
	expect_equal true "$(body_json .retryable)"
	expect_http 503 -X POST "$ROUTER/" -d "${SICK##*/}"
	expect_http 503 -X PUT "$ROUTER/" -d \
		"{\"key\":\"${SICK##*/}\",\"content_type\":\"a/b\",\"encoding\":\"c\",\"value\":\"d\"}"
	head -c 1000000 /dev/zero >"$TMP/large"
	expect_http 503 -X PUT "$SICK" -T "$TMP/large"
	expect_http 503 "$ROUTER/keys"
	(($(now_ms) - start < 20000 * PATIENCE)) || fail "took $(($(now_ms) - start)) ms"
	well_is_quick 20
	expect_http 200 "$ROUTER/keys?cursor=1."
	expect_http 200 "$ROUTER/status"
	expect_equal 'false true' "$(body_json '[.shards[].nodes[].answers | tostring] | join(" ")')"
	nodes_start
	expect_within 10 is_ready "$ROUTER"
	expect_http 200 "$SICK"
	expect_equal sick "$(cat "$BODY")"
	expect_http 204 -X PUT "$SICK" -d sick
}

a_stuck_node_is_504_within_the_deadline_and_the_other_shard_is_quick()
{
	local pids=() i status took
	pause_process s0a
	for i in 1 2 3 4 5 6 7 8; do
		curl -sS -m 60 -o "$TMP/stuck.$i" -w '%{http_code} %{time_total}' -X PUT "$SICK" \
			-d "value $i" >"$TMP/status.$i" &
		pids+=($!)
	done
	well_is_quick 30
	wait "${pids[@]}"
	for i in 1 2 3 4 5 6 7 8; do
		read -r status took <"$TMP/status.$i" || [[ -n $took ]]
		# A worker that had no connection yet could not send its write.
		expect_contains '504 unknown, 503 not-applied' \
			"$status $(jq -r .outcome "$TMP/stuck.$i")"
		awk -v most=$((15 * PATIENCE)) '$1 < 1.4 || $1 >= most { exit 1 }' <<<"$took" ||
			fail "took $took s"
	done
	# By now its connection may have been given up.
	http "$SICK"
	expect_contains '503 504' "$STATUS"
	expect_equal not-applied "$(body_json .outcome)"
	continue_process s0a
	expect_within 10 is_ready "$ROUTER"
	expect_http 204 -X PUT "$SICK" -d sick
	expect_http 200 "$SICK"
	expect_equal sick "$(cat "$BODY")"
}

writes_while_a_node_dies_are_answered_honestly()
{
	local i pids=() status acknowledged=''
	for i in 1 2 3 4; do
		(
			# Numbers to a key of its own; the last acknowledged one counts.
			for ((n = 1; n < 100000; n++)); do
				[[ ! -e $TMP/stop ]] || break
				status=$(curl -sS -m 20 -o "$TMP/answer.$i" -w '%{http_code}' -X PUT \
					"$SICK$(printf '%02x' "$i")" -d "$n") || true
				printf '%s %s\n' "$n" "$status" >>"$TMP/writes.$i"
			done
		) &
		pids+=($!)
	done
	expect_within 20 test -s "$TMP/writes.1"
	kill_process s0a
	nodes_start
	expect_within 10 is_ready "$ROUTER"
	touch "$TMP/stop"
	wait "${pids[@]}"
	for i in 1 2 3 4; do
		http "$SICK$(printf '%02x' "$i")"
		[[ $STATUS == 200 || $STATUS == 421 || $STATUS == 404 ]] || fail "reads $STATUS"
		acknowledged=$(awk '$2 ~ /^20/ { n = $1 } END { print n + 0 }' "$TMP/writes.$i")
		# Later writes that were answered with "unknown" may be there too.
		(($(cat "$BODY") >= acknowledged)) || fail "acknowledged $acknowledged, has $(cat "$BODY")"
		status=$(awk '$2 !~ /^(20.|502|503|504)$/' "$TMP/writes.$i")
		[[ -z $status ]] || fail "answers: $status"
	done
}

# In the place of node s0a: what it says is no HTTP, or no frame, or an answer to somebody else.
start_babbler()
{
	local port=${NODE_URLS[0]##*:}
	start_process babbler python3 "$(dirname "$0")/babbler.py" "$port" "$1"
	expect_within 10 port_is_taken "$port"
}

a_node_that_answers_garbage_is_a_bad_gateway_and_harms_nobody()
{
	local way start
	need_command python3
	for way in noise head frames other nothing; do
		stop_process s0a
		start_babbler "$way"
		http "$SICK"
		expect_contains '502 503 504' "$STATUS"
		http -X PUT "$SICK" -d garbage
		expect_contains '502 503 504' "$STATUS"
		jq -e '.outcome and .retryable != null' "$BODY" >/dev/null || fail "$(cat "$BODY")"
		head -c 300000 /dev/zero >"$TMP/large"
		http -X PUT "$SICK" -T "$TMP/large"
		expect_contains '502 503 504' "$STATUS"
		well_is_quick 5
		end_process babbler
		node_start 0
		wait_ready s0a "${NODE_URLS[0]}"
		start=$(now_ms)
		expect_within 10 answers_sick
		printf '  %s: served %d ms after the node was ready\n' "$way" $(($(now_ms) - start))
	done
}

answers_sick()
{
	http "$SICK"
	[[ $STATUS == 200 && $(cat "$BODY") == sick ]]
}

a_node_that_dies_in_an_answer_ends_it_short()
{
	local length status=0
	head -c 200000000 /dev/zero >"$TMP/large"
	expect_http 204 -X PUT "$SICK" -T "$TMP/large"
	curl -sS --limit-rate 20M -o "$TMP/short" "$SICK" 2>/dev/null &
	expect_within 20 file_is_over "$TMP/short" 1000000
	kill_process s0a
	wait "$!" || status=$?
	length=$(stat -c %s "$TMP/short")
	# 18: partial file; 56: the connection was reset.
	[[ $status == 18 || $status == 56 ]] || fail "curl ended with $status after $length bytes"
	((length < 200000000)) || fail 'it was whole'
	nodes_start
	expect_within 10 is_ready "$ROUTER"
	curl -sS "$SICK" | cmp - "$TMP/large" || fail 'not the same bytes'
	expect_http 204 -X PUT "$SICK" -d sick
}

file_is_over()
{
	[[ -e $1 ]] && (($(stat -c %s "$1") > $2))
}

a_client_that_leaves_in_the_middle_leaves_nothing_behind()
{
	local i
	for i in 1 2 3; do
		# Uploads and downloads that end early.
		curl -sS -m 0.3 --limit-rate 1M -o /dev/null -X PUT "$SICK" -T "$TMP/large" \
			2>/dev/null || true
		curl -sS -m 0.3 --limit-rate 1M -o /dev/null -X PUT "$SICK" -T - \
			<"$TMP/large" 2>/dev/null || true
		curl -sS -m 0.3 --limit-rate 1M -o /dev/null "$WELL" 2>/dev/null || true
	done
	expect_http 200 "$SICK"
	expect_equal sick "$(cat "$BODY")"
	well_is_quick 5
}

a_node_of_another_topology_is_502_with_a_log_line()
{
	stop_process router
	jq '.shards[0].slots = [[2048, 4095]] | .shards[1].slots = [[0, 2047]]' "$CLUSTER" \
		>"$TMP/other.json"
	CLUSTER=$TMP/other.json router_start
	expect_http 502 "$SICK"
	expect_contains "$(body_json .detail)" 'cluster file'
	expect_http 502 -X PUT "$SICK" -d x
	expect_equal not-applied "$(body_json .outcome)"
	grep -q 'node does not own the slot' "$TMP/log/router" || fail 'no log line'
	stop_process router
	router_start
	expect_http 200 "$SICK"
}

a_token_that_the_nodes_refuse_is_502()
{
	printf 'right\n' >"$TMP/right"
	printf 'wrong\n' >"$TMP/wrong"
	stop_process router
	stop_process s0a
	stop_process s1a
	NODE_ARGS=(--token-file "$TMP/right")
	ROUTER_ARGS+=(--token-file "$TMP/wrong")
	nodes_start
	start_process router "$ROUTER_BIN" --listen "127.0.0.1:$ROUTER_PORT" --cluster "$CLUSTER" \
		"${ROUTER_ARGS[@]}"
	expect_within 10 curl -fsS -o /dev/null "$ROUTER/health/live"
	http "$SICK" -H 'Authorization: Bearer wrong'
	expect_contains '502 503' "$STATUS"
}

# It may become one, or be one again.
a_name_that_is_not_known_is_503_and_stops_nobody_else()
{
	local other=http://127.0.0.1:$((ROUTER_PORT + 8))
	jq '.shards[0].nodes[0].url = "http://nowhere.invalid:1"' "$CLUSTER" >"$TMP/unknown.json"
	start_process nameless "$ROUTER_BIN" --cluster "$TMP/unknown.json" --listen "${other#http://}"
	wait_until 20 is_live "$other" || fail 'it does not serve'
	expect_http 503 -m 20 "$other/kv/${SICK##*/}"
	[[ -n $(header Retry-After) ]] || fail 'no Retry-After'
	expect_http 503 -m 20 -X PUT "$other/kv/${SICK##*/}" -T "$CLUSTER"
	expect_equal not-applied "$(body_json .outcome)"
	expect_http 200 -m 20 "$other/kv/${WELL##*/}"
	stop_process nameless
	expect_contains "$(cat "$TMP/log/nameless")" 'host=nowhere.invalid'
}

is_live()
{
	http -m 5 "$1/health/live" 2>/dev/null && [[ $STATUS == 200 ]]
}

bad_arguments_end_with_2()
{
	expect_exit 2 "$ROUTER_BIN"
	expect_contains "$OUTPUT" --cluster
	expect_exit 2 "$ROUTER_BIN" --cluster "$TMP/nowhere"
	printf '{"cluster": "x", "shards": []}' >"$TMP/broken.json"
	expect_exit 2 "$ROUTER_BIN" --cluster "$TMP/broken.json"
	expect_exit 2 "$ROUTER_BIN" --no-such-option
	expect_exit 2 "$ROUTER_BIN" --cluster "$CLUSTER" --log-level loud
	expect_exit 2 "$ROUTER_BIN" --cluster "$CLUSTER" --token-file "$TMP/nowhere"
	expect_exit 0 "$ROUTER_BIN" --help
	expect_contains "$OUTPUT" --node-timeout-ms
	expect_exit 0 "$ROUTER_BIN" --version
	expect_exit 1 "$ROUTER_BIN" --cluster "$CLUSTER" --listen "127.0.0.1:$ROUTER_PORT"
}

ROUTER_ARGS=(--node-timeout-ms 1500)
cluster_start 2
choose_keys
expect_http 201 -X PUT "$SICK" -d sick
expect_http 201 -X PUT "$WELL" -d well
run_cases \
	a_killed_node_is_503_soon_and_comes_back \
	a_stuck_node_is_504_within_the_deadline_and_the_other_shard_is_quick \
	writes_while_a_node_dies_are_answered_honestly \
	a_node_that_answers_garbage_is_a_bad_gateway_and_harms_nobody \
	a_node_that_dies_in_an_answer_ends_it_short \
	a_client_that_leaves_in_the_middle_leaves_nothing_behind \
	a_node_of_another_topology_is_502_with_a_log_line \
	a_name_that_is_not_known_is_503_and_stops_nobody_else \
	bad_arguments_end_with_2 \
	a_token_that_the_nodes_refuse_is_502
