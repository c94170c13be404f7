#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# One node and values that have files of their own: memory, versions, broken uploads, damage.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

MIB=1048576

random_file()
{
	head -c "$2" /dev/urandom >"$TMP/$1"
}

uploads()
{
	find "$TMP/data-s0a/value" -name '*.tmp' | wc -l
}

has_uploads()
{
	[[ $(uploads) == "$1" ]]
}

sizes_around_every_boundary_come_back_whole()
{
	local size
	for size in 0 1 65535 65536 65537 $((512 * 1024 - 1)) $((512 * 1024)) $((512 * 1024 + 1)) \
		$((MIB - 1)) $MIB $((MIB + 1)) $((3 * MIB)) $((3 * MIB + 17)); do
		random_file value "$size"
		http -T "$TMP/value" "$NODE/kv/01"
		[[ $STATUS == 20[14] ]] || fail "$size bytes: $STATUS $(cat "$BODY")"
		expect_http 200 "$NODE/kv/01"
		expect_same_file "$TMP/value" "$BODY"
		# Of a length that is not announced.
		expect_http 204 -T - -H 'Transfer-Encoding: chunked' "$NODE/kv/01" <"$TMP/value"
		expect_http 200 "$NODE/kv/01"
		expect_same_file "$TMP/value" "$BODY"
	done
	expect_http 204 -X DELETE "$NODE/kv/01"
}

ranges_of_a_large_value_cross_its_chunks()
{
	local from to
	random_file value $((5 * MIB + 5))
	expect_http 201 -T "$TMP/value" "$NODE/kv/02"
	while read -r from to; do
		expect_http 206 -r "$from-$to" "$NODE/kv/02"
		expect_equal "bytes $from-$to/$((5 * MIB + 5))" "$(header content-range)"
		dd if="$TMP/value" of="$TMP/part" bs=64K skip="$from" count=$((to - from + 1)) \
			iflag=skip_bytes,count_bytes status=none
		expect_same_file "$TMP/part" "$BODY"
	done <<-RANGES
		0 0
		$((MIB - 1)) $MIB
		$((MIB - 1)) $((4 * MIB))
		$((2 * MIB)) $((3 * MIB - 1))
		$((5 * MIB)) $((5 * MIB + 4))
	RANGES
	expect_http 204 -X DELETE "$NODE/kv/02"
}

three_hundred_mib_pass_through_little_memory()
{
	random_file value $((300 * MIB))
	expect_http 201 -T "$TMP/value" "$NODE/kv/03"
	expect_http 200 "$NODE/kv/03"
	expect_same_file "$TMP/value" "$BODY"
	expect_peak_below s0a $((100 * 1024))
	expect_http 204 -X DELETE "$NODE/kv/03"
}

a_slow_reader_finishes_on_the_version_it_began()
{
	random_file old $((24 * MIB))
	random_file new $((2 * MIB))
	expect_http 201 -T "$TMP/old" "$NODE/kv/04"
	start_process reader curl -sS --limit-rate 12M -o "$TMP/read" "$NODE/kv/04"
	expect_within 10 test -s "$TMP/read"
	expect_http 204 -T "$TMP/new" "$NODE/kv/04"
	expect_http 204 -X DELETE "$NODE/kv/04"
	expect_http 404 "$NODE/kv/04"
	finish_process reader
	expect_same_file "$TMP/old" "$TMP/read"
}

an_upload_that_breaks_off_leaves_nothing()
{
	random_file value $((8 * MIB))
	expect_http 201 -X PUT -d before "$NODE/kv/05"
	start_process writer curl -sS --limit-rate 2M -T "$TMP/value" "$NODE/kv/05"
	expect_within 10 has_uploads 1
	kill_process writer
	expect_within 10 has_uploads 0
	expect_http 200 "$NODE/kv/05"
	expect_equal before "$(cat "$BODY")"
}

thirty_two_uploads_at_once_all_arrive()
{
	local i
	random_file value $((2 * MIB))
	seq 10 41 | xargs -P 32 -I{} curl -sS -m 60 -f -o /dev/null -T "$TMP/value" "$NODE/kv/06{}0000" 2>&1 ||
		true
	for i in $(seq 10 41); do
		expect_http 200 "$NODE/kv/06${i}0000"
		expect_same_file "$TMP/value" "$BODY"
		expect_http 204 -X DELETE "$NODE/kv/06${i}0000"
	done
}

# flip FILE OFFSET: changes one byte.
flip()
{
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059 # the format is the byte
	printf "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

damage_is_an_error_and_never_a_wrong_value()
{
	local file
	random_file value $((6 * MIB))
	expect_http 201 -T "$TMP/value" "$NODE/kv/07"
	file=$(find "$TMP/data-s0a/value" -type f -size +$((5 * 1024))k -printf '%T@ %p\n' | sort -n |
		tail -1 | cut -d' ' -f2)
	stop_process s0a
	expect_exit 0 "$NODE_BIN" --check "$TMP/data-s0a"
	flip "$file" $((5 * MIB + MIB / 2))
	expect_exit 1 "$NODE_BIN" --check "$TMP/data-s0a"
	nodes_start
	# The head is out when the fifth chunk is found damaged.
	http "$NODE/kv/07"
	expect_equal 200 "$STATUS"
	expect_contains "$(cat "$TMP/curl-error")" 'bytes remaining to read'
	cmp -n "$(stat -c %s "$BODY")" "$BODY" "$TMP/value" || fail 'a wrong byte was sent'
	expect_http 206 -r 0-99 "$NODE/kv/07"
	stop_process s0a
	flip "$file" $((MIB / 2))
	nodes_start
	expect_http 500 "$NODE/kv/07"
	expect_equal not-applied "$(body_json .outcome)"
	expect_http 204 -X DELETE "$NODE/kv/07"
}

need_command jq
free_ports
write_cluster_file 1 "$PORT_BASE"
nodes_start
NODE=${NODE_URLS[0]}
run_cases \
	sizes_around_every_boundary_come_back_whole \
	ranges_of_a_large_value_cross_its_chunks \
	a_slow_reader_finishes_on_the_version_it_began \
	an_upload_that_breaks_off_leaves_nothing \
	thirty_two_uploads_at_once_all_arrive \
	three_hundred_mib_pass_through_little_memory \
	damage_is_an_error_and_never_a_wrong_value
