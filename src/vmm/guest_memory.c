/* SPDX-License-Identifier: MIT */
/*
 * guest_memory.c - the guest's memory, and the one translation of its addresses
 *
 * Hostile: every address and length given to guest_span(), guest_read() and guest_write().
 * Invariants: I1 a pointer given out lies, with all of its length, in one slot.  I2 before and
 *   after each slot is address space that nothing may touch: running over an end is a fault and
 *   not somebody else's data.
 * Threads: map and unmap alone; all others on any thread, the slots do not change in between.
 */
#include "guest_memory.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bytes.h"

#define GUEST_PAGE 4096U
#define HUGE_PAGE  (2UL << 20)
#define GUARD_BYTES                                                                                \
	(2UL << 20) /* of a huge page's size: where the kernel aligns, slots are too               \
		     */

static int slot_check(const struct guest_memory *m, uint32_t i, struct err *e)
{
	const struct guest_slot *s = &m->slots[i];
	uint64_t low = i ? m->slots[i - 1].gpa + m->slots[i - 1].size + 1 : 0;

	if ((s->gpa | s->size | s->file_off) % GUEST_PAGE || s->size == 0)
		return err_plain(e, EINVAL, "memory slot %u is not made of whole pages", i);
	if (s->size > SIZE_MAX / 2 || s->gpa > UINT64_MAX - s->size || s->gpa < low)
		return err_plain(e, EINVAL, "memory slot %u is out of place", i);
	return 0;
}

static int slots_check(const struct guest_memory *m, struct err *e)
{
	if (m->n_slots == 0 || m->n_slots > GUEST_SLOTS_MAX)
		return err_plain(e, EINVAL, "%u memory slots", m->n_slots);
	for (uint32_t i = 0; i < m->n_slots; i++)
		if (slot_check(m, i, e) < 0)
			return -e->code;
	return 0;
}

static int file_check(const struct guest_memory *m, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "memory file");
	for (uint32_t i = 0; i < m->n_slots; i++)
		if (!range_fits(m->slots[i].file_off, m->slots[i].size, (uint64_t)st.st_size))
			return err_plain(e, EINVAL, "memory file is too short for slot %u", i);
	return 0;
}

static void slot_unmap(struct guest_slot *s)
{
	if (s->hva)
		munmap(s->hva - GUARD_BYTES, s->size + 2 * GUARD_BYTES);
	s->hva = NULL;
}

/* Addresses for the slot and its guards, such that a huge page of the guest's can be one here. */
static int slot_reserve(struct guest_slot *s, struct err *e)
{
	const size_t wanted = s->size + 2 * GUARD_BYTES, got = wanted + HUGE_PAGE;
	uint8_t *area =
		mmap(NULL, got, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (area == MAP_FAILED)
		return err_set(e, errno, "reserve addresses for guest memory");
	before = align_up((uintptr_t)area, HUGE_PAGE) - (uintptr_t)area;
	if (before)
		munmap(area, before);
	if (before < HUGE_PAGE)
		munmap(area + before + wanted, HUGE_PAGE - before);
	s->hva = area + before + GUARD_BYTES;
	return 0;
}

static int slot_map(struct guest_slot *s, int flags, int fd, struct err *e)
{
	off_t off = flags & MAP_ANONYMOUS ? 0 : (off_t)s->file_off;

	if (slot_reserve(s, e) < 0)
		return -e->code;
	if (mmap(s->hva, s->size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, off) == MAP_FAILED)
		return err_set(e, errno, "map guest memory");
	if (madvise(s->hva, s->size, MADV_DONTDUMP) < 0) /* it is the guest's, not ours */
		return err_set(e, errno, "keep guest memory out of core dumps");
	/* A kernel that boots touches much of it: fewer faults. Not of use for maps of files. */
	if (flags & MAP_ANONYMOUS)
		(void)madvise(s->hva, s->size, MADV_HUGEPAGE); /* a kernel without: as before */
	return 0;
}

int guest_memory_map(struct guest_memory *m, enum guest_memory_kind kind, int fd, struct err *e)
{
	static const int flags[] = {
		[GUEST_MEMORY_ANON] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		[GUEST_MEMORY_PRIVATE] = MAP_PRIVATE | MAP_NORESERVE,
		[GUEST_MEMORY_SHARED] = MAP_SHARED,
	};

	assert((size_t)kind < ARRAY_SIZE(flags));
	for (uint32_t i = 0; i < GUEST_SLOTS_MAX; i++)
		m->slots[i].hva = NULL;
	if (slots_check(m, e) < 0)
		return -e->code;
	if (kind == GUEST_MEMORY_ANON)
		fd = -1;
	else if (file_check(m, fd, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < m->n_slots; i++) {
		if (slot_map(&m->slots[i], flags[kind], fd, e) < 0) {
			guest_memory_unmap(m);
			return -e->code;
		}
	}
	return 0;
}

void guest_memory_unmap(struct guest_memory *m)
{
	for (uint32_t i = 0; i < GUEST_SLOTS_MAX; i++)
		slot_unmap(&m->slots[i]);
}

void *guest_span(const struct guest_memory *m, uint64_t gpa, uint64_t len)
{
	for (uint32_t i = 0; len > 0 && i < m->n_slots; i++) {
		const struct guest_slot *s = &m->slots[i];

		if (gpa >= s->gpa && range_fits(gpa - s->gpa, len, s->size))
			return s->hva + (gpa - s->gpa);
	}
	return NULL;
}

int guest_read(const struct guest_memory *m, uint64_t gpa, void *data, size_t len)
{
	const void *p = guest_span(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(data, p, len);
	return 0;
}

int guest_write(const struct guest_memory *m, uint64_t gpa, const void *data, size_t len)
{
	void *p = guest_span(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, data, len);
	return 0;
}
