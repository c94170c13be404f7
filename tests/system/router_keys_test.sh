#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Names over all shards: every one exactly once, in order within a shard, in pages of any size.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

KEYS=2500

# Fills the store with one curl, which keeps its connection.
fill()
{
	local i
	for ((i = 0; i < KEYS; i++)); do
		printf 'url = "%s/kv/%06x"\nupload-file = "%s"\noutput = /dev/null\n' \
			"$ROUTER" $((i * 6700417 % 16777216)) "$TMP/value"
	done >"$TMP/config"
	printf value >"$TMP/value"
	curl -sS --fail-with-body -H 'HexKV-Durability: memory' -K "$TMP/config" || fail 'the store was not filled'
	for ((i = 0; i < KEYS; i++)); do
		printf '%06x\n' $((i * 6700417 % 16777216))
	done | sort >"$TMP/expected"
}

# list LIMIT: all names, page by page, to $TMP/names; PAGES counts them.
list()
{
	local cursor=''
	PAGES=0
	: >"$TMP/names"
	while :; do
		expect_http 200 "$ROUTER/keys?limit=$1${cursor:+&cursor=$cursor}"
		(($(body_json '.names | length') <= $1)) || fail 'a page is longer than its limit'
		body_json '.names[].key' >>"$TMP/names"
		cursor=$(body_json '.cursor // ""')
		PAGES=$((PAGES + 1))
		[[ -n $cursor ]] || break
		((PAGES <= KEYS)) || fail 'the listing does not end'
	done
}

every_name_comes_exactly_once()
{
	local limit
	for limit in 1000 999 100; do
		list "$limit"
		sort "$TMP/names" | cmp - "$TMP/expected" || fail "wrong names with limit $limit"
		((PAGES >= KEYS / limit && PAGES <= KEYS / limit + 3)) || fail "$PAGES pages"
	done
}

names_are_in_order_within_each_shard()
{
	local i
	list 500
	for i in 0 1; do
		curl -sS "${NODE_URLS[i]}/keys?limit=1000" | jq -r '.names[].key'
	done >"$TMP/first-pages"
	# Where the order falls there is a new shard: once in two shards.
	expect_equal 1 "$(awk 'NR > 1 && $0 < last { falls++ } { last = $0 } END { print falls + 0 }' \
		"$TMP/names")"
	expect_equal "$(head -1 "$TMP/first-pages")" "$(head -1 "$TMP/names")"
}

a_name_tells_size_mtime_and_etag()
{
	expect_http 201 -X PUT "$ROUTER/kv/00" -d 12345 -H 'HexKV-Mtime: 1700000000123456789'
	local etag
	etag=$(header ETag)
	list 1000
	expect_http 200 "$ROUTER/keys"
	local name='.names[] | select(.key == "00")'
	if [[ -z $(body_json "$name") ]]; then
		expect_http 200 "$ROUTER/keys?cursor=1."
	fi
	expect_equal 5 "$(body_json "$name | .size")"
	# jq rounds to a double: look at the text.
	expect_contains "$(cat "$BODY")" '"mtime_ns":1700000000123456789'
	expect_equal "$etag" "$(body_json "$name | .etag")"
	expect_http 204 -X DELETE "$ROUTER/kv/00"
}

# The same names, sizes, times and versions, and cursors that go on behind any name.
text_says_what_json_says()
{
	local query='limit=300&cursor=1.' prefix key
	expect_http 200 "$ROUTER/keys?$query"
	jq -r '.names[] | "\(.key) \(.size) \(.etag)"' "$BODY" | tr -d '"' >"$TMP/json"
	expect_http 200 "$ROUTER/keys?$query&format=json"
	expect_equal 300 "$(body_json '.names | length')"
	expect_http 200 "$ROUTER/keys?$query&format=text"
	expect_equal text/plain "$(header Content-Type)"
	sed '1d; $d' "$BODY" | cut -d ' ' -f 1,2,4 | cmp - "$TMP/json" || fail 'text and JSON differ'
	expect_equal 'prefix 1.' "$(head -1 "$BODY")"
	key=$(sed -n 100p "$TMP/json" | cut -d ' ' -f 1)
	expect_http 200 "$ROUTER/keys?limit=1&cursor=1.$key&format=text"
	expect_equal "$(sed -n 101p "$TMP/json" | cut -d ' ' -f 1)" "$(sed -n '2s/ .*//p' "$BODY")"
	expect_http 200 "$ROUTER/keys?cursor=1.ffffffffff&format=text"
	expect_equal $'prefix 1.\nend' "$(cat "$BODY")"
	expect_http 400 "$ROUTER/keys?format=xml"
	expect_http 200 "${NODE_URLS[0]}/keys?limit=1&format=text"
	prefix=$(head -1 "$BODY")
	expect_equal 'prefix ' "$prefix"
	expect_http 400 "${NODE_URLS[0]}/keys?format=xml"
}

names_that_come_and_go_do_not_disturb_the_others()
{
	local cursor
	expect_http 200 "$ROUTER/keys?limit=700"
	body_json '.names[].key' >"$TMP/names"
	cursor=$(body_json .cursor)
	# The last name seen is deleted, and one before it appears.
	expect_http 204 -X DELETE "$ROUTER/kv/$(tail -1 "$TMP/names")"
	expect_http 201 -X PUT "$ROUTER/kv/0000" -d new
	while [[ $cursor != null ]]; do
		expect_http 200 "$ROUTER/keys?limit=700&cursor=$cursor"
		body_json '.names[].key' >>"$TMP/names"
		cursor=$(body_json .cursor)
	done
	grep -v '^0000$' "$TMP/names" | sort | cmp - "$TMP/expected" || fail 'names lost or doubled'
}

# Last: these names stay.
a_page_costs_the_same_wherever_it_is()
{
	local key
	while read -r key; do
		printf 'url = "%s/kv/%s"\nrequest = DELETE\noutput = /dev/null\n' "$ROUTER" "$key"
	done <"$TMP/expected" >"$TMP/config"
	curl -sS --fail-with-body -H 'HexKV-Durability: memory' -K "$TMP/config" || fail 'not all deleted'
	python3 "$(dirname "$0")/page_walk.py" "$((${HEXKV_LONG:-0} ? 1000000 : 20000))" "$ROUTER" \
		"${NODE_URLS[@]}" || fail 'the walk went wrong'
}

a_cursor_that_nobody_gave_is_400()
{
	local cursor
	for cursor in x 2. 00.00 -1. '1.%26' '1' '0.zz' '%00'; do
		expect_http 400 "$ROUTER/keys?cursor=$cursor"
	done
	expect_http 400 "$ROUTER/keys?limit=1001"
	expect_http 400 "$ROUTER/keys?limit=1e2"
	expect_http 200 "$ROUTER/keys?limit=1000"
}

need_command python3
cluster_start 2
expect_http 200 "$ROUTER/keys"
expect_equal '{"names":[],"cursor":null}' "$(jq -c . "$BODY")"
fill
run_cases \
	every_name_comes_exactly_once \
	names_are_in_order_within_each_shard \
	a_name_tells_size_mtime_and_etag \
	text_says_what_json_says \
	names_that_come_and_go_do_not_disturb_the_others \
	a_cursor_that_nobody_gave_is_400 \
	a_page_costs_the_same_wherever_it_is
