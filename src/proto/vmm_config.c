/* SPDX-License-Identifier: MIT */
/*
 * vmm_config.c - [U] what caisson-vmm is told at its start
 *
 * Hostile: every byte that is decoded. Invariants: I1 a reader never moves past its end; after its
 * first fault it yields zeros. I2 a count is checked against its array before anything is stored.
 * I3 a value is an enum's only after it was compared with the enum's size. I4 a text in the result
 * has a NUL inside its array.
 */
#include "vmm_config.h"

#include <string.h>

#include "bytes.h"

#define MAGIC_LEN 8U
#define HEAD_LEN  (MAGIC_LEN + 8U)
#define LETTERS   "abcdefghijklmnopqrstuvwxyz0123456789"

static const char magic[MAGIC_LEN] = "CSNVMM\1";

void vmm_config_init(struct vmm_config *c)
{
	memset(c, 0, sizeof(*c));
	c->mem_fd = c->kernel_fd = c->initrd_fd = c->state_fd = -1;
	c->net_fd = c->ctl_fd = c->agent_fd = c->console_fd = -1;
	c->vsock_listen_fd = c->vsock_broker_fd = -1;
	for (uint32_t i = 0; i < VMM_DISKS_MAX; i++)
		for (uint32_t j = 0; j < VMM_LAYERS_MAX; j++)
			c->disks[i].fds[j] = -1;
	for (uint32_t i = 0; i < VMM_PARTS_MAX; i++)
		c->parts[i].fd = -1;
	for (uint32_t i = 0; i < VMM_SHARES_MAX; i++)
		c->shares[i].sock_fd = -1;
}

/* ---- encoding ---- */

struct writer {
	struct buf *b;
	int rc; /* of the first step that failed; the rest are not done */
};

static void put(struct writer *w, const void *data, size_t len)
{
	if (w->rc == 0)
		w->rc = buf_add(w->b, data, len);
}

static void put_bool(struct writer *w, bool v)
{
	uint8_t raw = v;

	put(w, &raw, 1);
}

static void put_u32(struct writer *w, uint32_t v)
{
	uint8_t raw[4];

	put_le32(raw, v);
	put(w, raw, sizeof(raw));
}

static void put_fd(struct writer *w, int fd)
{
	put_u32(w, (uint32_t)fd);
}

static void put_u64(struct writer *w, uint64_t v)
{
	uint8_t raw[8];

	put_le64(raw, v);
	put(w, raw, sizeof(raw));
}

static void put_text(struct writer *w, const char *s, size_t size)
{
	size_t len = strnlen(s, size);

	if (len == size && w->rc == 0)
		w->rc = -EINVAL;
	put_u32(w, (uint32_t)len);
	put(w, s, len);
}

/* What is to follow: nothing when the count is past its array. */
static uint32_t put_count(struct writer *w, uint32_t n, uint32_t max)
{
	if (n > max && w->rc == 0)
		w->rc = -EINVAL;
	put_u32(w, n);
	return n > max ? 0 : n;
}

static void put_limit(struct writer *w, const struct vmm_limit *l)
{
	put_u64(w, l->bytes_per_s);
	put_u64(w, l->ops_per_s);
	put_u64(w, l->bytes_burst);
	put_u64(w, l->ops_burst);
}

static void put_disk(struct writer *w, const struct vmm_disk *d)
{
	uint32_t n;

	put_u32(w, d->kind);
	put_bool(w, d->is_readonly);
	put_bool(w, d->is_mapped);
	put_u64(w, d->size);
	n = put_count(w, d->n_fds, VMM_LAYERS_MAX);
	for (uint32_t i = 0; i < n; i++)
		put_fd(w, d->fds[i]);
	put_u32(w, d->first_part);
	put_u32(w, d->n_parts);
	put_limit(w, &d->limit);
}

static void put_part(struct writer *w, const struct vmm_part *p)
{
	put_fd(w, p->fd);
	put_u64(w, p->disk_off);
	put_u64(w, p->file_off);
	put_u64(w, p->len);
}

static void put_machine(struct writer *w, const struct vmm_config *c)
{
	put_u32(w, c->cpus);
	put_u64(w, c->mem_bytes);
	put_u32(w, c->mem);
	put_fd(w, c->mem_fd);
	put_u32(w, c->boot);
	put_fd(w, c->kernel_fd);
	put_fd(w, c->initrd_fd);
	put_fd(w, c->state_fd);
	put_text(w, c->cmdline, sizeof(c->cmdline));
	put_text(w, c->cpu_model, sizeof(c->cpu_model));
}

static void put_devices(struct writer *w, const struct vmm_config *c)
{
	uint32_t n = put_count(w, c->n_disks, VMM_DISKS_MAX);

	for (uint32_t i = 0; i < n; i++)
		put_disk(w, &c->disks[i]);
	n = put_count(w, c->n_parts, VMM_PARTS_MAX);
	for (uint32_t i = 0; i < n; i++)
		put_part(w, &c->parts[i]);
	n = put_count(w, c->n_shares, VMM_SHARES_MAX);
	for (uint32_t i = 0; i < n; i++) {
		put_text(w, c->shares[i].tag, sizeof(c->shares[i].tag));
		put_fd(w, c->shares[i].sock_fd);
	}
	put_bool(w, c->has_net);
	put_u32(w, c->net);
	put_fd(w, c->net_fd);
	put(w, c->mac, sizeof(c->mac));
	put_bool(w, c->has_vsock);
	put_fd(w, c->vsock_listen_fd);
	put_fd(w, c->vsock_broker_fd);
	put_limit(w, &c->net_limit);
	put_fd(w, c->ctl_fd);
	put_fd(w, c->agent_fd);
	put_fd(w, c->console_fd);
	put_u64(w, c->mem_max_bytes);
}

int vmm_config_put(const struct vmm_config *c, struct buf *b)
{
	struct writer w = { .b = b };
	size_t at = b->len;

	put(&w, magic, MAGIC_LEN);
	put_u32(&w, VMM_CONFIG_VERSION);
	put_u32(&w, 0); /* the length, below */
	put_machine(&w, c);
	put_devices(&w, c);
	if (w.rc < 0)
		b->len = at;
	else
		put_le32(b->data + at + MAGIC_LEN + 4, (uint32_t)(b->len - at));
	return w.rc;
}

/* ---- decoding ---- */

struct reader {
	const uint8_t *p;
	size_t left;
	const char *fault; /* the first; NULL: none */
};

static void fault_set(struct reader *r, const char *fault)
{
	if (!r->fault)
		r->fault = fault;
}

static void get(struct reader *r, void *data, size_t len)
{
	if (len > r->left)
		fault_set(r, "is cut off");
	if (r->fault) {
		memset(data, 0, len);
		return;
	}
	memcpy(data, r->p, len);
	r->p += len;
	r->left -= len;
}

static bool get_bool(struct reader *r)
{
	uint8_t v;

	get(r, &v, 1);
	if (v > 1)
		fault_set(r, "has a flag that is neither 0 nor 1");
	return v == 1;
}

static uint32_t get_u32(struct reader *r)
{
	uint8_t raw[4];

	get(r, raw, sizeof(raw));
	return get_le32(raw);
}

static int get_fd(struct reader *r)
{
	return (int)get_u32(r);
}

static uint64_t get_u64(struct reader *r)
{
	uint8_t raw[8];

	get(r, raw, sizeof(raw));
	return get_le64(raw);
}

static uint32_t get_most(struct reader *r, uint32_t max, const char *fault)
{
	uint32_t v = get_u32(r);

	if (v > max) {
		fault_set(r, fault);
		return 0;
	}
	return v;
}

static void get_text(struct reader *r, char *ret, uint32_t size)
{
	uint32_t len = get_most(r, size - 1, "has a text that is too long");

	get(r, ret, len);
	ret[len] = '\0';
	if (memchr(ret, '\0', len))
		fault_set(r, "has a text with a NUL in it");
}

static void get_limit(struct reader *r, struct vmm_limit *l)
{
	l->bytes_per_s = get_u64(r);
	l->ops_per_s = get_u64(r);
	l->bytes_burst = get_u64(r);
	l->ops_burst = get_u64(r);
	if ((l->bytes_burst && !l->bytes_per_s) || (l->ops_burst && !l->ops_per_s))
		fault_set(r, "has a burst of what has no limit");
}

static void get_disk(struct reader *r, struct vmm_disk *d)
{
	d->kind = (enum vmm_disk_kind)get_most(r, VMM_DISK_VHD, "has a disk of an unknown kind");
	d->is_readonly = get_bool(r);
	d->is_mapped = get_bool(r);
	d->size = get_u64(r);
	d->n_fds = get_most(r, VMM_LAYERS_MAX, "has a disk of too many files");
	for (uint32_t i = 0; i < d->n_fds; i++)
		d->fds[i] = get_fd(r);
	d->first_part = get_u32(r);
	d->n_parts = get_u32(r);
	get_limit(r, &d->limit);
}

static void get_part(struct reader *r, struct vmm_part *p)
{
	p->fd = get_fd(r);
	p->disk_off = get_u64(r);
	p->file_off = get_u64(r);
	p->len = get_u64(r);
}

static void get_machine(struct reader *r, struct vmm_config *c)
{
	c->cpus = get_u32(r);
	c->mem_bytes = get_u64(r);
	c->mem = (enum vmm_mem)get_most(r, VMM_MEM_SHARED, "has an unknown kind of memory");
	c->mem_fd = get_fd(r);
	c->boot = (enum vmm_boot)get_most(r, VMM_BOOT_RESTORE, "has an unknown kind of boot");
	c->kernel_fd = get_fd(r);
	c->initrd_fd = get_fd(r);
	c->state_fd = get_fd(r);
	get_text(r, c->cmdline, sizeof(c->cmdline));
	get_text(r, c->cpu_model, sizeof(c->cpu_model));
}

static void get_devices(struct reader *r, struct vmm_config *c)
{
	c->n_disks = get_most(r, VMM_DISKS_MAX, "has too many disks");
	for (uint32_t i = 0; i < c->n_disks; i++)
		get_disk(r, &c->disks[i]);
	c->n_parts = get_most(r, VMM_PARTS_MAX, "has too many parts of disks");
	for (uint32_t i = 0; i < c->n_parts; i++)
		get_part(r, &c->parts[i]);
	c->n_shares = get_most(r, VMM_SHARES_MAX, "has too many shared directories");
	for (uint32_t i = 0; i < c->n_shares; i++) {
		get_text(r, c->shares[i].tag, sizeof(c->shares[i].tag));
		c->shares[i].sock_fd = get_fd(r);
	}
	c->has_net = get_bool(r);
	c->net = (enum vmm_net)get_most(r, VMM_NET_TAP, "has an unknown kind of network");
	c->net_fd = get_fd(r);
	get(r, c->mac, sizeof(c->mac));
	c->has_vsock = get_bool(r);
	c->vsock_listen_fd = get_fd(r);
	c->vsock_broker_fd = get_fd(r);
	get_limit(r, &c->net_limit);
	c->ctl_fd = get_fd(r);
	c->agent_fd = get_fd(r);
	c->console_fd = get_fd(r);
	c->mem_max_bytes = get_u64(r);
}

/* ---- rules ---- */

enum fd_use {
	FD_UNNAMED,
	FD_ALONE,
	FD_OF_PARTS, /* which may share it */
};

struct names { /* which descriptors were named so far */
	uint32_t n_fds;
	uint8_t use[VMM_FDS_MAX]; /* enum fd_use */
};

static int fd_name(struct names *n, int fd, enum fd_use use, const char *what, struct err *e)
{
	uint32_t i = (uint32_t)fd - VMM_FD_FIRST;

	if (fd < VMM_FD_FIRST || i >= n->n_fds)
		return err_plain(e, EINVAL, "%s: there is no descriptor %d", what, fd);
	if (n->use[i] != FD_UNNAMED && (use == FD_ALONE || n->use[i] != use))
		return err_plain(e, EINVAL, "%s: descriptor %d serves something else", what, fd);
	n->use[i] = (uint8_t)use;
	return 0;
}

enum fd_need {
	FD_MUST,
	FD_MAY,
	FD_NEVER,
};

static int fd_check(struct names *n, int fd, enum fd_need need, const char *what, struct err *e)
{
	if (fd == -1 && need != FD_MUST)
		return 0;
	if (need == FD_NEVER)
		return err_plain(e, EINVAL, "%s: descriptor %d is for nothing", what, fd);
	return fd_name(n, fd, FD_ALONE, what, e);
}

/* The part is behind *end, which moves on. */
static int part_check(const struct vmm_part *p, uint64_t size, uint64_t *end, struct err *e)
{
	if (!p->len || p->disk_off % VMM_PART_UNIT || p->file_off % VMM_PART_UNIT ||
	    p->len % VMM_PART_UNIT)
		return err_plain(e, EINVAL, "not in units of %u bytes", VMM_PART_UNIT);
	if (p->disk_off < *end || !range_fits(p->disk_off, p->len, size) ||
	    !range_fits(p->file_off, p->len, INT64_MAX))
		return err_plain(e, EINVAL, "does not fit");
	*end = p->disk_off + p->len;
	return 0;
}

static int concat_check(const struct vmm_config *c, const struct vmm_disk *d, struct names *n,
			struct err *e)
{
	uint64_t end = 0;

	if (!d->is_readonly || !d->n_parts)
		return err_plain(e, EINVAL, "disks of parts have parts and are read-only");
	for (uint32_t i = 0; i < d->n_parts; i++) {
		const struct vmm_part *p = &c->parts[d->first_part + i];

		if (part_check(p, d->size, &end, e) < 0 ||
		    fd_name(n, p->fd, FD_OF_PARTS, "file", e) < 0)
			return err_wrap(e, "part %u", i);
	}
	return 0;
}

/* *parts are those of the disks before; it moves on. */
static int disk_check(const struct vmm_config *c, const struct vmm_disk *d, struct names *n,
		      uint32_t *parts, struct err *e)
{
	static const uint32_t fds_max[] = { [VMM_DISK_EMPTY] = 0,
					    [VMM_DISK_RAW] = 1,
					    [VMM_DISK_CONCAT] = 0,
					    [VMM_DISK_VHD] = VMM_LAYERS_MAX };
	bool is_concat = d->kind == VMM_DISK_CONCAT;

	if (d->n_fds > fds_max[d->kind] || (!d->n_fds && fds_max[d->kind]))
		return err_plain(e, EINVAL, "%u files", d->n_fds);
	if (d->first_part != (is_concat ? *parts : 0) ||
	    d->n_parts > (is_concat ? c->n_parts - *parts : 0))
		return err_plain(e, EINVAL, "parts %u and on, %u", d->first_part, d->n_parts);
	*parts += d->n_parts;
	if (d->size % VMM_SECTOR || d->size > VMM_DISK_SIZE_MAX ||
	    (d->size == 0) != (d->kind == VMM_DISK_EMPTY))
		return err_plain(e, EINVAL, "%llu bytes", (unsigned long long)d->size);
	for (uint32_t i = 0; i < d->n_fds; i++)
		if (fd_name(n, d->fds[i], FD_ALONE, "file", e) < 0)
			return -e->code;
	return is_concat ? concat_check(c, d, n, e) : 0;
}

static int mapped_check(const struct vmm_disk *d, struct err *e)
{
	if (!d->is_readonly || (d->kind != VMM_DISK_EMPTY && d->kind != VMM_DISK_CONCAT))
		return err_plain(e, EINVAL, "mapped, but of another kind");
	if (d->kind == VMM_DISK_CONCAT &&
	    (d->size < VMM_MAPPED_MIN || d->size > VMM_MAPPED_MAX || d->size % VMM_MAPPED_UNIT))
		return err_plain(e, EINVAL, "mapped, of %llu bytes", (unsigned long long)d->size);
	return 0;
}

static int disks_check(const struct vmm_config *c, struct names *n, struct err *e)
{
	uint32_t parts = 0, mapped = 0;

	for (uint32_t i = 0; i < c->n_disks; i++) {
		const struct vmm_disk *d = &c->disks[i];

		if (disk_check(c, d, n, &parts, e) < 0 || (d->is_mapped && mapped_check(d, e) < 0))
			return err_wrap(e, "disk %u", i);
		mapped += d->is_mapped;
	}
	if (mapped > 1)
		return err_plain(e, EINVAL, "%u mapped disks", mapped);
	if (parts != c->n_parts)
		return err_plain(e, EINVAL, "%u parts that are no disk's", c->n_parts - parts);
	return 0;
}

static int size_check(const struct vmm_config *c, struct err *e)
{
	if (!c->cpus || c->cpus > VMM_CPUS_MAX)
		return err_plain(e, EINVAL, "%u processors (1 to %u)", c->cpus, VMM_CPUS_MAX);
	if (c->mem_bytes < VMM_MEM_MIN || c->mem_bytes > VMM_MEM_MAX || c->mem_bytes % VMM_MEM_UNIT)
		return err_plain(e, EINVAL, "memory of %llu bytes",
				 (unsigned long long)c->mem_bytes);
	if (c->mem_max_bytes && (c->mem_max_bytes <= c->mem_bytes ||
				 c->mem_max_bytes > VMM_MEM_MAX || c->mem_max_bytes % VMM_MEM_UNIT))
		return err_plain(e, EINVAL, "memory that grows to %llu bytes",
				 (unsigned long long)c->mem_max_bytes);
	if (!*c->cpu_model || c->cpu_model[strspn(c->cpu_model, LETTERS "-")])
		return err_plain(e, EINVAL, "bad name of a processor model");
	return 0;
}

static int boot_check(const struct vmm_config *c, struct names *n, struct err *e)
{
	bool is_cold = c->boot == VMM_BOOT_COLD;

	if (is_cold && c->mem == VMM_MEM_PRIVATE)
		return err_plain(e, EINVAL, "private memory is for what is restored");
	if (!is_cold && c->mem == VMM_MEM_ANON)
		return err_plain(e, EINVAL, "what is restored has memory");
	if (is_cold != (*c->cmdline != '\0'))
		return err_plain(e, EINVAL, "a cold boot, and no other, has a command line");
	for (const char *s = c->cmdline; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return err_plain(e, EINVAL, "a control byte in the command line");
	if (fd_check(n, c->mem_fd, c->mem == VMM_MEM_ANON ? FD_NEVER : FD_MUST, "memory", e) < 0 ||
	    fd_check(n, c->kernel_fd, is_cold ? FD_MUST : FD_NEVER, "kernel", e) < 0 ||
	    fd_check(n, c->initrd_fd, is_cold ? FD_MAY : FD_NEVER, "initrd", e) < 0)
		return -e->code;
	return fd_check(n, c->state_fd, is_cold ? FD_NEVER : FD_MUST, "state", e);
}

static int shares_check(const struct vmm_config *c, struct names *n, struct err *e)
{
	for (uint32_t i = 0; i < c->n_shares; i++) {
		const char *tag = c->shares[i].tag;

		if (!*tag || tag[strspn(tag, LETTERS)])
			return err_plain(e, EINVAL, "shared directory %u: bad tag", i);
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(tag, c->shares[j].tag) == 0)
				return err_plain(e, EINVAL, "two shared directories %s", tag);
		if (fd_check(n, c->shares[i].sock_fd, FD_MAY, tag, e) < 0)
			return err_wrap(e, "shared directory");
	}
	return 0;
}

static int net_check(const struct vmm_config *c, struct names *n, struct err *e)
{
	static const uint8_t zeros[VMM_MAC_SIZE];
	bool has_mac = memcmp(c->mac, zeros, sizeof(zeros)) != 0;

	if (!c->has_net && (c->net != VMM_NET_STREAM || has_mac || c->net_limit.bytes_per_s ||
			    c->net_limit.ops_per_s))
		return err_plain(e, EINVAL, "no network, but what it should be");
	if (c->has_net && (!has_mac || c->mac[0] & 1))
		return err_plain(e, EINVAL, "the network's address is not one station's");
	return fd_check(n, c->net_fd, c->has_net ? FD_MAY : FD_NEVER, "network", e);
}

static int vsock_check(const struct vmm_config *c, struct names *n, struct err *e)
{
	const enum fd_need need = c->has_vsock ? FD_MAY : FD_NEVER;

	if (fd_check(n, c->vsock_listen_fd, need, "vsock", e) < 0)
		return -e->code;
	return fd_check(n, c->vsock_broker_fd, need, "broker of vsock", e);
}

static int config_check(const struct vmm_config *c, uint32_t n_fds, struct err *e)
{
	struct names n = { .n_fds = n_fds };

	if (size_check(c, e) < 0 || boot_check(c, &n, e) < 0 || disks_check(c, &n, e) < 0 ||
	    shares_check(c, &n, e) < 0 || net_check(c, &n, e) < 0 || vsock_check(c, &n, e) < 0 ||
	    fd_check(&n, c->ctl_fd, FD_MUST, "control socket", e) < 0 ||
	    fd_check(&n, c->agent_fd, FD_MUST, "agent's socket", e) < 0)
		return -e->code;
	return fd_check(&n, c->console_fd, FD_MAY, "console", e);
}

static int head_check(const uint8_t *p, size_t len, struct err *e)
{
	if (len < HEAD_LEN || memcmp(p, magic, MAGIC_LEN) != 0)
		return err_plain(e, EBADMSG, "no configuration of a VMM");
	if (get_le32(p + MAGIC_LEN) != VMM_CONFIG_VERSION)
		return err_plain(e, EBADMSG, "configuration of version %u; this is version %u",
				 get_le32(p + MAGIC_LEN), VMM_CONFIG_VERSION);
	if (len > VMM_CONFIG_SIZE_MAX || get_le32(p + MAGIC_LEN + 4) != len)
		return err_plain(e, EBADMSG, "configuration of %u bytes, here are %zu",
				 get_le32(p + MAGIC_LEN + 4), len);
	return 0;
}

int vmm_config_parse(const void *data, size_t len, uint32_t n_fds, struct vmm_config *ret,
		     struct err *e)
{
	struct reader r = { .p = data, .left = len };
	struct vmm_config c;

	if (n_fds > VMM_FDS_MAX)
		return err_plain(e, EINVAL, "more than %u descriptors", VMM_FDS_MAX);
	if (head_check(data, len, e) < 0)
		return -e->code;
	r.p += HEAD_LEN;
	r.left -= HEAD_LEN;
	vmm_config_init(&c);
	get_machine(&r, &c);
	get_devices(&r, &c);
	if (r.left && !r.fault)
		r.fault = "has bytes after its end";
	if (r.fault)
		return err_plain(e, EBADMSG, "the configuration %s", r.fault);
	if (config_check(&c, n_fds, e) < 0)
		return err_wrap(e, "configuration");
	*ret = c;
	return 0;
}
