#!/usr/bin/env python3
"""Power cuts on real file systems: a log is written to on a loop mount, which is shut down without its journal being flushed.

`host/audit/tests/log/power.rs` runs this 50 times; a thousand times, as root, in a mount namespace of its own:

    cargo test --release -p nephron-audit --test log --no-run        # prints the program
    unshare -m tests/power/cuts.py --program target/release/deps/log-HASH --rounds 1000

Each round opens the log, which must succeed, finds every entry that was acknowledged in any round before, and writes until the
file system is gone; some rounds are cut while the log is being opened. The last line says how many cuts there were on which
file system. Exit code 1: something was lost, or a log did not open; its image is kept and named. 77: no loop mounts here.
"""

import argparse
import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time

# _IOR('X', 125, __u32): EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN; 2 is "without flushing the journal" in both.
SHUTDOWN = 0x8004587D
NO_FLUSH = struct.pack("I", 2)
# A file system is used for so many cuts: after each, the log goes on where it was.
CUTS_EACH = 25
NO_MOUNTS = 77


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


class FileSystem:
    """An image of `kind`, on a loop mount."""

    def __init__(self, kind, folder):
        self.kind = kind
        self.image = os.path.join(folder, f"{kind}.img")
        self.mount = os.path.join(folder, kind)
        os.makedirs(self.mount, exist_ok=True)
        with open(self.image, "wb") as image:
            image.truncate(320 << 20)
        force = "-F" if kind == "ext4" else "-f"
        run(f"mkfs.{kind}", "-q", force, self.image)

    def up(self):
        run("mount", "-o", "loop", self.image, self.mount)

    def cut(self):
        root = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(root, SHUTDOWN, NO_FLUSH)
        finally:
            os.close(root)

    def down(self):
        for _ in range(100):
            if subprocess.run(["umount", self.mount], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        run("umount", self.mount)


def program(arguments, files, mode):
    environment = dict(os.environ, NEPHRON_POWER=mode, NEPHRON_POWER_LOG=os.path.join(files.mount, "log"))
    environment["NEPHRON_POWER_ACKNOWLEDGED"] = files.acknowledged
    command = [arguments.program, "--exact", arguments.test, "--nocapture", "--test-threads=1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)


def one_round(arguments, files, draw):
    """Writes until the power goes. Gives how many entries were acknowledged."""
    files.up()
    child = program(arguments, files, "write")
    is_open, lines = threading.Event(), []

    def listen():
        for line in child.stdout:
            if line.startswith("power: open"):
                is_open.set()
            elif line.startswith("power: "):
                lines.append(line.removeprefix("power: "))
        is_open.set()

    said = []
    threads = [threading.Thread(target=listen), threading.Thread(target=lambda: said.append(child.stderr.read()))]
    for thread in threads:
        thread.start()
    if draw.random() < 0.8:
        is_open.wait()
    time.sleep(draw.uniform(0.0, 0.25))
    files.cut()
    child.wait()
    for thread in threads:
        thread.join()
    files.down()
    with open(files.acknowledged, "a") as acknowledged:
        acknowledged.writelines(lines)
    # A program that was cut off fails in some way; one that found something lost says so.
    if "LOST" in said[0]:
        raise AssertionError(said[0])
    return len(lines)


def check(arguments, files):
    files.up()
    child = program(arguments, files, "check")
    out, said = child.communicate()
    files.down()
    if child.returncode != 0:
        raise AssertionError(out + said)


def cut(arguments, kind, rounds, folder, draw):
    cuts = entries = 0
    while cuts < rounds:
        files = FileSystem(kind, folder)
        files.acknowledged = os.path.join(folder, f"{kind}.acknowledged")
        open(files.acknowledged, "w").close()
        for _ in range(min(CUTS_EACH, rounds - cuts)):
            entries += one_round(arguments, files, draw)
            cuts += 1
            # What the next opening finds is looked at before it writes more.
            check(arguments, files)
        os.remove(files.image)
    if entries == 0:
        raise AssertionError("no entry was ever acknowledged: nothing was tried")
    return f"{cuts} cuts of {kind}, {entries} entries acknowledged"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, help="the test program of host/audit, `log-HASH`")
    parser.add_argument("--test", default="power::i1_a_power_cut_on_a_real_file_system_loses_no_acknowledged_entry")
    parser.add_argument("--rounds", type=int, default=50, help="altogether; half of them on each file system")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    draw = random.Random(arguments.seed)
    kinds = [kind for kind in ("ext4", "xfs") if shutil.which(f"mkfs.{kind}")]
    folder = tempfile.mkdtemp(prefix="nephron-power-")
    try:
        try:
            if not kinds:
                raise OSError("there is no mkfs.ext4 and no mkfs.xfs")
            tried = FileSystem(kinds[0], folder)
            tried.up()
            tried.down()
        except OSError as error:
            print(f"skipped {arguments.rounds} power cuts: {error}")
            return NO_MOUNTS
        for kind in kinds:
            print(cut(arguments, kind, -(-arguments.rounds // len(kinds)), folder, draw), flush=True)
        if "xfs" not in kinds:
            print("xfs was left out: there is no mkfs.xfs (package xfsprogs)")
    except AssertionError as lost:
        print(f"{lost}\nkept: {folder}, seed {arguments.seed}")
        folder = None
        return 1
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
