/* SPDX-License-Identifier: MIT */
/*
 * keeper_boot.c - from a record to a VMM that runs; what its guest is told: keeper_order.c
 *
 * The VMM is launched as early as its descriptors allow; what else a start needs is done while it
 * comes up. Ways, from fast to slow: restore of the image's template (fresh machines only: in it
 * the empty writable layer is mounted), restore of the machine template, cold boot (where asked,
 * with more disks or directories than templates have slots for, with QEMU's taps, and where a
 * template did not fit).
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "bytes.h"
#include "disk.h"
#include "fdio.h"
#include "kernel.h"
#include "keeper.h"
#include "log.h"
#include "net_plan.h"
#include "shape.h"
#include "tap.h"

struct boot { /* what a launch holds for its duration */
	struct vm_spec spec;
	struct template t;
	struct kernel kernel;
	struct store_disk image;
	struct vm_disk_part parts[VM_PARTS_MAX];
	int writable_fd, parent_fd, disk_fd, mem_fd, agent_fd, console_fd, net_fd, vsock_fd,
		broker_fd;
	struct disks_open extra;
};

static void boot_done(struct boot *b)
{
	template_done(&b->t);
	kernel_done(&b->kernel);
	store_disk_done(&b->image);
	fd_drop(&b->writable_fd);
	fd_drop(&b->parent_fd);
	fd_drop(&b->disk_fd);
	disks_open_done(&b->extra);
	fd_drop(&b->mem_fd);
	fd_drop(&b->agent_fd);
	fd_drop(&b->console_fd);
	fd_drop(&b->net_fd);
	fd_drop(&b->vsock_fd);
	fd_drop(&b->broker_fd);
}

static uint32_t binds_count(const struct machine_config *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n_mounts; i++)
		n += c->mounts[i].kind == MACHINE_MOUNT_BIND;
	return n;
}

/* Whether templates can have slots for what is bound: where memory is not shared with servers. */
static bool has_share_slots(const struct keeper *k)
{
	return k->driver->caps & VM_CAP_FUSE && binds_count(&k->config) <= SHAPE_SHARES_MAX;
}

static void want_fill(struct keeper *k)
{
	const struct machine_config *c = &k->config;
	const uint64_t max = align_up(c->mem_max_bytes, VM_MEM_UNIT);

	k->want = (struct template_want){
		.driver = k->driver,
		.kernel = *c->kernel ? c->kernel : NULL,
		.mem_bytes = c->mem_bytes ? align_up(c->mem_bytes, VM_MEM_UNIT) : SHAPE_MEM_DEFAULT,
		.cpus = c->cpus ? c->cpus : SHAPE_CPUS_DEFAULT,
		.net = *c->tap          ? TEMPLATE_NET_TAP
		       : c->has_network ? TEMPLATE_NET_STREAM
					: TEMPLATE_NET_NONE,
		.cpu_model = *c->cpu_model ? c->cpu_model : SHAPE_CPU_MODEL,
		.n_shares = has_share_slots(k) ? shape_share_slots(binds_count(c)) : 0,
		.has_vsock = c->vsock != NULL,
		.has_dax = c->has_dax,
		.disk_bytes = c->disk_bytes ? align_up(c->disk_bytes, 1U << 20) : DISK_SIZE_DEFAULT,
	};
	k->mem_bytes = k->want.mem_bytes;
	if (max > k->mem_bytes)
		k->want.mem_max_bytes = max;
}

/* ---- template or cold ---- */

static int template_take(struct keeper *k, struct boot *b, struct err *e)
{
	struct template_want w = k->want;

	w.image_id = k->is_fresh ? k->config.image_id : NULL;
	if (template_get(k->g, &w, &b->t, e) == 0)
		return 0;
	if (e->code != ENOENT)
		return -e->code;
	w.image_id = NULL;
	if (template_make(k->g, &w, e) < 0)
		return -e->code;
	return template_get(k->g, &w, &b->t, e);
}

static int boot_kind(struct keeper *k, struct boot *b, struct err *e)
{
	bool has_binds = binds_count(&k->config) > 0;

	k->is_cold = k->config.no_template || k->avoids_template ||
		     (has_binds && !has_share_slots(k)) || !disks_fit_template(&k->config) ||
		     !(k->driver->caps & VM_CAP_TEMPLATE) ||
		     (*k->config.tap && !(k->driver->caps & VM_CAP_TAP));
	if (!k->is_cold) {
		if (template_take(k, b, e) < 0)
			return -e->code;
		k->depth = b->t.depth;
		k->wants_image_template = k->depth == TEMPLATE_MACHINE;
		b->spec.boot = VM_BOOT_RESTORE;
		b->spec.state_fd = b->t.state_fd;
		b->spec.mem = VM_MEM_PRIVATE;
		b->spec.mem_fd = b->t.mem_fd;
		snprintf(k->state.boot, sizeof(k->state.boot), "%s",
			 k->depth == TEMPLATE_IMAGE ? "image" : "machine");
		snprintf(k->state.template_key, sizeof(k->state.template_key), "%s", b->t.key);
		return 0;
	}
	k->wants_image_template = k->avoids_template; /* for the next one */
	snprintf(k->state.boot, sizeof(k->state.boot), "cold");
	k->state.template_key[0] = '\0';
	b->spec.boot = VM_BOOT_COLD;
	b->spec.mem = VM_MEM_ANON;
	b->spec.n_shares = 0; /* as many as there are */
	if (has_binds &&
	    !(k->driver->caps & VM_CAP_FUSE)) { /* the servers see the guest's memory */
		b->mem_fd = memfd_create("caisson-memory", MFD_CLOEXEC);
		if (b->mem_fd < 0 || ftruncate(b->mem_fd, (off_t)k->want.mem_bytes) < 0)
			return err_set(e, errno, "memory");
		b->spec.mem = VM_MEM_SHARED;
		b->spec.mem_fd = b->mem_fd;
	}
	if (strcmp(k->driver->name, "fake") == 0)
		return 0;
	if (kernel_open(k->g, k->want.kernel, &b->kernel, e) < 0)
		return -e->code;
	b->spec.kernel_fd = b->kernel.kernel_fd;
	b->spec.initrd_fd = b->kernel.initrd_fd;
	return 0;
}

/* ---- disks ---- */

static int image_add(struct keeper *k, struct boot *b, struct err *e)
{
	if (store_image_disk(engine_store(k->g), k->config.image_id, &b->image, e) < 0)
		return -e->code;
	if (b->image.n_parts > VM_PARTS_MAX)
		return err_plain(e, E2BIG, "the image has %u parts", b->image.n_parts);
	k->image_len = k->want.has_dax ? vm_mapped_size(b->image.disk_len) : b->image.disk_len;
	for (uint32_t i = 0; i < b->image.n_parts; i++)
		b->parts[i] = (struct vm_disk_part){ .fd = b->image.parts[i].fd,
						     .disk_off = b->image.parts[i].disk_off,
						     .file_off = b->image.parts[i].file_off,
						     .len = b->image.parts[i].len };
	b->spec.disks[TEMPLATE_DISK_IMAGE] = (struct vm_disk){ .kind = VM_DISK_CONCAT,
							       .is_readonly = true,
							       .is_mapped = k->want.has_dax,
							       .fd = -1,
							       .size = k->image_len,
							       .parts = b->parts,
							       .n_parts = b->image.n_parts };
	return 0;
}

static int parent_open(struct keeper *k, int *ret, struct err *e)
{
	int root = store_root_fd(engine_store(k->g));
	auto_fd parents = -1;

	if (dir_make_at(root, "parents", 0700, e) < 0)
		return -e->code;
	parents = openat(root, "parents", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parents < 0)
		return err_set(e, errno, "parents");
	return disk_parent_open(parents, k->want.disk_bytes, ret, e);
}

/* The layer's file, and the parent that it stands on. */
static int layer_open(struct keeper *k, struct boot *b, struct err *e)
{
	int from = k->depth == TEMPLATE_IMAGE && !k->is_cold ? b->t.writable_fd : -1;

	if (parent_open(k, &b->parent_fd, e) < 0)
		return -e->code;
	if (k->is_fresh) {
		int rc = disk_layer_create(k->data_fd, MACHINE_WRITABLE_NAME, b->parent_fd, from,
					   &b->writable_fd, e);

		k->is_template_bad = rc < 0 && from >= 0;
		return rc;
	}
	return disk_layer_open(k->data_fd, MACHINE_WRITABLE_NAME, &b->writable_fd, e);
}

static int writable_add(struct keeper *k, struct boot *b, struct err *e)
{
	struct vm_disk *d = &b->spec.disks[TEMPLATE_DISK_WRITABLE];
	char plugin[PATH_MAX];

	if (layer_open(k, b, e) < 0)
		return err_wrap(e, "writable layer");
	*d = (struct vm_disk){ .kind = VM_DISK_NBD, .size = k->want.disk_bytes };
	if (k->driver->caps & VM_CAP_VHD) {
		d->kind = VM_DISK_VHD;
		d->layers[d->n_layers++] = b->writable_fd;
		d->layers[d->n_layers++] = b->parent_fd;
		return 0;
	}
	if (strcmp(k->driver->name, "fake") == 0) { /* looks at no disk */
		d->kind = VM_DISK_RAW;
		d->fd = b->writable_fd;
		return 0;
	}
	snprintf(plugin, sizeof(plugin), "%s/" DISK_SERVER_PLUGIN, engine_libexec(k->g));
	if (disk_server_start(plugin,
			      &(const struct disk_server_files){
				      (const int[]){ b->writable_fd, b->parent_fd }, 2, false },
			      b->spec.uid, b->spec.gid, &k->disk, &b->disk_fd, e) < 0)
		return err_wrap(e, "writable layer");
	d->fd = b->disk_fd;
	return 0;
}

/* ---- network and shares ---- */

static int ports_plan(struct keeper *k, struct err *e)
{
	struct machine_state *s = &k->state;
	const struct machine_config *c = &k->config;

	free(s->ports);
	s->ports = NULL;
	s->n_ports = 0;
	if (c->n_ports == 0)
		return 0;
	s->ports = calloc(c->n_ports, sizeof(*s->ports));
	if (!s->ports)
		return err_set(e, ENOMEM, "ports");
	memcpy(s->ports, c->ports, c->n_ports * sizeof(*s->ports));
	s->n_ports = c->n_ports;
	return passt_ports_choose(s->ports, s->n_ports, e);
}

static void limits_set(struct keeper *k, struct vm_spec *s)
{
	const struct machine_config *c = &k->config;

	s->net_limit.bytes_per_s = c->net_bps;
	for (uint32_t i = 0; i < s->n_disks; i++)
		s->disks[i].limit = (struct vm_limit){ c->disk_bps, c->disk_iops };
}

static int network_plan(struct keeper *k, struct boot *b, struct err *e)
{
	uint32_t mtu = 0;
	int pair[2];

	if (*k->config.tap) {
		if (tap_open(k->config.tap, &b->net_fd, &mtu, e) < 0)
			return -e->code;
		b->spec.net_fd = b->net_fd;
	}
	net_plan_make(&k->config, mtu, &k->net);
	if (*k->config.tap)
		return 0;
	if (!k->config.has_network || strcmp(k->driver->name, "fake") == 0)
		return 0;
	if (ports_plan(k, e) < 0)
		return -e->code;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socket of the network");
	k->net_fd = pair[0]; /* keeper_network() gives it to passt */
	b->net_fd = pair[1];
	b->spec.net_fd = b->net_fd;
	return 0;
}

static int vsock_plan(struct keeper *k, struct boot *b, struct err *e)
{
	if (!k->config.vsock)
		return 0;
	if (vsock_dir_open(&k->vsock, k->config.vsock, k->loop, &b->vsock_fd, &b->broker_fd, e) < 0)
		return -e->code;
	b->spec.vsock_listen_fd = b->vsock_fd;
	b->spec.vsock_broker_fd = b->broker_fd;
	return 0;
}

static int share_start(struct keeper *k, const struct machine_mount *m, const char *name,
		       struct virtiofsd *ret, struct err *e)
{
	char program[PATH_MAX];
	const struct virtiofsd_spec s = {
		.source = m->source,
		.is_readonly = m->is_readonly,
		.fuse_program = k->driver->caps & VM_CAP_FUSE ? program : NULL,
		.dir_fd = k->run_fd,
		.dir_path = k->run_path,
		.name = name,
	};

	snprintf(program, sizeof(program), "%s/caisson-share", engine_libexec(k->g));
	return virtiofsd_start(&s, ret, e);
}

static int shares_start(struct keeper *k, struct boot *b, struct err *e)
{
	const struct machine_config *c = &k->config;

	for (uint32_t i = 0; i < c->n_mounts; i++) {
		const struct machine_mount *m = &c->mounts[i];
		struct vm_share *share = &b->spec.shares[k->n_shares];
		char name[16];

		if (m->kind != MACHINE_MOUNT_BIND)
			continue;
		snprintf(name, sizeof(name), "share%u", k->n_shares);
		if (share_start(k, m, name, &k->shares[k->n_shares], e) < 0)
			return -e->code;
		snprintf(share->tag, sizeof(share->tag), "%s", name); /* as shape_spec() */
		share->sock_fd = k->shares[k->n_shares++].sock;
		b->spec.n_shares = MAX_OF(b->spec.n_shares, k->n_shares);
	}
	return 0;
}

/* ---- launch ---- */

static int console_open(struct keeper *k, struct boot *b, struct err *e)
{
	if (!getenv("CAISSON_CONSOLE") || !k->is_cold)
		return 0;
	b->console_fd = openat(k->data_fd, "console.log",
			       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (b->console_fd < 0)
		return err_set(e, errno, "create console.log");
	b->spec.console_fd = b->console_fd;
	b->spec.cmdline = "console=ttyS0 " SHAPE_CMDLINE;
	return 0;
}

static int vmm_start(struct keeper *k, struct boot *b, struct err *e)
{
	struct vm_driver_info info;
	int pair[2];

	if (shape_driver_info(k->g, k->driver, &info, e) < 0)
		return -e->code;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socket");
	k->agent_fd = pair[0];
	b->agent_fd = pair[1];
	b->spec.agent_fd = b->agent_fd;
	if (vm_spec_check(&b->spec, e) < 0 || k->driver->launch(&b->spec, &info, &k->vm, e) < 0)
		return -e->code;
	snprintf(k->state.driver, sizeof(k->state.driver), "%s", k->driver->name);
	snprintf(k->state.accel, sizeof(k->state.accel), "%s", info.accel);
	snprintf(k->state.accel_reason, sizeof(k->state.accel_reason), "%s", info.accel_reason);
	k->state.vmm_pid = (int32_t)k->driver->pid(k->vm);
	return 0;
}

static void kernel_name(struct keeper *k)
{
	char name[KERNEL_NAME_MAX + 1], digest[65];
	struct err ignored = { 0 };

	if (kernel_digest(k->g, k->want.kernel, name, digest, &ignored) == 0)
		snprintf(k->state.kernel, sizeof(k->state.kernel), "%s", name);
}

static int boot_run(struct keeper *k, struct boot *b, struct err *e)
{
	if (boot_kind(k, b, e) < 0)
		return -e->code;
	log_trace("keeper: template");
	if (image_add(k, b, e) < 0 || writable_add(k, b, e) < 0 ||
	    disks_start(k, &b->spec, &b->extra, e) < 0)
		return -e->code;
	log_trace("keeper: disks");
	limits_set(k, &b->spec);
	if (network_plan(k, b, e) < 0 || vsock_plan(k, b, e) < 0 || shares_start(k, b, e) < 0 ||
	    console_open(k, b, e) < 0 || vmm_start(k, b, e) < 0)
		return -e->code;
	log_trace("keeper: VMM launched");
	if (k->driver->caps & VM_CAP_TEMPLATE)
		kernel_name(k);
	return 0;
}

/*
 * Has it no layer yet? One without a byte is what a power cut leaves of one that nothing was ever
 * flushed to; so no promise is broken when it is made anew.
 */
static bool is_fresh(const struct keeper *k)
{
	if (disk_layer_is_blank(k->data_fd, MACHINE_WRITABLE_NAME)) {
		log_warn("writable layer: empty, as by a power cut; it is made anew");
		return unlinkat(k->data_fd, MACHINE_WRITABLE_NAME, 0) == 0;
	}
	return faccessat(k->data_fd, MACHINE_WRITABLE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

static int launch(struct keeper *k, struct err *e)
{
	struct boot *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return err_set(e, ENOMEM, "start");
	b->t = (struct template){ .mem_fd = -1, .state_fd = -1, .writable_fd = -1 };
	b->kernel.kernel_fd = b->kernel.initrd_fd = -1;
	disks_open_init(&b->extra);
	b->writable_fd = b->parent_fd = b->disk_fd = b->mem_fd = b->agent_fd = b->console_fd =
		b->net_fd = b->vsock_fd = b->broker_fd = -1;
	if (shape_driver(k->g, k->config.driver, &k->driver, e) < 0 ||
	    shape_check(&k->config, k->driver, e) < 0) {
		free(b);
		return -e->code;
	}
	want_fill(k);
	k->is_fresh = is_fresh(k);
	shape_spec(&k->want, k->config.id, &b->spec);
	rc = boot_run(k, b, e);
	if (rc < 0 && k->is_fresh) /* nothing ran on it */
		(void)unlinkat(k->data_fd, MACHINE_WRITABLE_NAME, 0);
	boot_done(b);
	free(b);
	return rc;
}

int keeper_launch(struct keeper *k, struct err *e)
{
	int rc = launch(k, e);

	if (rc < 0 && k->is_template_bad) {
		k->is_template_bad = false;
		keeper_template_avoid(k, e->msg);
		rc = launch(k, e);
	}
	return rc;
}
