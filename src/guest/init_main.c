/* SPDX-License-Identifier: MIT */
/*
 * init_main.c - caisson-init: PID 1 and agent of the guest
 *
 * boots (boot.c), opens the agent's port, says READY, and then carries out the host's frames in
 * order, one at a time, in one thread; on a bootable disk disk_boot.c takes over instead. It never
 * exits: what cannot go on powers the machine off.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "fdio.h"
#include "guest_dhcp.h"
#include "guest_internal.h"
#include "log.h"

#define IN_CHUNK (64U << 10)
#define OUT_LOW  (64U << 10)

struct agent {
	struct loop *loop;
	struct streams *streams;
	int port;
	struct loop_watch *watch;
	struct buf in, out;
	bool wants_write, was_full;
	int lease_fd; /* -1: nobody keeps a lease */
	struct loop_watch *lease_watch;
};

static void port_flush(void *arg)
{
	struct agent *a = arg;
	struct err e;
	bool wants;

	while (a->out.len) {
		ssize_t n = write(a->port, a->out.data, a->out.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) { /* EAGAIN: full; other errors: nobody is there yet */
			if (errno != EAGAIN)
				log_error("agent port: %s", strerror(errno));
			break;
		}
		buf_consume(&a->out, (size_t)n);
	}
	a->was_full |= a->out.len > OUT_LOW;
	wants = a->out.len > 0;
	if (wants != a->wants_write && a->watch) {
		a->wants_write = wants;
		if (loop_watch_set(a->watch, wants ? EPOLLIN | EPOLLOUT : EPOLLIN, &e) < 0)
			log_error("%s", e.msg);
	}
	if (a->was_full && a->out.len <= OUT_LOW) {
		a->was_full = false;
		streams_resume(a->streams);
	}
}

static void answer(struct agent *a, uint16_t request, int rc, const struct err *e)
{
	uint8_t raw[2] = { (uint8_t)request, (uint8_t)(request >> 8) };

	if (rc < 0)
		rc = agent_put_text(&a->out, AGENT_ERROR, 0, request, (uint32_t)e->code, e->msg);
	else
		rc = agent_put(&a->out, AGENT_OK, 0, raw, sizeof(raw));
	if (rc < 0)
		log_error("out of memory for an answer");
	port_flush(a);
}

static void lease_put(struct agent *a, const struct dhcp_lease *l)
{
	struct agent_lease lease = { .ip = l->ip,
				     .gateway = l->gateway,
				     .prefix_len = l->prefix_len };

	_Static_assert((int)DHCP_SERVERS_MAX == (int)AGENT_LEASE_DNS, "as many");
	for (uint32_t i = 0; i < l->n_dns; i++)
		lease.dns[i] = l->dns[i];
	if (agent_put_lease(&a->out, &lease) < 0)
		log_error("out of memory for the lease");
	port_flush(a);
}

static void lease_event(void *arg, uint32_t events)
{
	struct agent *a = arg;
	struct lease_news n;
	struct err e;

	(void)events;
	if (fd_read_full(a->lease_fd, &n, sizeof(n)) < 0) { /* it keeps one for ever, or none */
		loop_watch_drop(a->lease_watch);
		a->lease_watch = NULL;
		fd_drop(&a->lease_fd);
	} else if (n.code) {
		answer(a, AGENT_IDENTITY, err_plain(&e, n.code, "%s", n.text), &e);
	} else {
		lease_put(a, &n.lease);
	}
}

static int identity_frame(struct agent *a, struct agent_bytes p, struct err *e)
{
	static const uint8_t none[6];
	struct agent_identity id;

	if (agent_get_identity(p, &id, e) < 0 || identity_apply(&id, e) < 0)
		return -e->code;
	if (id.ip || memcmp(id.mac, none, sizeof(none)) == 0 || a->lease_fd >= 0)
		return 0;
	return lease_start(id.mac, id.mtu, &a->lease_fd, e) < 0
		       ? -e->code
		       : loop_watch_fd(a->loop, a->lease_fd, EPOLLIN, lease_event, a,
				       &a->lease_watch, e);
}

static int root_frame(struct agent *a, struct agent_bytes p, struct err *e)
{
	struct agent_root r;

	if (agent_get_root(p, &r, e) < 0)
		return -e->code;
	if (streams_stage(a->streams)->pid)
		return err_plain(e, EBUSY, "the root is mounted already");
	if (disks_mount_root(&r, e) < 0)
		return -e->code;
	return stage_start(streams_stage(a->streams), e);
}

static void preload_frame(struct agent_bytes p)
{
	char name[256];

	snprintf(name, sizeof(name), "%.*s", (int)MIN_OF(p.len, 255U), (const char *)p.data);
	preload_program(name);
}

static _Noreturn void shut_down(struct agent *a)
{
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	stage_done(streams_stage(a->streams)); /* its mounts end with the last hold on them */
	disks_unmount_root();
	boot_power_off();
}

static void control_frame(struct agent *a, const struct agent_frame *f)
{
	struct err e = { 0 };

	switch (f->type) {
	case AGENT_PING:
		if (agent_put(&a->out, AGENT_PONG, 0, f->payload.data,
			      MIN_OF(f->payload.len, 64U)) < 0)
			log_error("out of memory for an answer");
		port_flush(a);
		return;
	case AGENT_IDENTITY:
		answer(a, f->type, identity_frame(a, f->payload, &e), &e);
		return;
	case AGENT_ROOT:
		answer(a, f->type, root_frame(a, f->payload, &e), &e);
		return;
	case AGENT_PRELOAD:
		preload_frame(f->payload);
		answer(a, f->type, 0, &e);
		return;
	case AGENT_SYNC:
	case AGENT_TEMPLATE:
		sync();
		answer(a, f->type, 0, &e);
		return;
	case AGENT_SHUTDOWN:
		shut_down(a);
	default:
		answer(a, f->type, err_plain(&e, ENOSYS, "unknown request %u", f->type), &e);
	}
}

static void frames_handle(struct agent *a)
{
	size_t done = 0;

	for (;;) {
		struct agent_frame f;
		struct err e;
		size_t len;
		int rc = agent_frame_parse(a->in.data + done, a->in.len - done, &f, &len, &e);

		if (rc < 0) { /* out of step with the host: nothing that follows can be trusted */
			log_error("%s", e.msg);
			shut_down(a);
		}
		if (rc == 0)
			break;
		done += len;
		if (f.stream == 0)
			control_frame(a, &f);
		else
			streams_frame(a->streams, &f);
	}
	buf_consume(&a->in, done);
}

static void port_event(void *arg, uint32_t events)
{
	struct agent *a = arg;
	ssize_t n;

	if (events & EPOLLOUT)
		port_flush(a);
	if (!(events & EPOLLIN))
		return;
	if (buf_reserve(&a->in, IN_CHUNK) < 0) {
		log_error("out of memory for the host's frames");
		shut_down(a);
	}
	n = read(a->port, a->in.data + a->in.len, IN_CHUNK);
	if (n <= 0)
		return; /* the host's end is closed for now */
	a->in.len += (size_t)n;
	frames_handle(a);
}

static void on_signal(void *arg, int signo)
{
	struct agent *a = arg;

	if (signo == SIGCHLD)
		streams_reap(a->streams);
}

static int agent_start(struct agent *a, struct err *e)
{
	sigset_t set;
	uint8_t version[4] = { AGENT_VERSION, 0, 0, 0 };

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	if (loop_new(&a->loop, e) < 0 || loop_signals(a->loop, &set, on_signal, a, e) < 0 ||
	    streams_new(a->loop, &a->streams, e) < 0 || boot_port_open(&a->port, e) < 0 ||
	    loop_watch_fd(a->loop, a->port, EPOLLIN, port_event, a, &a->watch, e) < 0)
		return -e->code;
	streams_attach(a->streams, &a->out, port_flush, a);
	if (agent_put(&a->out, AGENT_READY, 0, version, sizeof(version)) < 0)
		return err_set(e, ENOMEM, "ready");
	port_flush(a);
	return 0;
}

/* As /sbin/poweroff and /sbin/reboot, which the kernel calls when a hypervisor asks it to. */
static int ask_init(const char *name)
{
	return kill(1, strstr(name, "reboot") ? SIGINT : SIGTERM) < 0;
}

int main(int argc, char **argv)
{
	struct agent a = { .port = -1, .lease_fd = -1, .in = BUF_LIMIT(4 * AGENT_PAYLOAD_MAX) };
	struct err e = { 0 };
	int order;

	if (getpid() != 1)
		return ask_init(argc > 0 ? argv[0] : "");

	/* The kernel gives PID 1 its console as stderr. */
	log_init("caisson-init", LOG_LEVEL_INFO, STDERR_FILENO);
	order = open(DISK_ORDER_FILE, O_RDONLY | O_CLOEXEC);
	boot_up();
	if (order >= 0)
		disk_boot(order);
	if (agent_start(&a, &e) < 0 || loop_run(a.loop, &e) < 0)
		log_error("%s", e.msg);
	boot_power_off();
}
