#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The router goes away, hangs, comes back; the mount is asked to end with unsaved content.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

FS_ARGS=(-o timeout=2)

# quickly COMMAND...: it ends by itself within 10 s; its status.
quickly()
{
	local status=0
	timeout -s KILL $((10 * PATIENCE)) "$@" || status=$?
	((status != 137)) || fail "hung: $*"
	return "$status"
}

a_router_that_is_away_is_an_error_in_bounded_time_and_then_all_is_well()
{
	echo before >"$MNT/00aa"
	kill_process router
	fails_with 'Input/output error' quickly cat "$MNT/00aa"
	fails_with 'Input/output error' quickly sh -c "echo x >'$MNT/00ab'"
	quickly ls "$MNT" >/dev/null 2>&1 || true
	quickly df "$MNT" >/dev/null
	router_start
	echo after >"$MNT/00aa"
	expect_equal after "$(cat "$MNT/00aa")"
}

unsaved_content_stays_and_can_be_flushed_again()
{
	exec 7>"$MNT/00ac"
	kill_process router
	# The shell flushes when it puts its standard output back.
	printf unsaved >&7 || true
	fails_with 'Input/output error' quickly sync "$MNT/00ac"
	expect_equal unsaved "$(quickly cat "$MNT/00ac")"
	router_start
	printf ' and more' >&7
	exec 7>&-
	expect_equal 'unsaved and more' "$(value_of 00ac)"
}

a_router_that_hangs_is_an_error_in_bounded_time()
{
	echo before >"$MNT/00ad"
	pause_process router
	fails_with 'timed out' quickly cat "$MNT/00ad"
	continue_process router
	expect_equal before "$(cat "$MNT/00ad")"
}

# A router that answers takes the content each time, waits a while for the leader, and refuses it.
a_node_that_is_away_is_an_error_in_bounded_time()
{
	local name status=0
	mkfifo "$TMP/content"
	timeout -s KILL $((20 * PATIENCE)) dd if="$TMP/content" of="$MNT/00b1" bs=7 conv=fsync \
		2>"$TMP/error" &
	exec 8>"$TMP/content"
	printf unsaved >&8
	expect_within 20 size_is 7 "$MNT/00b1"
	for name in "${NODE_NAMES[@]}"; do
		kill_process "$name"
	done
	exec 8>&-
	wait $! || status=$?
	rm "$TMP/content"
	nodes_start
	((status != 137)) || fail 'dd hung'
	grep -qE 'Input/output error|Connection timed out' "$TMP/error" || fail "$(cat "$TMP/error")"
}

# Each node gets back the files that it had when it was stopped.
nodes_forget()
{
	local name
	for name in "${NODE_NAMES[@]}"; do
		kill_process "$name"
		rm -rf "$TMP/data-$name"
		cp -a "$TMP/old-$name" "$TMP/data-$name"
	done
	nodes_start
}

what_a_leader_has_lost_is_stored_again_by_fsync()
{
	local name writer
	put 00b2 first
	for name in "${NODE_NAMES[@]}"; do
		stop_process "$name"
		cp -a "$TMP/data-$name" "$TMP/old-$name"
	done
	nodes_start
	mkfifo "$TMP/go" "$TMP/written"
	python3 - "$MNT/00b2" "$TMP/written" "$TMP/go" <<-'END' &
		import os, sys
		file = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
		os.write(file, b'second')
		os.close(os.dup(file))
		open(sys.argv[2], 'w').close()
		open(sys.argv[3]).close()
		os.fsync(file)
	END
	writer=$!
	cat "$TMP/written"
	expect_equal second "$(value_of 00b2)"
	nodes_forget
	expect_equal first "$(value_of 00b2)"
	: >"$TMP/go"
	wait "$writer"
	expect_equal second "$(value_of 00b2)"
}

size_is()
{
	[[ $(stat -c %s "$2") == "$1" ]]
}

termination_stores_what_is_unsaved()
{
	local name=${MOUNTS[$MNT]} writer
	# A shell's redirection would flush: dd keeps its file open while it waits for more.
	mkfifo "$TMP/fifo"
	dd if="$TMP/fifo" of="$MNT/00ae" bs=14 status=none &
	writer=$!
	exec 8>"$TMP/fifo"
	printf 'not closed yet' >&8
	expect_within 20 size_is 14 "$MNT/00ae"
	expect_http 404 "$ROUTER/kv/00ae"
	stop_process "$name"
	exec 8>&-
	wait "$writer" || true
	unset "MOUNTS[$MNT]"
	expect_within 20 is_not_mounted "$MNT"
	expect_equal 'not closed yet' "$(value_of 00ae)"
	mount_start
}

termination_says_what_could_not_be_stored()
{
	local name=${MOUNTS[$MNT]}
	exec 7>"$MNT/00af"
	kill_process router
	printf 'lost' >&7 || true
	end_process "$name"
	{ exec 7>&-; } 2>/dev/null || true
	unset "MOUNTS[$MNT]"
	expect_equal 1 "$PROCESS_STATUS"
	expect_contains "$(cat "$TMP/log/$name")" 'event="unsaved file is lost" key=00af'
	router_start
	mount_start
}

termination_does_not_wait_for_each_file()
{
	local name=${MOUNTS[$MNT]} began writer
	python3 - "$MNT" "$TMP/opened" <<-'END' &
		import os, sys, time
		files = [os.open('%s/%04x' % (sys.argv[1], i), os.O_CREAT | os.O_WRONLY) for i in range(40)]
		for file in files:
		    os.write(file, b'lost')
		open(sys.argv[2], 'w').close()
		time.sleep(1000)
	END
	writer=$!
	expect_within 10 test -e "$TMP/opened"
	kill_process router
	began=$SECONDS
	end_process "$name"
	((SECONDS - began < 10 * PATIENCE)) || fail "took $((SECONDS - began)) s"
	kill -KILL "$writer"
	wait "$writer" || true
	unset "MOUNTS[$MNT]"
	expect_equal 40 "$(grep -c 'event="unsaved file is lost" key=00[012]' "$TMP/log/$name")"
	router_start
	mount_start
}

a_dead_mount_is_named()
{
	local name=${MOUNTS[$MNT]}
	kill_process "$name"
	expect_exit 2 "$FS_BIN" "$ROUTER" "$MNT" -f
	expect_contains "$OUTPUT" 'fusermount3 -u'
	fusermount3 -u -z "$MNT"
	unset "MOUNTS[$MNT]"
	mount_start
}

in_the_background_it_answers_once_the_command_has_returned()
{
	local pid
	mount_stop
	expect_exit 0 "$FS_BIN" "$ROUTER" "$MNT" -o "log=$TMP/log/background"
	is_mounted "$MNT" || fail 'not mounted'
	grep -q "$ROUTER $MNT fuse.hexkv" /proc/mounts || fail "$(grep "$MNT" /proc/mounts)"
	echo x >"$MNT/00b0"
	expect_equal x "$(value_of 00b0)"
	pid=$(pgrep -f "^$FS_BIN $ROUTER $MNT ")
	fusermount3 -u "$MNT"
	expect_within 10 test ! -e "/proc/$pid"
	mount_start
}

a_read_only_mount_refuses_changes()
{
	mount_stop
	FS_ARGS+=(-o ro)
	mount_start
	expect_equal x "$(cat "$MNT/00b0")"
	fails_with 'Read-only file system' touch "$MNT/00b0"
}

cluster_start
mount_start
run_cases a_router_that_is_away_is_an_error_in_bounded_time_and_then_all_is_well \
	unsaved_content_stays_and_can_be_flushed_again \
	a_router_that_hangs_is_an_error_in_bounded_time \
	a_node_that_is_away_is_an_error_in_bounded_time \
	what_a_leader_has_lost_is_stored_again_by_fsync \
	termination_stores_what_is_unsaved termination_says_what_could_not_be_stored \
	termination_does_not_wait_for_each_file a_dead_mount_is_named \
	in_the_background_it_answers_once_the_command_has_returned \
	a_read_only_mount_refuses_changes
mount_stop
