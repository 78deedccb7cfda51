#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pull_kill.py TARGET DELAY-MS HOLD COMMAND... - runs a pull, and kills -9 one of its processes at a given moment

TARGET: "cli", "fetch", or "unpack:N", the Nth of its unpack workers to be seen. The delay begins when the target is
seen; if HOLD is not "-" but the file by which lying_registry.py holds back an answer, when that answer is held back,
which ends with the kill. Prints "killed" or "missed" (it ended before), the
command's exit code, and when that was, then what it said. Exit code 99 when a process still runs 3 s later.
"""
import ctypes
import os
import signal
import subprocess
import sys
import time

target, delay_s, hold, command = sys.argv[1], int(sys.argv[2]) / 1000, sys.argv[3], sys.argv[4:]
END_S, LEFT_S = 30, 3
seen = []	# unpack workers, oldest first


def name_of(pid):
    try:
        with open(f'/proc/{pid}/comm', encoding='utf-8', errors='replace') as f:
            return f.read().strip()
    except OSError:
        return '?'


def children(pid):
    try:
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def find(cli):
    if target == 'cli':
        return cli
    names = {p: name_of(p) for p in children(cli)}
    if target == 'fetch':
        return next((p for p, n in names.items() if n == 'caisson-fetch'), None)
    seen.extend(p for p, n in names.items() if n == 'caisson-unpack' and p not in seen)
    nth = int(target.split(':')[1])
    return seen[nth - 1] if len(seen) >= nth and names.get(seen[nth - 1]) else None


def wait_for(what, child):
    """What it returns that is not None or False; None when the child has ended."""
    until = time.monotonic() + END_S
    while child.poll() is None and time.monotonic() < until:
        found = what()
        if found:
            return found
        time.sleep(0.002)
    return None


def strike(child):
    if hold != '-' and not wait_for(lambda: os.path.exists(hold.replace('/hold.', '/held.')), child):
        return 'missed'
    pid = wait_for(lambda: find(child.pid), child)
    time.sleep(delay_s)
    if not pid or child.poll() is not None or (pid != child.pid and pid not in children(child.pid)):
        return 'missed'
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 'missed'
    return 'killed'


ctypes.CDLL(None).prctl(36, 1)	# PR_SET_CHILD_SUBREAPER: orphans of the command become ours
with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as cli:
    how = strike(cli)
    if hold != '-':
        os.unlink(hold)
    try:
        code = cli.wait(END_S)
    except subprocess.TimeoutExpired:
        cli.kill()
        code = 124
    at = time.time()
    until = time.monotonic() + LEFT_S
    while children(os.getpid()) and time.monotonic() < until:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        time.sleep(0.002)
    left = children(os.getpid())
    for p in left:
        print('left behind:', p, name_of(p), file=sys.stderr)
        os.kill(p, signal.SIGKILL)
    print(how, code, at)
    print(cli.stdout.read(4096).decode(errors='replace'))
sys.exit(99 if left else 0)
