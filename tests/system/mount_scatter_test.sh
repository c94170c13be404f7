#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Large files that are written at random places, through little memory.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

BOUND_KIB=$((150 * 1024))
MIB=200
WRITES=800
SEED=${HEXKV_SEED:-$RANDOM}
if [[ -n ${HEXKV_LONG:-} ]]; then
	MIB=5120
	WRITES=20000
fi

# scatter MODEL FILE WRITES MIN MAX: the same writes of MIN to MAX bytes to both, within MIB.
scatter()
{
	python3 - "$@" $((MIB * 1048576)) "$SEED" <<-'END' || fail "ended with $?, seed $SEED"
		import os, random, sys
		model, file = (os.open(name, os.O_RDWR | os.O_CREAT) for name in sys.argv[1:3])
		writes, least, most, size, seed = map(int, sys.argv[3:])
		random.seed(seed)
		block = random.randbytes(2 * most)
		for _ in range(writes):
		    length = random.randint(least, most)
		    start = random.randint(0, most)
		    offset = random.randint(0, size - length)
		    data = block[start:start + length]
		    for at in model, file:
		        done = 0
		        while done < length:
		            done += os.pwrite(at, data[done:], offset + done)
		os.close(file)
	END
}

is_as_model()
{
	curl -sS "$ROUTER/kv/$1" | cmp - "$TMP/model" || fail "$1 differs, seed $SEED"
}

it_is_written_at_random_places()
{
	scatter "$TMP/model" "$MNT/00aa" "$WRITES" 4096 1048576
	is_as_model 00aa
	expect_peak_below fs-mnt "$BOUND_KIB"
}

a_large_record_is_changed_at_random_places()
{
	scatter "$TMP/model" "$MNT/00aa" "$WRITES" 1 5000
	is_as_model 00aa
	# The other mount has nothing of it.
	mount_stop
	mount_start
	SEED=$((SEED + 1))
	scatter "$TMP/model" "$MNT/00aa" 200 1 100000
	is_as_model 00aa
	cmp "$TMP/model" "$MNT/00aa" || fail "reads differ, seed $SEED"
	expect_peak_below fs-mnt "$BOUND_KIB"
}

a_large_record_is_appended_to_and_cut_short()
{
	local i
	for i in 1 2 3; do
		head -c 100001 /dev/urandom >"$TMP/more"
		cat "$TMP/more" >>"$MNT/00aa"
		cat "$TMP/more" >>"$TMP/model"
		is_as_model 00aa
	done
	truncate -s $((MIB * 1048576 / 2 + 1)) "$MNT/00aa" "$TMP/model"
	is_as_model 00aa
	expect_peak_below fs-mnt "$BOUND_KIB"
	rm "$MNT/00aa"
}

value_is_model()
{
	curl -sS "$ROUTER/kv/$1" | cmp -s - "$TMP/model"
}

# The kernel sends what a mapping changed after close() only when the mapping goes, and close() does
# not come again.
what_a_mapping_changes_after_close_is_stored()
{
	local size
	for size in 1 5000 9000000; do
		head -c "$size" /dev/urandom >"$TMP/model"
		cp "$TMP/model" "$MNT/00ab"
		python3 - "$MNT/00ab" "$TMP/model" <<-'END' || fail "ended with $?"
			import mmap, os, sys
			def change(name):
			    file = os.open(name, os.O_RDWR)
			    map = mmap.mmap(file, 0, mmap.MAP_SHARED)
			    map[0:1] = b'a'
			    os.close(file)
			    map[len(map) // 2:len(map) // 2 + 1] = b'b'
			    map[len(map) - 1:] = b'c'
			    map.close()
			for name in sys.argv[1:]:
			    change(name)
		END
		expect_within 10 value_is_model 00ab
		expect_same_file "$TMP/model" "$MNT/00ab"
	done
}

a_mapping_that_is_synced_is_stored_by_then()
{
	head -c 5000000 /dev/urandom >"$TMP/model"
	cp "$TMP/model" "$MNT/00ac"
	python3 - "$MNT/00ac" "$TMP/model" "$ROUTER/kv/00ac" <<-'END' || fail "ended with $?"
		import mmap, os, sys, urllib.request
		maps = []
		for name in sys.argv[1:3]:
		    file = os.open(name, os.O_RDWR)
		    maps.append(mmap.mmap(file, 0, mmap.MAP_SHARED))
		    os.close(file)
		for at in 0, 4999999, 2500000:
		    for map in maps:
		        map[at:at + 1] = b'x' if map[at:at + 1] != b'x' else b'y'
		        map.flush()
		    assert urllib.request.urlopen(sys.argv[3]).read() == maps[1][:], at
	END
}

# Without another open file to keep it: two maps of files that are closed.
a_mapping_of_a_new_file_that_was_closed_is_stored()
{
	head -c 6000000 /dev/urandom >"$TMP/model"
	python3 - "$MNT/00ad" "$TMP/model" <<-'END' || fail "ended with $?"
		import mmap, os, sys
		file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_EXCL)
		os.ftruncate(file, 6000000)
		map = mmap.mmap(file, 0, mmap.MAP_SHARED)
		os.close(file)
		map[:] = open(sys.argv[2], 'rb').read()
		# The end of the process takes the mapping away.
	END
	expect_within 10 value_is_model 00ad
}

need_command python3
cluster_start 2
mount_start
run_cases it_is_written_at_random_places a_large_record_is_changed_at_random_places \
	a_large_record_is_appended_to_and_cut_short \
	what_a_mapping_changes_after_close_is_stored a_mapping_that_is_synced_is_stored_by_then \
	a_mapping_of_a_new_file_that_was_closed_is_stored
mount_stop
