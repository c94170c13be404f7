#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Writers with HexKV-Ack: quorum on a shard of three nodes while leaders are killed, paused, restarted
# and replaced: what was acknowledged reads back, and all nodes come to agree. HEXKV_LONG: 50 rounds.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"

need_command python3

rounds=5
[[ -z ${HEXKV_LONG:-} ]] || rounds=50

# replace_by_force LEADER: it is dead or stands still.
replace_by_force()
{
	furthest_without "$1"
	expect_http 200 -X POST "${NODE_URLS[BEST]}/admin/promote?force=1"
	expect_within 20 has_role "$BEST" leader
}

kill_and_replace()
{
	local lost=$LEADER
	node_kill "$lost"
	replace_by_force "$lost"
	node_restart "$lost"
}

kill_and_restart()
{
	local lost=$LEADER
	node_kill "$lost"
	node_restart "$lost"
}

stop_and_restart()
{
	local lost=$LEADER
	stop_process "${NODE_NAMES[lost]}"
	node_restart "$lost"
}

pause_and_replace()
{
	PAUSED=$LEADER
	pause_process "${NODE_NAMES[PAUSED]}"
	replace_by_force "$PAUSED"
	continue_process "${NODE_NAMES[PAUSED]}"
	expect_within 20 has_role "$PAUSED" follower
	PAUSED=
}

hand_over()
{
	others_of "$LEADER"
	promote "${OTHERS[RANDOM % 2]}"
}

kill_a_follower()
{
	others_of "$LEADER"
	node_kill "${OTHERS[0]}"
	node_restart "${OTHERS[0]}"
}

# Something was acknowledged since sequence $1 of the leader's log.
leader_wrote_behind()
{
	leader_look && (($(end_of "$LEADER") > $1))
}

nothing_acknowledged_is_lost_whatever_becomes_of_leaders()
{
	local round fault end faults=(kill_and_replace pause_and_replace kill_and_restart hand_over
		stop_and_restart kill_a_follower)
	writers_start "${NODE_URLS[@]}"
	for ((round = 0; round < rounds; round++)); do
		expect_within 30 all_follow
		leader_find
		end=$(end_of "$LEADER")
		expect_within 30 leader_wrote_behind $((end + 50))
		fault=${faults[round % ${#faults[@]}]}
		printf 'round %d: %s of %s\n' "$round" "$fault" "${NODE_NAMES[LEADER]}"
		"$fault"
	done
	expect_within 30 all_follow
	writers_stop
	expect_converged
	expect_what_was_acknowledged
}

RANDOM=${HEXKV_SEED:-$RANDOM}
NODE_ARGS=(--ack-timeout-ms 1500)
shard_start 3
run_cases nothing_acknowledged_is_lost_whatever_becomes_of_leaders
