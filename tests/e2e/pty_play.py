#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pty_play.py ROWS COLS COMMAND... - runs a command on a terminal and plays the script on stdin

    expect TEXT     wait until the output, after what was expected before, holds the text (20 s at most)
    send TEXT       type it; \\r, \\n, \\xNN as in Python
    resize ROWS COLS
    kill SIGNAL     to the command

Prints all output, then "exit CODE" (or "exit -SIGNAL"). Its own exit code is 1 when an expectation failed.
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

LIMIT_S = 20
seen, looked_at = b'', 0


def size_set(fd, rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', int(rows), int(cols), 0, 0))


def pump(fd, timeout):
    """Read what is there; False at the end."""
    global seen
    if select.select([fd], [], [], timeout)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:	# EIO: nobody has the other side open
            return False
        seen += data
        return bool(data)
    return True


def expect(fd, text):
    global looked_at
    until = time.monotonic() + LIMIT_S
    more = True
    while (at := seen.find(text, looked_at)) < 0:
        if not more or time.monotonic() > until:
            return False
        more = pump(fd, 0.1)
    looked_at = at + len(text)
    return True


def play(fd, child, line):
    word, _, rest = line.strip().partition(' ')
    if word == 'expect':
        return expect(fd, rest.encode())
    if word == 'send':
        os.write(fd, rest.encode().decode('unicode_escape').encode('latin-1'))
    elif word == 'resize':
        size_set(fd, *rest.split())
    elif word == 'kill':
        os.kill(child, getattr(signal, 'SIG' + rest))
    return True


def main():
    script = [line for line in sys.stdin if line.strip()]
    child, fd = pty.fork()
    if child == 0:
        size_set(0, sys.argv[1], sys.argv[2])
        os.execvp(sys.argv[3], sys.argv[3:])
    failed = next((line for line in script if not play(fd, child, line)), None)
    until = time.monotonic() + LIMIT_S
    if failed:
        os.kill(child, signal.SIGKILL)
    while pump(fd, 0.1) and time.monotonic() < until:
        pass
    ended, status = os.waitpid(child, os.WNOHANG)
    while ended == 0 and time.monotonic() < until:
        time.sleep(0.02)
        ended, status = os.waitpid(child, os.WNOHANG)
    if ended == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        failed = failed or 'the end'
    sys.stdout.buffer.write(seen)
    print(f'\nexit {os.waitstatus_to_exitcode(status)}')
    if failed:
        print(f'not seen: {failed.strip()}')
        sys.exit(1)


main()
