#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Chunked uploads that say last what they did not know first, through router and node: small ones
# that the router holds whole and large ones that it streams.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# chunked URL-PATH SIZE HEADERS TRAILER [HOW]: sends a chunked PUT and prints the status. Headers
# and trailer are lines separated by '|'. HOW: whole (default), or cut: ends before the last chunk.
chunked()
{
	python3 - "$ROUTER_PORT" "$TMP/value" "$@" <<-'END'
		import socket, sys
		port, file, path, size, headers, trailer = sys.argv[1:7]
		how = sys.argv[7] if len(sys.argv) > 7 else 'whole'
		value = open(file, 'rb').read(int(size))
		lines = lambda text: ''.join(line + '\r\n' for line in text.split('|') if line)
		s = socket.create_connection(('127.0.0.1', int(port)))
		s.sendall(('PUT %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%s\r\n' %
		           (path, lines(headers))).encode())
		for at in range(0, len(value), 50000):
		    part = value[at:at + 50000]
		    s.sendall(b'%x\r\n%s\r\n' % (len(part), part))
		if how == 'cut':
		    s.close()
		    sys.exit()
		s.sendall(b'0\r\n' + lines(trailer).encode() + b'\r\n')
		print(s.makefile('rb').readline().split()[1].decode())
	END
}

SIZES=(0 1000 65536 65537 3000000)

path_of()
{
	printf '/kv/02%08d' "$1"
}

a_record_has_what_came_last()
{
	local size
	for size in "${SIZES[@]}"; do
		expect_equal 201 "$(chunked "$(path_of "$size")" "$size" \
			'Content-Type: text/first|HexKV-Encoding: first|HexKV-Mtime: 5|Trailer: HexKV-Mtime' \
			'HexKV-Content-Type: text/last|HexKV-Mtime: -77|HexKV-Durability: memory|If-Match: "1-1"')"
		expect_http 200 "$ROUTER$(path_of "$size")"
		cmp -n "$size" "$TMP/value" "$BODY" || fail "$size bytes differ"
		expect_equal "$size" "$(stat -c %s "$BODY")"
		expect_equal text/last "$(header Content-Type)"
		expect_equal first "$(header HexKV-Encoding)"
		expect_equal -77 "$(header HexKV-Mtime)"
	done
}

a_trailer_that_was_announced_and_lost_is_refused()
{
	local size
	for size in 1000 3000000; do
		expect_equal 400 "$(chunked /kv/0300 "$size" 'Trailer: hexkv-mtime' 'HexKV-Encoding: x')"
		expect_equal 400 "$(chunked /kv/0300 "$size" '' 'HexKV-Mtime: soon')"
		expect_equal 400 "$(chunked /kv/0300 "$size" '' 'HexKV-Mtime: 1|HexKV-Mtime: 2')"
		expect_equal 400 "$(chunked /kv/0300 "$size" '' 'HexKV-Durability: perhaps')"
		expect_equal 400 "$(chunked /kv/0300 "$size" 'HexKV-Encoding: x' 'HexKV-Encoding:')"
		expect_http 404 "$ROUTER/kv/0300"
	done
}

# As nginx does it by default.
# shellcheck disable=SC2153 # cluster_start sets NODE_URLS
a_trailer_that_a_proxy_has_left_out_with_the_chunks_is_refused()
{
	local size url
	for url in "$ROUTER" "${NODE_URLS[1]}"; do
		for size in 1000 70000 3000000; do
			head -c "$size" "$TMP/value" >"$TMP/part"
			expect_http 400 -T "$TMP/part" -H 'Trailer: HexKV-Mtime, X-Other' "$url/kv/0310"
			expect_contains "$(cat "$BODY")" 'drops trailers'
			expect_http 404 "$url/kv/0310"
		done
	done
	expect_http 201 -X PUT -d x -H 'Trailer: X-Other' "$ROUTER/kv/0310"
}

conditions_hold_all_the_same()
{
	http -X PUT -d before "$ROUTER/kv/0400"
	expect_equal 412 "$(chunked /kv/0400 3000000 'If-None-Match: *' 'HexKV-Mtime: 1')"
	expect_equal before "$(curl -sS "$ROUTER/kv/0400")"
	expect_http 200 "$ROUTER/kv/0400"
	expect_equal 204 "$(chunked /kv/0400 3000000 "If-Match: $(header ETag)" 'HexKV-Mtime: 1')"
}

uploads_are_gone()
{
	[[ -z $(find "$TMP"/data-* -name '*.tmp') ]]
}

a_sender_that_disappears_leaves_what_was_there()
{
	http -X PUT -d before "$ROUTER/kv/0500"
	chunked /kv/0500 3000000 '' '' cut
	expect_within 10 uploads_are_gone
	expect_equal before "$(curl -sS "$ROUTER/kv/0500")"
}

need_command python3
cluster_start 2
head -c 3000000 /dev/urandom >"$TMP/value"
run_cases a_record_has_what_came_last a_trailer_that_was_announced_and_lost_is_refused \
	a_trailer_that_a_proxy_has_left_out_with_the_chunks_is_refused \
	conditions_hold_all_the_same a_sender_that_disappears_leaves_what_was_there
