#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Two mounts and an HTTP client change the same records in many rounds: each open sees what was
# stored last, and nobody ever sees two versions mixed.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"

# scene SCRIPT: Python that knows first(key) and second(key), paths of the two mounts, http(method,
# key, value), which returns the value or None, and content(number, size), in which every eight
# bytes tell the number.
scene()
{
	FIRST=$FIRST SECOND=$SECOND ROUTER=$ROUTER ROUNDS=$((${HEXKV_LONG:-0} ? 8000 : 600)) python3 -c "
import errno, http.client as client, mmap, os, random, struct, threading

def first(key):
    return os.environ['FIRST'] + '/' + key

def second(key):
    return os.environ['SECOND'] + '/' + key

rounds = int(os.environ['ROUNDS'])
local = threading.local()
def http(method, key, value=None, headers={}):
    if not hasattr(local, 'connection'):
        local.connection = client.HTTPConnection(os.environ['ROUTER'].split('//')[1])
    local.connection.request(method, '/kv/' + key, value, headers)
    answer = local.connection.getresponse()
    body = answer.read()
    local.status = answer.status
    return body if answer.status < 300 else None

def content(number, size):
    return (struct.pack('<Q', number) * (size // 8 + 1))[:size]

def read(path):
    with open(path, 'rb', buffering=0) as file:
        return file.readall()

def write(path, value):
    with open(path, 'wb', buffering=0) as file:
        assert file.write(value) == len(value)

$1" || fail 'the scene went otherwise'
}

each_open_sees_what_was_stored_last()
{
	scene '
random.seed(1)
places = [(lambda key, value: write(first(key), value), lambda key: read(first(key))),
          (lambda key, value: write(second(key), value), lambda key: read(second(key))),
          (lambda key, value: http("PUT", key, value), lambda key: http("GET", key))]
for i in range(rounds):
    key = "00a%d" % random.randrange(3)
    size = random.choice([0, 1, 100, 4096, 5000, 65536, 65537, 200000])
    value = content(i, size)
    places[random.randrange(3)][0](key, value)
    for place in random.sample(places, 2):
        got = place[1](key)
        assert got == value, (i, key, size, len(got), got[:8])
'
}

what_comes_and_goes_over_http_shows_at_the_next_open()
{
	scene '
def absent(path):
    try:
        read(path)
    except FileNotFoundError:
        return True
    return False
for i in range(rounds // 4):
    assert absent(first("00b1")), i
    http("PUT", "00b1", b"%d" % i)
    assert read(first("00b1")) == b"%d" % i
    http("PUT", "00b1", b"again %d" % i)
    assert read(first("00b1")) == b"again %d" % i
    assert read(second("00b1")) == b"again %d" % i
    http("DELETE", "00b1")
    assert absent(first("00b1")), i
    assert absent(second("00b1")), i
'
}

a_replacement_by_rename_shows_at_the_next_open_and_leaves_open_files_alone()
{
	scene '
for i in range(rounds // 6):
    size = (100, 300000)[i % 2]
    old, new = content(2 * i, size), content(2 * i + 1, size)
    write(first("00c1"), old)
    with open(second("00c1"), "rb", buffering=0) as file:
        begun = file.read(50)
        write(first("00c1.tmp"), new)
        os.rename(first("00c1.tmp"), first("00c1"))
        assert read(second("00c1")) == new
        rest = b""
        while True:
            part = file.read(65536)
            if not part:
                break
            rest += part
        assert begun + rest == old, i
'
}

# Contents of one number only, however they are read.
nobody_sees_two_versions_mixed()
{
	scene '
stop = threading.Event()
faults = []
sizes = [4096, 65536, 300000]
def writer(put):
    i = 0
    while not stop.is_set():
        i += 1
        try:
            put("00d1", content(i, random.choice(sizes)))
        except OSError as e:
            if e.errno != errno.ESTALE:
                faults.append(e)
def check(data, how):
    if len(data) not in sizes or data != content(struct.unpack("<Q", data[:8])[0], len(data)):
        faults.append((how, len(data)))
def reader(path):
    while not stop.is_set():
        try:
            with open(path, "rb", buffering=0) as file:
                if random.random() < 0.5:
                    check(file.readall(), "read")
                else:
                    # The size as it is told, which the file has at least.
                    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
                        check(mapping[:], "mapped")
        except OSError as e:
            if e.errno != errno.ESTALE:
                faults.append(e)
http("PUT", "00d1", content(0, 4096))
threads = [threading.Thread(target=writer, args=(lambda k, v: write(first(k + ".tmp1"), v) or
                                                 os.rename(first(k + ".tmp1"), first(k)),)),
           threading.Thread(target=writer, args=(lambda k, v: http("PUT", k, v),))]
threads += [threading.Thread(target=reader, args=(path("00d1"),)) for path in (first, second)]
for thread in threads:
    thread.start()
stop.wait(rounds / 300)
stop.set()
for thread in threads:
    thread.join()
assert not faults, faults[:5]
'
}

the_last_to_store_wins_whole()
{
	scene '
for i in range(rounds // 10):
    size = (1000, 100000)[i % 2]
    one, two = content(2 * i, size), content(2 * i + 1, size)
    threads = [threading.Thread(target=write, args=(first("00e1"), one)),
               threading.Thread(target=write, args=(second("00e1"), two))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = http("GET", "00e1")
    assert stored in (one, two), i
    assert read(first("00e1")) == stored
    assert read(second("00e1")) == stored
'
}

# truncate(2) opens nothing, and must not bring an older version back.
truncating_by_name_is_about_the_current_version()
{
	scene '
for i in range(rounds // 10):
    size = (100, 100000)[i % 2]
    http("PUT", "00f1", content(i, size))
    assert len(read(first("00f1"))) == size
    http("PUT", "00f1", content(i + 1000, size))
    os.truncate(first("00f1"), 50)
    assert http("GET", "00f1") == content(i + 1000, size)[:50], i
'
}

labels_set_elsewhere_show()
{
	put 00f2 value -H 'Content-Type: image/png'
	expect_equal image/png "$(label_of "$FIRST/00f2")"
	setfattr -n user.content_type -v text/plain "$FIRST/00f2"
	expect_within 20 has_label "$SECOND/00f2" text/plain
	expect_http 204 -X PATCH -H 'Content-Type: application/merge-patch+json' \
		--data '{"content_type": "text/html"}' "$ROUTER/kv/00f2"
	expect_within 20 has_label "$FIRST/00f2" text/html
	expect_within 20 has_label "$SECOND/00f2" text/html
	expect_equal "$(stat -c %i "$FIRST/00f2")" "$(stat -c %i "$SECOND/00f2")"
}

label_of()
{
	getfattr --absolute-names --only-values -n user.content_type "$1"
}

has_label()
{
	[[ $(label_of "$1") == "$2" ]]
}

cluster_start
mount_start
FIRST=$MNT
mount_start second
SECOND=$MNT
run_cases each_open_sees_what_was_stored_last what_comes_and_goes_over_http_shows_at_the_next_open \
	a_replacement_by_rename_shows_at_the_next_open_and_leaves_open_files_alone \
	nobody_sees_two_versions_mixed the_last_to_store_wins_whole \
	truncating_by_name_is_about_the_current_version labels_set_elsewhere_show
mount_stop "$FIRST"
mount_stop "$SECOND"
