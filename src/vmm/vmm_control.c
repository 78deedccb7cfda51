/* SPDX-License-Identifier: MIT */
/*
 * vmm_control.c - requests of the driver, one after the other
 *
 * The driver is trusted to own the machine, not to be free of mistakes: frames are checked by
 * vmm_ctl.h, and a frame or descriptor that makes no sense ends the machine.
 * #syscalls:vmm clock_gettime close recvmsg write
 */
#include "vmm_control.h"

#include <time.h>

#include "dirty_log.h"
#include "fdio.h"
#include "log.h"
#include "snapshot.h"
#include "virtio_balloon.h"
#include "virtio_blk.h"
#include "virtio_mem.h"
#include "virtio_net.h"
#include "vmm_ctl.h"

#define OUT_MAX 65536U

struct vmm_control {
	struct machine *m;
	int fd, passed_fd; /* passed_fd: came with the frame that is being read; -1: none */
	struct loop_watch *watch, *end_watch;
	struct buf in, out;
};

/* ---- requests ---- */

/* What the guest has written belongs to its state: the files of its disks are whole, too. */
static int disks_sync(struct vmm_control *c, struct err *e)
{
	for (uint32_t i = 0; i < c->m->c->n_disks; i++)
		if (c->m->disks[i] && virtio_blk_sync(c->m->disks[i], e) < 0)
			return err_wrap(e, "disk %u", i);
	return 0;
}

static int snapshot(struct vmm_control *c, int fd, struct err *e)
{
	if (!c->m->is_paused)
		return err_plain(e, EBUSY, "the machine is not paused");
	if (c->m->growth && virtio_mem_plugged(c->m->growth) > 0)
		return err_plain(e, EBUSY, "the machine has more memory than it began with");
	return disks_sync(c, e) < 0 ? -e->code : snapshot_write(c->m, fd, e);
}

static int balloon(struct vmm_control *c, const struct vmm_ctl_frame *f, struct err *e)
{
	uint64_t bytes;

	if (vmm_ctl_get_balloon(f, &bytes, e) < 0)
		return -e->code;
	virtio_balloon_set_target(c->m->balloon,
				  (uint32_t)MIN_OF(bytes / BALLOON_PAGE, (uint64_t)UINT32_MAX));
	return 0;
}

static int resize(struct vmm_control *c, const struct vmm_ctl_frame *f, struct err *e)
{
	uint64_t bytes;

	if (vmm_ctl_get_resize(f, &bytes, e) < 0)
		return -e->code;
	if (!c->m->growth)
		return err_plain(e, ENOENT, "the machine's memory does not grow");
	if (bytes > c->m->c->mem_max_bytes - c->m->c->mem_bytes)
		return err_plain(e, EINVAL, "more memory than the machine may have");
	virtio_mem_request(c->m->growth, bytes);
	return 0;
}

/* Takes `fd` on success. */
static int attach(struct vmm_control *c, const struct vmm_ctl_frame *f, int fd, struct err *e)
{
	struct vmm_ctl_attach a;
	struct blk_back *back;

	if (vmm_ctl_get_attach(f, &a, e) < 0)
		return -e->code;
	if (a.disk >= c->m->c->n_disks || !c->m->disks[a.disk])
		return err_plain(e, ENOENT, "there is no disk %u", a.disk);
	if (blk_back_raw(fd, a.size, a.is_readonly, &back, e) < 0)
		return -e->code;
	if (virtio_blk_set_back(c->m->disks[a.disk], back, e) < 0) {
		blk_back_free(back);
		return -e->code;
	}
	if (machine_disk_start(c->m, a.disk, e) < 0)
		log_error("%s", e->msg); /* it has taken the descriptor all the same */
	return 1;
}

static int net_attach(struct vmm_control *c, int fd, struct err *e)
{
	if (!c->m->net)
		return err_plain(e, ENOENT, "the machine has no network");
	if (c->m->c->net == VMM_NET_TAP) /* nothing can be asked of it any more */
		return err_plain(e, ENOTSUP, "a tap is there from the start");
	return virtio_net_attach(c->m->net, fd, e) < 0 ? -e->code : 1;
}

static int counts_put(struct vmm_control *c, struct err *e)
{
	struct vmm_ctl_counts n = { 0 };
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	n.cpu_ns = (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
	for (uint32_t i = 0; i < c->m->cpus.n; i++) {
		const struct vcpu *v = &c->m->cpus.v[i];

		n.exits += __atomic_load_n(&v->exits, __ATOMIC_RELAXED);
		n.mmio_exits += __atomic_load_n(&v->mmio_exits, __ATOMIC_RELAXED);
		n.pio_exits += __atomic_load_n(&v->port_exits, __ATOMIC_RELAXED);
	}
	for (uint32_t i = 0; i < c->m->c->n_disks; i++)
		if (c->m->disks[i])
			virtio_blk_counts(c->m->disks[i], &n.disk_reads, &n.disk_writes);
	n.grown_bytes = c->m->growth ? virtio_mem_plugged(c->m->growth) : 0;
	n.balloon_bytes = (uint64_t)virtio_balloon_actual(c->m->balloon) * BALLOON_PAGE;
	return vmm_ctl_put_counts(&c->out, &n) < 0 ? err_set(e, ENOMEM, "answer") : 0;
}

/* 1: the descriptor was taken; -code: that is the answer. */
static int request_do(struct vmm_control *c, const struct vmm_ctl_frame *f, int fd, struct err *e)
{
	switch (f->type) {
	case VMM_CTL_PAUSE:
		machine_pause(c->m);
		return 0;
	case VMM_CTL_RESUME:
		machine_resume(c->m);
		return 0;
	case VMM_CTL_SNAPSHOT:
		return snapshot(c, fd, e);
	case VMM_CTL_BALLOON:
		return balloon(c, f, e);
	case VMM_CTL_RESIZE:
		return resize(c, f, e);
	case VMM_CTL_ATTACH:
		return attach(c, f, fd, e);
	case VMM_CTL_NET_ATTACH:
		return net_attach(c, fd, e);
	case VMM_CTL_DIRTY_START:
		return dirty_log_start(c->m, e);
	case VMM_CTL_DIRTY_STOP:
		return dirty_log_stop(c->m, e);
	case VMM_CTL_DIRTY_GET:
		return dirty_log_get(c->m, fd, e);
	case VMM_CTL_STOP:
		loop_quit(c->m->loop, 0);
		return 0;
	default:
		return err_plain(e, EINVAL, "no request");
	}
}

static int flush(struct vmm_control *c, struct err *e)
{
	int rc = fd_write_full(c->fd, c->out.data, c->out.len);

	buf_clear(&c->out);
	return rc < 0 ? err_set(e, -rc, "answer the driver") : 0;
}

static int request_serve(struct vmm_control *c, const struct vmm_ctl_frame *f, struct err *e)
{
	auto_fd fd = -1;
	struct err answer = { 0 };
	int rc;

	if (!vmm_ctl_is_request(f->type))
		return err_plain(e, EBADMSG, "the driver sent what is no request");
	if (vmm_ctl_wants_fd(f->type)) {
		fd = TAKE_FD(c->passed_fd);
		if (fd < 0)
			return err_plain(e, EBADMSG, "a request without its descriptor");
	} else if (c->passed_fd >= 0) {
		return err_plain(e, EBADMSG, "a descriptor with a request that has none");
	}
	if (f->type == VMM_CTL_STATISTICS)
		return counts_put(c, e) < 0 ? -e->code : flush(c, e);
	rc = request_do(c, f, fd, &answer);
	if (rc == 1)
		fd = -1;
	rc = rc < 0 ? vmm_ctl_put_error(&c->out, (uint32_t)answer.code, answer.msg)
		    : vmm_ctl_put(&c->out, VMM_CTL_OK);
	return rc < 0 ? err_set(e, -rc, "answer the driver") : flush(c, e);
}

/* ---- the socket ---- */

static int frames_serve(struct vmm_control *c, struct err *e)
{
	struct vmm_ctl_frame f;
	size_t len;
	int rc;

	while ((rc = vmm_ctl_next(c->in.data, c->in.len, &f, &len, e)) > 0) {
		if (request_serve(c, &f, e) < 0)
			return -e->code;
		buf_consume(&c->in, len);
	}
	return rc;
}

static int readable(struct vmm_control *c, struct err *e)
{
	char data[4096];
	int fds[FD_PASS_MAX];
	size_t n_fds = 1;
	ssize_t n = fd_recv(c->fd, data, sizeof(data), fds, &n_fds);

	if (n == 0)
		return 1;
	if (n < 0)
		return err_set(e, (int)-n, "the driver's socket");
	if (n_fds && c->passed_fd >= 0) {
		close(fds[0]);
		return err_plain(e, EBADMSG, "a descriptor too many");
	}
	if (n_fds)
		c->passed_fd = fds[0];
	if (buf_add(&c->in, data, (size_t)n) < 0)
		return err_set(e, ENOMEM, "request");
	return frames_serve(c, e);
}

static void socket_event(void *arg, uint32_t events)
{
	struct vmm_control *c = arg;
	struct err e = { 0 };
	int rc = readable(c, &e);

	(void)events;
	if (rc < 0)
		log_error("%s", e.msg);
	if (rc)
		loop_quit(c->m->loop, rc < 0);
}

static void end_event(void *arg, uint32_t events)
{
	struct vmm_control *c = arg;
	enum vmm_ctl_end why = __atomic_load_n(&c->m->end, __ATOMIC_ACQUIRE);
	struct err ignored = { 0 }; /* a driver that is gone does not need to know */

	(void)events;
	if (!why)
		return;
	if (vmm_ctl_put_ended(&c->out, why, c->m->end_text) == 0)
		(void)!flush(c, &ignored);
	if (*c->m->end_text)
		log_error("%s", c->m->end_text);
	loop_quit(c->m->loop, why == VMM_CTL_END_CRASH || why == VMM_CTL_END_ERROR);
}

int vmm_control_ready(struct vmm_control *c, struct err *e)
{
	return vmm_ctl_put_ready(&c->out) < 0 ? err_set(e, ENOMEM, "ready") : flush(c, e);
}

int vmm_control_new(struct machine *m, int fd, struct vmm_control **ret, struct err *e)
{
	struct vmm_control *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, ENOMEM, "control");
	*c = (struct vmm_control){ .m = m, .fd = fd, .passed_fd = -1, .out = BUF_LIMIT(OUT_MAX) };
	if (loop_watch_fd(m->loop, fd, EPOLLIN, socket_event, c, &c->watch, e) < 0 ||
	    loop_watch_fd(m->loop, m->end_fd, EPOLLIN, end_event, c, &c->end_watch, e) < 0) {
		vmm_control_free(c);
		return -e->code;
	}
	*ret = c;
	return 0;
}

void vmm_control_free(struct vmm_control *c)
{
	if (!c)
		return;
	loop_watch_drop(c->watch);
	loop_watch_drop(c->end_watch);
	fd_drop(&c->passed_fd);
	fd_drop(&c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}
