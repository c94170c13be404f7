# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What every system test shares: a temporary directory, the real programs on free loopback ports, a
# real mount, and a clean end whatever happens. A test looks like this (tests/system/NAME_test.sh,
# listed in tests/system/meson.build):
#
#   #!/usr/bin/env bash
#   # SPDX-License-Identifier: MIT
#   # shellcheck source=tests/system/lib.sh
#   . "$(dirname "$0")/lib.sh"
#
#   a_key_that_is_not_hex_is_refused()
#   {
#           expect_http 400 "$ROUTER/kv/xyz"
#           expect_contains "$(cat "$BODY")" '"request_id"'
#   }
#
#   cluster_start 2                  # two shards of one node each, and a router
#   mount_start                      # skips the whole test (77) without /dev/fuse
#   run_cases a_key_that_is_not_hex_is_refused
#
# The first failure ends the file; the end of the shell, however it comes, unmounts, ends every
# process by pid and removes the directory. A daemon that does not end with 0 on SIGTERM, or whose
# log holds a sanitizer's report, fails the test too.
#
# Environment: HEXKV_BUILD (build directory, default build/), HEXKV_KEEP=1 (keep the directory),
# HEXKV_PATIENCE (factor for all deadlines, default 1), HEXKV_LONG=1 (long variants).
#
# Clusters made by scripts/hexkv: hexkv_up NAME [OPTIONS...] makes one in $TMP/NAME on free ports.
#
# Variables for tests: TMP, BUILD, NODE_BIN, ROUTER_BIN, FS_BIN; after cluster_start ROUTER (URL),
# ROUTER_PORT, CLUSTER (file), NODE_URLS[] and NODE_NAMES[]; after mount_start MNT; after http or
# expect_http STATUS, BODY (file), HEADERS (file).

set -eEuo pipefail
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export LC_ALL=C.UTF-8
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

SOURCE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$(cd "${HEXKV_BUILD:-$SOURCE_ROOT/build}" && pwd)
NODE_BIN=$BUILD/node/hexkv-node
ROUTER_BIN=$BUILD/router/hexkv-router
# shellcheck disable=SC2034 # for tests
FS_BIN=$BUILD/fs/hexkv-fs
PATIENCE=${HEXKV_PATIENCE:-1}

TMP=$(mktemp -d "${TMPDIR:-/tmp}/hexkv-test.XXXXXX")
BODY=$TMP/body
HEADERS=$TMP/headers
mkdir "$TMP/log"

# Extra arguments for the programs; set before they are started.
NODE_ARGS=()
ROUTER_ARGS=()
FS_ARGS=()

NODE_URLS=()
NODE_NAMES=()
declare -A PROCESSES=() # name -> pid of what start_process() started and nobody ended yet
declare -A MOUNTS=()    # mount point -> name of its process
CLUSTER_DIRS=()         # of clusters made by scripts/hexkv
SMALL_DISKS=()          # mount points of small_disk()
CASE='(set-up)'

# ---- reporting -----------------------------------------------------------------------------------

# fail SENTENCE: ends the test as failed, saying where. It is said again behind the logs, as the end
# is what is left of a long output.
fail()
{
	local depth=0 frame
	{
		printf 'FAILED in %s: %s\n' "$CASE" "$*"
		while frame=$(caller "$depth"); do
			printf '  at %s\n' "$frame"
			depth=$((depth + 1))
		done
	} | tee -a "$TMP/failure" >&2
	exit 1
}

# What ends the shell by set -e says nothing by itself.
LAST_ERROR=
trap 'LAST_ERROR="$BASH_COMMAND ended with $? at line $LINENO of ${BASH_SOURCE[0]##*/}"' ERR

show_failure()
{
	if [[ -s $TMP/failure ]]; then
		head -c 4000 "$TMP/failure"
	else
		printf 'FAILED in %s: status %d; %s\n' "$CASE" "$1" "$LAST_ERROR"
	fi
}

# skip SENTENCE: ends the test as skipped.
skip()
{
	printf 'SKIPPED: %s\n' "$*"
	exit 77
}

# run_cases FUNCTION...: runs each, named in the report by its function's name.
run_cases()
{
	for CASE in "$@"; do
		"$CASE"
		printf 'ok %s\n' "${CASE//_/ }"
	done
	CASE='(tear-down)'
}

need_command()
{
	local name
	for name in "$@"; do
		command -v "$name" >/dev/null || skip "$name is not installed"
	done
}

# ---- waiting -------------------------------------------------------------------------------------

# wait_until SECONDS COMMAND...: polls until COMMAND succeeds; false after the deadline.
wait_until()
{
	local deadline=$((SECONDS + $1 * PATIENCE + 1))
	shift
	until "$@"; do
		((SECONDS < deadline)) || return 1
		sleep 0.02
	done
}

# expect_within SECONDS COMMAND...: the same, and fails the test after the deadline.
expect_within()
{
	wait_until "$@" || fail "not within $1 s: ${*:2}"
}

# ---- ports ---------------------------------------------------------------------------------------

port_is_taken()
{
	[[ -n $(ss -Hltn "sport = :$1") ]]
}

# free_ports: PORT_BASE is the first of 16 consecutive ports that nobody listens on, below the range
# of outgoing connections. The lock on the block is inherited by what is started here, so two tests
# never pick the same one.
free_ports()
{
	local directory=${TMPDIR:-/tmp}/hexkv-test-ports.$UID attempt base port lock
	mkdir -p "$directory"
	for ((attempt = 0; attempt < 500; attempt++)); do
		base=$((10000 + RANDOM % 1300 * 16))
		exec {lock}>"$directory/$base"
		if flock -n "$lock"; then
			for ((port = base; port < base + 16; port++)); do
				! port_is_taken "$port" || continue 2
			done
			PORT_BASE=$base
			return
		fi
		exec {lock}>&-
	done
	fail "no free ports found"
}

# ---- processes -----------------------------------------------------------------------------------

# start_process NAME COMMAND...: in the background, standard error and output to $TMP/log/NAME.
start_process()
{
	local name=$1
	shift
	"$@" </dev/null >>"$TMP/log/$name" 2>&1 &
	PROCESSES[$name]=$!
}

# A child that ended stays a zombie or is gone; either way it does not run.
process_runs()
{
	local state
	state=$(sed 's/.*) //; s/ .*//' "/proc/${PROCESSES[$1]:-0}/stat" 2>/dev/null) || return 1
	[[ -n $state && $state != Z ]]
}

process_ended()
{
	! process_runs "$1"
}

# end_process NAME [SIGNAL]: sends it (default TERM), waits, puts the exit status in PROCESS_STATUS.
end_process()
{
	local name=$1 signal=${2:-TERM} pid=${PROCESSES[$1]:-}
	[[ -n $pid ]] || return 0
	unset "PROCESSES[$name]"
	kill "-$signal" "$pid" 2>/dev/null || true
	PROCESSES[ending]=$pid
	if ! wait_until 20 process_ended ending; then
		kill -KILL "$pid" 2>/dev/null || true
		unset 'PROCESSES[ending]'
		fail "$name (pid $pid) did not end on SIG$signal"
	fi
	unset 'PROCESSES[ending]'
	PROCESS_STATUS=0
	wait "$pid" || PROCESS_STATUS=$?
}

# stop_process NAME: SIGTERM, and the daemon must end with 0.
stop_process()
{
	end_process "$1"
	[[ ${PROCESS_STATUS:-0} == 0 ]] || fail "$1 ended with $PROCESS_STATUS: $(tail -3 "$TMP/log/$1")"
}

# finish_process NAME: it ends by itself, with 0.
finish_process()
{
	expect_within 30 process_ended "$1"
	stop_process "$1"
}

# kill_process NAME: as a crash would.
kill_process()
{
	end_process "$1" KILL
}

all_threads_stopped()
{
	! awk '{ sub(/.*\) /, ""); print $1 }' /proc/"$1"/task/*/stat | grep -qv T
}

# pause_process NAME: until continue_process. The signal is only on its way when kill(1) returns, so
# this waits until no thread of the process runs.
pause_process()
{
	kill -STOP "${PROCESSES[$1]}"
	expect_within 10 all_threads_stopped "${PROCESSES[$1]}"
}

continue_process()
{
	kill -CONT "${PROCESSES[$1]}"
}

is_sanitized()
{
	grep -qaE '__(asan|tsan)_init' "$ROUTER_BIN"
}

# expect_peak_below NAME KIB: the most memory that the process ever had resident. A sanitizer needs
# several times as much and keeps what was freed: then it is only shown.
expect_peak_below()
{
	local peak
	peak=$(awk '/^VmHWM:/ { print $2 }' "/proc/${PROCESSES[$1]}/status")
	printf '  %s: %d KiB resident at most\n' "$1" "$peak"
	((peak < $2)) || is_sanitized || fail "$1 had $peak KiB resident, not below $2"
}

is_ready()
{
	curl -fsS -m 2 -o /dev/null "$1/health/ready" 2>/dev/null
}

is_ready_or_ended()
{
	is_ready "$2" || process_ended "$1"
}

# wait_ready NAME URL: until the process NAME answers there that it is ready.
wait_ready()
{
	if ! wait_until 20 is_ready_or_ended "$1" "$2" || process_ended "$1"; then
		tail -20 "$TMP/log/$1" >&2
		fail "$1 did not become ready at $2"
	fi
}

# ---- cluster -------------------------------------------------------------------------------------

# write_cluster_file SHARDS FIRST_PORT: one node a shard, ports in order; fills NODE_URLS, NODE_NAMES.
write_cluster_file()
{
	local shards=$1 port=$2 i separator='' first last
	NODE_URLS=()
	NODE_NAMES=()
	CLUSTER=$TMP/cluster.json
	{
		printf '{"cluster": "test", "shards": ['
		for ((i = 0; i < shards; i++)); do
			first=$((4096 * i / shards))
			last=$((4096 * (i + 1) / shards - 1))
			NODE_NAMES+=("s${i}a")
			NODE_URLS+=("http://127.0.0.1:$((port + i))")
			printf '%s\n {"name": "s%d", "slots": [[%d, %d]], "leader": "s%da",' \
				"$separator" "$i" "$first" "$last" "$i"
			printf ' "nodes": [{"name": "s%da", "url": "%s"}]}' "$i" "${NODE_URLS[i]}"
			separator=,
		done
		printf ']}\n'
	} >"$CLUSTER"
}

# cluster_start [SHARDS]: nodes and router on free ports; returns when all are ready.
cluster_start()
{
	free_ports
	ROUTER_PORT=$PORT_BASE
	ROUTER=http://127.0.0.1:$ROUTER_PORT
	write_cluster_file "${1:-2}" $((PORT_BASE + 1))
	nodes_start
	router_start
}

node_start()
{
	local name=${NODE_NAMES[$1]} url=${NODE_URLS[$1]}
	start_process "$name" "$NODE_BIN" --data "$TMP/data-$name" --listen "${url#http://}" \
		--cluster "$CLUSTER" --name "$name" "${NODE_ARGS[@]}"
}

# nodes_start: all nodes of the cluster file that do not run, and waits for them.
nodes_start()
{
	local i
	for i in "${!NODE_NAMES[@]}"; do
		process_runs "${NODE_NAMES[i]}" || node_start "$i"
	done
	for i in "${!NODE_NAMES[@]}"; do
		wait_ready "${NODE_NAMES[i]}" "${NODE_URLS[i]}"
	done
}

router_start()
{
	start_process router "$ROUTER_BIN" --listen "127.0.0.1:$ROUTER_PORT" --cluster "$CLUSTER" \
		"${ROUTER_ARGS[@]}"
	wait_ready router "$ROUTER"
}

# ---- mount ---------------------------------------------------------------------------------------

# Asks the kernel's table, never the file system: a dead or stuck mount would hang or err.
is_mounted()
{
	local path
	while read -r _ _ _ _ path _; do
		[[ $(printf '%b' "$path") != "$1" ]] || return 0
	done </proc/self/mountinfo
	return 1
}

is_not_mounted()
{
	! is_mounted "$1"
}

is_mounted_or_ended()
{
	is_mounted "$2" || process_ended "$1"
}

need_fuse()
{
	[[ -c /dev/fuse && -r /dev/fuse && -w /dev/fuse ]] || skip "/dev/fuse is missing"
}

# mount_start [NAME]: hexkv-fs on $TMP/NAME (default mnt), which becomes MNT.
mount_start()
{
	local name=${1:-mnt}
	need_fuse
	MNT=$TMP/$name
	mkdir -p "$MNT"
	start_process "fs-$name" "$FS_BIN" "$ROUTER" "$MNT" -f "${FS_ARGS[@]}"
	MOUNTS[$MNT]=fs-$name
	if ! wait_until 20 is_mounted_or_ended "fs-$name" "$MNT" || process_ended "fs-$name"; then
		tail -20 "$TMP/log/fs-$name" >&2
		fail "$MNT was not mounted"
	fi
}

# mount_stop [MOUNTPOINT]: unmounts (default MNT) and expects that the program ends with 0.
mount_stop()
{
	local mountpoint=${1:-$MNT} name
	name=${MOUNTS[$mountpoint]}
	fusermount3 -u "$mountpoint" || fail "$mountpoint can not be unmounted"
	unset "MOUNTS[$mountpoint]"
	expect_within 20 process_ended "$name"
	stop_process "$name"
}

# mount_kill [MOUNTPOINT]: the program dies as in a crash; the dead mount is taken off.
mount_kill()
{
	local mountpoint=${1:-$MNT}
	kill_process "${MOUNTS[$mountpoint]}"
	unset "MOUNTS[$mountpoint]"
	fusermount3 -u -z "$mountpoint" 2>/dev/null || true
	expect_within 10 is_not_mounted "$mountpoint"
}

# ---- scripts/hexkv ------------------------------------------------------------------------------

hexkv()
{
	HEXKV_BUILD=$BUILD "$SOURCE_ROOT/scripts/hexkv" "$@" </dev/null
}

# hexkv_up NAME [OPTIONS...]: scripts/hexkv up in $TMP/NAME, on free ports unless --port is given;
# sets ROUTER and MNT, and OUTPUT to what it printed.
hexkv_up()
{
	local directory=$TMP/$1
	shift
	CLUSTER_DIRS+=("$directory")
	if [[ ! -e $directory/hexkv.conf && " $* " != *' --port '* ]]; then
		free_ports
		set -- --port "$PORT_BASE" "$@"
	fi
	OUTPUT=$(hexkv up --dir "$directory" "$@" 2>"$TMP/up-error") ||
		fail "up ended with $?: $(cat "$TMP/up-error")"
	ROUTER=http://127.0.0.1:$(sed -n 's/^port=//p' "$directory/hexkv.conf")
	MNT=$(sed -n 's/^mount=//p' "$directory/hexkv.conf")
}

# member_pids NAME [MEMBER...]: of the cluster in $TMP/NAME, all if none is named.
member_pids()
{
	local directory=$TMP/$1/run member
	shift
	if (($# == 0)); then
		cut -d ' ' -f 1 "$directory"/*.pid
		return
	fi
	for member in "$@"; do
		cut -d ' ' -f 1 "$directory/$member.pid"
	done
}

pid_is_gone()
{
	local state
	state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) || return 0
	[[ -z $state || $state == Z ]]
}

# kill_members NAME [MEMBER...]: as a crash would.
kill_members()
{
	local pid
	for pid in $(member_pids "$@"); do
		kill -KILL "$pid"
		expect_within 10 pid_is_gone "$pid"
	done
}

# small_disk DIRECTORY SIZE: a file system of that size is mounted there.
small_disk()
{
	((EUID == 0)) || skip 'only root can mount a small disk'
	mkdir -p "$1"
	mount -t tmpfs -o "size=$2,mode=700" hexkv-test "$1" 2>/dev/null ||
		skip 'a small disk can not be mounted here'
	SMALL_DISKS+=("$1")
}

# ---- HTTP ----------------------------------------------------------------------------------------

# http CURL-ARGUMENTS...: STATUS (000: no answer), the body in the file BODY, headers in HEADERS.
http()
{
	rm -f "$BODY" "$HEADERS"
	touch "$BODY" "$HEADERS"
	STATUS=$(curl -sS -m $((60 * PATIENCE)) -o "$BODY" -D "$HEADERS" -w '%{http_code}' "$@" \
		2>"$TMP/curl-error") || true
}

# expect_http STATUS CURL-ARGUMENTS...
expect_http()
{
	local expected=$1
	shift
	http "$@"
	[[ $STATUS == "$expected" ]] ||
		fail "expected $expected, got $STATUS for: curl $*; $(cat "$TMP/curl-error")" \
			"$(head -c 500 "$BODY")"
}

# header NAME: its value in the last answer, empty if it is not there.
header()
{
	awk -v name="${1,,}:" 'tolower($1) == name { sub(/^[^:]*: */, ""); sub(/\r$/, ""); print }' \
		"$HEADERS" | tail -1
}

# body_json FILTER: of the last answer, by jq; raw strings.
body_json()
{
	jq -r "$1" "$BODY"
}

# ---- assertions ----------------------------------------------------------------------------------

# expect_equal EXPECTED ACTUAL [WHAT]
expect_equal()
{
	[[ $1 == "$2" ]] || fail "${3:-values differ}: expected '$1', got '$2'"
}

# expect_contains TEXT PART
expect_contains()
{
	[[ $1 == *"$2"* ]] || fail "expected '$2' in '$1'"
}

expect_same_file()
{
	cmp "$1" "$2" || fail "$1 and $2 differ"
}

# expect_exit STATUS COMMAND...: standard output and error go to OUTPUT.
expect_exit()
{
	local expected=$1 status=0
	shift
	OUTPUT=$("$@" 2>&1 </dev/null) || status=$?
	[[ $status == "$expected" ]] || fail "expected exit $expected, got $status from: $*; $OUTPUT"
}

# expect_sentence STATUS PART COMMAND...: ends with it, says PART, and says it in one line.
expect_sentence()
{
	local status=$1 part=$2
	shift 2
	expect_exit "$status" timeout $((20 * PATIENCE)) "$@"
	expect_contains "$OUTPUT" "$part"
	expect_equal 1 "$(wc -l <<<"$OUTPUT")" "lines of '$OUTPUT'"
}

# ---- the end -------------------------------------------------------------------------------------

# Those that a test made by itself too.
unmount_all()
{
	local mountpoint type
	while read -r _ mountpoint type _; do
		mountpoint=$(printf '%b' "$mountpoint")
		[[ $mountpoint == "$TMP"/* && $type == fuse* ]] || continue
		fusermount3 -u "$mountpoint" 2>/dev/null || fusermount3 -u -z "$mountpoint" 2>/dev/null ||
			umount -l "$mountpoint" 2>/dev/null || true
		unset "MOUNTS[$mountpoint]"
	done </proc/mounts
}

# Ends what still runs. Prints what did not end well.
end_all()
{
	local name pid status deadline=$((SECONDS + 20 * PATIENCE))
	for name in "${!PROCESSES[@]}"; do
		kill -TERM "${PROCESSES[$name]}" 2>/dev/null || true
	done
	for name in "${!PROCESSES[@]}"; do
		pid=${PROCESSES[$name]}
		while process_runs "$name" && ((SECONDS < deadline)); do
			sleep 0.02
		done
		if process_runs "$name"; then
			kill -KILL "$pid" 2>/dev/null || true
			printf '%s (pid %s) did not end on SIGTERM\n' "$name" "$pid"
		fi
		status=0
		wait "$pid" 2>/dev/null || status=$?
		((status == 0 || status == 137)) || printf '%s ended with %d\n' "$name" "$status"
	done
}

sanitizer_reports()
{
	grep -lE 'ERROR: (Address|Leak)Sanitizer|ThreadSanitizer: |runtime error: |Assertion .* failed' \
		"$TMP"/log/* "$TMP"/*/log/*.log 2>/dev/null || true
}

end_clusters()
{
	local directory
	for directory in "${CLUSTER_DIRS[@]}"; do
		[[ -e $directory/hexkv.conf ]] || continue
		hexkv down --force --dir "$directory" >"$TMP/down-output" 2>&1 || cat "$TMP/down-output"
	done
}

show_logs()
{
	local file
	for file in "$TMP"/log/* "$TMP"/*/log/*.log; do
		[[ -s $file ]] || continue
		printf -- '---- %s (end)\n' "$file"
		tail -n 40 "$file" | cut -b 1-500 | tr -cd "\11\12\40-\176"
	done
}

finish()
{
	local status=$? complaints disk
	trap - EXIT INT TERM HUP ERR
	set +e
	cd /
	end_clusters >"$TMP/complaints"
	unmount_all
	{
		end_all
		sanitizer_reports
	} >>"$TMP/complaints"
	complaints=$(<"$TMP/complaints")
	for disk in "${SMALL_DISKS[@]}"; do
		umount "$disk" || umount -l "$disk"
	done
	if [[ -n $complaints && $status != 1 ]]; then
		printf 'FAILED at the end: %s\n' "$complaints" | tee -a "$TMP/failure"
		status=1
	fi
	if ((status != 0 && status != 77)); then
		show_logs
		show_failure "$status"
	fi
	if [[ -n ${HEXKV_KEEP:-} ]]; then
		printf 'kept %s\n' "$TMP"
	else
		# A mount that is still there must not have its records deleted.
		rm -rf --one-file-system "$TMP"
	fi
	exit "$status"
} >&2

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
