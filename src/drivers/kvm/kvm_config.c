/* SPDX-License-Identifier: MIT */
/*
 * kvm_config.c - spec -> configuration
 *
 * Two machines that share a template must have the same devices in the same order: nothing here
 * may depend on whether the machine boots or is restored, but for kernel, memory and state.
 */
#include "kvm_config.h"

#include <string.h>

/* The agent gives each clone its own. */
static const uint8_t template_mac[VMM_MAC_SIZE] = { 0x02, 0xca, 0x15, 0x50, 0, 1 };

/* The kernel uses what was added, without a word from user space, and keeps most of it for what it
 * can move elsewhere, so that it can be given back. */
#define GROWS " memhp_default_state=online memory_hotplug.online_policy=auto-movable"

/* Its number in the new process; -1 for none. */
static int fd_add(struct kvm_config *k, int fd)
{
	if (fd < 0)
		return -1;
	if (k->n_fds == ARRAY_SIZE(k->fds))
		return -E2BIG;
	k->fds[k->n_fds] = fd;
	return (int)k->n_fds++;
}

/* Several parts of a disk are of one file: that is passed once. */
static int part_fd_add(struct kvm_config *k, const struct vmm_disk *d, const struct vm_disk *from,
		       uint32_t i)
{
	for (uint32_t b = 0; b < i; b++)
		if (from->parts[b].fd == from->parts[i].fd)
			return k->c.parts[d->first_part + b].fd;
	return fd_add(k, from->parts[i].fd);
}

static int parts_add(struct kvm_config *k, const struct vm_disk *from, struct vmm_disk *d)
{
	d->first_part = k->c.n_parts;
	d->n_parts = from->n_parts;
	if (from->n_parts > VMM_PARTS_MAX - k->c.n_parts)
		return -E2BIG;
	for (uint32_t i = 0; i < from->n_parts; i++) {
		struct vmm_part *p = &k->c.parts[k->c.n_parts];

		*p = (struct vmm_part){ part_fd_add(k, d, from, i), from->parts[i].disk_off,
					from->parts[i].file_off, from->parts[i].len };
		if (p->fd < 0)
			return -E2BIG;
		k->c.n_parts++;
	}
	return 0;
}

_Static_assert(VM_MAPPED_UNIT == VMM_MAPPED_UNIT && VM_MAPPED_MIN == VMM_MAPPED_MIN &&
		       VM_MAPPED_MAX == VMM_MAPPED_MAX,
	       "what a spec may have is what caisson-vmm takes");

static struct vmm_limit limit_of(const struct vm_limit *l)
{
	return (struct vmm_limit){ .bytes_per_s = l->bytes_per_s, .ops_per_s = l->ops_per_s };
}

static int disk_add(struct kvm_config *k, const struct vm_disk *from, struct err *e)
{
	struct vmm_disk *d = &k->c.disks[k->c.n_disks++];
	int rc = 0;

	d->is_readonly = from->is_readonly;
	d->is_mapped = from->is_mapped;
	d->limit = limit_of(&from->limit);
	d->size = from->kind == VM_DISK_EMPTY ? 0 : from->size;
	switch (from->kind) {
	case VM_DISK_EMPTY:
		d->kind = VMM_DISK_EMPTY;
		break;
	case VM_DISK_RAW:
		d->kind = VMM_DISK_RAW;
		d->fds[d->n_fds++] = rc = fd_add(k, from->fd);
		break;
	case VM_DISK_CONCAT:
		d->kind = VMM_DISK_CONCAT;
		rc = parts_add(k, from, d);
		break;
	case VM_DISK_VHD:
		d->kind = VMM_DISK_VHD;
		for (uint32_t i = 0; rc >= 0 && i < from->n_layers; i++)
			d->fds[d->n_fds++] = rc = fd_add(k, from->layers[i]);
		break;
	default:
		return err_plain(e, EINVAL, "caisson-vmm has no disks behind NBD");
	}
	return rc < 0 ? err_plain(e, E2BIG, "too many descriptors for one machine") : 0;
}

static int disks_add(struct kvm_config *k, const struct vm_spec *s, struct err *e)
{
	for (uint32_t i = 0; i < s->n_disks; i++)
		if (disk_add(k, &s->disks[i], e) < 0)
			return -e->code;
	return 0;
}

static void memory_set(struct kvm_config *k, const struct vm_spec *s)
{
	static const enum vmm_mem kinds[] = { [VM_MEM_ANON] = VMM_MEM_ANON,
					      [VM_MEM_PRIVATE] = VMM_MEM_PRIVATE,
					      [VM_MEM_SHARED] = VMM_MEM_SHARED };

	k->c.cpus = s->cpus;
	k->c.mem_bytes = s->mem_bytes;
	k->c.mem_max_bytes = s->mem_max_bytes;
	k->c.mem = kinds[s->mem];
	k->c.mem_fd = s->mem == VM_MEM_ANON ? -1 : fd_add(k, s->mem_fd);
}

static void boot_set(struct kvm_config *k, const struct vm_spec *s)
{
	if (s->boot == VM_BOOT_RESTORE) {
		k->c.boot = VMM_BOOT_RESTORE;
		k->c.state_fd = fd_add(k, s->state_fd);
		return;
	}
	k->c.boot = VMM_BOOT_COLD;
	k->c.kernel_fd = fd_add(k, s->kernel_fd);
	k->c.initrd_fd = fd_add(k, s->initrd_fd);
	snprintf(k->c.cmdline, sizeof(k->c.cmdline), "%s%s%s", s->cmdline,
		 s->console_fd < 0 ? " 8250.nr_uarts=0" : "", s->mem_max_bytes ? GROWS : "");
}

static void shares_set(struct kvm_config *k, const struct vm_spec *s)
{
	for (uint32_t i = 0; i < s->n_shares; i++) {
		struct vmm_share *share = &k->c.shares[k->c.n_shares++];

		snprintf(share->tag, sizeof(share->tag), "%s", s->shares[i].tag);
		share->sock_fd = fd_add(k, s->shares[i].sock_fd);
	}
}

/* The devices of vmm_devices.c. */
static int devices_check(const struct vm_spec *s, struct err *e)
{
	const uint32_t n = 1 + s->n_disks + s->has_net + 2 + s->has_vsock +
			   (s->mem_max_bytes != 0) + s->n_shares;

	if (n <= VMM_DEVICES_MAX)
		return 0;
	return err_plain(e, E2BIG,
			 "driver kvm has room for %u devices, and this machine has %u: take fewer "
			 "bind mounts, volumes and disks, or --driver qemu",
			 VMM_DEVICES_MAX, n);
}

int kvm_config_make(const struct vm_spec *s, int ctl_fd, struct kvm_config *ret, struct err *e)
{
	struct kvm_config *k = ret;

	if (devices_check(s, e) < 0)
		return -e->code;
	memset(k, 0, sizeof(*k));
	for (size_t i = 0; i < ARRAY_SIZE(k->fds); i++)
		k->fds[i] = -1;
	k->n_fds = VMM_FD_FIRST;
	vmm_config_init(&k->c);
	snprintf(k->c.cpu_model, sizeof(k->c.cpu_model), "%s",
		 s->cpu_model && *s->cpu_model ? s->cpu_model : "host");
	memory_set(k, s);
	boot_set(k, s);
	if (disks_add(k, s, e) < 0)
		return -e->code;
	shares_set(k, s);
	if (s->has_net) {
		k->c.has_net = true;
		k->c.net = s->net_is_tap ? VMM_NET_TAP : VMM_NET_STREAM;
		k->c.net_fd = fd_add(k, s->net_fd);
		k->c.net_limit = limit_of(&s->net_limit);
		memcpy(k->c.mac, template_mac, sizeof(template_mac));
	}
	if (s->has_vsock) {
		k->c.has_vsock = true;
		k->c.vsock_listen_fd = fd_add(k, s->vsock_listen_fd);
		k->c.vsock_broker_fd = fd_add(k, s->vsock_broker_fd);
	}
	k->c.ctl_fd = fd_add(k, ctl_fd);
	k->c.agent_fd = fd_add(k, s->agent_fd);
	k->c.console_fd = fd_add(k, s->console_fd);
	return k->n_fds == ARRAY_SIZE(k->fds)
		       ? err_plain(e, E2BIG, "too many descriptors for one machine")
		       : 0;
}
