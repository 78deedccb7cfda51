# SPDX-License-Identifier: MIT
"""lying_wire.py - lies of lying_registry.py on the way: status, headers, length, time, redirects, tokens

`lies` maps a name to the kinds of things (manifest, config, base, layer) that it lies about, and to the
function that answers such a request: it gets the handler and the honest body, and returns HONEST to
leave the answer to others.
"""
import gzip
import os
import threading
import time

ENDLESS = 2 << 30	# much more than anybody should read, and yet an end if somebody does
HONEST = object()
lock = threading.Lock()
counts = {}
lies = {}


def on(*kinds):
    def register(f):
        lies[f.__name__.replace('_', '-')] = (kinds, f)
        return f
    return register


def both(f):
    """About the layer, and as "manifest-NAME" about the manifest."""
    name = f.__name__.replace('_', '-')
    lies[name], lies['manifest-' + name] = (('layer',), f), (('manifest',), f)
    return f


def nth(h):
    """How often this was asked for by now."""
    with lock:
        counts[h.path] = counts.get(h.path, 0) + 1
        return counts[h.path]


def break_off(h, data, length, part):
    """Promise `length` bytes, send `part` of the data, and hang up."""
    h.head(200, length)
    h.body(data[:part])
    h.wfile.flush()
    h.close_connection = True


def stream(h, status, unit, **headers):
    h.head(status, None, **headers)
    while h.sent < ENDLESS:
        h.body(unit)


def wait_for_end(h):
    h.wfile.flush()
    h.connection.settimeout(600)
    h.rfile.read(1)
    h.close_connection = True


# ---- length and time ----

@both
def wrong(h, d):
    h.send(200, b'x' + d[1:])


@both
def oversized(h, d):
    h.send(200, d + b'more')


@both
def length_short(h, d):
    break_off(h, d, len(d) - 1, len(d))


@both
def length_long(h, d):
    break_off(h, d, len(d) + 1000, len(d))


@both
def truncated(h, d):
    break_off(h, d, len(d), len(d) // 2)


@both
def endless(h, d):
    stream(h, 200, b' ' * 65536)


@both
def drip(h, d):
    h.head(200, len(d))
    for k in range(len(d)):
        h.body(d[k:k + 1])
        time.sleep(1)


@both
def silent(h, d):
    wait_for_end(h)


@both
def silent_body(h, d):
    h.head(200, len(d))
    wait_for_end(h)


@on('config')
def config_wrong(h, d):
    h.send(200, b'x' + d[1:])


# ---- status and headers ----

@both
def error_forever(h, d):
    h.error(503, 'UNAVAILABLE', 'back soon')


@both
def error_twice(h, d):
    return h.error(500, 'UNKNOWN', 'oops') if nth(h) <= 2 else HONEST


@both
def busy_once(h, d):
    return h.error(429, 'TOOMANYREQUESTS', 'slow down', Retry_After='1') if nth(h) == 1 else HONEST


@both
def error_endless(h, d):
    stream(h, 404, b'x' * 65536)


@both
def error_escapes(h, d):
    h.error(404, 'DENIED', '\x1b]0;owned\x07\x1b[2J\u009b31m')


@both
def gone(h, d):
    h.error(404, 'BLOB_UNKNOWN', 'no such blob')


@both
def hang_up(h, d):
    h.close_connection = True


@both
def garbage(h, d):
    h.wfile.write(b'\0\xff SSH-2.0 not HTTP\r\n\r\n')
    h.close_connection = True


@both
def headers_endless(h, d):
    h.wfile.write(b'HTTP/1.1 200 OK\r\n')
    while h.sent < ENDLESS:
        h.wfile.write(b'X-More: ' + b'x' * 60000 + b'\r\n')
        h.sent += 60000


@on('layer')
def encoding_label(h, d):
    """A gzip layer, marked as if gzip were the transport's matter."""
    h.send(200, d, 'application/octet-stream', Content_Encoding='gzip')


@on('config', 'manifest')
def encoding_unasked(h, d):
    h.send(200, gzip.compress(d), h.image.content_type, Content_Encoding='gzip')


# ---- redirects ----

@both
def redirect_loop(h, d):
    h.send(307, b'', Location=h.path)


@both
def redirect_file(h, d):
    h.send(307, b'', Location='file:///etc/passwd')


@both
def redirect_gopher(h, d):
    h.send(307, b'', Location='gopher://127.0.0.1:1/x')


@both
def redirect_nowhere(h, d):
    h.send(307, b'')


@both
def redirect_other(h, d):
    h.send(307, b'', Location=h.server.other + h.path)


@both
def redirect_given(h, d):
    """To the origin in the file "redirect"."""
    with open(h.server.dir + '/redirect', encoding='utf-8') as f:
        h.send(307, b'', Location=f.read().strip() + h.path)


# ---- Range ----

def resumed(honest_range):
    """The first answer breaks off in the middle; the next is honest, or lies about the Range."""
    def answer(h, d):
        if nth(h) == 1:
            return break_off(h, d, len(d), len(d) // 2)
        return HONEST if h.range_start() is None or not honest_range else honest_range(h, d)
    return answer


def range_is(h, says, total, data):
    h.send(206, data, 'application/octet-stream', Content_Range=f'bytes {says}-{total - 1}/{total}')


lies['reset-once'] = (('layer',), resumed(None))
lies['range-ignored'] = (('layer',), resumed(lambda h, d: h.send(200, d)))
lies['range-wrong'] = (('layer',), resumed(lambda h, d: range_is(h, 1000, len(d), d[1000:])))
# the right place, it says, but the bytes are others: only the digest tells
lies['range-lies'] = (('layer',), resumed(lambda h, d: range_is(h, h.range_start(), len(d),
                                                                bytes(len(d) - h.range_start()))))
lies['range-total'] = (('layer',), resumed(lambda h, d: range_is(h, h.range_start(), len(d) + 5,
                                                                 d[h.range_start():] + b'12345')))


@on('layer')
def gate(h, d):
    """Half of it, and the rest when the file "go" is there."""
    if os.path.exists(h.server.dir + '/go') or h.range_start() is not None:
        return HONEST
    h.head(200, len(d))
    h.body(d[:len(d) // 2])
    h.wfile.flush()
    with open(h.server.dir + '/half', 'w', encoding='utf-8'):
        pass
    while not os.path.exists(h.server.dir + '/go'):
        time.sleep(0.02)
    return h.body(d[len(d) // 2:])


@on('manifest', 'config', 'base', 'layer')
def hold(h, d):
    """hold/NAME/...: the file hold.NAME says a kind and a percentage; so much of it, then nothing until it is gone."""
    name = h.repository.split('/')[1]
    path = f'{h.server.dir}/hold.{name}'
    try:
        with open(path, encoding='utf-8') as f:
            kind, percent = f.read().split()
    except FileNotFoundError:
        return HONEST
    if kind != h.kind or h.range_start() is not None:
        return HONEST
    part = len(d) * int(percent) // 100
    h.head(200, len(d), Content_Type=h.image.content_type)
    h.body(d[:part])
    h.wfile.flush()
    with open(f'{h.server.dir}/held.{name}', 'w', encoding='utf-8'):
        pass
    while os.path.exists(path):
        time.sleep(0.02)
    return h.body(d[part:])


# ---- tokens ----

def wants_token(h, d):
    if h.headers.get('Authorization') == 'Bearer secret-token' and h.lie != 'token-refused':
        return HONEST
    return h.challenge(f'{h.server.scheme}://{h.headers["Host"]}/token/{h.lie}')


@on('manifest', 'config', 'base', 'layer')
def token_redirect_other(h, d):
    honest = wants_token(h, d) is HONEST
    return redirect_other(h, d) if honest and '/blobs/' in h.path else HONEST if honest else None


@on('manifest', 'config', 'base', 'layer')
def token_redirect_given(h, d):
    honest = wants_token(h, d) is HONEST
    return redirect_given(h, d) if honest and '/blobs/' in h.path else HONEST if honest else None


for name in ('token-good', 'token-endless', 'token-html', 'token-refused', 'token-silent'):
    lies[name] = (('manifest', 'config', 'base', 'layer'), wants_token)
for name, realm in (('bad', 'no address at all'), ('ftp', 'ftp://127.0.0.1:1/token'), ('file', 'file:///etc/passwd')):
    lies['realm-' + name] = (('manifest',), lambda h, d, realm=realm: h.challenge(realm))
lies['realm-none'] = (('manifest',), lambda h, d: h.error(401, 'UNAUTHORIZED', 'guess'))
