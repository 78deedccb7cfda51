/* SPDX-License-Identifier: MIT */
/*
 * vmm_config.h - what caisson-vmm is told at its start: bytes to a struct and back, no I/O
 *
 * The driver writes it to a memfd that is descriptor VMM_CONFIG_FD of the new process. All other
 * descriptors are there when the process starts, VMM_FD_FIRST and on, and are named by their number
 * in it; -1 is none. Format: doc/format/vmm.md.
 */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define VMM_CONFIG_VERSION  1U
#define VMM_CONFIG_SIZE_MAX (32U << 10) /* bytes; the longest that can be is shorter */
#define VMM_CONFIG_FD       3
#define VMM_FD_FIRST        4
#define VMM_FDS_MAX         1024U
#define VMM_CPUS_MAX        32U
#define VMM_MEM_UNIT        (2ULL << 20)
#define VMM_MEM_MIN         (64ULL << 20)
#define VMM_MEM_MAX         (256ULL << 30)
#define VMM_DISKS_MAX       8U
#define VMM_LAYERS_MAX      32U  /* files of a VMM_DISK_VHD */
#define VMM_PARTS_MAX       514U /* of all disks together */
#define VMM_SHARES_MAX      16U
#define VMM_DEVICES_MAX     18U /* of all kinds together: vmm_devices.c */
#define VMM_SECTOR          512U
#define VMM_DISK_SIZE_MAX   ((uint64_t)INT64_MAX & ~(uint64_t)(VMM_SECTOR - 1)) /* bytes */
#define VMM_PART_UNIT       4096U
#define VMM_MAPPED_UNIT     (2ULL << 20)
#define VMM_MAPPED_MIN      (4ULL << 20) /* so that an empty one is told from all others */
#define VMM_MAPPED_MAX      (128ULL << 30)
#define VMM_MAC_SIZE        6U

enum vmm_mem {
	VMM_MEM_ANON,    /* fresh memory; mem_fd is -1 */
	VMM_MEM_PRIVATE, /* a private copy-on-write map of mem_fd, which is a template's */
	VMM_MEM_SHARED,  /* mem_fd is this machine's own */
};

enum vmm_boot {
	VMM_BOOT_COLD,    /* kernel, perhaps initrd, and command line; no state */
	VMM_BOOT_RESTORE, /* state, and memory that is not VMM_MEM_ANON; nothing of the others */
};

enum vmm_disk_kind {
	VMM_DISK_EMPTY,  /* nothing in it yet; size 0. is_readonly holds for what comes later too */
	VMM_DISK_RAW,    /* fds[0] has the disk's bytes */
	VMM_DISK_CONCAT, /* parts of several files side by side; read-only */
	VMM_DISK_VHD,    /* a chain of images, fds[0] is the topmost */
};

enum vmm_net {
	VMM_NET_STREAM, /* a stream socket; each frame after its length, 32 bits, big-endian */
	VMM_NET_TAP,    /* opened with IFF_NO_PI and IFF_VNET_HDR */
};

/* So many a second; bursts are done at once after a rest. */
struct vmm_limit {                       /* all zero: no limit */
	uint64_t bytes_per_s, ops_per_s; /* 0: no limit of that kind */
	uint64_t bytes_burst,
		ops_burst; /* 0: what a second gives; only with a limit of that kind */
};

struct vmm_disk {
	enum vmm_disk_kind kind;
	bool is_readonly;
	bool is_mapped; /* read-only memory of the guest (virtio-pmem) instead of a block device:
			   EMPTY or CONCAT, VMM_MAPPED_*; at most one disk */
	uint64_t size;  /* bytes, multiple of VMM_SECTOR; mapped, of VMM_MAPPED_UNIT */
	int fds[VMM_LAYERS_MAX];
	uint32_t n_fds;               /* RAW: 1; VHD: 1 to VMM_LAYERS_MAX; else 0 */
	uint32_t first_part, n_parts; /* CONCAT: of `parts`, after those of the disk before */
	struct vmm_limit limit;
};

/* Those of a disk ascend and do not overlap; gaps read as zeros; multiples of VMM_PART_UNIT. */
struct vmm_part {
	int fd; /* several parts may be of one file */
	uint64_t disk_off, file_off, len;
};

struct vmm_share { /* a virtio-fs device; the server is at the other end of the socket */
	char tag[36];
	int sock_fd; /* -1: nobody serves it */
};

struct vmm_config {
	uint32_t cpus;          /* 1 to VMM_CPUS_MAX */
	uint64_t mem_bytes;     /* VMM_MEM_MIN to VMM_MEM_MAX, multiple of VMM_MEM_UNIT */
	uint64_t mem_max_bytes; /* that it may grow to: more than mem_bytes, same unit and limit;
				   0: it does not grow */
	enum vmm_mem mem;
	int mem_fd;
	enum vmm_boot boot;
	int kernel_fd, initrd_fd, state_fd;
	char cmdline[2048];
	char cpu_model[32]; /* "host", "baseline-v2", ... */
	struct vmm_disk disks[VMM_DISKS_MAX];
	uint32_t n_disks;
	struct vmm_part parts[VMM_PARTS_MAX];
	uint32_t n_parts; /* each is one disk's */
	struct vmm_share shares[VMM_SHARES_MAX];
	uint32_t n_shares;
	bool has_net; /* if not, the four below are 0, -1, zeros */
	enum vmm_net net;
	int net_fd;                 /* -1: goes nowhere yet */
	uint8_t mac[VMM_MAC_SIZE];  /* one station's */
	bool has_vsock;             /* if not, the two below are -1; they may be in any case */
	int vsock_listen_fd;        /* a listening stream socket: who calls the guest */
	int vsock_broker_fd;        /* who connects the guest's calls, see vsock_broker.h */
	struct vmm_limit net_limit; /* of each direction */
	int ctl_fd;                 /* stream socket to the driver, see vmm_ctl.h */
	int agent_fd;               /* stream socket to the agent's port */
	int console_fd;             /* guest kernel messages; -1: none */
};

/* All zeros, each descriptor -1: what a driver fills in. */
void vmm_config_init(struct vmm_config *c);

/*
 * Append to `b`. Not checked beyond what can be written at all: -EINVAL for a count past its array
 * or a text without end; -ENOMEM, -EFBIG. `b` is as before then.
 */
must_check int vmm_config_put(const struct vmm_config *c, struct buf *b);

/*
 * Take what a process with the descriptors VMM_FD_FIRST to VMM_FD_FIRST + n_fds - 1 was told.
 * Every rule of the format is checked, numbers, combinations and that no descriptor serves two
 * ends, but not what the descriptors are. What passes gives the same bytes when put again.
 * -EBADMSG: these bytes are no configuration; -EINVAL: a rule is broken; the text says why.
 */
must_check int vmm_config_parse(const void *data, size_t len, uint32_t n_fds,
				struct vmm_config *ret, struct err *e);

#endif
