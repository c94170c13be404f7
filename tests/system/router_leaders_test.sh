#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The router in front of a shard of three nodes: what a client sees when the leader changes, is
# started anew, is killed or stands still.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"

# expect_quick WHAT COMMAND...: it does not wait for a leader, as a write would for five seconds.
expect_quick()
{
	local what=$1 start=${EPOCHREALTIME/./} took
	shift
	"$@"
	took=$(((${EPOCHREALTIME/./} - start) / 1000))
	((took < 4500 * PATIENCE)) || fail "$what took $took ms"
}

# A client that asks once and never again: every answer is noted that is not a success.
client_loop()
{
	local n=0 status
	while [[ ! -e $TMP/client-stop ]]; do
		n=$((n + 1))
		status=$(curl -s -m 20 -o "$TMP/client-put" -w '%{http_code}' -X PUT -d "number $n" \
			"$ROUTER/kv/$(printf 'aa%06d' "$n")") || true
		[[ $status == 201 ]] ||
			echo "PUT of number $n: $status $(head -c 300 "$TMP/client-put")" >>"$TMP/client-failed"
		status=$(curl -s -m 20 -o "$TMP/client-get" -w '%{http_code}' -H 'HexKV-Read: leader' \
			"$ROUTER/kv/$(printf 'aa%06d' "$n")") || true
		[[ "$status $(<"$TMP/client-get")" == "200 number $n" ]] ||
			echo "GET of number $n: $status $(head -c 300 "$TMP/client-get")" >>"$TMP/client-failed"
		echo "$n" >"$TMP/client-count"
	done
}

client_has_begun()
{
	[[ -s $TMP/client-count ]]
}

client_start()
{
	rm -f "$TMP/client-stop" "$TMP/client-failed" "$TMP/client-count"
	client_loop &
	PROCESSES[client]=$!
	expect_within 10 client_has_begun
}

client_stop()
{
	touch "$TMP/client-stop"
	finish_process client
	[[ ! -s $TMP/client-failed ]] || fail "the client saw: $(head -3 "$TMP/client-failed")"
	for node in 0 1 2; do
		expect_equal 0 "$(metric "$node" hexkv_replica_diverged_entries_total)"
	done
	http -X DELETE "$ROUTER/kv/aa000001"
	for key in $(seq 2 "$(<"$TMP/client-count")"); do
		printf 'url = "%s/kv/aa%06d"\noutput = /dev/null\n' "$ROUTER" "$key"
	done >"$TMP/client-wanted"
	curl -sS -X DELETE -K "$TMP/client-wanted"
}

router_says_leader()
{
	http "$ROUTER/status"
	[[ $STATUS == 200 && $(body_json '.shards[0] | "\(.leader) \(.leads)"') == "$1 true" ]]
}

router_has_no_leader()
{
	http "$ROUTER/status"
	[[ $STATUS == 200 && $(body_json '.shards[0].leads') == false ]]
}

a_planned_change_is_not_seen_by_clients()
{
	local round
	client_start
	for round in 1 2 0 1 0; do
		promote "$round"
		expect_within 20 router_says_leader "${NODE_NAMES[round]}"
	done
	client_stop
	expect_equal leader "$(role 0 .role)"
	http "$ROUTER/metrics"
	(($(awk '$1 == "hexkv_router_leader_changes_total" { print $2 }' "$BODY") >= 5)) ||
		fail 'the changes are not counted'
}

nodes_that_are_started_anew_are_not_seen_by_clients()
{
	local i
	client_start
	for i in 2 1 0; do
		stop_process "${NODE_NAMES[i]}"
		node_restart "$i"
		expect_within 20 all_follow
	done
	client_stop
}

# stale TARGET [CURL-ARGUMENTS]: 200 from a follower, marked.
expect_stale()
{
	expect_http 200 "$@"
	expect_equal true "$(header hexkv-stale)"
	[[ $(header hexkv-staleness-ms) =~ ^[0-9]+$ ]] ||
		fail "staleness is '$(header hexkv-staleness-ms)'"
}

without_a_leader_reads_are_stale_and_writes_are_503()
{
	head -c 3000000 /dev/urandom >"$TMP/large"
	expect_http 201 -X PUT -T "$TMP/large" "$ROUTER/kv/cc01"
	expect_http 201 -X PUT -d small "$ROUTER/kv/cc02"
	expect_converged
	leader_find
	node_kill "$LEADER"
	expect_quick 'the read' expect_stale "$ROUTER/kv/cc02"
	expect_equal small "$(<"$BODY")"
	expect_stale "$ROUTER/kv/cc01"
	expect_same_file "$TMP/large" "$BODY"
	expect_http 206 -H 'Range: bytes=1000000-1000009' "$ROUTER/kv/cc01"
	expect_equal true "$(header hexkv-stale)"
	expect_stale -X POST "$ROUTER/" -d cc02
	expect_stale "$ROUTER/keys"
	expect_equal cc01,cc02 "$(body_json '[.names[].key] | join(",")')"
	expect_http 404 "$ROUTER/kv/cc03"
	expect_equal true "$(header hexkv-stale)"
	expect_http 200 -H 'HexKV-Read: any' "$ROUTER/kv/cc02"
	expect_equal '' "$(header hexkv-stale)"
	expect_http 503 -X PUT -d x "$ROUTER/kv/cc02"
	expect_equal not-applied "$(body_json .outcome)"
	expect_http 503 -H 'HexKV-Read: leader' "$ROUTER/kv/cc02"
	expect_http 503 "$ROUTER/health/ready"
	expect_contains "$(body_json .detail)" 'followers answer reads'
	expect_http 200 "$ROUTER/status"
	(($(body_json .entries) >= 2)) || fail 'nothing is counted without a leader'
	nodes_start
	expect_within 20 router_says_leader "${NODE_NAMES[LEADER]}"
	expect_http 200 "$ROUTER/kv/cc02"
	expect_equal '' "$(header hexkv-stale)"
	expect_within 10 is_ready "$ROUTER"
}

a_leader_that_stands_still_holds_up_no_read()
{
	leader_find
	expect_http 200 "$ROUTER/kv/cc02"
	pause_process "${NODE_NAMES[LEADER]}"
	expect_quick 'the read' expect_stale "$ROUTER/kv/cc02"
	expect_within 20 router_has_no_leader
	expect_stale "$ROUTER/kv/cc01"
	expect_same_file "$TMP/large" "$BODY"
	continue_process "${NODE_NAMES[LEADER]}"
	expect_within 10 router_says_leader "${NODE_NAMES[LEADER]}"
	expect_http 204 -X PUT -d 'small again' "$ROUTER/kv/cc02"
}

a_forced_change_is_followed_soon()
{
	leader_find
	node_kill "$LEADER"
	expect_within 20 router_has_no_leader
	others=(0 1 2)
	unset "others[LEADER]"
	others=("${others[@]}")
	promote "${others[0]}" force
	expect_quick 'the write' expect_http 201 -X PUT -d new "$ROUTER/kv/cc04"
	nodes_start
	expect_converged
	expect_http 200 "$ROUTER/kv/cc04"
	expect_equal '' "$(header hexkv-stale)"
}

any_node_answers_reads_that_ask_for_it()
{
	local i
	expect_converged
	for i in 1 2 3 4 5 6 7 8 9; do
		expect_http 200 -H 'HexKV-Read: any' "$ROUTER/kv/cc04"
		[[ $(header hexkv-staleness-ms) =~ ^[0-9]+$ ]] || fail 'it does not say how old it may be'
		expect_equal '' "$(header hexkv-stale)"
	done
	http "$ROUTER/metrics"
	for i in 0 1 2; do
		(($(awk -v want="node=\"${NODE_NAMES[i]}\",result=\"answered\"" \
			'index($1, want) { print $2 }' "$BODY") >= 3)) || fail "${NODE_NAMES[i]} was not asked"
	done
}

shard_start 3
ROUTER_PORT=$PORT_BASE
ROUTER=http://127.0.0.1:$ROUTER_PORT
router_start
run_cases a_planned_change_is_not_seen_by_clients \
	nodes_that_are_started_anew_are_not_seen_by_clients \
	without_a_leader_reads_are_stale_and_writes_are_503 \
	a_leader_that_stands_still_holds_up_no_read \
	a_forced_change_is_followed_soon \
	any_node_answers_reads_that_ask_for_it
