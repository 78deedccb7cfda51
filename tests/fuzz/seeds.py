#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""seeds.py - the corpora's first files: valid inputs of every kind, and a few that are nearly so

    tests/fuzz/seeds.py [TARGET...]     writes tests/fuzz/corpus/TARGET/seed-NAME

Deterministic. What fuzzing finds is added beside them under the names that libFuzzer gives.
"""
import gzip, io, json, os, shutil, struct, subprocess, sys, tarfile, tempfile, zlib

HERE = os.path.dirname(os.path.abspath(__file__))


def put(target, name, data):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "seed-" + name), "wb") as f:
        f.write(data)


# ---- archives ----

def entry(name, type=b"0", data=b"", link=b"", mode=0o644, uid=0, size=None, major=0, minor=0,
          magic=b"ustar\x0000", prefix=b"", mtime=b"00000000000"):
    h = bytearray(512)
    def field(at, value):
        h[at:at + len(value)] = value
    field(0, name)
    field(100, b"%07o" % mode)
    field(108, uid if isinstance(uid, bytes) else b"%07o" % uid)
    field(116, b"0000000")
    field(124, size if size is not None else b"%011o" % len(data))
    field(136, mtime)
    field(156, type)
    field(157, link)
    field(257, magic)
    field(329, b"%07o" % major)
    field(337, b"%07o" % minor)
    field(345, prefix)
    field(148, b" " * 8)
    field(148, b"%06o\0 " % sum(h))
    return bytes(h) + data + b"\0" * (-len(data) % 512)


def pax(kind=b"x", **kv):
    return pax_list(kind, [(k.replace("__", ".").encode(), v) for k, v in kv.items()])


def pax_list(kind, pairs):
    out = b""
    for k, v in pairs:
        n = len(k) + len(v) + 3
        total = n + 1
        while len(str(total)) + n != total:
            total += 1
        out += b"%d %s=%s\n" % (total, k, v)
    return entry(b"pax", kind, out)


END = b"\0" * 1024


def gnu_sparse():
    h = bytearray(entry(b"s", b"S", b"", magic=b"ustar  \0", size=b"00000000005"))
    h[386:410] = b"00000000000\x0000000000003\0"
    h[482] = 1
    h[483:495] = b"00000010000\0"
    h[148:156] = b" " * 8
    h[148:156] = b"%06o\0 " % sum(h)
    ext = bytearray(512)
    ext[0:24] = b"00000002000\x0000000000002\0"
    return bytes(h) + bytes(ext) + b"abcde" + b"\0" * 507


def archives():
    a = {}
    a["plain"] = (entry(b"d/", b"5", mode=0o755) + entry(b"d/a", b"0", b"hello") +
                  entry(b"l", b"2", link=b"d/a") + entry(b"h", b"1", link=b"d/a") +
                  entry(b"c", b"3", major=5, minor=1) + entry(b"p", b"6") + END)
    a["names"] = (entry(b"L", b"L", b"n" * 150 + b"\0") + entry(b"K", b"K", b"k" * 120 + b"\0") +
                  entry(b"x", b"2", link=b"y") + entry(b"name", prefix=b"pre/fix") +
                  entry(b"star", prefix=b"p") + END)
    a["pax"] = (pax(b"g", uid=b"5", mtime=b"1.5", comment=b"c") +
                pax(path=b"long", uid=b"70000", mtime=b"-1.25", size=b"3",
                    SCHILY__xattr__user__a=b"v", SCHILY__acl__access=b"user::rwx,group::r-x,other::r--") +
                entry(b"f", b"0", b"abc") + entry(b"g") + END)
    a["pax00"] = (pax_list(b"x", [(b"GNU.sparse.size", b"9000"), (b"GNU.sparse.numblocks", b"2"),
                                  (b"GNU.sparse.offset", b"512"), (b"GNU.sparse.numbytes", b"3"),
                                  (b"GNU.sparse.offset", b"8192"), (b"GNU.sparse.numbytes", b"2")]) +
                  entry(b"s", b"0", b"abcde") + END)
    a["pax01"] = (pax(GNU__sparse__name=b"n", GNU__sparse__size=b"9000",
                      GNU__sparse__map=b"512,3,4096,2,9000,0") + entry(b"s", b"0", b"abcde") + END)
    a["pax10"] = (pax(GNU__sparse__name=b"n", GNU__sparse__realsize=b"9000", GNU__sparse__major=b"1",
                      GNU__sparse__minor=b"0") +
                  entry(b"s", b"0", b"2\n512\n3\n4096\n2\n".ljust(512, b"\0") + b"abcde") + END)
    a["gnusparse"] = gnu_sparse() + END
    a["hole"] = pax(GNU__sparse__size=b"9000", GNU__sparse__map=b"") + entry(b"s") + END
    a["binary"] = (entry(b"u", uid=b"\x80\0\0\0\0\1\x11\x70", mtime=b"\xff" * 11 + b"\xfe") +
                   entry(b"old/", b"\0", magic=b"\0" * 8) + entry(b"V", b"V", b"label") +
                   entry(b"v", b"7", b"x") + END)
    a["dump"] = entry(b"dir", b"D", b"Yfile\0\0", magic=b"ustar  \0") + entry(b"f") + END
    a["wh"] = (entry(b"a/.wh.b") + entry(b"a/.wh..wh..opq") + entry(b".wh..wh.plnk/x") +
               entry(b"../x") + END)
    a["marks"] = (entry(b"a/", b"5") + entry(b"a/.wh.b") + entry(b"a/.wh..wh..opq") +
                  entry(b".wh..wh.plnk/x", b"0", b"dropped") + entry(b"w", b"3") +
                  entry(b"./a//b/../c", b"0", b"C" * 5000) + END)
    a["xattrs"] = (pax_list(b"x", [(b"SCHILY.xattr.user.a", b"1"), (b"SCHILY.xattr.trusted.overlay.opaque", b"y"),
                                   (b"SCHILY.xattr.security.capability", b"\1\0\0\2" + b"\0" * 16),
                                   (b"SCHILY.xattr.system.posix_acl_access",
                                    struct.pack("<IHHIHHIHHI", 2, 1, 7, 0xffffffff, 4, 5, 0xffffffff, 32, 4, 0xffffffff)),
                                   (b"SCHILY.acl.default", b"user::rwx,user:1000:r-x,group::r-x,mask::r-x,other::r--")]) +
                   entry(b"d/", b"5") + END)
    a["zeros"] = entry(b"z", b"0", b"\0" * 4096 + b"x" + b"\0" * 4096) + entry(b"e", b"0", b"tail") + END
    a["cut"] = entry(b"a", b"0", b"hello")[:-1]
    a["sum"] = bytes([0x41]) + entry(b"a")[1:]
    a["none"] = b""
    return a


def seeds_tar():
    for i, (name, data) in enumerate(archives().items()):
        put("tar", name, bytes([(i * 9) & 0x3f]) + data)
    put("tar", "badsum", b"\x80" + archives()["sum"])


def seeds_unpack():
    for i, (name, data) in enumerate(archives().items()):
        put("unpack", name, bytes([3 | (i % 8) << 3]) + data)
    for i, path in enumerate([b"a/b/c", b"/./a//../b/", b"..", b"a/.wh.b", b".wh..wh..opq", b".wh..wh.aufs/x",
                              b".wh.a/b", b"n" * 256, b"a/.wh..", b"x/" * 30]):
        put("unpack", "path%d" % i, b"\0" + path)
    for i, acl in enumerate([b"user::rwx,user:1000:r-x,group::r-x,mask::r-x,other::r--", b"u::7", b"user:name:rwx:5\n#c\n",
                             b"user::rw-\nuser:bin:r--:2\ngroup::r--\nmask:r--\nother::---", b"other::r--,user::x"]):
        put("unpack", "acl%d" % i, b"\1" + acl)
    put("unpack", "aclbytes", b"\2" + struct.pack("<IHHIHHIHHI", 2, 1, 7, 0xffffffff, 4, 5, 0xffffffff, 32, 4, 0xffffffff))


# ---- compressed streams ----

def gz(data, flags=0, extra=b"", name=b"", comment=b"", hcrc=False):
    h = struct.pack("<BBBBIBB", 0x1f, 0x8b, 8, flags, 0, 0, 255) + extra + name + comment
    if hcrc:
        h += struct.pack("<H", zlib.crc32(h) & 0xffff)
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    return h + c.compress(data) + c.flush() + struct.pack("<II", zlib.crc32(data), len(data))


def zst(data, *args):
    return subprocess.run(["zstd", "-q", "-c", *args], input=data, stdout=subprocess.PIPE, check=True).stdout


def seeds_inflate():
    text = b"layer " * 200 + bytes(range(256))
    s = {
        "gzip": gz(text), "members": gz(b"one") + gz(b"") + gz(b"two" * 50),
        "extra": gz(text, 4, extra=struct.pack("<H", 6) + b"ab\2\0xy"), "name": gz(b"x", 8, name=b"file\0"),
        "comment": gz(b"x", 16, comment=b"said\0"), "hcrc": gz(b"x", 2, hcrc=True),
        "all": gz(b"x", 31, extra=struct.pack("<H", 2) + b"ab", name=b"n\0", comment=b"c\0", hcrc=True),
        "padded": gz(text) + b"\0" * 512, "garbage": gz(text) + b"garbage", "cut": gz(text)[:-5],
        "badcrc": gz(text)[:-8] + b"\0" * 8, "badlen": gz(text)[:-4] + b"\1\0\0\0",
        "stored": gzip.compress(text, 0, mtime=0), "fixed": gz(b"ab"),
        "reserved": gz(b"x", 0xe0), "bomb": gz(b"\0" * 300000),
        "plain": b"plain tar", "short": b"\x1f", "none": b"", "bzip2": b"BZh91AY", "xz": b"\xfd7zXZ\0",
    }
    if shutil.which("zstd"):
        z = zst(text)
        skip = struct.pack("<II", 0x184D2A53, 5) + b"skip!"
        s.update({"zstd": z, "frames": z + skip + zst(b"two"), "skip": skip, "zcheck": zst(text, "--check"),
                  "znocheck": zst(text, "--no-check"), "zcut": z[:-3], "zzeros": z + b"\0" * 8,
                  "zgarbage": z + b"junk", "zbomb": zst(b"\0" * 300000), "zwindow": z[:4] + b"\x00\xf8" + z[6:]})
    for i, (name, data) in enumerate(s.items()):
        put("inflate", name, bytes([i * 11 & 0x3f, i * 5 & 7]) + data)


# ---- small texts ----

def seeds_ref():
    d = "sha256:" + "0123456789abcdef" * 4
    for i, t in enumerate(["nginx", "nginx:1.25", "library/nginx", "docker.io/library/nginx:latest", "localhost/x:1",
                           "localhost:5000/a/b:tag", "reg.example.com/a__b/c.d-e", "nginx@" + d, "a:1@" + d,
                           "[::1]:5000/x", "index.docker.io/x", "UPPER/x", "a:", "a//b", ":tag", "docker.io/library/a/b",
                           "docker.io/a.b/c", "docker.io/localhost/c", "0123456789abcdef" * 4, "-a", "a--b", "a___b",
                           "h.x/" + "p" * 255, "h" * 250 + ".x/" + "p/" * 120 + "x"]):
        put("ref", "%02d" % i, t.encode())


def seeds_worker_msg():
    d = "sha256:" + "0123456789abcdef" * 4
    events = [{"event": "document", "digest": d, "size": 5, "media_type": "application/json"},
              {"event": "layers", "manifest": {"digest": d}, "layers": []}, {"event": "exists", "digest": d},
              {"event": "open", "digest": d, "size": 9, "have": 4}, {"event": "progress", "digest": d, "done": 3},
              {"event": "mounted", "digest": d}, {"event": "done", "digest": d}, {"event": "complete", "digest": d, "manifest": d},
              {"event": "complete"}, {"event": "error", "code": "not_found", "message": "no such \u009bimage\n \u65e5\u672c"},
              {"event": "error", "code": "x", "message": "\u65e5" * 200}, {"event": "other"}, {"event": "open", "digest": "sha256:00"}]
    for i, ev in enumerate(events):
        put("worker_msg", "event%02d" % i, b"\0" + json.dumps(ev, ensure_ascii=False).encode())
    replies = [{"diff_id": d, "blob_digest": d, "blob_size": 5, "data_len": 4096}, {"error": "bad layer", "code": 74},
               {"error": "x", "code": -1}, {"diff_id": d}]
    for i, r in enumerate(replies):
        put("worker_msg", "unpack%d" % i, b"\1" + json.dumps(r).encode())
    parts = [{"kind": "head", "disk_off": 0, "file_off": 0, "len": 4096},
             {"kind": "layer", "layer": 1, "disk_off": 2097152, "file_off": 0, "len": 8192},
             {"kind": "meta", "disk_off": 4194304, "file_off": 0, "len": 12288}]
    merge = {"disk_len": 4206592, "meta_len": 12288, "parts": parts}
    put("worker_msg", "merge0", b"\2" + json.dumps(merge).encode())
    put("worker_msg", "merge1", b"\2" + json.dumps({"error": "collision", "code": 22}).encode())
    put("worker_msg", "merge2", b"\2" + json.dumps(dict(merge, parts=parts[::-1])).encode())
    whole = dict(merge, version=1, key="ab" * 32, layers=[d, d])
    put("worker_msg", "parts0", b"\3" + json.dumps(whole).encode())
    put("worker_msg", "parts1", b"\3" + json.dumps(dict(whole, layers=[d])).encode())
    put("worker_msg", "parts2", b"\3" + json.dumps(dict(whole, version=2)).encode())
    layer = {"diff_id": d, "blob": d, "size": 5, "files": 2, "left_out": 0}
    lines = [{"done": 1, "of": 2}, {"partition": 1, "layers": [layer, layer], "has_config": True},
             {"partition": 1, "layers": [layer] * 3, "has_config": True}, {"error": "x", "code": 5}, {"done": -1, "of": 0}]
    for i, line in enumerate(lines):
        put("worker_msg", "import%d" % i, b"\4" + json.dumps(line).encode())


def frame(type, payload=b"", stream=0):
    return struct.pack("<IHHI", len(payload), type, 0, stream) + payload


def text(s):
    return struct.pack("<I", len(s)) + s + b"\0"


def blob(s):
    return struct.pack("<I", len(s)) + s


def seeds_agent():
    mount = (struct.pack("<I", 2) + text(b"") + text(b"/etc/hosts") + text(b"rw") + blob(b"127.0.0.1 x\n") +
             struct.pack("<I", 0) + text(b"") + text(b"/tmp") + text(b"size=1m") + blob(b""))
    run = (struct.pack("<I", 7) + struct.pack("<I", 2) + text(b"/bin/sh") + text(b"-c") + struct.pack("<I", 1) +
           text(b"A=1") + text(b"/") + text(b"0:0") + struct.pack("<HH", 24, 80))
    ident = (blob(b"e" * 64) + struct.pack("<Q", 1) + text(b"host") + text(b"0" * 32) + text(b"boot") + b"\2" * 6 +
             struct.pack("<III", 0x0a000202, 0x0a000201, 24) + blob(b"6" * 16) + blob(b"") + struct.pack("<II", 64, 1500))
    s = {
        "ping": frame(1, b"ping") + frame(65, b"ping"), "identity": frame(2, ident),
        "root": frame(3, struct.pack("<IIIQQ", 0, 1, 1, 4096, 0)),
        "run": frame(4, run + struct.pack("<I", 2) + mount, 1), "exec": frame(4, run + struct.pack("<I", 0), 9),
        "data": frame(5, b"in", 1) + frame(5, b"", 1) + frame(70, b"out", 1) + frame(71, b"", 1),
        "resize": frame(6, struct.pack("<HH", 24, 80), 1), "signal": frame(7, struct.pack("<I", 15), 1),
        "ready": frame(64, struct.pack("<I", 1)), "ok": frame(66, struct.pack("<H", 3)),
        "error": frame(67, struct.pack("<HI", 3, 5) + b"no disk\x1b[0m"), "started": frame(68, struct.pack("<I", 1), 1),
        "failed": frame(69, struct.pack("<I", 127) + b"not found", 1), "exited": frame(72, struct.pack("<II", 137, 1), 1),
        "credit": frame(128, struct.pack("<IH", 65536, 70), 1), "attach": frame(200, struct.pack("<IHH", 3, 24, 80)),
        "attachflags": frame(200, struct.pack("<IHH", 4, 24, 80)), "stop": frame(201, struct.pack("<I", 0xffffffff)),
        "big": struct.pack("<IHHI", 1 << 19, 1, 0, 0), "zero": struct.pack("<IHHI", 0, 1, 1, 0), "half": frame(1, b"ping")[:-1],
    }
    for name, data in s.items():
        put("agent", name, data)


def seeds_foreign_info():
    self = "/proc/self/fd/3"
    extents = lambda *names: {"format-specific": {"type": "vmdk", "data": {"cid": 1, "extents": [
        {"filename": n, "format": ""} for n in names]}}}
    for i, more in enumerate([{}, extents(self), extents(self, "/dev/sda"), extents(), {"backing-filename": "/etc/shadow"},
                              {"full-backing-filename": None}, {"format-specific": {"data": {"data-file": "x"}}},
                              {"format-specific": {"data": {"extents": {"filename": "x"}}}}, {"format-specific": []},
                              {"virtual-size": -1}, {"virtual-size": 1e300}, {"format": "raw"}]):
        info = {"format": "vmdk", "virtual-size": 1048576, "filename": self, **more}
        put("foreign_info", "info%02d" % i, b"\0" + json.dumps(info).encode())
    head = b"qemu-img: Could not open 'json:{\"driver\":\"vmdk\"}': "
    for i, words in enumerate([head + b"Could not open '/x': Permission denied\n", head + b"\n", b"qemu-img: ", b"}': ", b"\n",
                               b"x" * 400, b"a\0: No such file or directory"]):
        put("foreign_info", "words%02d" % i, b"\1" + words)


def seeds_qmp():
    hello = '{"QMP": {"version": {}, "capabilities": []}}\r\n'
    ok = '{"return": {}}\r\n'
    lines = ['{"return": {"status": "running"}}', '{"error": {"class": "GenericError", "desc": "no"}}', '{"error": 1}',
             '{"event": "STOP", "timestamp": {}}', '{"x": 1}', '[]', '{"return": null}', '{"return": {}, "return": {}}', '']
    for i, l in enumerate(lines):
        put("qmp", "line%d" % i, b"\0" + l.encode())
    talks = [hello + ok + ok * 4, hello + ok + '{"event": "RESUME"}\r\n' * 3 + ok, hello, ok * 3, hello + '{"error": {"desc": "d"}}\n',
             hello + ok + "x\n", hello + ok + '{"return": {}']
    for i, t in enumerate(talks):
        put("qmp", "talk%d" % i, b"\1" + t.encode())


def seeds_image_defaults():
    full = {"config": {"Entrypoint": ["/bin/e"], "Cmd": ["a", "b"], "Env": ["PATH=/bin", "A=1", "PATH=/two", "novalue", "=x"],
                       "Labels": {"l": "v", "bad=key": "v", "n": 1}, "ExposedPorts": {"80/tcp": {}}, "User": "u:g",
                       "WorkingDir": "/w", "StopSignal": "SIGQUIT"}}
    s = [(0, full), (2, full), (1, full), (4, full), (8, full), (16, full), (63, full), (0, {}), (0, {"config": None}),
         (0, {"config": {"Cmd": "echo hi", "Entrypoint": None}}), (0, {"config": {"Env": [1]}}), (0, {"config": []}),
         (0, {"config": {"User": 5}}), (0, [])]
    for i, (user, c) in enumerate(s):
        put("image_defaults", "%02d" % i, bytes([user]) + json.dumps(c).encode())
    put("image_defaults", "double", b'\0{"config": {}, "config": {}}')


def seeds_packet():
    ether = bytes.fromhex("ffffffffffff02ca15000001")
    arp = bytes.fromhex("0001080006040001" "02ca15000001" "0a00020f" "000000000000")
    for i, frame in enumerate((ether + b"\x08\x06" + arp + bytes([10, 0, 2, 15]), ether + b"\x08\x06" + arp + bytes([10, 0, 2, 2]),
                               ether + b"\x86\xdd" + b"\x60" + bytes(60), ether + b"\x08\x00" + b"\x45" + bytes(40))):
        put("packet", "%02d" % i, struct.pack(">I", len(frame)) + frame)


def seeds_userdb():
    passwd = b"root:x:0:0:root:/root:/bin/sh\nbad line\nweb:x:33:33::/var/www:\nnum:x:4294967295:1::/:\n1000:x:5:5::/x:\n"
    group = b"root:x:0:\nweb:x:33:\nadm:x:4:web,root\nbig:x:99999999999:web\nmany:x:7:a,b,web,\n"
    for i, spec in enumerate([b"", b"root", b"web", b"web:adm", b"33", b"1000:1000", b"nobody", b"web:none", b":adm", b"4294967295",
                              b"a:b:c", b"n" * 300, b"4294967296", b"5:"]):
        put("userdb", "%02d" % i, spec + b"\0" + passwd + b"\0" + group)


def seeds_dhcp():
    def message(options, ip=b"\x0a\0\2\x0f"):
        head = b"\2\1\6\0\1\2\3\4" + b"\0" * 8 + ip + b"\0" * 8 + b"\2\0\0\0\0\1"
        return head + b"\0" * (236 - len(head)) + b"\x63\x82\x53\x63" + options
    full = b"\x35\1\5\1\4\xff\xff\xff\0\3\4\x0a\0\2\2\6\4\x0a\0\2\3\x33\4\0\1\0\0\x36\4\x0a\0\2\2\x1a\2\5\xdc\xff"
    for i, m in enumerate([message(full), message(b"\x35\1\2"), message(b"\x35\1\6"), message(full[:-9]), message(full, b"\xe0\0\0\1"),
                           message(b"\x35\1\5\6\x10" + bytes(range(16))), message(b"")[:239]]):
        put("dhcp", "%02d" % i, m)


# ---- virtual hard disks ----

def vhd_sum(raw, at):
    raw = bytearray(raw)
    raw[at:at + 4] = b"\0" * 4
    raw[at:at + 4] = struct.pack(">I", ~sum(raw) & 0xffffffff)
    return bytes(raw)


def vhd_footer(kind=3, size=100 << 20, off=512, creator=b"win ", version=0xa0000, features=2, saved=0):
    raw = struct.pack(">8sIIQI4sI4sQQHBBII16sBB", b"conectix", features, 0x10000, off, 800000000, creator, version, b"Wi2k", size,
                      size, 1003, 12, 17, kind, 0, bytes(range(16)), saved, 1)
    return vhd_sum(raw.ljust(512, b"\0"), 64)


def vhd_header(table=1536, entries=50, block=2 << 20, locators=(), name="b.vhd"):
    raw = struct.pack(">8sQQIIII16sII", b"cxsparse", 2**64 - 1, table, 0x10000, entries, block, 0, bytes(range(16)), 5, 0)
    raw += name.encode("utf-16-be").ljust(512, b"\0")
    for code, space, length, off in locators:
        raw += struct.pack(">4sIIIQ", code, space, length, 0, off)
    return vhd_sum(raw.ljust(1024, b"\0"), 36)


def seeds_vhd_format():
    footers = [vhd_footer(), vhd_footer(2, off=2**64 - 1), vhd_footer(2, off=2**32 - 1), vhd_footer(4, 2040 << 30), vhd_footer(0),
               vhd_footer(creator=b"tap\0", version=0x10003), vhd_footer(size=513), vhd_footer(off=1 << 50), vhd_footer(features=0),
               vhd_footer(saved=1), b"v_poison" + vhd_footer()[8:], vhd_footer()[:511], vhd_footer()[:-1] + b"x"]
    for i, f in enumerate(footers):
        put("vhd_format", "footer%02d" % i, b"f" + f)
        put("vhd_format", "footer%02d-summed" % i, b"\xe6" + f)
    three = [(b"W2ku", 4096, 84, 4096), (b"W2ru", 65536, 32, 12288), (b"MacX", 1, 33, 131072)]
    headers = [vhd_header(), vhd_header(locators=three), vhd_header(block=3 << 20), vhd_header(entries=2**32 - 1), vhd_header(table=0),
               vhd_header(locators=[(b"W2ru", 512, 2**31, 4096)]), vhd_header(locators=[(b"MacX", 512, 33, 1 << 50)])]
    for i, h in enumerate(headers):
        put("vhd_format", "header%02d" % i, b"h" + h)
        put("vhd_format", "header%02d-summed" % i, b"\xe8" + h)
    for i, (off, sectors, version, key) in enumerate([(8192, 1, 0x10002, 0), (8192, 1020, 0x10001, 0), (8192, 1, 0x10002, 1),
                                                      (1, 2**32 - 1, 0, 0)]):
        put("vhd_format", "batmap%02d" % i, b"b" + struct.pack(">8sQIIIBB", b"tdbatmap", off, sectors, version, 0x1234, 0, key))
    paths = [b"\0" + ".\\b.vhd".encode("utf-16-le"), b"\1" + "C:\\d\\b.vhd\0".encode("utf-16-le"), b"\2file://./b%20c.vhd",
             b"\2file:///a%c3%a4", b"\2file://localhost/a\0", b"\2file:///a%00", b"\2file://x/a", b"\0\x3d\xd8\\\0", b"\0a\0\0\0b\0", b"\3x\0"]
    for i, p in enumerate(paths):
        put("vhd_format", "locator%02d" % i, b"l" + p)
    for i, t in enumerate(["b.vhd", "\u00e4\u20ac\U0001f600\U0010ffff", "a\0b"]):
        put("vhd_format", "decode%02d" % i, b"d" + t.encode("utf-16-be"))
        put("vhd_format", "encode%02d" % i, b"e" + t.encode())
    put("vhd_format", "decode-lone", b"d\xd8\x3d\xd8\x3d\xde\0\xde\0\xd8")
    for i, t in enumerate([b"\xc0\xaf", b"\xed\xa0\xbd", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xf8\x88\x80\x80\x80"]):
        put("vhd_format", "encode-bad%02d" % i, b"e" + t)


def vhd_image(footer, header, table, length, flags=15, at=1536, middle=b""):
    raw = footer + header + middle
    raw = raw.ljust(at, b"\0")[:at] + struct.pack(">%dI" % len(table), *table).ljust(512, b"\xff")
    return bytes([flags]) + struct.pack(">I", length) + raw


def seeds_vhd_image():
    none, small, block = 2**32 - 1, 512 << 10, dict(block=512 << 10)
    fixed = vhd_footer(2, 4096, off=2**64 - 1)
    head, three = vhd_footer(size=3 * small), vhd_header(entries=3, **block)
    place = lambda i: 7 + i * (small // 512 + 8)
    end = place(2) * 512 + 512 + small + 3584 + 512
    chain = vhd_header(2560 + 512, 3, small, [(b"W2ru", 512, 14, 1536), (b"MacX", 512, 14, 2048)])
    paths = ".\\b.vhd".encode("utf-16-le").ljust(512, b"\0") + b"file://./b.vhd".ljust(512, b"\0")
    tap = vhd_footer(size=3 * small, creator=b"tap\0", version=0x10003)
    batmap = struct.pack(">8sQIII", b"tdbatmap", 2560, 1, 0x10002, ~0xa0 & 0xffffffff).ljust(512, b"\0") + b"\xa0".ljust(512, b"\0")
    images = {
        "fixed": b"\0" + struct.pack(">I", 4608) + b"data".ljust(4096, b"\0") + fixed,
        "empty": vhd_image(head, three, [none] * 3, 4096),
        "blocks": vhd_image(head, three, [place(0), none, place(1)], end),
        "zeros": vhd_image(head, three, [place(0), none, place(1)], end, 7),
        "no-tail": vhd_image(head, three, [place(0), place(2), none], end, 13),
        "duplicate": vhd_image(head, three, [place(0), place(1), place(1)], end),
        "overlap": vhd_image(head, three, [place(0), place(0) + 8, place(1)], end),
        "outside": vhd_image(head, three, [place(0), none - 1, place(1)], end),
        "unended": vhd_image(head, three, [place(0), place(1), none], place(1) * 512 + 512),
        "over-header": vhd_image(head, three, [0, 1, 2], end),
        "child": vhd_image(vhd_footer(4, 3 * small), chain, [place(0), none, none], end, at=3072, middle=paths),
        "batmap": vhd_image(tap, three, [place(0), none, place(1)], end) + batmap,
        "odd-size": vhd_image(vhd_footer(size=3 * small - 1024), three, [place(0), none, place(1)], end),
        "large": vhd_image(vhd_footer(size=2040 << 30), vhd_header(entries=8160, block=256 << 20), [none] * 128, 40960, 15),
    }
    for name, raw in images.items():
        put("vhd_image", name, raw)


def seeds_vhd_chain():
    paths = [".\\p.vhd", "d\\p.vhd", "..\\s.vhd", ".\\l.vhd", "up\\s.vhd", "d\\..\\..\\s.vhd", "@/s.vhd", "@/in/p.vhd", "@/in/up/s.vhd", "c.vhd",
             "/etc/passwd", "C:\\p.vhd", "C:\\..\\s.vhd", "/dev/zero", "/proc/self/root@/s.vhd", ".", "..", "d"]
    for i, p in enumerate(paths):
        for code in range(2):
            put("vhd_chain", "path%02d-%d" % (i, code), bytes([code, 0]) + p.encode())
        put("vhd_chain", "path%02d-2" % i, b"\2\0file://" + (b"" if p[0] in "@/" else b"./") + p.replace("\\", "/").encode())
    for i, n in enumerate(["p.vhd", "s.vhd", "l.vhd", "..", "C:\\p.vhd", "..\\s.vhd"]):
        put("vhd_chain", "name%d" % i, bytes([0, len(n)]) + n.encode() + b"none.vhd")
    put("vhd_chain", "units", b"\3\0.\0\\\0p\0.\0v\0h\0d\0")


def vhd_open_input(head, gap=0, flags=3):
    return struct.pack(">BH", flags, len(head)) + gap.to_bytes(3, "big") + head


def vhd_dynamic(kind=3, table=(), size=3 << 20, block=2 << 20, entries=None, name="b.vhd", locators=()):
    entries = entries if entries is not None else (size + block - 1) // block
    head = vhd_footer(kind, size) + vhd_header(entries=entries, block=block, name=name, locators=locators)
    return head + b"".join(struct.pack(">I", t) for t in table).ljust(512, b"\xff")


def seeds_vhd_open():
    one = 4 << 10  # sectors of a block of 2 MiB, less its bitmap
    good = vhd_dynamic(table=[7, 8 + one])
    bits = good.ljust(7 * 512, b"\0") + b"\xf0\x0f" * 256
    child = vhd_dynamic(4, table=[2**32 - 1, 7]).ljust(7 * 512, b"\0") + b"\xaa" * 512
    images = [("dynamic", vhd_open_input(bits, 2 * one + 8)), ("empty", vhd_open_input(vhd_dynamic())), ("child", vhd_open_input(child, one + 8)),
              ("small-blocks", vhd_open_input(vhd_dynamic(table=[4, 1100], block=1 << 19, size=1 << 20), 3000)),
              ("no-tail", vhd_open_input(bits, 2 * one + 8, 2)), ("tail-511", vhd_open_input(bits, 2 * one + 8, 7)),
              ("past-end", vhd_open_input(vhd_dynamic(table=[7, 1 << 24]), one + 8)), ("over-header", vhd_open_input(vhd_dynamic(table=[1]), one)),
              ("duplicate", vhd_open_input(vhd_dynamic(table=[7, 7]), 2 * one)), ("many-entries", vhd_open_input(vhd_dynamic(entries=2**32 - 1), 9)),
              ("huge", vhd_open_input(vhd_dynamic(size=2040 << 30), 8160)), ("bad-sum", vhd_open_input(good, 2 * one + 8, 1)),
              ("fixed", vhd_open_input(vhd_footer(2, 4096, 2**64 - 1), 8)), ("cut", vhd_open_input(good[:1600], 0)),
              ("locator", vhd_open_input(vhd_dynamic(4, locators=[(b"W2ru", 512, 14, 2048)]) + ".\\b.vhd".encode("utf-16-le"), 8))]
    for name, image in images:
        for how in (0, 1, 4, 5, 8):
            put("vhd_open", "%s-%d" % (name, how), bytes([how]) + image)
    for how in (2, 3, 0x13):
        put("vhd_open", "chain-%d" % how, bytes([how]) + images[0][1] + images[2][1])
        put("vhd_open", "chain-small-%d" % how, bytes([how]) + images[3][1] + images[2][1])


def seeds_vhd_ops():
    def op(what, off=0, length=0, value=1):
        return bytes([what]) + off.to_bytes(3, "big") + struct.pack(">HB", length, value)

    block = 512 << 10
    whole = 0x8000 | block // 64
    writes = op(0, 0, 5000, 3) + op(0x80, block - 512, 0x8000 | 64, 9) + op(1, 2 * block + 77, 999, 77)
    sequences = [writes, writes + op(4) + op(0x43, 0, whole) + op(4) + op(0x40, block, 0x8010, 5),
                 writes + op(6) + op(0, 100, 1000, 8) + op(5) + op(0x42, 0, whole) + op(0x43, block, whole) + op(7, 0, 0xffff),
                 op(6) * 5 + writes + op(3, 0, 600) + op(2, 2 * block, 0xffff), writes + op(0x43, 0, whole) + op(0, 0, 100) + op(4) * 2]
    for kind in range(8):
        for i, s in enumerate(sequences):
            put("vhd_ops", "%d-%d" % (kind, i), bytes([kind]) + s)


# ---- disks ----

def small_tree(folder):
    """A directory with one of each kind."""
    os.makedirs(folder + "/d")
    for name, data in (("d/f", b"hello"), ("d/big", b"x" * 3000)):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    os.link(folder + "/d/f", folder + "/g")
    os.symlink("d/f", folder + "/l")
    os.mkfifo(folder + "/p")
    os.mknod(folder + "/c", 0o20644, 0)
    os.setxattr(folder + "/d/f", "user.a", b"b")
    os.setxattr(folder + "/d", "trusted.overlay.opaque", b"y")
    for where, _, names in os.walk(folder, topdown=False):
        for name in names + ["."]:
            os.utime(os.path.join(where, name), (1, 1), follow_symlinks=False)


def made_by(target, rows):
    """An image of the tree by each command; zeros at its end are implied."""
    with tempfile.TemporaryDirectory() as work:
        small_tree(work + "/t")
        for i, row in enumerate(rows):
            image = "%s/%d" % (work, i)
            subprocess.run(row.format(tree=work + "/t", image=image), shell=True, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env=dict(os.environ, E2FSPROGS_FAKE_TIME="1"))
            with open(image, "rb") as f:
                put(target, "image%d" % i, f.read().rstrip(b"\0") + bytes([i & 1]))


def seeds_ext_read():
    same = "-U 00000000-0000-4000-8000-000000000000 -E hash_seed=00000000-0000-4000-8000-000000000000"
    made_by("ext_read", ["mke2fs -q -F -b 1024 -N 32 -d {tree} " + same + " " + o + " {image} 128k" for o in (
        "-t ext2", "-t ext4 -O ^has_journal", "-t ext4 -O ^has_journal,^metadata_csum,inline_data", "-t ext2 -I 128")])


def seeds_erofs_read():
    made_by("erofs_read", ["mkfs.erofs -T1 -U 00000000-0000-4000-8000-000000000000 " + o + " {image} {tree}" for o in (
        "-x1", "-x1", "-Eforce-inode-extended", "-Enoinline_data")])


def seeds_partition():
    def entry(type, first, count):
        return struct.pack("<B3sB3sII", 0, b"", type, b"", first, count)
    def sector(*entries):
        return b"\0" * 446 + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"
    put("partition", "mbr", sector(entry(0x83, 8, 100), entry(0x82, 200, 10)) + b"\0")
    put("partition", "logical", sector(entry(5, 1, 100)) + sector(entry(0x83, 1, 5), entry(5, 1, 50)) + sector(entry(0x83, 2, 5)) + b"\0")
    head = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, 16383, 34, 16350, b"u" * 16, 2, 4, 128, 0)
    rows = b"".join(struct.pack("<16s16sQQQ72s", b"t" * 16, b"u" * 16, 40 + i * 10, 45 + i * 10, 0, b"n") for i in range(4))
    put("partition", "gpt", sector(entry(0xee, 1, 16383)) + head.ljust(512, b"\0") + rows + b"\0" * 2048 + b"\1")


def seeds_vmm_pages():
    def pages(mem, *ranges, n=None, version=1):
        return struct.pack("<I8sII", mem, b"CSNPAGES", version, len(ranges) if n is None else n) + b"".join(struct.pack("<II", *r) for r in ranges)
    put("vmm_pages", "none", pages(100))
    put("vmm_pages", "some", pages(1 << 17, (5, 1), (7, 20), (100, 300)))
    put("vmm_pages", "touch", pages(100, (5, 1), (6, 1)))
    put("vmm_pages", "end", pages(100, (99, 2)))
    put("vmm_pages", "short", pages(100, (9, 2), n=2))


if __name__ == "__main__":
    wanted = sys.argv[1:] or [n[6:] for n in globals() if n.startswith("seeds_")]
    for name in wanted:
        globals()["seeds_" + name]()
