#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""calls.py - which system calls VMMs made once they were shut in

  calls.py watch          from now on all calls of VMMs and of their threads are noted, by the kernel
  calls.py compare LISTS EXPECTED
                          LISTS: what the filters allow (sandbox_syscalls.h); EXPECTED: lines of
                          "KIND CALL reason": allowed, and not made in these tests. Prints what is allowed
                          and neither made nor expected, and what is expected and was made. KIND as in LISTS.

A thread is told by its name, which it has before its first call under a filter of its own. Until then, and
in the event thread, a call counts for the process's filter: of a thread all, of the event thread what comes
after its seccomp(). Those are noted one by one, but for what is called all the time.
"""
import glob
import re
import sys

TRACING = "/sys/kernel/tracing"
EVENT = TRACING + "/events/raw_syscalls/sys_enter"
OFTEN = ["read", "write", "readv", "writev", "ioctl", "futex", "epoll_wait", "io_uring_enter", "poll"]
THREADS = ["vcpu", "disk"]
UNISTD = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"

numbers = {m[1]: int(m[2]) for m in re.finditer(r"#define __NR_(\w+) (\d+)", open(UNISTD).read())}
names = {n: name for name, n in numbers.items()}


def put(path, text, mode="w"):
    with open(path, mode) as f:
        f.write(text)


def watch():
    often = " && ".join(f"id != {numbers[name]}" for name in OFTEN)
    put("/proc/sys/kernel/pid_max", "4194304")  # none twice
    put(TRACING + "/buffer_size_kb", "65536")
    ours = " || ".join(f'comm == "{c}"' for c in ["caisson-vmm", *THREADS])
    put(EVENT + "/filter", f"({ours}) && {often}")
    for comm in ["caisson-vmm", *THREADS]:
        put(EVENT + "/trigger", f'hist:keys=id:size=1024 if comm == "{comm}"', "a")
    put(EVENT + "/enable", "1")


def made():
    """{kind: names}"""
    ret = {"vmm": set(), **{t: set() for t in THREADS}}
    with open(EVENT + "/hist") as f:
        for line in f:
            if m := re.search(r'trigger info: .* if comm == "(\S+)"', line):
                comm = m[1]
            elif m := re.match(r"\{ id:\s*(\d+) \}", line):
                name = names[int(m[1])]
                if comm in THREADS:
                    ret[comm].add(name)
                elif name in OFTEN:  # also before it is shut in
                    ret["vmm"].add(name)
            elif "Dropped:" in line and line.split()[-1] != "0":
                sys.exit("calls.py: the kernel did not count all: " + line)
    shut_in, before = set(), {}  # threads; what each called before
    with open(TRACING + "/trace") as f:
        for line in f:
            m = re.match(r".{16}-(\d+)\s.* sys_enter: NR (\d+) \((\w+), (\w+)", line)
            if not m:
                continue
            thread, name = m[1], names[int(m[2])]
            if thread in shut_in:
                ret["vmm"].add(name)
                continue
            before.setdefault(thread, set()).add(name)
            if name == "seccomp":
                shut_in.add(thread)
                if m[4] == "0":  # not for all threads: one of its own
                    ret["vmm"] |= before[thread]
    for cpu in glob.glob(TRACING + "/per_cpu/cpu*/stats"):
        if (m := re.search(r"^overrun: (\d+)", open(cpu).read(), re.M)) and m[1] != "0":
            sys.exit("calls.py: the kernel's buffer was too small")
    ret["vmm"] |= set().union(*(ret[t] for t in THREADS))
    return ret


def compare(lists, expected):
    allowed, wrong, kind = {}, [], None
    for line in open(lists):
        if m := re.match(r"static const int syscalls_(\w+)", line):
            kind = m[1]
            allowed[kind] = set()
        elif m := re.match(r"\tSCMP_SYS\((\w+)\)", line):
            allowed[kind].add(m[1])
    reasons = {k: set() for k in allowed}
    for line in open(expected):
        if line.strip() and not line.startswith("#"):
            kind, call, _ = line.split(maxsplit=2)
            reasons[kind].add(call)
    # what a thread may call, its process has to be allowed, for no other reason
    reasons_of = {k: v | set().union(*(reasons[t] for t in THREADS)) if k == "vmm" else v for k, v in reasons.items()}
    for kind, calls in made().items():
        print(f"# {kind}: made {' '.join(sorted(calls))}")
        wrong += [f"{kind}: {c} is allowed and was not made" for c in sorted(allowed[kind] - calls - reasons_of[kind])]
        wrong += [f"{kind}: {c} was made, it needs no reason" for c in sorted(reasons[kind] & calls)]
        wrong += [f"{kind}: {c} has a reason and is not allowed" for c in sorted(reasons[kind] - allowed[kind])]
    if wrong:
        sys.exit("\n".join(wrong))


if sys.argv[1:] == ["watch"]:
    watch()
elif len(sys.argv) == 4 and sys.argv[1] == "compare":
    compare(*sys.argv[2:])
else:
    sys.exit(__doc__)
