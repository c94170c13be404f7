# SPDX-License-Identifier: MIT
"""Asks a router whether it is ready, on a connection that it keeps: ready_watcher.py HOST PORT STOP-FILE.

Until STOP-FILE is there. Between two routers nobody listens; a connection that was answered 200 and ends must have said
503 or nothing in between. Every answer is 200, or 503 with Retry-After. Once a router that was ready says that it shuts
down there is no 200 on the same connection; a node that answers late may make it unready for a moment."""

import http.client
import os
import sys
import time


def main():
    host, port, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    connection = None
    seen = {200: 0, 503: 0}
    was_ready = drains = False
    while not os.path.exists(stop):
        try:
            if connection is None:
                connection = http.client.HTTPConnection(host, port, timeout=30)
                was_ready = drains = False
            connection.request("GET", "/health/ready")
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status in (200, 503), answer.status
            assert answer.status == 200 or answer.headers["Retry-After"], "no Retry-After"
            assert not (drains and answer.status == 200), "ready again while it drains"
            was_ready |= answer.status == 200
            drains |= was_ready and answer.status == 503 and b"shutting down" in text
            ends = answer.headers.get("Connection") == "close"
            seen[answer.status] += 1
            if ends:
                connection.close()
                connection = None
        except (OSError, http.client.HTTPException):
            connection.close()
            connection = None
        time.sleep(0.002)
    print("  ready %d times, not ready %d times" % (seen[200], seen[503]))
    assert seen[200] > 0


main()
