#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What Prometheus' own tool says of our numbers.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

promtool_has_no_complaint()
{
	local url
	for url in "$ROUTER" "${NODE_URLS[@]}"; do
		expect_http 200 "$url/metrics"
		promtool check metrics <"$BODY" || fail "promtool complains about $url/metrics"
	done
}

# Names, too, of what is counted only once it happens.
some_of_everything_is_counted()
{
	expect_http 201 -X PUT "$ROUTER/kv/01" -d value
	expect_http 200 "$ROUTER/kv/01"
	expect_http 404 "$ROUTER/kv/02"
	expect_http 400 -X POST "$ROUTER/"
	expect_http 200 "$ROUTER/keys"
	head -c 1000000 /dev/zero >"$TMP/large"
	expect_http 201 -X PUT "$ROUTER/kv/03" -T "$TMP/large"
	expect_http 200 "$ROUTER/kv/03"
	expect_http 204 -X DELETE "$ROUTER/kv/03"
}

need_command promtool
cluster_start 2
run_cases some_of_everything_is_counted promtool_has_no_complaint
