#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Clients that say a little now and then, and never enough (slowhttptest).

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# A second router, which has less patience.
strict_router()
{
	STRICT=http://127.0.0.1:$((ROUTER_PORT + 8))
	start_process strict "$ROUTER_BIN" --listen "${STRICT#http://}" --cluster "$CLUSTER" \
		--head-timeout 2 --body-timeout 2
	wait_ready strict "$STRICT"
}

# expect_cut_off OPTIONS...: slowhttptest, whose connections must all be ended by the server, although
# each of them says something every second; others are served all the while.
expect_cut_off()
{
	start_process slow slowhttptest -c 100 -r 200 -l 60 -p 5 -i 1 -s 100000 -u "$STRICT/kv/01" "$@"
	while process_runs slow; do
		expect_http 200 -m 10 "$STRICT/kv/01"
	done
	finish_process slow
	grep -aq 'No open connections left' "$TMP/log/slow" ||
		fail "slowhttptest $*: $(tail -5 "$TMP/log/slow")"
	rm "$TMP/log/slow"
}

heads_and_bodies_that_drip_are_cut_off()
{
	expect_cut_off -H
	expect_cut_off -B -t PUT
	expect_cut_off -B -t POST
}

need_command slowhttptest
cluster_start 1
expect_http 201 -X PUT "$ROUTER/kv/01" -d value
strict_router
run_cases heads_and_bodies_that_drip_are_cut_off
