#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A node is killed at one call after the other that changes the disk, at its start, under load, and
# while it recovers; or one of its syncs fails. What was acknowledged is there afterwards.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS=16
[[ -z ${HEXKV_LONG:-} ]] || ROUNDS=300
PUTS=24

# values_make ROUND: keys and their values; every eighth goes to a file of its own.
values_make()
{
	local i key width
	rm -f "$TMP/puts"
	for ((i = 0; i < PUTS; i++)); do
		key=$(printf '%04x%02x' "$1" "$i")
		width=$((i % 3 ? 40 : 20000))
		((i % 8)) || width=150000
		printf '%0*d%s\n' "$width" "$i" "$key" >"$TMP/value/$key"
		printf 'upload-file = "%s"\nurl = "%s/kv/%s"\noutput = "%s"\n' "$TMP/value/$key" \
			"$NODE" "$key" "$TMP/answer"
		printf 'write-out = "%%{http_code} %s\\n"\nnext\n' "$key"
	done | sed '$d' >"$TMP/puts"
}

# Puts all of them, whatever becomes of the node, and notes those that were acknowledged.
values_put()
{
	curl -s -m 60 -K "$TMP/puts" >"$TMP/codes" 2>/dev/null || true
	sed -n 's/^20[14] //p' "$TMP/codes" >>"$TMP/acknowledged"
}

is_ready_or_dead()
{
	is_ready "$NODE" || process_ended s0a
}

# start_dying VARIABLE=NUMBER: it may be dead again before it is ready.
start_dying()
{
	export "${1?}"
	node_start 0
	unset "${1%%=*}"
	expect_within 20 is_ready_or_dead
}

expect_acknowledged()
{
	local key
	rm -rf "$TMP/read"
	mkdir "$TMP/read"
	while read -r key; do
		printf 'url = "%s/kv/%s"\noutput = "%s/read/%s"\n' "$NODE" "$key" "$TMP" "$key"
	done <"$TMP/acknowledged" >"$TMP/gets"
	[[ -s $TMP/gets ]] || return 0
	curl -sS --fail --fail-early -K "$TMP/gets" || fail "$1: a record is missing"
	while read -r key; do
		cmp -s "$TMP/value/$key" "$TMP/read/$key" || fail "$1: record $key differs"
	done <"$TMP/acknowledged"
}

nothing_is_lost_wherever_it_is_killed()
{
	local round at died=0
	for ((round = 1; round <= ROUNDS; round++)); do
		at=$((round * 37 % 101 + 1))
		values_make "$round"
		start_dying "HEXKV_DIE_AT=$at"
		values_put
		process_runs s0a || died=$((died + 1))
		kill_process s0a
		# Nor while it recovers.
		start_dying "HEXKV_DIE_AT=$((round % 40 + 1))"
		kill_process s0a
		nodes_start
		expect_acknowledged "killed at call $at"
		kill_process s0a
	done
	((died > ROUNDS / 2)) || fail "of $ROUNDS rounds only $died died"
	printf '%d of %d rounds died, %d records are there\n' "$died" "$ROUNDS" \
		"$(wc -l <"$TMP/acknowledged")"
}

put_works()
{
	http -T "$TMP/value/000100" "$NODE/kv/ff"
	[[ $STATUS == 20[14] ]]
}

a_sync_that_fails_acknowledges_nothing_and_heals()
{
	local at
	for at in 4 11 21; do
		values_make $((0x1000 + at))
		start_dying "HEXKV_FAIL_SYNC=$at"
		values_put
		process_runs s0a || nodes_start # it may not have come up
		expect_within 20 put_works
		kill_process s0a
		nodes_start
		expect_acknowledged "sync $at failed"
		kill_process s0a
	done
}

it_is_sound_afterwards()
{
	nodes_start
	stop_process s0a
	expect_exit 0 "$NODE_BIN" --check "$TMP/data-s0a"
}

NODE_BIN=$BUILD/tests/support/hexkv-node-dying
NODE_ARGS=(--memtable-bytes 64K)
mkdir "$TMP/value"
touch "$TMP/acknowledged"
free_ports
write_cluster_file 1 "$PORT_BASE"
NODE=${NODE_URLS[0]}
run_cases \
	nothing_is_lost_wherever_it_is_killed \
	a_sync_that_fails_acknowledges_nothing_and_heals \
	it_is_sound_afterwards
