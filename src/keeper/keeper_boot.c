/* SPDX-License-Identifier: MIT */
/*
 * keeper_boot.c - from a record to a VMM that runs, and the guest's orders
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
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "bytes.h"
#include "disk.h"
#include "etc_files.h"
#include "fdio.h"
#include "kernel.h"
#include "keeper.h"
#include "log.h"
#include "net_plan.h"
#include "shape.h"
#include "tap.h"

#define ENTROPY_LEN  256
#define RESOLV_MAX   65536U
#define MEM_GRAIN    (2ULL << 20)
#define HOSTNAME_LEN 12 /* digits of the id */

/* Of a volume's file system: what machines see of it. */
#define VOLUME_DIRECTORY "data"

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
	const uint64_t max = align_up(c->mem_max_bytes, MEM_GRAIN);

	k->want = (struct template_want){
		.driver = k->driver,
		.kernel = *c->kernel ? c->kernel : NULL,
		.mem_bytes = c->mem_bytes ? align_up(c->mem_bytes, MEM_GRAIN) : SHAPE_MEM_DEFAULT,
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

/* ---- orders ---- */

static const char *hostname_of(const struct keeper *k, char buf[HOSTNAME_LEN + 1])
{
	if (k->config.hostname && *k->config.hostname)
		return k->config.hostname;
	snprintf(buf, HOSTNAME_LEN + 1, "%.*s", HOSTNAME_LEN, k->config.id);
	return buf;
}

static void addresses_note(struct keeper *k)
{
	struct machine_state *s = &k->state;
	const uint8_t *m = k->net.mac;
	char text[16];

	s->ip[0] = s->gateway[0] = '\0';
	net_ip_text(k->net.ip, text);
	if (k->net.ip)
		snprintf(s->ip, sizeof(s->ip), "%s", text);
	net_ip_text(k->net.gateway, text);
	if (k->net.gateway)
		snprintf(s->gateway, sizeof(s->gateway), "%s", text);
	snprintf(s->mac, sizeof(s->mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
		 m[4], m[5]);
}

static int identity_put(struct keeper *k, struct err *e)
{
	uint8_t entropy[ENTROPY_LEN], random[32];
	char machine_id[33], boot_id[37], host[HOSTNAME_LEN + 1];
	struct agent_identity id = { .entropy = { entropy, sizeof(entropy) },
				     .hostname = hostname_of(k, host),
				     .machine_id = machine_id,
				     .boot_id = boot_id };
	struct timespec now;

	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy) ||
	    getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_set(e, errno, "random bytes");
	for (size_t i = 0; i < 16; i++)
		snprintf(machine_id + 2 * i, 3, "%02x", random[i]);
	random[22] = (random[22] & 0x0f) | 0x40; /* RFC 4122, version 4 */
	random[24] = (random[24] & 0x3f) | 0x80;
	for (size_t i = 0, at = 0; i < 16; i++)
		at += (size_t)snprintf(boot_id + at, sizeof(boot_id) - at, "%s%02x",
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				       random[16 + i]);
	clock_gettime(CLOCK_REALTIME, &now);
	id.realtime_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
	if (k->config.has_network) {
		memcpy(id.mac, k->net.mac, sizeof(id.mac));
		id.ip = k->net.ip;
		id.gateway = k->net.gateway;
		id.prefix_len = k->net.prefix_len;
		id.mtu = k->net.mtu;
		addresses_note(k);
	}
	return agent_put_identity(&k->agent_out, &id) < 0 ? err_set(e, ENOMEM, "orders") : 0;
}

static int root_put(struct keeper *k, struct err *e)
{
	const struct agent_root root = { .image_slot = TEMPLATE_DISK_IMAGE,
					 .writable_slot = TEMPLATE_DISK_WRITABLE,
					 .flags = k->want.has_dax ? AGENT_ROOT_MAPPED : 0,
					 .image_len = k->image_len,
					 .writable_len = k->want.disk_bytes };

	if (!k->is_cold && k->depth == TEMPLATE_IMAGE)
		return 0;
	return agent_put_root(&k->agent_out, &root) < 0 ? err_set(e, ENOMEM, "orders") : 0;
}

struct order { /* texts that an agent_run points at */
	struct agent_mount mounts[AGENT_MOUNTS_MAX];
	uint32_t n_mounts;
	char sources[VM_SHARES_MAX][32], disks[VM_DISKS_EXTRA_MAX][32];
	uint32_t n_shares, n_disks;
	struct buf hosts, resolv, hostname_file;
	struct strv argv, env;
};

static void order_done(struct order *o)
{
	buf_done(&o->hosts);
	buf_done(&o->resolv);
	buf_done(&o->hostname_file);
	strv_done(&o->argv);
	strv_done(&o->env);
}

static bool env_has(const struct strv *env, const char *name)
{
	size_t n = strlen(name);

	for (uint32_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
			return true;
	return false;
}

static int env_fill(struct order *o, const struct machine_config *c, const char *hostname)
{
	char text[300];
	int rc = 0;

	if (!env_has(&c->env, "PATH"))
		rc = strv_add(&o->env,
			      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	snprintf(text, sizeof(text), "HOSTNAME=%s", hostname);
	if (rc == 0 && !env_has(&c->env, "HOSTNAME"))
		rc = strv_add(&o->env, text);
	if (rc == 0 && c->has_tty && !env_has(&c->env, "TERM"))
		rc = strv_add(&o->env, "TERM=xterm");
	for (uint32_t i = 0; rc == 0 && i < c->env.n; i++)
		rc = strv_add(&o->env, c->env.v[i]);
	return rc;
}

static void file_mount(struct order *o, const char *target, const struct buf *content)
{
	o->mounts[o->n_mounts++] = (struct agent_mount){
		.kind = AGENT_MOUNT_FILE,
		.source = "",
		.target = target,
		.options = "rw",
		.content = { content->data ? content->data : "", (uint32_t)content->len },
	};
}

static void share_fill(struct order *o, const struct keeper *k, const struct machine_mount *m,
		       struct agent_mount *am)
{
	uint32_t share = o->n_shares++;

	am->kind = AGENT_MOUNT_VIRTIOFS;
	am->source = o->sources[share];
	am->options = m->is_readonly ? "ro" : "rw";
	snprintf(o->sources[share], sizeof(o->sources[share]), "share%u%s", share,
		 k->shares[share].is_file ? "/" VIRTIOFSD_FILE : "");
}

static void disk_fill(struct order *o, const struct machine_mount *m, struct agent_mount *am)
{
	uint32_t disk = o->n_disks++;
	bool copies = m->kind == MACHINE_MOUNT_VOLUME && strcmp(am->options, "nocopy") != 0;

	am->kind = AGENT_MOUNT_DISK;
	am->source = o->disks[disk];
	am->options = m->is_readonly ? (copies ? "ro,copy" : "ro") : (copies ? "rw,copy" : "rw");
	snprintf(o->disks[disk], sizeof(o->disks[disk]), "disk%u%s", TEMPLATE_DISK_COUNT + disk,
		 m->kind == MACHINE_MOUNT_VOLUME ? "/" VOLUME_DIRECTORY : "");
}

static void mount_fill(struct order *o, const struct keeper *k, const struct machine_mount *m)
{
	struct agent_mount *am = &o->mounts[o->n_mounts++];

	*am = (struct agent_mount){ .kind = AGENT_MOUNT_TMPFS,
				    .source = "",
				    .target = m->target,
				    .options = m->options ? m->options : "" };
	if (m->kind == MACHINE_MOUNT_BIND)
		share_fill(o, k, m, am);
	else if (m->kind != MACHINE_MOUNT_TMPFS)
		disk_fill(o, m, am);
}

static int mounts_fill(struct order *o, struct keeper *k, const char *hostname)
{
	const struct machine_config *c = &k->config;
	auto_buf host_resolv = BUF_LIMIT(RESOLV_MAX);
	struct err ignored = { 0 };

	/* Of the host only a hint: without it there are no search domains. */
	(void)!file_read_at(AT_FDCWD, "/etc/resolv.conf", RESOLV_MAX, &host_resolv, &ignored);
	if (etc_hosts(c, &k->net, hostname, &o->hosts) < 0 ||
	    etc_resolv_conf(c, &k->net, host_resolv.data ? host_resolv.data : "", &o->resolv) < 0 ||
	    buf_addf(&o->hostname_file, "%s\n", hostname) < 0)
		return -ENOMEM;
	file_mount(o, "/etc/hosts", &o->hosts);
	file_mount(o, "/etc/resolv.conf", &o->resolv);
	file_mount(o, "/etc/hostname", &o->hostname_file);
	for (uint32_t i = 0; i < c->n_mounts && o->n_mounts < AGENT_MOUNTS_MAX; i++)
		mount_fill(o, k, &c->mounts[i]);
	return 0;
}

static int order_fill(struct order *o, struct keeper *k, const char *hostname)
{
	const struct machine_config *c = &k->config;
	int rc = env_fill(o, c, hostname);

	for (uint32_t i = 0; rc == 0 && i < c->entrypoint.n; i++)
		rc = strv_add(&o->argv, c->entrypoint.v[i]);
	for (uint32_t i = 0; rc == 0 && i < c->cmd.n; i++)
		rc = strv_add(&o->argv, c->cmd.v[i]);
	return rc ? rc : mounts_fill(o, k, hostname);
}

static int run_put(struct keeper *k, struct err *e)
{
	const struct machine_config *c = &k->config;
	struct order *o = calloc(1, sizeof(*o));
	char host[HOSTNAME_LEN + 1];
	struct agent_run r;
	int rc;

	if (!o)
		return err_set(e, ENOMEM, "orders");
	rc = order_fill(o, k, hostname_of(k, host));
	r = (struct agent_run){
		.flags = AGENT_RUN_MAIN | (c->has_tty ? AGENT_RUN_TTY : 0U) |
			 (c->has_stdin ? AGENT_RUN_STDIN : 0U) |
			 (c->is_readonly ? AGENT_RUN_READONLY : 0U),
		.argv = { (const char **)o->argv.v, o->argv.n },
		.env = { (const char **)o->env.v, o->env.n },
		.cwd = c->cwd ? c->cwd : "",
		.user = c->user ? c->user : "",
		.mounts = o->mounts,
		.n_mounts = o->n_mounts,
	};
	if (rc == 0)
		rc = agent_put_run(&k->agent_out, AGENT_STREAM_MAIN, &r);
	order_done(o);
	free(o);
	if (rc == -EFBIG || rc == -E2BIG)
		return err_plain(e, E2BIG, "arguments and environment are too long");
	return rc < 0 ? err_set(e, -rc, "orders") : 0;
}

int keeper_order(struct keeper *k, struct err *e)
{
	if (identity_put(k, e) < 0 || root_put(k, e) < 0)
		return -e->code;
	k->waits_for_lease = k->config.has_network && !k->net.ip;
	if (!k->waits_for_lease && run_put(k, e) < 0)
		return -e->code;
	k->has_orders = true;
	link_flush(k);
	return 0;
}

int keeper_lease(struct keeper *k, const struct agent_lease *l, struct err *e)
{
	k->net.ip = l->ip;
	k->net.gateway = l->gateway;
	k->net.prefix_len = l->prefix_len;
	memcpy(k->net.dns, l->dns, sizeof(k->net.dns));
	addresses_note(k);
	if (!k->waits_for_lease) {
		record_state_write(k);
		return 0;
	}
	k->waits_for_lease = false;
	if (run_put(k, e) < 0)
		return -e->code;
	link_flush(k);
	return 0;
}
