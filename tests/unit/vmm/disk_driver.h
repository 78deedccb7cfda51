/* SPDX-License-Identifier: MIT */
/*
 * disk_driver.h - a guest's driver of a virtio disk, over the model in guest_driver.h
 *
 * Misuse, and a disk that does not answer, end in assert().
 */
#ifndef DISK_DRIVER_H
#define DISK_DRIVER_H

#include "guest_driver.h"
#include "virtio_blk.h"

/* [virtio 1.2, 5.2.6] */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

struct disk {
	struct loop *loop;
	struct virtio_device *dev;
	struct guest_driver g;
};

/* Takes `back`; `o` may be NULL. attach: without the driver. */
void disk_attach(struct disk *d, struct blk_back *back, const struct virtio_blk_options *o);
void disk_start(struct disk *d, struct blk_back *back, const struct virtio_blk_options *o);
void disk_stop(struct disk *d);

void disk_header(uint8_t raw[16], uint32_t type, uint64_t sector);
void disk_segment(uint8_t raw[16], uint64_t sector, uint32_t n, uint32_t flags);

/* Offer a read (write) without a kick; `len` is whole sectors. The head; read: data is buffer 1,
 * status 2; write: status is buffer 2. `data` NULL: zeros. */
uint16_t disk_add_read(struct disk *d, uint64_t sector, uint32_t len);
uint16_t disk_add_write(struct disk *d, uint64_t sector, uint32_t len, const void *data);
uint8_t disk_status(struct disk *d, uint16_t head); /* of those */

/* Wait for one used chain, running the loop: its head, and how much was written. */
uint16_t disk_wait(struct disk *d, uint32_t *ret_used);
/* Kick, then wait for this chain, alone in flight: how much was written. */
uint32_t disk_finish(struct disk *d, uint16_t head);

/* One request from beginning to end: its status. `data` may be NULL. */
uint8_t disk_read(struct disk *d, uint64_t sector, uint32_t len, void *data);
uint8_t disk_write(struct disk *d, uint64_t sector, uint32_t len, const void *data);
uint8_t disk_flush(struct disk *d);

#endif
