# SPDX-License-Identifier: MIT
"""kills.py - start machines, kill -9 one of their processes at a point of time, look at what is left

  kills.py sweep VICTIM FIRST_MS STEP_MS POINTS [FLAG...]   VICTIM: cli, keeper, vmm, passt, virtiofsd
  kills.py processes MARK                                   pids of what runs with CAISSON_TEST_MARK=MARK

Each point is a machine of its own. Its processes are known by an environment variable, which all but
the VMM inherit, and by the machine's id on the command line. Prints what is wrong; exit code 1 then.
"""
import concurrent.futures
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT, RUN, IMAGE = os.environ["CAISSON_ROOT"], os.environ["CAISSON_RUN"], os.environ["BUSYBOX"]
# what is synced is told: a line per run
COMMAND = ["sh", "-c", "echo x >>/mark; sync; echo up; exec sleep 1000"]
GONE_S = 5
PROGRAMS = {"keeper": "caisson-keeper", "vmm": "qemu-system|caisson-vmm", "passt": "passt",
            "virtiofsd": "virtiofsd|caisson-share"}


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def is_alive(pid):
    stat = read(f"/proc/{pid}/stat")
    return bool(stat) and stat.rsplit(b")", 1)[1].split()[0] not in (b"Z", b"X")


def processes(mark, machine=""):
    """Those of a machine; templates live longer than the machine that wanted them."""
    found = {}
    for entry in glob.glob("/proc/[0-9]*"):
        pid = int(entry[6:])
        args = read(f"{entry}/cmdline")
        environ = read(f"{entry}/environ").split(b"\0")
        ours = f"CAISSON_TEST_MARK={mark}".encode() in environ or (machine and machine[:12].encode() in args)
        if ours and args and is_alive(pid) and b"caisson-template" not in args.split(b"\0")[0]:
            found[pid] = args.replace(b"\0", b" ")[:80].decode(errors="replace")
    return found


def children(pid):
    return [int(c) for c in read(f"/proc/{pid}/task/{pid}/children").split()]


def descendant(pid, program):
    for child in children(pid):
        if re.match(program, read(f"/proc/{child}/comm").decode()):
            return child
        deeper = descendant(child, program) if program != PROGRAMS["keeper"] else None
        if deeper:
            return deeper
    return None


def caisson(*args, mark, limit=30):
    """Exit code, stdout, stderr; 124 when it did not end."""
    env = dict(os.environ, CAISSON_TEST_MARK=mark)
    try:
        r = subprocess.run(["caisson", *args], env=env, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL)
        return r.returncode, r.stdout, r.stderr
    except subprocess.TimeoutExpired:
        return 124, "", "timeout"


def eventually(limit_s, check):
    until = time.monotonic() + limit_s
    while True:
        value = check()
        if value or time.monotonic() > until:
            return value
        time.sleep(0.03)


class Point:
    def __init__(self, victim, delay_ms, flags, number):
        self.victim, self.delay_ms, self.flags = victim, delay_ms, flags
        self.name = f"k{os.getpid()}-{number}"
        self.is_temporary = "--rm" in flags
        self.wrong = []

    def complain(self, text):
        self.wrong.append(f"{self.victim} {' '.join(self.flags)} at {self.delay_ms} ms: {text}")

    def start_and_kill(self):
        env = dict(os.environ, CAISSON_TEST_MARK=self.name)
        out = tempfile.TemporaryFile()
        err = tempfile.TemporaryFile()
        cli = subprocess.Popen(["caisson", "run", "--name", self.name, *self.flags, IMAGE, *COMMAND], env=env,
                               stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        pid = cli.pid
        if self.victim != "cli":
            until = time.monotonic() + 30
            pid = None
            while pid is None and time.monotonic() < until and cli.poll() is None:
                pid = descendant(cli.pid, PROGRAMS[self.victim])
        if pid is None:
            self.complain("the victim was never there")
            return cli, out, err
        time.sleep(self.delay_ms / 1000)
        os.kill(pid, signal.SIGKILL)
        return cli, out, err

    def state(self):
        code, out, _ = caisson("inspect", self.name, mark=self.name)
        return json.loads(out)[0] if code == 0 else None

    def client_check(self, code, said, m):
        """What the user of `caisson run` is told."""
        if self.victim == "cli":
            return
        if code == 0:
            self.complain("caisson run says 0")
        if self.victim == "keeper" and (code != 125 or not said.strip()):
            self.complain(f"caisson run says {code}, {said!r}")
        if code == 125 and not said.strip():
            self.complain("caisson run fails without a word")
        if self.victim == "virtiofsd" and m and not re.search("virtiofsd|vhost|caisson-share", m["State"]["Error"]):
            self.complain(f"State.Error is {m['State']['Error']!r}")

    def restart_check(self, was_up):
        code, _, said = caisson("start", self.name, mark=self.name)
        if code != 0:
            self.complain(f"start: {code} {said}")
            return
        def lines():
            code, out, _ = caisson("exec", self.name, "cat", "/mark", mark=self.name)
            return out.count("x") if code == 0 and out else 0
        # its line of this time may not be written yet
        eventually(5, lambda: lines() > was_up)
        if not was_up < lines() <= 2:
            self.complain(f"/mark has {lines()} lines, was up: {was_up}")

    def remove_check(self):
        code, _, said = caisson("rm", "-f", self.name, mark=self.name)
        if code != 0:
            self.complain(f"rm: {code} {said}")

    def ends_check(self, machine):
        left = eventually(GONE_S, lambda: not processes(self.name, machine)) or processes(self.name, machine)
        if left is not True:
            self.complain(f"processes stay: {left}")

    def run(self):
        cli, out, err = self.start_and_kill()
        if self.victim in ("cli", "passt"):
            return self.goes_on(cli)
        try:
            code = cli.wait(GONE_S)
        except subprocess.TimeoutExpired:
            self.complain("caisson run goes on")
            cli.kill()
            code = cli.wait()
        out.seek(0)
        err.seek(0)
        was_up = b"up" in out.read()
        m = self.state()
        said = err.read().decode()
        self.client_check(code, said, m)
        if m:
            self.ends_check(m["Id"])
            self.record_check(m)
        elif not self.is_temporary:
            self.complain("there is no machine")
        if m and not self.is_temporary:
            self.restart_check(was_up)
        self.remove_check()
        if m:
            self.ends_check(m["Id"])
        return self.wrong

    def record_check(self, m):
        state = m["State"]
        if self.is_temporary:
            self.complain(f"it is still there, {state['Status']}")
        if state["Status"] not in ("created", "exited"):
            self.complain(f"it is {state['Status']}")
        if state["Status"] == "exited" and state["ExitCode"] == 0:
            self.complain("it is recorded to have ended well")

    def status(self):
        m = self.state()
        return m["State"]["Status"] if m else "gone"

    def is_settled(self):
        status = self.status()
        return status == "running" or not any("caisson-keeper" in p for p in processes(self.name).values())

    def goes_on(self, cli):
        """The machine is not there yet, was only made, or comes to run."""
        if self.victim == "cli":
            cli.wait()
        m = self.state()
        if m is None:
            self.ends_check("")
            return self.wrong
        if not eventually(20, self.is_settled):
            self.complain("it neither runs nor ends")
        if self.status() == "running":
            code, out, said = caisson("exec", self.name, "echo", "here", mark=self.name)
            if out != "here\n":
                self.complain(f"exec: {code} {said}")
        elif self.victim == "passt":
            self.complain(f"it is {self.status()}")
        elif not self.is_temporary:
            self.restart_check(False)
        self.remove_check()
        cli.wait()
        self.ends_check(m["Id"])
        return self.wrong


def sweep(victim, first_ms, step_ms, points, flags):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(Point(victim, first_ms + i * step_ms, flags, i).run) for i in range(points)]
        wrong = [text for r in runs for text in r.result()]
    for place in (ROOT, RUN):
        left = os.listdir(f"{place}/machines") if os.path.isdir(f"{place}/machines") else []
        if left:
            wrong.append(f"{place}/machines has {left}")
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    if sys.argv[1] == "processes":
        print("\n".join(str(p) for p in processes(sys.argv[2])))
        sys.exit(0)
    sys.exit(sweep(sys.argv[2], *(int(n) for n in sys.argv[3:6]), sys.argv[6:]))
