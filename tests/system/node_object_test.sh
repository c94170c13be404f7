#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# One node without a router: every answer that its object door can give.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# problem OUTCOME: the last answer is problem+json with everything in it.
expect_problem()
{
	expect_equal application/problem+json "$(header content-type)" 'content type'
	expect_equal "$STATUS" "$(body_json .status)" 'status in the problem'
	expect_equal "$1" "$(body_json .outcome)" 'outcome'
	[[ $(body_json .request_id) =~ ^[0-9a-f]{32}$ ]] || fail "no request id: $(cat "$BODY")"
	[[ $(body_json .retryable) =~ ^(true|false)$ ]] || fail "not retryable or not: $(cat "$BODY")"
	[[ -n $(body_json .detail) ]] || fail "no detail: $(cat "$BODY")"
}

refused()
{
	expect_http "$@"
	expect_problem not-applied
}

put()
{
	expect_http "$1" -X PUT --data-binary "$3" "$NODE/kv/$2" "${@:4}"
}

a_raw_put_is_created_then_replaced_with_default_labels()
{
	expect_http 201 -T - "$NODE/kv/00a1" -H 'Content-Type:' <<<'one'
	local first
	first=$(header etag)
	[[ $first =~ ^\"[0-9a-f]+-[0-9a-f]+\"$ ]] || fail "etag is $first"
	[[ $(header hexkv-request-id) =~ ^[0-9a-f]{32}$ ]] || fail 'no request id'
	expect_http 204 -T - "$NODE/kv/00A1" -H 'Content-Type:' <<<'two'
	[[ $(header etag) != "$first" ]] || fail 'the version did not change'
	expect_http 200 "$NODE/kv/00a1"
	expect_equal two "$(cat "$BODY")"
	expect_equal application/octet-stream "$(header content-type)"
	expect_equal binary "$(header hexkv-encoding)"
	expect_equal 4 "$(header content-length)"
	[[ -n $(header last-modified) ]] || fail 'no Last-Modified'
}

labels_and_mtime_are_kept_exactly()
{
	put 201 00a2 x -H 'Content-Type: text/plain; charset="Grün"' -H 'HexKV-Encoding: utf-8 ~' \
		-H 'HexKV-Mtime: 9007199254740993'
	expect_http 200 "$NODE/kv/00a2"
	expect_equal 'text/plain; charset="Grün"' "$(header content-type)"
	expect_equal 'utf-8 ~' "$(header hexkv-encoding)"
	expect_equal 9007199254740993 "$(header hexkv-mtime)"
	expect_equal true "$(header hexkv-utf8)"
}

an_empty_value_is_a_value()
{
	expect_http 201 -X PUT "$NODE/kv/00a3" -H 'Content-Length: 0'
	expect_http 200 "$NODE/kv/00a3"
	expect_equal 0 "$(header content-length)"
	refused 416 "$NODE/kv/00a3" -H 'Range: bytes=0-0'
}

head_says_what_get_says()
{
	local size get
	for size in 5 100000; do
		head -c "$size" /dev/urandom >"$TMP/value"
		http -X PUT -T "$TMP/value" "$NODE/kv/00a4"
		expect_http 200 "$NODE/kv/00a4"
		get=$(grep -vi '^date:' "$HEADERS")
		expect_same_file "$TMP/value" "$BODY"
		expect_http 200 -I "$NODE/kv/00a4"
		expect_equal "$get" "$(grep -vi '^date:' "$HEADERS")" 'headers'
	done
}

one_range_is_served()
{
	put 201 00a5 0123456789
	local etag=''
	etag=$(header etag)
	expect_http 206 "$NODE/kv/00a5" -H 'Range: bytes=2-4'
	expect_equal 234 "$(cat "$BODY")"
	expect_equal 'bytes 2-4/10' "$(header content-range)"
	expect_http 206 "$NODE/kv/00a5" -H 'Range: bytes=-3'
	expect_equal 789 "$(cat "$BODY")"
	expect_http 206 "$NODE/kv/00a5" -H 'Range: bytes=7-99'
	expect_equal 'bytes 7-9/10' "$(header content-range)"
	expect_http 206 "$NODE/kv/00a5" -H 'Range: bytes=1-1' -H "If-Range: $etag"
	expect_http 200 "$NODE/kv/00a5" -H 'Range: bytes=1-1' -H 'If-Range: "1-1"'
	expect_http 200 "$NODE/kv/00a5" -H 'Range: bytes=1-1,3-3'
	refused 416 "$NODE/kv/00a5" -H 'Range: bytes=10-'
	expect_equal 'bytes */10' "$(header content-range)"
	expect_http 200 -I "$NODE/kv/00a5" -H 'Range: bytes=1-1'
}

preconditions_are_kept()
{
	put 201 00a6 one -H 'If-None-Match: *'
	local first second
	first=$(header etag)
	refused 412 -X PUT -d x "$NODE/kv/00a6" -H 'If-None-Match: *'
	put 204 00a6 two -H "If-Match: $first"
	second=$(header etag)
	refused 412 -X PUT -d x "$NODE/kv/00a6" -H "If-Match: $first"
	refused 412 -X DELETE "$NODE/kv/00a6" -H "If-Match: $first"
	refused 412 -X PATCH -d '{"encoding":"x"}' "$NODE/kv/00a6" -H "If-Match: $first"
	refused 412 -X MOVE "$NODE/kv/00a6" -H 'Destination: /kv/00a7' -H "If-Match: $first"
	expect_http 304 "$NODE/kv/00a6" -H "If-None-Match: $second"
	expect_equal "$second" "$(header etag)"
	expect_http 200 "$NODE/kv/00a6" -H "If-None-Match: $first"
	refused 412 "$NODE/kv/00a6" -H "If-Match: $first"
	expect_http 200 "$NODE/kv/00a6" -H 'If-Match: *'
	# RFC 9110 13.2.1: what would not succeed anyway is not 412.
	refused 404 "$NODE/kv/00a9" -H 'If-Match: *'
	refused 412 -X PUT -d x "$NODE/kv/00a9" -H 'If-Match: *'
}

a_large_put_that_can_not_succeed_is_refused_before_its_body()
{
	put 201 00aa x
	# Sent slowly it would take an hour.
	head -c 3600000 /dev/zero >"$TMP/value"
	refused 412 -m 20 --limit-rate 1000 -T "$TMP/value" "$NODE/kv/00aa" -H 'If-None-Match: *'
	refused 412 -m 20 --limit-rate 1000 -T "$TMP/value" "$NODE/kv/00aa" -H 'If-None-Match: *' \
		-H 'HexKV-Request-Id: 0123456789abcdef0123456789abcd00'
}

a_delete_is_told_once()
{
	put 201 00b1 x
	expect_http 204 -X DELETE "$NODE/kv/00b1"
	refused 404 "$NODE/kv/00b1"
	refused 404 -X DELETE "$NODE/kv/00b1"
}

a_patch_changes_labels_and_not_the_value()
{
	put 201 00b2 value
	local first
	first=$(header etag)
	expect_http 204 -X PATCH "$NODE/kv/00b2" -d '{"content_type":"text/x","mtime_ns":-5}' \
		-H 'Content-Type: application/merge-patch+json'
	[[ $(header etag) != "$first" ]] || fail 'the version did not change'
	expect_http 200 "$NODE/kv/00b2"
	expect_equal value "$(cat "$BODY")"
	expect_equal text/x "$(header content-type)"
	expect_equal binary "$(header hexkv-encoding)"
	expect_equal -5 "$(header hexkv-mtime)"
	refused 404 -X PATCH "$NODE/kv/00bf" -d '{"encoding":"x"}'
}

a_patch_that_is_wrong_changes_nothing()
{
	local patch
	put 201 00b3 value
	for patch in '{"encoding":null}' '{"colour":"red"}' '{"encoding":1}' '{"mtime_ns":"1"}' \
		'{"mtime_ns":1.5}' '{"encoding":"a","encoding":"b"}' '[]' '"x"' '' '{' '{"encoding":""}' \
		'{"encoding":" a"}' '{"encoding":"a\u0000b"}' '{} {}'; do
		refused 400 -X PATCH "$NODE/kv/00b3" -d "$patch"
	done
	head -c 16385 /dev/zero | tr '\0' ' ' >"$TMP/value"
	refused 413 -X PATCH "$NODE/kv/00b3" --data-binary "@$TMP/value"
	refused 413 -X PATCH "$NODE/kv/00b3" --data-binary "@$TMP/value" -H 'Transfer-Encoding: chunked'
	expect_http 200 -I "$NODE/kv/00b3"
	expect_equal binary "$(header hexkv-encoding)"
}

an_empty_patch_is_a_barrier()
{
	local etag
	put 201 00b4 value -H 'HexKV-Durability: memory'
	etag=$(header etag)
	expect_http 204 -X PATCH "$NODE/kv/00b4" -d '{}' -H 'HexKV-Durability: disk'
	expect_http 200 -I "$NODE/kv/00b4"
	expect_equal "$etag" "$(header etag)"
	refused 404 -X PATCH "$NODE/kv/00be" -d '{}'
}

a_move_takes_everything_along()
{
	put 201 00c1 value -H 'Content-Type: text/plain' -H 'HexKV-Mtime: 77'
	expect_http 201 -X MOVE "$NODE/kv/00c1" -H 'Destination: /kv/00c2'
	refused 404 "$NODE/kv/00c1"
	expect_http 200 "$NODE/kv/00c2"
	expect_equal value "$(cat "$BODY")"
	expect_equal text/plain "$(header content-type)"
	put 201 00c3 other
	refused 412 -X MOVE "$NODE/kv/00c2" -H "Destination: $NODE/kv/00c3" -H 'Overwrite: F'
	expect_http 204 -X MOVE "$NODE/kv/00c2" -H "Destination: $NODE/kv/00C3"
	expect_http 200 "$NODE/kv/00c3"
	expect_equal value "$(cat "$BODY")"
	refused 404 -X MOVE "$NODE/kv/00c9" -H 'Destination: /kv/00c8'
	refused 400 -X MOVE "$NODE/kv/00c3"
	refused 400 -X MOVE "$NODE/kv/00c3" -H 'Destination: /elsewhere'
	refused 403 -X MOVE "$NODE/kv/00c3" -H 'Destination: /kv/00c3'
}

what_is_malformed_is_refused()
{
	local key
	for key in 0 0g xyz '' "$(printf '%0256d' 0)" '%30'; do
		refused 400 "$NODE/kv/$key"
	done
	expect_http 201 -X PUT -d longest "$NODE/kv/$(printf '%0254d' 0)"
	expect_http 204 -X DELETE "$NODE/kv/$(printf '%0254d' 0)"
	refused 400 -X PUT -d x "$NODE/kv/00d1" -H 'HexKV-Mtime: soon'
	refused 400 -X PUT -d x "$NODE/kv/00d1" -H 'HexKV-Durability: maybe'
	refused 400 -X PUT -d x "$NODE/kv/00d1" -H 'HexKV-Ack: some'
	refused 400 -X PUT -d x "$NODE/kv/00d1" -H 'HexKV-Encoding;'
	refused 400 -X PUT -d x "$NODE/kv/00d1" -H "Content-Type: $(printf '%0256d' 0)"
	refused 400 -X PUT -d x "$NODE/kv/00d1" -H 'Content-Range: bytes 0-0/2'
	expect_http 400 -X PUT -d x "$NODE/kv/00d1" -H 'HexKV-Request-Id: 12'
	refused 404 "$NODE/kv/00d1"
}

what_is_not_there_is_404_and_what_can_not_be_done_405()
{
	refused 404 "$NODE/"
	refused 404 "$NODE/kv"
	refused 404 "$NODE/elsewhere"
	refused 404 --path-as-is "$NODE/kv/../status"
	refused 404 --path-as-is "$NODE/kv/.."
	refused 404 "$NODE/kv/00/00"
	refused 405 -X POST -d x "$NODE/kv/00d2"
	expect_equal 'GET, HEAD, PUT, DELETE, PATCH, MOVE' "$(header allow)"
	refused 405 -X BREW "$NODE/kv/00d2"
	refused 405 -X DELETE "$NODE/keys"
	expect_equal 'GET, HEAD' "$(header allow)"
	refused 405 -X PUT -d x "$NODE/status"
}

a_request_id_is_applied_once()
{
	local id=0123456789abcdef0123456789abcdef etag
	put 201 00e1 one -H "HexKV-Request-Id: $id" -H 'If-None-Match: *'
	etag=$(header etag)
	expect_equal "$id" "$(header hexkv-request-id)"
	put 204 00e1 two
	put 201 00e1 one -H "HexKV-Request-Id: $id" -H 'If-None-Match: *'
	expect_equal "$etag" "$(header etag)"
	expect_http 200 "$NODE/kv/00e1"
	expect_equal two "$(cat "$BODY")"
	# The same with a value that goes to a file of its own.
	id=0123456789abcdef0123456789abcdee
	head -c 300000 /dev/urandom >"$TMP/value"
	expect_http 201 -T "$TMP/value" "$NODE/kv/00e2" -H "HexKV-Request-Id: $id" -H 'If-None-Match: *'
	etag=$(header etag)
	expect_http 201 -T "$TMP/value" "$NODE/kv/00e2" -H "HexKV-Request-Id: $id" -H 'If-None-Match: *'
	expect_equal "$etag" "$(header etag)"
}

of_a_hundred_writers_with_one_version_one_wins()
{
	local round etag codes
	put 201 00e3 start
	for round in 1 2 3; do
		etag=$(curl -sS -I "$NODE/kv/00e3" | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
		codes=$(seq 100 | xargs -P 16 -I{} curl -sS -m 60 -o /dev/null -w '%{http_code}\n' \
			-X PUT -d "$round {}" -H "If-Match: $etag" "$NODE/kv/00e3" | sort | uniq -c |
			awk '{ print $2 "x" $1 }' | tr '\n' ' ')
		expect_equal '204x1 412x99 ' "$codes"
	done
}

keys_come_in_pages()
{
	local i names='' cursor=''
	for i in $(seq 10 34); do
		printf 'next\nurl = "%s/kv/ff%s"\nrequest = PUT\ndata = "%s"\noutput = /dev/null\n' \
			"$NODE" "$i" "$i"
	done >"$TMP/puts"
	curl -sS -K "$TMP/puts"
	while :; do
		expect_http 200 "$NODE/keys?limit=7${cursor:+&cursor=$cursor}"
		(($(body_json '.names | length') <= 7)) || fail 'a page is too long'
		names+=$(body_json '.names[].key')$'\n'
		cursor=$(body_json .cursor)
		[[ $cursor != null ]] || break
	done
	expect_equal "$(printf '%s' "$names" | sort -u)" "${names%$'\n'}" 'order'
	expect_equal 25 "$(grep -c '^ff' <<<"$names")"
	expect_http 200 "$NODE/keys?cursor=fe"
	expect_equal ff10 "$(body_json '.names[0].key')"
	expect_equal 2 "$(body_json '.names[0].size')"
	expect_http 200 -I "$NODE/kv/ff10"
	local etag mtime
	etag=$(header etag)
	mtime=$(header hexkv-mtime)
	expect_http 200 "$NODE/keys?cursor=fe&limit=1"
	expect_equal "$etag" "$(body_json '.names[0].etag')"
	expect_contains "$(cat "$BODY")" "\"mtime_ns\":$mtime"
	for i in limit=0 limit=1001 limit=x limit= cursor=0 cursor=zz cursor=; do
		refused 400 "$NODE/keys?$i"
	done
}

the_node_says_how_it_is()
{
	expect_http 200 "$NODE/health/live"
	expect_http 200 "$NODE/health/ready"
	expect_http 200 "$NODE/status"
	expect_equal s0a "$(body_json .name)"
	expect_equal leader "$(body_json .role)"
	expect_equal true "$(body_json .ready)"
	[[ $(body_json .store.id) =~ ^[0-9a-f]{32}$ ]] || fail "$(cat "$BODY")"
	expect_http 200 "$NODE/topology"
	expect_equal test "$(body_json .cluster)"
	expect_http 200 "$NODE/metrics" -H 'Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1'
	expect_equal 'application/openmetrics-text; version=1.0.0; charset=utf-8' "$(header content-type)"
	expect_equal '# EOF' "$(tail -1 "$BODY")"
	grep -q '^hexkv_node_answers_total{method="GET",code="404"} [1-9]' "$BODY" || fail "$(cat "$BODY")"
	grep -q '^hexkv_store_log_entries_total [1-9]' "$BODY" || fail "$(cat "$BODY")"
}

a_copy_on_every_node_of_one_is_the_leaders()
{
	put 201 00f1 x -H 'HexKV-Ack: quorum'
	put 204 00f1 x -H 'HexKV-Ack: all'
}

need_command jq
free_ports
write_cluster_file 1 "$PORT_BASE"
nodes_start
NODE=${NODE_URLS[0]}
run_cases \
	a_raw_put_is_created_then_replaced_with_default_labels \
	labels_and_mtime_are_kept_exactly \
	an_empty_value_is_a_value \
	head_says_what_get_says \
	one_range_is_served \
	preconditions_are_kept \
	a_large_put_that_can_not_succeed_is_refused_before_its_body \
	a_delete_is_told_once \
	a_patch_changes_labels_and_not_the_value \
	a_patch_that_is_wrong_changes_nothing \
	an_empty_patch_is_a_barrier \
	a_move_takes_everything_along \
	what_is_malformed_is_refused \
	what_is_not_there_is_404_and_what_can_not_be_done_405 \
	a_request_id_is_applied_once \
	of_a_hundred_writers_with_one_version_one_wins \
	keys_come_in_pages \
	the_node_says_how_it_is \
	a_copy_on_every_node_of_one_is_the_leaders
