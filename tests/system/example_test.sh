#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What a new user does first: one record through all three doors.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

a_json_put_answers_the_record()
{
	STATUS=$(curl -s -o "$BODY" -w '%{http_code}' \
		-X PUT "$ROUTER/" -H "Content-Type: application/json" -d '{"key":"90219201f2","content_type":"text/plain","encoding":"utf-8","value":"hello"}')
	expect_equal 201 "$STATUS"
	expect_equal '{"90219201f2":{"content_type":"text/plain","encoding":"utf-8","value":"hello"}}' \
		"$(jq -cS . "$BODY")"
}

a_second_put_replaces_it()
{
	expect_http 200 -X PUT "$ROUTER/" -H 'Content-Type: application/json' \
		-d '{"key":"90219201f2","content_type":"text/plain","encoding":"utf-8","value":"hello"}'
	expect_equal /kv/90219201f2 "$(header Content-Location)"
}

cat_prints_the_value()
{
	expect_equal hello "$(cat "$MNT/90219201f2")"
}

getfattr_shows_both_attributes()
{
	local attributes
	attributes=$(cd "$MNT" && getfattr -d 90219201f2)
	expect_contains "$attributes" 'user.content_type="text/plain"'
	expect_contains "$attributes" 'user.encoding="utf-8"'
}

a_post_of_the_key_in_hex_answers_the_record()
{
	expect_http 200 -X POST "$ROUTER/" -H "Content-Type: application/octet-stream" -d 90219201f2
	expect_equal hello "$(body_json '."90219201f2".value')"
}

a_post_of_the_raw_key_answers_the_record()
{
	printf '\x90\x21\x92\x01\xf2' >"$TMP/key"
	expect_http 200 -X POST "$ROUTER/" -H "Content-Type: application/octet-stream" \
		--data-binary "@$TMP/key"
	expect_equal hello "$(body_json '."90219201f2".value')"
}

a_real_program_is_the_same_through_mount_and_http()
{
	cp "$BIG" "$MNT/00ff"
	cmp "$BIG" "$MNT/00ff" || fail 'the mount reads other bytes'
	expect_http 200 "$ROUTER/kv/00ff"
	expect_same_file "$BIG" "$BODY"
	expect_equal application/octet-stream "$(header Content-Type)"
	expect_equal "$(stat -c %s "$BIG")" "$(stat -c %s "$MNT/00ff")"
}

a_binary_value_is_base64_in_json()
{
	expect_http 200 -X POST "$ROUTER/" -H "Content-Type: application/octet-stream" -d 00ff
	expect_equal true "$(body_json '."00ff".value_base64')"
	body_json '."00ff".value' | base64 -d >"$TMP/decoded"
	expect_same_file "$BIG" "$TMP/decoded"
}

an_attribute_set_on_the_file_is_the_content_type_over_http()
{
	setfattr -n user.content_type -v application/x-executable "$MNT/00ff"
	expect_http 200 -I "$ROUTER/kv/00ff"
	expect_equal application/x-executable "$(header Content-Type)"
	expect_equal "$(stat -c %s "$BIG")" "$(header Content-Length)"
	expect_equal binary "$(header HexKV-Encoding)"
}

what_the_mount_writes_json_reads()
{
	printf 'written by a shell' >"$MNT/0a0b"
	expect_http 200 -X POST "$ROUTER/" -d 0a0b
	expect_equal 'written by a shell' "$(body_json '."0a0b".value')"
	expect_equal application/octet-stream "$(body_json '."0a0b".content_type')"
	expect_equal null "$(body_json '."0a0b".value_base64')"
}

file_is_gone()
{
	[[ ! -e $MNT/$1 && $(ls "$MNT") != *"$1"* ]]
}

what_http_deletes_is_gone_from_the_mount()
{
	expect_http 204 -X DELETE "$ROUTER/kv/0a0b"
	expect_within 20 file_is_gone 0a0b
}

a_name_that_is_no_key_is_refused()
{
	expect_exit 1 cp /etc/hostname "$MNT/hello.txt"
	expect_contains "$OUTPUT" 'Operation not permitted'
	expect_exit 1 cat "$MNT/hello.txt"
	expect_contains "$OUTPUT" 'No such file'
	expect_exit 1 mkdir "$MNT/00aa"
	expect_contains "$OUTPUT" 'Operation not permitted'
	expect_equal '' "$(find "$MNT" -mindepth 1 -name '*[^0-9a-f]*')"
}

need_fuse
need_command getfattr setfattr
BIG=/usr/bin/git
[[ -f $BIG ]] || BIG=$(command -v bash)
hexkv_up 'first cluster'
run_cases \
	a_json_put_answers_the_record \
	a_second_put_replaces_it \
	cat_prints_the_value \
	getfattr_shows_both_attributes \
	a_post_of_the_key_in_hex_answers_the_record \
	a_post_of_the_raw_key_answers_the_record \
	a_real_program_is_the_same_through_mount_and_http \
	a_binary_value_is_base64_in_json \
	an_attribute_set_on_the_file_is_the_content_type_over_http \
	what_the_mount_writes_json_reads \
	what_http_deletes_is_gone_from_the_mount \
	a_name_that_is_no_key_is_refused
