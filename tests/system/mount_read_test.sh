#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Reading large files: what is brought from the cluster for it, by how many requests, and that it is
# right whoever else reads.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

MIB=$((1024 * 1024))
FILE_MIB=40
PEAK_KIB=$((150 * 1024))

# stat_of NAME: one of the mount's own figures.
stat_of()
{
	awk -v name="$1" '$1 == name { print $2 }' "$MNT/.stats"
}

requests()
{
	curl -sS "$ROUTER/metrics" | awk '/^hexkv_router_requests_total/ && !/"admin"/ { n += $NF }
		END { printf "%d", n }'
}

begin()
{
	BROUGHT=$(stat_of hexkv_fs_received_bytes_total)
	REQUESTS=$(requests)
}

# expect_brought BYTES: at most so many since begin.
expect_brought()
{
	local brought=$(($(stat_of hexkv_fs_received_bytes_total) - BROUGHT))
	((brought <= $1)) || fail "$brought bytes were brought, not $1 at most"
}

upload()
{
	expect_http 201 -T "$TMP/large" "$ROUTER/kv/$1"
}

all_of_it_takes_few_requests_and_comes_once()
{
	local made
	upload 01
	begin
	expect_same_file "$TMP/large" "$MNT/01"
	made=$(($(requests) - REQUESTS))
	((made <= FILE_MIB / 2)) || fail "$made requests for $FILE_MIB MiB"
	expect_brought $((FILE_MIB * MIB + MIB))
}

who_reads_it_as_well_brings_nothing_more()
{
	local pids=() pid
	upload 02
	begin
	for _ in {1..8}; do
		cmp "$TMP/large" "$MNT/02" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || fail 'one of them reads other bytes'
	done
	expect_brought $((FILE_MIB * MIB * 3 / 2))
}

reads_here_and_there_bring_what_they_ask_for()
{
	upload 03
	begin
	python3 - "$MNT/03" "$TMP/large" "$((FILE_MIB * MIB))" <<-'END' || fail 'other bytes'
		import os, random, sys
		mine, its = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDONLY)
		random.seed(7)
		for _ in range(300):
		    at = random.randrange(int(sys.argv[3]) // 4096) * 4096
		    if os.pread(mine, 4096, at) != os.pread(its, 4096, at):
		        sys.exit(1)
	END
	expect_brought $((4 * MIB))
}

the_beginning_and_the_end_are_cheap()
{
	upload 04
	begin
	cmp <(head -c 4096 "$MNT/04") <(head -c 4096 "$TMP/large") || fail 'another beginning'
	cmp <(tail -c 4096 "$MNT/04") <(tail -c 4096 "$TMP/large") || fail 'another end'
	expect_brought $((2 * MIB))
	begin
	cmp <(head -c $MIB "$MNT/04") <(head -c $MIB "$TMP/large") || fail 'another beginning'
	expect_brought $((8 * MIB))
}

several_places_of_one_file_are_read_at_once()
{
	local i pids=() pid
	upload 05
	for i in {0..7}; do
		cmp -i $((i * 5 * MIB + i * 1000)) -n $((5 * MIB)) "$TMP/large" "$MNT/05" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || fail 'one of them reads other bytes'
	done
}

# More of them than there is memory to read ahead for.
readers_that_stop_hold_up_nobody()
{
	local i
	for i in {10..25}; do
		upload "$i"
	done
	python3 - "$TMP/large" "$MNT"/{10..25} <<-'END' || fail 'other bytes'
		import sys
		size, files = 5 << 20, [open(name, 'rb') for name in sys.argv[2:]]
		data = open(sys.argv[1], 'rb').read()
		for file in files:
		    if file.read(size) != data[:size]:
		        sys.exit(1)
		for file in files:
		    if file.read() != data[size:]:
		        sys.exit(1)
	END
	expect_peak_below fs-mnt "$PEAK_KIB"
}

blocks_are_few()
{
	(($(stat_of hexkv_fs_read_ahead_blocks) <= 8))
}

what_was_read_ahead_goes_with_the_reader()
{
	expect_within 20 blocks_are_few
}

cluster_start 2
mount_start
random_file "$TMP/large" $((FILE_MIB * MIB))
run_cases \
	all_of_it_takes_few_requests_and_comes_once \
	who_reads_it_as_well_brings_nothing_more \
	reads_here_and_there_bring_what_they_ask_for \
	the_beginning_and_the_end_are_cheap \
	several_places_of_one_file_are_read_at_once \
	readers_that_stop_hold_up_nobody \
	what_was_read_ahead_goes_with_the_reader
