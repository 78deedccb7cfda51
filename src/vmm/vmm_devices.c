/* SPDX-License-Identifier: MIT */
/*
 * vmm_devices.c - the devices of a configuration
 *
 * Console, disks, network, random numbers, balloon, sockets, growing memory, shares: in this order,
 * always, since a template and its clones must have the same device in the same slot. A mapped disk
 * is a device of another kind in its place.
 */
#include <string.h>

#include "vmm_machine.h"
#include "vhd.h"
#include "virtio_balloon.h"
#include "virtio_blk.h"
#include "virtio_console.h"
#include "virtio_fs.h"
#include "virtio_mem.h"
#include "virtio_net.h"
#include "virtio_pmem.h"
#include "virtio_rng.h"
#include "virtio_vsock.h"

#define AGENT_PORT "caisson.agent"

static int console_make(struct machine *m, struct err *e)
{
	const struct console_port_spec ports[] = { { AGENT_PORT, m->c->agent_fd, false } };
	struct virtio_device *d;

	if (virtio_console_new(m->loop, ports, ARRAY_SIZE(ports), &d, e) < 0)
		return -e->code;
	return machine_slot_add(m, d, e);
}

static struct rate_limit_options limit_of(const struct vmm_limit *l)
{
	return (struct rate_limit_options){ l->bytes_per_s, l->ops_per_s, l->bytes_burst,
					    l->ops_burst };
}

/* ---- disks ---- */

static int image_open(int fd, struct vhd *parent, bool is_readonly, struct vhd **ret, struct err *e)
{
	const struct vhd_open_options o = {
		.flags = (is_readonly ? 0 : VHD_OPEN_WRITE) | VHD_OPEN_NO_LOCK,
	};
	struct vhd_err v = { 0 };
	struct vhd_io *io;

	if (vhd_io_file(fd, "disk", &io, &v) < 0)
		return err_plain(e, v.code, "%s", v.msg);
	if (vhd_open_io(io, parent, &o, ret, &v) < 0) {
		vhd_io_close(io);
		return err_plain(e, v.code, "%s", v.msg);
	}
	return 0;
}

/* From the lowest up: each takes what it stands on. */
static int chain_open(const struct vmm_disk *d, struct blk_back **ret, struct err *e)
{
	struct vhd *v = NULL;
	struct vhd_err ignored = { 0 };

	for (uint32_t i = d->n_fds; i-- > 0;) {
		struct vhd *over;

		if (image_open(d->fds[i], v, d->is_readonly || i > 0, &over, e) < 0) {
			if (v)
				(void)vhd_close(v, &ignored); /* only read from */
			return -e->code;
		}
		v = over;
	}
	if (vhd_size(v) != d->size)
		(void)err_plain(e, EINVAL, "a disk of %llu bytes, not %llu",
				(unsigned long long)vhd_size(v), (unsigned long long)d->size);
	else if (blk_back_vhd(v, d->is_readonly, ret, e) == 0)
		return 0;
	(void)vhd_close(v, &ignored);
	return -e->code;
}

static int back_open(const struct machine *m, const struct vmm_disk *d, struct blk_back **ret,
		     struct err *e)
{
	switch (d->kind) {
	case VMM_DISK_RAW:
		return blk_back_raw(d->fds[0], d->size, d->is_readonly, ret, e);
	case VMM_DISK_CONCAT:
		return blk_back_concat(&m->c->parts[d->first_part], d->n_parts, d->size, ret, e);
	case VMM_DISK_VHD:
		return chain_open(d, ret, e);
	default:
		return blk_back_empty(d->is_readonly, ret, e);
	}
}

_Static_assert(VMM_MAPPED_MAX <= X86_ROM_MAX, "room for the largest mapped disk");
_Static_assert(X86_MEMORY_MAX + X86_GAP_END < X86_ROM, "RAM ends below it");

/* Without files yet it is as small as one can be. */
static int mapped_make(struct machine *m, const struct vmm_disk *c, struct err *e)
{
	const struct vmm_part *parts = &m->c->parts[c->first_part];
	struct virtio_device *d;
	int rc = guest_rom_map(&m->mem, X86_ROM, c->size ? c->size : VMM_MAPPED_UNIT, parts,
			       c->n_parts, e);

	blk_parts_close(parts, c->n_parts); /* the files stay mapped */
	if (rc < 0 || x86_vm_rom(&m->vm, &m->mem.rom, e) < 0 ||
	    virtio_pmem_new(m->loop, m->mem.rom.gpa, m->mem.rom.size, &d, e) < 0)
		return -e->code;
	return machine_slot_add(m, d, e);
}

static int disk_make(struct machine *m, uint32_t i, struct err *e)
{
	const struct vmm_disk *c = &m->c->disks[i];
	struct virtio_blk_options o = { .kind = BLK_ENGINE_AUTO,
					.starts_later = true,
					.limit = limit_of(&c->limit) };
	struct virtio_device *d;
	struct blk_back *back;
	char serial[16];

	if (c->is_mapped)
		return mapped_make(m, c, e) < 0 ? err_wrap(e, "disk %u", i) : 0;
	if (back_open(m, c, &back, e) < 0)
		return err_wrap(e, "disk %u", i);
	snprintf(serial, sizeof(serial), "disk%u", i);
	o.serial = serial;
	if (virtio_blk_new(m->loop, back, &o, &d, e) < 0) {
		blk_back_free(back);
		return err_wrap(e, "disk %u", i);
	}
	m->disks[i] = d;
	return machine_slot_add(m, d, e);
}

/* ---- the others ---- */

static int net_make(struct machine *m, struct err *e)
{
	struct net_spec spec = { .kind = m->c->net == VMM_NET_TAP ? NET_TAP : NET_STREAM,
				 .fd = m->c->net_fd,
				 .to_guest = limit_of(&m->c->net_limit),
				 .from_guest = limit_of(&m->c->net_limit) };

	if (!m->c->has_net)
		return 0;
	memcpy(spec.mac, m->c->mac, sizeof(spec.mac));
	if (spec.kind == NET_TAP && spec.fd >= 0 && virtio_net_tap_prepare(spec.fd, e) < 0)
		return err_wrap(e, "network");
	if (virtio_net_new(m->loop, &spec, &m->net, e) < 0)
		return err_wrap(e, "network");
	return machine_slot_add(m, m->net, e);
}

static int vsock_make(struct machine *m, struct err *e)
{
	struct virtio_device *d;

	if (!m->c->has_vsock)
		return 0;
	if (virtio_vsock_new(m->loop, m->c->vsock_listen_fd, m->c->vsock_broker_fd, &d, e) < 0)
		return -e->code;
	return machine_slot_add(m, d, e);
}

static bool memory_is_used(void *arg, uint64_t gpa, uint64_t len)
{
	struct machine *m = arg;
	const uint8_t *p = m->mem.area.hva + (gpa - m->mem.area.gpa);
	bool is_used = false;

	for (uint32_t i = 0; i < m->n_slots && !is_used; i++) {
		struct virtio_device *d = m->slots[i].t.dev;

		if (d != m->growth) /* whose lock we have */
			pthread_mutex_lock(&d->lock);
		for (uint32_t q = 0; q < d->n_queues; q++)
			is_used |= virtq_uses(&d->queues[q], gpa, len);
		is_used |= d->ops->uses && d->ops->uses(d, p, len);
		if (d != m->growth)
			pthread_mutex_unlock(&d->lock);
	}
	return is_used;
}

static int growth_make(struct machine *m, struct err *e)
{
	const struct virtio_mem_spec spec = { &m->mem, m->c->mem_max_bytes - m->c->mem_bytes,
					      memory_is_used, m };

	if (!m->c->mem_max_bytes)
		return 0;
	if (virtio_mem_new(m->loop, &spec, &m->growth, e) < 0)
		return -e->code;
	return machine_slot_add(m, m->growth, e);
}

static int shares_make(struct machine *m, struct err *e)
{
	for (uint32_t i = 0; i < m->c->n_shares; i++) {
		struct virtio_device *d;

		if (virtio_fs_new(m->loop, m->c->shares[i].tag, m->c->shares[i].sock_fd, &d, e) < 0)
			return err_wrap(e, "share %u", i);
		if (machine_slot_add(m, d, e) < 0)
			return -e->code;
	}
	return 0;
}

int machine_devices_make(struct machine *m, struct err *e)
{
	struct virtio_device *rng;

	if (console_make(m, e) < 0)
		return err_wrap(e, "console");
	for (uint32_t i = 0; i < m->c->n_disks; i++)
		if (disk_make(m, i, e) < 0)
			return -e->code;
	if (net_make(m, e) < 0 || virtio_rng_new(m->loop, &rng, e) < 0 ||
	    machine_slot_add(m, rng, e) < 0 ||
	    virtio_balloon_new(m->loop, &m->mem, &m->balloon, e) < 0 ||
	    machine_slot_add(m, m->balloon, e) < 0 || vsock_make(m, e) < 0 || growth_make(m, e) < 0)
		return -e->code;
	return shares_make(m, e);
}
