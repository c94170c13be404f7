#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Names that are removed or replaced while files of theirs are open, while others write them
# elsewhere, and while a record that was moved aside is still stored under them.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

FS_ARGS=(-o timeout=1)
ROUNDS=4

# scene PYTHON: with what it may need.
scene()
{
	cat >"$TMP/scene.py" - <<-'END'
		import errno, os, signal, sys, threading, time, urllib.error, urllib.request
		MNT, ROUTER, NODE = sys.argv[1:4]
		PATIENCE = int(os.environ.get('HEXKV_PATIENCE', '1'))

		def path(name):
		    return MNT + '/' + name

		def elsewhere(method, key, data=None):
		    request = urllib.request.Request(ROUTER + '/kv/' + key, data, method=method)
		    urllib.request.urlopen(request, timeout=60).close()

		def ask(key):
		    try:
		        with urllib.request.urlopen(ROUTER + '/kv/' + key, timeout=60) as answer:
		            return answer.read()
		    except urllib.error.HTTPError as error:
		        return None if error.code == 404 else sys.exit('status %d' % error.code)

		def read(name):
		    with open(name, 'rb') as file:
		        return file.read()

		def expect(wanted, found, what):
		    if wanted != found:
		        sys.exit('%s: expected %r, found %r' % (what, wanted, found))

		def pause():
		    os.kill(int(NODE), signal.SIGSTOP)
		    while any(open('/proc/%s/task/%s/stat' % (NODE, task)).read().rsplit(')')[1].split()[0] != 'T'
		              for task in os.listdir('/proc/%s/task' % NODE)):
		        time.sleep(0.005)

		def go_on():
		    os.kill(int(NODE), signal.SIGCONT)

		def until(what, condition):
		    deadline = time.monotonic() + 30 * PATIENCE
		    while not condition():
		        if time.monotonic() > deadline:
		            sys.exit('not in time: ' + what)
		        time.sleep(0.01)

		def flush(fd):
		    os.close(os.dup(fd))
	END
	printf '%s\n' "$1" >>"$TMP/scene.py"
	timeout -s KILL $((120 * PATIENCE)) python3 "$TMP/scene.py" "$MNT" "$ROUTER" \
		"${PROCESSES[${NODE_NAMES[0]}]}" || fail 'see above'
}

# Who has it open writes to a file without a name, whichever version he opened.
what_was_removed_is_not_stored_again()
{
	scene '
for key in "00a0", "00a1":
    elsewhere("PUT", key, b"first")
    file = os.open(path(key), os.O_RDWR)
    elsewhere("PUT", key, b"second")
    if key == "00a0":
        expect(b"second", read(path(key)), "opened once more")
    os.unlink(path(key))
    os.pwrite(file, b"late", 0)
    flush(file)
    os.fsync(file)
    expect(b"late", os.pread(file, 100, 0)[:4], "what was written there")
    os.close(file)
    expect(None, ask(key), "what was removed")
    expect(False, os.path.exists(path(key)), "its name")
'
}

what_replaced_a_file_stays()
{
	scene '
for step in "temporary", "key", "away":
    elsewhere("PUT", "00a2", b"first")
    elsewhere("PUT", "00a3", b"other")
    file = os.open(path("00a2"), os.O_RDWR)
    elsewhere("PUT", "00a2", b"second")
    expect(b"second", read(path("00a2")), "opened once more")
    if step == "temporary":
        with open(path(".tmp1"), "wb") as other:
            other.write(b"other")
        os.rename(path(".tmp1"), path("00a2"))
    elif step == "key":
        os.rename(path("00a3"), path("00a2"))
    else:
        os.rename(path("00a2"), path("00a3"))
    os.pwrite(file, b"late", 0)
    os.close(file)
    expect(None if step == "away" else b"other", ask("00a2"), step)
'
}

# There may be a record by then, and it goes with the name.
removing_what_was_never_stored_removes_what_others_stored()
{
	scene '
file = os.open(path("00a4"), os.O_WRONLY | os.O_CREAT)
os.write(file, b"begun")
elsewhere("PUT", "00a4", b"stored")
os.unlink(path("00a4"))
os.close(file)
expect(None, ask("00a4"), "what was removed")
file = os.open(path("00a4"), os.O_WRONLY | os.O_CREAT)
os.write(file, b"begun")
os.unlink(path("00a4"))
os.close(file)
expect(None, ask("00a4"), "what was never stored")
'
}

# By its descriptor it is that file, whatever its name stands for.
an_open_file_can_be_opened_by_its_descriptor()
{
	scene '
def again(file, flags=os.O_RDONLY):
    return os.open("/proc/self/fd/%d" % file, flags)

for size in 5, 3000000:
    elsewhere("PUT", "00a5", b"1" * size)
    file = os.open(path("00a5"), os.O_RDONLY)
    elsewhere("PUT", "00a5", b"2" * size)
    expect(b"2" * size, read(path("00a5")), "the name")
    same = again(file)
    expect(b"1" * size, os.pread(same, size, 0), "what was replaced elsewhere")
    os.close(same)
    os.close(file)
    file = os.open(path("00a5"), os.O_RDWR)
    os.unlink(path("00a5"))
    for i in range(3):
        same = again(file)
        expect(b"2" * size, os.pread(same, size, 0), "what was removed")
        os.close(same)
    same = again(file, os.O_RDWR)
    os.pwrite(same, b"3", 0)
    os.close(same)
    expect(b"3", os.pread(file, 1, 0), "what was written by way of it")
    os.truncate("/proc/self/fd/%d" % file, 1)
    expect(1, os.fstat(file).st_size, "its size")
    os.close(file)
    expect(None, ask("00a5"), "what was removed")
'
}

# An editor moves the file aside and writes it anew; that fails, it removes what it began, and before
# it can put the old file back the mount dies.
what_was_moved_aside_outlives_the_mount()
{
	local i
	for ((i = 0; i < ROUNDS; i++)); do
		put 00a6 "kept $i" -H 'Content-Type: text/plain'
		scene "
APPLIED_FIRST = $((i % 2))"'
os.rename(path("00a6"), path("00a6~"))
file = os.open(path("00a6"), os.O_WRONLY | os.O_CREAT)
os.write(file, b"anew")
pause()
try:
    flush(file)
    sys.exit("flushed by a node that stands still")
except OSError as error:
    if error.errno not in (errno.ETIMEDOUT, errno.EIO):
        raise
if APPLIED_FIRST:
    go_on()
    until("the late flush", lambda: ask("00a6") == b"anew")
else:
    timer = threading.Timer(0.3, go_on)
    timer.start()

def removed():
    try:
        os.unlink(path("00a6"))
        return True
    except OSError as error:
        if error.errno not in (errno.ETIMEDOUT, errno.EIO):
            raise
until("the removal", removed)
os.close(file)
expect(False, os.path.exists(path("00a6")), "the name")
'
		mount_kill
		expect_equal "kept $i" "$(value_of 00a6)"
		expect_http 200 -I "$ROUTER/kv/00a6"
		expect_equal text/plain "$(header Content-Type)"
		mount_start
	done
}

need_command python3
cluster_start 1
mount_start
run_cases what_was_removed_is_not_stored_again what_replaced_a_file_stays \
	removing_what_was_never_stored_removes_what_others_stored \
	an_open_file_can_be_opened_by_its_descriptor what_was_moved_aside_outlives_the_mount
mount_stop
