#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What the programs say to arguments, cluster files, directories and ports that can't work.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

help_and_version_are_there()
{
	local program
	for program in "$NODE_BIN" "$ROUTER_BIN" "$FS_BIN"; do
		expect_exit 0 "$program" --help
		expect_contains "$OUTPUT" "${program##*/}"
		expect_contains "$OUTPUT" --version
		expect_exit 0 "$program" --version
		expect_contains "$OUTPUT" "${program##*/} "
	done
}

an_unknown_option_exits_2()
{
	local program
	for program in "$NODE_BIN" "$ROUTER_BIN" "$FS_BIN"; do
		expect_sentence 2 colour "$program" --colour
	done
}

what_is_missing_is_said()
{
	expect_sentence 2 '--data' "$NODE_BIN"
	expect_sentence 2 '--cluster' "$ROUTER_BIN"
	expect_exit 2 "$FS_BIN"
	expect_exit 2 "$FS_BIN" "http://127.0.0.1:1"
	expect_exit 2 "$FS_BIN" 'not a url' "$TMP"
	expect_exit 2 "$FS_BIN" http://127.0.0.1:1 "$TMP" -o colour
}

router_with()
{
	printf '%s\n' "$1" >"$TMP/broken.json"
	timeout $((20 * PATIENCE)) "$ROUTER_BIN" --listen 127.0.0.1:0 --cluster "$TMP/broken.json"
}

node_with()
{
	printf '%s\n' "$1" >"$TMP/broken.json"
	timeout $((20 * PATIENCE)) "$NODE_BIN" --data "$TMP/data" --listen 127.0.0.1:0 \
		--cluster "$TMP/broken.json" --name a
}

a_broken_cluster_file_exits_2()
{
	local text nodes='"nodes": [{"name": "a", "url": "http://127.0.0.1:1"}]'
	while IFS= read -r text; do
		text=${text//NODES/$nodes}
		expect_exit 2 router_with "$text"
		expect_equal 1 "$(wc -l <<<"$OUTPUT")" "lines of '$OUTPUT'"
		expect_exit 2 node_with "$text"
	done <<-'TEXT'
		{"cluster": "c", "shards": [
		{"cluster": "c", "shards": []}
		{"cluster": "c", "shards": [{"name": "s", "slots": [[0, 4094]], "leader": "a", NODES}]}
		{"cluster": "c", "shards": [{"name": "s", "slots": [[0, 4096]], "leader": "a", NODES}]}
		{"cluster": "c", "shards": [{"name": "s", "slots": [[0, 4095], [7, 7]], "leader": "a", NODES}]}
		{"cluster": "c", "shards": [{"name": "s", "slots": [[0, 4095]], "leader": "b", NODES}]}
		{"cluster": "c", "shards": [{"name": "s", "slots": [[0, 4095]], "leader": "a", "nodes": []}]}
		{"cluster": "c", "shards": [{"name": "s", "slots": [[0, 2047]], "leader": "a", NODES}, {"name": "t", "slots": [[2048, 4095]], "leader": "a", NODES}]}
		{"cluster": "c", "shards": [{"name": "s", "slots": [[0, 4095]], "leader": "a", "nodes": [{"name": "a", "url": "elsewhere"}]}]}
	TEXT
	expect_sentence 2 "$TMP/nowhere.json" "$ROUTER_BIN" --listen 127.0.0.1:0 --cluster "$TMP/nowhere.json"
}

a_name_that_is_not_in_the_file_exits_2()
{
	expect_sentence 2 stranger "$NODE_BIN" --data "$TMP/stranger" --listen 127.0.0.1:0 \
		--cluster "$CLUSTER" --name stranger
}

a_taken_port_exits_1_and_is_named()
{
	expect_exit 1 timeout $((20 * PATIENCE)) "$ROUTER_BIN" --listen "127.0.0.1:$ROUTER_PORT" \
		--cluster "$CLUSTER"
	expect_contains "$OUTPUT" "$ROUTER_PORT"
	expect_exit 1 timeout $((20 * PATIENCE)) "$NODE_BIN" --data "$TMP/other" \
		--listen "${NODE_URLS[0]#http://}" --cluster "$CLUSTER" --name s0a
	expect_contains "$OUTPUT" "${NODE_URLS[0]##*:}"
}

a_data_directory_serves_one_process_and_one_name()
{
	expect_exit 2 timeout $((20 * PATIENCE)) "$NODE_BIN" --data "$TMP/data-s0a" \
		--listen "127.0.0.1:$((PORT_BASE + 9))" --cluster "$CLUSTER" --name s0a
	stop_process s0a
	expect_exit 2 timeout $((20 * PATIENCE)) "$NODE_BIN" --data "$TMP/data-s0a" \
		--listen "127.0.0.1:$((PORT_BASE + 9))" --cluster "$CLUSTER" --name s1a
	expect_contains "$OUTPUT" s0a
	nodes_start
}

a_check_of_a_healthy_directory_is_0()
{
	expect_http 201 -X PUT "$ROUTER/kv/0102" -d value
	stop_process s0a
	expect_exit 0 "$NODE_BIN" --check "$TMP/data-s0a"
	nodes_start
}

a_mount_point_that_is_not_there_exits_1_or_2()
{
	local status=0
	need_fuse
	timeout $((20 * PATIENCE)) "$FS_BIN" "$ROUTER" "$TMP/no/such/place" -f >"$TMP/said" 2>&1 ||
		status=$?
	((status == 1 || status == 2)) || fail "it ended with $status"
	expect_contains "$(cat "$TMP/said")" "$TMP/no/such/place"
}

cluster_start 2
run_cases \
	help_and_version_are_there \
	an_unknown_option_exits_2 \
	what_is_missing_is_said \
	a_broken_cluster_file_exits_2 \
	a_name_that_is_not_in_the_file_exits_2 \
	a_taken_port_exits_1_and_is_named \
	a_data_directory_serves_one_process_and_one_name \
	a_check_of_a_healthy_directory_is_0 \
	a_mount_point_that_is_not_there_exits_1_or_2
