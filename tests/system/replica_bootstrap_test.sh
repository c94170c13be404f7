#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Whole copies: of a follower that was away too long, of a new one, of a leader whose disk was lost.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"

# write_much FROM TO: records of 2000 bytes at the leader.
write_much()
{
	local n
	leader_find
	for ((n = $1; n <= $2; n++)); do
		printf 'url = "%s/kv/%s"\nupload-file = "%s"\noutput = /dev/null\n' \
			"${NODE_URLS[LEADER]}" "$(printf 'dd%06d' "$n")" "$TMP/piece"
	done >"$TMP/uploads"
	curl -sS -m 120 -w '%{http_code}\n' -K "$TMP/uploads" >"$TMP/written"
	! grep -v '^20[14]$' "$TMP/written" || fail 'not everything was written'
}

a_follower_that_was_away_too_long_fetches_a_copy()
{
	put 01 before
	expect_converged
	node_kill 1
	write_much 1 3000
	head -c 2500000 /dev/urandom >"$TMP/large"
	expect_http 201 -T "$TMP/large" "${NODE_URLS[0]}/kv/02"
	expect_http 204 -X DELETE "${NODE_URLS[0]}/kv/01"
	# Until the log no longer reaches back.
	expect_within 30 log_is_short 0
	node_restart 1
	write_much 3001 3200
	expect_converged
	(($(wc -l <"$TMP/records-0") == 3201)) || fail "$(wc -l <"$TMP/records-0") records"
	# Counted, though the store was opened anew since.
	expect_equal 1 "$(metric 1 hexkv_replica_bootstraps_total)"
	expect_http 200 -H 'HexKV-Read: any' "${NODE_URLS[1]}/kv/02"
	expect_same_file "$TMP/large" "$BODY"
	[[ ! -e $TMP/data-s0b/bootstrap && ! -e $TMP/data-s0b/replaced ]] || fail 'something is left over'
}

log_is_short()
{
	(($(metric "$1" hexkv_store_log_bytes) < 4000000))
}

what_was_fetched_survives_a_crash_and_is_sound()
{
	node_kill 1
	expect_exit 0 "$NODE_BIN" --check "$TMP/data-s0b"
	node_restart 1
	expect_converged
}

a_leader_whose_disk_was_lost_fetches_everything_from_its_follower()
{
	local before
	before=$(wc -l <"$TMP/records-0")
	leader_find
	expect_equal 0 "$LEADER"
	node_kill 0
	rm -rf "$TMP/data-s0a"
	node_restart 0
	expect_within 60 all_follow
	expect_converged
	expect_equal "$before" "$(wc -l <"$TMP/records-0")" 'records'
	put 03 'goes on'
	expect_everywhere 03 'goes on'
}

a_follower_whose_disk_was_lost_fetches_everything()
{
	leader_find
	local other=$((1 - LEADER))
	node_kill "$other"
	rm -rf "$TMP/data-${NODE_NAMES[other]}"
	node_restart "$other" --bootstrap-rate 2M
	expect_converged
	put 04 'goes on'
	expect_everywhere 04 'goes on'
}

a_copy_that_breaks_off_is_gone_on_with()
{
	leader_find
	local other=$((1 - LEADER))
	node_kill "$other"
	rm -rf "$TMP/data-${NODE_NAMES[other]}"
	NODE_ARGS+=(--bootstrap-rate 1M)
	node_start "$other"
	expect_within 20 is_fetching "$other"
	node_kill "$other"
	node_start "$other"
	expect_within 20 is_fetching "$other"
	# Nothing half fetched is ever shown.
	expect_http 503 -H 'HexKV-Read: any' "${NODE_URLS[other]}/kv/02"
	expect_within 60 all_follow
	expect_converged
}

# Much more is written while it is copied than the log retains, and goes on to be.
a_copy_under_load_needs_no_second_one()
{
	local other
	leader_find
	other=$((1 - LEADER))
	node_kill "$other"
	rm -rf "$TMP/data-${NODE_NAMES[other]}"
	start_process writer "$BUILD/tests/bench/bench-load" --connections 2 --depth 8 --count 20000000 \
		--first 900000000 --value-bytes 400 "${NODE_URLS[LEADER]#http://}"
	node_restart "$other" --bootstrap-rate 8M
	expect_within 60 may_be_read "$other"
	expect_equal 1 "$(metric "$other" hexkv_replica_bootstraps_total)"
	end_process writer
	expect_converged
	put 07 'lets go of the log'
	expect_within 30 log_is_short "$LEADER"
}

# It does not even know by its own log what only it had.
a_leader_that_wrote_much_alone_sets_all_of_it_aside()
{
	local alone other files
	leader_find
	alone=$LEADER
	# It holds no log for one who fetches a copy.
	stop_process "${NODE_NAMES[alone]}"
	nodes_start
	expect_within 20 all_follow
	other=$((1 - LEADER))
	put 05 shared
	expect_converged
	node_kill "$other"
	write_much 5001 7500
	expect_http 204 -X DELETE "${NODE_URLS[alone]}/kv/05"
	expect_within 30 log_is_short "$alone"
	node_kill "$alone"
	node_start "$other"
	expect_within 20 may_be_promoted "$other"
	put 06 'at the other'
	expect_equal "$other" "$LEADER"
	node_restart "$alone"
	expect_converged
	expect_equal shared "$(value_at "$alone" 05)"
	expect_equal '' "$(value_at "$alone" dd005001)"
	(($(metric "$alone" hexkv_replica_diverged_entries_total) >= 2501)) ||
		fail "$(metric "$alone" hexkv_replica_diverged_entries_total) entries are counted"
	expect_equal 1 "$(metric "$alone" hexkv_replica_bootstraps_total)"
	for files in "$TMP/data-${NODE_NAMES[alone]}"/diverged-*.log; do
		"$NODE_BIN" --diverged "$files" || fail "$files can not be read"
	done | jq -r .key | sort -u >"$TMP/aside"
	for ((n = 5001; n <= 7500; n++)); do
		printf 'dd%06d\n' "$n"
	done | comm -23 - "$TMP/aside" >"$TMP/missing"
	[[ ! -s $TMP/missing ]] || fail "set aside was not: $(head -3 "$TMP/missing")"
	grep -qx 05 "$TMP/aside" || fail 'the deletion was not set aside'
}

may_be_promoted()
{
	http -X POST "${NODE_URLS[$1]}/admin/promote?force=1"
	[[ $STATUS == 200 ]]
}

is_fetching()
{
	local bytes
	bytes=$(metric "$1" hexkv_replica_bootstrap_bytes 2>/dev/null) || return 1
	[[ $bytes =~ ^[0-9]+$ ]] && ((bytes > 0))
}

head -c 2000 /dev/urandom >"$TMP/piece"
NODE_ARGS=(--log-retain-bytes 256K --log-retain-seconds 5 --memtable-bytes 128K)
shard_start 2
run_cases a_follower_that_was_away_too_long_fetches_a_copy \
	what_was_fetched_survives_a_crash_and_is_sound \
	a_leader_whose_disk_was_lost_fetches_everything_from_its_follower \
	a_follower_whose_disk_was_lost_fetches_everything \
	a_copy_that_breaks_off_is_gone_on_with \
	a_copy_under_load_needs_no_second_one \
	a_leader_that_wrote_much_alone_sets_all_of_it_aside
