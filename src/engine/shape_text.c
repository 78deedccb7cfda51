/* SPDX-License-Identifier: MIT */
/* shape_text.c - a shape as a text, "512M,1cpu,net,2shares", and back; which drivers have it */
#include <inttypes.h>
#include <string.h>

#include "shape.h"

#define MIB_SHIFT 20

static const char *const net_names[] = { "nonet", "net", "tap" };
_Static_assert(ARRAY_SIZE(net_names) == TEMPLATE_NET_COUNT_, "a name for each kind");

static const char *model_of(const struct template_want *w)
{
	return w->cpu_model && strcmp(w->cpu_model, SHAPE_CPU_MODEL) != 0 ? w->cpu_model : NULL;
}

void shape_text(const struct template_want *w, char ret[SHAPE_TEXT_SIZE])
{
	const char *model = model_of(w);
	char max[32] = "", shares[24] = "";

	if (w->mem_max_bytes)
		snprintf(max, sizeof(max), ",%" PRIu64 "Mmax", w->mem_max_bytes >> MIB_SHIFT);
	if (w->n_shares)
		snprintf(shares, sizeof(shares), ",%ushares", w->n_shares);
	snprintf(ret, SHAPE_TEXT_SIZE, "%" PRIu64 "M,%ucpu,%s%s%s%s%s%s%.31s",
		 w->mem_bytes >> MIB_SHIFT, w->cpus, net_names[w->net], max, shares,
		 w->has_vsock ? ",vsock" : "", w->has_dax ? ",dax" : "", model ? ",cpu=" : "",
		 model ? model : "");
}

static bool number_take(const char *word, const char *unit, uint64_t *ret)
{
	char *end;

	*ret = strtoull(word, &end, 10);
	return end != word && strcmp(end, unit) == 0;
}

static bool word_take(char *word, struct template_want *w)
{
	uint64_t n;

	if (number_take(word, "M", &n))
		w->mem_bytes = n << MIB_SHIFT;
	else if (number_take(word, "Mmax", &n))
		w->mem_max_bytes = n << MIB_SHIFT;
	else if (number_take(word, "cpu", &n))
		w->cpus = (uint32_t)n;
	else if (number_take(word, "shares", &n))
		w->n_shares = (uint32_t)n;
	else if (strcmp(word, "vsock") == 0)
		w->has_vsock = true;
	else if (strcmp(word, "dax") == 0)
		w->has_dax = true;
	else if (strncmp(word, "cpu=", 4) == 0)
		w->cpu_model = word + 4;
	else {
		w->net = TEMPLATE_NET_NONE;
		while (w->net < TEMPLATE_NET_COUNT_ && strcmp(word, net_names[w->net]) != 0)
			w->net++;
		return w->net != TEMPLATE_NET_COUNT_;
	}
	return true;
}

int shape_parse(char *text, struct template_want *ret)
{
	char *rest = text, *word;

	while ((word = strsep(&rest, ",")))
		if (!word_take(word, ret))
			return -EINVAL;
	return 0;
}

int shape_check(const struct machine_config *c, const struct vm_driver_ops *d, struct err *e)
{
	const struct {
		bool is_wanted;
		uint32_t cap;
		const char *what, *why;
	} options[] = {
		{ *c->cpu_model && strcmp(c->cpu_model, SHAPE_CPU_MODEL) != 0, VM_CAP_CPU_MODEL,
		  "--cpu-model", "QEMU has no models of these names" },
		{ c->mem_max_bytes, VM_CAP_RESIZE, "--memory-max",
		  "QEMU's microvm has no memory that grows" },
		{ c->has_dax, VM_CAP_MAPPED, "--dax", "QEMU's microvm has no virtio-pmem" },
		{ c->net_bps || c->disk_bps || c->disk_iops, VM_CAP_LIMITS,
		  "--net-bps, --disk-bps or --disk-iops", "limits of QEMU's are not set" },
		{ c->vsock, VM_CAP_VSOCK, "--vsock",
		  "QEMU's socket device is the host kernel's, with an address that all of the host shares" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].is_wanted && !(d->caps & options[i].cap))
			return err_plain(e, ENOTSUP,
					 "%s needs caisson-vmm (driver kvm), not driver %s: %s",
					 options[i].what, d->name, options[i].why);
	return 0;
}
