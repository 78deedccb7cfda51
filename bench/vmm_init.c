/* SPDX-License-Identifier: MIT */
/*
 * vmm_init.c - the guest's first program in bench/vmm: its first act is a mark
 *
 * A mark is a byte (vmm_guest.h) in a message of the highest level to the kernel's log, whose early
 * console is the serial port and hears of nothing else: no driver is waited for, and the small
 * kernel lets no program touch a port itself. No C library: next to nothing comes before the first
 * mark. The program that started the VMM takes the time of each, so that no clock of a guest is
 * trusted. What follows the first is asked for on the kernel's command line:
 *
 *   bench=tick,N  after a rest, N marks a millisecond apart, then two a second
 *   bench=blk,N   N random operations of 4 KiB each: reads, writes, and both 32 at a time
 *   bench=net     eth0 gets its address, then there is a server of iperf3
 *
 * A failure is MARK_FAILED and a line that says why.
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "vmm_guest.h"

#define LOG        "/kmsg"
#define LOG_DEVICE 0x10b /* major 1, minor 11 */
#define LOG_FD     9
#define BLOCK      4096U
#define DEPTH      32U
#define DISK       "/dev/vda"
#define TRIES      500
#define SETTLE_US  4000000

void bench_main(char **stack);

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall bench_main\n");

static long call(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = 0; /* of mmap alone: the offset */
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static void log_open(void)
{
	(void)call(SYS_mknod, (long)LOG, S_IFCHR | 0600, LOG_DEVICE, 0, 0);
	(void)call(SYS_dup2, call(SYS_open, (long)LOG, O_WRONLY, 0, 0, 0), LOG_FD, 0, 0, 0);
}

static void say(const char *text, long len)
{
	(void)call(SYS_write, LOG_FD, (long)text, len, 0, 0);
}

/* Without its line's end a message may be continued, so that it waits for the next one. */
static void mark(uint8_t value)
{
	const char text[] = { '<', '0', '>', (char)value, '\n' };

	say(text, sizeof(text));
}

static void pause_us(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	(void)call(SYS_nanosleep, (long)&t, 0, 0, 0, 0);
}

static void fail(const char *why)
{
	char text[64] = { '<', '0', '>', (char)MARK_FAILED };
	long n = 4;

	for (; *why && n < (long)sizeof(text) - 1; why++)
		text[n++] = *why;
	text[n++] = '\n';
	say(text, n);
	for (;;)
		pause_us(1000000);
}

/* ---- what was asked for ---- */

static const char *after(const char *text, const char *prefix)
{
	for (; *prefix; text++, prefix++)
		if (*text != *prefix)
			return NULL;
	return text;
}

static uint32_t number(const char *text)
{
	uint32_t n = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (uint32_t)(*text - '0');
	return n;
}

/* argc, argv, NULL, envp, NULL: the kernel has put there what it does not know itself. */
static const char *asked_for(char **stack)
{
	char **env = stack + 1 + (long)stack[0] + 1;

	for (; *env; env++) {
		const char *value = after(*env, "bench=");

		if (value)
			return value;
	}
	return "";
}

/* A kernel works on for a while when it has booted: a template of an idle machine is behind that.
 */
static void tick(uint32_t n)
{
	pause_us(SETTLE_US);
	for (uint32_t i = 0;; i++) {
		mark(MARK_TICK);
		pause_us(i < n ? 1000 : 500000);
	}
}

/* ---- blk ---- */

struct disk {
	long fd;
	uint64_t blocks, random;
	uint8_t *data; /* DEPTH blocks */
	aio_context_t aio;
};

static uint64_t place(struct disk *d)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 7;
	d->random ^= d->random << 17;
	return d->random % d->blocks * BLOCK;
}

static void devices_mount(void)
{
	(void)call(SYS_mkdir, (long)"/dev", 0755, 0, 0, 0);
	if (call(SYS_mount, (long)"devtmpfs", (long)"/dev", (long)"devtmpfs", 0, 0) < 0)
		fail("no devtmpfs");
}

static void disk_open(struct disk *d)
{
	*d = (struct disk){ .fd = -1, .random = 88172645463325252ULL };
	devices_mount();
	for (int i = 0; i < TRIES && d->fd < 0; i++) {
		d->fd = call(SYS_open, (long)DISK, O_RDWR | O_DIRECT, 0, 0, 0);
		if (d->fd < 0)
			pause_us(10000);
	}
	if (d->fd < 0)
		fail("no " DISK);
	d->blocks = (uint64_t)call(SYS_lseek, d->fd, 0, 2, 0, 0) / BLOCK;
	d->data = (uint8_t *)call(SYS_mmap, 0, DEPTH * BLOCK, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	if (!d->blocks || (unsigned long)d->data > -4096UL)
		fail("disk or memory");
	if (call(SYS_io_setup, DEPTH, (long)&d->aio, 0, 0, 0) < 0)
		fail("io_setup");
}

static void one_by_one(struct disk *d, bool is_write, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (call(is_write ? SYS_pwrite64 : SYS_pread64, d->fd, (long)d->data, BLOCK,
			 (long)place(d), 0) != BLOCK)
			fail("read or write");
}

static void submit(struct disk *d, struct iocb *io)
{
	struct iocb *list[1] = { io };

	io->aio_offset = (int64_t)place(d);
	if (call(SYS_io_submit, (long)d->aio, 1, (long)list, 0, 0) != 1)
		fail("io_submit");
}

static void side_by_side(struct disk *d, bool is_write, uint32_t n)
{
	struct io_event done[DEPTH];
	struct iocb ios[DEPTH];
	uint32_t n_begun = 0, n_done = 0;

	for (; n_begun < DEPTH && n_begun < n; n_begun++) {
		ios[n_begun] = (struct iocb){ .aio_lio_opcode =
						      is_write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
					      .aio_fildes = (uint32_t)d->fd,
					      .aio_data = (uintptr_t)&ios[n_begun],
					      .aio_buf = (uintptr_t)(d->data + n_begun * BLOCK),
					      .aio_nbytes = BLOCK };
		submit(d, &ios[n_begun]);
	}
	while (n_done < n) {
		long got = call(SYS_io_getevents, (long)d->aio, 1, DEPTH, (long)done, 0);

		if (got <= 0)
			fail("io_getevents");
		for (long i = 0; i < got; i++, n_done++) {
			if (done[i].res != BLOCK)
				fail("read or write");
			if (n_begun < n) {
				submit(d, (struct iocb *)(uintptr_t)done[i].data);
				n_begun++;
			}
		}
	}
}

static void blk(uint32_t n)
{
	struct disk d;

	disk_open(&d);
	for (unsigned int kind = 0; kind < BLK_KINDS; kind++) {
		bool is_write = kind & 1;
		void (*run)(struct disk *, bool, uint32_t) = kind < 2 ? one_by_one : side_by_side;

		run(&d, is_write, n / 8 + 1);
		mark(MARK_BEGIN);
		run(&d, is_write, n);
		mark(MARK_END);
	}
	for (;;)
		pause_us(1000000);
}

/* ---- net ---- */

static void interface_up(void)
{
	/* AF_INET, then 10.99.0.2 and the network's mask */
	struct ifreq r = { .ifr_name = "eth0", .ifr_addr = { AF_INET, { 0, 0, 10, 99, 0, 2 } } };
	const long fd = call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0);
	long rc = -1;

	for (int i = 0; i < TRIES && rc < 0; i++) {
		rc = call(SYS_ioctl, fd, SIOCSIFADDR, (long)&r, 0, 0);
		if (rc < 0)
			pause_us(10000);
	}
	if (rc < 0)
		fail("no eth0");
	r.ifr_addr = (struct sockaddr){ AF_INET, { 0, 0, -1, -1, -1, 0 } };
	if (call(SYS_ioctl, fd, SIOCSIFNETMASK, (long)&r, 0, 0) < 0)
		fail("netmask");
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (call(SYS_ioctl, fd, SIOCSIFFLAGS, (long)&r, 0, 0) < 0)
		fail("eth0 does not come up");
}

static void net(void)
{
	static const char *const argv[] = { "iperf3", "-s", "-4", "-p", NET_PORT, NULL };
	static const char *const env[] = { "PATH=/bin", NULL };

	devices_mount();
	interface_up();
	if (call(SYS_fork, 0, 0, 0, 0, 0) == 0) {
		for (long fd = 0; fd < 3; fd++)
			(void)call(SYS_dup2, call(SYS_open, (long)"/dev/null", O_RDWR, 0, 0, 0), fd,
				   0, 0, 0);
		(void)call(SYS_execve, (long)"/bin/iperf3", (long)argv, (long)env, 0, 0);
		fail("no iperf3");
	}
	mark(MARK_BEGIN);
	(void)call(SYS_wait4, -1, 0, 0, 0, 0);
	fail("iperf3 ended");
}

void bench_main(char **stack)
{
	const char *what, *n;

	log_open();
	mark(MARK_FIRST);
	what = asked_for(stack);
	n = after(what, "blk,");
	if (n)
		blk(number(n));
	if (after(what, "net"))
		net();
	n = after(what, "tick,");
	tick(n ? number(n) : 0);
}
