#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The cluster's disk is full: writers are told at the first call that can tell them, what was there
# stays, and what could not be stored can be once there is room.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

more_than_there_is_room_for_is_refused_and_the_old_content_stays()
{
	put 00aa old
	fails_with 'No space left' cp "$TMP/large" "$MNT/00aa"
	expect_equal old "$(value_of 00aa)"
	fails_with 'No space left' dd if="$TMP/large" of="$MNT/00ab" bs=1M status=none
	fails_with 'No space left' dd if="$TMP/large" of="$MNT/00ac" bs=1M status=none conv=fsync
	expect_http 404 "$ROUTER/kv/00ab"
	expect_http 404 "$ROUTER/kv/00ac"
	expect_within 20 puts_work
}

puts_work()
{
	http -X PUT --data-binary @"$TMP/small" "$ROUTER/kv/00ad"
	[[ $STATUS == 20[14] ]]
}

# Writing on for a while must meet the refusal before the file is closed.
a_long_write_ends_early()
{
	python3 - "$MNT/00ae" "$TMP/large" <<-'END' || fail "ended with $?"
		import errno, os, sys, time
		data = open(sys.argv[2], 'rb').read(1 << 20)
		file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
		try:
		    for _ in range(400):
		        os.write(file, data)
		        time.sleep(0.01)
		    sys.exit('400 MiB were taken')
		except OSError as error:
		    assert error.errno == errno.ENOSPC
		os.ftruncate(file, 0)
		os.close(file)
	END
	expect_equal 0 "$(stat -c %s "$MNT/00ae")"
}

what_could_not_be_stored_is_once_there_is_room()
{
	python3 - "$MNT/00af" "$TMP/large" "$TMP/data-s0a" <<-'END' || fail "ended with $?"
		import errno, os, subprocess, sys, time
		data = open(sys.argv[2], 'rb').read()
		file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
		done = 0
		try:
		    while done < len(data):
		        done += os.write(file, data[done:done + (1 << 20)])
		    os.fsync(file)
		    sys.exit('all of it was taken')
		except OSError as error:
		    assert error.errno == errno.ENOSPC
		subprocess.check_call(['mount', '-o', 'remount,size=400M', sys.argv[3]])
		deadline = time.monotonic() + 60 * int(os.environ.get('HEXKV_PATIENCE', 1))
		while True:
		    try:
		        os.fsync(file)
		        while done < len(data):
		            done += os.write(file, data[done:])
		        os.fsync(file)
		        break
		    except OSError as error:
		        assert error.errno == errno.ENOSPC and time.monotonic() < deadline
		        time.sleep(0.1)
		os.close(file)
	END
	value_of 00af >"$TMP/back"
	expect_same_file "$TMP/large" "$TMP/back"
}

need_command python3
small_disk "$TMP/data-s0a" 48m
head -c 100000000 /dev/urandom >"$TMP/large"
head -c 100000 /dev/urandom >"$TMP/small"
cluster_start 1
mount_start
run_cases more_than_there_is_room_for_is_refused_and_the_old_content_stays \
	a_long_write_ends_early what_could_not_be_stored_is_once_there_is_room
mount_stop
