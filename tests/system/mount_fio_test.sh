#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# fio writes at random through the mount, in several jobs, and verifies the checksum of each block.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# verified NAME BLOCKS ARGUMENTS...: each job writes a record of its own, NAME and its number, in blocks of
# that size and reads back what it wrote. A name that is hex; of its own where reads are mixed in, since fio
# knows its own blocks. There it also needs blocks of one size: it mistakes those that overlap on any file
# system.
verified()
{
	local name=$1 blocks=$2 job
	local arguments=(--directory="$MNT" --size="$SIZE" --bs="$blocks" --verify=crc32c --verify_fatal=1
		--verify_state_save=0 --randseed="$RANDOM" --thread --group_reporting)
	shift 2
	for job in 1 2 3; do
		arguments+=(--name="job$job" --filename="$name$job" "$@")
	done
	fio "${arguments[@]}" >"$TMP/fio-$name" 2>&1 </dev/null || fail "$(tail -40 "$TMP/fio-$name")"
}

random_writes_are_read_back()
{
	verified a 4k-64k --rw=randwrite --ioengine=psync --end_fsync=1
	verified a 4k-64k --rw=randwrite --ioengine=sync
}

random_writes_among_reads_are_read_back()
{
	verified b 16k --rw=randrw --ioengine=psync --fsync=64
}

random_writes_through_a_mapping_are_read_back()
{
	verified c 4k-64k --rw=randwrite --ioengine=mmap
}

# What fio has written last is what the record holds.
another_mount_reads_the_same()
{
	local first=$MNT name
	mount_start second
	for name in a1 a2 a3 b1 b2 b3 c1 c2 c3; do
		cmp "$first/$name" "$MNT/$name" || fail "$name differs between two mounts"
	done
	mount_stop
	MNT=$first
}

SIZE=2m
[[ -z ${HEXKV_LONG:-} ]] || SIZE=64m
need_command fio
need_fuse
cluster_start 2
mount_start
run_cases random_writes_are_read_back random_writes_among_reads_are_read_back \
	random_writes_through_a_mapping_are_read_back another_mount_reads_the_same
mount_stop
