/* SPDX-License-Identifier: MIT */
/*
 * template.h - booted machines, kept to be cloned
 *
 * A template is the memory and device state of a machine that has booted, with its agent waiting.
 * Depth "machine": kernel and caisson-init up, nothing of any image in it. Depth "image": the
 * image's disk and the empty writable layer mounted, the main process forked and waiting for its
 * orders (AGENT_ROOT done). Templates are made on first use, never changed, and remade when kernel,
 * init, VMM, shape or image change (all of which go into the key).
 *
 * On disk: ROOT/templates/KEY/{template.json,memory,state,writable}. In use, the memory is a sealed
 * memfd, so that nobody, the VMM included, can change it. A memfd lives as long as somebody holds
 * it: `caisson-template` processes (one per template, RUN/templates/KEY.sock) hold it between runs
 * and end after being idle.
 */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "driver.h"
#include "engine.h"
#include "err.h"

#define TEMPLATE_DISK_IMAGE    0U /* slots of every machine */
#define TEMPLATE_DISK_WRITABLE 1U
#define TEMPLATE_DISK_COUNT    2U
#define TEMPLATE_DISK_SPARE    2U /* empty ones behind them, for volumes and disks to be written */

enum template_depth { TEMPLATE_MACHINE, TEMPLATE_IMAGE };

enum template_net { /* the network device; what it is connected to, only a clone knows */
		    TEMPLATE_NET_NONE,
		    TEMPLATE_NET_STREAM,
		    TEMPLATE_NET_TAP, /* has other features */
		    TEMPLATE_NET_COUNT_
};

struct template_want {
	const struct vm_driver_ops *driver;
	const char *kernel; /* name in the store */
	uint64_t mem_bytes;
	uint64_t mem_max_bytes; /* that it may grow to; 0: it does not */
	uint32_t cpus;
	enum template_net net;
	bool has_vsock, has_dax; /* has_dax: the image is memory of the guest, not a block device */
	const char *cpu_model;   /* NULL: as the host's */
	uint32_t n_shares;       /* slots for shared directories */
	const char *image_id;    /* NULL: depth machine */
	uint64_t disk_bytes;     /* of the writable layer, depth image */
};

struct template
{
	enum template_depth depth;
	char key[65];
	int mem_fd;      /* sealed memfd */
	int state_fd;    /* device state, read-only, at its start */
	int writable_fd; /* depth image: the writable layer's bytes as the guest has it mounted, to
			    be copied; else -1 */
	uint64_t mem_bytes;
};
void template_done(struct template *t);

/*
 * The deepest template that fits `w` and is ready now (image, else machine): 0. None: -ENOENT. Fast
 * path: one connection to a holder, descriptors passed. A template on disk without a holder is
 * loaded, and a holder started.
 */
must_check int template_get(struct engine *g, const struct template_want *w, struct template *ret,
			    struct err *e);

/* Make the template that `w` names, and what it is made from, unless it is there. Blocks; safe
 * against others doing the same. */
must_check int template_make(struct engine *g, const struct template_want *w, struct err *e);

/* One that was of no use: from disk, and from its holder, unless somebody is at work on it. Clones
 * of it go on. */
must_check int template_drop(struct engine *g, const char *key, struct err *e);

/* Start making it in a process of its own that nobody waits for. */
must_check int template_make_in_background(struct engine *g, const struct template_want *w,
					   struct err *e);

/* main of a holder process (caisson-template): answer on listen_fd until idle. Never returns an
 * error: it ends. */
void template_hold_serve(int listen_fd, const struct template *t);

#endif
