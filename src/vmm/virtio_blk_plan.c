/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk_plan.c - [U] what a chain asks a disk to do [virtio 1.2, 5.2.6]
 *
 * Hostile: header and segments, which are copied out once; how they are cut into buffers, which may
 *   be in any way [2.7.4.1]; lengths.
 * Invariants: I1 a plan's range lies inside the disk, in whole sectors.  I2 the buffers of a read
 * or write hold exactly `len` bytes, at most BLK_REQUEST_MAX, and the status byte is none of them.
 *   I3 a read-only disk is never asked to change anything.
 */
#include "virtio_blk_plan.h"

#include "bytes.h"

#define HEADER_SIZE   16U /* le32 type, le32 reserved, le64 sector */
#define SEGMENT_SIZE  16U /* le64 sector, le32 num_sectors, le32 flags */
#define SEGMENT_UNMAP 1U

enum blk_type { /* [5.2.6] */
		TYPE_IN = 0,
		TYPE_OUT = 1,
		TYPE_FLUSH = 4,
		TYPE_GET_ID = 8,
		TYPE_DISCARD = 11,
		TYPE_WRITE_ZEROES = 13,
};

static void answer(struct blk_plan *p, uint8_t status, uint32_t written)
{
	p->kind = BLK_PLAN_ANSWER;
	p->status = status;
	p->written = written;
}

static void run(struct blk_plan *p, enum blk_op op)
{
	p->kind = BLK_PLAN_RUN;
	p->io.op = op;
}

/* Take the last byte from the writable buffers. */
static uint8_t *status_take(struct virtq_chain *c)
{
	struct iovec *last;

	if (c->n_in == 0)
		return NULL;
	last = &c->iov[c->n_out + c->n_in - 1];
	last->iov_len--;
	c->len_in--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

/* I1: sets off and len. */
static bool range_set(struct blk_plan *p, const struct blk_disk *disk, uint64_t sector, uint64_t n)
{
	if (!range_fits(sector, n, disk->sectors))
		return false;
	p->io.off = sector * BLK_SECTOR;
	p->io.len = n * BLK_SECTOR;
	return true;
}

static void plan_io(struct blk_plan *p, struct virtq_chain *c, const struct blk_disk *disk,
		    uint64_t sector, enum blk_op op)
{
	bool is_read = op == BLK_OP_READ;
	uint64_t len = is_read ? c->len_in : c->len_out - HEADER_SIZE;
	struct iovec *iov = is_read ? c->iov + c->n_out : c->iov;

	if (!is_read && disk->is_readonly) {
		answer(p, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	if (len % BLK_SECTOR != 0 || len > BLK_REQUEST_MAX ||
	    !range_set(p, disk, sector, len / BLK_SECTOR)) {
		answer(p, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	if (len == 0) {
		answer(p, VIRTIO_BLK_S_OK, 0);
		return;
	}
	p->io.iov = iov;
	p->io.n_iov =
		iov_cut(iov, is_read ? c->n_in : c->n_out, is_read ? 0 : HEADER_SIZE, len, iov);
	p->written = is_read ? (uint32_t)len : 0;
	run(p, op);
}

static void plan_id(struct blk_plan *p, const struct virtq_chain *c, const struct blk_disk *disk)
{
	char id[VIRTIO_BLK_ID_SIZE] = { 0 };

	if (c->len_in < sizeof(id)) {
		answer(p, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	memcpy(id, disk->serial, strnlen(disk->serial, sizeof(id)));
	(void)virtq_chain_write(c, 0, id, sizeof(id)); /* there is room */
	answer(p, VIRTIO_BLK_S_OK, sizeof(id));
}

/* DISCARD and WRITE_ZEROES: one segment, as the configuration says. */
static void plan_segment(struct blk_plan *p, const struct virtq_chain *c,
			 const struct blk_disk *disk, enum blk_op op)
{
	uint32_t most = op == BLK_OP_ZERO ? BLK_ZERO_SECTORS : BLK_DISCARD_SECTORS;
	uint32_t flags_known = op == BLK_OP_ZERO ? SEGMENT_UNMAP : 0;
	uint8_t raw[SEGMENT_SIZE];
	uint32_t n, flags;

	if (disk->is_readonly || c->len_out != HEADER_SIZE + sizeof(raw) ||
	    virtq_chain_read(c, HEADER_SIZE, raw, sizeof(raw)) != sizeof(raw)) {
		answer(p, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	n = get_le32(raw + 8);
	flags = get_le32(raw + 12);
	if (flags & ~flags_known) /* also the unmap flag of a discard [5.2.6.2] */
		answer(p, VIRTIO_BLK_S_UNSUPP, 0);
	else if (n > most || !range_set(p, disk, get_le64(raw), n))
		answer(p, VIRTIO_BLK_S_IOERR, 0);
	else if (n == 0)
		answer(p, VIRTIO_BLK_S_OK, 0);
	else
		run(p, op);
	p->io.may_unmap = flags & SEGMENT_UNMAP;
}

static void plan_type(struct blk_plan *p, struct virtq_chain *c, const struct blk_disk *disk,
		      const uint8_t *header)
{
	switch (get_le32(header)) {
	case TYPE_IN:
		plan_io(p, c, disk, get_le64(header + 8), BLK_OP_READ);
		break;
	case TYPE_OUT:
		plan_io(p, c, disk, get_le64(header + 8), BLK_OP_WRITE);
		break;
	case TYPE_FLUSH:
		run(p, BLK_OP_FLUSH);
		break;
	case TYPE_GET_ID:
		plan_id(p, c, disk);
		break;
	case TYPE_DISCARD:
		plan_segment(p, c, disk, BLK_OP_DISCARD);
		break;
	case TYPE_WRITE_ZEROES:
		plan_segment(p, c, disk, BLK_OP_ZERO);
		break;
	default:
		answer(p, VIRTIO_BLK_S_UNSUPP, 0);
		break;
	}
}

void blk_plan_make(struct blk_plan *p, struct virtq_chain *c, const struct blk_disk *disk)
{
	uint8_t header[HEADER_SIZE];

	*p = (struct blk_plan){ .kind = BLK_PLAN_DROP, .status_byte = status_take(c) };
	if (!p->status_byte)
		return;
	if (virtq_chain_read(c, 0, header, sizeof(header)) != sizeof(header)) {
		answer(p, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	plan_type(p, c, disk, header);
}
