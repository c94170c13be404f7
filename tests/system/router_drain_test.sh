#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Writers at once through the router: of one version one wins, and what a router that is told to stop had taken on is
# answered; nothing is lost and nothing applied twice.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

HERE=$(dirname "$0")

of_a_hundred_writers_with_one_condition_one_wins()
{
	local round codes url
	for round in 1 2; do
		url=$ROUTER/kv/ee0$round
		codes=$(race "$url" 'If-None-Match: *')
		expect_equal '201x1 412x99 ' "$codes"
		http -I "$url"
		codes=$(race "$url" "If-Match: $(header ETag)")
		expect_equal '204x1 412x99 ' "$codes"
	done
}

# race URL CONDITION: how many got which status.
race()
{
	seq 100 | xargs -P 16 -I{} curl -sS -m 60 -o /dev/null -w '%{http_code}\n' -X PUT -d 'writer {}' \
		-H "$2" "$1" | sort | uniq -c | awk '{ print $2 "x" $1 }' | tr '\n' ' '
}

# A request id counts at whichever router it is shown.
a_write_sent_again_is_applied_once()
{
	local id i etag
	id=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	expect_http 201 -X PUT "$ROUTER/kv/ab01" -d first -H "HexKV-Request-Id: $id" -H 'If-None-Match: *'
	etag=$(header ETag)
	expect_http 204 -X PUT "$ROUTER/kv/ab01" -d second
	for i in 1 2 3; do
		expect_http 201 -X PUT "$ROUTER/kv/ab01" -d first -H "HexKV-Request-Id: $id" -H 'If-None-Match: *'
		expect_equal true "$(header HexKV-Repeated)"
		expect_equal "$etag" "$(header ETag)"
	done
	expect_http 200 "$ROUTER/kv/ab01"
	expect_equal second "$(cat "$BODY")"
}

# A few times over: writers, whose requests must not fail beyond what sending again mends, while routers come and go.
routers_that_stop_under_load_lose_nothing()
{
	local i
	start_process writers python3 "$HERE/retrying_writers.py" "$TMP/stop" "$TMP/result" "$ROUTER" 0
	start_process watcher python3 "$HERE/ready_watcher.py" 127.0.0.1 "$ROUTER_PORT" "$TMP/stop"
	for i in 1 2 3; do
		expect_within 20 some_were_written $((i * 30))
		stop_process router
		grep -q 'event=stopped status=0' "$TMP/log/router" || fail 'the router did not say that it ended well'
		router_start
	done
	expect_within 20 some_were_written 120
	touch "$TMP/stop"
	finish_process writers
	finish_process watcher
	cat "$TMP/log/writers"
	tail -1 "$TMP/log/watcher"
	everything_is_there
}

# some_were_written COUNT
some_were_written()
{
	(($(curl -sS -m 5 "$ROUTER/keys?limit=1000" | jq '.names | length') >= $1))
}

everything_is_there()
{
	local key value
	while read -r key value; do
		expect_http 200 "$ROUTER/kv/$key"
		expect_equal "${value//_/ }" "$(cat "$BODY")"
	done < <(shuf -n 100 "$TMP/result")
}

# An upload that is under way when the router is told to stop arrives, and its answer too.
an_upload_under_way_is_finished()
{
	head -c 4000000 /dev/urandom >"$TMP/value"
	start_process writer curl -sS -f --limit-rate 2M -T "$TMP/value" "$ROUTER/kv/ffff"
	expect_within 10 has_upload
	stop_process router
	finish_process writer
	router_start
	expect_http 200 "$ROUTER/kv/ffff"
	expect_same_file "$TMP/value" "$BODY"
}

has_upload()
{
	[[ -n $(find "$TMP"/data-*/value -type f -size +100k) ]]
}

need_command python3
cluster_start 2
run_cases \
	of_a_hundred_writers_with_one_condition_one_wins \
	a_write_sent_again_is_applied_once \
	routers_that_stop_under_load_lose_nothing \
	an_upload_under_way_is_finished
