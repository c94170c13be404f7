#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A node stands still with a write in its sockets, the program that wrote is told so and writes
# something else: whatever the node finds first once it goes on, what was acknowledged stays.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

FS_ARGS=(-o timeout=1)
ROUNDS=20
SEED=${SEED:-$RANDOM}

write_steps()
{
	cat >"$TMP/steps.py" <<-'END'
		import errno, os, random, signal, sys, threading, time, urllib.error, urllib.request
		MNT, ROUTER, NODE, SEED, ROUNDS = sys.argv[1:4] + [int(n) for n in sys.argv[4:]]
		PATIENCE = int(os.environ.get('HEXKV_PATIENCE', '1'))
		SIZES = [5, 60_000, 100_000, 6 << 20]
		random.seed(SEED)

		# As close(2) does it.
		def flush(fd):
		    try:
		        os.close(os.dup(fd))
		        return 0
		    except OSError as error:
		        return error.errno

		def pause():
		    os.kill(int(NODE), signal.SIGSTOP)
		    while any(open('/proc/%s/task/%s/stat' % (NODE, task)).read().rsplit(')')[1].split()[0] != 'T'
		              for task in os.listdir('/proc/%s/task' % NODE)):
		        time.sleep(0.005)

		def go_on():
		    os.kill(int(NODE), signal.SIGCONT)

		def ask(key):
		    try:
		        with urllib.request.urlopen(ROUTER + '/kv/' + key, timeout=60) as answer:
		            return answer.read()
		    except urllib.error.HTTPError as error:
		        return None if error.code == 404 else sys.exit('status %d' % error.code)

		def content(size):
		    return random.randbytes(size)

		# Until the flush succeeds: that is what a program that cares does.
		def flush_at_last(fd):
		    deadline = time.monotonic() + 60 * PATIENCE
		    while (error := flush(fd)):
		        if time.monotonic() > deadline:
		            sys.exit('never stored: ' + os.strerror(error))

		def write_twice(key, size):
		    fd = os.open(MNT + '/' + key, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
		    os.write(fd, content(size))
		    time.sleep(0.1 if size > 1 << 20 else 0)  # some of it is on its way
		    pause()
		    error = flush(fd)
		    if error not in (errno.ETIMEDOUT, errno.EIO):
		        sys.exit('flushed by a node that stands still: %d' % error)
		    os.ftruncate(fd, 0)
		    second = content(random.choice([size, 7]))
		    os.pwrite(fd, second, 0)
		    waiting = threading.Thread(target=flush_at_last, args=[fd])
		    waiting.start()
		    time.sleep(random.random() * 0.8)
		    go_on()
		    waiting.join()
		    if ask(key) != second:
		        sys.exit('lost: %s of %d bytes' % (key, size))
		    os.close(fd)
		    return second

		def write_and_remove(key):
		    fd = os.open(MNT + '/' + key, os.O_RDWR | os.O_CREAT, 0o644)
		    os.write(fd, content(5))
		    pause()
		    flush(fd)
		    timer = threading.Timer(0.3, go_on)
		    timer.start()
		    while True:
		        try:
		            os.unlink(MNT + '/' + key)
		            break
		        except OSError as error:
		            if error.errno not in (errno.ETIMEDOUT, errno.EIO):
		                raise
		    timer.join()
		    if ask(key) is not None:
		        sys.exit('removed and still there: ' + key)
		    os.close(fd)

		expected = {}
		if ROUNDS == 0:
		    write_and_remove('fe00')
		    time.sleep(0.2)
		    expected['fe00'] = None
		for i in range(ROUNDS):
		    expected['fe%02x' % (i % 7)] = write_twice('fe%02x' % (i % 7), SIZES[i % len(SIZES)])
		for key, value in expected.items():
		    if ask(key) != value:
		        sys.exit('lost in the end: ' + key)
	END
}

run_steps()
{
	timeout -s KILL $((200 * PATIENCE)) python3 "$TMP/steps.py" "$MNT" "$ROUTER" \
		"${PROCESSES[${NODE_NAMES[0]}]}" "$SEED" "$1" || fail "seed $SEED"
}

what_was_acknowledged_is_not_replaced_by_what_was_given_up()
{
	run_steps "$ROUNDS"
}

what_was_removed_does_not_come_back()
{
	run_steps 0
}

need_command python3
write_steps
cluster_start 1
mount_start
run_cases what_was_acknowledged_is_not_replaced_by_what_was_given_up \
	what_was_removed_does_not_come_back
mount_stop
