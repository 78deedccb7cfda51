/* SPDX-License-Identifier: MIT */
/*
 * agent.h - frames between the host and caisson-init in the guest: bytes to structs and back, no
 * I/O
 *
 * One byte stream in each direction (a virtio-serial port). A frame is a 12-byte little-endian head
 * {u32 payload length, u16 type, u16 zero, u32 stream} and the payload, at most AGENT_PAYLOAD_MAX.
 * Both sides treat the other as hostile. Streams: 0 is control; the main process is
 * AGENT_STREAM_MAIN; each exec gets a number chosen by the host. Data flows only against credit
 * (AGENT_CREDIT), so that no side ever buffers more than AGENT_WINDOW bytes per stream. Requests
 * may be sent back to back without waiting; they are carried out in order. Format:
 * doc/format/agent.md.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define AGENT_VERSION     3U
#define AGENT_HEAD_LEN    12U
#define AGENT_PAYLOAD_MAX (256U << 10)
#define AGENT_DATA_MAX    (32U << 10) /* payload of one data frame */
#define AGENT_WINDOW      (256U << 10)
#define AGENT_STREAM_MAIN 1U
#define AGENT_STREAMS_MAX 256U
#define AGENT_ARGS_MAX    16384U /* argv or env entries */
#define AGENT_MOUNTS_MAX  256U

enum agent_type {
	/* host to guest */
	AGENT_PING = 1, /* payload: up to 64 bytes, comes back in AGENT_PONG */
	AGENT_IDENTITY, /* struct agent_identity; answered by AGENT_OK or AGENT_ERROR on stream 0 */
	AGENT_ROOT,     /* struct agent_root: find the disks, mount the root, fork the waiting main
			   process */
	AGENT_RUN,   /* struct agent_run on its stream; answered by AGENT_STARTED or AGENT_FAILED */
	AGENT_STDIN, /* data; an empty frame is the end of stdin */
	AGENT_RESIZE,   /* u16 rows, u16 columns */
	AGENT_SIGNAL,   /* u32 signal number, to the stream's process */
	AGENT_SYNC,     /* flush file systems; AGENT_OK */
	AGENT_TEMPLATE, /* get quiet for a snapshot: sync, drop what need not be kept; AGENT_OK */
	AGENT_SHUTDOWN, /* kill what runs, unmount, power off; no answer but the machine's end */
	AGENT_PRELOAD,  /* after ROOT: text, a program of the image that will be run, "" for none:
			   read  it and its libraries into memory; AGENT_OK */
	/* guest to host */
	AGENT_READY = 64, /* u32 version: sent once after boot */
	AGENT_PONG,
	AGENT_OK,      /* payload: u16 type of the request that went well */
	AGENT_ERROR,   /* u16 type of the request, u32 errno, text */
	AGENT_STARTED, /* u32 pid inside the app's namespace */
	AGENT_FAILED,  /* u32 exit code for the user (125, 126, 127), text */
	AGENT_STDOUT,  /* data; an empty frame is its end */
	AGENT_STDERR,
	AGENT_EXITED, /* u32 wait status as a shell's: code, or 128 + signal; u32 1 if killed for
			 memory */
	AGENT_LEASE,  /* struct agent_lease: what DHCP said, after an IDENTITY with no IPv4 address;
			 again when it says something else. No answer: AGENT_ERROR of IDENTITY */
	/* both */
	AGENT_CREDIT = 128, /* u32 bytes, u16 which (AGENT_STDIN, AGENT_STDOUT, AGENT_STDERR) */
};

struct agent_bytes { /* borrowed; `data` of a decoded frame points into the frame, not
			NUL-terminated */
	const void *data;
	uint32_t len;
};

struct agent_strings {  /* NULL-terminated strings; decoded: checked to be inside the frame and
			   NUL-terminated */
	const char **v; /* decoded: heap array, freed by agent_*_done() */
	uint32_t n;
};

struct agent_identity { /* all that two clones may never share; applied before anything else runs */
	struct agent_bytes
		entropy; /* 64 to 512 bytes, credited to and mixed into the guest's pool */
	uint64_t realtime_ns;
	const char *hostname;
	const char *machine_id; /* 32 hex */
	const char *boot_id;    /* uuid text */
	uint8_t mac[6];         /* all zero: no network device */
	uint32_t ip, gateway;   /* IPv4, host byte order; ip 0: asked for by DHCP */
	uint8_t prefix_len;
	struct agent_bytes ip6, gateway6; /* 16 bytes or empty */
	uint8_t prefix6_len;
	uint32_t mtu;
};

#define AGENT_LEASE_DNS 3U

struct agent_lease { /* IPv4, host byte order; 0: none */
	uint32_t ip, gateway;
	uint8_t prefix_len; /* 1 to 32 */
	uint32_t dns[AGENT_LEASE_DNS];
};

enum agent_root_flags {
	AGENT_ROOT_SCRATCH = 1 << 0, /* writable layer in guest memory (tmpfs), slot unused */
	AGENT_ROOT_MAPPED = 1 << 1,  /* the image is persistent memory, slot unused */
};

struct agent_root {
	uint32_t image_slot; /* virtio disk numbers, in the order of the machine's devices */
	uint32_t writable_slot;
	uint32_t flags;
	uint64_t image_len,
		writable_len; /* bytes; a slot whose size differs is probed again; 0: don't care */
};

enum agent_mount_kind {
	AGENT_MOUNT_TMPFS,
	AGENT_MOUNT_VIRTIOFS,
	AGENT_MOUNT_FILE,
	AGENT_MOUNT_DISK,
};

struct agent_mount {         /* made inside the root before the main process starts */
	uint32_t kind;       /* enum agent_mount_kind */
	const char *source;  /* VIRTIOFS: tag, or "tag/sub/path" for one file or directory of it;
				DISK: "disk2", or "disk2/name" for one directory of its file system,
				made if missing */
	const char *target;  /* absolute, resolved beneath the root */
	const char *options; /* TMPFS: "size=..,mode=.." as tmpfs takes them; "ro" and "rw" for all;
			       DISK: "copy": an empty directory gets what the image has at target */
	struct agent_bytes
		content; /* FILE: bytes of a read-write file bound at target (/etc/hosts, ...) */
};

enum agent_run_flags {
	AGENT_RUN_TTY = 1 << 0,
	AGENT_RUN_STDIN = 1 << 1,      /* keep stdin open; else /dev/null */
	AGENT_RUN_MAIN = 1 << 2,       /* the waiting PID 1; only on AGENT_STREAM_MAIN */
	AGENT_RUN_PRIVILEGED = 1 << 3, /* all capabilities */
	AGENT_RUN_READONLY = 1 << 4,   /* main only: the root file system, not the mounts */
};

struct agent_run {
	uint32_t flags;
	struct agent_strings argv, env;
	const char *cwd;  /* made if missing (main only) */
	const char *user; /* as Docker: name, uid, user:group; looked up in the image */
	uint16_t rows, cols;
	struct agent_mount *mounts; /* main only; decoded: heap */
	uint32_t n_mounts;
};

struct agent_frame {
	uint16_t type;
	uint32_t stream;
	struct agent_bytes payload;
};

/*
 * Take the first whole frame of `in`. 1: *ret is it, pointing into `in`, and *ret_len bytes are to
 * be consumed by the caller once done with it; 0: more bytes are needed; -EPROTO and the reason:
 * close.
 */
must_check int agent_frame_parse(const void *in, size_t len, struct agent_frame *ret,
				 size_t *ret_len, struct err *e);

/* Append one frame to `out`. -ENOMEM, -EFBIG. */
must_check int agent_put(struct buf *out, uint16_t type, uint32_t stream, const void *payload,
			 size_t len);
must_check int agent_put_identity(struct buf *out, const struct agent_identity *id);
must_check int agent_put_root(struct buf *out, const struct agent_root *r);
must_check int agent_put_run(struct buf *out, uint32_t stream, const struct agent_run *r);
must_check int agent_put_u32(struct buf *out, uint16_t type, uint32_t stream, uint32_t v);
must_check int agent_put_credit(struct buf *out, uint32_t stream, uint32_t bytes, uint16_t which);
must_check int agent_put_resize(struct buf *out, uint32_t stream, uint16_t rows, uint16_t cols);
must_check int agent_put_text(struct buf *out, uint16_t type, uint32_t stream, uint16_t request,
			      uint32_t code,
			      const char *text); /* AGENT_ERROR, AGENT_FAILED (request 0) */

must_check int agent_put_lease(struct buf *out, const struct agent_lease *l);

/* Decode payloads. Strings in the result point into the payload. -EPROTO and the reason. */
must_check int agent_get_identity(struct agent_bytes p, struct agent_identity *ret, struct err *e);
must_check int agent_get_root(struct agent_bytes p, struct agent_root *ret, struct err *e);
must_check int agent_get_run(struct agent_bytes p, struct agent_run *ret, struct err *e);
void agent_run_done(struct agent_run *r);
must_check int agent_get_u32(struct agent_bytes p, uint32_t *ret, struct err *e);
must_check int agent_get_credit(struct agent_bytes p, uint32_t *ret_bytes, uint16_t *ret_which,
				struct err *e);
must_check int agent_get_resize(struct agent_bytes p, uint16_t *ret_rows, uint16_t *ret_cols,
				struct err *e);
/* Text is copied, at most `len` - 1 bytes, control bytes escaped: it may go to a terminal. */
must_check int agent_get_error(struct agent_bytes p, uint16_t *ret_request, uint32_t *ret_code,
			       char *text, size_t len, struct err *e);
must_check int agent_get_failed(struct agent_bytes p, uint32_t *ret_code, char *text, size_t len,
				struct err *e);
must_check int agent_get_lease(struct agent_bytes p, struct agent_lease *ret, struct err *e);
must_check int agent_get_exited(struct agent_bytes p, uint32_t *ret_status, bool *ret_oom,
				struct err *e);

#endif
