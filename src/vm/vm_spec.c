/* SPDX-License-Identifier: MIT */
#include "vm_spec.h"

#include <string.h>

#include "bytes.h"

static int mapped_check(const struct vm_disk *d, uint32_t slot, struct err *e)
{
	if (!d->is_readonly || (d->kind != VM_DISK_EMPTY && d->kind != VM_DISK_CONCAT))
		return err_plain(e, EINVAL, "disk %u cannot be mapped", slot);
	if (d->kind == VM_DISK_CONCAT && d->size != vm_mapped_size(d->size))
		return err_plain(e, EINVAL, "disk %u: mapped size %llu", slot,
				 (unsigned long long)d->size);
	if (d->kind == VM_DISK_CONCAT && d->size > VM_MAPPED_MAX)
		return err_plain(e, E2BIG,
				 "an image of more than %llu GiB cannot be mapped (--dax)",
				 VM_MAPPED_MAX >> 30);
	return 0;
}

static int disk_check(const struct vm_disk *d, uint32_t slot, struct err *e)
{
	uint64_t end = 0;

	if (d->is_mapped && mapped_check(d, slot, e) < 0)
		return -e->code;
	if (d->kind == VM_DISK_EMPTY)
		return 0;
	if (d->size == 0 || d->size % 512)
		return err_plain(e, EINVAL, "disk %u: size %llu", slot,
				 (unsigned long long)d->size);
	if (d->kind == VM_DISK_RAW || d->kind == VM_DISK_NBD)
		return d->fd < 0 ? err_plain(e, EINVAL, "disk %u has no descriptor", slot) : 0;
	if (d->kind == VM_DISK_VHD) {
		for (uint32_t i = 0; i < d->n_layers && i < VM_LAYERS_MAX; i++)
			if (d->layers[i] < 0)
				return err_plain(e, EINVAL, "disk %u: image %u is not open", slot,
						 i);
		return d->n_layers && d->n_layers <= VM_LAYERS_MAX
			       ? 0
			       : err_plain(e, EINVAL, "disk %u of %u images", slot, d->n_layers);
	}
	if (d->kind != VM_DISK_CONCAT || !d->is_readonly || !d->n_parts ||
	    d->n_parts > VM_PARTS_MAX)
		return err_plain(e, EINVAL, "disk %u: bad kind or number of parts", slot);
	for (uint32_t i = 0; i < d->n_parts; i++) {
		const struct vm_disk_part *p = &d->parts[i];

		if (p->fd < 0 || p->disk_off < end || p->disk_off % 4096 || p->file_off % 4096 ||
		    p->len % 4096 || !p->len || !range_fits(p->disk_off, p->len, d->size))
			return err_plain(e, EINVAL, "disk %u: part %u does not fit", slot, i);
		end = p->disk_off + p->len;
	}
	return 0;
}

static int boot_check(const struct vm_spec *s, struct err *e)
{
	if (s->boot == VM_BOOT_RESTORE) {
		if (s->state_fd < 0)
			return err_plain(e, EINVAL, "a template without device state");
		if (s->mem == VM_MEM_ANON)
			return err_plain(e, EINVAL, "a template without memory");
	} else if (s->boot != VM_BOOT_COLD || s->kernel_fd < 0 || !s->cmdline) {
		return err_plain(e, EINVAL, "a cold boot needs a kernel and a command line");
	} else if (strlen(s->cmdline) > VM_CMDLINE_MAX) {
		return err_plain(e, EINVAL, "the kernel's command line is too long");
	}
	if (s->mem != VM_MEM_ANON && s->mem_fd < 0)
		return err_plain(e, EINVAL, "no descriptor of the memory");
	if (s->mem == VM_MEM_PRIVATE && s->boot != VM_BOOT_RESTORE)
		return err_plain(e, EINVAL, "private memory needs a template");
	return 0;
}

static int shares_check(const struct vm_spec *s, struct err *e)
{
	if (s->n_shares > VM_SHARES_MAX)
		return err_plain(e, EINVAL, "more than %u shared directories", VM_SHARES_MAX);
	for (uint32_t i = 0; i < s->n_shares; i++)
		if (!*s->shares[i].tag || s->shares[i].sock_fd < -1 ||
		    strspn(s->shares[i].tag, "abcdefghijklmnopqrstuvwxyz0123456789") !=
			    strlen(s->shares[i].tag))
			return err_plain(e, EINVAL, "shared directory %u has no tag or no socket",
					 i);
	return 0;
}

int vm_cpu_model_check(const char *name, struct err *e)
{
	static const char *const all[] = { "", "host", "baseline-v2", "baseline-v3" };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (strcmp(name, all[i]) == 0)
			return 0;
	return err_plain(e, EINVAL,
			 "there is no processor model \"%s\" (host, baseline-v2, baseline-v3)",
			 name);
}

int vm_spec_check(const struct vm_spec *s, struct err *e)
{
	if (!*s->id || strspn(s->id, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(s->id))
		return err_plain(e, EINVAL, "bad machine id");
	if (!s->cpus || s->cpus > VM_CPUS_MAX)
		return err_plain(e, EINVAL, "%u processors (1 to %u)", s->cpus, VM_CPUS_MAX);
	if (s->mem_bytes < VM_MEM_MIN || s->mem_bytes > VM_MEM_MAX || s->mem_bytes % VM_MEM_UNIT)
		return err_plain(e, EINVAL, "memory of %llu bytes (from 64 MiB, in steps of 2 MiB)",
				 (unsigned long long)s->mem_bytes);
	if (vm_cpu_model_check(s->cpu_model ? s->cpu_model : "", e) < 0)
		return -e->code;
	if (s->mem_max_bytes && (s->mem_max_bytes <= s->mem_bytes ||
				 s->mem_max_bytes > VM_MEM_MAX || s->mem_max_bytes % VM_MEM_UNIT))
		return err_plain(e, EINVAL, "memory that grows to %llu bytes",
				 (unsigned long long)s->mem_max_bytes);
	if (s->agent_fd < 0)
		return err_plain(e, EINVAL, "no agent socket");
	if (s->n_disks > VM_DISKS_MAX)
		return err_plain(e, EINVAL, "more than %u disks", VM_DISKS_MAX);
	for (uint32_t i = 0; i < s->n_disks; i++)
		if (disk_check(&s->disks[i], i, e) < 0)
			return -e->code;
	if (s->net_is_tap && !s->has_net)
		return err_plain(e, EINVAL, "a tap, but no network device");
	if (boot_check(s, e) < 0)
		return -e->code;
	return shares_check(s, e);
}
