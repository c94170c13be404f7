#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A file's time of modification is that of its last change, as the mount that made it saw it: the
# same after the write, after close(), on another mount and over HTTP.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

# The kernel remembers no times.
FS_ARGS=(-o attr_timeout=0)

# with_file FILE [PYTHON...]: runs the lines with open(), os, mmap and `path`. now() gives the
# file's time, check(T, WHAT) compares it.
with_file()
{
	python3 - "$@" <<-'END' || fail "$*"
		import mmap, os, sys
		path = sys.argv[1]
		def now(of=path):
		    return os.stat(of).st_mtime_ns
		def check(expected, what):
		    found = now()
		    if found != expected:
		        sys.exit('%s: mtime moved by %d ns' % (what, found - expected))
		exec('\n'.join(sys.argv[2:]))
		print(now(path))
	END
}

# everywhere KEY NS: all doors tell that time.
everywhere()
{
	local nanoseconds
	http -I "$ROUTER/kv/$1"
	expect_equal "$2" "$(header hexkv-mtime)" 'over HTTP'
	for nanoseconds in $(stat -c %.9Y "$MNT/$1" "$OTHER/$1"); do
		expect_equal "$2" "${nanoseconds/./}" 'on a mount'
	done
}

# keeps_time KEY PYTHON...
keeps_time()
{
	local key=$1 time
	shift
	time=$(with_file "$MNT/$key" "$@")
	everywhere "$key" "$time"
}

a_written_file_keeps_the_time_of_its_last_write()
{
	keeps_time 0a01 'f = os.open(path, os.O_CREAT | os.O_WRONLY)' 'os.write(f, b"one")' \
		'written = now()' 'os.close(f)' 'check(written, "close")' \
		'f = os.open(path, os.O_WRONLY | os.O_APPEND)' 'os.write(f, b"two")' \
		'assert now() > written' 'written = now()' 'os.fsync(f)' 'check(written, "fsync")' \
		'os.fsync(f)' 'os.close(os.dup(f))' 'check(written, "flush")' 'os.close(f)' \
		'check(written, "close")'
}

a_file_that_was_sent_while_it_was_written_does_so_too()
{
	keeps_time 0a02 'f = os.open(path, os.O_CREAT | os.O_WRONLY)' \
		'for i in range(12): os.write(f, bytes(1 << 20))' 'written = now()' 'os.close(f)' \
		'check(written, "close")'
}

an_empty_file_keeps_the_time_at_which_it_was_made()
{
	keeps_time 0a03 'f = os.open(path, os.O_CREAT | os.O_WRONLY)' 'made = now()' 'os.close(f)' \
		'check(made, "close")'
	keeps_time 0a04 'f = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)' 'made = now()' \
		'os.close(f)' 'check(made, "close")'
}

the_end_of_a_file_that_moves_is_a_change()
{
	put 0a05 'some text'
	keeps_time 0a05 'before = now()' 'os.truncate(path, 4)' 'assert now() > before' \
		'before = now()' 'f = os.open(path, os.O_RDWR)' 'os.ftruncate(f, 2)' \
		'assert now() > before' 'before = now()' 'os.close(f)' 'check(before, "close")' \
		'f = os.open(path, os.O_WRONLY | os.O_TRUNC)' 'assert now() > before' \
		'before = now()' 'os.close(f)' 'check(before, "close")'
}

what_is_written_through_a_mapping_has_its_time_by_the_next_flush()
{
	put 0a06 'some text'
	keeps_time 0a06 'before = now()' 'f = os.open(path, os.O_RDWR)' 'm = mmap.mmap(f, 9)' \
		'm[0:4] = b"more"' 'm.flush()' 'assert now() > before' 'before = now()' \
		'm.close()' 'os.close(f)' 'check(before, "close")'
}

a_flush_without_a_change_changes_nothing()
{
	local time etag
	put 0a07 'some text' -H 'HexKV-Mtime: 1000000001000000002'
	http -I "$ROUTER/kv/0a07"
	etag=$(header etag)
	keeps_time 0a07 'f = os.open(path, os.O_RDWR)' 'os.read(f, 3)' 'os.fsync(f)' \
		'os.close(os.dup(f))' 'os.close(f)' 'check(1000000001000000002, "close")'
	http -I "$ROUTER/kv/0a07"
	expect_equal "$etag" "$(header etag)"
}

a_time_that_was_set_stays_until_the_next_write()
{
	keeps_time 0a08 'f = os.open(path, os.O_CREAT | os.O_WRONLY)' 'os.write(f, b"one")' \
		'os.utime(f, ns=(5, 1000000001000000002))' 'os.close(f)' \
		'check(1000000001000000002, "close")'
	keeps_time 0a08 'f = os.open(path, os.O_WRONLY)' 'os.write(f, b"two")' \
		'assert now() > 1500000000000000000' 'os.close(f)'
}

a_file_that_is_renamed_or_labelled_keeps_its_time()
{
	keeps_time 0a0a 'f = os.open(path + "~", os.O_CREAT | os.O_WRONLY)' 'os.write(f, b"one")' \
		'os.close(f)' 'before = now(path + "~")' 'os.rename(path + "~", path)' \
		'check(before, "to a key")' 'os.rename(path, path[:-1] + "b")' \
		'os.rename(path[:-1] + "b", path)' 'check(before, "between keys")' \
		'os.setxattr(path, "user.content_type", b"text/x")' 'check(before, "labels")' \
		'os.rename(path, path + "~")' 'os.rename(path + "~", path)' \
		'check(before, "aside and back")'
}

# The writer's clock says when, whatever the one before it said.
a_time_may_be_before_that_of_what_is_replaced()
{
	put 0a0c 'from the future' -H 'HexKV-Mtime: 4000000000000000000'
	keeps_time 0a0c 'f = os.open(path, os.O_WRONLY | os.O_TRUNC)' 'os.write(f, b"now")' \
		'os.close(f)' 'assert now() < 3000000000000000000'
}

# The others follow the time of modification.
all_times_are_the_last_change()
{
	put 0a0d 'some text' -H 'HexKV-Mtime: 1000000001000000002'
	expect_equal '1000000001.000000002 1000000001.000000002' \
		"$(stat -c '%.9Y %.9Z' "$MNT/0a0d")"
}

the_directory_has_the_time_that_it_was_given_until_a_name_changes()
{
	printf one >"$MNT/0f01"
	touch -d @981158400.5 "$MNT"
	expect_equal 981158400.500000000 "$(stat -c %.9Y "$MNT")"
	printf two >>"$MNT/0f01"
	expect_equal 981158400.500000000 "$(stat -c %.9Y "$MNT")"
	rm "$MNT/0f01"
	(($(stat -c %Y "$MNT") > 981158400)) || fail 'a removed name left it alone'
	touch -d @981158400 "$MNT"
	touch "$MNT"
	(($(stat -c %Y "$MNT") > 981158400)) || fail 'touch left it alone'
}

cluster_start 2
mount_start other
OTHER=$MNT
mount_start
run_cases a_written_file_keeps_the_time_of_its_last_write \
	a_file_that_was_sent_while_it_was_written_does_so_too \
	an_empty_file_keeps_the_time_at_which_it_was_made the_end_of_a_file_that_moves_is_a_change \
	what_is_written_through_a_mapping_has_its_time_by_the_next_flush \
	a_flush_without_a_change_changes_nothing a_time_that_was_set_stays_until_the_next_write \
	a_file_that_is_renamed_or_labelled_keeps_its_time \
	a_time_may_be_before_that_of_what_is_replaced all_times_are_the_last_change \
	the_directory_has_the_time_that_it_was_given_until_a_name_changes
mount_stop "$OTHER"
mount_stop
