#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# How a node starts, refuses to start, ends, dies and comes back.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

node()
{
	"$NODE_BIN" --data "$TMP/other" --listen 127.0.0.1:0 --cluster "$CLUSTER" --name s0a "$@"
}

# refuses STATUS PART ARGUMENTS...: one sentence that names PART.
refuses()
{
	expect_exit "$1" node "${@:3}"
	expect_contains "$OUTPUT" "$2"
}

bad_arguments_are_refused_with_one_sentence()
{
	refuses 2 --colour --colour
	refuses 2 --workers --workers many
	refuses 2 memtable --memtable-bytes 1X
	refuses 2 --log-level --log-level loud
	refuses 2 --token-file --token-file "$TMP/missing"
	refuses 2 nobody --name nobody
	refuses 2 "$TMP/missing" --cluster "$TMP/missing"
	echo '{"cluster":"test","shards":[]}' >"$TMP/broken.json"
	refuses 2 '' --cluster "$TMP/broken.json"
	expect_exit 2 "$NODE_BIN"
	expect_equal 1 "$(wc -l <<<"$OUTPUT")" 'lines'
	expect_exit 0 "$NODE_BIN" --version
	expect_exit 0 "$NODE_BIN" --help
	expect_contains "$OUTPUT" --memtable-bytes
}

a_taken_port_is_named()
{
	expect_exit 1 "$NODE_BIN" --data "$TMP/other" --listen "${NODE_URLS[0]#http://}" \
		--cluster "$CLUSTER" --name s0a
	expect_contains "$OUTPUT" "${NODE_URLS[0]##*:}"
}

a_directory_has_one_node_at_a_time()
{
	refuses 2 "$TMP/data-s0a" --data "$TMP/data-s0a"
	refuses 2 '' --data "$TMP/data-s0a" --name s1a
	expect_exit 1 "$NODE_BIN" --check "$TMP/data-s0a"
	expect_contains "$OUTPUT" "another process"
}

a_directory_of_another_node_is_refused()
{
	stop_process s0a
	refuses 2 s0a --data "$TMP/data-s0a" --name s1a
	nodes_start
}

# key_of_shard INDEX: a key that this node leads.
key_of_shard()
{
	local i
	for i in $(seq 100 999); do
		http "${NODE_URLS[$1]}/kv/0${i}"
		[[ $STATUS != 404 ]] || {
			KEY=0$i
			return
		}
	done
	fail "no key of shard $1"
}

what_belongs_elsewhere_is_421_and_says_where()
{
	local mine
	key_of_shard 0
	mine=$KEY
	key_of_shard 1
	expect_http 421 "${NODE_URLS[0]}/kv/$KEY"
	expect_equal "${NODE_URLS[1]}" "$(header hexkv-leader)"
	expect_equal not-applied "$(body_json .outcome)"
	expect_http 421 -X PUT -d x "${NODE_URLS[0]}/kv/$KEY"
	expect_http 201 -X PUT -d x "${NODE_URLS[0]}/kv/$mine"
	expect_http 421 -X MOVE "${NODE_URLS[0]}/kv/$mine" -H "Destination: /kv/$KEY"
	expect_equal "${NODE_URLS[1]}" "$(header hexkv-leader)"
	expect_http 200 "${NODE_URLS[0]}/kv/$mine"
}

a_node_that_does_not_lead_sends_to_the_leader()
{
	jq ".shards[0].nodes += [{\"name\": \"s0b\", \"url\": \"http://127.0.0.1:$((PORT_BASE + 2))\"}]" \
		"$CLUSTER" >"$TMP/two.json"
	start_process s0b "$NODE_BIN" --data "$TMP/data-s0b" --cluster "$TMP/two.json" --name s0b
	wait_ready s0b "http://127.0.0.1:$((PORT_BASE + 2))"
	key_of_shard 0
	expect_http 421 "http://127.0.0.1:$((PORT_BASE + 2))/kv/$KEY"
	expect_equal "${NODE_URLS[0]}" "$(header hexkv-leader)"
	expect_http 421 "http://127.0.0.1:$((PORT_BASE + 2))/keys"
	stop_process s0b
	# The leader of such a shard leads alone, and does not promise more copies than its own.
	stop_process s0a
	start_process s0a "$NODE_BIN" --data "$TMP/data-s0a" --cluster "$TMP/two.json" --name s0a \
		--ack-timeout-ms 200
	wait_ready s0a "${NODE_URLS[0]}"
	expect_http 504 -X PUT -d x "${NODE_URLS[0]}/kv/$KEY" -H 'HexKV-Ack: quorum'
	expect_equal unknown "$(body_json .outcome)"
	expect_equal true "$(body_json .retryable)"
	expect_http 200 "${NODE_URLS[0]}/kv/$KEY"
	expect_http 504 -X DELETE "${NODE_URLS[0]}/kv/$KEY" -H 'HexKV-Ack: all'
	expect_http 404 "${NODE_URLS[0]}/kv/$KEY"
	expect_http 201 -X PUT -d x "${NODE_URLS[0]}/kv/$KEY" -H 'HexKV-Ack: leader'
	expect_http 204 -X DELETE "${NODE_URLS[0]}/kv/$KEY"
	stop_process s0a
	nodes_start
}

listing_can_be_turned_off_and_a_token_asked_for()
{
	stop_process s0a
	printf 'secret\n' >"$TMP/token"
	NODE_ARGS=(--no-listing --token-file "$TMP/token")
	nodes_start
	NODE_ARGS=()
	expect_http 401 "${NODE_URLS[0]}/keys"
	expect_http 401 "${NODE_URLS[0]}/keys" -H 'Authorization: Bearer wrong'
	expect_http 403 "${NODE_URLS[0]}/keys" -H 'Authorization: Bearer secret'
	expect_equal false "$(body_json .retryable)"
	expect_http 200 "${NODE_URLS[0]}/health/ready"
	expect_http 200 "${NODE_URLS[0]}/status" -H 'Authorization: Bearer secret'
	stop_process s0a
	nodes_start
}

# Writes until the node is gone; what was acknowledged is in $TMP/acknowledged-N.
write_until_it_dies()
{
	local i
	for ((i = 0; i < 100000; i++)); do
		printf -v key '%02x%06x' "$1" "$i"
		curl -sS -f -m 10 -o /dev/null -X PUT -d "value $key" "$NODE/kv/$key" 2>/dev/null || return 0
		printf '%s\n' "$key" >>"$TMP/acknowledged-$1"
	done
}

# A node alone, so that it owns every key.
alone()
{
	stop_process s0a
	stop_process s1a
	write_cluster_file 1 "$PORT_BASE"
	rm -rf "$TMP/data-s0a"
	NODE_ARGS=(--memtable-bytes 16K)
	nodes_start
	NODE=${NODE_URLS[0]}
}

has_acknowledged()
{
	[[ -f $TMP/acknowledged-$1 && $(wc -l <"$TMP/acknowledged-$1") -ge $2 ]]
}

nothing_acknowledged_is_lost_by_kill_9()
{
	local round writer
	alone
	for round in 1 2 3; do
		for writer in 1 2 3 4; do
			write_until_it_dies $((round * 16 + writer)) &
		done
		for writer in 1 2 3 4; do
			expect_within 60 has_acknowledged $((round * 16 + writer)) 20
		done
		kill_process s0a
		# shellcheck disable=SC2046 # one argument each
		wait $(jobs -p)
		nodes_start
	done
	cat "$TMP"/acknowledged-* | while read -r key; do
		printf 'next\nurl = "%s/kv/%s"\nfail\nwrite-out = "\\n"\n' "$NODE" "$key"
	done >"$TMP/gets"
	curl -sS -K "$TMP/gets" >"$TMP/values" || fail "a record is gone: $(tail -1 "$TMP/values")"
	sed 's/^/value /' "$TMP"/acknowledged-* | cmp - "$TMP/values" || fail 'a value is wrong'
}

a_stop_waits_for_what_is_under_way()
{
	head -c 3000000 /dev/urandom >"$TMP/value"
	start_process writer curl -sS -f --limit-rate 2M -T "$TMP/value" "$NODE/kv/ffff"
	expect_within 10 has_upload
	stop_process s0a
	finish_process writer
	nodes_start
	expect_http 200 "$NODE/kv/ffff"
	expect_same_file "$TMP/value" "$BODY"
}

has_upload()
{
	[[ -n $(find "$TMP/data-s0a/value" -type f -size +100k) ]]
}

a_damaged_log_is_refused_and_named()
{
	local file
	expect_http 201 -X PUT -d "$(printf '%01000d' 0)" "$NODE/kv/fffe"
	expect_http 201 -X PUT -d "$(printf '%01000d' 0)" "$NODE/kv/fffd"
	stop_process s0a
	file=$(find "$TMP/data-s0a/log" -name '*.wal' | sort | tail -1)
	# The value's zeros, in the middle of the first of the two records.
	printf 'X' | dd of="$file" bs=1 conv=notrunc status=none \
		seek=$(($(grep -abo '000000000000' "$file" | head -1 | cut -d: -f1) + 100))
	expect_exit 1 "$NODE_BIN" --data "$TMP/data-s0a" --cluster "$CLUSTER" --name s0a
	expect_contains "$OUTPUT" "$(basename "$file")"
	[[ $OUTPUT =~ [0-9]{2,} ]] || fail "no offset: $OUTPUT"
	expect_exit 1 "$NODE_BIN" --check "$TMP/data-s0a"
}

need_command jq
free_ports
write_cluster_file 2 "$PORT_BASE"
nodes_start
run_cases \
	bad_arguments_are_refused_with_one_sentence \
	a_taken_port_is_named \
	a_directory_has_one_node_at_a_time \
	a_directory_of_another_node_is_refused \
	what_belongs_elsewhere_is_421_and_says_where \
	a_node_that_does_not_lead_sends_to_the_leader \
	listing_can_be_turned_off_and_a_token_asked_for \
	nothing_acknowledged_is_lost_by_kill_9 \
	a_stop_waits_for_what_is_under_way \
	a_damaged_log_is_refused_and_named
