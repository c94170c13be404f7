#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Many names: all programs that list them see all, with a request for a page of them and none for
# each, in memory that does not grow with their number. Names that come and go while they are
# listed. Twenty thousand; a million with HEXKV_LONG=1.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

NAMES=20000
SEEDS='1 2'
STEPS=2000
if [[ -n ${HEXKV_LONG:-} ]]; then
	NAMES=1000000
	SEEDS=$(seq -s " " 100 107)
	STEPS=10000
fi
PAGES=$(((NAMES + 999) / 1000 + 4))
# meson has malloc() fill whatever it gives. Then all of it is resident, used or not, and the bounds
# below are about what is used.
unset MALLOC_PERTURB_

# Requests of a kind that the router has answered.
count_requests()
{
	curl -sS "$ROUTER/metrics" |
		awk -v door="door=\"$1\"" 'index($0, "hexkv_router_requests_total") == 1 && index($0, door) { n += $2 }
			END { print n + 0 }'
}

# Look-ups that the kernel has made of the mount.
count_lookups()
{
	awk '/^hexkv_fs_operations_total.*lookup/ { n += $2 } END { print n + 0 }' "$MNT/.stats"
}

# listing_of COMMAND...: OUTPUT_LINES, and how many requests for pages and for records it took.
listing_of()
{
	local pages records
	mount_start
	pages=$(count_requests keys)
	records=$(count_requests object)
	OUTPUT_LINES=$("$@" | wc -l)
	LIST_REQUESTS=$(($(count_requests keys) - pages))
	RECORD_REQUESTS=$(($(count_requests object) - records))
	LOOKUPS=$(count_lookups)
	printf '  %s: %d requests for names, %d for records, %d look-ups\n' "$*" "$LIST_REQUESTS" \
		"$RECORD_REQUESTS" "$LOOKUPS"
}

programs_that_want_names_get_them_page_by_page()
{
	listing_of ls -f "$TMP/mnt"
	expect_equal $((NAMES + 2)) "$OUTPUT_LINES"
	((LIST_REQUESTS <= PAGES && RECORD_REQUESTS == 0)) || fail "too many requests"
	mount_stop
	listing_of find "$TMP/mnt" -type f
	expect_equal "$NAMES" "$OUTPUT_LINES"
	((LIST_REQUESTS <= PAGES && RECORD_REQUESTS == 0)) || fail "too many requests"
	mount_stop
}

# A slow machine lists again what has become too old to be believed, but never asks for each.
programs_that_want_attributes_ask_for_none_of_them_alone()
{
	listing_of rsync --list-only "$TMP/mnt/"
	expect_equal $((NAMES + 1)) "$OUTPUT_LINES"
	((LIST_REQUESTS <= 2 * PAGES && RECORD_REQUESTS <= NAMES / 100)) || fail "too many requests"
	expect_peak_below fs-mnt 65536
	mount_stop
	listing_of ls -l "$TMP/mnt"
	expect_equal $((NAMES + 1)) "$OUTPUT_LINES"
	((LIST_REQUESTS <= 2 * PAGES && RECORD_REQUESTS <= NAMES / 100)) || fail "too many requests"
	((LOOKUPS <= NAMES / 20)) || fail "too many look-ups"
	expect_peak_below fs-mnt 65536
	mount_stop
	# These read a hundred thousand names before they look at one.
	listing_of find "$TMP/mnt" -type f -size +0
	expect_equal "$NAMES" "$OUTPUT_LINES"
	((LIST_REQUESTS <= NAMES / 10 && RECORD_REQUESTS <= NAMES / 50)) || fail "too many requests"
	mount_stop
	listing_of du -a --apparent-size "$TMP/mnt"
	expect_equal $((NAMES + 1)) "$OUTPUT_LINES"
	((LIST_REQUESTS <= NAMES / 10 && RECORD_REQUESTS <= NAMES / 50)) || fail "too many requests"
	expect_peak_below fs-mnt 81920
	expect_peak_below router 40960
	mount_stop
}

attributes_of_a_listing_are_those_of_the_records()
{
	mount_start
	python3 - "$MNT" "$NAMES" <<-'END' || fail 'sizes are wrong'
		import os, sys
		sizes = [entry.stat().st_size for entry in os.scandir(sys.argv[1])]
		sys.exit(len(sizes) != int(sys.argv[2]) or set(sizes) != {10})
	END
	mount_stop
}

names_that_come_and_go_disturb_nobody()
{
	local seed other
	mount_start other
	other=$MNT
	mount_start
	for seed in $SEEDS; do
		"$BUILD/tests/support/walk" "$MNT" "$other" "$seed" "$STEPS" || fail "seed $seed"
	done
	expect_equal "" "$(ls -A "$MNT")"
	mount_stop "$other"
	mount_stop
}

what_is_made_and_removed_elsewhere_shows_at_once()
{
	mount_start
	put 00aa x
	expect_equal 00aa "$(ls "$MNT")"
	expect_http 204 -X DELETE "$ROUTER/kv/00aa"
	expect_equal '' "$(ls "$MNT")"
	mount_stop
}

a_loop_that_removes_what_it_reads_leaves_nothing()
{
	mount_start
	"$BUILD/tests/bench/bench-load" -n 3000 -v 10 "${ROUTER#http://}" >/dev/null
	find "$MNT" -type f -delete
	expect_equal '' "$(ls -A "$MNT")"
	"$BUILD/tests/bench/bench-load" -n 3000 -v 10 "${ROUTER#http://}" >/dev/null
	# What a reader has on hand already is removed by another as well.
	rm -rf "$MNT"/?* 2>/dev/null || true
	expect_equal '' "$(ls -A "$MNT")"
	mount_stop
}

# Behind so many deleted names an answer comes with every so many of them, and the listing ends.
deleted_names_are_passed_over_in_bounded_steps()
{
	local cursor='' pages=0
	while :; do
		expect_http 200 "$ROUTER/keys?format=text${cursor:+&cursor=$cursor}"
		cursor=$(sed -n 's/^cursor //p' "$BODY")
		pages=$((pages + 1))
		[[ -n $cursor ]] || break
	done
	((pages <= NAMES / 20000 + 2)) || fail "$pages pages of nothing"
	mount_start
	expect_equal '' "$(ls -A "$MNT")"
	mount_stop
}

cluster_start 2
"$BUILD/tests/bench/bench-load" -n "$NAMES" -v 10 "${ROUTER#http://}"
run_cases programs_that_want_names_get_them_page_by_page \
	programs_that_want_attributes_ask_for_none_of_them_alone \
	attributes_of_a_listing_are_those_of_the_records
"$BUILD/tests/bench/bench-load" -n "$NAMES" --delete "${ROUTER#http://}"
run_cases deleted_names_are_passed_over_in_bounded_steps \
	what_is_made_and_removed_elsewhere_shows_at_once \
	names_that_come_and_go_disturb_nobody \
	a_loop_that_removes_what_it_reads_leaves_nothing
