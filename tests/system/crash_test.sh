#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# kill -9 of nodes and router while writers write: after each restart every acknowledged write is
# there, and a record is always one that somebody wrote, whole.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

WRITERS=4
ROUNDS=10
[[ -z ${HEXKV_LONG:-} ]] || ROUNDS=100

# Value NUMBER of a writer: large ones go to files of their own, small ones to the log.
value()
{
	local width=$((($1 % 5) * 60 + 20))
	(($1 % 7)) || width=150000
	printf '%0*d\n' "$width" "$1"
}

# writer ID: its own key over and over, and a new key each time; what was attempted and
# acknowledged goes to files. Ends when $TMP/stop exists.
writer()
{
	local id=$1 n=0 status
	[[ ! -s $TMP/attempted-$id ]] || n=$(<"$TMP/attempted-$id")
	while [[ ! -e $TMP/stop ]]; do
		n=$((n + 1))
		printf '%d\n' "$n" >"$TMP/attempted-$id"
		value "$n" >"$TMP/value-$id"
		status=$(curl -s -m 30 -o "$TMP/answer-$id" -w '%{http_code} ' -H 'Expect:' \
			-T "$TMP/value-$id" "$ROUTER/kv/$(printf 'aa%02x' "$id")" \
			-o "$TMP/answer-$id" \
			-T "$TMP/value-$id" "$ROUTER/kv/$(printf 'bb%02x%08x' "$id" "$n")") || true
		[[ ${status%% *} != 20[14] ]] || printf '%d\n' "$n" >"$TMP/acknowledged-$id"
		[[ $status != *' 201 ' ]] || printf '%d\n' "$n" >>"$TMP/created-$id"
	done
}

acknowledged()
{
	cat "$TMP"/created-* 2>/dev/null | wc -l
}

more_than()
{
	(($(acknowledged) > $1))
}

writers_start()
{
	local id
	rm -f "$TMP/stop"
	for ((id = 0; id < WRITERS; id++)); do
		touch "$TMP/created-$id"
		writer "$id" >/dev/null 2>>"$TMP/log/writers" &
		WRITER_PIDS[id]=$!
	done
}

writers_stop()
{
	touch "$TMP/stop"
	wait "${WRITER_PIDS[@]}"
}

check_own_key()
{
	local id=$1 low high found=0
	low=$(cat "$TMP/acknowledged-$id" 2>/dev/null || printf 0)
	high=$(<"$TMP/attempted-$id")
	((low > 0)) || return 0
	expect_http 200 "$ROUTER/kv/$(printf 'aa%02x' "$id")"
	found=$((10#$(<"$BODY")))
	((found >= low && found <= high)) ||
		fail "writer $id: $low was acknowledged, $high attempted, and $found is there"
	value "$found" | cmp - "$BODY" || fail "writer $id: the value is not whole"
}

check_created_keys()
{
	local id=$1 n
	while read -r n; do
		printf 'url = "%s/kv/bb%02x%08x"\noutput = "%s/read/%s-%s"\n' "$ROUTER" "$id" "$n" \
			"$TMP" "$id" "$n"
		[[ -e $TMP/expected/$id-$n ]] || value "$n" >"$TMP/expected/$id-$n"
	done <"$TMP/created-$id" >"$TMP/curl-config"
	[[ -s $TMP/curl-config ]] || return 0
	curl -sS --fail --fail-early -K "$TMP/curl-config" || fail "writer $id: a record is missing"
}

check_all()
{
	local id
	rm -rf "$TMP/read"
	mkdir "$TMP/read"
	for ((id = 0; id < WRITERS; id++)); do
		check_own_key "$id"
		check_created_keys "$id"
	done
	diff -rq "$TMP/expected" "$TMP/read" || fail 'a record differs'
}

nothing_acknowledged_is_lost_by_killed_nodes()
{
	local round victim
	for ((round = 1; round <= ROUNDS; round++)); do
		writers_start
		expect_within 60 more_than $(($(acknowledged) + 40))
		victim=${NODE_NAMES[round % ${#NODE_NAMES[@]}]}
		kill_process "$victim"
		((round % 3)) || kill_process router
		nodes_start
		process_runs router || router_start
		expect_within 60 more_than $(($(acknowledged) + 20))
		writers_stop
		expect_within 20 is_ready "$ROUTER"
		check_all
		printf 'round %d: %s killed, %d records are there\n' "$round" "$victim" "$(acknowledged)"
	done
}

all_nodes_are_sound_afterwards()
{
	local name
	stop_process router
	for name in "${NODE_NAMES[@]}"; do
		stop_process "$name"
		expect_exit 0 "$NODE_BIN" --check "$TMP/data-$name"
	done
}

WRITER_PIDS=()
mkdir "$TMP/expected"
NODE_ARGS=(--memtable-bytes 64K)
trap 'touch "$TMP/stop"; finish' EXIT
cluster_start 2
run_cases \
	nothing_acknowledged_is_lost_by_killed_nodes \
	all_nodes_are_sound_afterwards
