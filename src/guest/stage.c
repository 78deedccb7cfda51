/* SPDX-License-Identifier: MIT */
/*
 * stage.c - the main process, before it knows what it will be
 *
 * It is cloned into its own PID, mount and IPC namespaces as soon as the root is mounted, prepares
 * all that does not depend on the order (pivot_root, /proc, /sys, /dev, masked paths), and waits.
 * In a template of depth "image" it is already waiting, so that a clone's start is one message and
 * one exec.
 *
 * Parent and child share no memory after the clone. The child talks over one SOCK_SEQPACKET socket:
 * it sends one byte when prepared (with a descriptor of its /dev/pts), or a text; then it receives
 * {payload length, three descriptors} and reads the payload; then it becomes the program, or sends
 * {exit code, text}. End of the socket without a message means that it is running.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <linux/sched.h>

#include "fdio.h"
#include "guest_internal.h"
#include "stage_order.h"

static int fail(struct err *e, const char *what)
{
	return err_set(e, errno, "%s", what);
}

static int mount_in(const char *type, const char *target, unsigned long flags, const char *data,
		    struct err *e)
{
	if (mkdir(target, 0755) < 0 && errno != EEXIST)
		return err_set(e, errno, "mkdir %s", target);
	return mount(type, target, type, flags, data) < 0 ? err_set(e, errno, "mount %s", target)
							  : 0;
}

static int device(const char *path, unsigned major_no, unsigned minor_no, struct err *e)
{
	if (mknod(path, S_IFCHR | 0666, makedev(major_no, minor_no)) < 0 || chmod(path, 0666) < 0)
		return err_set(e, errno, "mknod %s", path);
	return 0;
}

static int dev_fill(struct err *e)
{
	static const struct {
		const char *path;
		unsigned major_no, minor_no;
	} nodes[] = { { "/dev/null", 1, 3 },   { "/dev/zero", 1, 5 },    { "/dev/full", 1, 7 },
		      { "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 } };
	static const char *const links[][2] = {
		{ "pts/ptmx", "/dev/ptmx" },          { "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },  { "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" }, { "/proc/kcore", "/dev/core" }
	};

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		if (device(nodes[i].path, nodes[i].major_no, nodes[i].minor_no, e) < 0)
			return -e->code;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			return err_set(e, errno, "symlink %s", links[i][1]);
	return 0;
}

static int dev_make(struct err *e)
{
	if (mount_in("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", e) < 0 ||
	    dev_fill(e) < 0 ||
	    mount_in("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
		     "newinstance,ptmxmode=0666,mode=0620,gid=5", e) < 0 ||
	    mount_in("tmpfs", "/dev/shm", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k",
		     e) < 0)
		return -e->code;
	if (mount_in("mqueue", "/dev/mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL, e) < 0 &&
	    e->code != ENODEV)
		return -e->code;
	return 0;
}

/* Bind `from` over `to` if the guest kernel has `to`. */
static int bind_over(const char *from, const char *to, bool readonly, struct err *e)
{
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0
							   : err_set(e, errno, "mount over %s", to);
	if (readonly &&
	    mount(NULL, to, NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) < 0)
		return err_set(e, errno, "make %s read-only", to);
	return 0;
}

static int proc_mask(struct err *e)
{
	static const char *const files[] = { "/proc/kcore",         "/proc/keys",
					     "/proc/latency_stats", "/proc/timer_list",
					     "/proc/timer_stats",   "/proc/sched_debug" };
	static const char *const directories[] = { "/proc/asound", "/proc/acpi", "/proc/scsi",
						   "/sys/firmware" };
	static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
						"/proc/sysrq-trigger" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (bind_over("/dev/null", files[i], false, e) < 0)
			return -e->code;
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (mount("tmpfs", directories[i], "tmpfs", MS_RDONLY, NULL) < 0 && errno != ENOENT)
			return err_set(e, errno, "mask %s", directories[i]);
	for (size_t i = 0; i < ARRAY_SIZE(readonly); i++)
		if (bind_over(readonly[i], readonly[i], true, e) < 0)
			return -e->code;
	return 0;
}

/* The agent's files, taken as detached mounts before the pivot, appear in the app's tree. */
static int bind_fd(int fd, const char *target, struct err *e)
{
	if (move_mount(fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return errno == ENOENT ? 0 : err_set(e, errno, "bind %s", target);
	return 0;
}

static int file_take(const char *path)
{
	auto_fd made = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);

	return made < 0 ? -1 : open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

static int identity_bind(int boot_id, int machine_id, struct err *e)
{
	struct stat st;

	if (bind_fd(boot_id, "/proc/sys/kernel/random/boot_id", e) < 0)
		return -e->code;
	/* Only where the image has the file, and never through a link of the image. */
	if (lstat("/etc/machine-id", &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return bind_fd(machine_id, "/etc/machine-id", e);
}

static int root_enter(struct err *e)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail(e, "make mounts private");
	if (chdir(ROOT_DIR) < 0 || mount(ROOT_DIR, ROOT_DIR, NULL, MS_BIND, NULL) < 0 ||
	    chdir(ROOT_DIR) < 0)
		return fail(e, "enter the root");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return fail(e, "pivot to the root");
	return 0;
}

/* An image may have links where directories belong: those are replaced in the writable layer. */
static int mountpoints_make(struct err *e)
{
	static const char *const dirs[] = { "/proc", "/sys", "/dev" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		struct stat st;

		if (lstat(dirs[i], &st) == 0 && !S_ISDIR(st.st_mode) && unlink(dirs[i]) < 0)
			return err_set(e, errno, "replace %s", dirs[i]);
		if (mkdir(dirs[i], 0755) < 0 && errno != EEXIST)
			return err_set(e, errno, "mkdir %s", dirs[i]);
	}
	return 0;
}

static int stage_prepare(int *ret_devpts, struct mounts_usual *u, struct err *e)
{
	auto_fd boot_id = file_take(BOOT_ID_FILE);
	auto_fd machine_id = file_take(MACHINE_ID_FILE);
	const unsigned long quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (boot_id < 0 || machine_id < 0)
		return fail(e, "identity files");
	if (root_enter(e) < 0 || mountpoints_make(e) < 0 ||
	    mount_in("proc", "/proc", quiet, NULL, e) < 0 || dev_make(e) < 0 ||
	    mount_in("sysfs", "/sys", quiet | MS_RDONLY, NULL, e) < 0)
		return -e->code;
	if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", quiet | MS_RDONLY, NULL) < 0 &&
	    errno != ENOENT && errno != EBUSY)
		return fail(e, "mount /sys/fs/cgroup");
	if (proc_mask(e) < 0 || identity_bind(boot_id, machine_id, e) < 0 ||
	    mounts_prepare(u, e) < 0)
		return -e->code;
	*ret_devpts = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_devpts < 0 ? fail(e, "open /dev/pts") : 0;
}

static void text_send(int sock, uint32_t code, const char *text)
{
	struct stage_answer a = { .code = code };

	snprintf(a.text, sizeof(a.text), "%s", text);
	if (send(sock, &a, sizeof(a), MSG_NOSIGNAL) < 0)
		_exit(125); /* the parent is gone: nobody is left to tell */
}

/* Wait for the order; the payload follows in pieces, since a packet has a size limit. */
static int order_receive(int sock, struct buf *payload, int fds[3])
{
	struct stage_order o;
	size_t n_fds = 3;
	ssize_t n = fd_recv(sock, &o, sizeof(o), fds, &n_fds);

	if (n != (ssize_t)sizeof(o) || n_fds != 3 || o.len > AGENT_PAYLOAD_MAX ||
	    buf_reserve(payload, o.len) < 0)
		return -EPROTO;
	while (payload->len < o.len) {
		n = recv(sock, payload->data + payload->len, o.len - payload->len, 0);
		if (n <= 0)
			return -EPROTO;
		payload->len += (size_t)n;
	}
	return 0;
}

static _Noreturn void stage_main(int sock)
{
	struct err e = { 0 };
	auto_buf payload = { 0 };
	struct agent_run r;
	struct process_io io = { .in = -1 };
	struct stage_answer a = { 0 };
	struct mounts_usual usual;
	int devpts = -1, fds[3], code;

	if (stage_prepare(&devpts, &usual, &e) < 0) {
		text_send(sock, 125, e.msg);
		_exit(125);
	}
	if (fd_send(sock, &a, sizeof(a), &devpts, 1) < 0 || order_receive(sock, &payload, fds) < 0)
		_exit(125);
	close(devpts);
	io = (struct process_io){ fds[0], fds[1], fds[2], false };
	if (agent_get_run((struct agent_bytes){ payload.data, (uint32_t)payload.len }, &r, &e) <
		    0 ||
	    mounts_apply(&r, &usual, &e) < 0) {
		text_send(sock, 125, e.msg);
		_exit(125);
	}
	io.is_tty = r.flags & AGENT_RUN_TTY;
	code = process_become(&r, &io, a.text, sizeof(a.text));
	text_send(sock, (uint32_t)code, a.text);
	_exit(code);
}

static int namespace_open(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int prepared_wait(struct stage *s, struct err *e)
{
	struct stage_answer a = { 0 };
	size_t n = 1;
	ssize_t got = fd_recv(s->sock, &a, sizeof(a), &s->devpts, &n);

	if (got != (ssize_t)sizeof(a) || (a.code == 0 && n != 1))
		return err_plain(e, EIO, "the main process died while it was prepared");
	a.text[sizeof(a.text) - 1] = '\0';
	if (a.code)
		return err_plain(e, EIO, "%s", a.text);
	s->pid_ns = namespace_open(s->pid, "pid");
	s->mnt_ns = namespace_open(s->pid, "mnt");
	s->ipc_ns = namespace_open(s->pid, "ipc");
	if (s->pid_ns < 0 || s->mnt_ns < 0 || s->ipc_ns < 0)
		return fail(e, "open the main process's namespaces");
	return 0;
}

int stage_start(struct stage *s, struct err *e)
{
	struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC,
				   .exit_signal = SIGCHLD };
	int pair[2];

	*s = (struct stage){ .sock = -1, .pid_ns = -1, .mnt_ns = -1, .ipc_ns = -1, .devpts = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail(e, "socketpair");
	s->pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (s->pid == 0) {
		close(pair[0]);
		stage_main(pair[1]);
	}
	close(pair[1]);
	s->sock = pair[0];
	if (s->pid < 0) {
		s->pid = 0;
		(void)fail(e, "clone the main process");
	} else if (prepared_wait(s, e) == 0) {
		return 0;
	}
	stage_done(s);
	return -e->code;
}

int stage_answer_wait(int sock, char *text, size_t len)
{
	struct stage_answer a = { 0 };
	ssize_t n = recv(sock, &a, sizeof(a), 0);

	if (n == 0)
		return 0;
	a.text[sizeof(a.text) - 1] = '\0';
	snprintf(text, len, "%s",
		 n == (ssize_t)sizeof(a) ? a.text : "the process could not be started");
	return n == (ssize_t)sizeof(a) && a.code ? (int)a.code : 125;
}

int stage_order(struct stage *s, struct agent_bytes payload, const struct process_io *io,
		char *text, size_t len)
{
	struct stage_order o = { .len = payload.len };
	int fds[3] = { io->in, io->out, io->err };
	const uint8_t *p = payload.data;

	s->is_used = true;
	if (fd_send(s->sock, &o, sizeof(o), fds, 3) < 0)
		return stage_answer_wait(s->sock, text, len) ?: 125;
	for (uint32_t at = 0; at < payload.len;) {
		uint32_t n = MIN_OF(payload.len - at, 32768U);

		if (send(s->sock, p + at, n, MSG_NOSIGNAL) < 0)
			return 125;
		at += n;
	}
	return stage_answer_wait(s->sock, text, len);
}

void stage_done(struct stage *s)
{
	if (s->pid > 0)
		kill(s->pid, SIGKILL); /* reaped with everything else */
	fd_drop(&s->sock);
	fd_drop(&s->pid_ns);
	fd_drop(&s->mnt_ns);
	fd_drop(&s->ipc_ns);
	fd_drop(&s->devpts);
	s->pid = 0;
}
