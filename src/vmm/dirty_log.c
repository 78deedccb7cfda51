/* SPDX-License-Identifier: MIT */
/*
 * dirty_log.c - which pages of a running machine's memory are written
 *
 * Two see it: KVM, what processors write; guest_wrote(), what we and the kernel write for devices.
 * KVM's logs are one per slot, and begin with it; ours is one of the memory's file, and so is what
 * is given out: slots are joined here and nowhere else.
 *
 * Invariants: I1 a page is taken out of a log only into `words`, and from there to the file or,
 * where that fails, to our log.  I2 our log is cleared word by word, each at once with being read:
 * marks that come meanwhile are in the next one.  I3 a slot begins in the file at a multiple of 64
 * pages, as words do.
 * Threads: the event thread; devices mark on any. `own` stays until the machine ends, since one
 * that has just looked may mark at any time.
 * Memory: allocated here, at the driver's request. #syscalls:vmm ioctl pwrite64 mmap munmap
 */
#include "dirty_log.h"

#include <assert.h>
#include <string.h>

#include "fdio.h"

#define MAGIC    "CSNDIRTY"
#define VERSION  1U
#define HEAD_LEN 32U

static uint64_t words_count(const struct machine *m)
{
	return align_up(m->c->mem_bytes / GUEST_PAGE, 64) / 64;
}

/* What does not see the log has ended when this returns: it is a device's, under its lock. */
static void devices_pass(struct machine *m)
{
	for (uint32_t i = 0; i < m->n_slots; i++) {
		pthread_mutex_lock(&m->slots[i].t.dev->lock);
		pthread_mutex_unlock(&m->slots[i].t.dev->lock);
	}
}

int dirty_log_start(struct machine *m, struct err *e)
{
	if (m->mem.dirty)
		return err_plain(e, EALREADY, "the dirty log is on");
	if (m->mem.area.size) /* which no file has */
		return err_plain(e, ENOTSUP, "memory that grows has no dirty log");
	if (!m->dirty)
		m->dirty = calloc(words_count(m), sizeof(*m->dirty));
	if (!m->dirty)
		return err_set(e, ENOMEM, "dirty log");
	if (x86_vm_log_start(&m->vm, &m->mem, e) < 0)
		return -e->code;
	__atomic_store_n(&m->mem.dirty, m->dirty, __ATOMIC_SEQ_CST);
	devices_pass(m);
	return 0;
}

int dirty_log_stop(struct machine *m, struct err *e)
{
	if (!m->mem.dirty)
		return err_plain(e, EINVAL, "the dirty log is not on");
	__atomic_store_n(&m->mem.dirty, NULL, __ATOMIC_SEQ_CST);
	devices_pass(m);
	memset(m->dirty, 0, words_count(m) * sizeof(*m->dirty));
	return x86_vm_log_stop(&m->vm, &m->mem, e);
}

static uint64_t *own_of(const struct machine *m, uint32_t i)
{
	assert(m->mem.slots[i].file_off / GUEST_PAGE % 64 == 0); /* I3 */
	return m->dirty + m->mem.slots[i].file_off / GUEST_PAGE / 64;
}

static int slot_put(const struct machine *m, uint32_t i, const uint64_t *words, int fd,
		    struct err *e)
{
	const uint64_t at = m->mem.slots[i].file_off / GUEST_PAGE / 8;
	const int rc = fd_pwrite_full(fd, words, x86_vm_log_words(&m->mem.slots[i]) * 8,
				      (off_t)(HEAD_LEN + at));

	return rc < 0 ? err_set(e, -rc, "write the dirty log") : 0;
}

/* I1. `words` has room for any slot. */
static int slot_get(struct machine *m, uint32_t i, uint64_t *words, int fd, struct err *e)
{
	const uint64_t n = x86_vm_log_words(&m->mem.slots[i]);
	uint64_t *own = own_of(m, i);
	int rc;

	memset(words, 0, n * sizeof(*words));
	rc = x86_vm_log_take(&m->vm, &m->mem, i, words, e);
	for (uint64_t w = 0; w < n; w++)
		if (__atomic_load_n(&own[w], __ATOMIC_RELAXED))
			words[w] |= __atomic_exchange_n(&own[w], 0, __ATOMIC_SEQ_CST);
	if (rc == 0)
		rc = slot_put(m, i, words, fd, e);
	for (uint64_t w = 0; rc < 0 && w < n; w++)
		__atomic_fetch_or(&own[w], words[w], __ATOMIC_SEQ_CST);
	return rc;
}

static int head_put(const struct machine *m, int fd, struct err *e)
{
	uint8_t head[HEAD_LEN] = MAGIC;
	int rc;

	put_le32(head + 8, VERSION);
	put_le32(head + 12, GUEST_PAGE);
	put_le64(head + 16, m->c->mem_bytes / GUEST_PAGE);
	rc = fd_pwrite_full(fd, head, sizeof(head), 0);
	return rc < 0 ? err_set(e, -rc, "write the dirty log") : 0;
}

int dirty_log_get(struct machine *m, int fd, struct err *e)
{
	auto_free uint64_t *words = NULL;
	int rc;

	if (!m->mem.dirty)
		return err_plain(e, EINVAL, "the dirty log is not on");
	words = malloc(words_count(m) * sizeof(*words));
	if (!words)
		return err_set(e, ENOMEM, "dirty log");
	rc = head_put(m, fd, e);
	for (uint32_t i = 0; i < m->mem.n_slots && rc == 0; i++)
		rc = slot_get(m, i, words, fd, e);
	return rc;
}
