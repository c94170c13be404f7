#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The disk on which unsaved content waits is full: writers are told, nothing is stored in part, and
# what needs no room goes on.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

staging_is_empty()
{
	local total free
	read -r total free < <(stat -f -c '%b %f' "$TMP/staging")
	((total - free < 16))
}

a_file_that_does_not_fit_is_refused_and_others_are_stored()
{
	put 00aa before
	random_file "$TMP/large" 3000000
	fails_with 'No space left' dd if="$TMP/large" of="$MNT/00ab" bs=100000 status=none
	fails_with 'No space left' cp "$TMP/large" "$MNT/00ac"
	expect_within 20 staging_is_empty
	echo after >"$MNT/00aa"
	expect_equal after "$(value_of 00aa)"
}

a_large_record_is_read_appended_to_and_removed_without_losing_any_of_it()
{
	random_file "$TMP/large" 3000000
	http -X PUT --data-binary "@$TMP/large" "$ROUTER/kv/00ad"
	expect_same_file "$TMP/large" "$MNT/00ad"
	# What is only sent on needs no room.
	echo more | dd of="$MNT/00ad" oflag=append conv=notrunc,fsync status=none
	echo more >>"$TMP/large"
	value_of 00ad >"$TMP/back"
	expect_same_file "$TMP/large" "$TMP/back"
	expect_same_file "$TMP/large" "$MNT/00ad"
	# Who has it open can't be given the rest, but that is no reason to keep it.
	exec 7<"$MNT/00ad"
	rm "$MNT/00ad"
	exec 7<&-
	expect_http 404 "$ROUTER/kv/00ad"
	expect_within 20 staging_is_empty
}

what_was_written_before_the_disk_was_full_can_still_be_stored()
{
	local status=0
	head -c 500000 /dev/urandom >"$TMP/part"
	python3 - "$MNT/00ae" "$TMP/part" "$TMP/staging" <<-'END' || status=$?
		import errno, os, sys
		part = open(sys.argv[2], 'rb').read()
		file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
		assert os.write(file, part) == len(part)
		other = open(sys.argv[3] + '/other', 'wb', 0)
		try:
		    while True:
		        other.write(bytes(65536))
		except OSError as error:
		    assert error.errno == errno.ENOSPC
		try:
		    while len(part) < 4000000:
		        part += part[:os.write(file, part[:300000])]
		    sys.exit('nothing was refused')
		except OSError as error:
		    assert error.errno == errno.ENOSPC
		os.fsync(file)
		other.close()
		os.unlink(sys.argv[3] + '/other')
		open(sys.argv[2], 'wb').write(part + b'end')
		assert os.write(file, b'end') == 3
		os.close(file)
	END
	expect_equal 0 "$status"
	value_of 00ae >"$TMP/back"
	expect_same_file "$TMP/part" "$TMP/back"
}

# The same on a disk that has room, within a bound of our own.
a_bound_on_all_of_it_is_kept_as_if_the_disk_were_full()
{
	mount_stop
	FS_ARGS=(-o "staging=$TMP,staging_size=2M")
	mount_start
	random_file "$TMP/large" 3000000
	put 00af before
	fails_with 'No space left' cp "$TMP/large" "$MNT/00af"
	fails_with 'No space left' dd if="$TMP/large" of="$MNT/00b0" bs=100000 status=none
	expect_within 20 staged_bytes_are 0
	echo after >"$MNT/00af"
	expect_equal after "$(value_of 00af)"
	# What is there can be flushed, changed in place, or removed, and then there is room again.
	python3 - "$MNT" "$TMP/large" <<-'END' || fail "ended with $?"
		import errno, os, sys, time
		data = open(sys.argv[2], 'rb').read()
		def fill(name, size):
		    file = os.open(sys.argv[1] + '/' + name, os.O_CREAT | os.O_RDWR)
		    assert os.write(file, data[:size]) == size
		    return file
		one, other = fill('00b1', 1000000), fill('00b2', 900000)
		try:
		    at = 1000000
		    while at < 1300000:
		        at += os.pwrite(one, data[:1300000 - at], at)
		    sys.exit('nothing was refused')
		except OSError as error:
		    assert error.errno == errno.ENOSPC
		assert os.pwrite(one, b'changed', 500000) == 7
		os.unlink(sys.argv[1] + '/00b2')
		os.close(other)
		# The kernel forgets it in its own time.
		deadline = time.monotonic() + 20 * int(os.environ.get('HEXKV_PATIENCE', 1))
		while at < 1300000:
		    try:
		        at += os.pwrite(one, data[:1300000 - at], at)
		    except OSError as error:
		        assert error.errno == errno.ENOSPC and time.monotonic() < deadline
		        time.sleep(0.02)
		os.close(one)
	END
	expect_equal 1300000 "$(value_of 00b1 | wc -c)"
	expect_within 20 staged_bytes_are 0
}

staged_bytes()
{
	awk '$1 == "hexkv_fs_staged_bytes" { print $2 }' "$MNT/.stats"
}

staged_bytes_are()
{
	[[ $(staged_bytes) == "$1" ]]
}

need_command python3
small_disk "$TMP/staging" 2m
FS_ARGS=(-o "staging=$TMP/staging")
cluster_start
mount_start
run_cases a_file_that_does_not_fit_is_refused_and_others_are_stored \
	a_large_record_is_read_appended_to_and_removed_without_losing_any_of_it \
	what_was_written_before_the_disk_was_full_can_still_be_stored \
	a_bound_on_all_of_it_is_kept_as_if_the_disk_were_full
mount_stop
