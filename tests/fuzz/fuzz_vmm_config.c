/* SPDX-License-Identifier: MIT */
/*
 * fuzz_vmm_config.c - what the VMM is told at its start
 *
 * The first two bytes are how many descriptors there are. The length in the head is set right, so
 * that it does not keep the fuzzer out, unless the first bit is set. What is taken is encoded again
 * and must be the same bytes; the promises that the VMM counts on are looked at.
 */
#include "fuzz_input.h"

#include "bytes.h"
#include "vmm_config.h"

#define COUNT_LEN 2U
#define LENGTH    12U /* where the length is */

static void parts_must(const struct vmm_config *c, const struct vmm_disk *d)
{
	uint64_t end = 0;

	MUST(d->first_part <= c->n_parts && d->n_parts <= c->n_parts - d->first_part);
	for (uint32_t i = 0; i < d->n_parts; i++) {
		const struct vmm_part *p = &c->parts[d->first_part + i];

		MUST(p->fd >= VMM_FD_FIRST && p->len && p->disk_off >= end);
		MUST(range_fits(p->disk_off, p->len, d->size));
		MUST(p->file_off + p->len <= INT64_MAX);
		end = p->disk_off + p->len;
	}
}

static void config_must(const struct vmm_config *c, uint32_t n_fds)
{
	int end = VMM_FD_FIRST + (int)n_fds;
	uint32_t mapped = 0;

	MUST(c->cpus && c->cpus <= VMM_CPUS_MAX && c->mem_bytes % VMM_MEM_UNIT == 0);
	MUST(!c->mem_max_bytes ||
	     (c->mem_max_bytes > c->mem_bytes && c->mem_max_bytes % VMM_MEM_UNIT == 0 &&
	      c->mem_max_bytes <= VMM_MEM_MAX));
	MUST(c->ctl_fd >= VMM_FD_FIRST && c->ctl_fd < end && c->agent_fd != c->ctl_fd);
	MUST(strlen(c->cmdline) < sizeof(c->cmdline) && *c->cpu_model);
	MUST(c->boot == VMM_BOOT_COLD ? c->kernel_fd > 3 && c->state_fd == -1
				      : c->state_fd > 3 && c->mem != VMM_MEM_ANON);
	MUST((c->mem == VMM_MEM_ANON) == (c->mem_fd == -1) && c->mem_fd < end);
	MUST(c->n_disks <= VMM_DISKS_MAX && c->n_shares <= VMM_SHARES_MAX);
	for (uint32_t i = 0; i < c->n_disks; i++) {
		const struct vmm_disk *d = &c->disks[i];

		MUST(d->kind <= VMM_DISK_VHD && d->size <= INT64_MAX && d->size % VMM_SECTOR == 0);
		MUST((d->n_fds > 0) == (d->kind == VMM_DISK_RAW || d->kind == VMM_DISK_VHD));
		for (uint32_t j = 0; j < d->n_fds; j++)
			MUST(d->fds[j] >= VMM_FD_FIRST && d->fds[j] < end);
		parts_must(c, d);
		if (d->is_mapped)
			MUST(++mapped == 1 && d->is_readonly && d->size <= VMM_MAPPED_MAX &&
			     d->size % VMM_MAPPED_UNIT == 0 && d->n_fds == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_buf out = { 0 };
	auto_free uint8_t *copy = NULL;
	struct vmm_config c;
	struct err e = { 0 };
	uint32_t count;
	int rc;

	if (len < COUNT_LEN)
		return 0;
	count = get_le16(data);
	data += COUNT_LEN;
	len -= COUNT_LEN;
	copy = malloc(len ? len : 1);
	MUST(copy);
	memcpy(copy, data, len);
	if (!(count & 0x8000) && len >= LENGTH + 4)
		put_le32(copy + LENGTH, (uint32_t)len);
	count &= 0x7fff;
	rc = vmm_config_parse(copy, len, count, &c, &e);
	if (rc < 0) {
		MUST((rc == -EINVAL || rc == -EBADMSG) && e.code == -rc && e.msg[0]);
		return 0;
	}
	config_must(&c, count);
	MUST(vmm_config_put(&c, &out) == 0);
	MUST(out.len == len && memcmp(out.data, copy, len) == 0);
	return 0;
}
