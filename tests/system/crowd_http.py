# SPDX-License-Identifier: MIT
"""Many HTTP connections at once: crowd_http.py idle|deaf COUNT HOST PORT PATH.

idle: COUNT connections that have nothing to say, half of them after one request. Meanwhile another
      connection asks for PATH again and again: every answer must be right. Then all that were idle
      ask, too. Prints the rates without and with the crowd.
deaf: COUNT connections ask for PATH, which is large, and read nothing of the answer until told to go
      on by the end of standard input; then each must get the whole answer, or 429."""

import http.client
import resource
import socket
import sys
import time

REQUESTS = 2000


def connect(host, port):
    connection = socket.create_connection((host, port), timeout=120)
    connection.settimeout(120)
    return connection


def ask(connection, path):
    connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def rate(host, port, path):
    connection = connect(host, port)
    start = time.monotonic()
    for _ in range(REQUESTS):
        status = ask(connection, path)
        assert status == 200, status
    connection.close()
    return REQUESTS / (time.monotonic() - start)


def idle(count, host, port, path):
    alone = rate(host, port, path)
    crowd = []
    for i in range(count):
        crowd.append(connect(host, port))
        if i % 2 == 0:
            assert ask(crowd[-1], path) == 200
    among = rate(host, port, path)
    for connection in crowd:
        status = ask(connection, path)
        assert status == 200, status
    print("%d idle connections: %.0f requests/s one by one, %.0f without them" % (count, among, alone))


def deaf(count, host, port, path):
    crowd = []
    for _ in range(count):
        connection = socket.socket()
        connection.settimeout(120)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, port))
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        crowd.append(connection)
    for connection in crowd:
        # The answer has begun.
        assert connection.recv(1, socket.MSG_PEEK)
    print("all wait", flush=True)
    sys.stdin.read()
    statuses = []
    for connection in crowd:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert len(answer.read()) == int(answer.headers["Content-Length"])
        statuses.append(answer.status)
        connection.close()
    assert set(statuses) <= {200, 429} and 200 in statuses, set(statuses)
    print("%d of %d got the value, the others 429" % (statuses.count(200), count))


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    {"idle": idle, "deaf": deaf}[sys.argv[1]](int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5])


main()
