#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Nodes that come to a running shard, as the README has it: one more, one in the place of a dead one,
# one at another address. Writers behind the router repeat with the same id what was not acknowledged,
# and in the end everything is there once.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"

node_follows()
{
	has_role "$1" follower && may_be_read "$1" && is_fresh "$1"
}

follows_or_leads()
{
	has_role "$1" leader || node_follows "$1"
}

restart_gently()
{
	stop_process "${NODE_NAMES[$1]}"
	node_restart "$1"
	expect_within 30 follows_or_leads "$1"
}

# take_file_over NODE...: they and the router are started anew with the cluster file as it is now, the
# leader last, after another of them has taken over from it.
take_file_over()
{
	local i old next=
	leader_find
	old=$LEADER
	for i in "$@"; do
		[[ $i != "$old" ]] || continue
		restart_gently "$i"
		next=$i
	done
	promote "$next"
	restart_gently "$old"
	stop_process router
	router_start
}

# As the router has it.
shard_is_well()
{
	all_follow && curl -fsS -m 5 "$ROUTER/status" |
		jq -e --argjson nodes "${#NODE_NAMES[@]}" '.shards[0] | .leads and
			([.nodes[] | select(.reads)] | length == $nodes)' >/dev/null
}

expect_well()
{
	expect_within 60 shard_is_well
	writers_stop
	expect_converged
	expect_what_was_acknowledged
	for i in "${!NODE_NAMES[@]}"; do
		expect_equal 0 "$(metric "$i" hexkv_replica_diverged_entries_total)" \
			"entries that ${NODE_NAMES[i]} lost"
	done
}

have_written()
{
	(($(end_of "$1") > $2))
}

# write_on MORE: returns when so many more entries are in the log.
write_on()
{
	leader_find
	expect_within 30 have_written "$LEADER" $(($(end_of "$LEADER") + $1))
}

a_follower_is_added_to_a_running_shard()
{
	writers_start "$ROUTER"
	write_on 50
	write_shard_file 3
	node_start 2
	# The others do not know it yet: it must say nothing of records.
	expect_within 20 has_answer 2
	expect_http 503 -H 'HexKV-Read: any' "${NODE_URLS[2]}/kv/aa00"
	write_on 50
	take_file_over 0 1
	wait_ready s0c "${NODE_URLS[2]}"
	write_on 50
	expect_well
}

has_answer()
{
	[[ -n $(role "$1" .role) ]]
}

a_dead_follower_is_replaced_by_an_empty_directory()
{
	local lost
	leader_find
	others_of "$LEADER"
	lost=${OTHERS[0]}
	writers_start "$ROUTER"
	write_on 50
	node_kill "$lost"
	write_on 50
	rm -rf "$TMP/data-${NODE_NAMES[lost]}"
	node_restart "$lost"
	write_on 50
	expect_well
}

# Its machine is lost, and another one takes its name.
a_dead_leader_is_replaced_at_another_address()
{
	local lost port=$((PORT_BASE + 9))
	leader_find
	lost=$LEADER
	writers_start "$ROUTER"
	write_on 50
	node_kill "$lost"
	rm -rf "$TMP/data-${NODE_NAMES[lost]}"
	furthest_without "$lost"
	promote "$BEST" force
	write_on 50
	sed -i "s|${NODE_URLS[lost]}|http://127.0.0.1:$port|" "$CLUSTER"
	NODE_URLS[lost]=http://127.0.0.1:$port
	node_start "$lost"
	take_file_over "${OTHERS[@]}"
	wait_ready "${NODE_NAMES[lost]}" "${NODE_URLS[lost]}"
	write_on 50
	expect_well
}

shard_start 2
ROUTER_PORT=$PORT_BASE
ROUTER=http://127.0.0.1:$ROUTER_PORT
router_start
run_cases a_follower_is_added_to_a_running_shard \
	a_dead_follower_is_replaced_by_an_empty_directory \
	a_dead_leader_is_replaced_at_another_address
