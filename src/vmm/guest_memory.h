/* SPDX-License-Identifier: MIT */
/*
 * guest_memory.h - the guest's memory, and the one translation of its addresses
 *
 * A few slots of guest-physical addresses, each mapped in one piece. Nothing else in the VMM turns
 * an address of the guest's into a pointer. What a pointer shows may change at any moment: copy,
 * check the copy, use the copy.
 *
 * Beside them there may be one area of blocks that come and go while the guest runs. A block that
 * is out reads as zeros for the guest, and a store to it is one to nowhere (KVM_RUN fails with
 * EFAULT): no memory of the host's stands behind it. It is in no span.
 */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define GUEST_SLOTS_MAX  4U
#define GUEST_BLOCK      (2ULL << 20)
#define GUEST_BLOCKS_MAX (1U << 17) /* 256 GiB */
#define GUEST_PAGE       4096U

struct guest_slot {
	uint64_t gpa, size; /* multiples of 4 KiB; slots ascend and do not touch or overlap */
	uint64_t file_off;  /* where it lies in the memory's file */
	uint8_t *hva;
};

struct guest_memory {
	struct guest_slot slots[GUEST_SLOTS_MAX];
	uint32_t n_slots;
	struct guest_slot area;                 /* of blocks, behind all slots; size 0: none */
	uint64_t blocks[GUEST_BLOCKS_MAX / 64]; /* atomic; bits: those of the area that are in */
	struct guest_slot rom; /* of guest_rom_map(); size 0: none. No RAM: neither saved nor taken
				  back, and nobody writes to it */
	uint64_t *dirty; /* dirty_log.h: a bit for each page of the file; NULL, as nearly always:
			    nobody wants to know */
};

struct vmm_part;

enum guest_memory_kind {
	GUEST_MEMORY_ANON,    /* fresh zeros; no file */
	GUEST_MEMORY_PRIVATE, /* a private copy-on-write map of a file */
	GUEST_MEMORY_SHARED,  /* the file itself */
};

/* Map the slots, whose gpa, size and file_off are set, and the area, whose gpa and size are: all of
 * its blocks are out. `fd` is borrowed and must hold all of the slots (-EINVAL else: a shorter file
 * would be SIGBUS later); blocks are never of it. Nothing is mapped on failure. */
must_check int guest_memory_map(struct guest_memory *m, enum guest_memory_kind kind, int fd,
				struct err *e);
void guest_memory_unmap(struct guest_memory *m); /* what is not mapped is fine */

/*
 * Map parts of files as `size` bytes at gpa, behind all slots: read-only and shared with whoever
 * else maps them, zeros between them. The parts are as vmm_config.h says, their descriptors
 * borrowed: the map stays when they are closed. -EINVAL: a file is shorter than its parts. Who cuts
 * a file short later makes what was there unreadable: SIGBUS for us, -EFAULT of KVM_RUN.
 */
must_check int guest_rom_map(struct guest_memory *m, uint64_t gpa, uint64_t size,
			     const struct vmm_part *parts, uint32_t n, struct err *e);

/* Pages of the memory's file, which a private map is to have of its own at once. Only a hint: what
 * does not lie in one slot is left out, and a kernel that cannot (before 5.14) does nothing. */
void guest_memory_populate(const struct guest_memory *m, uint64_t file_off, uint64_t len);

/* Where [gpa, gpa + len) is, if it lies in one slot, or in blocks that are in; else NULL. len 0 is
 * NULL. */
void *guest_span(const struct guest_memory *m, uint64_t gpa, uint64_t len);
/* The same for what is only read: in a slot, or in what guest_rom_map() made. */
const void *guest_span_read(const struct guest_memory *m, uint64_t gpa, uint64_t len);

/* A copy; -EFAULT when there is no such span. */
must_check int guest_write(const struct guest_memory *m, uint64_t gpa, const void *data,
			   size_t len);

enum guest_block_state { GUEST_BLOCK_OUT, GUEST_BLOCK_IN };

bool guest_block_is_in(const struct guest_memory *m, uint64_t block);
/* Whether spans may have these blocks. One thread changes blocks; they exist. */
void guest_blocks_mark(struct guest_memory *m, uint64_t first, uint64_t n,
		       enum guest_block_state state);
/* What the guest has there: memory, zeros at first; or nothing, and the memory is the host's again.
 * -ENOMEM: the host cannot; all is as before. */
must_check int guest_blocks_protect(struct guest_memory *m, uint64_t first, uint64_t n,
				    enum guest_block_state state);

/* For guest_wrote() only. */
void guest_dirty_mark(const struct guest_memory *m, const void *p, size_t len);

/* What this process, or the kernel for it, has written to guest memory must be told here, as KVM
 * sees what processors write and no more. After the write: one that is told before it may be
 * written down, and the page copied, when the write comes. What lies in no slot is left out. */
static inline void guest_wrote(const struct guest_memory *m, const void *p, size_t len)
{
	if (__builtin_expect(__atomic_load_n(&m->dirty, __ATOMIC_RELAXED) != NULL, 0))
		guest_dirty_mark(m, p, len);
}

#endif
