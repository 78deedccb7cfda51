/* SPDX-License-Identifier: MIT */
/*
 * test_dirty_log.c - what is written is in the log: of KVM, which is played here, and of devices
 *
 * ioctl() is called in the place of the library's: a log for each slot, read and cleared in one or
 * in two steps, as KVM's is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blk_fixture.h"
#include "dirty_log.h"
#include "disk_driver.h"
#include "kvm_play.h"
#include "x86_layout.h"

#define MIB      (1ULL << 20)
#define LOW      ((uint64_t)X86_GAP_START)
#define MEM      (LOW + 65 * MIB) /* the second slot's log is cleared with two calls */
#define PAGES    (MEM / GUEST_PAGE)
#define LOW_PGS  (LOW / GUEST_PAGE)
#define HEAD_LEN 32U

static struct fake {
	bool has_manual, is_manual;
	uint32_t flags[2];
	uint64_t log[2][LOW_PGS / 64];                  /* of each slot */
	int log_fails_at, get_fails_at, clear_fails_at; /* the slot; -1: never */
	unsigned int n_clears;
} fake;

static bool bit(const uint64_t *words, uint64_t i)
{
	return words[i / 64] >> i % 64 & 1;
}

static int fails(int error)
{
	errno = error;
	return -1;
}

static int region_set(const struct kvm_userspace_memory_region *r)
{
	assert_true(r->slot < 2);
	assert_int_equal(r->memory_size, r->slot ? MEM - LOW : LOW);
	assert_int_equal(r->guest_phys_addr, r->slot ? X86_GAP_END : 0);
	if (r->flags && (int)r->slot == fake.log_fails_at)
		return fails(ENOMEM);
	fake.flags[r->slot] = r->flags;
	return 0;
}

static uint64_t slot_words(uint32_t slot)
{
	return (slot ? PAGES - LOW_PGS : LOW_PGS) / 64;
}

static int log_get(const struct kvm_dirty_log *l)
{
	const size_t size = slot_words(l->slot) * 8;

	assert_true(fake.flags[l->slot] & KVM_MEM_LOG_DIRTY_PAGES);
	if ((int)l->slot == fake.get_fails_at)
		return fails(EIO);
	memcpy(l->dirty_bitmap, fake.log[l->slot], size);
	if (!fake.is_manual)
		memset(fake.log[l->slot], 0, size);
	return 0;
}

static int log_clear(const struct kvm_clear_dirty_log *c)
{
	const uint64_t n = slot_words(c->slot) * 64, *given = c->dirty_bitmap;

	assert_true(fake.is_manual);
	assert_true(c->first_page % 64 == 0 && c->first_page < n && c->num_pages > 0);
	assert_true(c->num_pages <= n - c->first_page);
	assert_true(c->num_pages % 64 == 0 || c->first_page + c->num_pages == n);
	if ((int)c->slot == fake.clear_fails_at)
		return fails(EIO);
	for (uint64_t i = 0; i < c->num_pages / 64; i++)
		fake.log[c->slot][c->first_page / 64 + i] &= ~given[i];
	fake.n_clears++;
	return 0;
}

static int kvm_play(int fd, unsigned long request, void *arg)
{
	const struct kvm_enable_cap *cap;

	(void)fd;
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		return region_set(arg);
	case KVM_ENABLE_CAP:
		cap = arg;
		assert_int_equal(cap->cap, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
		assert_int_equal(cap->args[0], KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
		fake.is_manual = fake.has_manual;
		return fake.has_manual ? 0 : fails(EINVAL);
	case KVM_GET_DIRTY_LOG:
		return log_get(arg);
	case KVM_CLEAR_DIRTY_LOG:
		return log_clear(arg);
	default:
		return fails(ENOTTY);
	}
}

/* ---- the machine ---- */

static struct machine machine;
static struct vmm_config config;

static void setup(bool has_manual)
{
	struct err e = { 0 };

	memset(&fake, 0, sizeof(fake));
	fake.has_manual = has_manual;
	fake.log_fails_at = fake.get_fails_at = fake.clear_fails_at = -1;
	config.mem_bytes = MEM;
	memset(&machine, 0, sizeof(machine));
	machine.c = &config;
	assert_int_equal(x86_memory_layout(MEM, &machine.mem), 0);
	assert_int_equal(machine.mem.n_slots, 2);
	assert_int_equal(guest_memory_map(&machine.mem, GUEST_MEMORY_ANON, -1, &e), 0);
}

static void done(void)
{
	guest_memory_unmap(&machine.mem);
	free(machine.dirty);
}

static int file_new(void)
{
	const int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void kvm_writes(uint32_t slot, uint64_t page)
{
	fake.log[slot][page / 64] |= 1ULL << page % 64;
}

/* As a device does. */
static void we_write(uint64_t gpa, size_t len)
{
	guest_wrote(&machine.mem, guest_span(&machine.mem, gpa, len), len);
}

/* The log has these pages of the file and no other. */
static void log_is(const uint64_t *pages, size_t n)
{
	static uint8_t raw[HEAD_LEN + PAGES / 8 + 1];
	static uint64_t words[PAGES / 64];
	struct err e = { 0 };
	const int fd = file_new();
	size_t found = 0;

	assert_int_equal(dirty_log_get(&machine, fd, &e), 0);
	assert_int_equal(pread(fd, raw, sizeof(raw), 0), sizeof(raw) - 1);
	assert_memory_equal(raw, "CSNDIRTY\1\0\0\0\0\x10\0\0", 16);
	assert_int_equal(get_le64(raw + 16), PAGES);
	assert_int_equal(get_le64(raw + 24), 0);
	memcpy(words, raw + HEAD_LEN, sizeof(words));
	for (size_t i = 0; i < n; i++)
		assert_true(bit(words, pages[i]));
	for (uint64_t i = 0; i < PAGES; i++)
		found += bit(words, i);
	assert_int_equal(found, n);
	close(fd);
}

#define LOG_IS(...)                                                                                \
	log_is((const uint64_t[]){ __VA_ARGS__ },                                                  \
	       sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static void some_write(void)
{
	kvm_writes(0, 0);
	kvm_writes(0, LOW_PGS - 1);
	kvm_writes(1, 0);
	kvm_writes(1, 70);
	kvm_writes(1, PAGES - LOW_PGS - 1);
	we_write(5 * GUEST_PAGE + 4095, 2);         /* two pages */
	we_write(LOW - 1, 1);                       /* KVM has this one, too */
	we_write(X86_GAP_END + GUEST_PAGE, 4096);   /* exactly one */
	we_write(X86_GAP_END + 64 * MIB - 1, 4098); /* three, in two of the pieces */
}

#define SOME_PAGES                                                                                 \
	0, 5, 6, LOW_PGS - 1, LOW_PGS, LOW_PGS + 1, LOW_PGS + 70, LOW_PGS + 16383,                 \
		LOW_PGS + 16384, LOW_PGS + 16385, PAGES - 1

static void logs_of_slots_are_one(void **state)
{
	struct err e = { 0 };

	(void)state;
	for (int manual = 0; manual < 2; manual++) {
		setup(manual);
		we_write(0, 4096); /* before */
		assert_int_equal(dirty_log_start(&machine, &e), 0);
		assert_int_equal(fake.flags[0] & fake.flags[1], KVM_MEM_LOG_DIRTY_PAGES);
		some_write();
		LOG_IS(SOME_PAGES);
		/* of four pieces that are not clean, as KVM knows them: what is clean is left out
		 */
		assert_int_equal(fake.n_clears, manual ? 4 : 0);
		log_is(NULL, 0);
		kvm_writes(0, 5);
		LOG_IS(5);
		some_write();
		assert_int_equal(dirty_log_stop(&machine, &e), 0);
		assert_int_equal(fake.flags[0] | fake.flags[1], 0);
		we_write(9 * GUEST_PAGE, 1);
		memset(fake.log, 0, sizeof(fake.log)); /* as KVM does with the flag */
		assert_int_equal(dirty_log_start(&machine, &e), 0);
		log_is(NULL, 0);
		done();
	}
}

/* Whatever fails: each page is in the next log that could be written. */
static void nothing_is_lost(void **state)
{
	struct err e = { 0 };
	int readonly = open("/dev/null", O_RDONLY | O_CLOEXEC), any = file_new();

	(void)state;
	for (int manual = 0; manual < 2; manual++) {
		setup(manual);
		assert_int_equal(dirty_log_start(&machine, &e), 0);
		some_write();
		assert_int_equal(dirty_log_get(&machine, readonly, &e), -EBADF);
		for (int slot = 0; slot < 2; slot++) {
			fake.get_fails_at = slot;
			assert_int_equal(dirty_log_get(&machine, any, &e), -EIO);
			fake.get_fails_at = -1;
			/* what the file of the slot before has is gone with it: its reader knows */
			some_write();
			fake.clear_fails_at = manual ? slot : -1;
			assert_int_equal(dirty_log_get(&machine, any, &e), manual ? -EIO : 0);
			fake.clear_fails_at = -1;
			some_write();
		}
		LOG_IS(SOME_PAGES);
		log_is(NULL, 0);
		done();
	}
	close(readonly);
	close(any);
}

static void on_and_off(void **state)
{
	struct err e = { 0 };
	int fd = file_new();

	(void)state;
	setup(true);
	assert_int_equal(dirty_log_stop(&machine, &e), -EINVAL);
	assert_int_equal(dirty_log_get(&machine, fd, &e), -EINVAL);
	fake.log_fails_at = 1;
	assert_int_equal(dirty_log_start(&machine, &e), -ENOMEM);
	assert_int_equal(fake.flags[0], 0); /* the first one's was taken back */
	assert_int_equal(dirty_log_get(&machine, fd, &e), -EINVAL);
	fake.log_fails_at = -1;
	assert_int_equal(dirty_log_start(&machine, &e), 0);
	assert_int_equal(dirty_log_start(&machine, &e), -EALREADY);
	log_is(NULL, 0);
	done();
	close(fd);
}

/* ---- devices ---- */

#define DISK (1U << 20)

struct watched {
	struct disk d;
	uint8_t before[GUEST_DRIVER_SIZE];
};

static uint8_t *memory_of(struct watched *w)
{
	return guest_span(&w->d.g.mem, GUEST_DRIVER_BASE, GUEST_DRIVER_SIZE);
}

/* Log and memory of now are where it begins. */
static void watch_begin(struct watched *w)
{
	memcpy(w->before, memory_of(w), sizeof(w->before));
	memset(w->d.g.dirty, 0, sizeof(w->d.g.dirty));
}

/* Every page that is not as it was is in the log, but for the one that the driver's model writes.
 * How many are in it. */
static unsigned int watch_check(struct watched *w)
{
	const uint64_t own = (w->d.g.queues[0].avail - GUEST_DRIVER_BASE) / GUEST_PAGE;
	unsigned int n = 0;

	assert_int_not_equal(own, (w->d.g.queues[0].used - GUEST_DRIVER_BASE) / GUEST_PAGE);

	for (uint64_t i = 0; i < GUEST_DRIVER_SIZE / GUEST_PAGE; i++) {
		const size_t at = i * GUEST_PAGE;

		n += bit(w->d.g.dirty, i);
		if (i != own && memcmp(memory_of(w) + at, w->before + at, GUEST_PAGE) != 0)
			assert_true(bit(w->d.g.dirty, i));
	}
	return n;
}

static bool is_waiting(void *arg)
{
	return gate_waiting(arg) > 0;
}

/* The log is taken while the request is on its way: its data come afterwards, and so they are in
 * the next one. */
static void disk_in_flight(void **state)
{
	static struct watched w;
	struct gate_back *gate = gate_new(DISK, false);
	uint32_t used;
	uint16_t head;

	(void)state;
	memset(gate->bytes, 0x77, DISK);
	disk_start(&w.d, &gate->back, NULL);
	head = disk_add_read(&w.d, 8, 5 * GUEST_PAGE);
	watch_begin(&w);
	guest_driver_kick(&w.d.g, 0);
	assert_true(loop_until(w.d.loop, is_waiting, gate));
	assert_true(watch_check(&w) >= 5);
	watch_begin(&w);
	gate_open(gate);
	assert_int_equal(disk_wait(&w.d, &used), head);
	assert_int_equal(disk_status(&w.d, head), S_OK);
	assert_in_range(watch_check(&w), 5, 8); /* data, status, ring: and nothing else */
	assert_int_equal(((uint8_t *)guest_driver_data(&w.d.g, 0, head, 1))[5 * GUEST_PAGE - 1],
			 0x77);
	/* one whose status is on a page of its own */
	w.d.g.data = align_up(w.d.g.data, GUEST_PAGE) + GUEST_PAGE - 16 - 512;
	head = disk_add_read(&w.d, 8, 512);
	assert_int_equal((uintptr_t)guest_driver_data(&w.d.g, 0, head, 2) % GUEST_PAGE, 0);
	gate->is_shut = true;
	guest_driver_kick(&w.d.g, 0);
	assert_true(loop_until(w.d.loop, is_waiting, gate));
	watch_begin(&w);
	gate_open(gate);
	assert_int_equal(disk_wait(&w.d, &used), head);
	assert_in_range(watch_check(&w), 3, 4);
	/* a write leaves the status and the ring */
	head = disk_add_write(&w.d, 8, 5 * GUEST_PAGE, NULL);
	watch_begin(&w);
	assert_int_equal(disk_finish(&w.d, head), 1);
	assert_in_range(watch_check(&w), 1, 3);
	disk_stop(&w.d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logs_of_slots_are_one),
		cmocka_unit_test(nothing_is_lost),
		cmocka_unit_test(on_and_off),
		cmocka_unit_test(disk_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
