#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# O_EXCL across two mounts and HTTP: of all who make a record exactly one does.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

of_a_hundred_racing_creators_one_wins()
{
	FIRST=$FIRST SECOND=$SECOND ROUTER=$ROUTER \
		ROUNDS=$((${HEXKV_LONG:-0} ? 100 : 12)) python3 - <<-'END' || fail 'not exactly one won'
		import http.client, os, threading
		rounds = int(os.environ['ROUNDS'])
		won = [[] for _ in range(rounds)]
		begin = threading.Barrier(104)
		def by_mount(mount, who):
		    for i in range(rounds):
		        begin.wait()
		        try:
		            file = os.open('%s/00%02x' % (mount, i), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
		        except FileExistsError:
		            continue
		        os.write(file, who)
		        os.close(file)
		        won[i].append(who)
		def by_http(who):
		    router = http.client.HTTPConnection(os.environ['ROUTER'].split('//')[1])
		    for i in range(rounds):
		        begin.wait()
		        router.request('PUT', '/kv/00%02x' % i, who, {'If-None-Match': '*'})
		        answer = router.getresponse()
		        answer.read()
		        assert answer.status in (201, 412), answer.status
		        if answer.status == 201:
		            won[i].append(who)
		threads = [threading.Thread(target=by_mount, args=(os.environ[mount], b'%s %d' % (mount.encode(), i)))
		           for mount in ('FIRST', 'SECOND') for i in range(50)]
		threads += [threading.Thread(target=by_http, args=(b'http %d' % i,)) for i in range(4)]
		for thread in threads:
		    thread.start()
		for thread in threads:
		    thread.join()
		for i in range(rounds):
		    assert len(won[i]) == 1, (i, won[i])
		    for mount in ('FIRST', 'SECOND'):
		        got = open('%s/00%02x' % (os.environ[mount], i), 'rb').read()
		        assert got == won[i][0], (i, won[i], got)
	END
}

# bash opens without O_EXCL what it has just seen to be absent, and with it under noclobber.
noclobber_is_exclusive()
{
	bash -c "set -C; echo first >'$FIRST/01aa'"
	fails_with 'cannot overwrite' bash -c "set -C; echo second >'$SECOND/01aa'"
	expect_equal first "$(cat "$SECOND/01aa")"
}

a_creator_that_dies_leaves_an_empty_record()
{
	python3 - "$SECOND/02aa" <<-'END' &
		import os, sys, time
		file = os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY)
		os.write(file, b'never stored')
		time.sleep(1000)
	END
	expect_within 10 test -e "$SECOND/02aa"
	expect_http 200 -I "$ROUTER/kv/02aa"
	kill_process "${MOUNTS[$SECOND]}"
	kill -KILL $!
	wait $! 2>/dev/null || true
	unset "MOUNTS[$SECOND]"
	fusermount3 -u -z "$SECOND"
	expect_equal '' "$(cat "$FIRST/02aa")"
	fails_with 'File exists' dd of="$FIRST/02aa" conv=excl
	# A lock of that kind is broken as any other.
	rm "$FIRST/02aa"
	bash -c "set -C; echo mine >'$FIRST/02aa'"
	expect_equal mine "$(value_of 02aa)"
}

cluster_start
mount_start
FIRST=$MNT
mount_start second
SECOND=$MNT
run_cases of_a_hundred_racing_creators_one_wins noclobber_is_exclusive \
	a_creator_that_dies_leaves_an_empty_record
mount_stop "$FIRST"
