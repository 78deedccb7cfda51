/* SPDX-License-Identifier: MIT */
/*
 * qemu.c - a machine is one QEMU process
 *
 * The process is started with everything it needs as descriptors; a restored machine runs as soon
 * as QEMU has loaded the device state (-incoming fd:), without a word over QMP. QMP is there for
 * templates.
 *
 * Confinement before exec is vmm_process.c's; after it QEMU's own seccomp filter.
 */
#include "qemu.h"

#include <cpuid.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "child.h"
#include "fdio.h"
#include "kvm_probe.h"
#include "qemu_argv.h"
#include "qmp.h"
#include "vmm_process.h"

#define QEMU_PROGRAM    "/usr/bin/qemu-system-x86_64"
#define ZERO_FILE_LEN   (2U << 20)
#define LINK_TIMEOUT_MS 10000U

/* Part of every fingerprint: counts up when the device set of qemu_argv.c changes. */
#define MACHINE_VERSION "4"

struct qemu {
	struct vmm_process process;
	bool is_restored;
	int idle_net_fd;
	struct qmp qmp;
};

/* Another open file of the same: its own position and access mode. */
static int reopen(int fd, int mode)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, mode | O_CLOEXEC);
}

static int zero_file(struct err *e)
{
	auto_fd fd = memfd_create("caisson-zeros", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret = -1;

	if (fd >= 0 && ftruncate(fd, ZERO_FILE_LEN) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) == 0)
		ret = reopen(fd, O_RDONLY);
	return ret < 0 ? err_set(e, errno, "file of zeros") : ret;
}

/* QEMU opens /dev/kvm itself, under a user that nobody knows: the group that may is lent to it. */
static gid_t kvm_group(const struct vm_driver_info *i)
{
	const mode_t both = S_IRGRP | S_IWGRP;
	struct stat st;

	return strcmp(i->accel, "kvm") == 0 && stat("/dev/kvm", &st) == 0 &&
			       (st.st_mode & both) == both
		       ? st.st_gid
		       : 0;
}

static int process_start(struct qemu *q, const struct vm_spec *s, const struct vm_driver_info *i,
			 struct qemu_argv *a, int concat_fd, struct err *e)
{
	const struct vmm_process_spec spec = { .program = QEMU_PROGRAM,
					       .argv = a->v,
					       .fds = a->fds,
					       .n_fds = a->n_fds,
					       .uid = s->uid,
					       .gid = s->gid,
					       .extra_gid = kvm_group(i) };

	if (fd_write_full(concat_fd, a->concat.data, a->concat.len) < 0)
		return err_set(e, errno, "describe the image's disk");
	return vmm_process_start(&q->process, &spec, e);
}

/*
 * QEMU's stream back end begins with its link down and does not tell the device when it has come
 * up. Before the guest looks, so that it never sees a carrier come; clones restore what was seen.
 */
static void link_raise(struct qemu *q)
{
	struct err ignored = { 0 }; /* a QEMU that has ended is seen elsewhere, with why */

	(void)!qmp_call(&q->qmp, "set_link", json_pack("{s:s, s:b}", "name", "net0", "up", 1), -1,
			LINK_TIMEOUT_MS, NULL, &ignored);
}

static void qemu_free(void *priv);

static int qemu_launch(const struct vm_spec *s, const struct vm_driver_info *i, void **ret,
		       struct err *e)
{
	int qmp[2] = { -1, -1 }, idle[2] = { -1, -1 }, rc = -1;
	auto_fd zero = zero_file(e);
	auto_fd concat = memfd_create("caisson-disk", MFD_CLOEXEC);
	auto_fd concat_read =
		concat < 0 ? -1 : reopen(concat, O_RDONLY); /* QEMU's fdsets tell modes apart */
	auto_fd state = -1;
	struct qemu *q = calloc(1, sizeof(*q));
	struct vm_spec spec = *s;
	struct qemu_argv argv = { 0 };

	if (!q || zero < 0 || concat_read < 0)
		goto out;
	*q = (struct qemu){ .process = VMM_PROCESS_NONE, .idle_net_fd = -1, .qmp = { .fd = -1 } };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, idle) < 0)
		goto out;
	if (s->boot == VM_BOOT_RESTORE) { /* clones read the state at the same time */
		state = reopen(s->state_fd, O_RDONLY);
		if (state < 0)
			goto out;
		spec.state_fd = state;
	}
	if (qemu_argv_build(&spec, i, &(struct qemu_extra){ qmp[1], idle[1], zero, concat_read },
			    &argv, e) < 0 ||
	    process_start(q, s, i, &argv, concat, e) < 0)
		goto out;
	fd_drop(&qmp[1]); /* or nobody would see that a QEMU that fails has closed it */
	qmp_init(&q->qmp, TAKE_FD(qmp[0]));
	q->idle_net_fd = TAKE_FD(idle[0]);
	q->is_restored = s->boot == VM_BOOT_RESTORE;
	if (s->has_net && !s->net_is_tap && s->boot == VM_BOOT_COLD)
		link_raise(q);
	*ret = TAKE_PTR(q);
	rc = 0;
out:
	if (rc < 0 && !e->code)
		(void)err_set(e, errno, "start QEMU");
	qemu_argv_done(&argv);
	for (int k = 0; k < 2; k++) {
		fd_drop(&qmp[k]);
		fd_drop(&idle[k]);
	}
	free(q);
	return rc < 0 ? -e->code : 0;
}

static int qemu_pause(void *priv, uint32_t timeout_ms, struct err *e)
{
	struct qemu *q = priv;

	return qmp_call(&q->qmp, "stop", NULL, -1, timeout_ms, NULL, e);
}

/*
 * The state of the devices alone: the memory is the template's file. It is a command for Xen's
 * toolstack, in every build; unlike `migrate` it minds no disk format that cannot be migrated live.
 */
static int qemu_save_state(void *priv, int state_fd, uint32_t timeout_ms, struct err *e)
{
	struct qemu *q = priv;
	auto_fd out = reopen(state_fd, O_WRONLY);
	json_t *set = NULL;
	char name[64];

	if (out < 0)
		return err_set(e, errno, "file of the device state");
	if (qmp_call(&q->qmp, "add-fd", NULL, out, timeout_ms, &set, e) < 0)
		return -e->code;
	snprintf(name, sizeof(name), "/dev/fdset/%lld",
		 (long long)json_integer_value(json_object_get(set, "fdset-id")));
	json_decref(set);
	return qmp_call(&q->qmp, "xen-save-devices-state",
			json_pack("{s:s, s:b}", "filename", name, "live", 0), -1, timeout_ms, NULL,
			e);
}

static int qemu_pidfd(void *priv)
{
	return ((struct qemu *)priv)->process.pidfd;
}

static pid_t qemu_pid(void *priv)
{
	return ((struct qemu *)priv)->process.pid;
}

/* A state that it refuses ends it with EXIT_FAILURE, as do arguments; of a guest that was restored
 * and runs it does not. */
static enum vm_end qemu_end_reason(void *priv, char *buf, size_t len)
{
	struct qemu *q = priv;
	enum vm_end end = vmm_process_end_reason(&q->process, buf, len);

	if (q->is_restored && WIFEXITED(q->process.status) && WEXITSTATUS(q->process.status) == 1)
		end = VM_END_TEMPLATE;
	return end;
}

static void qemu_free(void *priv)
{
	struct qemu *q = priv;

	if (!q)
		return;
	vmm_process_done(&q->process);
	qmp_done(&q->qmp);
	fd_drop(&q->idle_net_fd);
	free(q);
}

static int version_read(char *ret, size_t len, struct err *e)
{
	auto_buf out = BUF_LIMIT(65536);
	int status = 0;

	if (child_run((const char *[]){ QEMU_PROGRAM, "--version", NULL }, &out, &status, e) < 0)
		return -e->code;
	if (status || !out.data)
		return err_plain(e, EIO, QEMU_PROGRAM " --version failed");
	out.data[strcspn(out.data, "\n")] = '\0';
	snprintf(ret, len, "%.*s", (int)len - 1, out.data);
	return 0;
}

static int qemu_probe(struct vm_driver_info *ret, struct err *e)
{
	struct vm_driver_info i = { 0 };
	unsigned int family = 0, ignored;
	struct stat st;
	bool has_kvm;

	if (stat(QEMU_PROGRAM, &st) < 0)
		return err_plain(e, ENOENT,
				 "QEMU is not installed: install the package qemu-system-x86");
	if (version_read(i.version, sizeof(i.version), e) < 0)
		return -e->code;
	has_kvm = kvm_probe(i.accel_reason, sizeof(i.accel_reason));
	snprintf(i.accel, sizeof(i.accel), "%s", has_kvm ? "kvm" : "tcg");
	i.tsc_khz = tsc_khz_measure();
	/* The guest has seen the processor (KVM) and been told the TSC's rate (emulation). */
	(void)__get_cpuid(1, &family, &ignored, &ignored, &ignored);
	snprintf(i.fingerprint, sizeof(i.fingerprint), "%s-%s-%x-%u-%llx-%llx-%llx",
		 MACHINE_VERSION, i.accel, family, i.tsc_khz / 1000, (unsigned long long)st.st_size,
		 (unsigned long long)st.st_mtim.tv_sec, (unsigned long long)st.st_ino);
	*ret = i;
	return 0;
}

const struct vm_driver_ops qemu_driver = {
	.name = "qemu",
	.caps = VM_CAP_TEMPLATE | VM_CAP_SHARES,
	.program = QEMU_PROGRAM,
	.probe = qemu_probe,
	.launch = qemu_launch,
	.pause = qemu_pause,
	.save_state = qemu_save_state,
	.pidfd = qemu_pidfd,
	.pid = qemu_pid,
	.end_reason = qemu_end_reason,
	.free = qemu_free,
};
