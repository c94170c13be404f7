#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs at work in a mount: mount_workers.py STOP-FILE MOUNT SCRATCH.

Each worker repeats its kind of work until STOP-FILE is there, and compares what it reads with what it
wrote. Any error of any program is printed and makes the status 1; the last line has the longest time
that each kind of operation took. What is left in the mount is compared with SCRATCH by the caller: files
there have the names and contents of the records."""

import os
import random
import shutil
import subprocess
import sys
import threading
import time

LARGE_BYTES = 50 * 1000 * 1000


class Worker(threading.Thread):
    def __init__(self, name, work, stop):
        super().__init__()
        self.name, self.work, self.stop = name, work, stop
        self.count, self.longest_s, self.failure = 0, 0.0, None

    def run(self):
        while not os.path.exists(self.stop):
            began = time.monotonic()
            try:
                self.work(self.count)
            except subprocess.CalledProcessError as error:
                self.failure = "%s ended with %d: %s" % (
                    error.cmd, error.returncode, (error.stdout + error.stderr)[-500:])
            except (OSError, AssertionError) as error:
                self.failure = repr(error)
            self.count += 1
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            if self.failure:
                return


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


class Work:
    def __init__(self, mount, scratch):
        self.mount, self.scratch = mount, scratch
        self.random = random.Random(1)
        self.large = os.path.join(scratch, "large")
        with open(self.large, "wb") as file:
            file.write(os.urandom(LARGE_BYTES))
        self.tree = os.path.join(scratch, "tree")
        self.kept = os.path.join(scratch, "kept")
        os.mkdir(self.tree)
        os.mkdir(self.kept)

    def at(self, name):
        return os.path.join(self.mount, name)

    def keep(self, name, content):
        with open(os.path.join(self.kept, name), "wb") as file:
            file.write(content)

    def copy_small(self, count):
        name = "b0%04x" % (count % 64)
        content = os.urandom(random.randrange(20000))
        self.keep(name, content)
        run("cp", os.path.join(self.kept, name), self.at(name))
        with open(self.at(name), "rb") as file:
            assert file.read() == content, name + " reads differently"

    def copy_large(self, count):
        name = "b1%04x" % (count % 3)
        run("cp", self.large, self.at(name))
        run("cmp", self.large, self.at(name))
        shutil.copyfile(self.large, os.path.join(self.kept, name))

    def sync_tree(self, count):
        for _ in range(5):
            name = "b2%04x" % random.randrange(40)
            with open(os.path.join(self.tree, name), "wb") as file:
                file.write(os.urandom(random.randrange(200000)))
        run("rsync", "-a", "--no-o", "--no-g", self.tree + "/", self.mount + "/")

    def append(self, count):
        line = b"line %d\n" % count
        file = os.open(self.at("b30000"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, line)
        os.fsync(file)
        os.close(file)
        with open(os.path.join(self.kept, "b30000"), "ab") as kept:
            kept.write(line)

    def edit(self, count):
        name = "b4%04x" % (count % 5)
        if not os.path.exists(os.path.join(self.kept, name)):
            self.keep(name, b"")
            with open(self.at(name), "wb") as file:
                file.write(b"this is number 0 and no other\n")
        run("sed", "-i", "s/number [0-9]*/number %d/" % count, self.at(name))
        self.keep(name, b"this is number %d and no other\n" % count)
        with open(self.at(name), "rb") as file:
            assert file.read() == b"this is number %d and no other\n" % count, name

    def remove(self, count):
        name = self.at("b5%04x" % count)
        with open(name, "wb") as file:
            file.write(b"for a moment")
        os.rename(name, name + "00")
        os.unlink(name + "00")
        assert not os.path.exists(name) and not os.path.exists(name + "00"), name + " is there"


def main():
    stop, mount, scratch = sys.argv[1:4]
    work = Work(mount, scratch)
    kinds = (work.copy_small, work.copy_large, work.sync_tree, work.append, work.edit, work.remove)
    workers = [Worker(kind.__name__, kind, stop) for kind in kinds]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for name in os.listdir(work.tree):
        os.rename(os.path.join(work.tree, name), os.path.join(work.kept, name))
    print("  in the mount: " + ", ".join(
        "%s %d, longest %d ms" % (w.name, w.count, 1000 * w.longest_s) for w in workers))
    failures = ["%s number %d: %s" % (w.name, w.count, w.failure) for w in workers if w.failure]
    for failure in failures:
        print(failure)
    sys.exit(1 if failures else 0)


main()
