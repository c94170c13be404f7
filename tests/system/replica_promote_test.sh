#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The change of leader by hand: with the leader's help, without it, and what becomes of the old one.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"

leads()
{
	leader_look && [[ $LEADER == "$1" ]]
}

a_planned_change_loses_nothing_and_lasts()
{
	local i before
	for i in $(seq 10 40); do
		put "$i" "value $i"
	done
	before=$(role 0 .epoch)
	promote 1
	expect_equal leader "$(role 1 .role)"
	[[ $(role 1 .epoch) != "$before" ]] || fail 'the epoch is the old one'
	expect_within 20 has_role 0 follower
	expect_http 421 -X PUT -d x "${NODE_URLS[0]}/kv/10"
	expect_equal "${NODE_URLS[1]}" "$(header hexkv-leader)"
	put 41 'at the new one'
	expect_equal 1 "$LEADER"
	expect_converged
	for i in $(seq 10 40); do
		expect_equal "value $i" "$(value_at 1 "$i")"
	done
	# Nobody had to fetch a copy.
	expect_equal 0,0 "$(metric 0 hexkv_replica_bootstraps_total),$(metric 0 hexkv_replica_diverged_entries_total)"
}

who_leads_is_remembered_when_all_start_anew()
{
	local i
	for i in 0 1 2; do
		stop_process "${NODE_NAMES[i]}"
	done
	nodes_start
	expect_within 20 all_follow
	leader_find
	expect_equal 1 "$LEADER"
	for i in 0 1 2; do
		node_kill "$i"
	done
	nodes_start
	expect_within 20 all_follow
	leader_find
	expect_equal 1 "$LEADER"
	expect_http 200 -X POST "${NODE_URLS[1]}/admin/promote"
	expect_within 20 all_follow
	expect_converged
}

the_leader_may_go_back_and_forth_under_writes()
{
	local round i
	writer_start
	for round in 0 2 1 0; do
		promote "$round"
	done
	writer_stop
	expect_converged
	while read -r i; do
		expect_equal "number $i" "$(value_at 0 "$(printf 'aa%06d' "$i")")"
	done < <(shuf -n 30 "$TMP/acknowledged")
	expect_equal "$(sort -un "$TMP/acknowledged" | wc -l)" \
		"$(grep -c '^aa' "$TMP/records-0")" 'records of the writer'
	for i in 0 1 2; do
		expect_equal 0 "$(metric "$i" hexkv_replica_diverged_entries_total)" \
			"entries that ${NODE_NAMES[i]} lost"
	done
}

# One that asks each node in turn until its write is acknowledged, always with one id a write.
write_on()
{
	local n=0 status at=0 id
	while [[ ! -e $TMP/writer-stop ]]; do
		n=$((n + 1))
		id=$(printf '%032x' $((n + 1000000)))
		until status=$(curl -s -m 10 -o /dev/null -w '%{http_code}' -X PUT -d "number $n" \
			-H "HexKV-Request-Id: $id" "${NODE_URLS[at]}/kv/$(printf 'aa%06d' "$n")") &&
			[[ $status == 20[14] ]]; do
			at=$(((at + 1) % ${#NODE_URLS[@]}))
		done
		echo "$n" >>"$TMP/acknowledged"
	done
}

has_written()
{
	[[ -s $TMP/acknowledged ]]
}

writer_start()
{
	rm -f "$TMP/writer-stop" "$TMP/acknowledged"
	write_on &
	PROCESSES[writer]=$!
	expect_within 10 has_written
}

writer_stop()
{
	touch "$TMP/writer-stop"
	finish_process writer
}

diverged_files()
{
	find "$TMP/data-$1" -maxdepth 1 -name 'diverged-*.log'
}

a_forced_change_sets_aside_what_only_the_lost_leader_had()
{
	local i file
	leader_find
	expect_equal 0 "$LEADER"
	put ba shared
	put bb shared
	expect_converged
	pause_process s0b
	pause_process s0c
	put ba alone
	put bc alone
	expect_http 204 -X DELETE "${NODE_URLS[0]}/kv/bb"
	node_kill 0
	continue_process s0b
	continue_process s0c
	expect_http 200 -X POST "${NODE_URLS[1]}/admin/promote?force=1"
	expect_contains "$(body_json .detail)" s0a
	expect_within 10 has_role 2 follower
	put bd later
	expect_equal 1 "$LEADER"
	node_restart 0
	expect_converged
	expect_equal 1 "$(leader_look && echo "$LEADER")" 'the leader after the old one has returned'
	for i in 0 1 2; do
		expect_equal shared,shared,,later \
			"$(value_at "$i" ba),$(value_at "$i" bb),$(value_at "$i" bc),$(value_at "$i" bd)"
	done
	expect_equal 3 "$(metric 0 hexkv_replica_diverged_entries_total)"
	expect_equal 0 "$(metric 0 hexkv_replica_bootstraps_total)"
	file=$(diverged_files s0a)
	[[ -n $file ]] || fail 'there is no file of what diverged'
	expect_exit 0 "$NODE_BIN" --diverged "$file"
	expect_equal 'ba alone,bc alone,bb deleted' \
		"$(jq -r '[.key, .value // "deleted"] | join(" ")' <<<"$OUTPUT" | paste -sd ,)"
	expect_contains "$(<"$TMP/log/s0a")" "${file##*/}"
}

a_leader_that_was_only_slow_is_fenced()
{
	local status
	leader_find
	expect_equal 1 "$LEADER"
	put ca before
	expect_converged
	pause_process s0b
	expect_http 200 -X POST "${NODE_URLS[2]}/admin/promote?force=1"
	put_at 2 cb after
	continue_process s0b
	expect_within 10 has_role 1 follower
	expect_http 421 -X PUT -d x "${NODE_URLS[1]}/kv/ca"
	expect_equal "${NODE_URLS[2]}" "$(header hexkv-leader)"
	expect_converged
	expect_equal after "$(value_at 1 cb)"
}

put_at()
{
	expect_http 201 -X PUT -d "$3" "${NODE_URLS[$1]}/kv/$2"
}

without_a_leader_only_force_helps()
{
	leader_find
	expect_equal 2 "$LEADER"
	node_kill 2
	http -X POST "${NODE_URLS[0]}/admin/promote"
	[[ $STATUS == 50[34] ]] || fail "a planned change without a leader: $STATUS"
	expect_http 400 -X POST "${NODE_URLS[0]}/admin/promote?force=perhaps"
	expect_http 405 "${NODE_URLS[0]}/admin/promote"
	promote 0 force
	put da x -H 'HexKV-Ack: quorum'
	expect_equal 0 "$LEADER"
	nodes_start
	expect_converged
}

shard_start 3
run_cases a_planned_change_loses_nothing_and_lasts \
	who_leads_is_remembered_when_all_start_anew \
	the_leader_may_go_back_and_forth_under_writes \
	a_forced_change_sets_aside_what_only_the_lost_leader_had \
	a_leader_that_was_only_slow_is_fenced \
	without_a_leader_only_force_helps
