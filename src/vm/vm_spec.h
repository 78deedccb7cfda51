/* SPDX-License-Identifier: MIT */
/*
 * vm_spec.h - what a virtual machine monitor is asked to run: plain data
 *
 * Everything the VMM needs is named by descriptor, never by path. Descriptors are borrowed: the
 * driver duplicates what it passes on. vm_spec_check() is the one validator.
 */
#ifndef VM_SPEC_H
#define VM_SPEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

#define VM_DISKS_MAX       8U
#define VM_DISKS_EXTRA_MAX (VM_DISKS_MAX - 2U) /* beside image and writable layer */
#define VM_EXTRA_MAX       19U /* such disks and shares, of any driver; kvm has room for fewer */
#define VM_PARTS_MAX       514U
#define VM_LAYERS_MAX      32U
#define VM_SHARES_MAX      16U
#define VM_CPUS_MAX        32U
#define VM_MEM_MIN         (64ULL << 20)
#define VM_MEM_MAX         (256ULL << 30)
#define VM_MEM_UNIT        (2ULL << 20)
#define VM_CMDLINE_MAX     2047U
#define VM_MAPPED_UNIT     (2ULL << 20)
#define VM_MAPPED_MIN      (4ULL << 20)
#define VM_MAPPED_MAX      (128ULL << 30)
#define VM_TAG_MAX         35U /* virtio-fs tag, bytes without NUL */

enum vm_disk_kind {
	VM_DISK_EMPTY,  /* a slot with nothing in it: one sector of zeros, read-only */
	VM_DISK_RAW,    /* `fd` holds the disk's bytes */
	VM_DISK_NBD,    /* `fd` is a stream socket whose other end serves the disk by NBD */
	VM_DISK_VHD,    /* `layers` are a chain of images, the topmost first */
	VM_DISK_CONCAT, /* `parts` of several files side by side; read-only */
};

struct vm_disk_part { /* ascending, no overlap; gaps read as zeros; all multiples of 4 KiB */
	int fd;
	uint64_t disk_off, file_off, len;
};

struct vm_limit {                        /* a second; VM_CAP_LIMITS */
	uint64_t bytes_per_s, ops_per_s; /* 0: no limit */
};

struct vm_disk {
	enum vm_disk_kind kind;
	bool is_readonly;
	bool is_mapped; /* read-only memory of the guest's (VM_CAP_MAPPED), no block device; EMPTY,
			   or CONCAT of vm_mapped_size() */
	int fd;         /* VM_DISK_RAW, VM_DISK_NBD */
	uint64_t size;  /* bytes, multiple of 512 */
	const struct vm_disk_part *parts; /* VM_DISK_CONCAT, borrowed */
	uint32_t n_parts;
	int layers[VM_LAYERS_MAX]; /* VM_DISK_VHD, borrowed */
	uint32_t n_layers;
	struct vm_limit limit;
};

struct vm_share { /* a virtio-fs device; the server is at the other end of the socket */
	char tag[VM_TAG_MAX + 1];
	int sock_fd; /* vhost-user, or FUSE messages: as the driver's caps say; -1, with the
			latter: nobody serves it */
};

enum vm_boot {
	VM_BOOT_COLD,    /* kernel, initrd and command line */
	VM_BOOT_RESTORE, /* device state and memory of a template */
};

enum vm_mem {
	VM_MEM_ANON,    /* fresh memory */
	VM_MEM_PRIVATE, /* mem_fd is the template: a private copy-on-write map of it */
	VM_MEM_SHARED, /* mem_fd is this machine's own: a template being made, or vhost-user devices
			*/
};

struct vm_spec {
	char id[65]; /* for messages and process names */
	uint32_t cpus;
	const char *cpu_model;  /* one that vm_cpu_model_check() knows; NULL is "host" */
	uint64_t mem_bytes;     /* multiple of 2 MiB */
	uint64_t mem_max_bytes; /* that it may grow to (VM_CAP_RESIZE): more, and such a multiple;
				   0: it does not grow */
	enum vm_boot boot;
	int kernel_fd, initrd_fd; /* VM_BOOT_COLD */
	const char *cmdline;      /* VM_BOOT_COLD; the driver adds what its machine needs */
	int state_fd;             /* VM_BOOT_RESTORE */
	enum vm_mem mem;
	int mem_fd; /* sealed memfd for VM_MEM_PRIVATE; unused for VM_MEM_ANON */
	struct vm_disk disks[VM_DISKS_MAX];
	uint32_t n_disks; /* slot i is the guest's i-th virtio disk, in template and clone alike */
	struct vm_share shares[VM_SHARES_MAX];
	uint32_t n_shares; /* in template and clone alike, as the tags */
	bool has_net;      /* there is a network device ... */
	bool net_is_tap;   /* ... of the kind that is connected to a tap, */
	int net_fd;        /* a tap, or a stream socket (passt's framing); -1: goes nowhere */
	struct vm_limit net_limit; /* of each direction */
	bool has_vsock;            /* there is a socket device; the two below may be -1 */
	int vsock_listen_fd;       /* listening stream socket: who calls the guest */
	int vsock_broker_fd; /* SOCK_SEQPACKET: asked for what the guest calls, vsock_broker.h */
	int agent_fd;        /* stream socket to the agent's port */
	int console_fd;      /* guest kernel messages; -1: none */
	uid_t uid; /* the VMM runs as this user; 0 only when we are not root: "as we are" */
	gid_t gid;
};

/* -EINVAL and the names there are. "" is "host". Which a host has, its VMM finds out. */
must_check int vm_cpu_model_check(const char *name, struct err *e);

/* What a mapped disk of `len` bytes takes of the guest's addresses; what is behind it is zeros. */
static inline uint64_t vm_mapped_size(uint64_t len)
{
	uint64_t size = len + (VM_MAPPED_UNIT - 1);

	size -= size % VM_MAPPED_UNIT;
	return size < VM_MAPPED_MIN ? VM_MAPPED_MIN : size;
}

/* -EINVAL with the reason. Checks numbers and combinations, not the content of descriptors. */
must_check int vm_spec_check(const struct vm_spec *s, struct err *e);

#endif
