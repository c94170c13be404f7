#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The README's examples, word for word but for port and mount point.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# commands_of HEADING: the lines of its sh blocks.
commands_of()
{
	awk -v heading="$1" '
		/^#/ && !inside { found = ($0 == heading) }
		/^```/ { inside = ($0 == "```sh" && found); next }
		inside' "$SOURCE_ROOT/README.md"
}

run_as_written()
{
	local line count=0
	while IFS= read -r line; do
		line=${line//127.0.0.1:8080/${ROUTER#http://}}
		(cd "$SOURCE_ROOT" && CURL_HOME=$TMP MNT=$MNT bash -euo pipefail -c "$line") >"$TMP/said" 2>&1 ||
			fail "$line: $(tail -3 "$TMP/said")"
		printf '  %s\n' "$line"
		count=$((count + 1))
	done < <(commands_of "$1")
	((count > 0)) || fail "the README has no commands under '$1'"
}

json_examples_work()
{
	run_as_written '### JSON'
}

file_examples_work()
{
	run_as_written '### Files'
}

http_examples_work()
{
	run_as_written '### HTTP'
}

every_file_it_names_exists()
{
	local file
	while read -r file; do
		[[ -e $SOURCE_ROOT/$file ]] || fail "the README names $file"
	done < <(grep -oE '\]\([^)#]+\)' "$SOURCE_ROOT/README.md" | tr -d '])(' | grep -v '^http' | sort -u)
}

need_fuse
need_command git getfattr setfattr
hexkv_up c
# An answer that is an error fails the command.
printf 'fail\nsilent\nshow-error\n' >"$TMP/.curlrc"
run_cases \
	json_examples_work \
	file_examples_work \
	http_examples_work \
	every_file_it_names_exists
