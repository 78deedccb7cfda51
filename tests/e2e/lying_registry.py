#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lying_registry.py - a registry on loopback that lies, in the way that the repository's name says

lying_registry.py LAYOUT:REF DIR    the first layer of that image is the base of all images served here

DIR/address: where it listens, once it does. DIR/log: a line of JSON for each request, when it is answered.
DIR/go: what a "gate" repository waits for; DIR/hold.NAME: what "hold" waits for. /v2/LIE/ANYTHING/... lies as LIE.
What is wrong inside of images is in lying_images.py, what is wrong on the way in lying_wire.py. Ends with its parent.
DIR/tls/{crt,key,ca.crt}: if there, the same is served over TLS as well, to clients with a certificate of that
authority; DIR/address-tls says where, DIR/address-tls-other where another origin is, which does without.
"""
import ctypes
import gzip
import json
import os
import signal
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import lying_images
import lying_wire

lock = threading.Lock()
images = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.status, self.sent, self.kind, failed, began = 0, 0, None, False, time.time()
        try:
            self.answer()
        except OSError:
            failed = self.close_connection = True
        line = {'server': self.server.name, 'method': self.command, 'path': self.path, 'kind': self.kind,
                'status': self.status, 'sent': self.sent, 'failed': failed, 'range': self.headers.get('Range'),
                'auth': self.headers.get('Authorization'), 'began': began,
                'has_cert': self.server.scheme == 'https' and bool(self.connection.getpeercert())}
        with lock:
            print(json.dumps(line), file=self.server.log, flush=True)

    def answer(self):
        part = self.path.split('?')[0].strip('/').split('/')
        if part[0] == 'token':
            return self.token(part[1])
        if part == ['v2']:
            return self.send(200, b'{}')
        if len(part) < 4 or part[0] != 'v2':
            return self.error(404, 'NOT_FOUND', 'no such page')
        self.repository, self.lie = '/'.join(part[1:-2]), part[1]
        with lock:
            if self.repository not in images:
                images[self.repository] = lying_images.Image(self.server.base, self.repository)
        self.image = images[self.repository]
        return self.serve(part[-2], part[-1])

    def serve(self, group, name):
        i = self.image
        if group == 'manifests':
            key = name if ':' in name else i.top
            self.kind, (media_type, body) = 'manifest', i.documents.get(key, (None, None))
        else:
            self.kind, media_type, body = i.kinds.get(name), 'application/octet-stream', i.blobs.get(name)
        if body is None:
            return self.error(404, 'BLOB_UNKNOWN', 'not here')
        kinds, f = lying_wire.lies.get(self.lie, ((), None))
        is_asked = self.kind in kinds and (self.command == 'GET' or 'token' in self.lie)
        if is_asked and f(self, body) is not lying_wire.HONEST:
            return None
        more = {'Docker_Content_Digest': key} if group == 'manifests' else {}
        return self.send_range(body, media_type, **more)

    def head(self, status, length, **headers):
        self.status = status
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace('_', '-'), str(v))
        if length is None:	# the end of the connection is the end of the body
            self.send_header('Connection', 'close')
            self.close_connection = True
        else:
            self.send_header('Content-Length', str(length))
        self.end_headers()

    def body(self, data):
        if self.command == 'HEAD':
            return
        for at in range(0, len(data), 65536):
            self.wfile.write(data[at:at + 65536])
            self.sent += len(data[at:at + 65536])

    def send(self, status, data, media_type='application/json', **headers):
        self.head(status, len(data), Content_Type=media_type, **headers)
        self.body(data)

    def send_range(self, data, media_type='application/octet-stream', **headers):
        start = self.range_start()
        if start is None:
            return self.send(200, data, media_type, **headers)
        if start >= len(data):
            return self.send(416, b'', Content_Range=f'bytes */{len(data)}')
        return self.send(206, data[start:], media_type, Content_Range=f'bytes {start}-{len(data) - 1}/{len(data)}')

    def range_start(self):
        r = self.headers.get('Range')
        return int(r.split('=')[1].split('-')[0]) if r else None

    def error(self, status, code, message, **headers):
        self.send(status, json.dumps({'errors': [{'code': code, 'message': message}]}).encode(), **headers)

    def challenge(self, realm):
        self.error(401, 'UNAUTHORIZED', 'who are you', WWW_Authenticate=f'Bearer realm="{realm}",service="lies"')

    def token(self, lie):
        if lie == 'token-endless':
            return lying_wire.stream(self, 200, b' ' * 65536, Content_Type='application/json')
        if lie == 'token-silent':
            return lying_wire.wait_for_end(self)
        if lie == 'token-html':
            return self.send(200, b'<html>Please log in</html>', 'text/html')
        return self.send(200, json.dumps({'token': 'secret-token'}).encode())


class TlsServer(ThreadingHTTPServer):
    """Asks its clients for a certificate. The handshake is the connection's own thread's."""

    def __init__(self, where, handler, tls_dir, needed):
        super().__init__(where, handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls_dir + '/crt', tls_dir + '/key')
        context.load_verify_locations(tls_dir + '/ca.crt')
        context.verify_mode = needed
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


class Other(Handler):
    """Another origin: serves what the first one has, and writes down what it is told."""

    def serve(self, group, name):
        i = self.image
        body = i.documents.get(i.top, (None, None))[1] if group == 'manifests' else i.blobs.get(name)
        media_type = i.content_type if group == 'manifests' else 'application/octet-stream'
        return self.send_range(body, media_type) if body else self.error(404, 'NOT_FOUND', 'not here')


def base_layer(layout, ref):
    def blob(d):
        with open(f'{layout}/blobs/{d["digest"].replace(":", "/")}', 'rb') as f:
            return f.read()
    with open(f'{layout}/index.json', encoding='utf-8') as f:
        entries = json.load(f)['manifests']
    want = [e for e in entries if e.get('annotations', {}).get('org.opencontainers.image.ref.name') == ref]
    data = blob(json.loads(blob(want[0]))['layers'][0])
    return data if data[:2] == b'\x1f\x8b' else gzip.compress(data, 6, mtime=0)


def address_tell(path, port):
    with open(path + '.new', 'w', encoding='utf-8') as f:
        f.write(f'127.0.0.1:{port}')
    os.rename(path + '.new', path)


def main():
    layout, ref = sys.argv[1].rsplit(':', 1)
    where, here = sys.argv[2], ('127.0.0.1', 0)
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)	# PR_SET_PDEATHSIG
    other = ThreadingHTTPServer(here, Other)
    servers = {'main': ThreadingHTTPServer(here, Handler), 'other': other}
    if os.path.exists(where + '/tls'):
        servers['tls'] = TlsServer(here, Handler, where + '/tls', ssl.CERT_REQUIRED)
        servers['tls-other'] = TlsServer(here, Other, where + '/tls', ssl.CERT_OPTIONAL)
    base, log = base_layer(layout, ref), open(where + '/log', 'a', encoding='utf-8')
    for name, s in servers.items():
        s.name, s.dir, s.daemon_threads, s.base, s.log = name, where, True, base, log
        s.scheme = 'https' if name.startswith('tls') else 'http'
        s.other = f'http://127.0.0.1:{other.server_port}'
        threading.Thread(target=s.serve_forever, daemon=True).start()
    for name in servers:	# "address" comes last: who waits for it has all
        if name != 'main':
            address_tell(f'{where}/address-{name}', servers[name].server_port)
    address_tell(where + '/address', servers['main'].server_port)
    threading.Event().wait()


main()
