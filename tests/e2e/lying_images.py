# SPDX-License-Identifier: MIT
"""lying_images.py - the images of lying_registry.py: a good one, and those with something wrong inside

Each has two layers: the base (busybox, the same for all) and one of its own, so that nothing that one
pull has left in a store answers for another. A lie changes the Image before its documents are made.
"""
import base64
import gzip
import hashlib
import io
import json
import random
import shutil
import struct
import subprocess
import tarfile
import zlib

OCI = 'application/vnd.oci.image.'
MANIFEST, INDEX, CONFIG = OCI + 'manifest.v1+json', OCI + 'index.v1+json', OCI + 'config.v1+json'
LAYER = OCI + 'layer.v1.tar'
DOCKER = 'application/vnd.docker.'
HERE = {'os': 'linux', 'architecture': 'amd64'}
lies = {}


def lie(make):
    lies[make.__name__.replace('_', '-')] = make
    return make


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def descriptor(media_type, data, **more):
    return {'mediaType': media_type, 'digest': digest(data), 'size': len(data), **more}


def own_layer(salt):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.USTAR_FORMAT) as tar:
        for name, data in (('etc/salt', salt.encode()),
                           ('data/text', base64.b64encode(random.Random(salt).randbytes(1500000)))):
            i = tarfile.TarInfo(name)
            i.size, i.mtime = len(data), 1700000000
            tar.addfile(i, io.BytesIO(data))
    return out.getvalue()


def zstd(data):
    return subprocess.run(['zstd', '-q', '-c'], input=data, capture_output=True, check=True).stdout


class Image:
    def __init__(self, base, salt):
        self.base, self.tar, self.name = base, own_layer(salt), salt
        self.layer, self.layer_type = gzip.compress(self.tar, 6, mtime=0), LAYER + '+gzip'
        self.config = {**HERE, 'created': '2023-11-14T22:13:20Z',
                       'config': {'Cmd': ['sh'], 'Env': ['PATH=/bin']},
                       'rootfs': {'type': 'layers', 'diff_ids': [digest(gzip.decompress(base)), digest(self.tar)]}}
        self.config_bytes, self.config_type, self.base_type = None, CONFIG, LAYER + '+gzip'
        self.manifest_type = self.content_type = MANIFEST
        self.documents = {}	# digest -> (media type, bytes): index, manifest
        self.top = None		# the document that the tag names
        self.edit = self.text = self.wrap = None
        lies.get(salt.split('/')[0], good)(self)
        self.make()

    def make(self):
        config = self.config_bytes or json.dumps(self.config).encode()
        m = {'schemaVersion': 2, 'mediaType': self.manifest_type, 'config': descriptor(self.config_type, config),
             'layers': [descriptor(self.base_type, self.base), descriptor(self.layer_type, self.layer)]}
        if self.edit:
            m = self.edit(m) or m
        body = self.text(m) if self.text else json.dumps(m).encode()
        self.blobs = {digest(config): config, digest(self.base): self.base, digest(self.layer): self.layer}
        self.kinds = {digest(config): 'config', digest(self.base): 'base', digest(self.layer): 'layer'}
        self.manifest = descriptor(self.manifest_type, body)
        self.add(self.content_type, body)
        if self.wrap:
            self.wrap()

    def add(self, media_type, body):
        self.top = digest(body)
        self.documents[self.top] = (media_type, body)

    def add_index(self, *entries, **more):
        body = json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': list(entries), **more}).encode()
        self.add(INDEX, body)
        return descriptor(INDEX, body)

    def attestation(self):
        return descriptor(MANIFEST, b'{}' + self.name.encode(), platform={'os': 'unknown', 'architecture': 'unknown'})


@lie
def good(i):
    pass


@lie
def good_docker(i):
    i.manifest_type = i.content_type = DOCKER + 'distribution.manifest.v2+json'
    i.config_type = DOCKER + 'container.image.v1+json'
    i.base_type = i.layer_type = DOCKER + 'image.rootfs.diff.tar.gzip'


@lie
def good_attestation_first(i):
    i.wrap = lambda: i.add_index(i.attestation(), {**i.manifest, 'platform': {'os': 'linux', 'architecture': 's390x'}},
                                 {**i.manifest, 'platform': HERE})


@lie
def good_nested(i):
    i.wrap = lambda: i.add_index(i.attestation(), i.add_index({**i.manifest, 'platform': HERE}))


if shutil.which('zstd'):
    @lie
    def good_zstd(i):
        i.layer, i.layer_type = zstd(i.tar), LAYER + '+zstd'

    @lie
    def zstd_truncated(i):
        i.layer, i.layer_type = zstd(i.tar)[:-1000], LAYER + '+zstd'

    @lie
    def zstd_bomb(i):
        head = tarfile.TarInfo('zeros')
        head.size = 4 << 30
        # 64 MiB make one frame; frames may follow one another
        i.layer = zstd(head.tobuf()) + zstd(bytes(64 << 20)) * 64 + zstd(bytes(1024))
        i.layer_type = LAYER + '+zstd'


@lie
def gzip_bomb(i):
    """66 GiB, more than a layer may have, in 66 MB. A member of 1 GiB of zeros, many times."""
    head = tarfile.TarInfo('zeros')
    head.size = 66 << 30
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = bytes(16 << 20)
    packed = c.compress(part) + c.flush(zlib.Z_FULL_FLUSH)	# may stand any number of times
    crc = 0
    for _ in range(64):
        crc = zlib.crc32(part, crc)
    member = b'\x1f\x8b\x08\0\0\0\0\0\0\xff' + packed * 64 + b'\x03\0' + struct.pack('<II', crc, 1 << 30)
    i.layer = gzip.compress(head.tobuf(), mtime=0) + member * 66 + gzip.compress(bytes(1024), mtime=0)


@lie
def gzip_header(i):
    i.layer = i.layer[:3] + b'\xe0' + i.layer[4:]	# reserved flags


@lie
def gzip_middle(i):
    half = len(i.layer) // 2
    i.layer = i.layer[:half] + b'\xff' * 512 + i.layer[half + 512:]


@lie
def gzip_crc(i):
    i.layer = i.layer[:-8] + struct.pack('<I', zlib.crc32(i.tar) ^ 1) + i.layer[-4:]


@lie
def gzip_isize(i):
    i.layer = i.layer[:-4] + struct.pack('<I', len(i.tar) + 1)


@lie
def gzip_truncated(i):
    i.layer = i.layer[:-1000]


@lie
def gzip_garbage(i):
    i.layer += b'garbage behind the end'


@lie
def diff_id(i):
    i.config['rootfs']['diff_ids'][1] = digest(b'something else')


@lie
def diff_ids_few(i):
    i.config['rootfs']['diff_ids'].pop()


@lie
def config_html(i):
    i.config_bytes = b'<html><body>It works!</body></html>'


@lie
def index_no_platform(i):
    i.wrap = lambda: i.add_index(i.attestation(), {**i.manifest, 'platform': {'os': 'linux', 'architecture': 's390x'}})


@lie
def index_too_deep(i):
    def wrap():
        inner = i.manifest
        for _ in range(8):
            inner = i.add_index({**inner, 'platform': HERE})
    i.wrap = wrap


@lie
def index_manifest_size(i):
    i.wrap = lambda: i.add_index({**i.manifest, 'size': i.manifest['size'] - 1, 'platform': HERE})


@lie
def index_manifest_digest(i):
    def wrap():
        body = i.documents[i.top][1]
        wrong = digest(b'not this')
        i.documents[wrong] = (MANIFEST, body)
        i.add_index({**i.manifest, 'digest': wrong, 'platform': HERE})
    i.wrap = wrap


@lie
def both_kinds(i):
    i.edit = lambda m: {**m, 'manifests': [{**descriptor(MANIFEST, b'{}'), 'platform': HERE}]}


@lie
def manifest_html(i):
    i.text, i.content_type = lambda m: b'<html><body>Please log in</body></html>', 'text/html'


@lie
def manifest_html_typed(i):
    i.text = lambda m: b'<html><body>Please log in</body></html>'


@lie
def manifest_100mb(i):
    i.text = lambda m: json.dumps(m).encode()[:-1] + b' ' * 100000000 + b'}'


@lie
def manifest_deep(i):
    i.text = lambda m: json.dumps(m).encode()[:-1] + b', "x": ' + b'[' * 100000 + b']' * 100000 + b'}'


@lie
def manifest_twice(i):
    i.text = lambda m: json.dumps(m).encode()[:-1] + b', "layers": []}'


@lie
def manifest_case(i):
    i.text = lambda m: json.dumps(m).encode()[:-1] + b', "Layers": []}'


@lie
def manifest_type_outside(i):
    i.content_type = INDEX


@lie
def manifest_type_inside(i):
    i.edit = lambda m: {**m, 'mediaType': INDEX}


@lie
def manifest_schema1(i):
    i.content_type = DOCKER + 'distribution.manifest.v1+prettyjws'
    i.edit = lambda m: {'schemaVersion': 1, 'name': 'x', 'tag': 'latest', 'fsLayers': [], 'history': []}


def layer_edit(name, **change):
    def make(i):
        i.edit = lambda m: m['layers'][1].update({k: v(i) if callable(v) else v for k, v in change.items()})
    lies[name] = make


layer_edit('size-negative', size=-1)
layer_edit('size-fraction', size=1.5)
layer_edit('size-text', size='100')
layer_edit('size-huge', size=1 << 62)
layer_edit('size-short', size=lambda i: len(i.layer) - 1)
layer_edit('size-long', size=lambda i: len(i.layer) + 1)
layer_edit('digest-md5', digest='md5:d41d8cd98f00b204e9800998ecf8427e')
layer_edit('digest-path', digest='sha256:../../../../../../../etc/passwd')
layer_edit('digest-number', digest=5)
layer_edit('layer-foreign', mediaType=OCI + 'layer.nondistributable.v1.tar+gzip', urls=['http://127.0.0.1:1/layer'])
layer_edit('layer-encrypted', mediaType=LAYER + '+gzip+encrypted')
layer_edit('layer-type', mediaType='text/plain')


@lie
def config_size(i):
    i.edit = lambda m: m['config'].update(size=m['config']['size'] - 1)


@lie
def artifact(i):
    i.edit = lambda m: {**m, 'artifactType': 'application/vnd.example.sbom',
                        'config': descriptor('application/vnd.oci.empty.v1+json', b'{}')}
