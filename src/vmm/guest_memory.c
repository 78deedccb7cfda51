/* SPDX-License-Identifier: MIT */
/*
 * guest_memory.c - the guest's memory, and the one translation of its addresses
 *
 * Hostile: every address and length given to guest_span() and guest_write().
 * Invariants: I1 a pointer given out lies, with all of its length, in one slot.  I2 before and
 *   after each slot is address space that nothing may touch: running over an end is a fault and
 *   not somebody else's data.  I3 a block that is out can be written to by nobody and has no memory
 *   of its own: at most the host's page of zeros is seen there.
 *   I4 what was mapped from parts of files is in no slot: guest_span() never gives it out.
 * Threads: map and unmap alone; spans on any thread, the slots do not change in between. Blocks are
 *   changed by one thread; who keeps a pointer across that is asked first (virtio_mem.h).
 *   `dirty` may come and go at any moment; what it points to stays until the machine ends.
 * #syscalls:vmm madvise mprotect
 */
#include "guest_memory.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bytes.h"
#include "vmm_config.h"

#define HUGE_PAGE (2UL << 20)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
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

/* It does not touch the last slot either: a buffer may run over a border that is none. */
static int area_check(const struct guest_memory *m, struct err *e)
{
	const struct guest_slot *s = &m->area, *last = &m->slots[m->n_slots - 1];

	if (s->size == 0)
		return 0;
	if ((s->gpa | s->size) % GUEST_BLOCK || s->size / GUEST_BLOCK > GUEST_BLOCKS_MAX ||
	    s->gpa > UINT64_MAX - s->size || s->gpa <= last->gpa + last->size)
		return err_plain(e, EINVAL, "the area of memory that comes and goes");
	return 0;
}

static int slots_check(const struct guest_memory *m, struct err *e)
{
	if (m->n_slots == 0 || m->n_slots > GUEST_SLOTS_MAX)
		return err_plain(e, EINVAL, "%u memory slots", m->n_slots);
	for (uint32_t i = 0; i < m->n_slots; i++)
		if (slot_check(m, i, e) < 0)
			return -e->code;
	return area_check(m, e);
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

static int slot_map(struct guest_slot *s, int prot, int flags, int fd, struct err *e)
{
	off_t off = flags & MAP_ANONYMOUS ? 0 : (off_t)s->file_off;

	if (slot_reserve(s, e) < 0)
		return -e->code;
	if (mmap(s->hva, s->size, prot, flags | MAP_FIXED, fd, off) == MAP_FAILED)
		return err_set(e, errno, "map guest memory");
	if (madvise(s->hva, s->size, MADV_DONTDUMP) < 0) /* it is the guest's, not ours */
		return err_set(e, errno, "keep guest memory out of core dumps");
	/* A kernel that boots touches much of it: fewer faults. Not of use for maps of files. */
	if (flags & MAP_ANONYMOUS)
		(void)madvise(s->hva, s->size, MADV_HUGEPAGE); /* a kernel without: as before */
	return 0;
}

static int all_map(struct guest_memory *m, int flags, int fd, struct err *e)
{
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

	for (uint32_t i = 0; i < m->n_slots; i++)
		if (slot_map(&m->slots[i], PROT_READ | PROT_WRITE, flags, fd, e) < 0)
			return -e->code;
	memset(m->blocks, 0, sizeof(m->blocks));
	return m->area.size ? slot_map(&m->area, PROT_READ, anon, -1, e) : 0;
}

int guest_memory_map(struct guest_memory *m, enum guest_memory_kind kind, int fd, struct err *e)
{
	static const int flags[] = {
		[GUEST_MEMORY_ANON] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		[GUEST_MEMORY_PRIVATE] = MAP_PRIVATE | MAP_NORESERVE,
		[GUEST_MEMORY_SHARED] = MAP_SHARED,
	};

	assert((size_t)kind < ARRAY_SIZE(flags));
	m->dirty = NULL;
	for (uint32_t i = 0; i < GUEST_SLOTS_MAX; i++)
		m->slots[i].hva = NULL;
	m->area.hva = NULL;
	if (slots_check(m, e) < 0)
		return -e->code;
	if (kind == GUEST_MEMORY_ANON)
		fd = -1;
	else if (file_check(m, fd, e) < 0)
		return -e->code;
	if (all_map(m, flags[kind], fd, e) < 0) {
		guest_memory_unmap(m);
		return -e->code;
	}
	return 0;
}

void guest_memory_unmap(struct guest_memory *m)
{
	for (uint32_t i = 0; i < GUEST_SLOTS_MAX; i++)
		slot_unmap(&m->slots[i]);
	slot_unmap(&m->area);
	slot_unmap(&m->rom);
}

/* ---- blocks ---- */

bool guest_block_is_in(const struct guest_memory *m, uint64_t block)
{
	return __atomic_load_n(&m->blocks[block / 64], __ATOMIC_ACQUIRE) >> block % 64 & 1;
}

void guest_blocks_mark(struct guest_memory *m, uint64_t first, uint64_t n,
		       enum guest_block_state state)
{
	assert(range_fits(first, n, m->area.size / GUEST_BLOCK));
	for (uint64_t i = first; i < first + n; i++) {
		const uint64_t bit = 1ULL << i % 64;

		if (state == GUEST_BLOCK_IN)
			__atomic_fetch_or(&m->blocks[i / 64], bit, __ATOMIC_SEQ_CST);
		else
			__atomic_fetch_and(&m->blocks[i / 64], ~bit, __ATOMIC_SEQ_CST);
	}
}

int guest_blocks_protect(struct guest_memory *m, uint64_t first, uint64_t n,
			 enum guest_block_state state)
{
	const int prot = state == GUEST_BLOCK_IN ? PROT_READ | PROT_WRITE : PROT_READ;
	uint8_t *at = m->area.hva + first * GUEST_BLOCK;

	assert(range_fits(first, n, m->area.size / GUEST_BLOCK));
	if (mprotect(at, n * GUEST_BLOCK, prot) < 0)
		return -errno;
	/* Only now: nothing can be stored there any more. It does not fail on a map like this. */
	if (state == GUEST_BLOCK_OUT)
		(void)!madvise(at, n * GUEST_BLOCK, MADV_DONTNEED);
	return 0;
}

/* ---- parts of files ---- */

static int part_map(const struct guest_slot *s, const struct vmm_part *p, struct err *e)
{
	struct stat st;

	if (fstat(p->fd, &st) < 0)
		return err_set(e, errno, "file");
	/* What is behind its end, in its last page, reads as zeros. */
	if (!S_ISREG(st.st_mode) || !range_fits(p->disk_off, p->len, s->size) ||
	    !range_fits(p->file_off, p->len, align_up((uint64_t)st.st_size, GUEST_PAGE)))
		return err_plain(e, EINVAL, "%llu bytes at %llu are not in its file",
				 (unsigned long long)p->len, (unsigned long long)p->file_off);
	if (mmap(s->hva + p->disk_off, p->len, PROT_READ, MAP_SHARED | MAP_FIXED, p->fd,
		 (off_t)p->file_off) == MAP_FAILED)
		return err_set(e, errno, "map a file");
	return 0;
}

static int rom_fill(const struct guest_slot *s, const struct vmm_part *parts, uint32_t n,
		    struct err *e)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

	if (mmap(s->hva, s->size, PROT_READ, flags, -1, 0) == MAP_FAILED)
		return err_set(e, errno, "map zeros");
	for (uint32_t i = 0; i < n; i++)
		if (part_map(s, &parts[i], e) < 0)
			return err_wrap(e, "part %u", i);
	if (madvise(s->hva, s->size, MADV_DONTDUMP) < 0)
		return err_set(e, errno, "keep files out of core dumps");
	return 0;
}

int guest_rom_map(struct guest_memory *m, uint64_t gpa, uint64_t size, const struct vmm_part *parts,
		  uint32_t n, struct err *e)
{
	struct guest_slot s = { .gpa = gpa, .size = size };
	const struct guest_slot *last = &m->slots[m->n_slots - 1];

	assert(m->n_slots && !m->rom.size);
	if (gpa % HUGE_PAGE || size == 0 || size % HUGE_PAGE || size > VMM_MAPPED_MAX ||
	    gpa > UINT64_MAX - size || gpa <= last->gpa + last->size)
		return err_plain(e, EINVAL, "%llu bytes of memory out of place",
				 (unsigned long long)size);
	if (slot_reserve(&s, e) < 0)
		return -e->code;
	if (rom_fill(&s, parts, n, e) < 0) {
		slot_unmap(&s);
		return -e->code;
	}
	m->rom = s;
	return 0;
}

/* ---- spans ---- */

static void *area_span(const struct guest_memory *m, uint64_t gpa, uint64_t len)
{
	const uint64_t off = gpa - m->area.gpa;

	if (gpa < m->area.gpa || !range_fits(off, len, m->area.size))
		return NULL;
	for (uint64_t i = off / GUEST_BLOCK; i <= (off + len - 1) / GUEST_BLOCK; i++)
		if (!guest_block_is_in(m, i))
			return NULL;
	return m->area.hva + off;
}

void guest_memory_populate(const struct guest_memory *m, uint64_t file_off, uint64_t len)
{
	for (uint32_t i = 0; i < m->n_slots; i++) {
		const struct guest_slot *s = &m->slots[i];

		if (file_off >= s->file_off && range_fits(file_off - s->file_off, len, s->size))
			(void)madvise(s->hva + (file_off - s->file_off), len, MADV_POPULATE_WRITE);
	}
}

void *guest_span(const struct guest_memory *m, uint64_t gpa, uint64_t len)
{
	for (uint32_t i = 0; len > 0 && i < m->n_slots; i++) {
		const struct guest_slot *s = &m->slots[i];

		if (gpa >= s->gpa && range_fits(gpa - s->gpa, len, s->size))
			return s->hva + (gpa - s->gpa);
	}
	return len > 0 ? area_span(m, gpa, len) : NULL;
}

const void *guest_span_read(const struct guest_memory *m, uint64_t gpa, uint64_t len)
{
	const struct guest_slot *s = &m->rom;

	if (len > 0 && s->size && gpa >= s->gpa && range_fits(gpa - s->gpa, len, s->size))
		return s->hva + (gpa - s->gpa);
	return guest_span(m, gpa, len);
}

int guest_write(const struct guest_memory *m, uint64_t gpa, const void *data, size_t len)
{
	void *p = guest_span(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, data, len);
	guest_wrote(m, p, len);
	return 0;
}

/* The or is a barrier, so that the write before it is seen by whoever finds the bit. */
static void pages_mark(uint64_t *dirty, uint64_t from, uint64_t end)
{
	for (uint64_t i = from; i < end; i++)
		__atomic_fetch_or(&dirty[i / 64], 1ULL << i % 64, __ATOMIC_SEQ_CST);
}

void guest_dirty_mark(const struct guest_memory *m, const void *p, size_t len)
{
	uint64_t *dirty = __atomic_load_n(&m->dirty, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; dirty && len > 0 && i < m->n_slots; i++) {
		const struct guest_slot *s = &m->slots[i];
		const uint64_t at = (uintptr_t)p - (uintptr_t)s->hva;

		if ((uintptr_t)p >= (uintptr_t)s->hva && range_fits(at, len, s->size))
			pages_mark(dirty, (s->file_off + at) / GUEST_PAGE,
				   align_up(s->file_off + at + len, GUEST_PAGE) / GUEST_PAGE);
	}
}
