# SPDX-License-Identifier: MIT
"""Fills a store with names and walks them in pages: page_walk.py COUNT ROUTER-URL NODE-URL...

Every name has to come exactly once, although others come and go while the walk is under way, and a page
may not read more of the disk at the end of the walk than at its beginning."""

import json
import re
import socket
import statistics
import sys
import time
import urllib.parse
import urllib.request

BATCH = 200


class Pipeline:
    """Many requests at once on one connection; the answers have no bodies or say how long they are."""

    def __init__(self, url):
        place = urllib.parse.urlsplit(url)
        self.connection = socket.create_connection((place.hostname, place.port), timeout=120)
        self.file = self.connection.makefile("rb")

    def send(self, requests):
        self.connection.sendall(b"".join(requests))

    def status(self):
        status = int(self.file.readline().split()[1])
        length = 0
        while (line := self.file.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.file.read(length)
        return status


def name(i):
    return "%08x" % (i * 2654435761 % (1 << 32))


def write(pipeline, names, method="PUT"):
    body = b"Content-Length: 5\r\n\r\nvalue" if method == "PUT" else b"\r\n"
    for start in range(0, len(names), BATCH):
        batch = names[start:start + BATCH]
        pipeline.send([b"%s /kv/%s HTTP/1.1\r\nHost: x\r\nHexKV-Durability: memory\r\n%s" % (method.encode(), key.encode(), body) for key in batch])
        for key in batch:
            status = pipeline.status()
            assert status in (201, 204), (key, status)


def get(url):
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.read().decode()


def blocks_read(nodes):
    return sum(int(count) for node in nodes
               for count in re.findall(r"^hexkv_store_cache_(?:hits|misses)_total (\d+)$", get(node + "/metrics"), re.M))


def walk(router, nodes, pipeline):
    names, times, blocks, cursor = [], [], [], ""
    while cursor is not None:
        before, start = blocks_read(nodes), time.monotonic()
        page = json.loads(get("%s/keys?limit=1000%s" % (router, "&cursor=" + cursor if cursor else "")))
        times.append(time.monotonic() - start)
        blocks.append(blocks_read(nodes) - before)
        names += [entry["key"] for entry in page["names"]]
        cursor = page["cursor"]
        # These are no names of ours: longer, and gone again.
        if len(times) % 10 == 0:
            extra = ["ffff%06x%02x" % (len(times), i) for i in range(20)]
            write(pipeline, extra)
            write(pipeline, extra, "DELETE")
    return [key for key in names if len(key) == 8], times, blocks


def main():
    count, router, nodes = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    pipeline = Pipeline(router)
    expected = [name(i) for i in range(count)]
    start = time.monotonic()
    write(pipeline, expected)
    filled = time.monotonic() - start
    names, times, blocks = walk(router, nodes, pipeline)
    assert len(names) == count, "%d names instead of %d" % (len(names), count)
    assert sorted(names) == sorted(expected), "other names"
    tenth = max(1, len(times) // 10)
    print("  %d names filled in %.0f s; %d pages, median %.1f ms of the first tenth, %.1f ms of the last; %d and %d blocks read" % (
        count, filled, len(times), 1000 * statistics.median(times[:tenth]), 1000 * statistics.median(times[-tenth:]), sum(blocks[:tenth]), sum(blocks[-tenth:])))
    assert sum(blocks[-tenth:]) <= 3 * sum(blocks[:tenth]) + 50 * tenth, "later pages read more: %s" % blocks


main()
