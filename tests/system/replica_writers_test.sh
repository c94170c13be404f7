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

# others_of INDEX: OTHERS, the two other nodes.
others_of()
{
	local i
	OTHERS=()
	for i in 0 1 2; do
		((i == $1)) || OTHERS+=("$i")
	done
}

# furthest: BEST is the one of OTHERS that has more of the log. Their leader writes nothing more, so
# whatever a majority with it acknowledged is there.
furthest()
{
	local a b
	a=$(end_of "${OTHERS[0]}")
	b=$(end_of "${OTHERS[1]}")
	BEST=${OTHERS[0]}
	((a >= b)) || BEST=${OTHERS[1]}
}

# replace_by_force LEADER: it is dead or stands still.
replace_by_force()
{
	others_of "$1"
	furthest
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
	start_process writers python3 "$SOURCE_ROOT/tests/system/replica_writers.py" "$TMP/stop" \
		"$TMP/result" "${NODE_URLS[@]}"
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
	touch "$TMP/stop"
	expect_within 90 process_ended writers
	stop_process writers
	tail -1 "$TMP/log/writers"
	expect_converged
	expect_what_was_acknowledged
}

expect_what_was_acknowledged()
{
	local key value other got
	leader_find
	(($(wc -l <"$TMP/result") > 20)) || fail 'too few keys were written'
	while read -r key value other; do
		got=$(curl -sS -m 5 -w ' %{http_code}' "${NODE_URLS[LEADER]}/kv/$key")
		if [[ $got == *' 200' ]]; then
			got=${got% 200}
			got=${got// /_}
		else
			[[ $got == *' 404' ]] || fail "reading $key: $got"
			got=-
		fi
		[[ $got == "$value" || (-n $other && $got == "$other") ]] ||
			fail "$key: '$value' was acknowledged, and '$got' is there"
	done <"$TMP/result"
}

RANDOM=${HEXKV_SEED:-$RANDOM}
NODE_ARGS=(--ack-timeout-ms 1500)
shard_start 3
run_cases nothing_acknowledged_is_lost_whatever_becomes_of_leaders
