#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Writes that wait until other nodes have them.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"

quorum=(-H 'HexKV-Ack: quorum')
all=(-H 'HexKV-Ack: all')

# request_id DIGIT: a header with that id.
request_id()
{
	printf 'HexKV-Request-Id: %032d' "$1"
}

what_all_acknowledged_is_on_every_node_at_once()
{
	local i round
	for round in $(seq 1 20); do
		put aa "round $round" "${all[@]}"
		for i in 0 1 2; do
			expect_equal "round $round" "$(value_at "$i" aa)" "at ${NODE_NAMES[i]}"
		done
	done
}

a_majority_is_enough_for_a_quorum()
{
	pause_process s0c
	put ab one "${quorum[@]}"
	expect_equal one "$(value_at 1 ab)"
	expect_http 504 -X PUT -d two "${NODE_URLS[0]}/kv/ab" "${all[@]}" -H "$(request_id 1)"
	expect_equal unknown,true "$(body_json '[.outcome,.retryable]|join(",")')"
	# It stands at the leader.
	expect_http 200 "${NODE_URLS[0]}/kv/ab"
	expect_equal two "$(<"$BODY")"
	# A repetition waits for it again, whatever it asks of the disk.
	expect_http 504 -X PUT -d two "${NODE_URLS[0]}/kv/ab" "${all[@]}" -H "$(request_id 1)" \
		-H 'HexKV-Durability: memory'
	expect_http 204 -X PUT -d two "${NODE_URLS[0]}/kv/ab" "${quorum[@]}" -H "$(request_id 1)"
	expect_equal true "$(header hexkv-repeated)"
	continue_process s0c
	expect_http 204 -X PUT -d two "${NODE_URLS[0]}/kv/ab" "${all[@]}" -H "$(request_id 1)"
	expect_equal two "$(value_at 2 ab)"
}

every_kind_of_write_waits_and_so_do_its_repetitions()
{
	local leader=${NODE_URLS[0]} id=10 request
	put ba x "${all[@]}"
	put bb x "${all[@]}"
	put bc x "${all[@]}"
	pause_process s0b
	pause_process s0c
	# shellcheck disable=SC2089
	for request in 'ba -X DELETE' 'bb -X MOVE -H Destination:/kv/bd' 'bc -X PATCH -d {"encoding":"e"}' \
		'bc -X PATCH -d {}' 'be -X PUT -d new'; do
		id=$((id + 1))
		# shellcheck disable=SC2086,SC2090 # words are arguments
		expect_http 504 "$leader/kv/"$request "${quorum[@]}" -H "$(request_id $id)"
		expect_equal unknown "$(body_json .outcome)" "$request"
		# shellcheck disable=SC2086,SC2090
		expect_http 504 "$leader/kv/"$request "${quorum[@]}" -H "$(request_id $id)"
	done
	# What changes nothing does not wait.
	expect_http 404 -X DELETE "$leader/kv/ff" "${quorum[@]}"
	expect_http 412 -X PUT -d x -H 'If-None-Match: *' "$leader/kv/bc" "${quorum[@]}"
	continue_process s0b
	expect_http 204 -X DELETE "$leader/kv/ba" "${quorum[@]}" -H "$(request_id 11)"
	expect_http 201 -X MOVE -H 'Destination: /kv/bd' "$leader/kv/bb" "${quorum[@]}" \
		-H "$(request_id 12)"
	expect_http 204 -X PATCH -d '{}' "$leader/kv/bc" "${quorum[@]}"
	expect_equal '' "$(value_at 1 ba)$(value_at 1 bb)"
	expect_equal x "$(value_at 1 bd)"
	continue_process s0c
	expect_converged
}

the_cluster_file_says_what_is_asked_for_by_default()
{
	local i
	for i in 0 1 2; do
		stop_process "${NODE_NAMES[i]}"
	done
	SHARD_ACK=all write_shard_file 3
	nodes_start
	expect_within 20 all_follow
	put ca default
	expect_equal default "$(value_at 1 ca)"
	expect_equal default "$(value_at 2 ca)"
	node_kill 2
	leader_find
	expect_http 504 -X PUT -d late "${NODE_URLS[LEADER]}/kv/ca"
	expect_http 204 -X PUT -d later "${NODE_URLS[LEADER]}/kv/ca" -H 'HexKV-Ack: leader'
	node_restart 2
	expect_converged
}

a_leader_that_ends_says_that_it_does_not_know()
{
	local begun=$SECONDS
	NODE_ARGS=(--ack-timeout-ms 60000)
	leader_find
	stop_process "${NODE_NAMES[LEADER]}"
	nodes_start
	expect_within 20 all_follow
	leader_find
	for i in "${!NODE_NAMES[@]}"; do
		((i == LEADER)) || pause_process "${NODE_NAMES[i]}"
	done
	curl -sS -o "$TMP/late" -w '%{http_code}' -X PUT -d x "${all[@]}" \
		"${NODE_URLS[LEADER]}/kv/cb" >"$TMP/late-status" &
	PROCESSES[late]=$!
	expect_within 10 someone_waits "$LEADER"
	stop_process "${NODE_NAMES[LEADER]}"
	finish_process late
	expect_equal 504 "$(<"$TMP/late-status")"
	expect_equal unknown "$(jq -r .outcome "$TMP/late")"
	((SECONDS - begun < 60)) || fail 'the end waited for the acknowledgement'
	for i in "${!NODE_NAMES[@]}"; do
		((i == LEADER)) || continue_process "${NODE_NAMES[i]}"
	done
	nodes_start
	expect_converged
}

someone_waits()
{
	(($(metric "$1" hexkv_replica_ack_waits) > 0))
}

NODE_ARGS=(--ack-timeout-ms 700)
shard_start 3
run_cases what_all_acknowledged_is_on_every_node_at_once \
	a_majority_is_enough_for_a_quorum \
	every_kind_of_write_waits_and_so_do_its_repetitions \
	the_cluster_file_says_what_is_asked_for_by_default \
	a_leader_that_ends_says_that_it_does_not_know
