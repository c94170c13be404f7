#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A mount that has seen more than the follower that answers while the leader is gone.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"

# A shard of two, s0a leads.
leader_returns()
{
	process_runs s0a || node_restart 0
	process_runs s0b || node_restart 1
	expect_within 20 router_has_leader s0a
	expect_within 20 all_follow
}

router_has_leader()
{
	http "$ROUTER/status"
	[[ $STATUS == 200 && $(body_json '.shards[0] | "\(.leader) \(.leads)"') == "$1 true" ]]
}

# While this lasts what is written is nowhere but at the leader.
follower_falls_behind()
{
	expect_converged
	node_kill 1
}

leader_is_lost()
{
	node_kill 0
	node_start 1
	expect_within 20 reads_are_stale
}

reads_are_stale()
{
	http "$ROUTER/keys"
	[[ $STATUS == 200 && $(header hexkv-stale) == true ]]
}

forget_pages()
{
	echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true
}

store()
{
	http -X PUT --data-binary "$2" "$ROUTER/kv/$1"
	[[ $STATUS == 20[14] ]] || fail "PUT of $1 answered $STATUS"
}

store_file()
{
	http -X PUT -T "$2" "$ROUTER/kv/$1"
	[[ $STATUS == 20[14] ]] || fail "PUT of $1 answered $STATUS"
}

what_the_mount_has_seen_it_does_not_take_back()
{
	store 00aa old
	random_file "$TMP/old" 3000000
	random_file "$TMP/new" 3000000
	store_file 00ab "$TMP/old"
	follower_falls_behind
	store 00aa newer
	store_file 00ab "$TMP/new"
	store 00ac 'only at the leader'
	expect_equal newer "$(cat "$MNT/00aa")"
	expect_same_file "$TMP/new" "$MNT/00ab"
	expect_equal 'only at the leader' "$(cat "$MNT/00ac")"
	exec 7<"$MNT/00ab"
	leader_is_lost
	# Others see what the follower has.
	expect_equal old "$(value_of 00aa)"
	# The small value is here, and goes on being the one that is shown.
	expect_equal newer "$(cat "$MNT/00aa")"
	expect_equal 5 "$(stat -c %s "$MNT/00aa")"
	fails_with 'No such file' cat "$MNT/00ac"
	# Of the large one the pages that are here are shown, the others wait for the leader.
	forget_pages
	cmp - "$TMP/new" <&7 >"$TMP/log/reader" 2>&1 &
	PROCESSES[reader]=$!
	start_process opener cmp "$MNT/00ab" "$TMP/new"
	exec 7<&-
	leader_returns
	finish_process reader
	finish_process opener
	expect_equal newer "$(cat "$MNT/00aa")"
	expect_same_file "$TMP/new" "$MNT/00ab"
	expect_equal 'only at the leader' "$(cat "$MNT/00ac")"
}

stale_reads()
{
	curl -fsS -m 5 "$ROUTER/metrics" | awk '$1 == "hexkv_router_stale_reads_total" { print $2 }'
}

stale_reads_reach()
{
	(($(stale_reads) >= $1))
}

is_not_listed()
{
	local names
	names=$(ls "$MNT") && ! grep -qx "$1" <<<"$names"
}

# Programs that look while the leader is away wait for it, rather than to be told what was before
# what they did themselves.
what_was_done_in_the_mount_is_not_taken_back()
{
	local name before
	for name in 01aa 01ab 01ac; do
		printf old >"$MNT/$name"
	done
	random_file "$TMP/large" 3000000
	follower_falls_behind
	rm "$MNT/01aa"
	mv "$MNT/01ab" "$MNT/01ad"
	printf newer >"$MNT/01ac"
	cp "$TMP/large" "$MNT/01ae"
	forget_pages
	leader_is_lost
	before=$(stale_reads)
	start_process removed test ! -e "$MNT/01aa"
	start_process moved_away test ! -e "$MNT/01ab"
	start_process moved grep -qx old "$MNT/01ad"
	start_process changed grep -qx newer "$MNT/01ac"
	start_process new cmp "$TMP/large" "$MNT/01ae"
	start_process listed is_not_listed 01aa
	# They have asked by then, but for what the kernel knows.
	wait_until 5 stale_reads_reach $((before + 6)) || true
	leader_returns
	for name in removed moved_away moved changed new listed; do
		finish_process "$name"
	done
}

a_mount_that_had_not_seen_it_shows_the_older_until_the_leader_returns()
{
	store 00ba old
	random_file "$TMP/old" 3000000
	random_file "$TMP/new" 3000000
	store_file 00bb "$TMP/old"
	expect_equal old "$(cat "$MNT/00ba")"
	expect_same_file "$TMP/old" "$MNT/00bb"
	follower_falls_behind
	store 00ba newer
	store_file 00bb "$TMP/new"
	leader_is_lost
	expect_equal old "$(cat "$MNT/00ba")"
	forget_pages
	expect_same_file "$TMP/old" "$MNT/00bb"
	exec 7<"$MNT/00bb"
	head -c 1000 <&7 >"$TMP/read"
	leader_returns
	expect_equal newer "$(cat "$MNT/00ba")"
	expect_same_file "$TMP/new" "$MNT/00bb"
	# What was open goes on with its version, or is an error.
	forget_pages
	cat <&7 >>"$TMP/read" 2>/dev/null || true
	cmp -n "$(stat -c %s "$TMP/read")" "$TMP/read" "$TMP/old" || fail 'bytes of another version'
	exec 7<&-
}

# What was read from a follower may be behind what was acknowledged: who changes it must not replace
# what he has not seen.
a_change_of_what_was_stale_does_not_replace_what_was_newer()
{
	local status
	store 00ca first
	store 00cb first
	store 00cc first
	random_file "$TMP/old" 3000000
	store_file 00cd "$TMP/old"
	follower_falls_behind
	store 00ca 'first second'
	store 00cb 'first second'
	cp "$TMP/old" "$TMP/new"
	printf ' and more' >>"$TMP/new"
	store_file 00cd "$TMP/new"
	store 00ce 'only at the leader'
	leader_is_lost
	python3 - "$MNT" "$TMP/opened" "$TMP/go" >"$TMP/said" 2>&1 <<-'END' &
		import errno, os, sys, time
		mount, opened, go = sys.argv[1:4]
		create = os.O_APPEND | os.O_CREAT
		names = {'00ca': os.O_APPEND, '00cb': os.O_TRUNC, '00cc': os.O_APPEND, '00cd': os.O_APPEND,
		         '00ce': create, '00cf': create}
		files = {name: os.open(mount + '/' + name, os.O_WRONLY | how) for name, how in names.items()}
		for file in files.values():
		    os.write(file, b' appended')
		open(opened, 'w').close()
		while not os.path.exists(go):
		    time.sleep(0.02)
		for name, file in files.items():
		    try:
		        os.fsync(file)
		        print(name, 'stored')
		    except OSError as error:
		        print(name, errno.errorcode[error.errno])
		    try:
		        os.close(file)
		    except OSError:
		        pass
	END
	PROCESSES[writer]=$!
	expect_within 10 test -e "$TMP/opened"
	leader_returns
	: >"$TMP/go"
	finish_process writer
	expect_equal '00ca ESTALE,00cb stored,00cc stored,00cd ESTALE,00ce ESTALE,00cf stored' \
		"$(paste -sd , "$TMP/said")"
	expect_equal 'first second' "$(value_of 00ca)"
	expect_equal ' appended' "$(value_of 00cb)"
	expect_equal 'first appended' "$(value_of 00cc)"
	expect_equal 'only at the leader' "$(value_of 00ce)"
	expect_equal ' appended' "$(value_of 00cf)"
	value_of 00cd >"$TMP/read"
	expect_same_file "$TMP/new" "$TMP/read"
	expect_equal 'first second' "$(cat "$MNT/00ca")"
	printf ' third' >>"$MNT/00ca"
	expect_equal 'first second third' "$(value_of 00ca)"
}

# With the newest version lost for good the leader's word counts, not what was seen before.
what_a_forced_change_has_lost_is_seen_no_more()
{
	store 00da old
	random_file "$TMP/old" 3000000
	random_file "$TMP/new" 3000001
	store_file 00db "$TMP/old"
	follower_falls_behind
	store 00da newer
	store_file 00db "$TMP/new"
	expect_equal newer "$(cat "$MNT/00da")"
	expect_same_file "$TMP/new" "$MNT/00db"
	leader_is_lost
	expect_equal newer "$(cat "$MNT/00da")"
	promote 1 force
	expect_within 10 router_has_leader s0b
	expect_equal old "$(value_of 00da)"
	expect_equal old "$(cat "$MNT/00da")"
	expect_same_file "$TMP/old" "$MNT/00db"
	expect_equal 3000000 "$(stat -c %s "$MNT/00db")"
	printf ' appended' >>"$MNT/00da"
	expect_equal 'old appended' "$(value_of 00da)"
	node_restart 0
	expect_converged
	expect_equal 'old appended' "$(cat "$MNT/00da")"
	promote 0
	expect_within 10 router_has_leader s0a
}

conditional_requests_hold_at_followers()
{
	local before etag
	store 00ea first
	before=$(etag_of 00ea)
	follower_falls_behind
	store 00ea second
	etag=$(etag_of 00ea)
	leader_is_lost
	expect_http 304 -H "If-None-Match: $before" "$ROUTER/kv/00ea"
	expect_equal true "$(header hexkv-stale)"
	expect_http 200 -H "If-None-Match: $etag" "$ROUTER/kv/00ea"
	expect_equal "$before,first" "$(header etag),$(<"$BODY")"
	expect_http 412 -H "If-Match: $etag" "$ROUTER/kv/00ea"
	expect_http 206 -H "If-Match: $before" -H 'Range: bytes=1-2' "$ROUTER/kv/00ea"
	expect_equal ir "$(<"$BODY")"
	leader_returns
	expect_http 304 -H "If-None-Match: $etag" "$ROUTER/kv/00ea"
	expect_equal '' "$(header hexkv-stale)"
}

etag_of()
{
	expect_http 200 -I "$ROUTER/kv/$1"
	header etag
}

# A large file that is read while its leader goes: a follower that has the same version goes on with
# it, and so does the leader when it is back, whoever gave the pin.
a_reader_goes_on_at_the_follower()
{
	random_file "$TMP/large" 20000000
	cp "$TMP/large" "$MNT/00fa"
	sync "$MNT/00fa"
	expect_converged
	forget_pages
	exec 7<"$MNT/00fa"
	head -c 1000000 <&7 >"$TMP/read"
	node_kill 0
	head -c 6000000 <&7 >>"$TMP/read"
	node_restart 0
	expect_within 20 router_has_leader s0a
	cat <&7 >>"$TMP/read"
	exec 7<&-
	expect_same_file "$TMP/large" "$TMP/read"
}

# Not once for each name: that would be minutes.
a_leader_that_stays_away_is_waited_for_once()
{
	local i
	mount_stop
	FS_ARGS=(-o timeout=2)
	mount_start
	for ((i = 10; i < 60; i++)); do
		printf old >"$MNT/00f0$i"
	done
	follower_falls_behind
	rm "$MNT"/00f0*
	leader_is_lost
	timeout $((40 * PATIENCE)) ls "$MNT" >"$TMP/listed" || fail 'ls hangs'
	leader_returns
	expect_equal '' "$(find "$MNT" -name '00f0*')" 'removed'
}

shard_start 2
ROUTER_PORT=$PORT_BASE
ROUTER=http://127.0.0.1:$ROUTER_PORT
router_start
mount_start
run_cases what_the_mount_has_seen_it_does_not_take_back \
	what_was_done_in_the_mount_is_not_taken_back \
	a_mount_that_had_not_seen_it_shows_the_older_until_the_leader_returns \
	a_reader_goes_on_at_the_follower \
	conditional_requests_hold_at_followers \
	a_change_of_what_was_stale_does_not_replace_what_was_newer \
	what_a_forced_change_has_lost_is_seen_no_more \
	a_leader_that_stays_away_is_waited_for_once
