#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""reap.py SECONDS COMMAND... - runs it, at most so long, and tells which processes it has left behind

Exit code: the command's, 124 when the time was over, 99 when a process still runs 3 s after its end.
"""
import ctypes
import os
import signal
import sys
import time


def alarm(*args):
    print(f'reap: still there after {sys.argv[1]} s', file=sys.stderr)
    os.killpg(child, signal.SIGKILL)
    os._exit(124)


def name(pid):
    try:
        with open(f'/proc/{pid}/cmdline', encoding='utf-8', errors='replace') as f:
            return f.read().replace('\0', ' ')
    except OSError:
        return '?'


def children():
    with open(f'/proc/self/task/{os.getpid()}/children', encoding='ascii') as f:
        return [int(p) for p in f.read().split()]


ctypes.CDLL(None).prctl(36, 1)	# PR_SET_CHILD_SUBREAPER: orphans of the command become ours
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    finally:
        os._exit(127)
signal.signal(signal.SIGALRM, alarm)
signal.alarm(int(sys.argv[1]))
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
code = code if code >= 0 else 128 - code
until = time.monotonic() + 3
while True:
    try:
        if os.waitpid(-1, os.WNOHANG)[0] == 0:
            if time.monotonic() > until:
                break
            time.sleep(0.01)
    except ChildProcessError:
        sys.exit(code)
for pid in children():
    print(f'reap: left behind: {pid} {name(pid)}', file=sys.stderr)
    os.kill(pid, signal.SIGKILL)
sys.exit(99)
