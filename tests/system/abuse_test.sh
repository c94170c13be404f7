#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Clients that are broken, many, or mean it: each gets the right answer or none, and nobody else
# notices.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

HERE=$(dirname "$0")

malformed_requests_are_refused_one_by_one()
{
	local port door=router
	for port in "$ROUTER_PORT" "$((ROUTER_PORT + 1))"; do
		OUTPUT=$(python3 "$HERE/malformed.py" 127.0.0.1 "$port" "$door") || fail "$OUTPUT"
		printf '  %s: %s\n' "$door" "$(tail -1 <<<"$OUTPUT")"
		door=node
	done
}

ten_thousand_idle_connections_disturb_nobody()
{
	local count=10000 files
	files=$(ulimit -Hn)
	[[ $files == unlimited ]] || ((files > count + 1000)) || count=$((files / 2))
	OUTPUT=$(python3 "$HERE/crowd_http.py" idle "$count" 127.0.0.1 "$ROUTER_PORT" /kv/01 2>&1) ||
		fail "$OUTPUT"
	printf '  %s\n' "$OUTPUT"
}

all_wait()
{
	grep -q 'all wait' "$TMP/deaf" 2>/dev/null
}

clients_that_do_not_read_hold_little_memory()
{
	local pid i
	head -c $((8 * 1024 * 1024)) /dev/urandom >"$TMP/large"
	expect_http 201 -X PUT "$ROUTER/kv/02" -T "$TMP/large"
	mkfifo "$TMP/go-on"
	python3 "$HERE/crowd_http.py" deaf 140 127.0.0.1 "$ROUTER_PORT" /kv/02 <"$TMP/go-on" \
		>"$TMP/deaf" 2>&1 &
	pid=$!
	exec {GO_ON}>"$TMP/go-on"
	expect_within 60 all_wait
	for ((i = 0; i < 50; i++)); do
		expect_http 200 -m 10 "$ROUTER/kv/01"
		expect_http 204 -m 10 -X PUT "$ROUTER/kv/01" -d value
	done
	expect_peak_below router $((100 * 1024))
	# A node may hold 64 MiB of chunks in each of its two workers.
	expect_peak_below s0a $((250 * 1024))
	exec {GO_ON}>&-
	wait "$pid" || fail "$(cat "$TMP/deaf")"
	printf '  %s\n' "$(tail -1 "$TMP/deaf")"
}

need_command python3
ROUTER_ARGS=(--connection-limit 8000 --address-limit 8000 --idle-timeout 3600)
cluster_start 1
expect_http 201 -X PUT "$ROUTER/kv/01" -d value
run_cases \
	clients_that_do_not_read_hold_little_memory \
	ten_thousand_idle_connections_disturb_nobody \
	malformed_requests_are_refused_one_by_one
