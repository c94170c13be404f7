#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A checkpoint of a node that takes writes: what was acknowledged before is in it, it is sound, and
# the node starts from it.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

WRITERS=3

# Value NUMBER: every seventh goes to a file of its own.
value()
{
	local width=$((($1 % 5) * 60 + 20))
	(($1 % 7)) || width=150000
	printf '%0*d\n' "$width" "$1"
}

# writer ID: its own key over and over, and a new one each time, until $TMP/stop exists. The last
# number that was acknowledged for both is in $TMP/acknowledged-ID.
writer()
{
	local id=$1 n=0 status
	while [[ ! -e $TMP/stop ]]; do
		n=$((n + 1))
		value "$n" >"$TMP/value-$id"
		status=$(curl -s -m 30 -o "$TMP/answer-$id" -w '%{http_code} ' -H 'Expect:' \
			-T "$TMP/value-$id" "$NODE/kv/$(printf 'aa%02x' "$id")" \
			-o "$TMP/answer-$id" \
			-T "$TMP/value-$id" "$NODE/kv/$(printf 'bb%02x%08x' "$id" "$n")") || true
		[[ $status =~ ^20[14]\ 201\ $ ]] || continue
		printf '%d\n' "$n" >"$TMP/new-$id"
		mv "$TMP/new-$id" "$TMP/acknowledged-$id"
	done
}

writers_start()
{
	local id
	for ((id = 0; id < WRITERS; id++)); do
		printf '0\n' >"$TMP/acknowledged-$id"
		writer "$id" >/dev/null 2>>"$TMP/log/writers" &
		WRITER_PIDS[id]=$!
	done
}

writers_stop()
{
	touch "$TMP/stop"
	wait "${WRITER_PIDS[@]}"
}

all_have_written()
{
	local id
	for ((id = 0; id < WRITERS; id++)); do
		(($(<"$TMP/acknowledged-$id") > $1)) || return 1
	done
}

# expect_writes ID COUNT: the node has the first COUNT records that the writer made, and its own key
# with that number or a later one.
expect_writes()
{
	local id=$1 count=$2 n found
	for ((n = 1; n <= count; n++)); do
		printf 'url = "%s/kv/bb%02x%08x"\noutput = "%s/read/%s-%s"\n' "$NODE" "$id" "$n" \
			"$TMP" "$id" "$n"
	done >"$TMP/curl-config"
	mkdir -p "$TMP/read"
	curl -sS --fail --fail-early -K "$TMP/curl-config" || fail "writer $id: a record is missing"
	for ((n = 1; n <= count; n++)); do
		value "$n" | cmp - "$TMP/read/$id-$n" || fail "writer $id: record $n differs"
	done
	expect_http 200 "$NODE/kv/$(printf 'aa%02x' "$id")"
	found=$((10#$(<"$BODY")))
	((found >= count)) || fail "writer $id: $count was acknowledged, and $found is there"
	value "$found" | cmp - "$BODY" || fail "writer $id: the value is not whole"
}

what_was_acknowledged_before_is_in_it()
{
	local id before=()
	writers_start
	expect_within 60 all_have_written 30
	for ((id = 0; id < WRITERS; id++)); do
		before[id]=$(<"$TMP/acknowledged-$id")
	done
	expect_http 201 -X POST "$NODE/admin/checkpoint?name=under-load"
	CHECKPOINT=$(body_json .path)
	expect_equal "$(realpath "$DATA")/checkpoints/under-load" "$CHECKPOINT"
	[[ $(body_json .version) =~ ^[0-9a-f]+-[0-9a-f]+$ ]] || fail "version: $(<"$BODY")"
	expect_equal "$(find "$CHECKPOINT" -type f | wc -l)" "$(body_json .files)" 'files'
	expect_equal "$(find "$CHECKPOINT" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')" \
		"$(body_json .bytes)" 'bytes'
	expect_within 60 all_have_written $((before[0] + 20))
	writers_stop

	expect_exit 0 "$NODE_BIN" --check "$CHECKPOINT"
	stop_process "${NODE_NAMES[0]}"
	mv "$DATA" "$TMP/lost"
	cp -a "$TMP/lost/checkpoints/under-load" "$DATA"
	nodes_start
	for ((id = 0; id < WRITERS; id++)); do
		expect_writes "$id" "${before[id]}"
	done
	expect_http 201 -T - "$NODE/kv/00ff" <<<'it takes writes again'
	stop_process "${NODE_NAMES[0]}"
	expect_exit 0 "$NODE_BIN" --check "$DATA"
	# And where it came from is whole too.
	expect_exit 0 "$NODE_BIN" --check "$TMP/lost"
	expect_exit 0 "$NODE_BIN" --check "$TMP/lost/checkpoints/under-load"
	nodes_start
}

a_bad_or_taken_name_is_refused()
{
	local name
	expect_http 201 -X POST "$NODE/admin/checkpoint?name=taken"
	expect_http 412 -X POST "$NODE/admin/checkpoint?name=taken"
	expect_contains "$(<"$BODY")" 'taken'
	expect_http 400 -X POST "$NODE/admin/checkpoint"
	for name in '' .hidden .. a%2fb 'a%20b' "$(printf '%0101d' 0)"; do
		expect_http 400 -X POST "$NODE/admin/checkpoint?name=$name"
	done
	expect_http 405 "$NODE/admin/checkpoint?name=x"
	expect_equal POST "$(header allow)"
	expect_equal taken "$(ls -A "$DATA/checkpoints")"
}

two_at_a_time_are_one_after_the_other_or_refused()
{
	local i pids=() status
	for ((i = 0; i < 8; i++)); do
		curl -s -m 60 -o /dev/null -w '%{http_code}\n' -X POST \
			"$NODE/admin/checkpoint?name=many-$i" >"$TMP/many-$i" &
		pids[i]=$!
	done
	wait "${pids[@]}"
	for ((i = 0; i < 8; i++)); do
		status=$(<"$TMP/many-$i")
		[[ $status == 201 || $status == 503 ]] || fail "checkpoint many-$i: $status"
		if [[ $status == 201 ]]; then
			expect_exit 0 "$NODE_BIN" --check "$DATA/checkpoints/many-$i"
		elif [[ -e $DATA/checkpoints/many-$i ]]; then
			fail "many-$i was refused and is there"
		fi
	done
}

free_ports
write_cluster_file 1 "$PORT_BASE"
NODE_ARGS=(--memtable-bytes 64K)
NODE=${NODE_URLS[0]}
DATA=$TMP/data-${NODE_NAMES[0]}
nodes_start
run_cases \
	what_was_acknowledged_before_is_in_it \
	a_bad_or_taken_name_is_refused \
	two_at_a_time_are_one_after_the_other_or_refused
