#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Content that is sent while it is written: what others see of it, what ends it, and what is stored
# when the writer, the router or a node does something else meanwhile.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

# What the writers below share, for Python.
write_steps()
{
	cat >"$TMP/steps.py" <<-'END'
		import errno, glob, os, signal, subprocess, sys, time, urllib.error, urllib.request
		MNT, ROUTER, TMP = sys.argv[1:4]
		PATIENCE = int(os.environ.get('HEXKV_PATIENCE', '1'))
		MIB = 1 << 20
		BLOCK = os.urandom(MIB)

		# Content that differs from one block to the next.
		def content(mib, first=0):
		    return b''.join(bytes([n % 251]) + BLOCK[1:] for n in range(first, first + mib))

		def wait(what, seconds=20):
		    deadline = time.monotonic() + seconds * PATIENCE
		    while not what():
		        if time.monotonic() > deadline:
		            sys.exit('not in time: line %d' % sys._getframe(1).f_lineno)
		        time.sleep(0.02)

		# The values that nodes are taking in just now.
		def arriving():
		    sizes = []
		    for name in glob.glob(TMP + '/data-*/value/*.tmp'):
		        try:
		            sizes.append(os.stat(name).st_size)
		        except FileNotFoundError:
		            pass
		    return sizes

		def is_sent():
		    return sum(arriving()) >= 2 * MIB

		def is_over():
		    return not arriving()

		def ask(key, method='GET'):
		    request = urllib.request.Request(ROUTER + '/kv/' + key, method=method)
		    try:
		        with urllib.request.urlopen(request, timeout=60) as answer:
		            return answer.status, answer.read(), answer.headers
		    except urllib.error.HTTPError as error:
		        return error.code, b'', error.headers

		def value(key):
		    status, body, _ = ask(key)
		    return body if status == 200 else status

		def create(key):
		    return os.open(MNT + '/' + key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

		def write(file, data):
		    for at in range(0, len(data), MIB):
		        part = data[at:at + MIB]
		        assert os.write(file, part) == len(part)

		# A file of which the first 8 MiB are written and on their way.
		def begin(key):
		    file = create(key)
		    write(file, content(8))
		    wait(is_sent)
		    return file

		def error_of(call, *arguments):
		    try:
		        call(*arguments)
		    except OSError as error:
		        return error.errno

		def same(a, b):
		    if a != b:
		        sys.exit('differs: line %d' % sys._getframe(1).f_lineno)
	END
}

# python: runs the program on standard input after those steps.
python()
{
	{
		cat "$TMP/steps.py"
		cat
	} >"$TMP/program.py"
	timeout $((120 * PATIENCE)) python3 "$TMP/program.py" "$MNT" "$ROUTER" "$TMP" "$@" || fail "ended with $?"
}

it_goes_out_meanwhile_and_shows_only_when_it_is_flushed()
{
	put 00aa old
	python <<-'END'
		file = begin('00aa')
		same(value('00aa'), b'old')
		write(file, content(8, 8) + b'end')
		same(value('00aa'), b'old')
		same(open(MNT + '/00aa', 'rb').read(), content(16) + b'end')
		os.close(file)
		same(value('00aa'), content(16) + b'end')
		assert is_over()
	END
}

what_is_set_before_it_is_closed_is_there_at_once()
{
	python <<-'END'
		file = begin('00ab')
		os.setxattr(MNT + '/00ab', 'user.content_type', b'text/x-late')
		os.setxattr(MNT + '/00ab', 'user.encoding', b'latin-1')
		os.utime(file, ns=(5, 1234567890123456789))
		os.close(file)
		headers = ask('00ab', 'HEAD')[2]
		same(headers['Content-Type'], 'text/x-late')
		same(headers['HexKV-Encoding'], 'latin-1')
		same(headers['HexKV-Mtime'], '1234567890123456789')
		same(value('00ab'), content(8))
		# A version of its own that nobody saw otherwise: the next one follows it.
		sequence = int(headers['ETag'].strip('"').split('-')[1], 16)
		os.close(begin('00ab'))
		headers = ask('00ab', 'HEAD')[2]
		same(int(headers['ETag'].strip('"').split('-')[1], 16), sequence + 1)
		same(headers['Content-Type'], 'text/x-late')
		assert headers['HexKV-Mtime'] != '1234567890123456789'
	END
}

copies_keep_time_and_labels()
{
	head -c 20000000 /dev/urandom >"$TMP/file"
	touch -d '2001-02-03 04:05:06.789' "$TMP/file"
	cp -p "$TMP/file" "$MNT/00ac"
	setfattr -n user.content_type -v image/png "$MNT/00ac"
	cp --preserve=all "$MNT/00ac" "$MNT/00ad"
	expect_http 200 -I "$ROUTER/kv/00ad"
	expect_equal image/png "$(header Content-Type)"
	expect_equal "$(date -r "$TMP/file" +%s%N)" "$(header HexKV-Mtime)"
	value_of 00ad >"$TMP/back"
	expect_same_file "$TMP/file" "$TMP/back"
}

whatever_is_not_in_order_is_stored_all_the_same()
{
	python <<-'END'
		def back(file, want):
		    os.pwrite(file, b'again', 3 * MIB)
		    want[3 * MIB:3 * MIB + 5] = b'again'
		def shorter(file, want):
		    os.ftruncate(file, 5 * MIB - 7)
		    del want[5 * MIB - 7:]
		def longer(file, want):
		    os.ftruncate(file, 9 * MIB + 5)
		    want.extend(bytes(9 * MIB + 5 - len(want)))
		def beyond(file, want):
		    os.pwrite(file, b'far', 10 * MIB)
		    want.extend(bytes(10 * MIB - len(want)) + b'far')
		def empty(file, want):
		    os.ftruncate(file, 0)
		    os.lseek(file, 0, os.SEEK_SET)
		    want.clear()
		def nothing(file, want):
		    pass
		for change in (back, shorter, longer, beyond, empty, nothing):
		    for more in (0, 1, 6):
		        file = begin('00ae')
		        want = bytearray(content(8))
		        change(file, want)
		        if change in (back, shorter, empty):
		            wait(is_over)
		        end = os.lseek(file, 0, os.SEEK_END)
		        same(end, len(want))
		        write(file, content(more, 20))
		        want.extend(content(more, 20))
		        same(open(MNT + '/00ae', 'rb').read(), want)
		        os.close(file)
		        same(value('00ae'), want)
		wait(is_over)
	END
}

fsync_in_the_middle_stores_what_is_there()
{
	python <<-'END'
		file = begin('00af')
		os.fsync(file)
		same(value('00af'), content(8))
		write(file, content(1, 8))
		os.fsync(file)
		same(value('00af'), content(9))
		write(file, content(7, 9))
		same(value('00af'), content(9))
		wait(is_sent)
		os.close(file)
		same(value('00af'), content(16))
	END
}

removing_and_renaming_end_it()
{
	put 00b1 old
	python <<-'END'
		file = begin('00b0')
		os.unlink(MNT + '/00b0')
		wait(is_over)
		write(file, content(1))
		os.close(file)
		same(value('00b0'), 404)
		file = begin('00b0')
		os.rename(MNT + '/00b0', MNT + '/00b1')
		same(value('00b0'), 404)
		same(value('00b1'), content(8))
		write(file, content(2, 8))
		os.close(file)
		same(value('00b0'), 404)
		same(value('00b1'), content(10))
		file = begin('00b1')
		os.rename(MNT + '/00b1', MNT + '/00b1~')
		wait(is_over)
		write(file, content(1, 8))
		os.close(file)
		same(open(MNT + '/00b1~', 'rb').read(), content(9))
		os.unlink(MNT + '/00b1~')
		same(value('00b1'), 404)
	END
}

more_at_once_than_are_sent_at_once_are_all_stored()
{
	python <<-'END'
		files = [create('00b2%02x' % n) for n in range(10)]
		for mib in range(8):
		    for n, file in enumerate(files):
		        write(file, content(1, mib + n))
		wait(is_sent)
		for n, file in enumerate(files):
		    os.close(file)
		    same(value('00b2%02x' % n), content(8, n))
		wait(is_over)
	END
}

a_writer_that_is_killed_leaves_what_it_wrote()
{
	python <<-'END'
		pid = os.fork()
		if pid == 0:
		    file = begin('00b3')
		    os.kill(os.getpid(), signal.SIGKILL)
		os.waitpid(pid, 0)
		wait(lambda: value('00b3') == content(8))
	END
}

# meet FUNCTION...: runs the program on standard input after the steps above; each of its calls of
# step() waits here for the next function.
meet()
{
	local program function
	mkfifo "$TMP/reached" "$TMP/done"
	{
		cat "$TMP/steps.py"
		cat <<-'END'
			def step():
			    open(TMP + '/reached', 'w').close()
			    open(TMP + '/done').read()
		END
		cat
	} >"$TMP/program.py"
	timeout $((120 * PATIENCE)) python3 "$TMP/program.py" "$MNT" "$ROUTER" "$TMP" &
	program=$!
	for function in "$@"; do
		timeout $((60 * PATIENCE)) cat "$TMP/reached"
		"$function"
		echo >"$TMP/done"
	done
	wait "$program" || fail "ended with $?"
	rm "$TMP/reached" "$TMP/done"
}

router_crashes_and_comes_back()
{
	kill_process router
	router_start
}

a_router_that_crashes_is_not_noticed()
{
	put 00b4 old
	meet router_crashes_and_comes_back <<-'END'
		file = begin('00b4')
		step()
		write(file, content(8, 8))
		same(value('00b4'), b'old')
		os.close(file)
		same(value('00b4'), content(16))
		wait(is_over)
	END
}

nodes_go()
{
	local name
	for name in "${NODE_NAMES[@]}"; do
		kill_process "$name"
	done
}

# And the router knows.
nodes_return()
{
	nodes_start
	expect_within 10 is_ready "$ROUTER"
}

nodes_crash_and_come_back()
{
	nodes_go
	nodes_start
}

nodes_that_crash_are_not_noticed()
{
	put 00b5 old
	meet nodes_crash_and_come_back <<-'END'
		file = begin('00b5')
		step()
		write(file, content(8, 8))
		same(value('00b5'), b'old')
		os.close(file)
		same(value('00b5'), content(16))
		wait(is_over)
	END
}

what_could_not_be_sent_can_be_flushed_again()
{
	put 00b6 old
	meet nodes_go nodes_return <<-'END'
		file = begin('00b6')
		other = os.dup(file)
		step()
		write(file, content(1, 8))
		# Refused in time, or not: the router waits a while for a leader.
		same(error_of(os.close, file) in (errno.EIO, errno.ETIMEDOUT), True)
		same(error_of(os.fsync, other) in (errno.EIO, errno.ETIMEDOUT), True)
		step()
		same(value('00b6'), b'old')
		same(open(MNT + '/00b6', 'rb').read(), content(9))
		os.fsync(other)
		same(value('00b6'), content(9))
		write(other, content(1, 9))
		os.close(other)
		same(value('00b6'), content(10))
	END
}

termination_ends_and_stores_it()
{
	local name=${MOUNTS[$MNT]} writer
	cat "$TMP/steps.py" - >"$TMP/program.py" <<-'END'
		file = begin('00b7')
		open(TMP + '/begun', 'w').close()
		time.sleep(1000)
	END
	python3 "$TMP/program.py" "$MNT" "$ROUTER" "$TMP" &
	writer=$!
	expect_within 20 test -e "$TMP/begun"
	stop_process "$name"
	kill -KILL "$writer"
	wait "$writer" || true
	unset "MOUNTS[$MNT]"
	expect_equal 8388608 "$(value_of 00b7 | wc -c)"
	mount_start
}

need_command python3 setfattr
cluster_start 2
FS_ARGS=(-o timeout=4)
mount_start
write_steps
CASES=(it_goes_out_meanwhile_and_shows_only_when_it_is_flushed
	what_is_set_before_it_is_closed_is_there_at_once
	copies_keep_time_and_labels
	whatever_is_not_in_order_is_stored_all_the_same
	fsync_in_the_middle_stores_what_is_there
	removing_and_renaming_end_it
	more_at_once_than_are_sent_at_once_are_all_stored
	a_writer_that_is_killed_leaves_what_it_wrote
	a_router_that_crashes_is_not_noticed
	nodes_that_crash_are_not_noticed
	what_could_not_be_sent_can_be_flushed_again
	termination_ends_and_stores_it)
run_cases "${CASES[@]}"
mount_stop
