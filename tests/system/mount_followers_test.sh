#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A default cluster that loses both its leaders, or everything: what the mount and curl still show,
# what becomes of writes, and that nothing is lost.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
# shellcheck source=tests/system/replica_lib.sh
. "$(dirname "$0")/replica_lib.sh"
# shellcheck source=tests/system/leaders_lib.sh
. "$(dirname "$0")/leaders_lib.sh"

# The records: $TMP/source holds their values, $TMP/source/sums their checksums.
records_make()
{
	local i source=$TMP/source
	mkdir "$source"
	for i in $(seq 1 "${RECORDS_SMALL}"); do
		head -c $((i * 37)) /dev/urandom >"$source/$(printf 'aa%04x' "$i")"
	done
	: >"$source/bb00"
	: >"$source/bb01"
	random_file "$source/cc00" 5000000
	random_file "$source/cc01" 5000001
	random_file "$source/cc02" 70000
	random_file "$source/cc03" 3000000
	(cd "$source" && sha256sum -- *) >"$TMP/sums"
	cp "$source"/* "$MNT/"
	http -X PUT -H 'Content-Type: text/plain' -H 'HexKV-Encoding: utf-8' -d labelled "$ROUTER/kv/dd00"
	setfattr -n user.content_type -v text/x-mine "$MNT/cc01"
	sync -f "$MNT"
	curl -sS -X PATCH -d '{}' -H 'Content-Type: application/merge-patch+json' "$ROUTER/kv/dd00"
	expect_shards_agree
	RECORDS_MADE=$RECORDS
}

# expect_stale CURL-ARGUMENTS...: 200 from a follower, marked.
expect_stale()
{
	expect_http 200 "$@"
	expect_equal true "$(header hexkv-stale)" "HexKV-Stale of $*"
}

forget_pages()
{
	echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true
}

mount_shows_everything()
{
	forget_pages
	(cd "$MNT" && sha256sum --quiet -c "$TMP/sums") || fail 'the mount shows other values'
	expect_equal "$RECORDS_MADE" "$(find "$MNT" -type f | wc -l)" 'names that find sees'
	expect_equal "$(stat -c '%n %s' "$TMP/source"/* | sed 's|.*/||')" \
		"$(cd "$MNT" && stat -c '%n %s' -- aa* bb* cc*)" 'sizes'
	# shellcheck disable=SC2010,SC2012 # ls is what is tried
	expect_equal "$RECORDS_MADE" "$(ls -l "$MNT" | grep -c '^-')" 'lines of ls -l'
	expect_equal labelled "$(cat "$MNT/dd00")"
	expect_equal text/plain,utf-8 "$(getfattr --absolute-names --only-values -n user.content_type "$MNT/dd00"),$(
		getfattr --absolute-names --only-values -n user.encoding "$MNT/dd00")"
	expect_equal text/x-mine "$(getfattr --absolute-names --only-values -n user.content_type "$MNT/cc01")"
	cp "$MNT/cc00" "$TMP/back"
	expect_same_file "$TMP/source/cc00" "$TMP/back"
	fails_with 'No such file' cat "$MNT/dd77"
}

# HTTP_STALE: true or nothing, for all answers.
curl_shows_everything()
{
	local key cursor='' keys=0
	for key in bb00 cc00 cc02 aa0001 aa0002 aa0003 aa0004 dd00; do
		expect_http 200 "$ROUTER/kv/$key"
		expect_equal "$HTTP_STALE" "$(header hexkv-stale)" "HexKV-Stale of $key"
		[[ ! -e $TMP/source/$key ]] || expect_same_file "$TMP/source/$key" "$BODY"
	done
	expect_equal text/plain,utf-8 "$(header content-type),$(header hexkv-encoding)"
	expect_http 206 -r 4000000-4000099 "$ROUTER/kv/cc00"
	expect_equal "$HTTP_STALE" "$(header hexkv-stale)"
	cmp -i 4000000:0 -n 100 "$TMP/source/cc00" "$BODY" || fail 'another range'
	expect_equal 100 "$(stat -c %s "$BODY")"
	expect_http 200 -X POST -d dd00 "$ROUTER/"
	expect_equal "$HTTP_STALE,labelled" "$(header hexkv-stale),$(body_json .dd00.value)"
	expect_http 404 "$ROUTER/kv/dd77"
	expect_equal "$HTTP_STALE" "$(header hexkv-stale)"
	while :; do
		expect_http 200 "$ROUTER/keys?limit=25${cursor:+&cursor=$cursor}"
		expect_equal "$HTTP_STALE" "$(header hexkv-stale)" 'HexKV-Stale of a page of names'
		keys=$((keys + $(body_json '.names | length')))
		cursor=$(body_json '.cursor // ""')
		[[ -n $cursor ]] || break
	done
	expect_equal "$RECORDS_MADE" "$keys" 'names over HTTP'
}

# One that keeps its file open while it can't be stored.
patient_writer()
{
	python3 - "$@" <<-'END'
		import errno, os, sys
		name, refused, go = sys.argv[1:4]
		file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
		os.write(file, b'written without a leader')
		try:
		    os.fsync(file)
		    sys.exit('fsync succeeded without a leader')
		except OSError as error:
		    assert error.errno in (errno.EIO, errno.ETIMEDOUT), error
		open(refused, 'w').close()
		open(go).close()
		os.fsync(file)
		os.close(file)
	END
}

# expect_refused WHAT PID: a program in the mount that could not store.
expect_refused()
{
	local status=0
	wait "$2" || status=$?
	((status != 0 && status != 137)) || fail "$1 without a leader ended with $status"
	grep -qE 'Input/output error|timed out' "$TMP/refused-$1" || fail "$1: $(<"$TMP/refused-$1")"
}

writes_fail_in_bounded_time()
{
	local began=$SECONDS patience=$((100 * PATIENCE)) key copy remove patch
	mkfifo "$TMP/go"
	PROCESSES[patient]=
	patient_writer "$MNT/ee00" "$TMP/refused" "$TMP/go" >"$TMP/log/patient" 2>&1 &
	PROCESSES[patient]=$!
	timeout -s KILL "$patience" cp "$TMP/source/cc00" "$MNT/ee01" 2>"$TMP/refused-cp" &
	copy=$!
	timeout -s KILL "$patience" rm "$MNT/aa0001" 2>"$TMP/refused-rm" &
	remove=$!
	timeout -s KILL "$patience" setfattr -n user.encoding -v x "$MNT/cc02" 2>"$TMP/refused-setfattr" &
	patch=$!
	for key in aa0001 aa0002 aa0003 aa0004; do
		expect_http 503 -X PUT -d x "$ROUTER/kv/$key"
		expect_equal not-applied,true "$(body_json .outcome),$(body_json .retryable)"
		[[ -n $(header retry-after) ]] || fail 'it does not say when to try again'
	done
	expect_http 503 -X DELETE "$ROUTER/kv/aa0001"
	expect_http 503 -H 'HexKV-Read: leader' "$ROUTER/kv/aa0001"
	expect_refused cp "$copy"
	expect_refused rm "$remove"
	expect_refused setfattr "$patch"
	expect_within 60 test -e "$TMP/refused"
	printf '  writes were refused after %d s\n' $((SECONDS - began))
	((SECONDS - began < patience)) || fail 'it took too long'
}

what_was_not_saved_is_stored_later()
{
	: >"$TMP/go"
	finish_process patient
	expect_equal 'written without a leader' "$(value_of ee00)"
	rm "$TMP/go" "$TMP/refused"
	rm -f "$MNT/ee00" "$MNT/ee01"
	sync "$MNT"
}

without_its_leaders_everything_can_be_read_and_nothing_is_written()
{
	kill_members default s0a s1a
	HTTP_STALE=true
	curl_shows_everything
	mount_shows_everything
	writes_fail_in_bounded_time
	# What waits to be stored shows on its mount.
	expect_equal 'written without a leader' "$(cat "$MNT/ee00")"
}

when_they_return_nothing_is_lost()
{
	hexkv_up default
	expect_led 20
	what_was_not_saved_is_stored_later
	HTTP_STALE=
	curl_shows_everything
	mount_shows_everything
	expect_shards_agree
	expect_equal "$RECORDS_MADE" "$RECORDS"
	expect_equal 0 "$(diverged_total)" 'entries that diverged'
	expect_equal 'leader follower leader follower ' "$(roles)"
}

followers_that_start_alone_answer_reads()
{
	kill_members default s0a s0b s1a s1b
	start_alone 1
	start_alone 3
	expect_within 20 may_be_read 1
	expect_within 20 may_be_read 3
	HTTP_STALE=true
	expect_within 10 answers_stale
	curl_shows_everything
	mount_shows_everything
	stop_process s0b
	stop_process s1b
	hexkv_up default
	expect_led 20
	HTTP_STALE=
	curl_shows_everything
	expect_shards_agree
	expect_equal "$RECORDS_MADE" "$RECORDS"
}

answers_stale()
{
	http "$ROUTER/kv/dd00"
	[[ $STATUS == 200 ]] || return 1
	http "$ROUTER/keys?limit=1000"
	[[ $STATUS == 200 ]]
}

roles_outlive_down_and_a_crash_of_everything()
{
	local expected
	expect_exit 0 hexkv promote s1 s1b --dir "$TMP/default"
	expected='leader follower follower leader '
	hexkv down --dir "$TMP/default" >/dev/null
	hexkv_up default
	expect_led 20
	expect_equal "$expected" "$(roles)" 'roles after down and up'
	mount_shows_everything
	cp "$TMP/source/cc03" "$MNT/ff01"
	sync "$MNT/ff01"
	rm "$MNT/ff01"
	sync "$MNT"
	kill_members default
	hexkv_up default
	expect_led 20
	expect_equal "$expected" "$(roles)" 'roles after a crash of everything'
	HTTP_STALE=
	curl_shows_everything
	mount_shows_everything
	expect_shards_agree
	expect_equal "$RECORDS_MADE" "$RECORDS"
	expect_equal 0 "$(diverged_total)" 'entries that diverged'
}

need_command getfattr setfattr
RECORDS_SMALL=${HEXKV_LONG:+400}
RECORDS_SMALL=${RECORDS_SMALL:-40}
default_cluster default
records_make
run_cases without_its_leaders_everything_can_be_read_and_nothing_is_written \
	when_they_return_nothing_is_lost \
	followers_that_start_alone_answer_reads \
	roles_outlive_down_and_a_crash_of_everything
