#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The manual pages know the options that the programs know, and no others.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

PAGES=$SOURCE_ROOT/docs/man

# long_options FILE: the --words in it, in order.
long_options()
{
	grep -oE -- '--[a-z][a-z-]*' "$1" | sort -u
}

# section PAGE HEADING: its lines.
section()
{
	awk -v heading="# $2" '/^# / { inside = ($0 == heading); next } inside' "$1"
}

expect_same_words()
{
	diff "$1" "$2" >"$TMP/difference" ||
		fail "$3: '<' is in --help alone, '>' in the page alone: $(grep '^[<>]' "$TMP/difference")"
}

every_option_of_a_program_is_in_its_page_and_no_other()
{
	local program page
	for program in "$FS_BIN" "$NODE_BIN" "$ROUTER_BIN" "$SOURCE_ROOT/scripts/hexkv"; do
		page=$(find "$PAGES" -name "${program##*/}.[18].scd")
		[[ -n $page ]] || fail "${program##*/} has no page"
		"$program" --help >"$TMP/help"
		section "$page" OPTIONS >"$TMP/section"
		long_options "$TMP/help" >"$TMP/of-help"
		long_options "$TMP/section" >"$TMP/of-page"
		expect_same_words "$TMP/of-help" "$TMP/of-page" "${program##*/}"
	done
}

every_mount_option_is_in_the_page_and_no_other()
{
	"$FS_BIN" --help | awk '/^Mount options/ { inside = 1; next } /^Other/ { inside = 0 } inside' |
		grep -oE '^  [a-z_]+(=[^ ]+)?  ' | tr -d ' ' | sed 's/=.*//' | sort >"$TMP/of-help"
	(($(wc -l <"$TMP/of-help") > 10)) || fail "--help names too few: $(cat "$TMP/of-help")"
	section "$PAGES/hexkv-fs.1.scd" 'MOUNT OPTIONS' | grep -oE '^\*[a-z_]+\*' | tr -d '*' |
		sort >"$TMP/of-page"
	expect_same_words "$TMP/of-help" "$TMP/of-page" 'mount options'
}

the_pages_are_well_formed()
{
	local page
	command -v scdoc >/dev/null || return 0
	for page in "$PAGES"/*.scd; do
		scdoc <"$page" >"$TMP/page" 2>"$TMP/error" || fail "${page##*/}: $(cat "$TMP/error")"
		[[ -s $TMP/page ]] || fail "${page##*/} is empty"
	done
}

run_cases \
	every_option_of_a_program_is_in_its_page_and_no_other \
	every_mount_option_is_in_the_page_and_no_other \
	the_pages_are_well_formed
