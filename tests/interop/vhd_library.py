# SPDX-License-Identifier: MIT
"""vhd_library.py - libcaisson-vhd of the build in $BUILD, for scripts"""
import ctypes
import os
import sys

OPEN_WRITE = 1


class Err(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("msg", ctypes.c_char * 512)]


class OpenOptions(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint32), ("parent", ctypes.c_char_p), ("roots", ctypes.c_void_p), ("n_roots", ctypes.c_size_t),
                ("windows_root", ctypes.c_char_p), ("depth_max", ctypes.c_uint), ("cache_max", ctypes.c_size_t)]


lib = ctypes.CDLL(os.path.join(os.environ["BUILD"], "src/vhd/libcaisson-vhd.so.0"))
lib.vhd_size.restype = ctypes.c_uint64
lib.vhd_size.argtypes = [ctypes.c_void_p]


def must(rc, e, what):
    if rc != 0:
        sys.exit("FAIL: %s: %s" % (what, e.msg.decode()))


class Disk:
    """An image opened by the library."""

    def __init__(self, path, flags=0):
        self.path, self.v, self.e = path, ctypes.c_void_p(), Err()
        o = OpenOptions(flags=flags)
        must(lib.vhd_open(path.encode(), ctypes.byref(o), ctypes.byref(self.v), ctypes.byref(self.e)), self.e, "open " + path)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        must(lib.vhd_close(self.v, ctypes.byref(self.e)), self.e, "close " + self.path)

    def size(self):
        return lib.vhd_size(self.v)

    def call(self, name, *args):
        must(getattr(lib, name)(self.v, *args, ctypes.byref(self.e)), self.e, "%s of %s" % (name, self.path))

    def read(self):
        buf = ctypes.create_string_buffer(self.size())
        self.call("vhd_read", buf, ctypes.c_size_t(self.size()), ctypes.c_uint64(0))
        return buf.raw

    def write(self, off, data):
        self.call("vhd_write", bytes(data), ctypes.c_size_t(len(data)), ctypes.c_uint64(off))

    def zero(self, off, n):
        self.call("vhd_zero", ctypes.c_uint64(n), ctypes.c_uint64(off))

    def discard(self, off, n):
        self.call("vhd_discard", ctypes.c_uint64(n), ctypes.c_uint64(off))

    def flush(self):
        self.call("vhd_flush")
