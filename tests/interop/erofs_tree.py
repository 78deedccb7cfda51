# SPDX-License-Identifier: MIT
"""erofs_tree.py - the layers of erofs_tree.sh, its disk, and the comparison of two trees

layers DIR           write DIR/layer1.tar ...: odd trees
disk OUT META DATA.. put a virtual disk together (doc/format/image-disk.md)
compare A B          two mounted trees; what differs and is not in KNOWN is an error
"""
import hashlib
import io
import os
import random
import stat
import subprocess
import sys
import tarfile

ALIGN = 2 << 20
T0 = 1700000000

# Where umoci 0.4.7 departs from the image specification, so that only the disk's answer is right.
KNOWN = {
    # A whiteout after the entries of the directory of its name: umoci spares the new names, but
    # not the time that the directory's entry gave.
    b'/anew1': {'mtime'},
}


class Layer:
    def __init__(self, path):
        self.tar = tarfile.open(path, 'w', format=tarfile.PAX_FORMAT,
                                encoding='utf-8', errors='surrogateescape')

    def add(self, name, kind=tarfile.REGTYPE, data=b'', mode=0o644, mtime=T0, **more):
        i = tarfile.TarInfo(name)
        i.type, i.mode, i.mtime, i.size = kind, mode, mtime, len(data)
        i.pax_headers = {'SCHILY.xattr.' + k: v for k, v in more.pop('xattrs', {}).items()}
        if 'time' in more:
            i.pax_headers['mtime'] = more.pop('time')
        for k, v in more.items():
            setattr(i, k, v)
        self.tar.addfile(i, io.BytesIO(data))

    def dir(self, name, mode=0o755, **more):
        self.add(name, tarfile.DIRTYPE, mode=mode, **more)

    def link(self, name, to, **more):
        self.add(name, tarfile.LNKTYPE, linkname=to, **more)

    def symlink(self, name, to, **more):
        self.add(name, tarfile.SYMTYPE, mode=0o777, linkname=to, **more)


def layer1(path):
    l = Layer(path)
    l.dir('./', mtime=T0 + 1)
    for d in ('usr', 'usr/bin', 'd', 'opaque1', 'opaque2', 'gone', 'marked', 'kept', 'types',
              'anew1', 'anew2'):
        l.dir(d, mtime=T0 + 5)
    l.symlink('bin', 'usr/bin')
    for n in (0, 1, 4095, 4096, 4097, 100000, (2 << 20) + 5):
        l.add(f'd/size{n}', data=random.randbytes(n))
    for n in ('new\nline', '\udcff\udcfe', '!', '+', '\x01', '..x', '.-', ' ', 'n' * 255):
        l.add('d/' + n, data=n.encode(errors='surrogateescape'))
    for n in (1, 59, 60, 1000, 2048, 2049, 4000, 4095):
        l.symlink(f'd/to{n}', 't' * n)
    l.link('d/hard', 'd/size4097')
    l.link('usr/hard', 'd/size4097')
    l.symlink('d/soft', 'nowhere')
    l.link('d/softhard', 'd/soft')
    l.add('d/null', tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    l.add('d/disk', tarfile.BLKTYPE, devmajor=259, devminor=70000, mode=0o660, gid=6)
    l.link('d/nullhard', 'd/null')
    l.add('d/fifo', tarfile.FIFOTYPE, mode=0o600)
    l.add('d/suid', data=b'x', mode=0o4755, uid=5, gid=7)
    l.add('d/sgid', data=b'x', mode=0o2711, uid=70000, gid=4294967294)
    l.dir('d/sticky', mode=0o1777)
    for k, t in enumerate(('-1', '0', '1.5', '1700000000.000000001', '4294967296', '-1000000000.25')):
        l.add(f'd/time{k}', data=b't', time=t)
    l.add('d/cap', data=b'c', xattrs={'user.a': 'value', 'user.b': 'v' * 2000,
                                      'security.capability':
                                      '\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0'})
    for k in range(20):
        l.add(f'd/label{k}', xattrs={'user.label': 'the same for all', 'user.own': str(k)})
    l.dir('large')
    for k in range(3000):
        l.add(f'large/{k * 7919 % 3000:05}' + 'x' * (k % 50), data=b'%d' % k)
    l.add('deep/' + 'd/' * 200 + 'end', data=b'deep')
    l.add('implied/a/b/c', data=b'i')
    for d in ('opaque1', 'opaque2', 'gone', 'marked', 'kept', 'anew1', 'anew2'):
        l.add(d + '/old', data=b'old')
        l.add(d + '/sub/old', data=b'old')
    for n in ('file-dir', 'file-link'):
        l.add('types/' + n, data=b'f')
    l.add('types/dir-file/x', data=b'x')
    l.add('types/dir-link/x', data=b'x')
    l.symlink('types/link-dir', '../kept')
    l.add('usr/bin/away', data=b'away')
    l.add('first', data=b'one inode')
    l.link('second', 'first')
    l.tar.close()


def layer2(path):
    l = Layer(path)
    l.dir('opaque1', mtime=T0 + 9)
    l.add('opaque1/.wh..wh..opq')
    l.add('opaque1/new', data=b'new')
    l.dir('opaque2', mtime=T0 + 9)
    l.add('opaque2/new', data=b'new')
    l.add('opaque2/.wh..wh..opq')
    l.add('.wh.gone')
    l.add('.wh.nothing')
    l.add('.wh.first')
    l.dir('kept', mode=0o700, mtime=T0 + 9)
    l.dir('types', mtime=T0 + 9)
    l.dir('types/file-dir')
    l.add('types/file-dir/in', data=b'in')
    l.symlink('types/file-link', 'file-dir')
    l.add('types/dir-file', data=b'now a file')
    l.symlink('types/dir-link', 'file-dir')
    l.dir('types/link-dir')
    l.add('types/link-dir/in', data=b'in')
    l.link('low', 'd/size4095')
    l.add('d/size1', data=b'replaced', mtime=T0 + 9)
    l.add('bin/tool', data=b'#!', mode=0o755)
    l.dir('usr/bin', mtime=T0 + 9)
    l.dir('d', mtime=T0 + 9)
    l.dir('marked', mtime=T0 + 9)
    l.add('marked/.wh.old')
    l.dir('marked/again', mtime=T0 + 9)
    l.dir('anew1', mtime=T0 + 9)
    l.add('anew1/new', data=b'new')
    l.add('.wh.anew1')
    l.add('.wh.anew2')
    l.dir('anew2', mtime=T0 + 9)
    l.add('anew2/new', data=b'new')
    l.add('bin/.wh.away')
    l.dir('./', mtime=T0 + 10)
    l.tar.close()


def layer3(path):
    """Sparse files, as GNU tar writes them."""
    top = path + '.d'
    os.mkdir(top)
    for name, size, parts in (('hole', 8 << 20, []), ('middle', 1 << 20, [(65536, 5000)]),
                              ('end', (64 << 20) + 17, [(32 << 20, 100000)]),
                              ('start', 1 << 20, [(0, 4096)])):
        with open(f'{top}/sparse-{name}', 'wb') as f:
            f.truncate(size)
            for at, n in parts:
                f.seek(at)
                f.write(random.randbytes(n))
        os.utime(f.name, (T0, T0))
    subprocess.run(['tar', '-C', top, '--format=posix', '-Scf', path] + sorted(os.listdir(top)),
                   check=True)


def disk(out, meta, datas):
    meta = open(meta, 'rb').read()
    with open(out, 'wb') as f:
        f.write(meta[:4096])
        for d in datas:
            if os.path.getsize(d):
                f.seek(-(-f.tell() // ALIGN) * ALIGN)
                f.write(open(d, 'rb').read())
        f.write(meta)


def entry(p):
    s = os.lstat(p)
    e = {'type': stat.S_IFMT(s.st_mode), 'mode': stat.S_IMODE(s.st_mode), 'uid': s.st_uid,
         'gid': s.st_gid, 'mtime': s.st_mtime_ns, 'links': s.st_nlink,
         'xattrs': {a: os.getxattr(p, a, follow_symlinks=False)
                    for a in os.listxattr(p, follow_symlinks=False)
                    if not a.startswith('user.rootlesscontainers')}}
    if stat.S_ISREG(s.st_mode):
        e['size'] = s.st_size
        e['data'] = hashlib.sha256(open(p, 'rb').read()).hexdigest()
    elif stat.S_ISLNK(s.st_mode):
        e['data'] = os.readlink(p)
    elif stat.S_ISDIR(s.st_mode):
        e['data'] = sorted(os.listdir(p))
    elif stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode):
        e['device'] = s.st_rdev
    return e, s.st_ino


def scan(root):
    root = os.fsencode(root)
    tree, inodes = {}, {}
    for top, dirs, files in os.walk(root):
        links = [d for d in dirs if os.path.islink(os.path.join(top, d))]
        for p in [top] + [os.path.join(top, n) for n in files + links]:
            name = p[len(root):] or b'/'
            tree[name], ino = entry(p)
            inodes.setdefault(ino, []).append(name)
    return tree, sorted(sorted(v) for v in inodes.values() if len(v) > 1)


def compare(a, b):
    (left, groups_left), (right, groups_right) = scan(a), scan(b)
    bad = 0
    for name in sorted(set(left) | set(right)):
        x, y = left.get(name, {}), right.get(name, {})
        for k in sorted(set(x) | set(y)):
            if k == 'mtime' and y.get('type') == stat.S_IFDIR and y[k] == 0:
                continue  # a parent that no layer names: umoci gives it the time of day
            if x.get(k) != y.get(k) and k not in KNOWN.get(name, ()):
                bad += 1
                print(f'{name!r:.80} {k}: {x.get(k)!r:.300} | {y.get(k)!r:.300}')
    if groups_left != groups_right:
        bad += 1
        print('hard links:', groups_left, groups_right)
    print(f'{len(left)} and {len(right)} names, {bad} differences')
    return bad == 0 and len(left) > 1


def main(args):
    random.seed(1)
    if args[0] == 'layers':
        for k, make in enumerate((layer1, layer2, layer3), 1):
            make(f'{args[1]}/layer{k}.tar')
    elif args[0] == 'disk':
        disk(args[1], args[2], args[3:])
    else:
        sys.exit(0 if compare(args[1], args[2]) else 1)


main(sys.argv[1:])
