#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Thousands of real files under the names of their hashes, through cp: equal when read back, after
# down and up, and after kill -9 of every process.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

COUNT=${HEXKV_FILES:-3000}

# Files of up to 1 MiB, spread evenly over all of /usr: the same ones on every run.
choose_files()
{
	local every
	find /usr -xdev -type f -size -1048577c -readable ! -path '*[[:space:]\\]*' |
		LC_ALL=C sort >"$TMP/candidates"
	every=$(($(wc -l <"$TMP/candidates") / COUNT))
	((every > 0)) || every=1
	awk -v every="$every" -v count="$COUNT" 'NR % every == 0 && ++n <= count' \
		"$TMP/candidates" >"$TMP/paths"
}

hash_files()
{
	local sum=md5sum
	! command -v xxh128sum >/dev/null || sum=xxh128sum
	xargs "$sum" <"$TMP/paths" 2>/dev/null | awk '{ print $1, $2 }' >"$TMP/names"
	cut -d ' ' -f 1 "$TMP/names" | LC_ALL=C sort -u >"$TMP/keys"
	xargs sha256sum <"$TMP/paths" | cut -d ' ' -f 1 |
		paste -d ' ' - <(cut -d ' ' -f 1 "$TMP/names") >"$TMP/sums"
}

every_file_is_copied_to_the_name_of_its_hash()
{
	local key path
	while read -r key path; do
		cp "$path" "$MNT/$key" || fail "cp $path $key"
	done <"$TMP/names"
}

all_is_read_back_equal()
{
	awk -v directory="$MNT" '{ print $1 "  " directory "/" $2 }' "$TMP/sums" >"$TMP/check"
	sha256sum --quiet --strict -c "$TMP/check" || fail 'files differ'
}

ls_shows_exactly_the_keys()
{
	# shellcheck disable=SC2012 # ls is what is tested
	ls "$MNT" | LC_ALL=C sort >"$TMP/listed"
	expect_same_file "$TMP/keys" "$TMP/listed"
}

the_names_over_http_are_the_same()
{
	local cursor='' query
	: >"$TMP/http-names"
	while :; do
		query="limit=700${cursor:+&cursor=$cursor}"
		expect_http 200 "$ROUTER/keys?$query"
		body_json '.names[].key' >>"$TMP/http-names"
		cursor=$(body_json '.cursor // "" | @uri')
		[[ -n $cursor ]] || break
	done
	LC_ALL=C sort "$TMP/http-names" >"$TMP/http-sorted"
	expect_same_file "$TMP/keys" "$TMP/http-sorted"
}

all_is_there_after_down_and_up()
{
	hexkv down --dir "$TMP/c" || fail 'down failed'
	expect_equal '' "$(ls "$TMP/c/run")" 'pid files are left'
	is_not_mounted "$MNT" || fail 'it is still mounted'
	hexkv_up c
	ls_shows_exactly_the_keys
	all_is_read_back_equal
}

all_is_there_after_kill_9_of_everything()
{
	kill_members c
	is_mounted "$MNT" || fail 'the dead mount is not there'
	hexkv_up c
	ls_shows_exactly_the_keys
	all_is_read_back_equal
}

need_fuse
choose_files
hash_files
printf '%d files, %d bytes\n' "$(wc -l <"$TMP/paths")" \
	"$(xargs stat -c %s <"$TMP/paths" | awk '{ n += $1 } END { print n }')"
hexkv_up c
run_cases \
	every_file_is_copied_to_the_name_of_its_hash \
	all_is_read_back_equal \
	ls_shows_exactly_the_keys \
	the_names_over_http_are_the_same \
	all_is_there_after_down_and_up \
	all_is_there_after_kill_9_of_everything
