/* SPDX-License-Identifier: MIT */
/*
 * kvm.c - a machine is one caisson-vmm process
 *
 * It is started with everything it needs as descriptors and runs by itself; its control socket is
 * there for templates. vmm_process.c confines it before exec, it shuts itself in further.
 */
#include "kvm.h"

#include <cpuid.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "fdio.h"
#include "kvm_config.h"
#include "kvm_pages.h"
#include "kvm_probe.h"
#include "libexec.h"
#include "loop.h"
#include "vmm_ctl.h"
#include "vmm_process.h"

/* Part of every fingerprint: counts up when devices or the format of the state change. */
#define MACHINE_VERSION "2"
#define ANSWER_MAX      65536U

struct kvm {
	struct vmm_process process;
	int ctl_fd;
	struct buf in;
	bool is_ready, has_ended; /* as it has said */
	struct vmm_ctl_ended ended;
	struct vmm_ctl_counts counts; /* of the last answer that has them */
};

/* ---- start ---- */

static int program_path(char ret[PATH_MAX], struct err *e)
{
	auto_free char *dir = libexec_dir(NULL);

	if (!dir)
		return err_set(e, ENOMEM, KVM_PROGRAM);
	if (snprintf(ret, PATH_MAX, "%s/" KVM_PROGRAM, dir) >= PATH_MAX)
		return err_set(e, ENAMETOOLONG, "%s", dir);
	return 0;
}

static int config_write(const struct kvm_config *k, int *ret_fd, struct err *e)
{
	auto_fd fd = memfd_create("caisson-config", MFD_CLOEXEC);
	auto_buf b = BUF_LIMIT(VMM_CONFIG_SIZE_MAX);

	if (fd < 0)
		return err_set(e, errno, "configuration");
	if (vmm_config_put(&k->c, &b) < 0 || fd_write_full(fd, b.data, b.len) < 0)
		return err_plain(e, EINVAL, "configuration of the machine");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int process_start(struct kvm *v, const struct vm_spec *s, struct kvm_config *k, int kvm_fd,
			 struct err *e)
{
	const char *const argv[] = { KVM_PROGRAM, s->id, NULL }; /* the id is for people */
	char program[PATH_MAX];
	auto_fd config = -1;
	const struct vmm_process_spec spec = {
		.program = program,
		.argv = argv,
		.fds = k->fds,
		.n_fds = k->n_fds,
		.uid = s->uid,
		.gid = s->gid,
		.shuts_itself_in = true,
		.trace = getenv("CAISSON_TRACE") ? "CAISSON_TRACE=1" : NULL,
	};

	if (program_path(program, e) < 0 || config_write(k, &config, e) < 0)
		return -e->code;
	k->fds[0] = kvm_fd;
	k->fds[VMM_CONFIG_FD] = config;
	return vmm_process_start(&v->process, &spec, e);
}

static void kvm_free(void *priv)
{
	struct kvm *v = priv;

	if (!v)
		return;
	vmm_process_done(&v->process);
	fd_drop(&v->ctl_fd);
	buf_done(&v->in);
	free(v);
}

static int kvm_launch(const struct vm_spec *s, const struct vm_driver_info *i, void **ret,
		      struct err *e)
{
	auto_fd kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	auto_free struct kvm_config *k = malloc(sizeof(*k));
	struct kvm *v = calloc(1, sizeof(*v));
	auto_fd theirs = -1;
	int pair[2];

	if (!v || !k) {
		free(v);
		return err_set(e, ENOMEM, "machine");
	}
	*v = (struct kvm){ .process = VMM_PROCESS_NONE, .ctl_fd = -1, .in = BUF_LIMIT(ANSWER_MAX) };
	if (strcmp(i->accel, "kvm") != 0)
		(void)err_plain(e, ENOTSUP, "driver kvm: %s", i->accel_reason);
	else if (kvm < 0)
		(void)err_set(e, errno, "/dev/kvm");
	else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		(void)err_set(e, errno, "socket");
	else {
		v->ctl_fd = pair[0];
		theirs = pair[1];
		if (kvm_config_make(s, theirs, k, e) == 0 && process_start(v, s, k, kvm, e) == 0) {
			*ret = v;
			return 0;
		}
	}
	kvm_free(v);
	return -e->code;
}

/* ---- requests ---- */

static void event_take(struct kvm *v, const struct vmm_ctl_frame *f)
{
	struct err ignored = { 0 }; /* its exit code is left then */

	if (f->type == VMM_CTL_READY)
		v->is_ready = true;
	else if (f->type == VMM_CTL_ENDED)
		v->has_ended = vmm_ctl_get_ended(f, &v->ended, &ignored) == 0;
}

/* 1: the answer was OK, or counts; 0: no answer yet. */
static int answer_take(struct kvm *v, struct err *e)
{
	struct vmm_ctl_frame f;
	struct vmm_ctl_error why;
	size_t len;
	int rc;

	while ((rc = vmm_ctl_next(v->in.data, v->in.len, &f, &len, e)) > 0) {
		const uint16_t type = f.type;

		if (type == VMM_CTL_ERROR && vmm_ctl_get_error(&f, &why, e) == 0)
			(void)err_plain(e, (int)why.code, "caisson-vmm: %s", why.text);
		event_take(v, &f);
		rc = type == VMM_CTL_COUNTS ? vmm_ctl_get_counts(&f, &v->counts, e) : 0;
		buf_consume(&v->in, len);
		if (type == VMM_CTL_ERROR || rc < 0)
			return -e->code;
		if (type == VMM_CTL_OK || type == VMM_CTL_COUNTS)
			return 1;
	}
	return rc;
}

static int answer_wait(struct kvm *v, uint32_t timeout_ms, struct err *e)
{
	const int64_t until = loop_now_ms() + timeout_ms;
	struct pollfd p = { .fd = v->ctl_fd, .events = POLLIN };
	char data[4096];
	ssize_t n;
	int rc;

	while ((rc = answer_take(v, e)) == 0) {
		const int64_t left = until - loop_now_ms();

		if (left <= 0 || (poll(&p, 1, (int)left) <= 0 && errno != EINTR))
			return err_plain(e, ETIMEDOUT, "caisson-vmm does not answer");
		n = recv(v->ctl_fd, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return err_plain(e, EPIPE, "caisson-vmm has ended%s%s",
					 v->has_ended ? ": " : "", v->ended.text);
		if (buf_add(&v->in, data, (size_t)n) < 0)
			return err_plain(e, EBADMSG, "caisson-vmm says too much");
	}
	return rc < 0 ? rc : 0;
}

static int ask(struct kvm *v, const struct buf *out, int fd, uint32_t timeout_ms, struct err *e)
{
	ssize_t n = fd_send(v->ctl_fd, out->data, out->len, &fd, fd >= 0);

	if (n != (ssize_t)out->len)
		return err_set(e, n < 0 ? (int)-n : EIO, "ask caisson-vmm");
	return answer_wait(v, timeout_ms, e);
}

static int call(struct kvm *v, uint16_t type, int fd, uint32_t timeout_ms, struct err *e)
{
	auto_buf out = { 0 };

	if (vmm_ctl_put(&out, type) < 0)
		return err_set(e, ENOMEM, "request");
	return ask(v, &out, fd, timeout_ms, e);
}

static int kvm_pause(void *priv, uint32_t timeout_ms, struct err *e)
{
	return call(priv, VMM_CTL_PAUSE, -1, timeout_ms, e);
}

static int kvm_save_state(void *priv, int state_fd, uint32_t timeout_ms, struct err *e)
{
	return call(priv, VMM_CTL_SNAPSHOT, state_fd, timeout_ms, e);
}

static int kvm_resize(void *priv, uint64_t bytes, uint32_t timeout_ms, struct err *e)
{
	auto_buf out = { 0 };

	if (vmm_ctl_put_resize(&out, bytes) < 0)
		return err_set(e, ENOMEM, "request");
	return ask(priv, &out, -1, timeout_ms, e);
}

static int kvm_grown(void *priv, uint64_t *ret_bytes, uint32_t timeout_ms, struct err *e)
{
	struct kvm *v = priv;

	if (call(v, VMM_CTL_STATISTICS, -1, timeout_ms, e) < 0)
		return -e->code;
	*ret_bytes = v->counts.grown_bytes;
	return 0;
}

static int kvm_record_pages(void *priv, int mem_fd, int state_fd, struct err *e)
{
	return kvm_pages_record(((struct kvm *)priv)->process.pid, mem_fd, state_fd, e);
}

/* ---- the process ---- */

static int kvm_pidfd(void *priv)
{
	return ((struct kvm *)priv)->process.pidfd;
}

static pid_t kvm_pid(void *priv)
{
	return ((struct kvm *)priv)->process.pid;
}

/* What is left on the socket of a process that is gone. */
static void events_drain(struct kvm *v)
{
	struct vmm_ctl_frame f;
	struct err ignored = { 0 };
	char data[4096];
	size_t used;
	ssize_t n;

	while ((n = recv(v->ctl_fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
		if (buf_add(&v->in, data, (size_t)n) < 0)
			return;
	while (vmm_ctl_next(v->in.data, v->in.len, &f, &used, &ignored) > 0) {
		event_take(v, &f);
		buf_consume(&v->in, used);
	}
}

static enum vm_end kvm_end_reason(void *priv, char *buf, size_t len)
{
	static const struct {
		enum vm_end end;
		const char *text;
	} ends[] = {
		[VMM_CTL_END_POWER_OFF] = { VM_END_OFF, "the machine powered off" },
		[VMM_CTL_END_RESET] = { VM_END_RESET,
					"the machine reset itself: its kernel rebooted or panicked" },
		[VMM_CTL_END_CRASH] = { VM_END_CRASH, "the machine crashed" },
		[VMM_CTL_END_ERROR] = { VM_END_ERROR, "the virtual machine monitor gave up" },
		[VMM_CTL_END_STATE] = { VM_END_TEMPLATE, "the template cannot be used here" },
	};
	struct kvm *v = priv;
	enum vm_end end = vmm_process_end_reason(&v->process, buf, len);

	events_drain(v);
	if (!v->has_ended)
		return end;
	snprintf(buf, len, "%s%s%s", ends[v->ended.reason].text, *v->ended.text ? ": " : "",
		 v->ended.text);
	end = ends[v->ended.reason].end;
	return end == VM_END_ERROR && !v->is_ready ? VM_END_LOST : end;
}

/* ---- the host ---- */

static int kvm_driver_probe(struct vm_driver_info *ret, struct err *e)
{
	struct vm_driver_info i = { .version = "caisson-vmm " CAISSON_VERSION };
	unsigned int family = 0, ignored;
	char program[PATH_MAX];
	struct stat st;

	if (program_path(program, e) < 0)
		return -e->code;
	if (stat(program, &st) < 0)
		return err_set(e, errno, "%s", program);
	snprintf(i.accel, sizeof(i.accel), "%s",
		 kvm_probe(i.accel_reason, sizeof(i.accel_reason)) ? "kvm" : "none");
	(void)__get_cpuid(1, &family, &ignored, &ignored, &ignored);
	snprintf(i.fingerprint, sizeof(i.fingerprint), "%s-%x-%llx-%llx-%llx-%llx", MACHINE_VERSION,
		 family, (unsigned long long)kvm_cpu_hash(), (unsigned long long)st.st_size,
		 (unsigned long long)st.st_mtim.tv_sec, (unsigned long long)st.st_ino);
	*ret = i;
	return 0;
}

const struct vm_driver_ops kvm_driver = {
	.name = "kvm",
	.caps = VM_CAP_TEMPLATE | VM_CAP_SHARES | VM_CAP_VHD | VM_CAP_FUSE | VM_CAP_CPU_MODEL |
		VM_CAP_VSOCK | VM_CAP_RESIZE | VM_CAP_MAPPED | VM_CAP_TAP | VM_CAP_LIMITS,
	.program = KVM_PROGRAM,
	.probe = kvm_driver_probe,
	.launch = kvm_launch,
	.pause = kvm_pause,
	.save_state = kvm_save_state,
	.resize = kvm_resize,
	.grown = kvm_grown,
	.record_pages = kvm_record_pages,
	.pidfd = kvm_pidfd,
	.pid = kvm_pid,
	.end_reason = kvm_end_reason,
	.free = kvm_free,
};
