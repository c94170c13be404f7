# SPDX-License-Identifier: MIT
"""A server that answers every connection in a way that no node would: babbler.py PORT WAY.

noise: random bytes; head: a head that never ends; frames: a handshake, then noise; other: a handshake, then
answers that nobody asked for, then silence; nothing: not a word, and the connection ends."""

import os
import random
import signal
import socket
import sys
import threading

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: hexkv-mux/1\r\n\r\n"


def frame(kind, number):
    return (20).to_bytes(4, "little") + bytes([kind, 0, 0, 0]) + number.to_bytes(4, "little") + (200).to_bytes(4, "little") + bytes(8)


def babble(connection, way):
    noise = random.Random(1)
    try:
        connection.settimeout(60)
        request = connection.recv(65536)
        if way == "noise":
            connection.sendall(noise.randbytes(5000))
        elif way == "head":
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30000)
            connection.recv(65536)
        elif way in ("frames", "other") and b"Upgrade" in request:
            connection.sendall(SWITCH)
            connection.recv(65536)
            if way == "frames":
                connection.sendall(noise.randbytes(5000))
            else:
                connection.sendall(b"".join(frame(2, number) for number in range(5000, 6000)))
                while connection.recv(65536):
                    pass
    except OSError:
        pass
    connection.close()


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen(100)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=babble, args=(connection, sys.argv[2]), daemon=True).start()


main()
