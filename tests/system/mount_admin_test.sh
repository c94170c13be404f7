#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What an administrator does with a mount: what it counts, options, and what it says when it can't
# work.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

# ---- .stats --------------------------------------------------------------------------------------

# stat_line NAME: its value in .stats, 0 if there is no such line.
stat_line()
{
	awk -v name="$1" '$1 == name { found = $2 } END { print found + 0 }' "$MNT/.stats"
}

stat_line_is()
{
	[[ $(stat_line "$1") == "$2" ]]
}

the_mount_tells_what_it_has_counted()
{
	local before lookups
	put 00a0 value
	before=$(stat_line 'hexkv_fs_requests_total{door="object",method="GET"}')
	expect_equal value "$(cat "$MNT/00a0")"
	# On a slow machine an open asks once more than its look-up.
	(($(stat_line 'hexkv_fs_requests_total{door="object",method="GET"}') > before)) ||
		fail 'a read asked nothing'
	printf 'more' >"$MNT/00a1"
	expect_equal 4 "$(stat_line hexkv_fs_written_bytes_total)"
	expect_equal 1 "$(stat_line 'hexkv_fs_answers_total{door="object",method="PUT",status="201"}')"
	lookups=$(stat_line 'hexkv_fs_operation_errors_total{op="lookup",error="ENOENT"}')
	[[ ! -e $MNT/00a2 ]] || fail '00a2 is there'
	expect_equal $((lookups + 1)) \
		"$(stat_line 'hexkv_fs_operation_errors_total{op="lookup",error="ENOENT"}')"
	exec 7<"$MNT/00a0"
	expect_equal 1 "$(stat_line hexkv_fs_open_files)"
	exec 7<&-
	random_file "$TMP/large" 1000000
	http -T "$TMP/large" "$ROUTER/kv/00a2"
	exec 7<"$MNT/00a2"
	(($(stat_line hexkv_fs_pins) > 0)) || fail 'what is open is not pinned'
	exec 7<&-
	expect_within 20 stat_line_is hexkv_fs_open_files 0
	expect_equal 1 "$(stat_line "hexkv_fs_router{url=\"$ROUTER\"}")"
}

every_line_of_it_is_a_name_and_a_number()
{
	local odd
	odd=$(grep -vE '^hexkv_fs_[a-z_]+(\{[^ ]+\})? [0-9.e+-]+$' "$MNT/.stats") || true
	expect_equal '' "$odd"
	(($(wc -l <"$MNT/.stats") > 20)) || fail "there are only: $(cat "$MNT/.stats")"
}

the_manual_knows_every_name_in_it()
{
	local name
	while read -r name; do
		grep -qE "\\*(${name}|${name%_*})[{*]" "$SOURCE_ROOT/docs/man/hexkv-fs.1.scd" ||
			fail "the manual does not know $name"
	done < <(sed -E 's/[{ ].*//' "$MNT/.stats" | sort -u)
}

it_is_hidden_and_can_only_be_read()
{
	[[ $(ls -a "$MNT") != *.stats* ]] || fail 'it is listed'
	fails_with 'Permission denied' tee "$MNT/.stats"
	fails_with 'not permitted' rm -f "$MNT/.stats"
	fails_with 'not permitted' mv "$MNT/.stats" "$MNT/00a3"
	fails_with 'not permitted' mv -f "$MNT/00a0" "$MNT/.stats"
	fails_with 'not permitted' chmod 600 "$MNT/.stats"
	fails_with 'Permission denied' touch "$MNT/.stats"
	fails_with 'not permitted' setfattr -n user.encoding -v x "$MNT/.stats"
	fails_with 'exists' mkdir "$MNT/.stats"
	cp "$MNT/.stats" "$TMP/copy"
	[[ -s $TMP/copy ]] || fail 'the copy is empty'
	expect_equal '' "$(getfattr -d "$MNT/.stats")"
	expect_contains "$(tail -n 1 "$MNT/.stats")" hexkv_fs_
	expect_contains "$(value_of 00a0)" value
}

it_answers_while_the_router_is_away_and_asks_it_nothing()
{
	local before
	pause_process router
	before=$(stat_line hexkv_fs_uptime_seconds)
	timeout $((5 * PATIENCE)) cat "$MNT/.stats" >"$TMP/paused" || fail 'it waits for the router'
	continue_process router
	expect_contains "$(cat "$TMP/paused")" hexkv_fs_uptime_seconds
	[[ $(stat_line hexkv_fs_uptime_seconds) != "$before" ]] || fail 'time stands still'
}

# ---- options -------------------------------------------------------------------------------------

# mount_again OPTIONS...: MNT once more, with these.
mount_again()
{
	mount_stop
	FS_ARGS=("$@")
	mount_start
}

owner_and_permissions_are_as_asked_for()
{
	mount_again -o uid=1234,gid=2345,umask=027
	expect_equal '1234 2345 750' "$(stat -c '%u %g %a' "$MNT")"
	expect_equal '1234 2345 640' "$(stat -c '%u %g %a' "$MNT/00a0")"
	expect_equal '1234 2345 440' "$(stat -c '%u %g %a' "$MNT/.stats")"
	chown 1234:2345 "$MNT/00a0"
	fails_with 'not permitted' chown 1 "$MNT/00a0"
	mount_again -o fmode=444,dmode=555
	expect_equal '555' "$(stat -c %a "$MNT")"
	expect_equal '444' "$(stat -c %a "$MNT/00a0")"
	mount_again
	expect_equal "$UID $(id -g) 755" "$(stat -c '%u %g %a' "$MNT")"
	expect_equal 644 "$(stat -c %a "$MNT/00a0")"
}

a_read_only_mount_refuses_changes()
{
	mount_again -o ro
	expect_equal value "$(cat "$MNT/00a0")"
	fails_with 'Read-only' touch "$MNT/00b0"
	fails_with 'Read-only' rm -f "$MNT/00a0"
	mount_again
}

changes_elsewhere_show_after_the_attribute_timeout()
{
	mount_again -o attr_timeout=0
	put 00b1 short
	expect_equal 5 "$(stat -c %s "$MNT/00b1")"
	put 00b1 'longer than that'
	expect_equal 16 "$(stat -c %s "$MNT/00b1")"
	mount_again
}

the_timeout_bounds_how_long_a_call_waits()
{
	local began
	mount_again -o timeout=1
	stop_process router
	began=$SECONDS
	fails_with 'Input/output error' cat "$MNT/00a0"
	((SECONDS - began < 10 * PATIENCE)) || fail "it took $((SECONDS - began)) s"
	router_start
	mount_again
}

# ---- readiness -----------------------------------------------------------------------------------

a_service_manager_is_told_when_it_is_ready()
{
	need_command perl
	mount_stop
	# shellcheck disable=SC2016 # perl's own variables
	start_process manager perl -MIO::Socket::UNIX -e '
		my $socket = IO::Socket::UNIX->new(Local => shift, Type => SOCK_DGRAM) or die $!;
		$| = 1;
		while (defined $socket->recv(my $text, 100)) {
			print "$text\n";
			last if $text =~ /STOPPING/;
		}' "$TMP/notify"
	expect_within 10 test -S "$TMP/notify"
	NOTIFY_SOCKET=$TMP/notify mount_start
	expect_within 10 grep -q '^READY=1$' "$TMP/log/manager"
	expect_equal value "$(timeout 10 cat "$MNT/00a0")"
	mount_stop
	finish_process manager
	expect_equal $'READY=1\nSTOPPING=1' "$(cat "$TMP/log/manager")"
	mount_start
}

# ---- the kernel's read-ahead ---------------------------------------------------------------------

the_kernel_reads_ahead_by_a_mebibyte()
{
	local setting
	setting=/sys/class/bdi/$(mountpoint -d "$MNT")/read_ahead_kb
	[[ -w $setting ]] || return 0
	expect_within 20 grep -qx 1024 "$setting"
}

# ---- df ------------------------------------------------------------------------------------------

# df_bytes COLUMN: size or avail, in bytes; fails if it takes long.
df_bytes()
{
	timeout $((3 * PATIENCE)) df -B1 --output="$1" "$MNT" | tail -n 1 | tr -d ' ' ||
		fail 'df waits'
}

# df shows what the cluster says: all its nodes lie on one disk here, each of which counts.
df_is_right()
{
	local size avail
	size=$(curl -sS "$ROUTER/status" | jq .space.total_bytes)
	avail=$(curl -sS "$ROUTER/status" | jq .space.free_bytes)
	((size - $(df_bytes size) < 4096)) && ((size - $(df_bytes size) >= 0)) || return 1
	# Others write to the disk meanwhile.
	((avail - $(df_bytes avail) < size / 20)) && (($(df_bytes avail) - avail < size / 20))
}

df_shows_the_space_of_the_cluster()
{
	expect_within 10 df_is_right
}

df_never_waits_for_the_cluster()
{
	local size
	size=$(df_bytes size)
	pause_process router
	for _ in {1..5}; do
		expect_equal "$size" "$(df_bytes size)"
	done
	continue_process router
	stop_process router
	expect_equal "$size" "$(df_bytes size)"
	router_start
}

df_answers_although_the_cluster_was_never_there()
{
	mount_stop
	pause_process router
	start_process fs-mnt "$FS_BIN" "$ROUTER" "$MNT" -f -o timeout=0.5
	MOUNTS[$MNT]=fs-mnt
	expect_within 20 is_mounted "$MNT"
	(($(df_bytes avail) > 0)) || fail 'df shows a full disk'
	continue_process router
	expect_within 15 df_is_right
}

cluster_start
mount_start
run_cases \
	the_mount_tells_what_it_has_counted \
	every_line_of_it_is_a_name_and_a_number \
	the_manual_knows_every_name_in_it \
	it_is_hidden_and_can_only_be_read \
	it_answers_while_the_router_is_away_and_asks_it_nothing \
	owner_and_permissions_are_as_asked_for \
	a_read_only_mount_refuses_changes \
	changes_elsewhere_show_after_the_attribute_timeout \
	the_timeout_bounds_how_long_a_call_waits \
	a_service_manager_is_told_when_it_is_ready \
	the_kernel_reads_ahead_by_a_mebibyte \
	df_shows_the_space_of_the_cluster \
	df_never_waits_for_the_cluster \
	df_answers_although_the_cluster_was_never_there
mount_stop
