#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# scripts/hexkv: up, down, status and promote on good days and bad ones.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

status_of()
{
	hexkv status --dir "$TMP/$1"
}

put()
{
	expect_http 201 -X PUT "$ROUTER/kv/$1" -d "$2"
}

up_prints_what_to_try_and_status_is_good()
{
	hexkv_up one
	ONE_PORT=$PORT_BASE
	expect_contains "$OUTPUT" "curl -X PUT $ROUTER/ "
	put 01 first
	! fuse_is_usable || expect_contains "$OUTPUT" "cat $MNT/90219201f2"
	expect_exit 0 status_of one
	expect_equal 8 "$(grep -c . <<<"$OUTPUT")" 'rows of status'
	expect_contains "$OUTPUT" "$ONE_PORT"
}

up_twice_changes_nothing()
{
	local before
	before=$(member_pids one; find "$TMP/one" -maxdepth 1 ! -name mnt -printf '%f %T@\n' | sort)
	hexkv_up one
	expect_contains "$OUTPUT" 'is running'
	expect_equal "$before" "$(member_pids one; find "$TMP/one" -maxdepth 1 ! -name mnt -printf '%f %T@\n' | sort)"
}

a_second_cluster_lives_beside_the_first()
{
	hexkv_up 'a second' --shards 3
	put 01 second
	expect_equal second "$(curl -s "$ROUTER/kv/01")"
	expect_equal first "$(curl -s "http://127.0.0.1:$ONE_PORT/kv/01")"
	hexkv down --dir "$TMP/a second" || fail 'down failed'
	expect_exit 1 status_of 'a second'
	expect_exit 0 status_of one
	ROUTER=http://127.0.0.1:$ONE_PORT
}

other_shards_or_followers_exit_2()
{
	expect_exit 2 hexkv up --dir "$TMP/one" --shards 5
	expect_contains "$OUTPUT" 'has 2 shards'
	expect_exit 2 hexkv up --dir "$TMP/one" --followers 2
	expect_contains "$OUTPUT" 'has 1 followers'
	expect_exit 2 hexkv up --dir "$TMP/one" --port 9
	expect_contains "$OUTPUT" "runs on port $ONE_PORT"
}

a_crashed_member_is_started_again()
{
	local router
	router=$(member_pids one router)
	kill_members one s1a
	expect_exit 1 status_of one
	expect_contains "$OUTPUT" crashed
	hexkv_up one
	expect_exit 0 status_of one
	expect_equal "$router" "$(member_pids one router)" 'the router was restarted'
	expect_equal first "$(curl -s "$ROUTER/kv/01")"
}

# status_says MEMBER COLUMN WORD: in the table of status.
status_says()
{
	status_of one >"$TMP/table" 2>&1 || true
	[[ $(awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$TMP/table") == "$3" ]]
}

follower_has_all()
{
	status_of one >"$TMP/table" 2>&1 &&
		[[ $(awk -v name="$1" '$1 == name { print $8 }' "$TMP/table") == 0/0B/* ]]
}

promote_changes_the_leader_and_loses_nothing()
{
	expect_within 20 follower_has_all s0b
	expect_exit 0 hexkv promote s0 s0b --dir "$TMP/one"
	expect_contains "$OUTPUT" 's0b leads shard s0'
	expect_within 20 status_says s0b 2 leader
	expect_within 20 status_says s0a 2 follower
	expect_exit 0 hexkv promote s0 s0b --dir "$TMP/one"
	expect_equal first "$(curl -s "$ROUTER/kv/01")"
	put 02 second
	expect_within 20 follower_has_all s0a
	expect_exit 2 hexkv promote s0 s1a --dir "$TMP/one"
	expect_contains "$OUTPUT" 'its nodes are s0a s0b'
	expect_exit 2 hexkv promote s7 s1a --dir "$TMP/one"
	expect_contains "$OUTPUT" 's0 to s1'
}

force_makes_a_leader_of_whom_is_there()
{
	kill_members one s1a
	expect_exit 1 hexkv promote s1 s1a --dir "$TMP/one"
	expect_contains "$OUTPUT" 'does not run'
	expect_exit 1 hexkv promote s1 s1b --dir "$TMP/one"
	expect_within 20 status_says s1b 2 follower
	expect_contains "$(cat "$TMP/table")" 'shard s1 has no leader'
	expect_exit 0 hexkv promote s1 s1b --force --dir "$TMP/one"
	expect_within 20 status_says s1b 2 leader
	hexkv_up one
	expect_within 20 follower_has_all s1a
	expect_equal first "$(curl -s "$ROUTER/kv/01")"
}

a_dead_mount_is_taken_off()
{
	fuse_is_usable || return 0
	kill_members one mount
	expect_exit 1 status_of one
	hexkv_up one
	expect_equal first "$(cat "$MNT/01")"
}

a_busy_mount_is_named_and_kept()
{
	fuse_is_usable || return 0
	exec {held}<"$MNT/01"
	expect_exit 1 hexkv down --dir "$TMP/one"
	expect_contains "$OUTPUT" "bash (pid $$)"
	expect_exit 0 status_of one
	exec {held}<&-
}

daemons_hold_nothing_of_the_caller()
{
	local pid
	for pid in $(member_pids one); do
		expect_equal /dev/null "$(readlink "/proc/$pid/fd/0")"
		expect_contains "$(readlink "/proc/$pid/fd/1")" "$TMP/one/log/"
		expect_equal / "$(readlink "/proc/$pid/cwd")"
		# A session of its own: the terminal's end does not reach it.
		expect_equal "$pid" "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 4)"
	done
}

a_recycled_pid_is_never_killed()
{
	local file=$TMP/one/run/router.pid saved
	saved=$(<"$file")
	start_process innocent sleep 1000
	printf '%s 1 %s\n' "${PROCESSES[innocent]}" "$(</proc/sys/kernel/random/boot_id)" >"$file"
	expect_exit 1 status_of one
	printf '%s\n' "$saved" >"$file"
	process_runs innocent || fail 'another process was ended'
	end_process innocent
}

a_cluster_with_a_token_asks_everybody_for_it()
{
	expect_exit 2 hexkv up --dir "$TMP/guarded" --token-file "$TMP/nowhere"
	expect_contains "$OUTPUT" '--token-file'
	printf 'a"b\\c-secret\nmore\n' >"$TMP/secret"
	hexkv_up guarded --shards 1 --token-file "$TMP/secret"
	# shellcheck disable=SC2016 # that is what is printed
	expect_contains "$OUTPUT" 'Authorization: Bearer $(cat'
	expect_equal 600 "$(stat -c %a "$TMP/guarded/token")"
	expect_http 401 "$ROUTER/kv/01"
	expect_http 201 -X PUT "$ROUTER/kv/01" -d guarded -H 'Authorization: Bearer a"b\c-secret'
	expect_exit 0 hexkv status --dir "$TMP/guarded"
	expect_contains "$OUTPUT" 'leader'
	[[ ! -c /dev/fuse ]] || expect_equal guarded "$(cat "$MNT/01")"
	expect_exit 0 hexkv promote s0 s0b --dir "$TMP/guarded"
	printf 'other\n' >"$TMP/other"
	expect_exit 2 hexkv up --dir "$TMP/guarded" --token-file "$TMP/other"
	expect_contains "$OUTPUT" 'take it down'
	expect_exit 0 hexkv down --dir "$TMP/guarded"
	hexkv_up guarded
	expect_http 401 "$ROUTER/kv/01"
	expect_http 200 "$ROUTER/kv/01" -H 'Authorization: Bearer a"b\c-secret'
	expect_exit 0 hexkv down --dir "$TMP/guarded"
	hexkv_up one
}

down_leaves_the_data_and_twice_is_fine()
{
	expect_exit 0 hexkv down --dir "$TMP/one"
	expect_exit 0 hexkv down --dir "$TMP/one"
	expect_contains "$OUTPUT" 'not running'
	expect_exit 0 hexkv down --dir "$TMP/never made"
	expect_exit 1 status_of one
	expect_exit 1 status_of 'never made'
	hexkv_up one
	expect_equal first "$(curl -s "$ROUTER/kv/01")"
}

a_taken_port_starts_nothing()
{
	expect_exit 1 hexkv up --dir "$TMP/three" --port $((ONE_PORT - 2))
	expect_contains "$OUTPUT" "port $ONE_PORT"
	expect_contains "$OUTPUT" 'hexkv-router'
	! port_is_taken $((ONE_PORT - 2)) || fail 'something was started'
	expect_exit 1 status_of three
}

it_goes_on_to_another_port_after_that()
{
	hexkv_up three --shards 1
	expect_exit 0 status_of three
	hexkv down --dir "$TMP/three" || fail 'down failed'
	free_ports
	hexkv_up three --port "$PORT_BASE"
	expect_equal "http://127.0.0.1:$PORT_BASE" "$ROUTER"
	expect_exit 0 status_of three
}

what_can_not_start_is_rolled_back()
{
	hexkv down --dir "$TMP/three" || fail 'down failed'
	printf '{"cluster": "hexkv", "shards": []}\n' >"$TMP/three/cluster.json"
	expect_exit 1 hexkv up --dir "$TMP/three"
	expect_contains "$OUTPUT" 's0a did not start'
	expect_equal '' "$(ls "$TMP/three/run")" 'pid files are left'
}

two_ups_at_once_make_one_cluster()
{
	local first
	free_ports
	CLUSTER_DIRS+=("$TMP/race")
	hexkv up --dir "$TMP/race" --port "$PORT_BASE" >"$TMP/first" 2>&1 &
	first=$!
	expect_exit 0 hexkv up --dir "$TMP/race" --port "$PORT_BASE"
	wait "$first" || fail "the first up failed: $(cat "$TMP/first")"
	expect_exit 0 status_of race
}

a_directory_of_something_else_is_left_alone()
{
	mkdir "$TMP/photos"
	touch "$TMP/photos/cat.jpg"
	expect_exit 2 hexkv up --dir "$TMP/photos"
	expect_equal cat.jpg "$(ls -A "$TMP/photos")"
}

bad_arguments_exit_2_with_one_sentence()
{
	local arguments
	while read -r -a arguments; do
		expect_exit 2 hexkv "${arguments[@]}"
		expect_equal 1 "$(wc -l <<<"$OUTPUT")" "lines for ${arguments[*]}"
	done <<-'TEXT'
		sideways
		up --colour
		up --port
		up --port 0
		up --port 99999
		up --port http
		up --shards 0
		up --shards 65
		up --followers 16
		up here
		promote
		promote s0
		promote s0 s0b now
		promote s0 s0b --port 1
		down --port 8080
		status --force
		status --dir=
	TEXT
	expect_exit 2 hexkv
	expect_exit 0 hexkv --help
	expect_contains "$OUTPUT" '--followers N'
	expect_exit 0 hexkv up --help
}

fuse_is_usable()
{
	[[ -c /dev/fuse && -r /dev/fuse && -w /dev/fuse ]]
}

run_cases \
	up_prints_what_to_try_and_status_is_good \
	up_twice_changes_nothing \
	a_second_cluster_lives_beside_the_first \
	other_shards_or_followers_exit_2 \
	a_crashed_member_is_started_again \
	promote_changes_the_leader_and_loses_nothing \
	force_makes_a_leader_of_whom_is_there \
	a_dead_mount_is_taken_off \
	a_busy_mount_is_named_and_kept \
	daemons_hold_nothing_of_the_caller \
	a_recycled_pid_is_never_killed \
	a_cluster_with_a_token_asks_everybody_for_it \
	down_leaves_the_data_and_twice_is_fine \
	a_taken_port_starts_nothing \
	it_goes_on_to_another_port_after_that \
	what_can_not_start_is_rolled_back \
	two_ups_at_once_make_one_cluster \
	a_directory_of_something_else_is_left_alone \
	bad_arguments_exit_2_with_one_sentence
