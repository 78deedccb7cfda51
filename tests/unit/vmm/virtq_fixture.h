/* SPDX-License-Identifier: MIT */
/* virtq_fixture.h - a queue in mock memory, whose rings a test writes byte by byte; after cmocka.h
 */
#ifndef VIRTQ_FIXTURE_H
#define VIRTQ_FIXTURE_H

#include "virtq.h"

/* A queue in two slots of 64 KiB each: at 64 KiB and at 256 KiB; read-only memory behind them. */
#define LOW      0x10000U
#define HIGH     0x40000U
#define SLOT     0x10000U
#define ROM      0x200000U
#define ROM_SIZE 0x200000U
#define DESC     LOW
#define AVAIL    (LOW + 0x1000U)
#define USED     (LOW + 0x2000U)
#define DATA     (LOW + 0x4000U)

#define NEXT     1
#define WRITE    2
#define INDIRECT 4

struct fixture {
	struct guest_memory mem;
	struct virtq q;
};

static inline void setup(struct fixture *f, uint16_t size, bool has_event_idx)
{
	struct err e = { 0 };

	*f = (struct fixture){ 0 };
	f->mem.n_slots = 2;
	f->mem.slots[0] = (struct guest_slot){ .gpa = LOW, .size = SLOT };
	f->mem.slots[1] = (struct guest_slot){ .gpa = HIGH, .size = SLOT };
	assert_int_equal(guest_memory_map(&f->mem, GUEST_MEMORY_ANON, -1, &e), 0);
	assert_int_equal(guest_rom_map(&f->mem, ROM, ROM_SIZE, NULL, 0, &e), 0);
	f->q = (struct virtq){ .size = size, .desc = DESC, .avail = AVAIL, .used = USED };
	assert_int_equal(virtq_start(&f->q, &f->mem, has_event_idx, &e), 0);
}

static inline void poke(struct fixture *f, uint64_t gpa, uint64_t v, unsigned int bytes)
{
	uint8_t raw[8];

	put_le64(raw, v);
	assert_int_equal(guest_write(&f->mem, gpa, raw, bytes), 0);
}

static inline uint32_t peek(struct fixture *f, uint64_t gpa, unsigned int bytes)
{
	uint8_t raw[4] = { 0 };

	assert_non_null(guest_span(&f->mem, gpa, bytes));
	memcpy(raw, guest_span(&f->mem, gpa, bytes), bytes);
	return get_le32(raw);
}

struct row_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static inline void desc_set(struct fixture *f, uint16_t i, struct row_desc d)
{
	poke(f, DESC + 16U * i, d.addr, 8);
	poke(f, DESC + 16U * i + 8, d.len, 4);
	poke(f, DESC + 16U * i + 12, d.flags, 2);
	poke(f, DESC + 16U * i + 14, d.next, 2);
}

#endif
