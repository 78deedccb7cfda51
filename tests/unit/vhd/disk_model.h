/* SPDX-License-Identifier: MIT */
/*
 * disk_model.h - an image, or a chain of them, beside a plain array that must read the same
 *
 * Random operations by a seed; each is done to both and compared. The stores of the chain are in
 * memory and outlive the open image, so that it can be opened again. With a log, what a power cut
 * may leave is known too: each byte is as of the last flush, or one of those written since.
 */
#ifndef DISK_MODEL_H
#define DISK_MODEL_H

#include "vhd.h"

#define DISK_DEPTH_MAX 64U

struct disk_op { /* a row of the log */
	bool is_flush;
	uint64_t off, len;
	uint8_t *data;
	size_t begin, end; /* calls of the topmost io when it began and ended */
};

struct disk_model {
	uint64_t seed;
	uint64_t size;
	uint32_t block_size; /* 0: fixed, or raw */
	uint8_t *bytes;      /* what the disk reads */
	size_t len_max;      /* of one random operation, but for whole blocks */
	size_t cache_max;    /* as in vhd_open_options */
	unsigned int n_ops;  /* for messages */

	struct vhd *v; /* NULL: closed */
	struct vhd_io
		*stores[DISK_DEPTH_MAX]; /* the first has no parent, the last is the topmost */
	uint32_t open_flags[DISK_DEPTH_MAX];
	unsigned int depth;
	/* What the topmost is opened on; NULL: its store. Closing it must leave the store. */
	struct vhd_io *(*wrap)(void *ctx, struct vhd_io *store);
	size_t (*calls)(void *ctx);
	void *ctx;

	/* the log; NULL: none is kept */
	uint8_t *durable;
	uint8_t *crashed; /* what a disk after a power cut reads; kept, since there are thousands */
	struct disk_op *log;
	size_t n_log, n_settled, log_cap;
};

enum disk_step {
	DISK_READ,
	DISK_WRITE,
	DISK_ZERO,
	DISK_DISCARD,
	DISK_FLUSH,
	DISK_REOPEN,
	DISK_STEP_COUNT_,
};
/* Of how many, in all, each is one. */
struct disk_weights {
	unsigned int of[DISK_STEP_COUNT_];
};
extern const struct disk_weights disk_weights_usual;

/* An empty disk, open for writing. */
void disk_model_init(struct disk_model *m, uint64_t seed, const struct vhd_create_options *o);
/* A differencing image on top, which names its parent "0.vhd", "1.vhd" and so on; size 0: as the
 * disk is. A smaller one cannot be made by the library, but others make it: its footers are
 * patched. */
void disk_model_snapshot(struct disk_model *m, uint64_t size);
void disk_model_done(struct disk_model *m);

void disk_model_open(struct disk_model *m);
void disk_model_close(struct disk_model *m);
/* The whole chain with `top` (not taken on failure) in the place of the topmost store. */
int disk_model_open_on(struct disk_model *m, struct vhd_io *top, uint32_t flags, struct vhd **ret,
		       struct vhd_err *e);

/* All bytes, by reading and by extents. */
void disk_model_compare(struct disk_model *m);
/* One random step; 0, or what the image answered: then the disk holds old or new bytes there. */
int disk_model_step(struct disk_model *m, const struct disk_weights *w, struct vhd_err *e);
/* That many, none of which may fail. */
void disk_model_run(struct disk_model *m, const struct disk_weights *w, unsigned int n);

/* One operation; random data. */
int disk_model_write(struct disk_model *m, uint64_t off, size_t len, struct vhd_err *e);
int disk_model_zero(struct disk_model *m, uint64_t off, size_t len, struct vhd_err *e);
int disk_model_discard(struct disk_model *m, uint64_t off, size_t len, struct vhd_err *e);
int disk_model_flush(struct disk_model *m, struct vhd_err *e);
void disk_model_read(struct disk_model *m, uint64_t off, size_t len);

/* From now on operations are logged; what the disk reads now is durable. */
void disk_model_log(struct disk_model *m);
/* May `v` read as it does, when the power was cut after `calls` calls? In ascending order. */
void disk_model_check_crash(struct disk_model *m, size_t calls, struct vhd *v, const char *what);
/* What the disk reads becomes the model, after a crash that disk_model_check_crash() allowed. */
void disk_model_adopt(struct disk_model *m);

#endif
