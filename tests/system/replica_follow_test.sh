#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What is written at a leader is on its follower; who answers what; crashes of either.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"

any=(-H 'HexKV-Read: any')

what_is_written_at_the_leader_is_on_the_follower()
{
	local leader=${NODE_URLS[0]}
	put 01 first -H 'Content-Type: text/plain' -H 'HexKV-Encoding: utf-8'
	put 02 second
	put 03 third
	expect_http 204 -X DELETE "$leader/kv/02"
	expect_http 204 -X PATCH -d '{"encoding":"other"}' "$leader/kv/01"
	expect_http 201 -X MOVE -H 'Destination: /kv/04' "$leader/kv/03"
	head -c 3000000 /dev/urandom >"$TMP/large"
	expect_http 201 -T "$TMP/large" "$leader/kv/05"
	expect_http 201 -X MOVE -H 'Destination: /kv/06' "$leader/kv/05"
	expect_http 204 -X PATCH -d '{"content_type":"a/b"}' "$leader/kv/06"
	expect_converged
	expect_http 200 "${any[@]}" "${NODE_URLS[1]}/kv/06"
	expect_same_file "$TMP/large" "$BODY"
	expect_equal a/b "$(header content-type)"
	expect_http 404 "${any[@]}" "${NODE_URLS[1]}/kv/02"
	expect_http 200 "${any[@]}" "${NODE_URLS[1]}/kv/01"
	expect_equal other "$(header hexkv-encoding)"
}

a_follower_says_how_old_its_answer_may_be()
{
	local follower=${NODE_URLS[1]} status
	for status in 200 404; do
		expect_http "$status" "${any[@]}" "$follower/kv/0$((status == 200 ? 1 : 9))"
		[[ $(header hexkv-staleness-ms) =~ ^[0-9]+$ ]] ||
			fail "no staleness with $status: $(cat "$HEADERS")"
	done
	http "${any[@]}" "$follower/kv/01"
	expect_http 304 "${any[@]}" -H "If-None-Match: $(header etag)" "$follower/kv/01"
	[[ $(header hexkv-staleness-ms) =~ ^[0-9]+$ ]] || fail 'no staleness with 304'
	expect_http 206 "${any[@]}" -r 0-1 "$follower/kv/06"
	[[ $(header hexkv-staleness-ms) =~ ^[0-9]+$ ]] || fail 'no staleness with 206'
	expect_http 200 "${any[@]}" "$follower/keys"
	[[ $(header hexkv-staleness-ms) =~ ^[0-9]+$ ]] || fail 'no staleness with names'
	expect_http 200 "${any[@]}" "${NODE_URLS[0]}/kv/01"
	expect_equal 0 "$(header hexkv-staleness-ms)" 'staleness at the leader'
	expect_http 200 "${NODE_URLS[0]}/kv/01"
	expect_equal '' "$(header hexkv-staleness-ms)" 'staleness that nobody asked for'
}

whoever_asks_a_follower_for_more_is_sent_to_the_leader()
{
	local follower=${NODE_URLS[1]} request
	for request in 'kv/01' 'keys' 'kv/01 -H HexKV-Read:leader' 'kv/01 -X PUT -d x' \
		'kv/01 -X DELETE' 'kv/01 -X PATCH -d {}' 'kv/01 -X MOVE -H Destination:/kv/07'; do
		# shellcheck disable=SC2086 # words are arguments
		expect_http 421 "$follower/"$request
		expect_equal "${NODE_URLS[0]}" "$(header hexkv-leader)" "$request"
		expect_equal not-applied "$(body_json .outcome)"
	done
	expect_http 400 -H 'HexKV-Read: some' "$follower/kv/01"
}

roles_and_positions_are_told()
{
	expect_http 200 "${NODE_URLS[0]}/role"
	expect_equal leader,s0a,true,0 "$(body_json '[.role,.leader,.reads,.staleness_ms]|join(",")')"
	expect_equal "$(role 0 .epoch)" "$(role 1 .promise)" 'whom the follower follows'
	expect_http 200 "${NODE_URLS[1]}/status"
	expect_equal follower,s0a "$(body_json '[.role,.leader]|join(",")')"
	expect_http 200 "${NODE_URLS[0]}/status"
	expect_equal s0b,true,0,0 \
		"$(body_json '.replication.peers[0]|[.name,.follows,.lag_records,.lag_bytes]|join(",")')"
	expect_equal "$(body_json .replication.end)" "$(body_json '.replication.peers[0].end')"
	expect_equal 1 "$(metric 0 'hexkv_replica_role{role="leader"}')"
	expect_equal 0 "$(metric 0 'hexkv_replica_lag_records{node="s0b"}')"
	expect_equal 1 "$(metric 1 'hexkv_replica_role{role="follower"}')"
	(($(metric 1 hexkv_replica_received_bytes_total) > 3000000)) || fail 'no bytes were received'
	expect_http 405 "${NODE_URLS[0]}/replica"
	expect_equal POST "$(header allow)"
	expect_http 503 -X POST -d nonsense "${NODE_URLS[0]}/replica"
}

a_follower_that_is_killed_catches_up()
{
	local i
	put 10 before
	node_kill 1
	for i in $(seq 20 60); do
		put "$i" "while away $i"
	done
	expect_http 204 -X DELETE "${NODE_URLS[0]}/kv/10"
	node_restart 1
	expect_converged
	expect_equal 'while away 60' "$(value_at 1 60)"
	expect_equal '' "$(value_at 1 10)"
}

without_its_leader_a_follower_still_answers_whoever_takes_any()
{
	local etag
	etag=$(curl -fsSI "${NODE_URLS[0]}/kv/01" | tr -d '\r' | awk 'tolower($1) == "etag:" { print $2 }')
	node_kill 0
	expect_http 200 "${any[@]}" "${NODE_URLS[1]}/kv/01"
	expect_equal "$etag" "$(header etag)"
	[[ -n $(header hexkv-staleness-ms) ]] || fail 'no staleness'
	expect_http 421 "${NODE_URLS[1]}/kv/01"
	# Also after it has started anew.
	node_kill 1
	node_start 1
	expect_within 20 may_be_read 1
	expect_http 200 "${any[@]}" "${NODE_URLS[1]}/kv/01"
	expect_equal unknown "$(header hexkv-staleness-ms)"
	nodes_start
	expect_within 20 all_follow
	leader_find
	expect_equal 0 "$LEADER" 'the leader after all were away'
	put 11 after
	expect_converged
}

all_at_once_may_be_killed()
{
	local i
	for i in $(seq 70 90); do
		put "$i" "kept $i"
	done
	node_kill 0
	node_kill 1
	nodes_start
	expect_within 20 all_follow
	for i in $(seq 70 90); do
		expect_equal "kept $i" "$(value_at 0 "$i")"
	done
	expect_converged
}

nodes_show_each_other_the_token()
{
	stop_process s0a
	stop_process s0b
	printf 'secret\n' >"$TMP/token"
	NODE_ARGS+=(--token-file "$TMP/token")
	node_start 0
	node_start 1
	wait_ready s0a "${NODE_URLS[0]}"
	wait_ready s0b "${NODE_URLS[1]}"
	expect_http 401 -X POST "${NODE_URLS[0]}/replica"
	expect_http 401 -X POST "${NODE_URLS[0]}/admin/promote"
	expect_http 401 "${NODE_URLS[0]}/role"
	expect_http 204 -X PUT -d shown -H 'Authorization: Bearer secret' "${NODE_URLS[0]}/kv/01"
	expect_within 20 has_token_value
}

has_token_value()
{
	[[ $(curl -fsS -H 'Authorization: Bearer secret' "${any[@]}" "${NODE_URLS[1]}/kv/01" \
		2>/dev/null) == shown ]]
}

shard_start 2
run_cases what_is_written_at_the_leader_is_on_the_follower \
	a_follower_says_how_old_its_answer_may_be \
	whoever_asks_a_follower_for_more_is_sent_to_the_leader \
	roles_and_positions_are_told \
	a_follower_that_is_killed_catches_up \
	without_its_leader_a_follower_still_answers_whoever_takes_any \
	all_at_once_may_be_killed \
	nodes_show_each_other_the_token
