/* SPDX-License-Identifier: MIT */
/*
 * driver.h - what a hypervisor must be able to do
 *
 * Implemented in src/drivers/<name>, called by the keeper and the template builder. One `void
 * *priv` is one machine. Calls come from one thread.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include "err.h"
#include "vm_spec.h"

enum vm_driver_caps {
	VM_CAP_TEMPLATE = 1 << 0,  /* pause and save_state, and VM_BOOT_RESTORE */
	VM_CAP_SHARES = 1 << 1,    /* virtio-fs */
	VM_CAP_VHD = 1 << 2,       /* VM_DISK_VHD; else such disks come as VM_DISK_NBD */
	VM_CAP_FUSE = 1 << 3,      /* shares are served over a socket of FUSE messages, templates
				      have private memory nevertheless; else vhost-user */
	VM_CAP_CPU_MODEL = 1 << 4, /* other models than "host" */
	VM_CAP_VSOCK = 1 << 5,     /* a socket device behind unix sockets */
	VM_CAP_RESIZE = 1 << 6,    /* vm_spec.mem_max_bytes; resize and grown */
	VM_CAP_MAPPED = 1 << 7,    /* disks that are memory of the guest */
	VM_CAP_TAP = 1 << 8,       /* templates have a network device for a tap that is not there
				      yet; else taps need a cold boot */
	VM_CAP_LIMITS = 1 << 9,    /* struct vm_limit */
};

struct vm_driver_info {
	char accel[16];         /* "tcg", "kvm"; "none": it cannot run machines here */
	char accel_reason[160]; /* for people: why this accelerator */
	char version[64];       /* of the VMM program */
	char fingerprint[65];   /* hex: a template of another fingerprint must not be used */
	uint32_t tsc_khz;       /* of the host; 0 where the guest does not need to be told */
};

enum vm_end {                  /* how a machine has ended */
	      VM_END_OFF,      /* its guest powered off */
	      VM_END_RESET,    /* its guest asked for a reset: a reboot, or a panic */
	      VM_END_CRASH,    /* its guest's processor gave up: a triple fault */
	      VM_END_ERROR,    /* the VMM could not go on with a guest that ran */
	      VM_END_TEMPLATE, /* the VMM refuses the template: nothing of it ran */
	      VM_END_LOST,     /* the VMM never came to run it, or was killed */
};

struct vm_driver_ops {
	const char *name;
	uint32_t caps; /* VM_CAP_*; an op may be NULL only if its cap is clear */

	/* A file whose change makes a probe out of date, a name alone being one of our own
	 * programs; NULL: none. */
	const char *program;

	/* Look at the host; slow (tens of milliseconds), so the engine caches it. -ENOENT with a
	 * hint when the VMM is not there. */
	must_check int (*probe)(struct vm_driver_info *ret, struct err *e);

	/*
	 * Start the process and return at once. The guest runs as soon as it can; that it does is
	 * seen on agent_fd, that it cannot on pidfd and end_reason. `s` was checked; its
	 * descriptors are borrowed.
	 */
	must_check int (*launch)(const struct vm_spec *s, const struct vm_driver_info *i,
				 void **ret_priv, struct err *e);

	/* VM_CAP_TEMPLATE: stop the guest's processors; waits at most timeout_ms. */
	must_check int (*pause)(void *priv, uint32_t timeout_ms, struct err *e);
	/* VM_CAP_TEMPLATE: device state of a paused VM_MEM_SHARED machine to state_fd; memory stays
	 * in mem_fd. */
	must_check int (*save_state)(void *priv, int state_fd, uint32_t timeout_ms, struct err *e);

	/* VM_CAP_RESIZE: how much memory beyond mem_bytes the guest shall have, a multiple of 2 MiB
	 * within mem_max_bytes. It takes and gives back as it can, afterwards. */
	must_check int (*resize)(void *priv, uint64_t bytes, uint32_t timeout_ms, struct err *e);
	/* VM_CAP_RESIZE: how much of that it has. */
	must_check int (*grown)(void *priv, uint64_t *ret_bytes, uint32_t timeout_ms,
				struct err *e);

	/* Of a clone that runs: add to `state_fd`, its template's, which pages of the template's
	 * memory `mem_fd` it has written, for later clones to have them at once. NULL: cannot. */
	must_check int (*record_pages)(void *priv, int mem_fd, int state_fd, struct err *e);

	/* Readable when the VMM process has ended; borrowed. */
	int (*pidfd)(void *priv);
	pid_t (*pid)(void *priv);
	/* After its end: how, and why, for people ("killed by signal 9", last words on stderr).
	 * Control bytes escaped. */
	enum vm_end (*end_reason)(void *priv, char *buf, size_t len);

	/* Kill and reap if it still lives; accepts NULL. Cannot fail. */
	void (*free)(void *priv);
};

/* The driver for a name ("kvm", "qemu", "fake"); NULL and an error that lists the names. */
const struct vm_driver_ops *vm_driver_find(const char *name, struct err *e);

#endif
