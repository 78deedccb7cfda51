/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk_plan.h - what a chain asks a disk to do [virtio 1.2, 5.2.6]
 */
#ifndef VIRTIO_BLK_PLAN_H
#define VIRTIO_BLK_PLAN_H

#include "blk_engine.h"
#include "virtq.h"

#define VIRTIO_BLK_S_OK     0U
#define VIRTIO_BLK_S_IOERR  1U
#define VIRTIO_BLK_S_UNSUPP 2U

#define VIRTIO_BLK_ID_SIZE  20U
#define BLK_REQUEST_MAX     (32U << 20)  /* bytes read or written by one */
#define BLK_SEGMENT_MAX     (256U << 10) /* size_max: of one of its buffers */
#define BLK_SEGMENTS_MAX    (VIRTQ_CHAIN_MAX - 2)
#define BLK_DISCARD_SECTORS (1U << 21) /* 1 GiB */
#define BLK_ZERO_SECTORS    (1U << 17) /* 64 MiB: they may have to be written */

struct blk_disk { /* what requests are checked against */
	uint64_t sectors;
	bool is_readonly;
	char serial[VIRTIO_BLK_ID_SIZE]; /* ends at the first NUL, or at the end */
};

enum blk_plan_kind {
	BLK_PLAN_DROP,   /* there is no byte for a status: nothing can be said */
	BLK_PLAN_ANSWER, /* it is done, or refused: `status` says */
	BLK_PLAN_RUN,    /* run `io`; then the status depends on how that went */
};

struct blk_plan {
	enum blk_plan_kind kind;
	uint8_t *status_byte; /* in guest memory */
	uint8_t status;
	uint32_t written; /* bytes of data that the driver finds written when all went well */
	struct blk_io io; /* its buffers are the chain's */
};

/* Look at the chain once. Its buffers are cut to what is data, so it must live as long as the plan
 * is used. A request for the serial number is done here. */
void blk_plan_make(struct blk_plan *p, struct virtq_chain *c, const struct blk_disk *disk);

#endif
