/* SPDX-License-Identifier: MIT */
/*
 * driver.h - what a hypervisor must be able to do
 *
 * Implemented in src/drivers/<name>, called by the keeper and the template builder. One `void
 * *priv` is one machine. Calls come from one thread. Every wait inside a driver is bounded by its
 * `timeout_ms`.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include "err.h"
#include "vm_spec.h"

enum vm_driver_caps {
	VM_CAP_TEMPLATE = 1 << 0, /* save_state, and VM_BOOT_RESTORE */
	VM_CAP_SHARES = 1 << 1,   /* virtio-fs */
	VM_CAP_FOREIGN = 1 << 2,  /* guests of another architecture */
	VM_CAP_PAUSE = 1 << 3,
};

struct vm_driver_info {
	char accel[16];         /* "tcg", "kvm", "none" */
	char accel_reason[160]; /* for people: why this accelerator */
	char version[64];       /* of the VMM program */
	char fingerprint[65];   /* hex: a template of another fingerprint must not be used */
};

struct vm_driver_ops {
	const char *name;
	uint32_t caps; /* VM_CAP_*; an op may be NULL only if its cap is clear */

	/* Look at the host, cached per boot where that is slow. -ENOENT with a hint when the VMM is
	 * not there. */
	must_check int (*probe)(struct vm_driver_info *ret, struct err *e);

	/* Start the process and return at once; nothing of the guest has to run yet. `s` was
	 * checked. */
	must_check int (*launch)(const struct vm_spec *s, void **ret_priv, struct err *e);

	/*
	 * Wait until the VMM answers. A VM_BOOT_RESTORE machine has its state loaded then and is
	 * paused; a VM_BOOT_COLD machine is paused before its first instruction.
	 */
	must_check int (*wait_ready)(void *priv, uint32_t timeout_ms, struct err *e);

	must_check int (*resume)(void *priv, struct err *e); /* let the vCPUs run */
	must_check int (*pause)(void *priv, struct err *e);  /* VM_CAP_PAUSE */

	/* VM_CAP_TEMPLATE: device state of a paused VM_MEM_SHARED machine to state_fd; memory stays
	 * in mem_fd. */
	must_check int (*save_state)(void *priv, int state_fd, struct err *e);

	/* Readable when the VMM process has ended; borrowed. */
	int (*pidfd)(void *priv);
	pid_t (*pid)(void *priv);
	/* After its end: why, for people ("killed by signal 9", last words on stderr). Control
	 * bytes escaped. */
	void (*end_reason)(void *priv, char *buf, size_t len);

	/* Kill and reap if it still lives; accepts NULL and half-started. Cannot fail. */
	void (*free)(void *priv);
};

/* The driver for a name ("qemu", "fake", "auto"); NULL and an error that lists the names. In
 * drivers/drivers.c. */
const struct vm_driver_ops *vm_driver_find(const char *name, struct err *e);

#endif
