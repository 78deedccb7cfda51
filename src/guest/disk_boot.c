/* SPDX-License-Identifier: MIT */
/*
 * disk_boot.c - process 1 of a bootable disk
 *
 * There is no host of ours: the order of the main process is a file of the initrd, the root is on
 * the disk whose MBR has the signature that the kernel's command line names (partition 2: image,
 * 3: writable layer), the network is what DHCP says. Then it waits: for the end of the main
 * process, for the power button, or for a signal of whom the kernel calls in its place; and ends
 * the machine with its file systems unmounted.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#include "bytes.h"
#include "fdio.h"
#include "guest_dhcp.h"
#include "guest_internal.h"
#include "log.h"

#define BLOCK_DIR     "/sys/class/block"
#define SIGNATURE_OFF 0x1b8
#define DISK_WAIT_MS  30000
#define STEP_MS       50
#define NET_WAIT_MS   5000
#define STOP_MS       10000
#define INPUTS_MAX    16
#define CMDLINE_DISK  "caisson.disk="
#define CMDLINE_STOP  "caisson.stop="
#define HOSTNAME      "caisson"
#define RENEW_LEAST_S 30

struct disk_machine {
	struct stage stage;
	struct dhcp_lease lease;
	uint8_t mac[6];
	bool has_lease;
	int stop_signal;
	char machine_id[33];
};

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

static unsigned long cmdline_number(const char *key, int base)
{
	auto_buf b = { 0 };
	struct err ignored;
	const char *p;

	if (file_read_at(AT_FDCWD, "/proc/cmdline", 65536, &b, &ignored) < 0 || !b.data)
		return 0;
	p = strstr(b.data, key);
	return p ? strtoul(p + strlen(key), NULL, base) : 0;
}

/* ---- the root ---- */

static bool is_partition(const char *name, const char *number)
{
	auto_buf b = { 0 };
	struct err ignored;
	char path[320];

	snprintf(path, sizeof(path), BLOCK_DIR "/%s/partition", name);
	return file_read_at(AT_FDCWD, path, 64, &b, &ignored) == 0 && b.data &&
	       b.data[0] == number[0] && b.data[1] == '\n';
}

static bool has_signature(const char *disk, uint32_t want)
{
	char path[320];
	uint8_t sector[512];
	auto_fd fd = -1;

	snprintf(path, sizeof(path), "/dev/%s", disk);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && fd_pread_full(fd, sector, sizeof(sector), 0) == 0 &&
	       get_le32(sector + SIGNATURE_OFF) == want;
}

/* "sda2" or "nvme0n1p2" of the disk with our signature. */
static bool image_find(uint32_t signature, char ret[64])
{
	auto_dir d = opendir(BLOCK_DIR);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		size_t n = strlen(de->d_name);
		char disk[64];

		if (n < 3 || n >= sizeof(disk) || !is_partition(de->d_name, "2"))
			continue;
		snprintf(disk, sizeof(disk), "%.*s", (int)n - 1, de->d_name);
		if (n > 3 && disk[n - 2] == 'p' && disk[n - 3] >= '0' && disk[n - 3] <= '9')
			disk[n - 2] = '\0';
		if (has_signature(disk, signature)) {
			snprintf(ret, 64, "%s", de->d_name);
			return true;
		}
	}
	return false;
}

static int root_mount(struct err *e)
{
	uint32_t signature = (uint32_t)cmdline_number(CMDLINE_DISK, 16);
	char name[64], image[80], writable[80];
	int waited = 0;

	while (!image_find(signature, name)) {
		if ((waited += STEP_MS) > DISK_WAIT_MS)
			return err_plain(e, ENODEV, "no disk with signature %08x", signature);
		pause_ms(STEP_MS);
	}
	snprintf(image, sizeof(image), "/dev/%s", name);
	name[strlen(name) - 1] = '3';
	snprintf(writable, sizeof(writable), "/dev/%s", name);
	return disks_mount_devices(image, writable, e);
}

/* ---- who it is ---- */

static int machine_id_get(struct disk_machine *m, struct err *e)
{
	auto_buf b = { 0 };
	struct err ignored;
	uint8_t raw[16];
	auto_fd fd = -1;

	if (file_read_at(AT_FDCWD, WRITABLE_DIR "/machine-id", 64, &b, &ignored) == 0 &&
	    b.len == 32) {
		memcpy(m->machine_id, b.data, 32);
		return 0;
	}
	fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_full(fd, raw, sizeof(raw)) < 0)
		return err_plain(e, EIO, "random machine id");
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(m->machine_id + 2 * i, 3, "%02x", raw[i]);
	return file_write_atomic_at(AT_FDCWD, WRITABLE_DIR "/machine-id", 0444, m->machine_id, 32,
				    e);
}

static bool mac_get(uint8_t mac[6])
{
	auto_buf b = { 0 };
	struct err ignored;
	unsigned v[6];

	if (file_read_at(AT_FDCWD, "/sys/class/net/eth0/address", 64, &b, &ignored) < 0 ||
	    !b.data ||
	    sscanf(b.data, "%2x:%2x:%2x:%2x:%2x:%2x", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]) !=
		    6)
		return false;
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)v[i];
	return true;
}

static void identity_of(const struct disk_machine *m, const char *boot_id,
			struct agent_identity *ret)
{
	*ret = (struct agent_identity){ .hostname = HOSTNAME,
					.machine_id = m->machine_id,
					.boot_id = boot_id,
					.ip = m->lease.ip,
					.gateway = m->lease.gateway,
					.prefix_len = m->lease.prefix_len,
					.mtu = m->lease.mtu };
	memcpy(ret->mac, m->mac, sizeof(ret->mac));
}

/* Without a network the app still runs, as it would on a machine whose cable is out. */
static void network_up(struct disk_machine *m)
{
	struct agent_identity id;
	struct err e = { 0 };

	for (int waited = 0; !mac_get(m->mac); waited += STEP_MS) {
		if (waited > NET_WAIT_MS) {
			log_error("no network device");
			return;
		}
		pause_ms(STEP_MS);
	}
	identity_of(m, "", &id);
	if (netlink_configure(&id, &e) < 0 || dhcp_obtain(m->mac, &m->lease, &e) < 0) {
		log_error("%s", e.msg);
		return;
	}
	m->has_lease = true;
	log_info("address %u.%u.%u.%u/%u", m->lease.ip >> 24, m->lease.ip >> 16 & 255,
		 m->lease.ip >> 8 & 255, m->lease.ip & 255, m->lease.prefix_len);
}

static int identity_up(struct disk_machine *m, struct err *e)
{
	auto_buf boot_id = { 0 };
	struct agent_identity id;

	if (machine_id_get(m, e) < 0 ||
	    file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot_id, e) < 0)
		return -e->code;
	boot_id.data[strcspn(boot_id.data, "\n")] = '\0';
	network_up(m);
	identity_of(m, boot_id.data, &id);
	return identity_apply(&id, e);
}

/* ---- the main process ---- */

static int files_make(const struct disk_machine *m, struct buf *hosts, struct buf *resolv)
{
	int rc = buf_add_str(hosts,
			     "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t" HOSTNAME "\n");

	for (uint32_t i = 0; rc == 0 && i < m->lease.n_dns; i++)
		rc = buf_addf(resolv, "nameserver %u.%u.%u.%u\n", m->lease.dns[i] >> 24,
			      m->lease.dns[i] >> 16 & 255, m->lease.dns[i] >> 8 & 255,
			      m->lease.dns[i] & 255);
	return rc;
}

/* The order of the initrd, with the files that only this boot knows. */
static int order_make(const struct disk_machine *m, int order_fd, struct buf *out, struct err *e)
{
	auto_buf raw = BUF_LIMIT(AGENT_PAYLOAD_MAX);
	auto_buf hosts = { 0 };
	auto_buf resolv = { 0 };
	struct agent_run r;
	int rc;

	if (fd_read_all(order_fd, &raw) < 0 || files_make(m, &hosts, &resolv) < 0)
		return err_plain(e, EIO, "read the order");
	if (agent_get_run((struct agent_bytes){ raw.data, (uint32_t)raw.len }, &r, e) < 0)
		return err_wrap(e, "the order");
	free(r.mounts); /* a disk's order has none */
	r.mounts = (struct agent_mount[]){
		{ .kind = AGENT_MOUNT_FILE,
		  .source = "",
		  .target = "/etc/hosts",
		  .options = "",
		  .content = { hosts.data, (uint32_t)hosts.len } },
		{ .kind = AGENT_MOUNT_FILE,
		  .source = "",
		  .target = "/etc/resolv.conf",
		  .options = "",
		  .content = { resolv.data ? resolv.data : "", (uint32_t)resolv.len } },
		{ .kind = AGENT_MOUNT_FILE,
		  .source = "",
		  .target = "/etc/hostname",
		  .options = "",
		  .content = { HOSTNAME "\n", sizeof(HOSTNAME) } },
	};
	r.n_mounts = 3;
	rc = agent_put_run(out, AGENT_STREAM_MAIN, &r);
	r.mounts = NULL;
	agent_run_done(&r);
	return rc < 0 ? err_set(e, -rc, "the order") : 0;
}

static int main_start(struct disk_machine *m, int order_fd, struct err *e)
{
	auto_fd in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	auto_fd out = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	auto_buf frame = BUF_LIMIT(2 * AGENT_PAYLOAD_MAX);
	struct process_io io = { in, out, out, false };
	char text[400] = "";

	if (in < 0 || out < 0)
		return err_set(e, errno, "console");
	if (order_make(m, order_fd, &frame, e) < 0 || stage_start(&m->stage, e) < 0)
		return -e->code;
	if (stage_order(&m->stage,
			(struct agent_bytes){ frame.data + AGENT_HEAD_LEN,
					      (uint32_t)(frame.len - AGENT_HEAD_LEN) },
			&io, text, sizeof(text)) != 0)
		return err_plain(e, EIO, "%s", text);
	return 0;
}

/* ---- the wait, and the end ---- */

static size_t inputs_open(struct pollfd *p)
{
	size_t n = 0;

	for (int i = 0; i < INPUTS_MAX; i++) {
		char path[40];
		int fd;

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	return n;
}

static bool is_power_button(int fd)
{
	struct input_event ev;

	while (read(fd, &ev, sizeof(ev)) == (ssize_t)sizeof(ev))
		if (ev.type == EV_KEY && ev.code == KEY_POWER && ev.value == 1)
			return true;
	return false;
}

/* Reap; true when the main process was among them. */
static bool main_ended(struct disk_machine *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != m->stage.pid)
			continue;
		log_info("the main process ended with %d",
			 WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
		m->stage.pid = 0;
		return true;
	}
	return false;
}

/* Without an answer, or when eth0 cannot take it, the machine keeps the lease that it has, to be
 * asked for again soon. */
static void lease_renew(struct disk_machine *m, time_t *io_next)
{
	const struct dhcp_lease had = m->lease;
	struct dhcp_lease lease = had;
	struct agent_identity old, id;
	time_t wait = RENEW_LEAST_S;
	struct err e = { 0 };
	int rc = dhcp_obtain(m->mac, &lease, &e);

	if (rc == 0) {
		identity_of(m, "", &old);
		m->lease = lease;
		identity_of(m, "", &id);
		rc = netlink_readdress(&old, &id, &e);
	}
	if (rc < 0) {
		m->lease = had;
		log_error("%s", e.msg);
	} else {
		wait = MAX_OF((time_t)(lease.seconds / 2), wait);
	}
	*io_next = time(NULL) + wait;
}

/* RB_POWER_OFF or RB_AUTOBOOT. */
static int end_wait(struct disk_machine *m, int signals)
{
	struct pollfd p[INPUTS_MAX + 1] = { { .fd = signals, .events = POLLIN } };
	size_t n = 1 + inputs_open(p + 1);
	time_t next = time(NULL) + (time_t)(m->lease.seconds / 2);
	struct signalfd_siginfo s;

	for (;;) {
		(void)!poll(p, (nfds_t)n, 10000); /* an error is tried again */
		for (size_t i = 1; i < n; i++)
			if (is_power_button(p[i].fd))
				return RB_POWER_OFF;
		while (read(signals, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
			if (s.ssi_signo == SIGINT)
				return RB_AUTOBOOT;
			if (s.ssi_signo == SIGTERM || main_ended(m))
				return RB_POWER_OFF;
		}
		if (m->has_lease && m->lease.seconds != UINT32_MAX && time(NULL) >= next)
			lease_renew(m, &next);
	}
}

static void main_stop(struct disk_machine *m)
{
	int waited = 0;

	if (m->stage.pid > 0)
		kill(m->stage.pid, m->stop_signal);
	while (m->stage.pid > 0 && waited < STOP_MS && !main_ended(m)) {
		pause_ms(STEP_MS);
		waited += STEP_MS;
	}
}

static _Noreturn void machine_end(struct disk_machine *m, int how)
{
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	stage_done(&m->stage);
	disks_unmount_root();
	if (how != RB_AUTOBOOT)
		boot_power_off();
	sync();
	reboot(RB_AUTOBOOT);
	_exit(0);
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	(void)reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Del becomes a SIGINT */
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void disk_boot(int order_fd)
{
	struct disk_machine m = {
		.stage = { .sock = -1, .pid_ns = -1, .mnt_ns = -1, .ipc_ns = -1, .devpts = -1 }
	};
	unsigned long stop = cmdline_number(CMDLINE_STOP, 10);
	int signals = signals_open(), how;
	struct err e = { 0 };

	m.stop_signal = stop > 0 && stop < 65 ? (int)stop : SIGTERM;
	if (signals < 0 || root_mount(&e) < 0 || identity_up(&m, &e) < 0 ||
	    main_start(&m, order_fd, &e) < 0) {
		log_error("%s", signals < 0 ? strerror(errno) : e.msg);
		pause_ms(STOP_MS); /* so that it can be read on the screen */
		machine_end(&m, RB_POWER_OFF);
	}
	close(order_fd);
	how = end_wait(&m, signals);
	main_stop(&m);
	machine_end(&m, how);
}
