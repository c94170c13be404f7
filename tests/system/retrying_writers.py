#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients of a router that lose no write and make none twice:
retrying_writers.py STOP-FILE RESULT-FILE ROUTER-URL RETRIES.

Each of a few threads creates, replaces, labels, reads and deletes records of its own. A request that
fails, is refused for now or gets no answer is sent again with the same request id, RETRIES times at
most (0: any number within a minute). Conditions make a write that was applied twice, or not at all, an
answer that is an error: If-None-Match: * for what is created, If-Match for the rest. Once STOP-FILE is
there each ends, and RESULT-FILE gets a line for each record: the key, and its value. The status is 0 if
nothing but success was seen."""

import http.client
import os
import secrets
import sys
import threading
import time
import urllib.parse

THREADS = 4
ALL_WITHIN_S = 60
PASSING = (0, 429, 500, 502, 503, 504)


class Client(threading.Thread):
    def __init__(self, number, stop, place, retries):
        super().__init__()
        self.number, self.stop, self.place, self.retries = number, stop, place, retries
        self.connection = None
        self.values = {}
        self.requests = self.again = self.most = 0
        self.longest_s = 0.0
        self.failure = None

    def ask(self, method, key, body, headers):
        """Status, ETag, body; status 0 without an answer."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                self.place.hostname, self.place.port, timeout=20
            )
        try:
            self.connection.request(method, "/kv/" + key, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, answer.headers.get("ETag"), text
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.connection = None
            return 0, None, repr(error).encode()

    def request(self, expected, method, key, body=None, **conditions):
        headers = {name.replace("_", "-"): value for name, value in conditions.items()}
        if method != "GET":
            headers["HexKV-Request-Id"] = secrets.token_hex(16)
        began = time.monotonic()
        tries = 0
        while True:
            status, etag, text = self.ask(method, key, body, headers)
            if status not in PASSING:
                break
            tries += 1
            passed = time.monotonic() - began
            if tries > self.retries if self.retries else passed > ALL_WITHIN_S:
                break
            time.sleep(0.02)
        self.requests += 1
        self.again += tries
        self.most = max(self.most, tries)
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        if status != expected:
            self.failure = "%s of %s, sent %d times: %d, not %d: %s" % (
                method, key, tries + 1, status, expected, text[:300])
            raise RuntimeError(self.failure)
        return etag, text

    def one_record(self, count):
        key = "a%d%06x" % (self.number, count)
        value = b"writer %d record %d" % (self.number, count)
        etag, _ = self.request(201, "PUT", key, b"first " + value, If_None_Match="*")
        etag, _ = self.request(204, "PUT", key, value, If_Match=etag)
        self.values[key] = value
        patch = b'{"encoding":"of writer %d"}' % self.number
        headers = {"If_Match": etag, "Content_Type": "application/merge-patch+json"}
        etag, _ = self.request(204, "PATCH", key, patch, **headers)
        _, text = self.request(200, "GET", key, HexKV_Read="leader")
        if text != value:
            self.failure = "%s reads %s" % (key, text)
            raise RuntimeError(self.failure)
        if count % 3 == 0:
            self.request(204, "DELETE", key, If_Match=etag)
            del self.values[key]

    def run(self):
        count = 0
        while not os.path.exists(self.stop) and not self.failure:
            count += 1
            try:
                self.one_record(count)
            except RuntimeError:
                return


def main():
    stop, result, url, retries = sys.argv[1:5]
    clients = [
        Client(number, stop, urllib.parse.urlsplit(url), int(retries)) for number in range(THREADS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    with open(result, "w", encoding="ascii") as out:
        for client in clients:
            for key, value in sorted(client.values.items()):
                print(key, value.decode().replace(" ", "_"), file=out)
    print("  curl-like clients: %d requests, sent again %d times, at most %d times one; longest %d ms" % (
        sum(client.requests for client in clients),
        sum(client.again for client in clients),
        max(client.most for client in clients),
        1000 * max(client.longest_s for client in clients)))
    failures = [client.failure for client in clients if client.failure]
    for failure in failures:
        print(failure)
    sys.exit(1 if failures else 0)


main()
