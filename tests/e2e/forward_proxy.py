#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""forward_proxy.py DIR PLAIN TLS - HTTP proxies on loopback, one of each kind, that know the host registry.test

Its port 80 is at PLAIN, 443 at TLS (host:port); other hosts are where they say. Kinds: "open"; "password" (user
"ship", password "anchor"); "refuse" (403 to everything); "hang-up". DIR/proxy.KIND: where it listens. DIR/proxy.log:
a line of JSON for each request. Ends with its parent.
"""
import base64
import ctypes
import json
import os
import signal
import socket
import sys
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

lock = threading.Lock()
PASSWORD = 'Basic ' + base64.b64encode(b'ship:anchor').decode()


def pump(source, to):
    try:
        while data := source.recv(65536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Proxy(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def place(self, host):
        return {'registry.test:80': self.server.plain, 'registry.test:443': self.server.tls}.get(host, host)

    def allowed(self):
        """False when it has been answered here."""
        line = {'kind': self.server.kind, 'method': self.command, 'path': self.path,
                'auth': self.headers.get('Authorization')}
        with lock:
            print(json.dumps(line), file=self.server.log, flush=True)
        if self.server.kind == 'hang-up':
            self.close_connection = True
            return False
        if self.server.kind == 'refuse':
            self.answer(403)
            return False
        if self.server.kind == 'password' and self.headers.get('Proxy-Authorization') != PASSWORD:
            self.answer(407, Proxy_Authenticate='Basic realm="way out"')
            return False
        return True

    def answer(self, status, **headers):
        self.send_response(status)
        for k, v in {**headers, 'Content-Length': '0'}.items():
            self.send_header(k.replace('_', '-'), v)
        self.end_headers()

    def do_CONNECT(self):
        if not self.allowed():
            return
        host, port = self.place(self.path).split(':')
        with socket.create_connection((host, int(port))) as far:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=pump, args=(far, self.connection), daemon=True)
            back.start()
            pump(self.connection, far)
            back.join()
        self.close_connection = True

    def do_GET(self):
        if not self.allowed():
            return
        url = urlsplit(self.path)
        far = HTTPConnection(self.place(url.netloc if ':' in url.netloc else url.netloc + ':80'))
        far.request('GET', url.path, headers={k: v for k, v in self.headers.items() if not k.startswith('Proxy')})
        answer = far.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for k, v in answer.getheaders():
            if k not in ('Server', 'Date', 'Content-Length'):
                self.send_header(k, v)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    where, plain, tls = sys.argv[1:]
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)	# PR_SET_PDEATHSIG
    log = open(where + '/proxy.log', 'a', encoding='utf-8')
    for kind in ('open', 'password', 'refuse', 'hang-up'):
        s = ThreadingHTTPServer(('127.0.0.1', 0), Proxy)
        s.kind, s.plain, s.tls, s.log, s.daemon_threads = kind, plain, tls, log, True
        threading.Thread(target=s.serve_forever, daemon=True).start()
        with open(f'{where}/proxy.{kind}.new', 'w', encoding='utf-8') as f:
            f.write(f'127.0.0.1:{s.server_port}')
        os.rename(f'{where}/proxy.{kind}.new', f'{where}/proxy.{kind}')
    threading.Event().wait()


main()
