# SPDX-License-Identifier: MIT
"""Malformed requests over a raw socket: malformed.py HOST PORT.

Each row says which statuses are right; CLOSED stands for a connection that ends without an answer. An
answer must be whole, and if it is one of our own it is a problem (RFC 9457). Whatever follows on a
connection whose framing is in doubt must not be read as another request. After each row the server must
still answer. Prints what was wrong, and as its last line how many rows there were."""

import concurrent.futures
import json
import socket
import sys

CLOSED = 0
HOST = b"Host: x\r\n"
END = b"\r\n"
# What follows a refused request: were it read, the answer 204 or 404 would come as well.
NEXT = b"DELETE /kv/5a5a HTTP/1.1\r\nHost: x\r\n\r\n"

rows = []


def row(name, data, *statuses):
    rows.append((name, data, set(statuses)))


def get(target, *statuses, name=None):
    row(name or "target %r" % target[:60], b"GET " + target + b" HTTP/1.1\r\n" + HOST + END, *statuses)


def head(lines, *statuses, line=b"GET /kv/01 HTTP/1.1\r\n", body=b"", name=None):
    row(name or "head %r" % lines[:60], line + HOST + lines + END + body, *statuses)


def put(lines, body, *statuses, name=None):
    row(name or "body %r %r" % (lines[:60], body[:40]), b"PUT /kv/01 HTTP/1.1\r\n" + HOST + lines + END + body, *statuses)


def request_lines():
    bad = (400, CLOSED)
    for line in (b"", b" ", b"\0", b"\xff\xfe\xfd", b"GET", b"GET ", b"GET /kv/01", b"/kv/01", b"/kv/01 HTTP/1.1", b"HTTP/1.1 200 OK",
                 b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0", b"SSH-2.0-OpenSSH_9.2", b"{}", b"GET\t/kv/01\tHTTP/1.1\t",
                 b"GET /kv/01 HTTP/1.1 more", b"GET /kv/01 HTTP/1.1\0", b"GET /kv/01 FTP/1.1", b"GET /kv/01 HTTP/11", b"GET /kv/01 HTTP/", b"GET /kv/01 HTTP/x.y",
                 b"GET /kv/01 HTTP/1", b"GET /kv/01 HTTP/1.", b"GET /kv/01 http/1.1", b"GET /kv/01 HTTP /1.1"):
        row("request line %r" % line, line + b"\r\n" + HOST + END, 404, 405, 505, *bad)
    for line in (b"GET /kv/\x0001 HTTP/1.1", b"GET /kv/01\0 HTTP/1.1", b"GET /kv/01\0/02 HTTP/1.1", b"GET /keys?limit=1\0 HTTP/1.1", b"GET /keys?\0limit=1 HTTP/1.1", b"GET\0 /kv/01 HTTP/1.1",
                 b"DELETE\0X /kv/01 HTTP/1.1", b"GET \0/kv/01 HTTP/1.1", b"GET  /kv/01 HTTP/1.1", b"GET /kv/01  HTTP/1.1", b"GET /kv/01 /kv/02 HTTP/1.1"):
        row("request line %r" % line, line + b"\r\n" + HOST + END + NEXT, *bad)
    for version in (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3", b"HTTP/9.9", b"HTTP/1.11", b"HTTP/-1.1", b"HTTP/99999999999.1"):
        row("version %r" % version, b"GET /kv/01 " + version + b"\r\n" + HOST + END, 400, 505, CLOSED)
    for method in (b"get", b"Get", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND", b"MKCOL", b"G\xc3\x89T", b"GET,PUT", b"X" * 200):
        row("method %r" % method[:20], method + b" /kv/01 HTTP/1.1\r\n" + HOST + END, 405, 400)
    row("method of 9000 bytes", b"X" * 9000 + b" /kv/01 HTTP/1.1\r\n" + HOST + END, 400, 405, 414, 431, CLOSED)


def targets():
    for target in (b"/..", b"/../", b"/kv/..", b"/kv/../01", b"/kv/01/..", b"/kv/./01", b"/%2e%2e/kv/01", b"/kv/%2e%2e", b"/kv/%2E./01", b"//kv/01", b"/kv//01",
                   b"/kv/01/", b"/KV/01", b"/kv", b"/kv/", b"/nothing", b"/health", b"/health/", b"/health/live/x", b"/metrics/", b"/kv/01/02", b"/kv%252f01", b"/%6bv",
                   b"/etc/passwd", b"/kv/01\\..\\..", b"http://x", b"http://x/../kv/01", b"http://x:99999/nothing"):
        get(target, 404, 400, 405)
    get(b"*", 404, 400)
    get(b"kv/01", 404, 400)
    get(b"?", 404, 400)
    get(b"ftp://x/kv/01", 404, 400)
    get(b"http:/kv/01", 404, 400)
    get(b"http//x/kv/01", 404, 400)
    for target in (b"/kv/%", b"/kv/%0", b"/kv/%zz", b"/kv/%0g", b"/kv/%00", b"/kv/01%00", b"/kv/01%", b"/%00", b"/%", b"/kv/%%30", b"/kv/%u0030", b"/kv/% 01"):
        get(target, 400, 404, 505, CLOSED)
    for key in (b"0", b"012", b"0g", b"zz", b"0x01", b"-1", b"+1", b"01.", b".01", b"01%20", b"%2001", b"\xc2\xa0", b"01;x", b"01#x", b"01,02", b"00" * 128, b"00" * 2000, b"*"):
        get(b"/kv/" + key, 400)
    get(b"/kv/" + b"0" * 20000, 414, 431, name="target of 20 KB")
    get(b"/" + b"a/" * 3000, 404, 414, name="target of 3000 parts")
    for query in (b"limit=0", b"limit=1001", b"limit=-1", b"limit=", b"limit=1x", b"limit=%31%zz", b"limit=99999999999999999999", b"cursor=%", b"cursor=zz", b"cursor=%00",
                  b"cursor=" + b"0" * 4000, b"format=", b"format=html", b"format=%zz"):
        get(b"/keys?" + query, 400, name="query %r" % query[:30])


def headers():
    for value in (b"yes", b"", b"Disk", b"disk,disk", b"\xff"):
        head(b"HexKV-Durability: %s\r\n" % value, 400, line=b"DELETE /kv/01 HTTP/1.1\r\n")
    for value in (b"3", b"majority", b"leader quorum"):
        head(b"HexKV-Ack: %s\r\n" % value, 400, line=b"DELETE /kv/01 HTTP/1.1\r\n")
    for value in (b"1", b"0" * 32, b"g" * 32, b"1" * 31, b"1" * 33, b"0x" + b"1" * 30):
        head(b"HexKV-Request-Id: %s\r\n" % value, 400, line=b"DELETE /kv/01 HTTP/1.1\r\n")
    for value in (b"maybe", b"Leader", b"any,any"):
        head(b"HexKV-Read: %s\r\n" % value, 400)
    for value in (b"0", b"61", b"-1", b"1.5", b"x"):
        head(b"HexKV-Pin: %s\r\n" % value, 400)
    head(b"HexKV-Pin-Token: " + b"0" * 3000 + END, 400, 412)
    head(b"HexKV-Pin-Token: not a token\r\n", 400, 412)
    for value in (b"x", b"1.5", b"9223372036854775808", b"0x10", b"--1", b"1 2"):
        put(b"Content-Length: 1\r\nHexKV-Mtime: %s\r\n" % value, b"a", 400)
    for value in (b"\x01", b"a\x7fb", b"\xff\xfe", b"\xc2\x85", b"a" * 256):
        put(b"Content-Length: 1\r\nHexKV-Encoding: %s\r\n" % value, b"a", 400)
    put(b"Content-Length: 1\r\nContent-Type: \xed\xa0\x80\r\n", b"a", 400)
    put(b"Content-Length: 1\r\nContent-Range: bytes 0-0/1\r\n", b"a", 400)
    for value in (b"x", b'"', b'"a', b"a, b", b",", b'W/"a" "b"', b'"a"b', b"**"):
        head(b"If-Match: %s\r\n" % value, 400, line=b"DELETE /kv/01 HTTP/1.1\r\n")
    head(b"If-None-Match: " + b'"1-1", ' * 17 + b'"1-1"' + END, 400, line=b"DELETE /kv/01 HTTP/1.1\r\n")
    for value in (b"", b"01", b"/kv/", b"/kv/0g", b"/nothing/02", b"ftp://x/kv/02", b"http://x", b"/kv/02/..", b"/kv/%zz", b"/kv/02?x", b"kv/02"):
        head(b"Destination: %s\r\n" % value, 400, line=b"MOVE /kv/01 HTTP/1.1\r\n")
    head(b"Destination: /kv/02\r\nOverwrite: maybe\r\n", 400, line=b"MOVE /kv/01 HTTP/1.1\r\n")
    for name in (b"If-Match", b"Range", b"HexKV-Durability"):
        head(b"%s: %s\r\n" % (name, b"x" * 5000), 431, name="%s of 5000 bytes" % name.decode())
    head(b"X: y\r\n" * 3000, 431, name="3000 headers")
    head(b"X: " + b"y" * 20000 + END, 431, name="a header of 20 KB")
    head(b"X" * 20000 + b": y\r\n", 431, name="a name of 20 KB")
    for name in (b"Content-Type", b"Range", b"HexKV-Read", b"Authorization", b"HexKV-Request-Id"):
        head(b"%s: bytes\r\n%s: bytes\r\n" % (name, name), 400, name="%s twice" % name.decode())
    for lines in (b"no colon\r\n", b": no name\r\n", b"a b: c\r\n", b"a : c\r\n", b"a\t: c\r\n", b" a: c\r\n", b"\ta: c\r\n", b"a\x00: c\r\n", b"a: b\x00c\r\n", b"a: b\x00\r\nc: d\r\n",
                  b"a: b\r\n c\r\n", b"a: b\r\n\tc\r\n", b"a: b\nc: d\r\n", b"\xff: c\r\n", b"a(b): c\r\n", b"a: b\rc\r\n", b"\0\r\n", b"a\r\n", b"@: b\r\n"):
        head(lines, 400, CLOSED)
    row("no Host", b"GET /kv/01 HTTP/1.1\r\n\r\n", 400)
    row("lone LFs", b"GET /kv/01 HTTP/1.1\nHost: x\n\n", 400)
    row("a lone LF behind the request line", b"GET /kv/01 HTTP/1.1\nHost: x\r\n\r\n", 400)
    row("a NUL behind the version", b"GET /kv/01 HTTP/1.1\0\r\nHost: x\r\n\r\n", 400, 505, CLOSED)


def lengths():
    for value in (b"", b"-1", b"+1", b"0x1", b"1 1", b"1,1", b"1.0", b"1e1", b"abc", b"18446744073709551615", b"18446744073709551616", b"9223372036854775808",
                  b"99999999999999999999999999", b"\x001", b"1\x000", b"\xb2"):
        put(b"Content-Length: %s\r\n" % value, b"a" + NEXT, 400, 413)
    put(b"Content-Length: 1\r\nContent-Length: 1\r\n", b"a" + NEXT, 400)
    put(b"Content-Length: 1\r\nContent-Length: 2\r\n", b"ab" + NEXT, 400)
    put(b"Content-Length: 1\r\ncontent-length: 0\r\n", b"a" + NEXT, 400)
    put(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + NEXT, 400)
    put(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + NEXT, 400)
    put(b"Transfer-Encoding: chunked\r\nContent-Length : 5\r\n", b"0\r\n\r\n" + NEXT, 400)
    for value in (b"gzip", b"identity", b"chunked, gzip", b"gzip, chunked", b"chunked, chunked", b"xchunked", b"chunked;q=1", b"", b"chunked\x00", b"\x0bchunked", b"chun\x00ked",
                  b"\"chunked\""):
        put(b"Transfer-Encoding: %s\r\n" % value, b"0\r\n\r\n" + NEXT, 400, 501)
    put(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n" + NEXT, 400, 501)
    put(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n" + NEXT, 400, 501)
    for body in (b"x\r\n", b"-1\r\n", b"0x1\r\na\r\n0\r\n\r\n", b"\r\n", b"fffffffffffffffff\r\n", b"1\r\nab\r\n0\r\n\r\n", b"1\r\na0\r\n\r\n", b"1 1\r\na\r\n0\r\n\r\n",
                 b"g\r\n", b"+1\r\na\r\n0\r\n\r\n", b"\x001\r\na\r\n0\r\n\r\n", b"," * 100 + END):
        put(b"Transfer-Encoding: chunked\r\n", body, 400, 413, CLOSED)
    put(b"Transfer-Encoding: chunked\r\nTrailer: HexKV-Encoding\r\n", b"1\r\na\r\n0\r\n\r\n", 400)
    put(b"Transfer-Encoding: chunked\r\n", b"1\r\na\r\n0\r\nHexKV-Encoding: a\r\nHexKV-Encoding: b\r\n\r\n", 400)
    put(b"Transfer-Encoding: chunked\r\n", b"1\r\na\r\n0\r\nHexKV-Mtime: x\r\n\r\n", 400)
    put(b"Transfer-Encoding: chunked\r\n", b"1\r\na\r\n0\r\nHexKV-Encoding: a\0b\r\n\r\n", 400)


def bodies(router):
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"{}{}", b"{}x", b'{"colour":"x"}', b'{"encoding":null}', b'{"encoding":1}', b'{"mtime_ns":"1"}', b'{"mtime_ns":1.5}',
                 b'{"mtime_ns":9223372036854775808}', b'{"encoding":"a","encoding":"b"}', b'{"encoding":"\xff"}', b'{"encoding":""}', b'{"encoding":"a\\u0000b"}', b"[" * 5000,
                 b'{"encoding":"\\ud800"}', b"{'encoding':'a'}"):
        row("patch %r" % body[:40], b"PATCH /kv/01 HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body, 400)
    size = 16 * 1024 + 1
    row("patch over 16 KiB", b"PATCH /kv/01 HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size + b" " * size, 413)
    if not router:
        return
    good = b'"key":"01","content_type":"a/b","encoding":"c","value":"d"'
    for body in (b"", b"{", b"[]", b"{%s" % good, b"{%s}x" % good, b'{%s,"key":"02"}' % good, b'{%s,"value":"e"}' % good, b'{%s,"colour":1}' % good, b'{%s,"value_base64":1}' % good,
                 b'{%s,"value_base64":true,"value_base64":false}' % good, b'{%s}' % good.replace(b'"01"', b'"0"'), b'{%s}' % good.replace(b'"01"', b"1"), b"{%s}" % good.replace(b'"d"', b'"\xff"'),
                 b"{%s}" % good.replace(b'"d"', b'"\\ud800"'), b"{%s}" % good.replace(b'"d"', b"null"), b"{%s}" % good.replace(b'"d"', b"[" * 5000), b"\xef\xbb\xbf{%s}" % good,
                 b"{%s}" % good.replace(b'"a/b"', b'"a\\nb"')):
        row("json %r" % body[:60], b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body, 400)
    row("json over 16 MiB", b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 16777217\r\n\r\n", 413)
    row("an empty key", b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", 400)
    row("a key of 300 bytes", b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 300\r\n\r\n" + b"k" * 300, 400, 413)


def frames():
    upgrade = b"Connection: Upgrade\r\nUpgrade: hexkv-mux/1\r\n"
    for lines in (b"Connection: Upgrade\r\n", b"Upgrade: hexkv-mux/1\r\n", b"Connection: close\r\nUpgrade: hexkv-mux/1\r\n", b"Connection: Upgrade\r\nUpgrade: hexkv-mux/2\r\n",
                  b"Connection: Upgrade\r\nUpgrade: websocket\r\n", upgrade + b"Content-Length: 1\r\n"):
        head(lines, 400, line=b"GET /mux HTTP/1.1\r\n", body=b"a")
    row("mux by POST", b"POST /mux HTTP/1.1\r\n" + HOST + upgrade + END, 405)
    request = lambda **k: b"".join((k.get("length", 24 + 6).to_bytes(4, "little"), bytes([k.get("type", 1), k.get("flags", 0), k.get("method", 1), k.get("fields", 0)]), b"\1\0\0\0",
                                    b"\0\0\0\0", k.get("target_len", 6).to_bytes(2, "little"), b"\0\0", k.get("fields_len", 0).to_bytes(4, "little"), k.get("target", b"/kv/01"),
                                    k.get("rest", b"")))
    for name, data in (("random bytes", bytes(range(256)) * 4), ("of length 0", b"\0" * 64), ("endless", b"\xff" * 64), ("a response", request(type=2)), ("of no type", request(type=9)),
                       ("a goodbye", request(type=6, length=20)), ("a method of none", request(method=77)), ("a target too long", request(target_len=5000)), ("no target", request(target_len=0)),
                       ("a target with a space", request(target=b"/kv 01")), ("fields too long", request(fields_len=1 << 20)), ("fields without bytes", request(fields=9, fields_len=0)),
                       ("a field twice", request(length=42, fields=2, fields_len=12, rest=b"\2\3\0abc" * 2)), ("a field with CR LF", request(length=36, fields=1, fields_len=6, rest=b"\2\3\0a\r\n"))):
        head(upgrade, 101, line=b"GET /mux HTTP/1.1\r\n", body=data, name="a frame: " + name)


class Server:
    def __init__(self, host, port):
        self.address = (host, port)

    def connect(self):
        connection = socket.create_connection(self.address, timeout=60)
        connection.settimeout(60)
        return connection

    def lives(self):
        with self.connect() as connection:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return everything(connection).startswith(b"HTTP/1.1 200 ")


def everything(connection):
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionError:
        pass
    return data


def ask(server, data):
    """All that comes back until the connection ends; the client sends nothing after the request."""
    with server.connect() as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return everything(connection)


def statuses_of(data):
    """Of all answers in the data; a body is skipped by its length."""
    statuses = []
    while data:
        start, separator, rest = data.partition(b"\r\n\r\n")
        lines = start.split(b"\r\n")
        if not separator or not lines[0].startswith(b"HTTP/1."):
            return statuses, "not a whole answer: %r" % data[:100]
        status = int(lines[0].split()[1])
        if status != 100:
            statuses.append(status)
        if status == 101:
            return statuses, None
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        length = int(headers.get(b"content-length", 0))
        if len(rest) < length:
            return statuses, "an answer of %d bytes instead of %d" % (len(rest), length)
        if headers.get(b"content-type", b"").startswith(b"application/problem+json"):
            problem = json.loads(rest[:length])
            if problem["status"] != status or not problem["detail"] or problem["outcome"] != "not-applied":
                return statuses, "a problem that is not right: %r" % rest[:length]
        elif status >= 400 and rest[length:].count(b"HTTP/1.") == rest[length:].count(b"HTTP/1.1 %d" % status):
            # libmicrohttpd's own, which it may say once more before it closes, and not whole.
            return statuses, None
        data = rest[length:]
    return statuses, None


def judge(data, right, answer):
    statuses, fault = statuses_of(answer)
    if fault:
        return fault
    if len(statuses) > 1:
        return "answers %r" % statuses
    status = statuses[0] if statuses else CLOSED
    return None if status in right else "%d, not one of %s" % (status, sorted(right))


def run(server, _, data, right):
    fault = judge(data, right, ask(server, data))
    return fault if server.lives() else "the server does not answer any more"


def main():
    server = Server(sys.argv[1], int(sys.argv[2]))
    request_lines()
    targets()
    headers()
    lengths()
    bodies(sys.argv[3] == "router")
    frames()
    # Some wait for the server's patience with a client that has stopped sending.
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        faults = list(pool.map(lambda row: run(server, *row), rows))
    wrong = 0
    for (name, _, _), fault in zip(rows, faults):
        if fault:
            wrong += 1
            print("%s: %s" % (name, fault))
    print("%d rows, %d wrong" % (len(rows), wrong))
    return 1 if wrong else 0


sys.exit(main())
