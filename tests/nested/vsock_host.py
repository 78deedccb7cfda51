# SPDX-License-Identifier: MIT
"""The host's side of a connection with a guest's AF_VSOCK.

vsock_host.py serve PATH         echo what each caller sends
vsock_host.py call PATH PORT     stdin to the guest, what comes back to stdout; nothing if it is refused
"""
import shutil
import socket
import sys
import threading


def echo(c):
    with c:
        while data := c.recv(65536):
            c.sendall(data)


def serve(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen()
    while True:
        threading.Thread(target=echo, args=(s.accept()[0],), daemon=True).start()


def send(s):
    shutil.copyfileobj(sys.stdin.buffer, s.makefile("wb", 0))
    s.shutdown(socket.SHUT_WR)


def call(path, port):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.sendall(b"CONNECT %s\n" % port.encode())
    answer = b""
    while not answer.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            return
        answer += byte
    assert answer.startswith(b"OK "), answer
    sender = threading.Thread(target=send, args=(s,))
    sender.start()
    while data := s.recv(65536):
        sys.stdout.buffer.write(data)
    sender.join()


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
