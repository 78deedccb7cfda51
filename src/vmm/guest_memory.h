/* SPDX-License-Identifier: MIT */
/*
 * guest_memory.h - the guest's memory, and the one translation of its addresses
 *
 * A few slots of guest-physical addresses, each mapped in one piece. Nothing else in the VMM turns
 * an address of the guest's into a pointer. What a pointer shows may change at any moment: copy,
 * check the copy, use the copy.
 */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include <stdint.h>

#include "err.h"

#define GUEST_SLOTS_MAX 4U

struct guest_slot {
	uint64_t gpa, size; /* multiples of 4 KiB; slots ascend and do not touch or overlap */
	uint64_t file_off;  /* where it lies in the memory's file */
	uint8_t *hva;
};

struct guest_memory {
	struct guest_slot slots[GUEST_SLOTS_MAX];
	uint32_t n_slots;
};

enum guest_memory_kind {
	GUEST_MEMORY_ANON,    /* fresh zeros; no file */
	GUEST_MEMORY_PRIVATE, /* a private copy-on-write map of a file */
	GUEST_MEMORY_SHARED,  /* the file itself */
};

/* Map the slots, whose gpa, size and file_off are set. `fd` is borrowed and must hold all of the
 * slots (-EINVAL else: a shorter file would be SIGBUS later). Nothing is mapped on failure. */
must_check int guest_memory_map(struct guest_memory *m, enum guest_memory_kind kind, int fd,
				struct err *e);
void guest_memory_unmap(struct guest_memory *m); /* what is not mapped is fine */

/* Where [gpa, gpa + len) is, if it lies in one slot; else NULL. len 0 is NULL. */
void *guest_span(const struct guest_memory *m, uint64_t gpa, uint64_t len);

/* A copy; -EFAULT when the range does not lie in one slot. */
must_check int guest_read(const struct guest_memory *m, uint64_t gpa, void *data, size_t len);
must_check int guest_write(const struct guest_memory *m, uint64_t gpa, const void *data,
			   size_t len);

#endif
