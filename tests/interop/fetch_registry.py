# SPDX-License-Identifier: MIT
"""fetch_registry.py - drives caisson-fetch as the engine does, against registries on loopback

usage: fetch_registry.py WORKER URL AUTH_URL USER PASSWORD DIR
Run by fetch_registry.sh, which starts the registries. Prints "ok NAME"; ends with 1 at a failure.
"""
import array, base64, email.utils, gzip, hashlib, io, json, os, random, shutil, signal, socket, ssl, struct, subprocess
import sys, tarfile, threading, time, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Run:
    """One run of the worker; events are collected, layers' files and counts are read."""

    def __init__(self, worker, request, partial=None, blobs=None, env=None):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock, self.events, self.counts, self.threads = ours, [], {}, []
        null = os.open("/dev/null", os.O_RDONLY)
        fds = [theirs.fileno(), os.open(partial, os.O_RDONLY) if partial else null,
               os.open(blobs, os.O_RDONLY) if blobs else null]
        self.pid = os.fork()
        if self.pid == 0:
            high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, inheritable=True)
            os.closerange(6, 256)
            os.environ.update(env or {})
            os.execv(worker, ["caisson-fetch"])
        for fd in set(fds[1:] + [null]):
            os.close(fd)
        theirs.close()
        ours.send(json.dumps(request).encode())

    def read_counts(self, digest, fd):
        last, whole = None, b""
        while True:
            b = os.read(fd, 8)
            if not b:
                break
            last = struct.unpack("<Q", b)[0]
        os.close(fd)
        self.counts.setdefault(digest, []).append(last)

    def next(self):
        """The next event, None at the end of the stream."""
        data, anc, _, _ = self.sock.recvmsg(1 << 17, socket.CMSG_SPACE(64))
        if not data:
            return None
        fds = array.array("i")
        for level, kind, d in anc:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(d[:len(d) - len(d) % fds.itemsize])
        ev = json.loads(data)
        assert len(fds) == (2 if ev["event"] == "open" else 0), (ev, fds)
        if fds:
            os.close(fds[0])
            t = threading.Thread(target=self.read_counts, args=(ev["digest"], fds[1]))
            t.start()
            self.threads.append(t)
        self.events.append(ev)
        return ev

    def finish(self):
        while self.next():
            pass
        return self.end()

    def end(self):
        for t in self.threads:
            t.join()
        self.sock.close()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.last = self.events[-1] if self.events else {}
        return status

    def kinds(self):
        return [e["event"] for e in self.events]


def digest(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


def tar_layer(name, data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def image_make(blobs, seed, sizes):
    """Puts an image into a folder of blobs; its manifest's digest, and the push request's fields."""
    rng = random.Random(seed)
    plain = [tar_layer("f%d" % i, rng.randbytes(n)) for i, n in enumerate(sizes)]
    packed = [gzip.compress(p, 1, mtime=0) for p in plain]
    config = json.dumps({"architecture": "amd64", "os": "linux", "seed": seed,
                         "rootfs": {"type": "layers", "diff_ids": [digest(p) for p in plain]}}).encode()
    d = lambda b, t: {"digest": digest(b), "size": len(b), "mediaType": "application/vnd.oci.image." + t}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": d(config, "config.v1+json"),
                           "layers": [d(p, "layer.v1.tar+gzip") for p in packed]}).encode()
    for b in packed + [config, manifest]:
        with open(os.path.join(blobs, digest(b)[7:]), "wb") as f:
            f.write(b)
    row = lambda b, t: {"digest": digest(b), "size": len(b), "media_type": "application/vnd.oci.image." + t}
    return {"manifest": row(manifest, "manifest.v1+json"),
            "blobs": [row(config, "config.v1+json")] + [row(p, "layer.v1.tar+gzip") for p in packed]}


class Fake(BaseHTTPRequestHandler):
    """A registry with one image, for what docker-registry does not do; `server.rule` answers first."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status, data=b"", **headers):
        self.send_response(status)
        for k, v in {"Content-Length": len(data), **headers}.items():
            self.send_header(k.replace("_", "-"), str(v))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length).decode()
        s = self.server
        s.seen.append((self.command, self.path, self.headers.get("Authorization"), body))
        if s.rule(self, body):
            return
        name = self.path.split("/")[-1]
        name = s.image["manifest"]["digest"] if name == "latest" else name
        try:
            with open(os.path.join(s.blobs, name[7:]), "rb") as f:
                self.send(200, f.read())
        except OSError:
            self.send(404)

    do_POST = do_GET


class Test:
    def __init__(self, argv):
        (self.worker, self.url, self.auth_url, self.user, self.password, self.dir) = argv[1:]
        self.blobs, self.empty = self.folder("blobs"), self.folder("none")

    def folder(self, name):
        path = os.path.join(self.dir, name)
        shutil.rmtree(path, ignore_errors=True)
        os.mkdir(path)
        return path

    def request(self, op, **more):
        r = {"op": op, "endpoints": [{"url": self.url}], "limits": {"backoff_ms": 50}}
        r.update(more)
        return r

    def push(self, image, **more):
        run = Run(self.worker, self.request("push", **{**image, **more}), blobs=self.blobs)
        return run, run.finish()

    def pull(self, partial, blobs=None, **more):
        req = self.request("pull", platform={"os": "linux", "architecture": "amd64"}, **more)
        run = Run(self.worker, req, partial, blobs or self.empty)
        return run, run.finish()

    def check_folder(self, folder, image):
        for d in [image["manifest"]] + image["blobs"]:
            with open(os.path.join(folder, d["digest"][7:]), "rb") as f:
                assert digest(f.read()) == d["digest"], d

    # ---- tests ----

    def test_push_and_pull(self):
        image = image_make(self.blobs, 1, [10, 3 << 20, 1 << 20, 100, 200, 5000])
        run, rc = self.push(image, repository="a/one", reference="v1")
        assert rc == 0 and run.kinds().count("done") == 8, run.events
        run, rc = self.push(image, repository="a/one", reference="v1")
        assert rc == 0 and run.kinds().count("exists") >= 7, run.events
        run, rc = self.push(image, repository="b/two", reference="v1", mount_from=["nobody/none", "a/one"])
        assert rc == 0 and run.kinds().count("mounted") == 7, run.events
        for ref in "v1", image["manifest"]["digest"]:
            p = self.folder("partial")
            run, rc = self.pull(p, repository="a/one", reference=ref)
            assert rc == 0, run.events
            assert run.last == {"event": "complete", "digest": image["manifest"]["digest"],
                                "manifest": image["manifest"]["digest"]}, run.last
            self.check_folder(p, image)
            for d in image["blobs"][1:]:
                assert run.counts[d["digest"]] == [d["size"]], run.counts
        run, rc = self.pull(self.folder("partial"), self.blobs, repository="a/one", reference="v1")
        assert rc == 0 and run.kinds().count("exists") == 6 and "open" not in run.kinds(), run.events

    def test_resume_after_kill(self):
        image = image_make(self.blobs, 2, [96 << 20])
        layer = image["blobs"][1]
        assert self.push(image, repository="big", reference="v1")[1] == 0
        p = self.folder("partial")
        req = self.request("pull", repository="big", reference="v1",
                           platform={"os": "linux", "architecture": "amd64"})
        run = Run(self.worker, req, p, self.empty)
        while True:
            ev = run.next()
            if ev["event"] == "progress" and ev["done"] > 1 << 20:
                break
        os.kill(run.pid, signal.SIGKILL)
        while run.next():
            pass
        run.end()
        there = os.path.getsize(os.path.join(p, layer["digest"][7:]))
        assert 1 << 20 < there < layer["size"], there
        run, rc = self.pull(p, repository="big", reference="v1")
        opened = [e for e in run.events if e["event"] == "open"]
        assert rc == 0 and opened == [{"event": "open", "digest": layer["digest"], "size": layer["size"],
                                       "have": there}], run.events
        self.check_folder(p, image)
        # a part that is not of this blob is cut off and fetched once more
        with open(os.path.join(p, layer["digest"][7:]), "r+b") as f:
            f.write(b"wrong")
            f.truncate(2 << 20)
        run, rc = self.pull(p, repository="big", reference="v1")
        assert rc == 0 and run.kinds().count("open") == 2, run.events
        assert run.counts[layer["digest"]].count((1 << 64) - 1) == 1, run.counts
        self.check_folder(p, image)
        # two at once: one waits for the other's lock
        p = self.folder("partial")
        runs = [Run(self.worker, req, p, self.empty) for _ in range(2)]
        ends = [None, None]
        threads = [threading.Thread(target=lambda i=i: ends.__setitem__(i, runs[i].finish())) for i in range(2)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert ends == [0, 0], [r.last for r in runs]
        self.check_folder(p, image)

    def test_engine_goes(self):
        """The worker ends when its socket does, even while nothing happens."""
        quiet = socket.socket()
        quiet.bind(("127.0.0.1", 0))
        quiet.listen()
        req = self.request("pull", repository="x", reference="y",
                           endpoints=[{"url": "http://127.0.0.1:%d" % quiet.getsockname()[1]}])
        run = Run(self.worker, req, self.folder("partial"), self.empty)
        conn = quiet.accept()[0]
        run.sock.close()
        began = time.time()
        assert os.waitstatus_to_exitcode(os.waitpid(run.pid, 0)[1]) == 1
        assert time.time() - began < 10
        conn.close()

    def fake(self, rule, tls=False):
        s = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
        s.daemon_threads, s.rule, s.seen, s.blobs = True, rule, [], self.blobs
        s.image = image_make(self.blobs, 4, [1000])
        if tls:
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            c.load_cert_chain(self.dir + "/cert.pem", self.dir + "/key.pem")
            s.socket = c.wrap_socket(s.socket, server_side=True)
        s.url = "http%s://127.0.0.1:%d" % ("s" if tls else "", s.server_port)
        threading.Thread(target=s.serve_forever, daemon=True).start()
        return s

    def pull_fake(self, server, **endpoint):
        return self.pull(self.folder("partial"), repository="x", reference="latest",
                         endpoints=[{"url": server.url, **endpoint}])

    def test_tokens(self):
        valid = {"n": 0}

        def rule(h, body):
            url = urllib.parse.urlsplit(h.path)
            if url.path == "/token":
                valid["n"] += 1
                h.send(200, json.dumps({"access_token": "t%d" % valid["n"]}).encode())
            elif h.headers.get("Authorization") != "Bearer t%d" % valid["n"] or "blobs" in h.path and valid["n"] == 1:
                h.send(401, b"{}", WWW_Authenticate='Bearer realm="%s/token?a=b",service="a, b",scope="repository:x:pull"'
                       % h.server.url)
            else:
                return False
            return True

        basic = "Basic " + base64.b64encode(b"me:pass").decode()
        for auth, method, header in ({"user": "me", "password": "pass"}, "GET", basic), \
                ({"identity_token": "id&tok"}, "POST", None), ({}, "GET", None):
            valid["n"] = 0
            s = self.fake(rule)
            run, rc = self.pull_fake(s, auth=auth)
            assert rc == 0, run.last
            asked = [r for r in s.seen if r[1].startswith("/token")]
            assert len(asked) == 2, asked  # one at first, one when it was not taken any more
            assert asked[0][0] == method and asked[0][2] == header, asked
            fields = urllib.parse.parse_qs(asked[0][3] if method == "POST" else asked[0][1].split("?")[1])
            assert fields["service"] == ["a, b"] and fields["scope"] == ["repository:x:pull"], fields
            if method == "POST":
                assert fields["refresh_token"] == ["id&tok"] and fields["grant_type"] == ["refresh_token"]
            assert all(r[2] is None or r[2].startswith("Bearer") for r in s.seen if r[1].startswith("/v2")), s.seen

    def test_tls(self):
        plain = self.fake(lambda h, body: h.send(200, b'{"token": "x"}') or True)
        with open(self.dir + "/cert.pem") as f:
            ca = f.read()
        s = self.fake(lambda h, body: False, tls=True)
        run, rc = self.pull_fake(s)
        self.expect_error(run, rc, "tls", "certificate")
        for more in {"ca": ca}, {"skip_verify": True}:
            run, rc = self.pull_fake(s, **more)
            assert rc == 0, run.last
        ask = lambda h, body: h.send(401, WWW_Authenticate='Bearer realm="%s/token"' % plain.url) or True
        s = self.fake(ask, tls=True)
        run, rc = self.pull_fake(s, ca=ca, auth={"user": "me", "password": "pass"})
        self.expect_error(run, rc, "invalid", "plain HTTP", plain.url)
        s = self.fake(lambda h, body: "blobs" in h.path and (h.send(307, Location=plain.url + h.path) or True), tls=True)
        run, rc = self.pull_fake(s, ca=ca)
        self.expect_error(run, rc, "invalid", "redirect", "plain http")
        assert plain.seen == [], plain.seen

    def test_retry_after(self):
        asked = []

        def rule(h, body):
            asked.append(time.time())
            if len(asked) > 2:
                return False
            after = "2" if len(asked) == 1 else email.utils.formatdate(time.time() + 3, usegmt=True)
            h.send(503 if len(asked) == 1 else 429, Retry_After=after)
            return True

        run, rc = self.pull_fake(self.fake(rule))
        assert rc == 0 and asked[1] - asked[0] >= 1.9 and asked[2] - asked[1] >= 1.5, (run.last, asked)
        assert run.kinds().count("retrying") == 2

    def flaky(self, times, limit):
        """A way to the open registry that breaks off `times` connections after `limit` bytes upwards."""
        host, port = self.url.split("//")[1].split(":")
        door, left = socket.socket(), [times]
        door.bind(("127.0.0.1", 0))
        door.listen()

        def copy(a, b, limit):
            try:
                while (data := a.recv(65536)) and limit > 0:
                    b.sendall(data)
                    limit -= len(data)
                if limit <= 0:
                    left[0] -= 1
            except OSError:
                pass
            for s in a, b:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()  # with bytes unread: a reset

        def serve():
            while True:
                a, b = door.accept()[0], socket.create_connection((host, int(port)))
                threading.Thread(target=copy, args=(a, b, limit if left[0] > 0 else 1 << 60), daemon=True).start()
                threading.Thread(target=copy, args=(b, a, 1 << 60), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        return "http://127.0.0.1:%d" % door.getsockname()[1]

    def test_broken_upload(self):
        image = image_make(self.blobs, 6, [8 << 20])
        run, rc = self.push(image, repository="broken", reference="v1", endpoints=[{"url": self.flaky(2, 1 << 20)}])
        assert rc == 0 and run.kinds().count("retrying") >= 2, run.events
        p = self.folder("partial")
        assert self.pull(p, repository="broken", reference="v1")[1] == 0
        self.check_folder(p, image)
        image = image_make(self.blobs, 7, [8 << 20])
        run, rc = self.push(image, repository="broken", reference="v2", endpoints=[{"url": self.flaky(99, 1 << 20)}])
        self.expect_error(run, rc, "unavailable", "PATCH", "push of sha256:")

    def test_disk_full(self):
        p = self.folder("small")
        if os.getuid() or subprocess.call(["mount", "-t", "tmpfs", "-o", "size=1m", "none", p]):
            return
        try:
            image = image_make(self.blobs, 5, [4 << 20])
            assert self.push(image, repository="full", reference="v1")[1] == 0
            run, rc = self.pull(p, repository="full", reference="v1")
            self.expect_error(run, rc, "disk_full", "full")
        finally:
            subprocess.call(["umount", p])

    def expect_error(self, run, rc, code, *words):
        assert rc == 1 and run.last["event"] == "error" and run.last["code"] == code, run.last
        for w in words:
            assert w in run.last["message"], run.last

    def test_errors(self):
        p = self.folder("partial")
        run, rc = self.pull(p, repository="a/one", reference="nope")
        self.expect_error(run, rc, "not_found", "/v2/a/one/manifests/nope", "404", "MANIFEST_UNKNOWN")
        run, rc = self.pull(p, repository="a/one", reference="v1",
                            endpoints=[{"url": self.url.replace("http:", "https:")}])
        self.expect_error(run, rc, "tls", "HTTP response to HTTPS client")
        run, rc = self.pull(p, repository="a/one", reference="v1", endpoints=[{"url": "http://127.0.0.1:1"}])
        self.expect_error(run, rc, "unavailable", "127.0.0.1:1")
        run, rc = self.pull(p, repository="a/one", reference="v1",
                            endpoints=[{"url": "http://127.0.0.1:1", "is_mirror": True}, {"url": self.url}])
        assert rc == 0, run.last
        run, rc = self.pull(p, repository="../x", reference="v1")
        self.expect_error(run, rc, "failed", "repository")

    def test_login(self):
        for auth, code in ({"user": self.user, "password": self.password}, None), \
                ({"user": self.user, "password": "wrong"}, "unauthorized"), ({}, "unauthorized"):
            run = Run(self.worker, {"op": "login", "endpoints": [{"url": self.auth_url, "auth": auth}]})
            rc = run.finish()
            if code:
                self.expect_error(run, rc, code, "/v2/")
            else:
                assert rc == 0 and run.last == {"event": "complete"}, run.last
        image = image_make(self.blobs, 3, [100, 200])
        ep = [{"url": self.auth_url, "auth": {"user": self.user, "password": self.password}}]
        run, rc = self.push(image, repository="secret", reference="v1", endpoints=ep)
        assert rc == 0, run.last
        run, rc = self.pull(self.folder("partial"), repository="secret", reference="v1", endpoints=ep)
        assert rc == 0, run.last
        run, rc = self.pull(self.folder("partial"), repository="secret", reference="v1",
                            endpoints=[{"url": self.auth_url}])
        self.expect_error(run, rc, "unauthorized", "401")


def main():
    test = Test(sys.argv)
    wanted = os.environ.get("ONLY", "").split()
    for name in [n for n in Test.__dict__ if n.startswith("test_")]:
        if wanted and name not in wanted:
            continue
        getattr(test, name)()
        print("ok", name)


if __name__ == "__main__":
    main()
