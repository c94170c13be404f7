#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A record changes elsewhere while a file of it is open for writing: the last writer wins, or with
# -o conflict=estale is told.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

# scene SCRIPT: Python that knows path(key), elsewhere(method, key, value, headers) and fails(errno, call).
scene()
{
	MNT=$MNT ROUTER=$ROUTER python3 -c "
import errno, os, sys, urllib.request

def path(key):
    return os.environ['MNT'] + '/' + key

def elsewhere(method, key, value=None, headers={}):
    url = os.environ['ROUTER'] + '/kv/' + key
    request = urllib.request.Request(url, value, headers, method=method)
    return urllib.request.urlopen(request).read()

def fails(code, call, *arguments):
    try:
        call(*arguments)
    except OSError as e:
        assert e.errno == code, e
        return
    raise AssertionError('it succeeded')

$1" || fail 'the scene went otherwise'
}

the_last_writer_wins_unless_told_otherwise()
{
	put 00a1 first
	scene '
file = os.open(path("00a1"), os.O_RDWR)
os.write(file, b"mount")
elsewhere("PUT", "00a1", b"other")
os.fsync(file)
assert elsewhere("GET", "00a1") == b"mount"
elsewhere("PUT", "00a1", b"other")
os.pwrite(file, b"again", 0)
os.close(file)
'
	expect_equal again "$(value_of 00a1)"
	scene '
file = os.open(path("00a2"), os.O_WRONLY | os.O_CREAT)
os.write(file, b"mount")
elsewhere("PUT", "00a2", b"other")
os.close(file)
'
	expect_equal mount "$(value_of 00a2)"
	expect_equal mount "$(cat "$MNT/00a2")"
}

reads_as()
{
	[[ $(cat "$2") == "$1" ]]
}

what_was_replaced_elsewhere_stays_and_the_writer_is_told()
{
	local times
	for times in 1 60000; do
		put 00b1 first
		TIMES=$times scene '
mine = b"mine!" * int(os.environ["TIMES"])
file = os.open(path("00b1"), os.O_RDWR | os.O_TRUNC)
os.pwrite(file, mine, 0)
elsewhere("PUT", "00b1", b"other")
fails(errno.ESTALE, os.fsync, file)
assert os.pread(file, 1000000, 0) == mine
os.pwrite(file, b"MINE!", 0)
fails(errno.ESTALE, os.close, os.dup(file))
assert os.pread(file, 1000000, 0) == b"MINE!" + mine[5:]
assert elsewhere("GET", "00b1") == b"other"
fails(errno.ESTALE, os.close, file)
'
		# The last closing is not waited for.
		expect_within 20 reads_as other "$MNT/00b1"
	done
	expect_equal other "$(value_of 00b1)"
	grep -q 'given up with its last open file.*name=00b1' "$TMP/log/fs-mnt" ||
		fail 'the log does not tell what was given up'
}

a_program_reports_it()
{
	put 00b2 first
	exec 7>>"$MNT/00b2"
	put 00b2 second
	fails_with 'Stale file handle' bash -c 'printf x >&7 && sync /proc/self/fd/7'
	{ exec 7>&-; } 2>/dev/null || true
	expect_equal second "$(value_of 00b2)"
	expect_within 20 reads_as second "$MNT/00b2"
}

a_record_that_is_gone_or_has_come_meanwhile_was_changed_too()
{
	put 00b3 first
	scene '
file = os.open(path("00b3"), os.O_WRONLY | os.O_TRUNC)
os.write(file, b"mine")
elsewhere("DELETE", "00b3")
fails(errno.ESTALE, os.close, file)
file = os.open(path("00b3"), os.O_WRONLY | os.O_CREAT)
os.write(file, b"mine")
elsewhere("PUT", "00b3", b"other")
fails(errno.ESTALE, os.close, file)
file = os.open(path("00b3"), os.O_WRONLY | os.O_APPEND)
elsewhere("PATCH", "00b3", b"{\"encoding\": \"utf-8\"}",
          {"Content-Type": "application/merge-patch+json"})
os.write(file, b"mine")
fails(errno.ESTALE, os.close, file)
'
	expect_equal other "$(value_of 00b3)"
}

two_mounts_do_not_overwrite_each_other()
{
	local first=$MNT second
	put 00b4 begun
	mount_start second
	second=$MNT
	MNT=$first
	SECOND=$second scene '
one = os.open(path("00b4"), os.O_WRONLY | os.O_TRUNC)
two = os.open(os.environ["SECOND"] + "/00b4", os.O_WRONLY | os.O_TRUNC)
os.write(one, b"one")
os.write(two, b"two")
os.close(one)
fails(errno.ESTALE, os.close, two)
'
	expect_equal one "$(value_of 00b4)"
	expect_equal one "$(cat "$second/00b4")"
	echo more >>"$second/00b4"
	expect_equal onemore "$(cat "$first/00b4")"
	mount_stop "$second"
}

a_counter_that_two_mounts_increase_loses_nothing()
{
	local first=$MNT second
	put 00b5 0
	mount_start second
	second=$MNT
	MNT=$first
	SECOND=$second scene '
import threading
def increase_once(name):
    file = os.open(name, os.O_RDWR)
    try:
        value = int(os.read(file, 20))
        os.pwrite(file, b"%d" % (value + 1), 0)
    finally:
        os.close(file)

def increase(name):
    done = 0
    while done < 50:
        try:
            increase_once(name)
            done += 1
        except OSError as e:
            assert e.errno == errno.ESTALE, e

threads = [threading.Thread(target=increase, args=(name,))
           for name in (path("00b5"), os.environ["SECOND"] + "/00b5")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
'
	expect_equal 100 "$(value_of 00b5)"
	mount_stop "$second"
}

# Nothing of this is a conflict: all changes are made through this mount.
what_one_mount_does_goes_on()
{
	echo one >"$MNT/00b6"
	echo two >>"$MNT/00b6"
	expect_equal $'one\ntwo' "$(value_of 00b6)"
	sed -i s/one/three/ "$MNT/00b6"
	setfattr -n user.content_type -v text/plain "$MNT/00b6"
	touch "$MNT/00b6"
	mv "$MNT/00b6" "$MNT/00b7"
	mv "$MNT/00b7" "$MNT/00b7~"
	echo anew >"$MNT/00b7"
	rm "$MNT/00b7~"
	expect_equal anew "$(value_of 00b7)"
	scene '
one = os.open(path("00b7"), os.O_RDWR)
two = os.open(path("00b7"), os.O_WRONLY)
os.write(one, b"1")
os.close(os.dup(one))
os.setxattr(path("00b7"), "user.encoding", b"utf-8")
os.pwrite(two, b"2", 1)
os.close(two)
os.utime(path("00b7"), (0, 0))
os.pwrite(one, b"3", 2)
os.rename(path("00b7"), path("00b6"))
os.pwrite(one, b"4", 3)
os.fsync(one)
os.truncate(path("00b6"), 4)
os.close(one)
file = os.open(path("00b6"), os.O_WRONLY | os.O_TRUNC)
os.unlink(path("00b6"))
os.write(file, b"lost")
os.close(file)
file = os.open(path("00b6"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
os.write(file, b"last")
os.close(file)
'
	expect_equal last "$(value_of 00b6)"
	rm "$MNT/00b6"
}

# Who opens the name while the last closing gives the content up gets what is stored, and stores.
what_was_given_up_takes_nobody_along()
{
	scene '
for i in range(200):
    elsewhere("PUT", "00b9", b"first")
    file = os.open(path("00b9"), os.O_WRONLY | os.O_TRUNC)
    os.write(file, b"given up")
    elsewhere("DELETE", "00b9")
    fails(errno.ESTALE, os.close, file)
    while True:
        file = os.open(path("00b9"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(file, b"kept %d" % i)
        try:
            os.close(file)
            break
        except OSError as e:
            assert e.errno == errno.ESTALE, e
    assert elsewhere("GET", "00b9") == b"kept %d" % i, i
'
}

# The nodes store what they were sent once they run again.
an_attempt_that_got_no_answer_is_no_conflict()
{
	local name writer status=0
	put 00ba first
	mkfifo "$TMP/go" "$TMP/reached"
	GO=$TMP/go REACHED=$TMP/reached scene '
file = os.open(path("00ba"), os.O_WRONLY | os.O_TRUNC)
os.write(file, b"mine")
open(os.environ["REACHED"], "w").close()
open(os.environ["GO"]).close()
try:
    os.fsync(file)
    raise AssertionError("nobody can have answered")
except OSError as e:
    assert e.errno in (errno.EIO, errno.ETIMEDOUT), e
open(os.environ["REACHED"], "w").close()
open(os.environ["GO"]).close()
os.fsync(file)
os.close(file)
' &
	writer=$!
	cat "$TMP/reached"
	for name in "${NODE_NAMES[@]}"; do
		pause_process "$name"
	done
	: >"$TMP/go"
	cat "$TMP/reached"
	for name in "${NODE_NAMES[@]}"; do
		continue_process "$name"
	done
	expect_within 10 is_ready "$ROUTER"
	: >"$TMP/go"
	wait "$writer" || status=$?
	expect_equal 0 "$status"
	expect_equal mine "$(value_of 00ba)"
}

# A rename opened nothing: it replaces what is there.
a_rename_replaces_what_is_there()
{
	put 00b8 first
	expect_equal first "$(cat "$MNT/00b8")"
	echo new >"$MNT/00b8.tmp"
	put 00b8 second
	mv "$MNT/00b8.tmp" "$MNT/00b8"
	expect_equal new "$(value_of 00b8)"
}

cluster_start
mount_start
run_cases the_last_writer_wins_unless_told_otherwise
mount_stop
FS_ARGS=(-o conflict=estale -o timeout=2)
mount_start
run_cases what_was_replaced_elsewhere_stays_and_the_writer_is_told a_program_reports_it \
	a_record_that_is_gone_or_has_come_meanwhile_was_changed_too \
	two_mounts_do_not_overwrite_each_other a_counter_that_two_mounts_increase_loses_nothing \
	what_was_given_up_takes_nobody_along an_attempt_that_got_no_answer_is_no_conflict \
	what_one_mount_does_goes_on a_rename_replaces_what_is_there
mount_stop
