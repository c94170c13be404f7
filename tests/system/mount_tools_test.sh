#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Programs that read, archive, search, follow, lock and keep databases in files.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

label_of()
{
	getfattr --absolute-names --only-values -n "user.$2" "$1"
}

tar_carries_contents_times_and_labels()
{
	random_file "$TMP/file" 200000
	cp "$TMP/file" "$MNT/0101"
	put 0102 '<p>' -H 'Content-Type: text/html' -H 'HexKV-Encoding: utf-8'
	touch -d '2001-02-03 UTC' "$MNT/0101"
	tar -cf "$TMP/all.tar" --xattrs -C "$MNT" .
	rm "$MNT/0101" "$MNT/0102"
	tar -xf "$TMP/all.tar" --xattrs --xattrs-include='user.*' -C "$MNT"
	expect_same_file "$TMP/file" "$MNT/0101"
	expect_equal 981158400 "$(stat -c %Y "$MNT/0101")"
	expect_equal text/html "$(label_of "$MNT/0102" content_type)"
	expect_http 200 -I "$ROUTER/kv/0102"
	expect_equal text/html "$(header Content-Type)"
	expect_equal utf-8 "$(header HexKV-Encoding)"
	# Over what is there, and into itself.
	tar -xf "$TMP/all.tar" -C "$MNT"
	expect_same_file "$TMP/file" "$MNT/0101"
	tar -C "$MNT" -cf - 0101 | tar -C "$MNT" -xf - --transform s/0101/0103/
	expect_same_file "$TMP/file" "$MNT/0103"
	rm "$MNT/0101" "$MNT/0102" "$MNT/0103"
}

copies_preserve_what_they_are_asked_to()
{
	put 0101 value -H 'Content-Type: text/html'
	touch -d '2001-02-03 04:05:06.5 UTC' "$MNT/0101"
	chmod 640 "$MNT/0101"
	cp -a "$MNT/0101" "$MNT/0102"
	expect_equal "$(stat -c '%y %a %s' "$MNT/0101")" "$(stat -c '%y %a %s' "$MNT/0102")"
	expect_equal text/html "$(label_of "$MNT/0102" content_type)"
	cp "$MNT/0101" "$MNT/0103"
	expect_equal application/octet-stream "$(label_of "$MNT/0103" content_type)"
	cp --preserve=xattr "$MNT/0101" "$MNT/0103"
	expect_equal text/html "$(label_of "$MNT/0103" content_type)"
	cp -a "$MNT" "$TMP/copy"
	expect_equal value "$(cat "$TMP/copy/0101")"
	diff -r "$MNT" "$TMP/copy"
	rm "$MNT/0101" "$MNT/0102" "$MNT/0103"
}

dd_writes_where_it_is_told()
{
	local direct
	random_file "$TMP/file" 81920
	for direct in '' direct; do
		dd if="$TMP/file" of="$MNT/0201" bs=4096 ${direct:+oflag=direct} status=none
		expect_same_file "$TMP/file" "$MNT/0201"
		random_file "$TMP/block" 4096
		dd if="$TMP/block" of="$TMP/file" bs=4096 seek=3 conv=notrunc status=none
		dd if="$TMP/block" of="$MNT/0201" bs=4096 seek=3 conv=notrunc,fsync \
			${direct:+oflag=direct} status=none
		dd if="$MNT/0201" of="$TMP/back" bs=4096 ${direct:+iflag=direct} status=none
		expect_same_file "$TMP/file" "$TMP/back"
		expect_equal "$(sha256sum <"$TMP/file")" "$(curl -sS "$ROUTER/kv/0201" | sha256sum)"
	done
	printf tail | dd of="$MNT/0201" oflag=append conv=notrunc,fdatasync status=none
	expect_equal tail "$(tail -c 4 "$MNT/0201")"
	expect_equal 81924 "$(stat -c %s "$MNT/0201")"
	fails_with 'File exists' dd if=/dev/zero of="$MNT/0201" count=1 conv=excl
	fails_with 'No such file' dd if=/dev/zero of="$MNT/0202" count=1 conv=nocreat
	dd if=/dev/null of="$MNT/0201" bs=1000 seek=5 status=none
	expect_equal 5000 "$(stat -c %s "$MNT/0201")"
	rm "$MNT/0201"
}

touch_makes_and_dates()
{
	touch "$MNT/0301"
	expect_equal '' "$(value_of 0301)"
	expect_http 200 -I "$ROUTER/kv/0301"
	touch -d '2001-02-03 UTC' "$MNT/0301"
	touch -r "$MNT/0301" "$MNT/0302"
	expect_equal 981158400 "$(stat -c %Y "$MNT/0302")"
	touch -a "$MNT/0302"
	expect_equal 981158400 "$(stat -c %Y "$MNT/0302")"
	touch -c "$MNT/0303"
	expect_http 404 -I "$ROUTER/kv/0303"
	touch "$MNT/0301"
	[[ $MNT/0301 -nt $MNT/0302 ]] || fail 'touch set no new time'
	rm "$MNT/0301" "$MNT/0302"
}

finders_find()
{
	local i
	for i in {10..29}; do
		printf "%0*d" "$i" 7 >"$MNT/04$i"
	done
	touch -d '2001-02-03 UTC' "$MNT"/041?
	expect_equal 10 "$(find "$MNT" -type f -newermt '2002-01-01' | wc -l)"
	expect_equal 9 "$(find "$MNT" -type f -newer "$MNT/0420" -o -samefile "$MNT/0420" |
		grep -vc 0420)"
	expect_equal 5 "$(find "$MNT" -type f -size -15c | wc -l)"
	expect_equal 20 "$(find "$MNT" -name '04*' -exec cat {} + | wc -c | xargs -I{} expr {} - 370)"
	find "$MNT" -type f -print0 | xargs -0 sha256sum >"$TMP/sums"
	sha256sum --quiet -c "$TMP/sums"
	expect_equal 20 "$(grep -rl 7 "$MNT" | wc -l)"
	find "$MNT" -name '041*' -delete
	expect_equal 10 "$(find "$MNT" -type f | wc -l)"
	find "$MNT" -type f -print0 | xargs -0 -P 4 -n 3 rm
	expect_equal '' "$(ls -A "$MNT")"
}

readers_read()
{
	seq 1 50000 >"$TMP/file"
	cp "$TMP/file" "$MNT/0501"
	expect_equal "$(head -3 "$TMP/file")" "$(head -3 "$MNT/0501")"
	expect_equal "$(tail -3 "$TMP/file")" "$(tail -3 "$MNT/0501")"
	expect_equal "$(wc <"$TMP/file")" "$(wc <"$MNT/0501")"
	diff "$TMP/file" "$MNT/0501"
	cmp "$TMP/file" "$MNT/0501"
	gzip -c "$MNT/0501" >"$MNT/0502"
	gzip -dc "$MNT/0502" | cmp - "$TMP/file"
	split -b 100000 -d -a 2 "$MNT/0501" "$MNT/05f0"
	cat "$MNT"/05f0?? | cmp - "$TMP/file"
	expect_equal "$(git hash-object "$TMP/file")" "$(git hash-object "$MNT/0501")"
	tee -a "$MNT/0501" "$TMP/file" </etc/hostname >/dev/null
	expect_same_file "$TMP/file" "$MNT/0501"
	expect_equal "$(sed -n '49000,$p;7q' "$TMP/file")" "$(sed -n '49000,$p;7q' "$MNT/0501")"
	fails_with 'Operation not permitted' gzip "$MNT/0502"
	rm "$MNT"/05*
}

curl_fetches_into_and_sends_from_a_file()
{
	random_file "$TMP/file" 300000
	curl -sS -T "$TMP/file" "$ROUTER/kv/0601"
	curl -sS -o "$MNT/0602" "$ROUTER/kv/0601"
	expect_same_file "$TMP/file" "$MNT/0602"
	curl -sS -T "$MNT/0602" "$ROUTER/kv/0603"
	expect_same_file "$TMP/file" "$MNT/0603"
	curl -sS -C - -o "$MNT/0602" "$ROUTER/kv/0601"
	expect_same_file "$TMP/file" "$MNT/0602"
	rm "$MNT"/06*
}

has_lines()
{
	(($(wc -l <"$1") >= $2))
}

# tail_follows OPTIONS...: what this mount appends shows.
tail_follows()
{
	echo 1 >"$MNT/0701"
	: >"$TMP/followed"
	# shellcheck disable=SC2016 # the inner shell's
	start_process tail sh -c 'exec tail "$@" >"$0"' "$TMP/followed" "$@" "$MNT/0701"
	expect_within 10 has_lines "$TMP/followed" 1
	echo 2 >>"$MNT/0701"
	expect_within 10 has_lines "$TMP/followed" 2
	echo 3 >>"$MNT/0701"
	expect_within 10 has_lines "$TMP/followed" 3
	expect_equal '1 2 3' "$(xargs <"$TMP/followed")"
	end_process tail
	rm "$MNT/0701"
}

tail_follows_what_is_appended()
{
	tail_follows -f
	# Without inotify it asks again and again.
	tail_follows -f -s 0.05 ---disable-inotify
	tail_follows -F -s 0.05 ---disable-inotify
}

sqlite_keeps_a_database()
{
	local journal i
	command -v sqlite3 >/dev/null || {
		echo '  not tested, for want of sqlite3'
		return
	}
	for journal in delete truncate persist memory wal; do
		sqlite3 "$MNT/0801" "pragma journal_mode=$journal; create table t(a);" >/dev/null
		for i in {1..5}; do
			sqlite3 "$MNT/0801" "begin; insert into t values($i), ($i); commit;
				begin; delete from t; rollback;"
		done
		expect_equal $'30\nok' "$(sqlite3 "$MNT/0801" 'select sum(a) from t; pragma integrity_check')"
		# Once nobody has it open the record is the whole database.
		curl -sS -o "$TMP/database" "$ROUTER/kv/0801"
		expect_equal $'30\nok' \
			"$(sqlite3 "$TMP/database" 'select sum(a) from t; pragma integrity_check')"
		rm -f "$MNT"/0801*
	done
	expect_equal '' "$(ls -A "$MNT")"
}

two_processes_share_a_database()
{
	local i pids=()
	command -v sqlite3 >/dev/null || return 0
	sqlite3 "$MNT/0802" 'create table t(a);'
	for i in {1..4}; do
		(for _ in {1..5}; do
			sqlite3 -cmd '.timeout 60000' "$MNT/0802" 'insert into t values(1)' || exit 1
		done) &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || fail 'a writer failed'
	done
	expect_equal $'20\nok' "$(sqlite3 "$MNT/0802" 'select count(*) from t; pragma integrity_check')"
	rm -f "$MNT"/0802*
}

locks_exclude_each_other()
{
	: >"$MNT/0901"
	exec 7<"$MNT/0901"
	flock -x 7
	expect_exit 1 flock -n "$MNT/0901" true
	exec 7<&-
	expect_exit 0 flock -n "$MNT/0901" true
	(set -C && fails_with 'cannot overwrite' bash -c "set -C; : >'$MNT/0901'")
	bash -c "set -C; : >'$MNT/0902'"
	rm "$MNT/0901" "$MNT/0902"
}

mappings_are_shared_and_private()
{
	head -c 100000 /dev/zero >"$MNT/0a01"
	python3 - "$MNT/0a01" <<-'END'
		import mmap, os, sys
		with open(sys.argv[1], 'r+b') as f:
		    private = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
		    private[0:5] = b'wrong'
		    private.close()
		    shared = mmap.mmap(f.fileno(), 0)
		    shared[50000:50005] = b'right'
		    assert os.pread(f.fileno(), 5, 50000) == b'right'
		    os.pwrite(f.fileno(), b'again', 60000)
		    assert shared[60000:60005] == b'again'
		    shared.flush()
		    shared[99995:] = b'later'
		# Written after the file was closed.
		shared[70000:70005] = b'after'
		shared.close()
	END
	expect_within 10 value_has 0a01 after
	printf 'right again after later' >"$TMP/expected"
	value_of 0a01 | tr -d '\0' >"$TMP/back"
	expect_equal rightagainafterlater "$(cat "$TMP/back")"
	rm "$MNT/0a01"
}

value_has()
{
	value_of "$1" | grep -aq "$2"
}

cluster_start
mount_start
run_cases tar_carries_contents_times_and_labels copies_preserve_what_they_are_asked_to \
	dd_writes_where_it_is_told touch_makes_and_dates finders_find readers_read \
	curl_fetches_into_and_sends_from_a_file tail_follows_what_is_appended \
	sqlite_keeps_a_database two_processes_share_a_database locks_exclude_each_other mappings_are_shared_and_private
mount_stop
