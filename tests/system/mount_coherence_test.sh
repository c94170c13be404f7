#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What is written elsewhere shows at the next open; what is open stays as it was opened.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

each_open_sees_the_current_version()
{
	local i
	for i in {1..20}; do
		put 00aa "value $i"
		expect_equal "value $i" "$(cat "$MNT/00aa")"
		expect_equal "value $i" "$(cat "$MNT/00aa")"
	done
}

an_absent_name_is_found_as_soon_as_it_is_written()
{
	fails_with 'No such file' cat "$MNT/00ab"
	put 00ab here
	expect_equal here "$(cat "$MNT/00ab")"
	http -X DELETE "$ROUTER/kv/00ab"
	fails_with 'No such file' cat "$MNT/00ab"
}

size_is()
{
	[[ $(stat -c %s "$2") == "$1" ]]
}

names_and_sizes_follow_within_a_second()
{
	put 00ac 12345
	expect_within 20 test -e "$MNT/00ac"
	expect_equal 5 "$(stat -c %s "$MNT/00ac")"
	put 00ac 1234567
	expect_within 20 size_is 7 "$MNT/00ac"
	http -X DELETE "$ROUTER/kv/00ac"
	expect_within 20 test ! -e "$MNT/00ac"
}

an_open_file_never_mixes_two_versions()
{
	local inode
	random_file "$TMP/small" 1000
	cp "$TMP/small" "$MNT/00ad"
	exec 7<"$MNT/00ad"
	inode=$(stat -c %i "$MNT/00ad")
	put 00ad replaced
	cat <&7 >"$TMP/back"
	exec 7<&-
	expect_same_file "$TMP/small" "$TMP/back"
	expect_equal replaced "$(cat "$MNT/00ad")"
	expect_equal "$inode" "$(stat -c %i "$MNT/00ad")"
	# Too large for the mount to keep: its node does.
	random_file "$TMP/large" 4000000
	cp "$TMP/large" "$MNT/00ad"
	expect_same_file "$TMP/large" "$MNT/00ad"
	echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || return 0
	exec 7<"$MNT/00ad"
	head -c 100 <&7 >"$TMP/back"
	put 00ad replaced
	cat <&7 >>"$TMP/back"
	expect_same_file "$TMP/large" "$TMP/back"
	exec 7<&-
	expect_equal replaced "$(cat "$MNT/00ad")"
}

readers_of_this_mount_see_what_is_not_stored_yet()
{
	exec 7>"$MNT/00ae"
	printf begun >&7
	expect_equal begun "$(cat "$MNT/00ae")"
	expect_equal 5 "$(stat -c %s "$MNT/00ae")"
	expect_contains "$(ls "$MNT")" 00ae
	printf ' and ended' >&7
	exec 7>&-
	expect_equal 'begun and ended' "$(value_of 00ae)"
}

a_redirection_never_shows_an_empty_version()
{
	local reader
	put 00b1 old
	(
		while [[ ! -e $TMP/stop ]]; do
			[[ -n $(value_of 00b1) ]] || touch "$TMP/was-empty"
		done
	) &
	reader=$!
	for _ in {1..50}; do
		echo new >"$MNT/00b1"
	done
	touch "$TMP/stop"
	wait "$reader"
	[[ ! -e $TMP/was-empty ]] || fail 'an empty version was seen'
}

two_mounts_see_each_other()
{
	local first=$MNT second i
	mount_start second
	second=$MNT
	MNT=$first
	for i in {1..10}; do
		echo "from first $i" >"$first/00af"
		expect_equal "from first $i" "$(cat "$second/00af")"
		echo "from second $i" >>"$second/00af"
		expect_equal "from first $i"$'\n'"from second $i" "$(cat "$first/00af")"
	done
	mv "$first/00af" "$first/00b0"
	expect_equal "from first 10"$'\n'"from second 10" "$(cat "$second/00b0")"
	expect_within 20 test ! -e "$second/00af"
	rm "$second/00b0"
	expect_within 20 test ! -e "$first/00b0"
	mount_stop "$second"
}

# An open that found nothing at its second try leaves a note. The same thread then looks the name up to
# replace or remove it, and opens what took its place by the entry which the kernel still has of that,
# for a second.
an_open_after_a_replacement_asks_anew()
{
	MNT=$MNT ROUTER=$ROUTER python3 - <<-'END' || fail 'another open got the second try'
		import http.client, os, threading
		router = http.client.HTTPConnection(os.environ['ROUTER'].split('//')[1])
		def http(method, value=None):
		    router.request(method, '/kv/' + name, value)
		    router.getresponse().read()
		def write(path):
		    with open(path, 'w') as file:
		        file.write('replaced')
		def rename():
		    write(path + '.tmp')
		    os.rename(path + '.tmp', path)
		def create():
		    os.unlink(path)
		    other = threading.Thread(target=write, args=(path,))
		    other.start()
		    other.join()
		for replace, name in [(rename, '00d1'), (create, '00d2'), (rename, '00d3'), (create, '00d4')]:
		    path = os.environ['MNT'] + '/' + name
		    http('PUT', b'listed')
		    # The kernel opens what it has from a listing without a look-up.
		    assert name in os.listdir(os.environ['MNT'])
		    http('DELETE')
		    try:
		        open(path).close()
		        raise AssertionError('it is removed')
		    except FileNotFoundError:
		        pass
		    http('PUT', b'looked up')
		    replace()
		    http('PUT', b'newest')
		    with open(path) as file:
		        assert file.read() == 'newest', name
	END
}

# requests: how many the mount has made, by the router's count.
requests()
{
	curl -sS "$ROUTER/metrics" |
		awk '/^hexkv_router_requests_total\{door="object"/ { sum += $2 } END { print sum + 0 }'
}

few_requests_do()
{
	local before
	put 00d0 value
	before=$(requests)
	cat "$MNT/00d0" >/dev/null
	expect_equal 1 $(($(requests) - before)) 'requests of a cold cat'
	before=$(requests)
	cat "$MNT/00d0" >/dev/null
	expect_equal 1 $(($(requests) - before)) 'requests of a warm cat'
}

cluster_start
mount_start
run_cases each_open_sees_the_current_version an_absent_name_is_found_as_soon_as_it_is_written \
	names_and_sizes_follow_within_a_second an_open_file_never_mixes_two_versions \
	readers_of_this_mount_see_what_is_not_stored_yet a_redirection_never_shows_an_empty_version \
	two_mounts_see_each_other an_open_after_a_replacement_asks_anew few_requests_do
mount_stop
