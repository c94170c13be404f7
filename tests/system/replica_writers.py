#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writers that never lose count: replica_writers.py STOP-FILE RESULT-FILE URL...

Each of a few threads writes keys of its own, with HexKV-Ack: quorum, and repeats a write with the same
request id, at whichever node, until it is acknowledged; so at any time at most one write a thread is
open. Once STOP-FILE is there each ends its last write, and RESULT-FILE gets a line for each key: the
key and its value, '-' for a deleted one, or the key and both of what it may be, if the last write was
given up."""

import http.client
import os
import random
import secrets
import sys
import threading
import time
import urllib.parse

THREADS = 4
KEYS = 12
GIVE_UP_S = 60


class Writer(threading.Thread):
    def __init__(self, number, urls, stop):
        super().__init__()
        self.number, self.urls, self.stop = number, urls, stop
        self.at = 0
        self.connections = {}
        self.values = {}  # key -> None or value, as acknowledged
        self.open = None  # (key, value) that was given up
        self.acknowledged = 0
        self.random = random.Random(number)

    def ask(self, url, method, key, value, request_id):
        """The status, and the URL to ask next or None."""
        place = urllib.parse.urlsplit(url)
        connection = self.connections.get(url)
        if connection is None:
            connection = http.client.HTTPConnection(place.hostname, place.port, timeout=3)
            self.connections[url] = connection
        try:
            headers = {"HexKV-Ack": "quorum", "HexKV-Request-Id": request_id}
            connection.request(method, "/kv/" + key, value, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers.get("HexKV-Leader")
        except (OSError, http.client.HTTPException):
            connection.close()
            del self.connections[url]
            return 0, None

    def write(self, method, key, value):
        """True once it is acknowledged."""
        request_id = secrets.token_hex(16)
        give_up = time.monotonic() + GIVE_UP_S
        hint, sent_on = None, 0
        while time.monotonic() < give_up:
            url = hint or self.urls[self.at]
            status, leader = self.ask(url, method, key, value, request_id)
            if status in (200, 201, 204) or (status == 404 and method == "DELETE"):
                return True
            hint = leader if status == 421 and sent_on < 2 else None
            sent_on = sent_on + 1 if hint else 0
            if hint in self.urls:
                self.at = self.urls.index(hint)
            elif not hint:
                self.at = (self.at + 1) % len(self.urls)
                time.sleep(0.02)
        return False

    def run(self):
        count = 0
        while not os.path.exists(self.stop):
            count += 1
            key = "%02x%02x" % (0xA0 + self.number, self.random.randrange(KEYS))
            delete = self.values.get(key) is not None and self.random.random() < 0.1
            value = None if delete else "writer %d number %d" % (self.number, count)
            if not self.write("DELETE" if delete else "PUT", key, value):
                self.open = (key, value)
                return
            self.values[key] = value
            self.acknowledged += 1


def shown(value):
    return "-" if value is None else value.replace(" ", "_")


def main():
    stop, result, urls = sys.argv[1], sys.argv[2], sys.argv[3:]
    writers = [Writer(number, urls, stop) for number in range(THREADS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with open(result, "w", encoding="ascii") as out:
        for writer in writers:
            for key, value in sorted(writer.values.items()):
                line = [key, shown(value)]
                if writer.open and writer.open[0] == key:
                    line.append(shown(writer.open[1]))
                print(*line, file=out)
    print("%d writes acknowledged" % sum(writer.acknowledged for writer in writers))


main()
