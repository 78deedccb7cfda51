/* SPDX-License-Identifier: MIT */
/* disk_driver.c - a guest's driver of a virtio disk, over the model in guest_driver.h */
#include "disk_driver.h"

#include <assert.h>
#include <string.h>

#include "blk_fixture.h"

void disk_attach(struct disk *d, struct blk_back *back, const struct virtio_blk_options *o)
{
	static const struct virtio_blk_options none;
	struct err e;
	int rc;

	memset(d, 0, sizeof(*d));
	rc = loop_new(&d->loop, &e);
	assert(rc == 0);
	rc = virtio_blk_new(d->loop, back, o ? o : &none, &d->dev, &e);
	assert(rc == 0);
	guest_driver_attach(&d->g, d->dev);
}

void disk_start(struct disk *d, struct blk_back *back, const struct virtio_blk_options *o)
{
	uint32_t status;

	disk_attach(d, back, o);
	status = guest_driver_negotiate(&d->g, d->dev->features, VIRTQ_SIZE_MAX);
	assert(status == STATUS_RUNNING);
}

void disk_stop(struct disk *d)
{
	guest_driver_stop(&d->g);
	loop_free(d->loop);
}

void disk_header(uint8_t raw[16], uint32_t type, uint64_t sector)
{
	put_le32(raw, type);
	put_le32(raw + 4, 0);
	put_le64(raw + 8, sector);
}

void disk_segment(uint8_t raw[16], uint64_t sector, uint32_t n, uint32_t flags)
{
	put_le64(raw, sector);
	put_le32(raw + 8, n);
	put_le32(raw + 12, flags);
}

uint16_t disk_add_read(struct disk *d, uint64_t sector, uint32_t len)
{
	uint8_t header[16];
	struct iovec out = { header, sizeof(header) }, in[] = { { NULL, len }, { NULL, 1 } };

	disk_header(header, T_IN, sector);
	return guest_driver_add(&d->g, 0, &out, 1, in, 2);
}

uint16_t disk_add_write(struct disk *d, uint64_t sector, uint32_t len, const void *data)
{
	uint8_t header[16];
	struct iovec out[] = { { header, sizeof(header) }, { (void *)(uintptr_t)data, len } };

	disk_header(header, T_OUT, sector);
	return guest_driver_add(&d->g, 0, out, 2, &(struct iovec){ NULL, 1 }, 1);
}

uint8_t disk_status(struct disk *d, uint16_t head)
{
	return *(uint8_t *)guest_driver_data(&d->g, 0, head, 2);
}

static bool has_used(void *arg)
{
	struct guest_driver *g = &((struct disk *)arg)->g;

	return guest_driver_peek16(g, g->queues[0].used + 2) != g->queues[0].last_used;
}

uint16_t disk_wait(struct disk *d, uint32_t *ret_used)
{
	uint16_t head;
	bool is_there = has_used(d) || loop_until(d->loop, has_used, d);

	assert(is_there);
	is_there = guest_driver_used(&d->g, 0, &head, ret_used);
	assert(is_there);
	return head;
}

uint32_t disk_finish(struct disk *d, uint16_t head)
{
	uint32_t used;
	uint16_t got;

	guest_driver_kick(&d->g, 0);
	got = disk_wait(d, &used);
	assert(got == head);
	return used;
}

uint8_t disk_read(struct disk *d, uint64_t sector, uint32_t len, void *data)
{
	uint16_t head = disk_add_read(d, sector, len);

	(void)disk_finish(d, head);
	if (data)
		memcpy(data, guest_driver_data(&d->g, 0, head, 1), len);
	return disk_status(d, head);
}

uint8_t disk_write(struct disk *d, uint64_t sector, uint32_t len, const void *data)
{
	uint16_t head = disk_add_write(d, sector, len, data);

	(void)disk_finish(d, head);
	return disk_status(d, head);
}

uint8_t disk_flush(struct disk *d)
{
	uint8_t header[16];
	uint16_t head;

	disk_header(header, T_FLUSH, 0);
	head = guest_driver_add(&d->g, 0, &(struct iovec){ header, 16 }, 1,
				&(struct iovec){ NULL, 1 }, 1);
	(void)disk_finish(d, head);
	return *(uint8_t *)guest_driver_data(&d->g, 0, head, 1);
}
