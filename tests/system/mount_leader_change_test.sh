#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A default cluster at work, through the mount and over HTTP, while its nodes and its router are
# started anew one by one, and while its leaders change: nobody sees a failure, nothing is lost, and
# nothing is done twice.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"
# shellcheck source=tests/system/leaders_lib.sh
. "$(dirname "$0")/leaders_lib.sh"

HERE=$SOURCE_ROOT/tests/system
ROUNDS=${HEXKV_LONG:+10}
ROUNDS=${ROUNDS:-1}

# load_start RETRIES: those of a client over HTTP.
load_start()
{
	rm -rf "$TMP/stop" "$TMP/scratch"
	mkdir "$TMP/scratch"
	python3 "$HERE/retrying_writers.py" "$TMP/stop" "$TMP/clients" "$ROUTER" "$1" \
		>"$TMP/clients-said" 2>&1 &
	PROCESSES[clients]=$!
	python3 "$HERE/mount_workers.py" "$TMP/stop" "$MNT" "$TMP/scratch" >"$TMP/workers-said" 2>&1 &
	PROCESSES[workers]=$!
	expect_within 30 test -e "$TMP/scratch/kept/b10000"
}

load_goes_on()
{
	process_runs clients && process_runs workers
}

load_stop()
{
	touch "$TMP/stop"
	expect_within 120 process_ended workers
	end_process clients CONT
	cat "$TMP/clients-said"
	((PROCESS_STATUS == 0)) || fail "a client over HTTP saw a failure: $(<"$TMP/clients-said")"
	end_process workers CONT
	cat "$TMP/workers-said"
	((PROCESS_STATUS == 0)) || fail "a program in the mount saw a failure: $(<"$TMP/workers-said")"
	sync -f "$MNT"
}

# Everything that was written is there, once, on all nodes.
expect_all_there()
{
	local key value
	find "$TMP/scratch/kept" -type f -printf '%f\n' | sort >"$TMP/kept-names"
	while read -r key; do
		cmp "$TMP/scratch/kept/$key" "$MNT/$key" || fail "$key is not what was written"
	done <"$TMP/kept-names"
	while read -r key value; do
		printf 'url = "%s/kv/%s"\noutput = %s/read/%s\n' "$ROUTER" "$key" "$TMP" "$key"
	done <"$TMP/clients" >"$TMP/wanted"
	rm -rf "$TMP/read"
	mkdir "$TMP/read"
	curl -sS -f -K "$TMP/wanted" || fail 'a record is missing'
	(cd "$TMP/read" && grep -H '' -- *) | tr ' ' _ | sed 's/:/ /' | sort >"$TMP/clients-read"
	sort "$TMP/clients" | cmp - "$TMP/clients-read" || fail 'clients read another value'
	expect_shards_agree
	expect_equal "$(cat "$TMP/kept-names" "$TMP/clients" | cut -d ' ' -f 1 | sort)" \
		"$(cat "$TMP/records-0" "$TMP/records-2" | cut -d ' ' -f 1 | sort)" 'names'
	expect_equal 0 "$(diverged_total)" 'entries that diverged'
	rm -f "$MNT"/b*
	awk -v url="$ROUTER/kv/" '{ print "url = " url $1 }' "$TMP/clients" >"$TMP/wanted"
	curl -sS -X DELETE -K "$TMP/wanted"
}

restart_member()
{
	local pid
	pid=$(member_pids default "$1")
	kill -TERM "$pid"
	expect_within 30 pid_is_gone "$pid"
	hexkv_up default
	expect_led 20
}

started_anew_one_by_one_nobody_sees_it()
{
	local round member
	load_start 0
	for ((round = 0; round < ROUNDS; round++)); do
		for member in s0b s1b s0a router s1a; do
			restart_member "$member"
			load_goes_on || break 2
		done
	done
	load_stop
	expect_all_there
}

a_killed_leader_that_returns_is_not_seen_either()
{
	local round
	load_start 0
	for ((round = 0; round < ROUNDS; round++)); do
		kill_members default s0a
		hexkv_up default
		expect_led 20
		kill_members default s1a router
		hexkv_up default
		expect_led 20
		load_goes_on || break
	done
	load_stop
	expect_all_there
}

# A follower that is far behind is refused for the moment.
is_promoted()
{
	hexkv promote "$1" "$2" --dir "$TMP/default" >"$TMP/promoted" 2>&1 || {
		grep -q 'caught up\|behind' "$TMP/promoted" || fail "$(<"$TMP/promoted")"
		return 1
	}
}

a_planned_change_of_leader_is_not_seen()
{
	local round shard
	load_start 1
	for ((round = 0; round < 2 * ROUNDS; round++)); do
		for shard in 0 1; do
			expect_within 30 is_promoted "s$shard" "s$shard$([[ $((round % 2)) == 0 ]] && echo b || echo a)"
			load_goes_on || break 2
		done
	done
	load_stop
	expect_all_there
}

need_command rsync
default_cluster default
run_cases started_anew_one_by_one_nobody_sees_it \
	a_killed_leader_that_returns_is_not_seen_either \
	a_planned_change_of_leader_is_not_seen
