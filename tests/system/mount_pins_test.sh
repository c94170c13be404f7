#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A large file that is open stays as it was opened, whatever happens to its record elsewhere or here.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

if [[ -n ${HEXKV_LONG:-} ]]; then
	SIZE=200000000
	ROUNDS=20
else
	SIZE=30000000
	ROUNDS=6
fi

upload()
{
	http -T "$2" -H 'Expect:' "$ROUTER/kv/$1"
	[[ $STATUS == 20[14] ]] || fail "PUT $1 answered $STATUS"
}

remove()
{
	expect_http 204 -X DELETE "$ROUTER/kv/$1"
}

# The rest of what descriptor 7 is of, after its first million bytes, must be that of FILE.
expect_rest()
{
	cmp <(tail -c +1000001 "$1") - <&7 || fail "the reader got something else than $1 ($2)"
	exec 7<&-
}

open_and_begin()
{
	exec 7<"$MNT/$1"
	cmp <(head -c 1000000 "$2") <(head -c 1000000 <&7) || fail "$1 does not begin like $2"
}

readers_get_what_they_opened_whatever_comes()
{
	local round
	for ((round = 0; round < ROUNDS; round++)); do
		random_file "$TMP/old" "$SIZE"
		upload 01 "$TMP/old"
		open_and_begin 01 "$TMP/old"
		case $((round % 3)) in
		0) upload 01 "$TMP/other" ;;
		1) remove 01 ;;
		2) cp "$TMP/other" "$SECOND/01" ;;
		esac
		# And once more, so that nothing refers to it by accident.
		upload 01 "$TMP/small"
		remove 01
		expect_rest "$TMP/old" "round $round"
	done
}

a_reader_outlives_its_node_and_its_router()
{
	upload 02 "$TMP/value"
	open_and_begin 02 "$TMP/value"
	remove 02
	kill_process s0a
	kill_process s1a
	# They must not hold what is open here.
	nodes_start 5<&- 7<&-
	kill_process router
	router_start 5<&- 7<&-
	expect_rest "$TMP/value" 'after a crash'
}

a_reader_outlives_removal_and_replacement_here()
{
	upload 03 "$TMP/value"
	open_and_begin 03 "$TMP/value"
	rm "$MNT/03"
	expect_http 404 "$ROUTER/kv/03"
	expect_rest "$TMP/value" 'removed here'

	upload 03 "$TMP/value"
	open_and_begin 03 "$TMP/value"
	cp "$TMP/other" "$MNT/.03.AbCdEf"
	mv "$MNT/.03.AbCdEf" "$MNT/03"
	expect_rest "$TMP/value" 'replaced by a temporary file here'
	expect_same_file "$TMP/other" "$MNT/03"

	upload 03 "$TMP/value"
	upload 04 "$TMP/other"
	open_and_begin 03 "$TMP/value"
	mv "$MNT/04" "$MNT/03"
	expect_rest "$TMP/value" 'replaced by another record here'

	upload 03 "$TMP/value"
	open_and_begin 03 "$TMP/value"
	mv "$MNT/03" "$MNT/05"
	remove 05
	expect_rest "$TMP/value" 'renamed here, removed elsewhere'
}

metadata_may_change_meanwhile()
{
	upload 06 "$TMP/value"
	open_and_begin 06 "$TMP/value"
	touch -d '2020-01-01' "$MNT/06"
	setfattr -n user.content_type -v text/x "$MNT/06" 2>/dev/null || true
	upload 06 "$TMP/small"
	expect_rest "$TMP/value" 'other metadata'
}

a_writer_in_the_middle_keeps_its_base()
{
	upload 07 "$TMP/value"
	exec 8<>"$MNT/07"
	upload 07 "$TMP/other"
	printf 'patched' | dd bs=1 seek=5000000 conv=notrunc status=none >&8
	exec 8>&-
	cp "$TMP/value" "$TMP/expected"
	printf 'patched' | dd of="$TMP/expected" bs=1 seek=5000000 conv=notrunc status=none
	expect_http 200 "$ROUTER/kv/07"
	expect_same_file "$TMP/expected" "$BODY"
}

a_mapping_reads_what_was_opened()
{
	upload 08 "$TMP/value"
	exec 9<"$MNT/08"
	upload 08 "$TMP/small"
	python3 - "$TMP/value" <<-'END' || fail 'the mapping shows something else'
		import mmap, sys
		with mmap.mmap(9, 0, prot=mmap.PROT_READ) as mapped:
		    sys.exit(mapped[:] != open(sys.argv[1], 'rb').read())
	END
	exec 9<&-
}

# Readers of what a writer here has just stored.
what_was_written_here_is_kept_for_its_readers()
{
	cp "$TMP/value" "$MNT/09"
	exec 6<>"$MNT/09"
	printf 'x' >&6
	exec 7<"$MNT/09"
	exec 6>&-
	cp "$TMP/value" "$TMP/expected"
	printf 'x' | dd of="$TMP/expected" conv=notrunc status=none
	upload 09 "$TMP/small"
	cmp "$TMP/expected" - <&7 || fail 'the reader lost what was written here'
	exec 7<&-
}

many_files_are_open_at_once()
{
	local i fd fds=()
	head -c 200000 "$TMP/value" >"$TMP/part"
	for i in {1..60}; do
		upload "0a$(printf %02x "$i")" "$TMP/part"
		exec {fd}<"$MNT/0a$(printf %02x "$i")"
		fds+=("$fd")
		remove "0a$(printf %02x "$i")"
	done
	for fd in "${fds[@]}"; do
		cmp "$TMP/part" - <&"$fd" || fail 'one of many files is another'
		exec {fd}<&-
	done
}

# upload_all DIRECTORY: each file in it as the record of its name.
upload_all()
{
	local files
	files=$(cd "$1" && printf '%s,' *)
	(cd "$1" && curl -fsS -m 60 --fail-early -T "{${files%,}}" "$ROUTER/kv/") ||
		fail "the files in $1 can not be put"
}

# More of them than the mount keeps in memory.
small_ones_stay_too()
{
	local file fd fds=()
	mkdir "$TMP/small-ones" "$TMP/replaced"
	head -c 60000 "$TMP/value" >"$TMP/part"
	for file in 0b{1000..1399}; do
		{ printf '%s' "$file" && cat "$TMP/part"; } >"$TMP/small-ones/$file"
		printf 'replaced' >"$TMP/replaced/$file"
	done
	upload_all "$TMP/small-ones"
	for file in 0b{1000..1399}; do
		exec {fd}<"$MNT/$file"
		fds+=("$fd")
	done
	upload_all "$TMP/replaced"
	for file in 0b{1000..1399}; do
		fd=${fds[0]}
		fds=("${fds[@]:1}")
		cmp "$TMP/small-ones/$file" - <&"$fd" || fail "$file is another"
		exec {fd}<&-
	done
}

value_bytes()
{
	local url sum=0
	for url in "${NODE_URLS[@]}"; do
		sum=$((sum + $(curl -fsS -m 10 "$url/status" | jq .store.value_bytes)))
	done
	echo "$sum"
}

# Of values of several megabytes each. One of a hundred kilobytes may stay for long where a merge that
# writes a hundred times as much is what lets go of it: the node puts that off (node/reclaim.c).
the_space_is_back()
{
	(($(value_bytes) < 1000000))
}

# By the nodes, renewals included.
pins_given()
{
	local url
	for url in "${NODE_URLS[@]}"; do
		curl -fsS -m 10 "$url/metrics"
	done | awk '$1 == "hexkv_store_pins_total" { sum += $2 } END { print sum }'
}

more_pins_are_given()
{
	(($(pins_given) > $1))
}

long_enough()
{
	((SECONDS - OPENED > 75))
}

# Of all that was opened here only descriptor 5 is left.
a_file_that_stays_open_is_renewed()
{
	expect_within 60 more_pins_are_given "$(pins_given)"
	[[ -z ${HEXKV_LONG:-} ]] || expect_within 120 long_enough
	cmp "$TMP/long" - <&5 || fail 'the file changed after a while'
}

the_space_comes_back_when_the_last_handle_is_closed()
{
	local file
	for file in "$MNT"/*; do
		remove "${file##*/}"
	done
	exec 5<&-
	expect_within 180 the_space_is_back
}

NODE_ARGS=(--log-retain-bytes 1M --log-retain-seconds 1)
random_file "$TMP/value" 20000000
random_file "$TMP/other" 21000000
random_file "$TMP/small" 100000
random_file "$TMP/long" 7000000
cluster_start 2
mount_start second
SECOND=$MNT
mount_start
upload 00 "$TMP/long"
exec 5<"$MNT/00"
OPENED=$SECONDS
remove 00
run_cases readers_get_what_they_opened_whatever_comes a_reader_outlives_its_node_and_its_router \
	a_reader_outlives_removal_and_replacement_here metadata_may_change_meanwhile \
	a_writer_in_the_middle_keeps_its_base a_mapping_reads_what_was_opened \
	what_was_written_here_is_kept_for_its_readers many_files_are_open_at_once \
	small_ones_stay_too a_file_that_stays_open_is_renewed
[[ -z ${HEXKV_LONG:-} ]] || run_cases the_space_comes_back_when_the_last_handle_is_closed
exec 5<&-
mount_stop
mount_stop "$SECOND"
