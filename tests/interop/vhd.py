#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""vhd.py DIR - VHDs that this library, qemu, 7-Zip and libvhdi write and read, compared

Each disk has a bytearray beside it that says what it must read. Random operations have fixed seeds.
The build is in $BUILD. Where another tool is wrong by the text of the format, the function that spares it says why.
"""
import os
import random
import struct
import subprocess
import sys

import pyvhdi

from vhd_library import OPEN_WRITE, Disk

MIB = 1 << 20
DIR = sys.argv[1]
TOOL = os.path.join(os.environ["BUILD"], "src/cli/caisson")
def run(*args, **more):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    if done.returncode != 0:
        sys.exit("FAIL: %s: %s%s" % (" ".join(args), done.stdout[-500:].decode(), done.stderr[-500:].decode()))
    return done.stdout


def at(name):
    return os.path.join(DIR, name)


# ---- readers ----

def same(got, model, who, path):
    if got == bytes(model):
        return
    if len(got) != len(model):
        sys.exit("FAIL: %s reads %s as %d bytes, not %d" % (who, path, len(got), len(model)))
    first = next(i for i in range(len(model)) if got[i] != model[i])
    sys.exit("FAIL: %s reads %s differently at %d: 0x%02x, not 0x%02x" % (who, path, first, got[first], model[first]))


def read_here(path, model):
    with Disk(path) as d:
        same(d.read(), model, "this library", path)
    run(TOOL, "disk", "check", "-q", path)


def read_qemu(path, model):
    """Not for differencing images: qemu opens one as if it stood alone, its parent's data as zeros."""
    raw = at("qemu.raw")
    run("qemu-img", "convert", "-f", "vpc", "-O", "raw", path, raw)
    with open(raw, "rb") as f:
        same(f.read(), model, "qemu-img", path)
    os.unlink(raw)


def read_7zip(path, model):
    """7-Zip also verifies both footers, and that what has a clear bit in a dynamic image is zero."""
    same(run("7zz", "x", "-so", path, cwd=DIR), model, "7zz", path)


def read_libvhdi(paths, model):
    """The topmost first.

    libvhdi takes a bitmap's bits for groups of eight sectors (it does not mask the bit that it asks
    for), so it may be asked for children only where all writes were whole, aligned 4 KiB. It takes
    the original size for the disk's, which is the same here.
    """
    files = []
    for path in paths:
        f = pyvhdi.file()
        f.open(path)
        if files:
            files[-1].set_parent(f)
        files.append(f)
    top = files[0]
    got = b"".join(top.read_buffer_at_offset(min(MIB, len(model) - off), off) for off in range(0, len(model), MIB))
    same(got, model, "libvhdi", paths[0])
    for f in files:
        f.close()


# ---- writers ----

def place(rng, size, unit):
    off = rng.randrange(size // unit) * unit
    n = rng.choice([1, 1, 2, 3, 8, 50, 300]) * unit
    return off, min(n, size - off)


def write_here(path, model, rng, n=30, unit=1):
    """Random operations by the library; whole blocks are zeroed and discarded now and then."""
    with Disk(path, OPEN_WRITE) as d:
        if d.size() != len(model):
            sys.exit("FAIL: %s: %d bytes, not %d" % (path, d.size(), len(model)))
        for _ in range(n):
            off, size = place(rng, len(model), rng.choice([unit, max(unit, 512), 4096]))
            what = rng.randrange(10)
            if what < 7:
                data = rng.randbytes(size)
                d.write(off, data)
                model[off:off + size] = data
            elif what == 7:
                off, size = off // (2 * MIB) * 2 * MIB, min(2 * MIB, len(model) - off // (2 * MIB) * 2 * MIB)
                d.zero(off, size)
                model[off:off + size] = bytes(size)
            elif what == 8:
                off, size = off // (2 * MIB) * 2 * MIB, min(2 * MIB, len(model) - off // (2 * MIB) * 2 * MIB)
                d.discard(off, size)
                now = d.read()[off:off + size]
                for i in range(0, size, 512):
                    if any(now[i:i + 512]) and now[i:i + 512] != model[off + i:off + i + 512]:
                        sys.exit("FAIL: %s: discarded at %d, neither zeros nor what was there" % (path, off + i))
                model[off:off + size] = now
            else:
                d.flush()


class QemuAllocation:
    """What qemu leaves in the first block that it adds.

    The format says that the footer is the last sector of the file; Windows (since 8) and this
    library leave a gap before it, so that files are multiples of 4 KiB. qemu 7.2 takes it to be right
    behind the last block, where the next block's bitmap covers it. Otherwise the old footer stays
    in the new block's data, where zeros should be.
    """

    def __init__(self, path):
        with open(path, "rb") as f:
            image = f.read()
        self.footer, self.table = image[-512:], None
        if image[:8] != b"conectix":
            return
        start, entries = struct.unpack(">Q", image[528:536])[0], struct.unpack(">I", image[540:544])[0]
        self.table = list(struct.unpack(">%dI" % entries, image[start:start + 4 * entries]))
        ends = [e * 512 + 512 + 2 * MIB for e in self.table if e != 0xffffffff]
        self.stale = len(image) - 512 - max(ends + [(start + 4 * entries + 511) // 512 * 512]) - 512

    def written(self, model, off, size):
        """Before a write: the first one into a block that is not there brings the old footer."""
        for i in range(off // (2 * MIB), (off + size - 1) // (2 * MIB) + 1) if self.table else ():
            if self.table[i] == 0xffffffff and self.stale >= 0:
                begin = i * 2 * MIB + self.stale
                model[begin:begin + 512] = self.footer[:max(0, len(model) - begin)]
                self.stale = -1


def write_qemu(path, model, rng, n=25):
    args, allocation = [], QemuAllocation(path)
    for _ in range(n):
        off, size = place(rng, len(model), 512)
        value = rng.randrange(1, 256)
        args += ["-c", "write -P %d %d %d" % (value, off, size)]
        allocation.written(model, off, size)
        model[off:off + size] = bytes([value]) * size
    out = run("qemu-io", "-f", "vpc", *args, path)
    if b"ailed" in out:
        sys.exit("FAIL: qemu-io: " + out.decode())


# ---- disks ----

def ours(kind, size, seed, more=()):
    """Made here; written here, by qemu, and here again; read by all after each."""
    rng, model = random.Random(seed), bytearray(size)
    path = at("ours-%s-%d.vhd" % (kind, seed))
    run(TOOL, "disk", "create", "--type", kind, *more, path, str(size))
    for write in (lambda *a: None, write_here, write_qemu, write_here):
        write(path, model, rng)
        for read in (read_here, read_qemu, read_7zip):
            read(path, model)
        read_libvhdi([path], model)
    os.unlink(path)


def qemus(options, size, seed):
    """Made by qemu-img; written there, here, and there again."""
    rng = random.Random(seed)
    path = at("qemu-%d.vhd" % seed)
    run("qemu-img", "create", "-f", "vpc", "-o", options, path, str(size))
    with Disk(path) as d: # without force_size qemu makes it a little larger, so that it fits CHS
        size = d.size()
    model = bytearray(size)
    for write in (lambda *a: None, write_qemu, write_here, write_qemu):
        write(path, model, rng)
        for read in (read_here, read_qemu, read_7zip):
            read(path, model)
    os.unlink(path)


def converted(size, seed):
    """A raw file to each kind of VHD and back, by either tool."""
    rng, model, raw = random.Random(seed), bytearray(size), at("model.raw")
    for _ in range(20):
        off, n = place(rng, size, 512)
        model[off:off + n] = rng.randbytes(n)
    with open(raw, "wb") as f:
        f.write(model)
    for kind in ("fixed", "dynamic"):
        path = at("converted.vhd")
        run(TOOL, "disk", "convert", "-q", "--force", "-f", "raw", "-O", "vhd-" + kind, raw, path)
        for read in (read_here, read_qemu, read_7zip):
            read(path, model)
        run("qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on,subformat=" + kind, raw, path)
        read_here(path, model)
        run(TOOL, "disk", "convert", "-q", "--force", "-f", "vhd", "-O", "raw", path, at("back.raw"))
        with open(at("back.raw"), "rb") as f:
            same(f.read(), model, "caisson disk convert", path)
    os.unlink(raw)


def chain(depth, size, seed, kind="dynamic", unit=1):
    """Each image written by random operations; all of them read when all are there."""
    rng, model, models, paths = random.Random(seed), bytearray(size), [], []
    for i in range(depth):
        path = at("chain-%d-%02d.vhd" % (seed, i))
        if i == 0:
            run(TOOL, "disk", "create", "--type", kind, path, str(size))
        else:
            run(TOOL, "disk", "snapshot", paths[-1], path)
        write_here(path, model, rng, 12, unit)
        models.append(bytes(model))
        paths.append(path)
    for path, want in zip(paths, models):
        read_here(path, want)
        read_7zip(path, want)
    if unit == 4096:
        read_libvhdi(paths[::-1], models[-1])
    for path in paths:
        os.unlink(path)


def main():
    for seed, size in enumerate((10 * MIB, 10 * MIB + 5 * 512, 33 * MIB + 512)):
        ours("dynamic", size, seed)
        ours("fixed", size, 10 + seed)
    for seed, options in enumerate(("subformat=dynamic", "subformat=fixed", "subformat=dynamic,force_size=on", "subformat=fixed,force_size=on")):
        qemus(options, 10 * MIB + 512 * 7, 20 + seed)
    converted(9 * MIB + 512, 30)
    chain(12, 9 * MIB + 512, 40)
    chain(12, 9 * MIB, 41, "fixed")
    chain(4, 10 * MIB, 42, unit=4096)
    chain(2, 10 * MIB + 512, 43)


main()
