#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Programs that wait for a router that hangs end at once when they are told to, however many wait.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

FS_ARGS=(-o timeout=60)
OPERATIONS=(open create exclusive read write close fsync stat list unlink rename rename-temporary
	truncate touch setxattr getxattr map)

# One operation on the mount: prepares, says so, waits for the word, and does it.
cat >"$TMP/operation.py" <<'END'
import mmap, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
mount, name, number, ready, go = sys.argv[1:]
key = '%s/%s' % (mount, number)
flags = {'write': os.O_RDWR, 'close': os.O_RDWR, 'fsync': os.O_RDWR}
if name in ('read', 'write', 'close', 'fsync', 'map'):
    file = os.open(key, flags.get(name, os.O_RDONLY))
if name in ('close', 'fsync'):
    os.pwrite(file, b'changed', 100)
if name == 'rename-temporary':
    temporary = os.open(mount + '/.tmp-' + number, os.O_CREAT | os.O_WRONLY)
    os.write(temporary, b'new')
open('%s/%s' % (ready, number), 'w').close()
os.read(os.open(go, os.O_RDONLY), 1)
def write_much():
    # Writing itself needs nothing of the router: storing does.
    os.pwrite(file, b'x' * 100, 5)
    os.close(file)
{
    'open': lambda: os.open(key, os.O_RDONLY),
    'create': lambda: os.close(os.open(key + 'ff', os.O_CREAT | os.O_WRONLY)),
    'exclusive': lambda: os.open(key + 'fe', os.O_CREAT | os.O_WRONLY | os.O_EXCL),
    'read': lambda: os.pread(file, 1000, 1500000),
    'write': write_much,
    'close': lambda: os.close(file),
    'fsync': lambda: os.fsync(file),
    'stat': lambda: os.stat(key),
    'list': lambda: os.listdir(mount),
    'unlink': lambda: os.unlink(key),
    'rename': lambda: os.rename(key, key + 'aa'),
    'rename-temporary': lambda: os.rename(mount + '/.tmp-' + number, key),
    'truncate': lambda: os.truncate(key, 7),
    'touch': lambda: os.utime(key),
    'setxattr': lambda: os.setxattr(key, 'user.encoding', b'none'),
    'getxattr': lambda: os.getxattr(key, 'user.encoding'),
    'map': lambda: mmap.mmap(file, 0, prot=mmap.PROT_READ)[1200000],
}[name]()
END

# start_operation NAME NUMBER
start_operation()
{
	start_process "$1-$2" python3 "$TMP/operation.py" "$MNT" "$1" "$2" "$TMP/ready" "$TMP/go"
	STARTED+=("$1-$2")
	expect_within 30 test -e "$TMP/ready/$2"
}

# The kernel's function in which it waits: for the answer to its request, for a page, or for the
# directory that another one has locked while it waits for its own.
waits_for_the_mount()
{
	local at
	at=$(cat "/proc/${PROCESSES[$1]}/wchan")
	[[ $at =~ request_wait_answer|folio|path_openat|walk_component|iterate_dir|do_.*at ]]
}

# end_operations SIGNAL: all that were started, at once.
end_operations()
{
	local name began=$SECONDS
	for name in "${STARTED[@]}"; do
		kill "-$1" "${PROCESSES[$name]}"
	done
	for name in "${STARTED[@]}"; do
		expect_within 20 process_ended "$name"
		wait "${PROCESSES[$name]}" || true
		unset "PROCESSES[$name]"
	done
	((SECONDS - began < 40 * PATIENCE)) || fail "took $((SECONDS - began)) s"
}

begin()
{
	exec 6>&- || true
	rm -rf "$TMP/ready" "$TMP/go"
	mkdir "$TMP/ready"
	mkfifo "$TMP/go"
	exec 6<>"$TMP/go"
	STARTED=()
}

# What the kernel and the mount may answer without the router is forgotten after a second.
forget()
{
	local end=$((SECONDS + 3))
	wait_until 10 eval "((SECONDS >= $end))"
}

# A byte for each.
go()
{
	printf '%*s' "${#STARTED[@]}" '' >&6
}

let_go()
{
	forget
	pause_process router
	go
}

each_operation_ends_on() # SIGNAL
{
	local number=10 name
	begin
	for name in "${OPERATIONS[@]}"; do
		number=$((number + 1))
		http -X PUT --data-binary "@$TMP/large" "$ROUTER/kv/00$number"
		start_operation "$name" "00$number"
	done
	let_go
	for name in "${STARTED[@]}"; do
		expect_within 20 waits_for_the_mount "$name"
	done
	end_operations "$1"
	continue_process router
}

each_operation_can_be_interrupted()
{
	each_operation_ends_on INT
}

each_operation_can_be_killed()
{
	each_operation_ends_on KILL
}

# More than the mount has threads.
a_crowd_that_waits_can_be_killed()
{
	local number
	begin
	for ((number = 1000; number < 1000 + CROWD; number++)); do
		put "$number" x
		STARTED+=("crowd-$number")
		start_process "crowd-$number" sh -c "head -c 1 <'$TMP/go'; exec cat '$MNT/$number'"
	done
	pause_process router
	go
	for number in "${STARTED[@]}"; do
		expect_within 30 waits_for_the_mount "$number"
	done
	end_operations KILL
	continue_process router
	expect_equal x "$(cat "$MNT/1000")"
}

# Ten times as many as the mount has threads: those that wait for a thread wait for the router.
a_crowd_is_told_in_time_that_the_router_hangs()
{
	local took
	mount_stop
	FS_ARGS=(-o timeout=4)
	mount_start
	pause_process router
	took=$(
		python3 - "$MNT" <<-'END'
			import errno, os, sys, threading, time
			results = []
			def look(number):
			    try:
			        os.stat('%s/%04x' % (sys.argv[1], number))
			    except OSError as e:
			        results.append(e.errno)
			began = time.monotonic()
			threads = [threading.Thread(target=look, args=(i,)) for i in range(640)]
			for thread in threads: thread.start()
			for thread in threads: thread.join()
			if results != [errno.ETIMEDOUT] * 640: sys.exit(str(results))
			print(int(time.monotonic() - began))
		END
	)
	continue_process router
	((took < 20 * PATIENCE)) || fail "took $took s"
}

need_command python3
CROWD=100
[[ -z ${HEXKV_LONG:-} ]] || CROWD=500
cluster_start 2
mount_start
random_file "$TMP/large" 2000000
run_cases each_operation_can_be_interrupted each_operation_can_be_killed \
	a_crowd_that_waits_can_be_killed a_crowd_is_told_in_time_that_the_router_hangs
mount_stop
