#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A value far larger than the memory anybody may use for it: 256 MiB, 2 GiB in the long run.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

SIZE=256M
[[ -z ${HEXKV_LONG:-} ]] || SIZE=2G
PEAK_KIB=$((200 * 1024))

it_is_copied_in()
{
	cp "$TMP/value" "$MNT/00aabb"
	expect_equal "$(stat -c %s "$TMP/value")" "$(stat -c %s "$MNT/00aabb")"
}

it_is_copied_out_equal()
{
	cp "$MNT/00aabb" "$TMP/copy"
	expect_same_file "$TMP/value" "$TMP/copy"
	rm "$TMP/copy"
}

curl_reads_it_equal()
{
	curl -sS -f "$ROUTER/kv/00aabb" | cmp - "$TMP/value" || fail 'curl reads other bytes'
}

curl_puts_it_too()
{
	expect_http 201 -T "$TMP/value" "$ROUTER/kv/00aacc"
	cmp "$MNT/00aacc" "$TMP/value" || fail 'the mount reads other bytes'
}

a_part_is_read_without_the_rest()
{
	expect_http 206 -r 100000000-100999999 "$ROUTER/kv/00aabb"
	expect_equal 1000000 "$(stat -c %s "$BODY")"
	cmp -n 1000000 -i 100000000:0 "$TMP/value" "$BODY" || fail 'another part'
}

the_json_door_says_that_it_is_too_large()
{
	expect_http 413 -X POST "$ROUTER/" -d 00aabb
}

nobody_used_much_memory()
{
	local pid peak
	for pid in $(member_pids c); do
		peak=$(awk '/^VmHWM:/ { print $2 }' "/proc/$pid/status")
		printf '%s (pid %s): peak %s KiB\n' "$(cat "/proc/$pid/comm")" "$pid" "$peak"
		((peak < PEAK_KIB)) || is_sanitized ||
			fail "pid $pid had $peak KiB resident"
	done
}

need_fuse
head -c "$SIZE" /dev/urandom >"$TMP/value"
hexkv_up c
run_cases \
	it_is_copied_in \
	it_is_copied_out_equal \
	curl_reads_it_equal \
	curl_puts_it_too \
	a_part_is_read_without_the_rest \
	the_json_door_says_that_it_is_too_large \
	nobody_used_much_memory
