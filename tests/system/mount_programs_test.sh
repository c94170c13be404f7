#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What people do with files, done with records.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

redirection_writes_and_appends()
{
	echo hello >"$MNT/00ff"
	expect_equal hello "$(cat "$MNT/00ff")"
	expect_equal hello "$(value_of 00ff)"
	echo more >>"$MNT/00ff"
	expect_equal $'hello\nmore' "$(value_of 00ff)"
	echo again | tee -a "$MNT/00ff" >/dev/null
	expect_equal $'hello\nmore\nagain' "$(cat "$MNT/00ff")"
	: >"$MNT/00ff"
	expect_equal 0 "$(stat -c %s "$MNT/00ff")"
	expect_equal '' "$(value_of 00ff)"
	rm "$MNT/00ff"
}

copies_are_equal()
{
	local size
	for size in 0 1 4095 4096 65535 65536 65537 1000000 5000001; do
		random_file "$TMP/file" "$size"
		cp "$TMP/file" "$MNT/0102"
		expect_same_file "$TMP/file" "$MNT/0102"
		value_of 0102 >"$TMP/over-http"
		expect_same_file "$TMP/file" "$TMP/over-http"
		cp "$MNT/0102" "$TMP/back"
		expect_same_file "$TMP/file" "$TMP/back"
		rm "$MNT/0102"
	done
}

parts_are_overwritten_in_place()
{
	local size
	for size in 1000 100000 3000000; do
		random_file "$TMP/file" "$size"
		cp "$TMP/file" "$MNT/0103"
		printf 'middle' | dd of="$MNT/0103" bs=1 seek=$((size / 2)) conv=notrunc status=none
		printf 'middle' | dd of="$TMP/file" bs=1 seek=$((size / 2)) conv=notrunc status=none
		expect_same_file "$TMP/file" "$MNT/0103"
		printf 'beyond' | dd of="$MNT/0103" bs=1 seek=$((size + 5000)) conv=notrunc status=none
		printf 'beyond' | dd of="$TMP/file" bs=1 seek=$((size + 5000)) conv=notrunc status=none
		expect_same_file "$TMP/file" "$MNT/0103"
		truncate -s $((size / 3)) "$MNT/0103" "$TMP/file"
		value_of 0103 >"$TMP/over-http"
		expect_same_file "$TMP/file" "$TMP/over-http"
		truncate -s $((size * 2)) "$MNT/0103" "$TMP/file"
		expect_same_file "$TMP/file" "$MNT/0103"
	done
	rm "$MNT/0103"
}

renames_move_the_record()
{
	echo one >"$MNT/0a01"
	setfattr -n user.content_type -v text/plain "$MNT/0a01"
	mv "$MNT/0a01" "$MNT/0a02"
	expect_equal one "$(cat "$MNT/0a02")"
	expect_equal one "$(value_of 0a02)"
	expect_http 404 "$ROUTER/kv/0a01"
	expect_http 200 -I "$ROUTER/kv/0a02"
	expect_equal text/plain "$(header Content-Type)"
	fails_with 'No such file' cat "$MNT/0a01"
	echo two >"$MNT/0a01"
	mv "$MNT/0a01" "$MNT/0a02"
	expect_equal two "$(cat "$MNT/0a02")"
	echo three >"$MNT/0a01"
	mv -n "$MNT/0a01" "$MNT/0a02" || true
	expect_equal two "$(cat "$MNT/0a02")"
	rm "$MNT/0a01" "$MNT/0a02"
}

labels_are_attributes_both_ways()
{
	put 0b01 value -H 'Content-Type: text/html' -H 'HexKV-Encoding: utf-8'
	expect_equal text/html "$(getfattr --absolute-names --only-values -n user.content_type "$MNT/0b01")"
	expect_equal utf-8 "$(getfattr --absolute-names --only-values -n user.encoding "$MNT/0b01")"
	setfattr -n user.content_type -v application/x-executable "$MNT/0b01"
	expect_http 200 -I "$ROUTER/kv/0b01"
	expect_equal application/x-executable "$(header Content-Type)"
	expect_equal utf-8 "$(header HexKV-Encoding)"
	expect_equal value "$(cat "$MNT/0b01")"
	echo new >"$MNT/0b01"
	expect_http 200 -I "$ROUTER/kv/0b01"
	expect_equal application/x-executable "$(header Content-Type)"
	setfattr -x user.content_type "$MNT/0b01"
	expect_http 200 -I "$ROUTER/kv/0b01"
	expect_equal application/octet-stream "$(header Content-Type)"
	fails_with 'not supported' setfattr -n user.other -v x "$MNT/0b01"
	fails_with 'Invalid argument' setfattr -n user.encoding -v $'a\nb' "$MNT/0b01"
	setfattr -n user.encoding -v gzip "$MNT/0b01"
	cp --preserve=xattr "$MNT/0b01" "$MNT/0b02"
	expect_equal gzip "$(getfattr --absolute-names --only-values -n user.encoding "$MNT/0b02")"
	rm "$MNT/0b01" "$MNT/0b02"
}

times_are_stored_and_modes_remembered()
{
	echo x >"$MNT/0d01"
	touch -d '2001-02-03 04:05:06.789 UTC' "$MNT/0d01"
	expect_equal 981173106 "$(stat -c %Y "$MNT/0d01")"
	expect_http 200 -I "$ROUTER/kv/0d01"
	expect_equal 981173106789000000 "$(header HexKV-Mtime)"
	touch -d '2002-02-03 04:05:06 UTC' "$TMP/dated"
	cp -p "$TMP/dated" "$MNT/0d02"
	expect_equal "$(stat -c %y "$TMP/dated")" "$(stat -c %y "$MNT/0d02")"
	chmod 600 "$MNT/0d01"
	expect_equal 600 "$(stat -c %a "$MNT/0d01")"
	chown "$(id -u):$(id -g)" "$MNT/0d01"
	fails_with 'Operation not permitted' chown 12345 "$MNT/0d01"
	expect_equal x "$(cat "$MNT/0d01")"
	rm "$MNT/0d01" "$MNT/0d02"
}

what_is_not_a_record_is_refused_sensibly()
{
	local long
	long=$(printf '%0300d' 0)
	echo x >"$MNT/0e01"
	fails_with 'Operation not permitted' mkdir "$MNT/0e02"
	fails_with 'Operation not permitted' ln "$MNT/0e01" "$MNT/0e02"
	fails_with 'Operation not permitted' ln -s target "$MNT/0e02"
	fails_with 'Operation not permitted' mkfifo "$MNT/0e02"
	fails_with 'Operation not permitted' touch "$MNT/name.txt"
	fails_with 'Operation not permitted' cp "$MNT/0e01" "$MNT/0e0"
	fails_with 'Operation not permitted' mv "$MNT/0e01" "$MNT/name.txt"
	fails_with 'File name too long' touch "$MNT/$long"
	fails_with 'File name too long' mv "$MNT/0e01" "$MNT/$long"
	fails_with 'No such file' cat "$MNT/name.txt"
	fails_with 'No such file' cat "$MNT/0e0f"
	fails_with 'No such file' rm "$MNT/0e0f"
	fails_with 'No such file' rm "$MNT/name.txt"
	expect_equal x "$(cat "$MNT/0e01")"
	rm "$MNT/0e01"
}

an_open_file_outlives_its_name()
{
	local size
	for size in 100 300000; do
		random_file "$TMP/file" "$size"
		cp "$TMP/file" "$MNT/0f01"
		exec 7<"$MNT/0f01"
		rm "$MNT/0f01"
		cat <&7 >"$TMP/back"
		exec 7<&-
		expect_same_file "$TMP/file" "$TMP/back"
	done
	exec 7>"$MNT/0f02"
	rm "$MNT/0f02"
	echo lost >&7
	exec 7>&-
	expect_http 404 "$ROUTER/kv/0f02"
}

listings_show_every_name_once()
{
	local i
	for ((i = 0; i < 250; i++)); do
		printf '%04x\n' $((i + 0x1000))
	done >"$TMP/expected"
	while read -r i; do
		echo "$i" >"$MNT/$i"
	done <"$TMP/expected"
	# shellcheck disable=SC2012 # ls is what is tested
	ls "$MNT" >"$TMP/listed"
	expect_same_file "$TMP/expected" "$TMP/listed"
	find "$MNT" -type f -printf '%f\n' | sort >"$TMP/listed"
	expect_same_file "$TMP/expected" "$TMP/listed"
	expect_equal 250 "$(ls -l "$MNT" | awk '$5 == 5' | wc -l)"
	tar -cf "$TMP/all.tar" -C "$MNT" .
	find "$MNT" -type f -delete
	expect_equal '' "$(ls -A "$MNT")"
	tar -xf "$TMP/all.tar" -C "$MNT"
	find "$MNT" -type f -printf '%f\n' | sort >"$TMP/listed"
	expect_same_file "$TMP/expected" "$TMP/listed"
	expect_equal 10ab "$(cat "$MNT/10ab")"
	rm -f "$MNT"/*
	expect_equal '' "$(ls -A "$MNT")"
}

space_is_never_zero()
{
	local free
	free=$(df --output=avail -k "$MNT" | tail -1)
	((free > 0)) || fail "df shows $free"
}

mapped_writes_are_stored()
{
	command -v python3 >/dev/null || return 0
	head -c 10000 /dev/zero >"$MNT/1a01"
	python3 - "$MNT/1a01" <<-'END' || return 0
		import mmap, sys
		with open(sys.argv[1], 'r+b') as f:
		    m = mmap.mmap(f.fileno(), 0)
		m[5000:5005] = b'hello'
		m.close()
	END
	# The last unmapping is not waited for.
	expect_within 20 value_has 1a01 hello
	rm "$MNT/1a01"
}

value_has()
{
	value_of "$1" | grep -aq "$2"
}

cluster_start
mount_start
run_cases redirection_writes_and_appends copies_are_equal parts_are_overwritten_in_place \
	renames_move_the_record labels_are_attributes_both_ways \
	times_are_stored_and_modes_remembered \
	what_is_not_a_record_is_refused_sensibly an_open_file_outlives_its_name \
	listings_show_every_name_once space_is_never_zero mapped_writes_are_stored
mount_stop
