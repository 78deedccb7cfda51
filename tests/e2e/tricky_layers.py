#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tricky_layers.py LAYOUT:REF DIR - an OCI layout in DIR of images with odd layers over the first layer of REF

Prints the names: "bad-..." must be refused, "odd-..." are unusual and right. layers.bats knows what is in them.
"""
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile

BLOCK = 512
MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
LAYER = 'application/vnd.oci.image.layer.v1.tar'
END = bytes(2 * BLOCK)
REG, LINK, SYMLINK, CHR, BLK, DIR, FIFO = b'0', b'1', b'2', b'3', b'4', b'5', b'6'


def number(value, width):
    """Octal, or base 256 where that does not hold it."""
    if 0 <= value < 8 ** (width - 1):
        return b'%0*o\0' % (width - 1, value)
    return bytes([0xff if value < 0 else 0x80]) + (value % 256 ** (width - 1)).to_bytes(width - 1, 'big')


def header(name, kind=REG, size=0, mode=0o644, uid=0, gid=0, mtime=1700000000, link=b'', major=0, minor=0, broken=0):
    h = bytearray(BLOCK)
    h[0:len(name[:100])] = name[:100]
    h[100:108], h[108:116], h[116:124] = number(mode, 8), number(uid, 8), number(gid, 8)
    h[124:136], h[136:148], h[148:156] = number(size, 12), number(mtime, 12), b' ' * 8
    h[156:157], h[157:157 + len(link[:100])], h[257:265] = kind, link[:100], b'ustar\x0000'
    h[329:337], h[337:345] = number(major, 8), number(minor, 8)
    h[148:156] = b'%06o\0 ' % (sum(h) + broken)
    return bytes(h)


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def pax(**records):
    out = b''
    for k, v in records.items():
        k, v = k.replace('__', '.').encode(), v if isinstance(v, bytes) else str(v).encode()
        n = len(k) + len(v) + 3
        while len(str(n)) + len(k) + len(v) + 3 != n:
            n = len(str(n)) + len(k) + len(v) + 3
        out += b'%d %s=%s\n' % (n, k, v)
    return header(b'pax', b'x', len(out)) + padded(out)


def file(name, data=b'', more=b'', **fields):
    name = name.encode() if isinstance(name, str) else name
    return more + header(name, REG, len(data), **fields) + padded(data)


def entry(name, kind=DIR, **fields):
    fields['link'] = fields.get('link', '').encode()
    return header(name.encode(), kind, **{'mode': 0o755, **fields})


def symlink(name, to):
    return entry(name, SYMLINK, link=to)


def hardlink(name, to):
    return entry(name, LINK, link=to)


def sparse(version):
    """What GNU tar makes of a file of 64 MiB with little in it."""
    with tempfile.TemporaryDirectory() as top:
        with open(f'{top}/sparse-{version}', 'wb') as f:
            for at in (0, 1 << 20, 33 << 20):
                f.seek(at)
                f.write(b'%d' % at * 1000)
            f.truncate(64 << 20)
        how = ['--format=gnu'] if version == 'gnu' else ['--format=posix', f'--sparse-version={version}']
        return subprocess.run(['tar', '-C', top, '-S', '-b1', '-cf', '-', *how, f'sparse-{version}'],
                              capture_output=True, check=True).stdout[:-len(END)]


def bad():
    yield 'dotdot', file('../../escaped')
    yield 'dotdot-late', file('a/b/../../../escaped')
    yield 'hardlink-out', hardlink('x', '../../../etc/passwd')
    yield 'hardlink-nothing', hardlink('to-where', 'not/there')
    yield 'hardlink-dir', hardlink('x', 'etc')
    yield 'whiteout-empty', file('.wh.')
    yield 'whiteout-root', file('.wh..')
    yield 'whiteout-parent', file('etc/.wh...')
    yield 'whiteout-parent-dir', file('.wh.etc/x')
    yield 'file-as-parent', file('f') + file('f/x')
    yield 'symlink-loop', symlink('a', 'b') + symlink('b', 'a') + file('a/x')
    yield 'root-as-file', file('.', b'x')
    yield 'deep', file('x', more=pax(path='d/' * 10000 + 'end'))
    yield 'name-256', file('x', more=pax(path='n' * 256))
    yield 'target-4096', pax(linkpath='t' * 4096) + symlink('x', 't')
    yield 'path-nul', file('x', more=pax(path=b'etc\0passwd'))
    yield 'pax-megabytes', file('x', more=pax(comment=b'c' * (8 << 20)))
    yield 'pax-length', header(b'pax', b'x', 8) + padded(b'99 a=b\n\n') + file('x')
    yield 'uid-max', file('x', uid=0xffffffff)
    yield 'uid-33-bits', file('x', more=pax(uid=1 << 32))
    yield 'gid-negative', file('x', gid=-1)
    yield 'size-negative', header(b'x', size=-BLOCK) + bytes(BLOCK)
    yield 'size-huge', header(b'x', size=1 << 62)
    yield 'size-pax', pax(size=-1) + header(b'x')
    yield 'cut-in-file', header(b'x', size=100000) + bytes(1000)
    yield 'cut-in-header', file('x', b'x') + header(b'y')[:200]
    yield 'checksum', header(b'x', broken=1)
    yield 'behind-the-end', file('x') + END + b'something else' * 100
    yield 'sparse-outside', pax(GNU__sparse__map='0,10,4096,5', GNU__sparse__size=50, GNU__sparse__name='s') + \
        header(b's', size=15) + padded(b'x' * 15)
    yield 'sparse-order', pax(GNU__sparse__map='4096,5,0,10', GNU__sparse__size=8192, GNU__sparse__name='s') + \
        header(b's', size=15) + padded(b'x' * 15)
    yield 'sparse-endless', pax(GNU__sparse__major=1, GNU__sparse__minor=0, GNU__sparse__realsize=1 << 40,
                                GNU__sparse__name='s') + header(b's', size=BLOCK) + padded(b'1000000000000\n')
    yield 'device-huge', entry('d', CHR, major=1 << 20, minor=0)


def odd(busybox):
    first = b''.join([
        entry('low'), file('low/old', b'old'), file('low/linked', b'linked'), entry('again'), file('again/old', b'old'),
        entry('opaque'), file('opaque/old', b'old'), symlink('here', 'low'), symlink('up', '../../../../../tmp'),
        symlink('host-etc', '/etc')])
    second = b''.join([
        file('/absolute', b'absolute'), file('a/../resolved', b'resolved'), file('./dotted//slashes', b'slashes'),
        file('twice', b'first'), file('twice', b'last'), entry('kind'), file('kind', b'now a file'),
        file('child/first', b'child'), entry('child', mode=0o700, uid=5), file('here/through', b'through'),
        file('up/caisson-escaped', b'inside'), file('host-etc/new', b'new'),
        hardlink('own-passwd', '/etc/passwd'), hardlink('low/hard', 'low/linked'), hardlink('hard-up', 'up'),
        file('again/new', b'new'), file('.wh.again'), file('opaque/new', b'new'), file('opaque/.wh..wh..opq'),
        file('.wh.nothing-there'), file('.wh..wh.plnk/1.2'), file('.wh..wh.aufs'),
        entry('dev-null', CHR, mode=0o666, major=1, minor=3), entry('dev-block', BLK, major=259, minor=70000),
        entry('dev-whiteout', CHR), entry('fifo', FIFO), file('suid', b'', mode=0o4755, uid=7, gid=8),
        file('large-ids', uid=0xfffffffe, gid=0xfffffffe), file('pax-id', uid=1, more=pax(uid=70000)),
        file('before-1970', mtime=-86400), file('after-2106', mtime=1 << 33),
        file(b'new\nline', b'newline'), file(b'\xff\xfe', b'bytes'), file('x', b'255', more=pax(path='n' * 255)),
        file('x', b'deep', more=pax(path='d/' * 1000 + 'end')), pax(linkpath='t' * 4095) + symlink('long', 't')])
    third = file('low/.wh.linked') + file('.wh.twice') + file('.wh..wh..opq/x', b'aufs')
    yield 'all', [first + END, second + END, third]
    yield 'sparse', [b''.join(sparse(v) for v in ('gnu', '0.0', '0.1', '1.0')) + END]
    yield 'empty', [b'', END, bytes(10240)]
    yield 'unpadded', [file('cut', b'as umoci insert leaves it')[:-BLOCK + 25]]
    yield 'opaque-root', [file('bin/busybox', busybox, mode=0o755) + file('.wh..wh..opq') + file('only', b'only') + END]
    yield 'etc-links', [file('etc/.wh.passwd') + entry('etc/group', FIFO) + symlink('etc/hosts', '/target') +
                        symlink('etc/resolv.conf', '/no/where') + entry('etc/hostname') + file('target', b'mine')]
    yield 'passwd-device', [symlink('etc/passwd', '/dev/zero') + symlink('etc/group', '../../../../dev/zero')]


class Layout:
    def __init__(self, top, base):
        self.top, self.entries = top, []
        os.makedirs(f'{top}/blobs/sha256')
        self.base_tar = gzip.decompress(base) if base[:2] == b'\x1f\x8b' else base
        self.base = self.blob(LAYER + '+gzip', base)

    def blob(self, media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(f'{self.top}/blobs/sha256/{digest}', 'wb') as f:
            f.write(data)
        return {'mediaType': media_type, 'digest': 'sha256:' + digest, 'size': len(data)}

    def image(self, name, layers):
        tars = [self.base_tar, *layers]
        config = {'os': 'linux', 'architecture': 'amd64', 'config': {'Cmd': ['sh'], 'Env': ['PATH=/bin']},
                  'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + hashlib.sha256(t).hexdigest() for t in tars]}}
        m = {'schemaVersion': 2, 'mediaType': MANIFEST,
             'config': self.blob('application/vnd.oci.image.config.v1+json', json.dumps(config).encode()),
             'layers': [self.base] + [self.blob(LAYER, t) for t in layers]}
        d = self.blob(MANIFEST, json.dumps(m).encode())
        self.entries.append({**d, 'annotations': {'org.opencontainers.image.ref.name': name}})
        print(name)

    def write(self):
        for name, value in (('oci-layout', {'imageLayoutVersion': '1.0.0'}),
                            ('index.json', {'schemaVersion': 2, 'manifests': self.entries})):
            with open(f'{self.top}/{name}', 'w', encoding='utf-8') as f:
                json.dump(value, f)


def main():
    source, ref = sys.argv[1].rsplit(':', 1)

    def read(d):
        with open(f'{source}/blobs/{d["digest"].replace(":", "/")}', 'rb') as f:
            return f.read()
    with open(f'{source}/index.json', encoding='utf-8') as f:
        entries = json.load(f)['manifests']
    found = [e for e in entries if e.get('annotations', {}).get('org.opencontainers.image.ref.name') == ref]
    layout = Layout(sys.argv[2], read(json.loads(read(found[0]))['layers'][0]))
    busybox = tarfile.open(fileobj=io.BytesIO(layout.base_tar)).extractfile('bin/busybox').read()
    for name, layer in bad():
        is_cut = name.startswith('cut') or name == 'behind-the-end'
        layout.image('bad-' + name, [layer if is_cut else layer + END])
    for name, layers in odd(busybox):
        layout.image('odd-' + name, layers)
    layout.write()


main()
