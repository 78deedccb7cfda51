/* SPDX-License-Identifier: MIT */
/*
 * template_build.c - booting a machine to keep it
 *
 * Depth machine: cold boot on shared memory of its own, wait for the agent, get it quiet, stop the
 * processors, save the device state. Depth image: a clone of the machine template on a copy of its
 * memory, the image's disk and an empty writable layer in its slots, mounted, then the same.
 * The guest has seen nothing but the image so far, yet is not trusted: what it answers is checked
 * and bounded in time; a template that did not come up is dropped.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent_call.h"
#include "disk.h"
#include "disk_server.h"
#include "engine_internal.h"
#include "fdio.h"
#include "image_defaults.h"
#include "kernel.h"
#include "log.h"
#include "shape.h"
#include "template_internal.h"

#define END_WAIT_MS 200 /* for a VMM whose sockets are closed already */

struct build {
	struct engine *g;
	const struct template_want *w;
	struct vm_spec spec;
	struct kernel kernel;    /* depth machine */
	struct store_disk image; /* depth image */
	struct vm_disk_part *parts;
	struct template base; /* depth image: the machine template */
	struct template t;    /* what is being made */
	struct disk_server disk;
	int agent_fd, disk_fd, parent_fd;
	void *vm;
};

static void build_done(struct build *b)
{
	b->w->driver->free(b->vm);
	disk_server_kill(&b->disk);
	fd_drop(&b->disk_fd);
	fd_drop(&b->parent_fd);
	kernel_done(&b->kernel);
	store_disk_done(&b->image);
	free(b->parts);
	template_done(&b->base);
	template_done(&b->t);
	fd_drop(&b->agent_fd);
}

static int boot_set_up(struct build *b, struct err *e)
{
	if (kernel_open(b->g, b->w->kernel, &b->kernel, e) < 0 ||
	    template_mem_make(b->w->mem_bytes, &b->t.mem_fd, e) < 0)
		return -e->code;
	b->spec.boot = VM_BOOT_COLD;
	b->spec.kernel_fd = b->kernel.kernel_fd;
	b->spec.initrd_fd = b->kernel.initrd_fd;
	return 0;
}

static int writable_make(struct build *b, struct err *e)
{
	struct store *s = engine_store(b->g);
	struct vm_disk *d = &b->spec.disks[TEMPLATE_DISK_WRITABLE];
	char plugin[PATH_MAX];
	auto_fd parents = -1;

	if (dir_make_at(store_root_fd(s), "parents", 0700, e) < 0)
		return -e->code;
	parents = openat(store_root_fd(s), "parents", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parents < 0)
		return err_set(e, errno, "parents");
	if (disk_parent_open(parents, b->w->disk_bytes, &b->parent_fd, e) < 0)
		return -e->code;
	b->t.writable_fd =
		openat(store_root_fd(s), "templates", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (b->t.writable_fd < 0)
		return err_set(e, errno, "writable layer of the template");
	if (disk_layer_make(b->parent_fd, b->t.writable_fd, e) < 0)
		return -e->code;
	*d = (struct vm_disk){ .kind = VM_DISK_NBD, .fd = -1, .size = b->w->disk_bytes };
	if (b->w->driver->caps & VM_CAP_VHD) {
		d->kind = VM_DISK_VHD;
		d->layers[d->n_layers++] = b->t.writable_fd;
		d->layers[d->n_layers++] = b->parent_fd;
		return 0;
	}
	snprintf(plugin, sizeof(plugin), "%s/" DISK_SERVER_PLUGIN, engine_libexec(b->g));
	if (disk_server_start(plugin,
			      &(const struct disk_server_files){
				      (const int[]){ b->t.writable_fd, b->parent_fd }, 2, false },
			      b->spec.uid, b->spec.gid, &b->disk, &b->disk_fd, e) < 0)
		return -e->code;
	d->fd = b->disk_fd;
	return 0;
}

static uint64_t image_len(const struct build *b)
{
	return b->w->has_dax ? vm_mapped_size(b->image.disk_len) : b->image.disk_len;
}

static int image_set_up(struct build *b, struct err *e)
{
	struct template_want base = *b->w;

	base.image_id = NULL;
	if (template_get(b->g, &base, &b->base, e) < 0 ||
	    store_image_disk(engine_store(b->g), b->w->image_id, &b->image, e) < 0 ||
	    writable_make(b, e) < 0 || template_mem_make(b->base.mem_bytes, &b->t.mem_fd, e) < 0 ||
	    disk_copy_sparse(b->base.mem_fd, b->t.mem_fd, e) < 0)
		return -e->code;
	b->parts = calloc(b->image.n_parts, sizeof(*b->parts));
	if (!b->parts)
		return err_set(e, ENOMEM, "template");
	for (uint32_t i = 0; i < b->image.n_parts; i++)
		b->parts[i] = (struct vm_disk_part){ .fd = b->image.parts[i].fd,
						     .disk_off = b->image.parts[i].disk_off,
						     .file_off = b->image.parts[i].file_off,
						     .len = b->image.parts[i].len };
	b->spec.boot = VM_BOOT_RESTORE;
	b->spec.state_fd = b->base.state_fd;
	b->spec.disks[TEMPLATE_DISK_IMAGE] = (struct vm_disk){ .kind = VM_DISK_CONCAT,
							       .is_readonly = true,
							       .is_mapped = b->w->has_dax,
							       .fd = -1,
							       .size = image_len(b),
							       .parts = b->parts,
							       .n_parts = b->image.n_parts };
	return 0;
}

static int launch(struct build *b, struct err *e)
{
	struct vm_driver_info info;
	int pair[2];
	int rc;

	if (shape_driver_info(b->g, b->w->driver, &info, e) < 0)
		return -e->code;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socket");
	b->agent_fd = pair[0];
	b->spec.agent_fd = pair[1];
	b->spec.mem = VM_MEM_SHARED;
	b->spec.mem_fd = b->t.mem_fd;
	rc = vm_spec_check(&b->spec, e);
	if (rc == 0)
		rc = b->w->driver->launch(&b->spec, &info, &b->vm, e);
	close(pair[1]);
	if (rc == 0 && fd_set_nonblock(b->agent_fd, true) < 0)
		rc = err_set(e, errno, "socket");
	return rc;
}

/* The program that the image runs unless told otherwise; "" when that cannot be known. */
static void program_find(struct build *b, char ret[256])
{
	struct machine_config c = { 0 };
	struct err ignored = { 0 };
	auto_free char *doc = NULL;
	size_t len = 0;
	const struct strv *from;

	*ret = '\0';
	if (store_image_config(engine_store(b->g), b->w->image_id, &doc, &len, &ignored) == 0 &&
	    image_defaults_apply(&c, doc, len, &ignored) == 0) {
		from = c.entrypoint.n ? &c.entrypoint : &c.cmd;
		if (from->n && strlen(from->v[0]) < 256)
			snprintf(ret, 256, "%s", from->v[0]);
	}
	machine_config_done(&c);
}

static int preload(struct build *b, struct agent_call *c, struct err *e)
{
	auto_buf out = { 0 };
	char program[256];

	program_find(b, program);
	if (agent_put(&out, AGENT_PRELOAD, 0, program, strlen(program)) < 0)
		return err_set(e, ENOMEM, "template");
	if (agent_call_send(c, &out, TEMPLATE_TIMEOUT_MS, e) < 0)
		return -e->code;
	return agent_call_wait(c, AGENT_OK, AGENT_PRELOAD, TEMPLATE_TIMEOUT_MS, e);
}

/* Up to the point where the guest waits for what a clone will be told. */
static int guest_prepare(struct build *b, enum template_depth depth, struct err *e)
{
	struct agent_call c = { .fd = b->agent_fd };
	auto_buf out = { 0 };
	int rc = 0;

	if (depth == TEMPLATE_MACHINE) {
		rc = agent_call_wait(&c, AGENT_READY, 0, TEMPLATE_TIMEOUT_MS, e);
	} else {
		const struct agent_root root = { .image_slot = TEMPLATE_DISK_IMAGE,
						 .writable_slot = TEMPLATE_DISK_WRITABLE,
						 .flags = b->w->has_dax ? AGENT_ROOT_MAPPED : 0,
						 .image_len = image_len(b),
						 .writable_len = b->w->disk_bytes };

		if (agent_put_root(&out, &root) < 0)
			rc = err_set(e, ENOMEM, "template");
		if (rc == 0)
			rc = agent_call_send(&c, &out, TEMPLATE_TIMEOUT_MS, e);
		if (rc == 0)
			rc = agent_call_wait(&c, AGENT_OK, AGENT_ROOT, TEMPLATE_TIMEOUT_MS, e);
		if (rc == 0)
			rc = preload(b, &c, e);
	}
	if (rc == 0 && agent_put(&out, AGENT_TEMPLATE, 0, NULL, 0) < 0)
		rc = err_set(e, ENOMEM, "template");
	if (rc == 0)
		rc = agent_call_send(&c, &out, TEMPLATE_TIMEOUT_MS, e);
	if (rc == 0)
		rc = agent_call_wait(&c, AGENT_OK, AGENT_TEMPLATE, TEMPLATE_TIMEOUT_MS, e);
	agent_call_done(&c);
	return rc;
}

static int freeze(struct build *b, struct err *e)
{
	b->t.state_fd = memfd_create("caisson-state", MFD_CLOEXEC);
	if (b->t.state_fd < 0)
		return err_set(e, errno, "template");
	if (b->w->driver->pause(b->vm, TEMPLATE_TIMEOUT_MS, e) < 0 ||
	    b->w->driver->save_state(b->vm, b->t.state_fd, TEMPLATE_TIMEOUT_MS, e) < 0)
		return -e->code;
	b->w->driver->free(b->vm); /* its shared map would forbid the seal */
	b->vm = NULL;
	fd_drop(&b->disk_fd); /* the last one: the server makes the layer whole and ends */
	if (b->disk.pid && disk_server_wait(&b->disk, TEMPLATE_TIMEOUT_MS, e) < 0)
		return -e->code;
	return template_mem_seal(b->t.mem_fd, e);
}

static bool has_ended(struct build *b)
{
	struct pollfd p = { .fd = b->w->driver->pidfd(b->vm), .events = POLLIN };

	return poll(&p, 1, END_WAIT_MS) > 0;
}

static int build_run(struct build *b, enum template_depth depth, struct err *e)
{
	int rc = depth == TEMPLATE_MACHINE ? boot_set_up(b, e) : image_set_up(b, e);

	if (rc == 0)
		rc = launch(b, e);
	if (rc < 0)
		return rc;
	log_trace("template: launched");
	rc = guest_prepare(b, depth, e);
	if (rc < 0) {
		char why[400] = "";
		enum vm_end end = VM_END_LOST;

		if (has_ended(b)) /* then that is the reason */
			end = b->w->driver->end_reason(b->vm, why, sizeof(why));
		if (depth == TEMPLATE_IMAGE && end == VM_END_TEMPLATE)
			return err_plain(e, ESTALE, "%s", why);
		return *why ? err_plain(e, e->code, "%s", why) : rc;
	}
	log_trace("template: guest ready");
	return freeze(b, e);
}

int template_build(struct engine *g, const struct template_want *w, enum template_depth depth,
		   const char *key, struct template *ret, struct err *e)
{
	struct build b = { .g = g,
			   .w = w,
			   .agent_fd = -1,
			   .disk_fd = -1,
			   .parent_fd = -1,
			   .disk = DISK_SERVER_NONE };
	struct store *s = engine_store(g);
	struct err why = { 0 };
	int rc;

	b.kernel.kernel_fd = b.kernel.initrd_fd = -1;
	b.base = b.t = (struct template){ .mem_fd = -1, .state_fd = -1, .writable_fd = -1 };
	b.t.depth = depth;
	b.t.mem_bytes = w->mem_bytes;
	snprintf(b.t.key, sizeof(b.t.key), "%s", key);
	shape_spec(w, key, &b.spec);
	if (!(w->driver->caps & VM_CAP_TEMPLATE))
		return err_plain(e, ENOTSUP, "driver %s has no templates", w->driver->name);
	rc = dir_make_at(store_root_fd(s), "templates", 0700, e);
	if (rc == 0)
		rc = build_run(&b, depth, e);
	if (rc == 0 && depth == TEMPLATE_IMAGE && w->driver->record_pages &&
	    template_trial(g, w, &b.spec, &b.t, b.parent_fd, &why) < 0)
		log_trace(why.msg); /* clones are a little slower without */
	if (rc == 0) {
		*ret = b.t;
		b.t = (struct template){ .mem_fd = -1, .state_fd = -1, .writable_fd = -1 };
		log_trace("template: made");
	}
	build_done(&b);
	return rc < 0 ? err_wrap(e, "make a template of depth %s",
				 depth == TEMPLATE_IMAGE ? "image" : "machine")
		      : 0;
}
