#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# How many requests of the router the mount makes for what programs do with small files, by the
# router's own counters.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

# "METHOD COUNT" a line: all requests for records so far, and LIST for pages of names.
counters()
{
	curl -sS "$ROUTER/metrics" | sed -nE \
		-e 's/^hexkv_router_requests_total\{door="object",method="([A-Z]+)"\} /\1 /p' \
		-e 's/^hexkv_router_requests_total\{door="keys",method="GET"\} /LIST /p' | sort
}

# requests_of COMMAND...: REQUESTS is what it made of them ("2 GET 1 PUT"), sorted; its output goes to
# OUTPUT.
requests_of()
{
	counters >"$TMP/before"
	OUTPUT=$("$@" 2>&1 </dev/null) || fail "failed: $*; $OUTPUT"
	counters >"$TMP/after"
	REQUESTS=$(awk 'NR == FNR { before[$1] = $2; next }
		$2 > before[$1] { printf "%s%d %s", n++ ? " " : "", $2 - before[$1], $1 }' \
		"$TMP/before" "$TMP/after")
}

# expect_requests REQUESTS COMMAND...
expect_requests()
{
	local expected=$1
	shift
	requests_of "$@"
	expect_equal "$expected" "$REQUESTS" "requests of: $*"
}

milliseconds()
{
	local now=${EPOCHREALTIME/[.,]/}
	echo $((now / 1000))
}

# expect_requests_within MILLISECONDS REQUESTS BEFORE COMMAND...: of the command after BEFORE, both
# within that time: for so long the mount lets an answer count. A machine that is too slow for that
# tries again, and in the end the test counts as skipped, once all else has passed.
expect_requests_within()
{
	local limit=$1 expected=$2 before=$3 began
	shift 3
	for _ in {1..6}; do
		"$before"
		began=$(milliseconds)
		requests_of "$@"
		if (($(milliseconds) - began < limit)); then
			expect_equal "$expected" "$REQUESTS" "requests of: $*, after $before"
			return
		fi
	done
	printf '  too slow to tell: %s\n' "$*"
	UNTOLD=$((UNTOLD + 1))
}

# A look-up serves the open that follows it at once.
expect_requests_at_once()
{
	expect_requests_within 100 "$@"
}

# What was learnt is good for a second; BEFORE takes some of it.
expect_requests_soon()
{
	expect_requests_within 500 "$@"
}

# As after a remount: neither the kernel nor the mount knows anything.
forget_everything()
{
	mount_stop
	mount_start
}

list()
{
	ls -l "$MNT" >/dev/null
}

a_cold_cat_makes_one_request()
{
	put 00aa value
	expect_requests_at_once '1 GET' forget_everything cat "$MNT/00aa"
	expect_equal value "$OUTPUT"
}

a_warm_cat_asks_once_whether_it_is_still_true()
{
	local sent
	expect_requests_at_once '1 GET' read_it cat "$MNT/00aa"
	expect_equal value "$OUTPUT"
	# The answer has no body: of a larger value that shows in what the router sends.
	put 00ab "$(head -c 60000 /dev/zero | tr '\0' x)"
	cat "$MNT/00ab" >/dev/null
	sent=$(router_bytes_sent)
	requests_of cat "$MNT/00ab"
	expect_equal 60000 "${#OUTPUT}"
	((sent == 0 || $(router_bytes_sent) - sent < 30000)) || fail 'the value was sent again'
}

# What the kernel has sent on the router's connections with the mount, 0 if it does not tell.
router_bytes_sent()
{
	ss -Htni "sport = :$ROUTER_PORT" | sed -nE 's/.* bytes_sent:([0-9]+).*/\1/p' |
		awk '{ sum += $1 } END { print sum + 0 }'
}

a_copy_to_a_new_name_makes_three()
{
	random_file "$TMP/small" 1000
	expect_requests "$copy_gets GET 2 PUT" cp "$TMP/small" "$MNT/00ba"
	curl -sS "$ROUTER/kv/00ba" | cmp - "$TMP/small"
}

a_copy_over_a_record_makes_three()
{
	forget_everything
	expect_requests '2 GET 1 PUT' cp "$TMP/small" "$MNT/00aa"
	curl -sS "$ROUTER/kv/00aa" | cmp - "$TMP/small"
}

a_redirection_to_a_new_name_makes_two()
{
	expect_requests '1 GET 1 PUT' bash -c "echo text >'$MNT/00bb'"
	expect_equal text "$(value_of 00bb)"
}

a_redirection_over_a_record_makes_two()
{
	expect_requests_at_once '1 GET 1 PUT' true bash -c "echo other >'$MNT/00bb'"
	expect_equal other "$(value_of 00bb)"
	expect_requests_at_once '1 GET 1 PUT' forget_everything bash -c "echo again >'$MNT/00bb'"
	expect_equal again "$(value_of 00bb)"
}

put_back()
{
	put 00bb $'again\n'
	forget_everything
}

appending_makes_two()
{
	expect_requests_at_once '1 GET 1 PUT' put_back bash -c "echo more >>'$MNT/00bb'"
	expect_equal $'again\nmore' "$(value_of 00bb)"
}

# A shell's echo flushes by itself: it redirects by a duplicate, which it closes.
write_and_close_often()
{
	exec 7>"$MNT/00bc"
	echo text >&7
	exec 8>&7 9>&7
	exec 8>&-
	exec 9>&-
	exec 7>&-
}

closing_once_more_makes_none()
{
	expect_requests '1 GET 1 PUT' write_and_close_often
	expect_equal text "$(value_of 00bc)"
}

read_it()
{
	cat "$MNT/00aa" >/dev/null
}

list_cold()
{
	forget_everything
	ls -l "$MNT" >/dev/null
}

put_and_list()
{
	put 00ca value
	list_cold
}

attributes_make_none()
{
	expect_requests_soon '' read_it getfattr --absolute-names -d "$MNT/00aa"
	expect_contains "$OUTPUT" 'user.content_type'
	expect_requests_soon '' read_it stat "$MNT/00aa"
}

what_was_listed_needs_no_request_to_be_looked_at()
{
	expect_requests_soon '' list_cold stat "$MNT/00aa" "$MNT/00ab" "$MNT/00ba"
	expect_requests_soon '' list_cold ls -l "$MNT/00aa" "$MNT/00ab"
}

removing_what_was_listed_makes_one()
{
	expect_requests_soon '1 DELETE' put_and_list rm "$MNT/00ca"
	put 00ca value
	forget_everything
	expect_requests '1 DELETE 1 GET' rm "$MNT/00ca"
}

syncing_the_directory_makes_one_for_what_was_removed()
{
	put 00cc value
	rm "$MNT/00cc"
	requests_of sync "$MNT"
	[[ $REQUESTS == '1 PATCH' || $REQUESTS == '2 PATCH' ]] || fail "no barrier but '$REQUESTS'"
	expect_requests '' sync "$MNT"
}

# Also after an attempt that was too slow to tell.
put_one_of_two_and_list()
{
	rm -f "$MNT/00cb"
	put_and_list
}

renaming_makes_one()
{
	expect_requests_soon '1 GET 1 MOVE' put_one_of_two_and_list mv "$MNT/00ca" "$MNT/00cb"
	expect_equal value "$(value_of 00cb)"
}

touching_makes_one()
{
	expect_requests '1 GET 1 PATCH' touch "$MNT/00aa"
	expect_requests '1 GET 1 PUT' touch "$MNT/00ea"
	expect_equal 0 "$(stat -c %s "$MNT/00ea")"
}

changing_an_attribute_makes_one()
{
	expect_requests_soon '1 PATCH' list_cold setfattr -n user.content_type -v text/plain "$MNT/00aa"
	expect_requests_soon '' read_it getfattr --absolute-names -n user.content_type "$MNT/00aa"
	expect_contains "$OUTPUT" 'text/plain'
}

# The look-up that is saved is the one whose answer CREATE gives as well.
an_exclusive_create_sees_what_was_written_since_the_last_look_up()
{
	python3 - "$MNT" "$ROUTER" <<-'END' || fail 'a name was thought absent'
		import os, sys, urllib.request
		mount, router = sys.argv[1:]
		def put(key):
		    request = urllib.request.Request(f"{router}/kv/{key}", b"there", method="PUT")
		    urllib.request.urlopen(request).close()
		for i in range(50):
		    key = f"00dd{i:04x}"
		    path = f"{mount}/{key}"
		    assert not os.path.exists(path)
		    put(key)
		    if i % 2:
		        try:
		            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
		            sys.exit(f"{key} was created though it was there")
		        except FileExistsError:
		            pass
		    with open(path) as file:
		        assert file.read() == "there"
	END
}

moving_a_file_in_makes_five()
{
	random_file "$TMP/moved" 100
	expect_requests "$((2 + copy_gets)) GET 2 PUT" mv "$TMP/moved" "$MNT/00fa"
}

# Where the mount may not see what a program does, as without privileges, the kernel's own look-up
# before an exclusive create is answered by the router as well.
copy_gets=1
UNTOLD=0
((EUID == 0)) || copy_gets=2
cluster_start
mount_start
run_cases a_cold_cat_makes_one_request a_warm_cat_asks_once_whether_it_is_still_true \
	a_copy_to_a_new_name_makes_three a_copy_over_a_record_makes_three \
	a_redirection_to_a_new_name_makes_two a_redirection_over_a_record_makes_two \
	appending_makes_two closing_once_more_makes_none attributes_make_none \
	what_was_listed_needs_no_request_to_be_looked_at removing_what_was_listed_makes_one \
	syncing_the_directory_makes_one_for_what_was_removed renaming_makes_one \
	touching_makes_one changing_an_attribute_makes_one \
	an_exclusive_create_sees_what_was_written_since_the_last_look_up \
	moving_a_file_in_makes_five
mount_stop
((UNTOLD == 0)) || skip "this machine is too slow to count requests ($UNTOLD times)"
