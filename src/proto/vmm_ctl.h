/* SPDX-License-Identifier: MIT */
/*
 * vmm_ctl.h - frames between the driver and caisson-vmm: bytes to structs and back, no I/O
 *
 * A stream socket; the driver is the client. A frame is an 8-byte little-endian head {u32 payload
 * length, u16 type, u16 version} and the payload. Each request gets one answer, in their order:
 * VMM_CTL_OK, or what it asked for, or VMM_CTL_ERROR. Events come between answers. The descriptor
 * of a frame that has one comes (SCM_RIGHTS) with the frame's first byte. Format:
 * doc/format/vmm.md.
 */
#ifndef VMM_CTL_H
#define VMM_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define VMM_CTL_VERSION     1U
#define VMM_CTL_HEAD_LEN    8U
#define VMM_CTL_PAYLOAD_MAX 4096U
#define VMM_CTL_TEXT_MAX    300U /* bytes without NUL */

enum vmm_ctl_type {
	/* requests: driver to VMM */
	VMM_CTL_PAUSE = 1,
	VMM_CTL_RESUME,
	VMM_CTL_SNAPSHOT,   /* a descriptor: where the state goes */
	VMM_CTL_BALLOON,    /* u64 bytes to take from the guest */
	VMM_CTL_STATISTICS, /* answered by VMM_CTL_COUNTS */
	VMM_CTL_ATTACH,     /* struct vmm_ctl_attach; a descriptor: the disk's bytes */
	VMM_CTL_NET_ATTACH, /* a descriptor: the network's peer */
	VMM_CTL_STOP,
	VMM_CTL_RESIZE = 9,       /* u64 bytes that the memory shall have grown by */
	VMM_CTL_DIRTY_START = 16, /* log which pages are written */
	VMM_CTL_DIRTY_STOP,
	VMM_CTL_DIRTY_GET, /* a descriptor: where the log goes, and begins anew */
	/* answers: VMM to driver */
	VMM_CTL_OK = 64,
	VMM_CTL_ERROR,  /* struct vmm_ctl_error */
	VMM_CTL_COUNTS, /* struct vmm_ctl_counts */
	/* events: VMM to driver */
	VMM_CTL_READY = 128, /* u32 VMM_CTL_VERSION */
	VMM_CTL_ENDED,       /* struct vmm_ctl_ended */
};

enum vmm_ctl_end {
	VMM_CTL_END_POWER_OFF = 1,
	VMM_CTL_END_RESET,
	VMM_CTL_END_CRASH, /* the guest's triple fault */
	VMM_CTL_END_ERROR, /* the VMM's; the text says which */
	VMM_CTL_END_STATE, /* the saved state is none of this machine or host: nothing of it ran */
};

struct vmm_ctl_frame {
	uint16_t type;       /* one of enum vmm_ctl_type */
	const void *payload; /* points into the bytes that were given */
	uint32_t len;        /* one that the type may have */
};

struct vmm_ctl_attach {
	uint32_t disk; /* below VMM_DISKS_MAX */
	bool is_readonly;
	uint64_t size; /* bytes, multiple of VMM_SECTOR */
};

struct vmm_ctl_counts { /* since the start of the process; balloon_bytes, grown_bytes (memory
			  that the guest has, beyond that of its start): now */
	uint64_t cpu_ns, exits, mmio_exits, pio_exits, disk_reads, disk_writes, balloon_bytes,
		grown_bytes;
};

struct vmm_ctl_error {
	uint32_t code; /* errno, 1 to 4095 */
	char text[VMM_CTL_TEXT_MAX + 1];
};

struct vmm_ctl_ended {
	enum vmm_ctl_end reason;
	char text[VMM_CTL_TEXT_MAX + 1];
};

/* Which side may send it: the driver requests, the VMM answers; neither: an event, or no type. */
bool vmm_ctl_is_request(uint16_t type);
bool vmm_ctl_is_answer(uint16_t type);

/* Does exactly one descriptor come with the frame? With all others, none. */
bool vmm_ctl_wants_fd(uint16_t type);

/*
 * Take the first whole frame of `in`. 1: *ret is it, pointing into `in`, and *ret_len bytes are to
 * be consumed by the caller once done with it; 0: more bytes are needed; -EBADMSG and the reason:
 * close. The length is one that the type may have; what is in the payload is not looked at, nor
 * who may send it.
 */
must_check int vmm_ctl_next(const void *in, size_t len, struct vmm_ctl_frame *ret, size_t *ret_len,
			    struct err *e);

/*
 * Append one frame to `out`. -ENOMEM, -EFBIG; `out` is as before then. Values are not checked, but
 * for: vmm_ctl_put() is for types without payload, -EINVAL for others; texts are cut, bytes that
 * are not printable ASCII become '?'; an error of code 0 becomes EIO.
 */
must_check int vmm_ctl_put(struct buf *out, uint16_t type);
must_check int vmm_ctl_put_balloon(struct buf *out, uint64_t bytes);
must_check int vmm_ctl_put_resize(struct buf *out, uint64_t bytes);
must_check int vmm_ctl_put_attach(struct buf *out, const struct vmm_ctl_attach *a);
must_check int vmm_ctl_put_error(struct buf *out, uint32_t code, const char *text);
must_check int vmm_ctl_put_counts(struct buf *out, const struct vmm_ctl_counts *c);
must_check int vmm_ctl_put_ready(struct buf *out);
must_check int vmm_ctl_put_ended(struct buf *out, enum vmm_ctl_end reason, const char *text);

/*
 * Decode the payload of a frame of that type. -EBADMSG and the reason: another type, or a value out
 * of its range. Texts are copied, with '?' for what is not printable ASCII: they may go to a
 * terminal.
 */
must_check int vmm_ctl_get_balloon(const struct vmm_ctl_frame *f, uint64_t *ret, struct err *e);
must_check int vmm_ctl_get_resize(const struct vmm_ctl_frame *f, uint64_t *ret, struct err *e);
must_check int vmm_ctl_get_attach(const struct vmm_ctl_frame *f, struct vmm_ctl_attach *ret,
				  struct err *e);
must_check int vmm_ctl_get_error(const struct vmm_ctl_frame *f, struct vmm_ctl_error *ret,
				 struct err *e);
must_check int vmm_ctl_get_counts(const struct vmm_ctl_frame *f, struct vmm_ctl_counts *ret,
				  struct err *e);
must_check int vmm_ctl_get_ready(const struct vmm_ctl_frame *f, struct err *e);
must_check int vmm_ctl_get_ended(const struct vmm_ctl_frame *f, struct vmm_ctl_ended *ret,
				 struct err *e);

#endif
