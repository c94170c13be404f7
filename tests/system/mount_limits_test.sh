#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Many of everything at once, and ends that nobody announced.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

if [[ -n ${HEXKV_LONG:-} ]]; then
	LOOK_UPS=1000000
else
	LOOK_UPS=100000
fi

# More than the descriptors that a process is commonly given.
a_thousand_files_are_written_at_once()
{
	prlimit --pid "${PROCESSES[${MOUNTS[$MNT]}]}" --nofile=512:512
	python3 - "$MNT" <<-'END'
		import os, resource, sys
		resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
		files = [os.open('%s/0a%04x' % (sys.argv[1], i), os.O_CREAT | os.O_WRONLY) for i in range(1000)]
		for i, file in enumerate(files): os.write(file, b'content %d' % i)
		for file in files: os.close(file)
	END
	expect_equal 'content 0' "$(value_of 0a0000)"
	expect_equal 'content 999' "$(value_of 0a03e7)"
	expect_equal 1000 "$(find "$MNT" -name '0a????' -size +0 | wc -l)"
}

a_thousand_threads_read_at_once()
{
	random_file "$TMP/value" 300000
	cp "$TMP/value" "$MNT/0b"
	python3 - "$MNT/0b" "$TMP/value" <<-'END'
		import os, sys, threading
		value = open(sys.argv[2], 'rb').read()
		wrong, start = [], threading.Barrier(1000)
		threading.stack_size(256 * 1024)
		def read(i):
		    file = os.open(sys.argv[1], os.O_RDONLY)
		    start.wait()
		    at = i * 250
		    if os.pread(file, 5000, at) != value[at:at + 5000]: wrong.append(i)
		    os.close(file)
		threads = [threading.Thread(target=read, args=(i,)) for i in range(1000)]
		for thread in threads: thread.start()
		for thread in threads: thread.join()
		sys.exit(len(wrong) > 0)
	END
}

labels_are_changed_again_and_again()
{
	echo text >"$MNT/0c"
	python3 - "$MNT/0c" <<-'END'
		import os, sys
		file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
		os.write(file, b'more')
		for i in range(10000): os.setxattr(file, 'user.content_type', b'text/x%d' % i)
		os.close(file)
	END
	expect_http 200 "$ROUTER/kv/0c"
	expect_equal text/x9999 "$(header content-type)"
}

resident_kib()
{
	awk '/^VmRSS:/ { print $2 }' "/proc/${PROCESSES[${MOUNTS[$MNT]}]}/status"
}

looking_for_what_is_not_there_takes_no_memory()
{
	local before after
	before=$(resident_kib)
	python3 - "$MNT" "$LOOK_UPS" <<-'END'
		import os, sys
		for i in range(int(sys.argv[2])):
		    if os.path.exists('%s/0d%08x' % (sys.argv[1], i)): sys.exit('found')
	END
	after=$(resident_kib)
	((after - before < 8192)) || is_sanitized || fail "$((after - before)) KiB more"
}

# umount -l: the mount goes at once, the program once nobody has a file of it open.
files_that_are_open_outlive_a_lazy_unmount()
{
	local name=${MOUNTS[$MNT]} writer
	mkfifo "$TMP/lazy"
	dd if="$TMP/lazy" of="$MNT/0e" bs=7 status=none &
	writer=$!
	exec 8>"$TMP/lazy"
	printf unsaved >&8
	expect_within 10 test -s "$MNT/0e"
	umount -l "$MNT" 2>/dev/null || fusermount3 -u -z "$MNT"
	expect_within 10 is_not_mounted "$MNT"
	process_runs "$name" || fail 'it ended before its files were closed'
	unset "MOUNTS[$MNT]"
	exec 8>&-
	wait "$writer" || fail 'the writer failed'
	expect_equal unsaved "$(value_of 0e)"
	finish_process "$name"
	mount_start
}

a_mount_that_was_killed_is_mounted_again()
{
	local writer
	mount_stop
	hexkv_up killed --shards 1 --followers 0 --mount "$TMP/killed-mnt"
	echo stored >"$MNT/0f01"
	python3 - "$MNT/0f02" "$TMP/written" <<-'END' &
		import os, sys, time
		os.write(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), b'unsaved')
		open(sys.argv[2], 'w').close()
		time.sleep(1000)
	END
	writer=$!
	expect_within 20 test -e "$TMP/written"
	kill_members killed mount
	kill -KILL "$writer"
	wait "$writer" || true
	hexkv_up killed
	expect_equal stored "$(cat "$MNT/0f01")"
	fails_with 'No such file' cat "$MNT/0f02"
	echo again >"$MNT/0f02"
	expect_equal again "$(value_of 0f02)"
}

a_staging_directory_that_takes_nothing_is_named()
{
	mkdir "$TMP/nowhere"
	expect_sentence 2 'staging' "$FS_BIN" "$ROUTER" "$TMP/nowhere" -f -o "staging=$TMP/missing"
}

# Small ones stay in memory.
a_staging_directory_that_goes_away_fails_what_needs_it()
{
	mount_stop
	mkdir "$TMP/staging"
	FS_ARGS=(-o "staging=$TMP/staging")
	mount_start
	rmdir "$TMP/staging"
	echo small >"$MNT/10"
	expect_equal small "$(value_of 10)"
	expect_exit 1 cp "$TMP/value" "$MNT/11"
	rm -f "$MNT/11"
	mkdir "$TMP/staging"
	cp "$TMP/value" "$MNT/11"
	value_of 11 | cmp - "$TMP/value" || fail 'the value differs'
}

need_command python3 prlimit
cluster_start 2
mount_start
run_cases a_staging_directory_that_takes_nothing_is_named a_thousand_files_are_written_at_once \
	a_thousand_threads_read_at_once labels_are_changed_again_and_again \
	looking_for_what_is_not_there_takes_no_memory \
	a_staging_directory_that_goes_away_fails_what_needs_it \
	files_that_are_open_outlive_a_lazy_unmount \
	a_mount_that_was_killed_is_mounted_again
