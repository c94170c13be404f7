#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A router that lies, babbles or says nothing (tests/support/hostile_router.c has all its ways): each
# call ends in time, with an error or with the right answer, and the mount stays alive and small.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

HOSTILE=$BUILD/tests/support/hostile_router
# Some calls wait twice: for frames, then for HTTP. What takes longer than this hangs.
CALL_S=$((20 * PATIENCE))
# 64 threads and their connections need some MiB.
MEMORY_KIB=$((64 * 1024))
AT_ONCE=8
CALLS=(small large list stat write space)
declare -A TRYING=()
FS_ARGS=(-o "timeout=1,staging=$TMP")

letters()
{
	head -c "$1" < <(yes abcdefghijklmnopqrstuvwxyz 2>/dev/null | tr -d '\n')
}

router_prints_its_port()
{
	[[ -s $TMP/log/hostile-$1 ]]
}

hostile_start()
{
	start_process "hostile-$1" "$HOSTILE" "$1"
	expect_within 10 router_prints_its_port "$1"
	ROUTER=http://127.0.0.1:$(<"$TMP/log/hostile-$1")
}

# try CALL COMMAND...: its output and status to files in the directory $SEEN.
try()
{
	local call=$1 status=0
	shift
	timeout -k 5 "$CALL_S" "$@" >"$SEEN/$call" 2>"$SEEN/$call.error" </dev/null || status=$?
	printf '%d\n' "$status" >"$SEEN/$call.status"
}

# try_all: on MNT, at the same time.
try_all()
{
	local pid pids=()
	try small cat "$MNT/aa" &
	pids+=($!)
	try large cat "$MNT/bb" &
	pids+=($!)
	try list ls -f "$MNT" &
	pids+=($!)
	try stat stat -c %s "$MNT/aa" "$MNT/bb" &
	pids+=($!)
	# shellcheck disable=SC2016
	try write sh -c 'echo new >"$1"' sh "$MNT/cc" &
	pids+=($!)
	try space df "$MNT" &
	pids+=($!)
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
}

status_of()
{
	cat "$SEEN/$1.status"
}

expect_all_ended()
{
	local call
	for call in "${CALLS[@]}"; do
		(($(status_of "$call") < 124)) || fail "$1: $call did not end: $(<"$SEEN/$call.error")"
	done
}

# Bytes that were read are right as far as they came, in any case.
expect_right_or_error()
{
	local call
	for call in small large; do
		cmp -n "$(stat -c %s "$SEEN/$call")" "$SEEN/$call" "$TMP/$call" ||
			fail "$1: $call was read wrong"
		[[ $(status_of "$call") != 0 ]] || cmp "$SEEN/$call" "$TMP/$call" ||
			fail "$1: $call was read in part"
	done
	# The largest size there is can't be told from a right one.
	if [[ $(status_of stat) == 0 && $1 != size-2-63-1 ]]; then
		expect_equal $'12\n3000000' "$(<"$SEEN/stat")" "sizes of $1"
	fi
	if [[ $(status_of list) == 0 ]]; then
		expect_equal $'.\n..\naa\nbb' "$(grep -v '^cc$' "$SEEN/list" | sort)" "names of $1"
	fi
}

# expect_errors WAY CALL...: these can't be right.
expect_errors()
{
	local way=$1 call
	shift
	for call in "$@"; do
		[[ $(status_of "$call") != 0 ]] || fail "$way: $call succeeded: $(head -c 200 "$SEEN/$call")"
	done
}

expect_success()
{
	local way=$1 call
	shift
	for call in "$@"; do
		[[ $(status_of "$call") == 0 ]] || fail "$way: $call failed: $(<"$SEEN/$call.error")"
	done
}

check_calls()
{
	expect_success "$1" space
	case $1 in
	none | frames-elsewhere | status-* | body-long)
		expect_success "$1" "${CALLS[@]}"
		;;
	garbage | closing | silence | *-without-end | *-in-drops | *-for-ever | frames-*)
		expect_errors "$1" small large list stat write
		;;
	body-short | body-endless | not-modified | etag-* | size-*) expect_errors "$1" small large ;;
	range-shifted | version-other) expect_errors "$1" large ;;
	listing-*) expect_errors "$1" list ;;
	esac
}

# begin WAY: the mount comes while others come. So does what is tried on it, with go().
begin()
{
	MNT=$TMP/$1
	mkdir "$MNT" "$MNT.seen"
	hostile_start "$1"
	start_process "fs-$1" "$FS_BIN" "$ROUTER" "$MNT" -f "${FS_ARGS[@]}"
	MOUNTS[$MNT]=fs-$1
}

go()
{
	MNT=$TMP/$1 SEEN=$TMP/$1.seen
	expect_within 20 is_mounted "$MNT"
	try_all &
	TRYING[$1]=$!
}

finish_with()
{
	MNT=$TMP/$1 SEEN=$TMP/$1.seen
	process_runs "fs-$1" || fail "the mount of $1 has ended"
	expect_peak_below "fs-$1" "$MEMORY_KIB"
	mount_stop
	stop_process "hostile-$1"
}

# What moves is waited for, however slowly, and the kernel makes who creates a name wait for who looks
# one up: but all of them can be interrupted.
a_trickle_can_be_interrupted()
{
	local call
	begin body-trickle
	CALL_S=3 go body-trickle
	wait "${TRYING[body-trickle]}"
	for call in "${CALLS[@]}"; do
		(($(status_of "$call") <= 124)) || fail "$call can't be interrupted"
	done
	expect_success body-trickle space
	finish_with body-trickle
}

# all_of WAY...: at the same time, as they wait most of it.
all_of()
{
	local way
	for way in "$@"; do
		begin "$way"
	done
	for way in "$@"; do
		go "$way"
	done
	for way in "$@"; do
		wait "${TRYING[$way]}"
		SEEN=$TMP/$way.seen
		expect_all_ended "$way"
		expect_right_or_error "$way"
		check_calls "$way"
		finish_with "$way"
	done
}

each_misbehaviour_ends_in_errors_or_right_answers()
{
	local ways i
	mapfile -t ways < <("$HOSTILE" --list | grep -v '^body-trickle$')
	for ((i = 0; i < ${#ways[@]}; i += AT_ONCE)); do
		all_of "${ways[@]:i:AT_ONCE}"
	done
}

need_fuse
letters 12 >"$TMP/small"
letters 3000000 >"$TMP/large"
run_cases each_misbehaviour_ends_in_errors_or_right_answers a_trickle_can_be_interrupted
