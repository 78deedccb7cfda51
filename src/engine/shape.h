/* SPDX-License-Identifier: MIT */
/*
 * shape.h - what all machines have in common, template and clone alike
 *
 * A clone must have the devices of the template that it is restored from: both get them here.
 */
#ifndef SHAPE_H
#define SHAPE_H

#include "machine.h"
#include "template.h"

#define SHAPE_MEM_DEFAULT  (512ULL << 20)
#define SHAPE_CPUS_DEFAULT 1U
#define SHAPE_CPU_MODEL    "host"
#define SHAPE_SHARES_MAX   6U /* directories of a machine that is cloned */
#define SHAPE_CMDLINE                                                                              \
	"quiet loglevel=1 panic=-1 reboot=k mitigations=off random.trust_cpu=on "                  \
	"rcupdate.rcu_expedited=1 cryptomgr.notests net.ifnames=0"

/*
 * How many slots for shared directories the template of a machine with `n` has: few sizes, so that
 * there are few templates. A machine without any has none to carry.
 */
uint32_t shape_share_slots(uint32_t n /* SHAPE_SHARES_MAX at most */);

/* A spec with slots empty, no memory and nothing to boot yet; all descriptors -1. name: of a
 * machine or template, hex digits: the VMM's user is derived from it. */
void shape_spec(const struct template_want *w, const char *name, struct vm_spec *ret);

#define SHAPE_DRIVER_AUTO "auto"

/* The driver for a name; "auto" or "" is our own VMM where KVM runs guests, else QEMU. */
must_check int shape_driver(struct engine *g, const char *name, const struct vm_driver_ops **ret,
			    struct err *e);

/* -ENOTSUP and the reason: the machine is to have what this driver has not. */
must_check int shape_check(const struct machine_config *c, const struct vm_driver_ops *d,
			   struct err *e);

#define SHAPE_TEXT_SIZE 128

/* What of it makes one template differ from another beside driver, kernel and image, as words for
 * people: "512M,1cpu,net"; what most have not is said only where it is there. */
void shape_text(const struct template_want *w, char ret[SHAPE_TEXT_SIZE]);
/* The words of `text`, which is taken apart and must outlive *ret, into *ret, where what they do
 * not say stays as it is. -EINVAL: a word of no version. */
must_check int shape_parse(char *text, struct template_want *ret);

/* What the driver says of this host, from a cache in RUN as long as it holds. */
must_check int shape_driver_info(struct engine *g, const struct vm_driver_ops *d,
				 struct vm_driver_info *ret, struct err *e);

#endif
