/* SPDX-License-Identifier: MIT */
/*
 * vmm_play.c - one caisson-vmm, its whole control socket, and a shell in its guest
 *
 *   vmm_play [-c CPUS] [-m MIB] [-d FILE] [-r DIRECTORY] KERNEL INITRD
 *
 * For what no command of caisson asks a VMM for. The machine is what the driver makes of a spec: a
 * network without a peer, and slots of three disks, empty but for the first where -d names its
 * file; the last is read-only. -r: a clone of what "snapshot DIRECTORY" left. The guest
 * (play_init.sh) reads commands of a shell from the agent's port.
 *
 * Reads lines; answers each on stdout, where a request that is refused is "error NUMBER TEXT":
 *
 *   guest COMMAND            what it prints, and "= CODE"
 *   pause, resume, stop      ok
 *   snapshot DIRECTORY       ok, with "state" and "memory" there
 *   balloon BYTES            ok
 *   statistics               "exits mmio ports reads writes balloon", in numbers
 *   attach DISK FILE [ro]    ok
 *   net                      ok: the network gets a peer, which is us
 *   frames                   waits for one from the guest: its source address; then sends one back
 *   bytes HEX                sent as they are; then whether the VMM goes on or has ended
 *   pid                      the VMM's process
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "buf.h"
#include "fdio.h"
#include "kvm_config.h"
#include "libexec.h"
#include "vm_spec.h"
#include "vmm_ctl.h"
#include "vmm_process.h"

#define TIMEOUT_MS 60000
#define UID        0x60000001U
#define FRAME_MAX  2048U
#define MAC_LEN    6U
#define CMDLINE                                                                                    \
	"quiet loglevel=1 panic=-1 reboot=k mitigations=off random.trust_cpu=on "                  \
	"rcupdate.rcu_expedited=1 cryptomgr.notests net.ifnames=0"

struct play {
	struct vmm_process process;
	struct vm_spec spec;
	int ctl_fd, agent_fd, net_fd, mem_fd; /* our ends; the guest's memory */
	struct buf in;
	const char *restored;
};

static int file_open(const char *dir, const char *name, int flags, struct err *e)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? err_set(e, errno, "%s", path) : fd;
}

static int disk_set(struct play *p, const char *path, struct err *e)
{
	struct vm_disk *d = &p->spec.disks[0];
	struct stat st;

	*d = (struct vm_disk){ .kind = VM_DISK_RAW, .fd = file_open("", path, O_RDWR, e) };
	if (d->fd < 0)
		return d->fd;
	if (fstat(d->fd, &st) < 0)
		return err_set(e, errno, "%s", path);
	d->size = (uint64_t)st.st_size;
	return 0;
}

/* ---- start ---- */

static int memory_make(struct play *p, struct err *e)
{
	p->mem_fd = memfd_create("play-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (p->mem_fd < 0 || ftruncate(p->mem_fd, (off_t)p->spec.mem_bytes) < 0)
		return err_set(e, errno, "memory");
	p->spec.mem = VM_MEM_SHARED;
	p->spec.mem_fd = p->mem_fd;
	return 0;
}

static int boot_set(struct play *p, char **argv, struct err *e)
{
	struct vm_spec *s = &p->spec;

	if (p->restored) {
		s->boot = VM_BOOT_RESTORE;
		s->mem = VM_MEM_PRIVATE;
		s->state_fd = file_open(p->restored, "state", O_RDONLY, e);
		s->mem_fd = file_open(p->restored, "memory", O_RDONLY, e);
		return s->state_fd < 0 || s->mem_fd < 0 ? -e->code : 0;
	}
	s->cmdline = CMDLINE;
	s->kernel_fd = file_open("", argv[0], O_RDONLY, e);
	s->initrd_fd = file_open("", argv[1], O_RDONLY, e);
	return s->kernel_fd < 0 || s->initrd_fd < 0 ? -e->code : memory_make(p, e);
}

static int config_fd_make(const struct kvm_config *k, struct err *e)
{
	auto_buf b = BUF_LIMIT(VMM_CONFIG_SIZE_MAX);
	auto_fd fd = memfd_create("config", MFD_CLOEXEC);

	if (fd < 0 || vmm_config_put(&k->c, &b) < 0 || fd_write_full(fd, b.data, b.len) < 0)
		return err_set(e, errno ? errno : EINVAL, "configuration");
	return TAKE_FD(fd);
}

static int process_start(struct play *p, struct kvm_config *k, struct err *e)
{
	auto_free char *dir = libexec_dir(NULL);
	const char *const argv[] = { "caisson-vmm", "play", NULL };
	char program[512];
	const struct vmm_process_spec spec = { .program = program,
					       .argv = argv,
					       .fds = k->fds,
					       .n_fds = k->n_fds,
					       .uid = p->spec.uid,
					       .gid = p->spec.gid,
					       .shuts_itself_in = true };

	snprintf(program, sizeof(program), "%s/caisson-vmm", dir ? dir : "");
	k->fds[0] = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	k->fds[VMM_CONFIG_FD] = config_fd_make(k, e);
	if (k->fds[0] < 0 || k->fds[VMM_CONFIG_FD] < 0)
		return err_set(e, errno, "/dev/kvm");
	return vmm_process_start(&p->process, &spec, e);
}

static int start(struct play *p, char **argv, struct err *e)
{
	auto_free struct kvm_config *k = malloc(sizeof(*k));
	int ctl[2], agent[2], rc;

	if (!k || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ctl) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0)
		return err_set(e, errno, "start");
	p->ctl_fd = ctl[0];
	p->agent_fd = agent[0];
	p->spec.agent_fd = agent[1];
	rc = boot_set(p, argv, e);
	if (rc == 0)
		rc = vm_spec_check(&p->spec, e);
	if (rc == 0)
		rc = kvm_config_make(&p->spec, ctl[1], k, e);
	if (rc == 0)
		rc = process_start(p, k, e);
	close(ctl[1]);
	close(agent[1]);
	return rc;
}

/* ---- the control socket ---- */

/* 1: a frame is in *ret, and *ret_len bytes are to be consumed; 0: the VMM has ended. */
static int frame_wait(struct play *p, struct vmm_ctl_frame *ret, size_t *ret_len, struct err *e)
{
	struct pollfd poll_fd = { .fd = p->ctl_fd, .events = POLLIN };
	char data[4096];
	ssize_t n;
	int rc;

	while ((rc = vmm_ctl_next(p->in.data, p->in.len, ret, ret_len, e)) == 0) {
		if (poll(&poll_fd, 1, TIMEOUT_MS) <= 0)
			return err_plain(e, ETIMEDOUT, "the VMM does not answer");
		n = recv(p->ctl_fd, data, sizeof(data), 0);
		if (n <= 0)
			return 0;
		if (buf_add(&p->in, data, (size_t)n) < 0)
			return err_set(e, ENOMEM, "answer");
	}
	return rc;
}

static void counts_say(const struct vmm_ctl_frame *f)
{
	struct vmm_ctl_counts c;
	struct err e = { 0 };

	if (vmm_ctl_get_counts(f, &c, &e) < 0)
		printf("error %d %s\n", e.code, e.msg);
	else
		printf("%llu %llu %llu %llu %llu %llu\n", (unsigned long long)c.exits,
		       (unsigned long long)c.mmio_exits, (unsigned long long)c.pio_exits,
		       (unsigned long long)c.disk_reads, (unsigned long long)c.disk_writes,
		       (unsigned long long)c.balloon_bytes);
}

static bool answer_say(const struct vmm_ctl_frame *f)
{
	struct vmm_ctl_error why;
	struct err e = { 0 };

	if (f->type == VMM_CTL_OK)
		puts("ok");
	else if (f->type == VMM_CTL_COUNTS)
		counts_say(f);
	else if (f->type == VMM_CTL_ERROR && vmm_ctl_get_error(f, &why, &e) == 0)
		printf("error %u %s\n", why.code, why.text);
	else
		return false; /* an event */
	return true;
}

static int answer_take(struct play *p, struct err *e)
{
	struct vmm_ctl_frame f;
	bool is_said = false;
	size_t len;
	int rc = 1;

	while (!is_said && (rc = frame_wait(p, &f, &len, e)) > 0) {
		is_said = answer_say(&f);
		buf_consume(&p->in, len);
	}
	if (rc == 0)
		puts("ended");
	return rc < 0 ? rc : 0;
}

static int request(struct play *p, struct buf *out, int fd, struct err *e)
{
	const ssize_t n = fd_send(p->ctl_fd, out->data, out->len, &fd, fd >= 0);

	if (n != (ssize_t)out->len)
		return err_set(e, n < 0 ? (int)-n : EIO, "ask");
	return answer_take(p, e);
}

static int plain(struct play *p, uint16_t type, struct err *e)
{
	auto_buf out = { 0 };

	return vmm_ctl_put(&out, type) < 0 ? err_set(e, ENOMEM, "ask") : request(p, &out, -1, e);
}

static int balloon(struct play *p, const char *text, struct err *e)
{
	auto_buf out = { 0 };

	if (vmm_ctl_put_balloon(&out, strtoull(text, NULL, 10)) < 0)
		return err_set(e, ENOMEM, "ask");
	return request(p, &out, -1, e);
}

static int attach(struct play *p, char *text, struct err *e)
{
	char *save, *disk = strtok_r(text, " ", &save), *path = strtok_r(NULL, " ", &save);
	const bool is_readonly = strtok_r(NULL, " ", &save) != NULL;
	struct vmm_ctl_attach a = { .is_readonly = is_readonly };
	auto_buf out = { 0 };
	auto_fd fd = -1;
	struct stat st;

	if (!disk || !path)
		return err_plain(e, EINVAL, "attach DISK FILE [ro]");
	fd = file_open("", path, is_readonly ? O_RDONLY : O_RDWR, e);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "%s", path);
	a.disk = (uint32_t)strtoul(disk, NULL, 10);
	a.size = (uint64_t)st.st_size;
	if (vmm_ctl_put_attach(&out, &a) < 0)
		return err_set(e, ENOMEM, "ask");
	return request(p, &out, fd, e);
}

/* The memory is whole once the machine is paused: the VMM only has to say what it is beside it. */
static int snapshot(struct play *p, const char *dir, struct err *e)
{
	auto_buf out = { 0 };
	auto_fd state = file_open(dir, "state", O_RDWR | O_CREAT | O_TRUNC, e);
	auto_fd mem = file_open(dir, "memory", O_RDWR | O_CREAT | O_TRUNC, e);
	off_t at = 0;

	if (state < 0 || mem < 0)
		return -e->code;
	if (vmm_ctl_put(&out, VMM_CTL_SNAPSHOT) < 0)
		return err_set(e, ENOMEM, "ask");
	if (ftruncate(mem, (off_t)p->spec.mem_bytes) < 0)
		return err_set(e, errno, "memory");
	/* no holes: /tmp is memory itself */
	while ((at = lseek(p->mem_fd, at, SEEK_DATA)) >= 0) {
		const off_t end = lseek(p->mem_fd, at, SEEK_HOLE);

		if (lseek(mem, at, SEEK_SET) < 0)
			return err_set(e, errno, "copy of the memory");
		while (at < end)
			if (sendfile(mem, p->mem_fd, &at, (size_t)(end - at)) <= 0)
				return err_set(e, errno, "copy of the memory");
	}
	return request(p, &out, state, e);
}

static int bytes_send(struct play *p, const char *hex, struct err *e)
{
	uint8_t data[256];
	size_t n = 0;
	unsigned int one;

	for (; n < sizeof(data) && sscanf(hex, "%2x", &one) == 1; hex += 2)
		data[n++] = (uint8_t)one;
	if (send(p->ctl_fd, data, n, MSG_NOSIGNAL) != (ssize_t)n)
		return err_set(e, errno, "send");
	return answer_take(p, e);
}

/* ---- the network ---- */

static int net_attach(struct play *p, struct err *e)
{
	auto_buf out = { 0 };
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    vmm_ctl_put(&out, VMM_CTL_NET_ATTACH) < 0)
		return err_set(e, errno, "network");
	fd_drop(&p->net_fd);
	p->net_fd = pair[0];
	rc = request(p, &out, pair[1], e);
	close(pair[1]);
	return rc;
}

/* Back goes the same, with source and destination exchanged. */
static int frames(struct play *p, struct err *e)
{
	struct pollfd poll_fd = { .fd = p->net_fd, .events = POLLIN };
	uint8_t data[4 + FRAME_MAX], from[MAC_LEN];
	uint32_t len;

	if (poll(&poll_fd, 1, TIMEOUT_MS) <= 0 || recv(p->net_fd, data, 4, MSG_WAITALL) != 4)
		return err_plain(e, ETIMEDOUT, "no frame of the guest");
	len = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
	if (len < 14 || len > FRAME_MAX ||
	    recv(p->net_fd, data + 4, len, MSG_WAITALL) != (ssize_t)len)
		return err_plain(e, EBADMSG, "a frame of %u bytes", len);
	memcpy(from, data + 4 + MAC_LEN, MAC_LEN);
	memcpy(data + 4 + MAC_LEN, "\x02\0\0\0\0\x01", MAC_LEN);
	memcpy(data + 4, from, MAC_LEN);
	if (send(p->net_fd, data, 4 + len, MSG_NOSIGNAL) != (ssize_t)(4 + len))
		return err_set(e, errno, "answer a frame");
	for (uint32_t i = 0; i < MAC_LEN; i++)
		printf("%02x%c", from[i], i + 1 < MAC_LEN ? ':' : '\n');
	return 0;
}

/* ---- the guest ---- */

static int line_read(struct play *p, char *line, size_t size, struct err *e)
{
	struct pollfd poll_fd = { .fd = p->agent_fd, .events = POLLIN };
	size_t n = 0;

	while (n < size - 1) {
		if (poll(&poll_fd, 1, TIMEOUT_MS) <= 0)
			return err_plain(e, ETIMEDOUT, "the guest does not answer");
		if (recv(p->agent_fd, line + n, 1, 0) != 1)
			return err_plain(e, EIO, "the machine has ended");
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	return 0;
}

static int guest(struct play *p, const char *command, struct err *e)
{
	char text[4096], line[1024];
	const int n = snprintf(text, sizeof(text), "{ %s\n} 2>&1; echo \"= $?\"\n", command);

	if (n >= (int)sizeof(text) || send(p->agent_fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		return err_plain(e, EIO, "the machine has ended");
	do {
		if (line_read(p, line, sizeof(line), e) < 0)
			return -e->code;
		fputs(line, stdout);
	} while (strncmp(line, "= ", 2) != 0);
	return 0;
}

/* ---- all ---- */

static int line_do(struct play *p, char *line, struct err *e)
{
	static const struct {
		const char *name;
		uint16_t type;
	} requests[] = { { "pause", VMM_CTL_PAUSE },
			 { "resume", VMM_CTL_RESUME },
			 { "stop", VMM_CTL_STOP },
			 { "statistics", VMM_CTL_STATISTICS } };
	char *rest = strchr(line, ' ');

	if (rest)
		*rest++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		if (strcmp(line, requests[i].name) == 0)
			return plain(p, requests[i].type, e);
	if (strcmp(line, "net") == 0)
		return net_attach(p, e);
	if (strcmp(line, "frames") == 0)
		return frames(p, e);
	if (strcmp(line, "pid") == 0)
		return printf("%d\n", (int)p->process.pid) < 0;
	if (!rest)
		return err_plain(e, EINVAL, "what is \"%s\"?", line);
	if (strcmp(line, "guest") == 0)
		return guest(p, rest, e);
	if (strcmp(line, "snapshot") == 0)
		return snapshot(p, rest, e);
	if (strcmp(line, "balloon") == 0)
		return balloon(p, rest, e);
	if (strcmp(line, "attach") == 0)
		return attach(p, rest, e);
	if (strcmp(line, "bytes") == 0)
		return bytes_send(p, rest, e);
	return err_plain(e, EINVAL, "what is \"%s\"?", line);
}

static int play(struct play *p, char **argv, struct err *e)
{
	char line[4096];
	int rc = start(p, argv, e);

	while (rc == 0 && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		rc = line_do(p, line, e);
		fflush(stdout);
	}
	return rc;
}

int main(int argc, char **argv)
{
	static struct play p = {
		.process = VMM_PROCESS_NONE,
		.spec = { .id = "play", .cpus = 1, .mem_bytes = 128ULL << 20, .n_disks = 3 },
		.ctl_fd = -1,
		.agent_fd = -1,
		.net_fd = -1,
		.mem_fd = -1,
	};
	struct err e = { 0 };
	char why[300] = "";
	int c, rc = 0;

	p.spec.kernel_fd = p.spec.initrd_fd = p.spec.state_fd = p.spec.console_fd = -1;
	p.spec.net_fd = -1;
	p.spec.has_net = true;
	p.spec.uid = p.spec.gid = UID;
	for (uint32_t i = 0; i < p.spec.n_disks; i++)
		p.spec.disks[i] = (struct vm_disk){
			.kind = VM_DISK_EMPTY, .is_readonly = i == 2, .fd = -1, .size = 512
		};
	while (rc == 0 && (c = getopt(argc, argv, "c:m:d:r:")) >= 0) {
		if (c == 'c')
			p.spec.cpus = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'm')
			p.spec.mem_bytes = strtoull(optarg, NULL, 10) << 20;
		else if (c == 'd')
			rc = disk_set(&p, optarg, &e);
		else if (c == 'r')
			p.restored = optarg;
		else
			return 2;
	}
	if (argc - optind != 2)
		return 2;
	if (rc == 0)
		rc = play(&p, argv + optind, &e);
	if (rc < 0) {
		if (p.process.pid)
			vmm_process_end_reason(&p.process, why, sizeof(why));
		fprintf(stderr, "vmm_play: %s (%s)\n", e.msg, why);
	}
	vmm_process_done(&p.process);
	return rc < 0;
}
