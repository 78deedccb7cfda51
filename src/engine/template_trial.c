/* SPDX-License-Identifier: MIT */
/*
 * template_trial.c - the first clone of a template, which finds out what every clone writes
 *
 * Between restore and its app a clone writes the same few hundred pages, in whatever image: of the
 * kernel, and of the agent when it hears who it is and what to run. This one hears of a program
 * that no image has, so nothing of the image's runs, and is thrown away with its copy of the
 * writable layer. It has no network but the device.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "agent_call.h"
#include "disk.h"
#include "engine_internal.h"
#include "fdio.h"
#include "log.h"
#include "net_plan.h"
#include "shape.h"
#include "template_internal.h"

#define TRIAL_MS 20000U
#define NO_SUCH  "/.caisson-trial"

static int orders_put(struct buf *out, bool has_net)
{
	static const uint8_t entropy[64]; /* this guest has no secrets */
	const struct agent_identity id = { .entropy = { entropy, sizeof(entropy) },
					   .realtime_ns = (uint64_t)time(NULL) * 1000000000U,
					   .hostname = "trial",
					   .machine_id = "00000000000000000000000000000000",
					   .boot_id = "00000000-0000-4000-8000-000000000000",
					   .mac = { has_net ? 2 : 0 },
					   .ip = has_net ? NET_GUEST_IP : 0,
					   .gateway = has_net ? NET_GATEWAY_IP : 0,
					   .prefix_len = has_net ? NET_PREFIX_LEN : 0,
					   .mtu = has_net ? NET_MTU : 0 };
	const char *argv[] = { NO_SUCH };
	const struct agent_run run = {
		.flags = AGENT_RUN_MAIN, .argv = { argv, 1 }, .cwd = "", .user = ""
	};
	int rc = agent_put_identity(out, &id);

	return rc ? rc : agent_put_run(out, AGENT_STREAM_MAIN, &run);
}

static int guest_ask(int fd, bool has_net, struct err *e)
{
	struct agent_call c = { .fd = fd };
	auto_buf out = { 0 };
	int rc = orders_put(&out, has_net);

	if (rc < 0)
		return err_set(e, -rc, "orders");
	rc = agent_call_send(&c, &out, TRIAL_MS, e);
	if (rc == 0)
		rc = agent_call_wait(&c, AGENT_FAILED, 0, TRIAL_MS, e);
	agent_call_done(&c);
	return rc;
}

static int writable_copy(struct engine *g, const struct template *t, int *ret_fd, struct err *e)
{
	*ret_fd = openat(store_root_fd(engine_store(g)), "templates",
			 O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return err_set(e, errno, "writable layer of a trial");
	return disk_copy_sparse(t->writable_fd, *ret_fd, e);
}

static int trial_run(struct engine *g, const struct template_want *w, const struct vm_spec *spec,
		     const struct template *t, int agent_fd, struct err *e)
{
	struct vm_driver_info info;
	void *vm = NULL;
	int rc;

	if (shape_driver_info(g, w->driver, &info, e) < 0 || vm_spec_check(spec, e) < 0 ||
	    w->driver->launch(spec, &info, &vm, e) < 0)
		return -e->code;
	rc = guest_ask(agent_fd, w->net != TEMPLATE_NET_NONE, e);
	if (rc == 0)
		rc = w->driver->record_pages(vm, t->mem_fd, t->state_fd, e);
	w->driver->free(vm);
	return rc;
}

int template_trial(struct engine *g, const struct template_want *w, const struct vm_spec *made,
		   const struct template *t, int parent_fd, struct err *e)
{
	struct vm_spec spec = *made;
	auto_fd writable = -1;
	auto_fd ours = -1;
	auto_fd theirs = -1;
	int pair[2], rc;

	if (writable_copy(g, t, &writable, e) < 0)
		return -e->code;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socket");
	ours = pair[0];
	theirs = pair[1];
	if (fd_set_nonblock(ours, true) < 0)
		return err_set(e, errno, "socket");
	spec.mem = VM_MEM_PRIVATE;
	spec.mem_fd = t->mem_fd;
	spec.state_fd = t->state_fd;
	spec.agent_fd = theirs;
	spec.disks[TEMPLATE_DISK_WRITABLE].layers[0] = writable;
	spec.disks[TEMPLATE_DISK_WRITABLE].layers[1] = parent_fd;
	rc = trial_run(g, w, &spec, t, ours, e);
	log_trace("template: trial");
	return rc < 0 ? err_wrap(e, "trial of a template") : 0;
}
