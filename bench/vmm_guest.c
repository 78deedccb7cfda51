/* SPDX-License-Identifier: MIT */
/*
 * vmm_guest.c - machines of bench/vmm: started by the drivers themselves, heard at their serial
 * port
 *
 * Both drivers get the same spec, that of the engine, without passt's network: in the driver of
 * QEMU that waits for QEMU's monitor, and the time of exec would be lost.
 */
#include "vmm_guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "fdio.h"
#include "kvm.h"
#include "qemu.h"
#include "qemu_argv.h"
#include "vmm_process.h"

/* The engine's (src/engine/shape.h), and a serial port that has messages of level 0 alone. */
#define CMDLINE                                                                                    \
	"quiet loglevel=1 panic=-1 reboot=k mitigations=off random.trust_cpu=on "                  \
	"rcupdate.rcu_expedited=1 cryptomgr.notests net.ifnames=0 8250.nr_uarts=0 "                \
	"earlyprintk=ttyS0,keep printk.time=0 printk.devkmsg=on"
#define N_DISKS     4U
#define VMM_UID     0x60000001U
#define TIMEOUT_MS  120000U
#define TICKS_FIRST 3
#define TRIES       5
#define IDLE_GAP_NS 300000000U

uint64_t guest_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- QEMU with io_uring ---- */

struct uring {
	struct vmm_process process;
	int qmp_fd;
};

static void uring_free(void *priv)
{
	struct uring *u = priv;

	if (!u)
		return;
	vmm_process_done(&u->process);
	fd_drop(&u->qmp_fd);
	free(u);
}

static int uring_argv(struct qemu_argv *a)
{
	static const char threads[] = "file.aio=threads";
	int n = 0;

	for (unsigned int i = 0; i < a->n; i++) {
		const char *at = strstr(a->v[i], threads);
		char *text = NULL;

		if (!at)
			continue;
		if (asprintf(&text, "%.*sfile.aio=io_uring%s", (int)(at - a->v[i]), a->v[i],
			     at + strlen(threads)) < 0)
			return -ENOMEM;
		free((char *)a->v[i]);
		a->v[i] = text;
		n++;
	}
	return n ? 0 : -ENOENT;
}

/* QEMU opens /dev/kvm itself, by its group where that may. */
static gid_t kvm_group(void)
{
	struct stat st;

	return stat("/dev/kvm", &st) == 0 && (st.st_mode & 0060) == 0060 ? st.st_gid : 0;
}

static int uring_process(struct uring *u, const struct vm_spec *s, const struct vm_driver_info *i,
			 int qmp_fd, struct err *e)
{
	struct qemu_argv argv;
	int rc = qemu_argv_build(s, i, &(struct qemu_extra){ qmp_fd, -1, -1, -1 }, &argv, e);
	const struct vmm_process_spec spec = { .program = qemu_driver.program,
					       .argv = argv.v,
					       .fds = argv.fds,
					       .n_fds = argv.n_fds,
					       .uid = s->uid,
					       .gid = s->gid,
					       .extra_gid = kvm_group() };

	if (rc == 0 && uring_argv(&argv) < 0)
		rc = err_plain(e, ENOENT, "QEMU's command line names no aio=threads");
	if (rc == 0)
		rc = vmm_process_start(&u->process, &spec, e);
	qemu_argv_done(&argv);
	return rc;
}

static int uring_launch(const struct vm_spec *s, const struct vm_driver_info *i, void **ret,
			struct err *e)
{
	struct uring *u = calloc(1, sizeof(*u));
	int pair[2], rc;

	if (!u || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		free(u);
		return err_set(e, errno, "start QEMU");
	}
	*u = (struct uring){ .process = VMM_PROCESS_NONE, .qmp_fd = pair[0] };
	rc = uring_process(u, s, i, pair[1], e);
	close(pair[1]);
	if (rc < 0)
		uring_free(u);
	else
		*ret = u;
	return rc;
}

static int uring_pidfd(void *priv)
{
	return ((struct uring *)priv)->process.pidfd;
}

static pid_t uring_pid(void *priv)
{
	return ((struct uring *)priv)->process.pid;
}

static enum vm_end uring_end_reason(void *priv, char *buf, size_t len)
{
	return vmm_process_end_reason(&((struct uring *)priv)->process, buf, len);
}

static const struct vm_driver_ops uring_driver = {
	.name = "qemu-uring",
	.launch = uring_launch,
	.pidfd = uring_pidfd,
	.pid = uring_pid,
	.end_reason = uring_end_reason,
	.free = uring_free,
};

/* ---- start and end ---- */

int guest_peer_find(const char *name, struct guest_peer *ret, struct err *e)
{
	const struct vm_driver_ops *asked = strcmp(name, "kvm") == 0 ? &kvm_driver : &qemu_driver;

	*ret = (struct guest_peer){ .name = name, .ops = asked };
	if (strcmp(name, "qemu-uring") == 0)
		ret->ops = &uring_driver;
	else if (strcmp(name, asked->name) != 0)
		return err_plain(e, EINVAL, "no peer is called %s", name);
	if (asked->probe(&ret->info, e) < 0)
		return -e->code;
	if (strcmp(ret->info.accel, "kvm") != 0)
		return err_plain(e, ENOTSUP, "%s", ret->info.accel_reason);
	return 0;
}

static void spec_fill(const struct guest_setup *s, const struct guest_template *t,
		      const char *cmdline, const struct guest *g, struct vm_spec *ret)
{
	*ret = (struct vm_spec){
		.id = "bench",
		.cpus = 1,
		.mem_bytes = s->mem_bytes,
		.boot = t ? VM_BOOT_RESTORE : VM_BOOT_COLD,
		.kernel_fd = t ? -1 : s->kernel_fd,
		.initrd_fd = t ? -1 : s->initrd_fd,
		.cmdline = t ? "" : cmdline,
		.state_fd = t ? t->state_fd : -1,
		.mem = t                   ? VM_MEM_PRIVATE
		       : s->has_own_memory ? VM_MEM_ANON
					   : VM_MEM_SHARED,
		.mem_fd = t ? t->mem_fd : g->mem_fd,
		.n_disks = N_DISKS,
		.has_net = s->tap_fd >= 0,
		.net_is_tap = s->tap_fd >= 0,
		.net_fd = s->tap_fd,
		.uid = VMM_UID,
		.gid = VMM_UID,
	};
	ret->disks[0] =
		(struct vm_disk){ .kind = VM_DISK_RAW, .fd = s->disk_fd, .size = s->disk_bytes };
	for (uint32_t i = 1; i < N_DISKS; i++)
		ret->disks[i] = (struct vm_disk){ .kind = VM_DISK_EMPTY, .fd = -1, .size = 512 };
}

static int memory_make(uint64_t size, int *ret_fd)
{
	*ret_fd = memfd_create(GUEST_MEMORY, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return *ret_fd < 0 || ftruncate(*ret_fd, (off_t)size) < 0 ? -errno : 0;
}

int guest_start(const struct guest_peer *p, const struct guest_setup *s, const char *what,
		const struct guest_template *t, struct guest *ret, struct err *e)
{
	int serial[2] = { -1, -1 }, agent[2] = { -1, -1 }, rc;
	struct vm_spec spec;
	char cmdline[512];

	*ret = (struct guest){ .peer = p, .serial_fd = -1, .agent_fd = -1, .mem_fd = -1 };
	if ((!t && !s->has_own_memory && memory_make(s->mem_bytes, &ret->mem_fd) < 0) ||
	    pipe2(serial, O_CLOEXEC) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0) {
		fd_drop(&serial[0]);
		fd_drop(&serial[1]);
		return err_set(e, errno, "machine");
	}
	ret->serial_fd = serial[0];
	ret->agent_fd = agent[0];
	snprintf(cmdline, sizeof(cmdline), CMDLINE " bench=%s", what);
	spec_fill(s, t, cmdline, ret, &spec);
	spec.agent_fd = agent[1];
	spec.console_fd = serial[1];
	rc = vm_spec_check(&spec, e);
	ret->launch_ns = guest_clock_ns();
	if (rc == 0)
		rc = p->ops->launch(&spec, &p->info, &ret->priv, e);
	ret->exec_ns = guest_clock_ns(); /* launch waits for exec to succeed */
	close(serial[1]);
	close(agent[1]);
	return rc;
}

void guest_end(struct guest *g)
{
	if (g->peer)
		g->peer->ops->free(g->priv);
	g->priv = NULL;
	fd_drop(&g->serial_fd);
	fd_drop(&g->agent_fd);
	fd_drop(&g->mem_fd);
}

/* ---- marks ---- */

static int ended(struct guest *g, struct err *e)
{
	struct pollfd p = { .fd = g->peer->ops->pidfd(g->priv), .events = POLLIN };
	char why[300] = "its serial port was closed";

	if (poll(&p, 1, 1000) > 0)
		(void)g->peer->ops->end_reason(g->priv, why, sizeof(why));
	return err_plain(e, EIO, "it ended: %s", why);
}

static int guest_failed(struct guest *g, struct err *e)
{
	char text[200];
	size_t n = 0;

	while (n < sizeof(text) - 1 && read(g->serial_fd, text + n, 1) == 1 && text[n] >= ' ')
		n++;
	text[n] = '\0';
	return err_plain(e, EIO, "in the guest: %s", text);
}

/* 1: a byte; 0: none until then. */
static int byte_wait(struct guest *g, uint64_t until_ns, uint8_t *ret, struct err *e)
{
	struct pollfd p = { .fd = g->serial_fd, .events = POLLIN };
	uint64_t now = guest_clock_ns();
	int n;

	n = poll(&p, 1, now >= until_ns ? 0 : (int)((until_ns - now) / 1000000U + 1));
	if (n < 0)
		return err_set(e, errno, "poll");
	if (n == 0)
		return 0;
	if (read(g->serial_fd, ret, 1) != 1)
		return ended(g, e);
	return *ret == MARK_FAILED ? guest_failed(g, e) : 1;
}

int guest_wait(struct guest *g, uint8_t mark, uint32_t timeout_ms, uint64_t *ret_ns, struct err *e)
{
	uint64_t until = guest_clock_ns() + timeout_ms * 1000000ULL;
	uint8_t got = 0;
	int rc;

	while ((rc = byte_wait(g, until, &got, e)) > 0)
		if (got == mark) {
			*ret_ns = guest_clock_ns();
			return 0;
		}
	return rc < 0 ? rc
		      : err_plain(e, ETIMEDOUT, "nothing from the guest in %u s",
				  timeout_ms / 1000);
}

int guest_wait_idle(struct guest *g, struct err *e)
{
	uint64_t last, now;

	if (guest_wait(g, MARK_TICK, TIMEOUT_MS, &last, e) < 0)
		return -e->code;
	for (int i = 0; i < 100000; i++) {
		if (guest_wait(g, MARK_TICK, TIMEOUT_MS, &now, e) < 0)
			return -e->code;
		if (now - last > IDLE_GAP_NS)
			return 0;
		last = now;
	}
	return err_plain(e, ETIMEDOUT, "the guest is never idle");
}

/* ---- templates ---- */

/* Ticks that are in the pipe. */
static uint32_t ticks_drain(struct guest *g)
{
	uint8_t data[4096];
	ssize_t n = 0;

	if (fd_set_nonblock(g->serial_fd, true) == 0)
		n = read(g->serial_fd, data, sizeof(data));
	return n > 0 ? (uint32_t)n : 0;
}

/* 1: paused while ticks were fast; 0: too late. */
static int template_try(const struct guest_peer *p, const struct guest_setup *s, uint32_t n_fast,
			struct guest *g, struct guest_template *t, struct err *e)
{
	char what[32];
	uint64_t at;

	snprintf(what, sizeof(what), "tick,%u", n_fast);
	if (guest_start(p, s, what, NULL, g, e) < 0)
		return -e->code;
	for (int i = 0; i < TICKS_FIRST; i++)
		if (guest_wait(g, MARK_TICK, TIMEOUT_MS, &at, e) < 0)
			return -e->code;
	if (p->ops->pause(g->priv, TIMEOUT_MS, e) < 0)
		return -e->code;
	if (TICKS_FIRST + ticks_drain(g) + 1 >= n_fast)
		return 0;
	t->state_fd = memfd_create("bench-state", MFD_CLOEXEC);
	if (t->state_fd < 0)
		return err_set(e, errno, "state");
	return p->ops->save_state(g->priv, t->state_fd, TIMEOUT_MS, e) < 0 ? -e->code : 1;
}

int guest_template_make(const struct guest_peer *p, const struct guest_setup *s, uint32_t n_fast,
			struct guest_template *ret, struct err *e)
{
	struct guest_template t = { -1, -1 };
	struct guest g;
	int rc = 0;

	for (int i = 0; rc == 0 && i < TRIES; i++) {
		rc = template_try(p, s, n_fast, &g, &t, e);
		if (rc > 0)
			t.mem_fd = TAKE_FD(g.mem_fd);
		guest_end(&g); /* a shared map would forbid the seal */
	}
	if (rc == 0)
		(void)err_plain(e, ETIMEDOUT, "paused too late, %d times", TRIES);
	if (rc > 0 && fcntl(t.mem_fd, F_ADD_SEALS,
			    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		rc = err_set(e, errno, "seal the template's memory");
	if (rc <= 0) {
		guest_template_done(&t);
		return -e->code;
	}
	*ret = t;
	return 0;
}

void guest_template_done(struct guest_template *t)
{
	fd_drop(&t->mem_fd);
	fd_drop(&t->state_fd);
}

/* ---- memory ---- */

static bool kib_of(const char *line, const char *name, uint64_t *io_sum)
{
	size_t n = strlen(name);

	if (strncmp(line, name, n) != 0 || line[n] != ':')
		return false;
	*io_sum += strtoull(line + n + 1, NULL, 10);
	return true;
}

static FILE *proc_open(const struct guest *g, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)g->peer->ops->pid(g->priv), name);
	return fopen(path, "re");
}

int guest_memory_read(const struct guest *g, struct guest_memory_use *ret, struct err *e)
{
	auto_file maps = proc_open(g, "smaps");
	auto_file status = proc_open(g, "status");
	struct guest_memory_use use = { 0 };
	/* A clone's own pages alone: those of the template are dirty, too, and only one may map
	 * them. */
	const char *const of_guest = g->mem_fd < 0 ? "Anonymous" : "Private_Dirty";
	bool is_guest = false;
	char line[8192];

	if (!maps || !status)
		return err_set(e, errno, "memory of the VMM");
	while (fgets(line, sizeof(line), maps)) {
		const bool is_used = is_guest ? kib_of(line, of_guest, &use.guest)
					      : kib_of(line, "Private_Dirty", &use.own);

		if (!is_used && line[strcspn(line, ": -")] == '-')
			is_guest = strstr(line, GUEST_MEMORY) != NULL;
	}
	while (fgets(line, sizeof(line), status))
		(void)kib_of(line, "VmPTE", &use.page_tables);
	if (!use.own)
		return err_plain(e, EIO, "smaps says nothing");
	*ret = use;
	return 0;
}

bool guest_has_ring(const struct guest *g)
{
	char path[64], target[64] = "";
	const struct dirent *d;
	auto_dir dir = NULL;
	bool has = false;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)g->peer->ops->pid(g->priv));
	dir = opendir(path);
	while (dir && !has && (d = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), d->d_name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		has = strcmp(target, "anon_inode:[io_uring]") == 0;
	}
	return has;
}
