#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""dirty_log.py VMM KERNEL - a copy of a running machine's memory, kept by the dirty log, is its memory

The machine has memory below and above the gap, so two slots. It boots, then reads and writes a disk and answers on
its network, while its memory is copied page by page as the log says; when it is paused, after one more log, copy and
memory are compared byte for byte.
"""
import fcntl, os, select, signal, socket, struct, sys, time

PAGE, MIB = 4096, 1 << 20
MEM = 4608 * MIB
LOW = 3072 * MIB  # the first slot's
DISK = 64 * MIB
ROUNDS = 8
MAC = bytes.fromhex("02ca15500001")
LIMIT_S = 240
PAUSE, RESUME, STATISTICS, STOP, START, END, GET = 1, 2, 5, 8, 16, 17, 18
OK, ERROR, COUNTS, READY = 64, 65, 66, 128
CMDLINE = (b"quiet loglevel=1 panic=-1 reboot=k mitigations=off random.trust_cpu=on cryptomgr.notests net.ifnames=0 "
           b"8250.nr_uarts=0 earlyprintk=ttyS0,keep printk.time=0 printk.devkmsg=on rdinit=/init")
INIT = b"""#!/busybox sh
b=/busybox
$b mkdir -p /dev /proc
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b ip link set eth0 up
$b ip addr add 192.0.2.9/24 dev eth0
i=0
while :; do
	$b dd if=/dev/vda of=/read bs=64k count=8 skip=$((i % 60 * 16)) 2>/dev/null
	$b dd if=/read of=/dev/vda bs=64k seek=$((i % 60 * 16 + 8)) conv=fsync 2>/dev/null
	$b ping -c 1 -W 1 192.0.2.1 >/dev/null
	i=$((i + 1))
	echo "<0>turn $i" >/dev/kmsg
done
"""


def check(is_true, *what):
    if not is_true:
        sys.exit("dirty_log: " + " ".join(map(str, what)))


def memfd(name, data=b"", size=None):
    fd = os.memfd_create(name)
    os.write(fd, data)
    os.ftruncate(fd, len(data) if size is None else size)
    return fd


def cpio(files):
    out = b""
    for i, (name, mode, data) in enumerate(files + [("TRAILER!!!", 0, b"")]):
        head = [i + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % x for x in head) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return out


def text(t):
    return struct.pack("<I", len(t)) + t


def config(memory, kernel, initrd, disk, net, control, agent, console):
    """doc/format/vmm.md; descriptors are numbers there."""
    body = struct.pack("<IQIi", 1, MEM, 2, memory) + struct.pack("<Iiii", 0, kernel, initrd, -1) + text(CMDLINE) + text(b"host")
    body += struct.pack("<I", 1) + struct.pack("<IBBQIiII4Q", 1, 0, 0, DISK, 1, disk, 0, 0, 0, 0, 0, 0)
    body += struct.pack("<II", 0, 0) + struct.pack("<BIi", 1, 0, net) + MAC + struct.pack("<Bii4QiiiQ", 0, -1, -1, 0, 0, 0, 0, control, agent, console, 0)
    return b"CSNVMM\1\0" + struct.pack("<II", 1, len(body) + 16) + body


def spawn(program, fds):
    """fds[i] becomes descriptor i."""
    pid = os.fork()
    if pid == 0:
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for fd in fds]
        for i, fd in enumerate(high):
            os.dup2(fd, i)
        os.closerange(len(fds), 400)
        os.execv(program, [program, "dirty-log"])
    return pid


class Control:
    def __init__(self, sock):
        self.sock = sock

    def take(self):
        data = b""
        while len(data) < 8 or len(data) < 8 + struct.unpack_from("<I", data)[0]:
            check(select.select([self.sock], [], [], 60)[0], "no answer")
            got = self.sock.recv(8 - len(data) if len(data) < 8 else 8 + struct.unpack_from("<I", data)[0] - len(data))
            check(got, "the VMM has ended")
            data += got
        return struct.unpack_from("<H", data, 4)[0], data[8:]

    def ask(self, kind, fd=None, answer=OK):
        with_fd = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))] if fd is not None else []
        self.sock.sendmsg([struct.pack("<IHH", 0, kind, 1)], with_fd)
        got, payload = self.take()
        check(got == answer, "request", kind, "answer", got, payload)
        return payload


class Net:
    """The other end of the guest's network: asks and answers who has an address, echoes pings."""

    def __init__(self, sock):
        self.sock, self.have, self.frames, self.out = sock, b"", 0, b""
        sock.setblocking(False)

    def send(self, frame):
        self.out += struct.pack(">I", len(frame)) + frame
        try:
            self.out = self.out[self.sock.send(self.out):]
        except BlockingIOError:
            pass

    def arp(self, op, to):
        mine = bytes.fromhex("020000000001") + bytes([192, 0, 2, 1])
        self.send(to + mine[:6] + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, op) + mine + to + bytes([192, 0, 2, 9]))

    def turn(self):
        try:
            self.have += self.sock.recv(65536)
        except BlockingIOError:
            pass
        while len(self.have) >= 4 and len(self.have) - 4 >= struct.unpack(">I", self.have[:4])[0]:
            n = struct.unpack(">I", self.have[:4])[0]
            frame, self.have = self.have[4:4 + n], self.have[4 + n:]
            self.frames += 1
            if frame[12:14] == b"\x08\x06" and frame[21] == 1:
                self.arp(2, frame[6:12])
            elif frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 8:
                # from request to answer: type 8 to 0, which the checksum follows
                total = struct.unpack(">H", frame[36:38])[0] + 0x800
                echo = b"\0\0" + struct.pack(">H", (total & 0xffff) + (total >> 16)) + frame[38:]
                self.send(frame[6:12] + frame[:6] + frame[12:26] + frame[30:34] + frame[26:30] + echo)
        for _ in range(4):  # such as nobody asked for
            self.send(b"\xff" * 6 + bytes.fromhex("020000000001") + b"\x88\xb5" + os.urandom(1000))


class Copy:
    """A base, and what logs say."""

    def __init__(self, memory):
        self.memory, self.fd = memory, memfd("copy", size=MEM)
        self.pages = [0, 0]  # of each slot
        for at, end in data_of(memory):
            self.take(at, end)

    def take(self, at, end):
        while at < end:
            at += os.pwrite(self.fd, os.pread(self.memory, min(end - at, MIB), at), at)

    def apply(self, log_fd):
        log = os.pread(log_fd, 32 + MEM // PAGE // 8 + 1, 0)
        check(log[:32] == b"CSNDIRTY" + struct.pack("<IIQQ", 1, PAGE, MEM // PAGE, 0), "head of the log", log[:32])
        check(len(log) == 32 + MEM // PAGE // 8, "length of the log", len(log))
        n, empty = 0, bytes(8)
        for at in range(32, len(log), 8):
            if log[at:at + 8] == empty:
                continue
            word, first = int.from_bytes(log[at:at + 8], "little"), (at - 32) * 8
            while word:
                low = (word & -word).bit_length() - 1
                run = (~(word >> low) & ((1 << 65) - 1))
                run = (run & -run).bit_length() - 1
                self.take((first + low) * PAGE, (first + low + run) * PAGE)
                word &= ~(((1 << run) - 1) << low)
                n += run
                self.pages[first * PAGE >= LOW] += run
        return n

    def differences(self):
        wrong, compared = [], 0
        for at in sorted({x for fd in (self.memory, self.fd) for s, e in data_of(fd) for x in range(s // MIB, (e + MIB - 1) // MIB)}):
            compared += MIB
            a, b = os.pread(self.memory, MIB, at * MIB), os.pread(self.fd, MIB, at * MIB)
            if a != b:
                wrong += [(at * MIB + p) // PAGE for p in range(0, MIB, PAGE) if a[p:p + PAGE] != b[p:p + PAGE]]
        return wrong, compared


def data_of(fd):
    at = 0
    while True:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, end
        at = end


def turns(console, seen):
    while select.select([console], [], [], 0)[0]:
        got = os.read(console, 65536)
        check(got, "the guest has ended:", bytes(seen[-500:]))
        seen += got
    return seen.count(b"turn ")


def main():
    program, kernel = sys.argv[1:]
    signal.alarm(LIMIT_S)
    with open("/bin/busybox", "rb") as f:
        initrd = memfd("initrd", cpio([("busybox", 0o100755, f.read()), ("init", 0o100755, INIT)]))
    memory, disk = memfd("memory", size=MEM), os.open("disk", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    for _ in range(DISK // MIB):
        os.write(disk, os.urandom(MIB))
    control, theirs = socket.socketpair()
    agent, agent_end = socket.socketpair()
    net_sock, net_end = socket.socketpair()
    console, console_end = os.pipe()
    kernel_fd = os.open(kernel, os.O_RDONLY)
    named = [memory, kernel_fd, initrd, disk, net_end.fileno(), theirs.fileno(), agent_end.fileno(), console_end]
    conf = memfd("config", config(*range(4, 4 + len(named))))
    pid = spawn(program, [os.open("/dev/kvm", os.O_RDWR), 1, 2, conf] + named)
    for end in (theirs, agent_end, net_end):
        end.close()
    os.close(console_end)

    c, net, seen, log = Control(control), Net(net_sock), bytearray(), memfd("log")
    check(c.take()[0] == READY, "not ready")
    check(c.ask(GET, log, ERROR)[:4] == struct.pack("<I", 22), "a log that is not on")
    c.ask(PAUSE)
    c.ask(START)
    copy = Copy(memory)
    c.ask(RESUME)
    begin, rounds, last = time.monotonic(), 0, 0
    while turns(console, seen) < ROUNDS:
        net.turn()
        c.ask(GET, log)
        n = copy.apply(log)
        rounds += 1
        print("%5.1f s: %d pages, %d turns, %d frames" % (time.monotonic() - begin, n, turns(console, seen), net.frames), flush=True)
        time.sleep(0.5)
    c.ask(PAUSE)
    c.ask(GET, log)
    last = copy.apply(log)
    wrong, compared = copy.differences()
    reads, writes = struct.unpack_from("<QQ", c.ask(STATISTICS, answer=COUNTS), 32)
    print("%d rounds, %s pages of the slots, %d at last; %d MiB compared; %d reads, %d writes, %d frames; %d pages differ" %
          (rounds, copy.pages, last, compared // MIB, reads, writes, net.frames, len(wrong)), flush=True)
    check(not wrong, "pages differ:", wrong[:20])
    check(min(copy.pages) > 100 and reads > ROUNDS and writes > ROUNDS and net.frames > ROUNDS, "too little has happened")
    c.ask(GET, log)
    check(copy.apply(log) == 0, "pages are written while it is paused")
    c.ask(END)
    c.ask(RESUME)
    before = turns(console, seen)
    while turns(console, seen) < before + 2:
        net.turn()
        time.sleep(0.1)
    c.ask(STOP)
    check(os.waitpid(pid, 0)[1] == 0, "its exit code")


if __name__ == "__main__":
    main()
