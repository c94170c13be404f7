#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Asks a node where it stands in another node's name, with a promise that nobody gave.

replica_forge.py PORT SHARD NODE PROMISE: the cluster is "test"; PROMISE is hexadecimal. Prints the
promise that the node answers with. Exit status 77: there is no libxxhash that could be loaded.
"""

import ctypes
import ctypes.util
import http.client
import struct
import sys

HEAD = "<BBBBHHQ16s16sqQ"


def main():
    port, shard, node, promise = sys.argv[1:]
    name = ctypes.util.find_library("xxhash")
    if not name:
        sys.exit(77)
    xxh3 = ctypes.CDLL(name).XXH3_64bits_withSeed
    xxh3.restype = ctypes.c_uint64
    xxh3.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]

    def hash64(data, seed=0):
        return xxh3(data, len(data), seed)

    node_id = 1 + hash64(node.encode()) % 65535
    group = hash64(shard.encode(), hash64(b"test", 4))
    lineage, created, told = bytes(16), 0, 0
    # The first question, which promises nothing, is answered with the lineage.
    for offered in (0, int(promise, 16)):
        head = struct.pack(
            HEAD, 1, 1, 0, 2, node_id, 0, group, bytes(16), lineage, created, offered
        )
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
        connection.request("POST", "/replica", head + struct.pack("<Q", hash64(head)))
        answer = connection.getresponse().read()
        connection.close()
        lineage, created, told = struct.unpack(HEAD, answer[:64])[8:]
    print(f"{told:x}")


main()
