/* SPDX-License-Identifier: MIT */
/* test_virtio_blk.c - a disk as a guest's driver sees it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "blk_fixture.h"
#include "disk_driver.h"

#define SIZE 65536U

/* ---- single requests ----------------------------------------------------------------------- */

static const struct row {
	const char *what;
	uint32_t type;
	uint64_t sector;
	uint32_t out, in; /* bytes behind the header; bytes with the status */
	uint32_t segment_sectors, segment_flags;
	uint8_t status;
	uint32_t used;
	bool is_readonly;
} rows[] = {
	{ "read", T_IN, 3, 0, 513, .status = S_OK, .used = 513 },
	{ "read the last", T_IN, 127, 0, 513, .status = S_OK, .used = 513 },
	{ "read all", T_IN, 0, 0, SIZE + 1, .status = S_OK, .used = SIZE + 1 },
	{ "read nothing", T_IN, 128, 0, 1, .status = S_OK, .used = 1 },
	{ "read, with bytes behind the header", T_IN, 0, 100, 513, .status = S_OK, .used = 513 },
	{ "read past the end", T_IN, 127, 0, 1025, .status = S_IOERR, .used = 1 },
	{ "read behind the end", T_IN, 129, 0, 1, .status = S_IOERR, .used = 1 },
	{ "read at a sector that wraps", T_IN, 1ULL << 55, 0, 513, .status = S_IOERR, .used = 1 },
	{ "read at the last of all", T_IN, UINT64_MAX, 0, 513, .status = S_IOERR, .used = 1 },
	{ "read half a sector", T_IN, 0, 0, 257, .status = S_IOERR, .used = 1 },
	{ "read a sector without status", T_IN, 0, 0, 512, .status = S_IOERR, .used = 1 },
	{ "write", T_OUT, 3, 1024, 1, .status = S_OK, .used = 1 },
	{ "write nothing", T_OUT, 0, 0, 1, .status = S_OK, .used = 1 },
	{ "write, with room behind", T_OUT, 0, 512, 77, .status = S_OK, .used = 1 },
	{ "write past the end", T_OUT, 127, 1024, 1, .status = S_IOERR, .used = 1 },
	{ "write at the last of all", T_OUT, UINT64_MAX, 512, 1, .status = S_IOERR, .used = 1 },
	{ "write half a sector", T_OUT, 0, 256, 1, .status = S_IOERR, .used = 1 },
	{ "write, read-only", T_OUT, 0, 512, 1, .status = S_IOERR, .used = 1, .is_readonly = true },
	{ "write nothing, read-only", T_OUT, 0, 0, 1, .status = S_IOERR, .used = 1,
	  .is_readonly = true },
	{ "flush", T_FLUSH, 0, 0, 1, .status = S_OK, .used = 1 },
	{ "flush, read-only", T_FLUSH, 0, 0, 1, .status = S_OK, .used = 1, .is_readonly = true },
	{ "id", T_GET_ID, 0, 0, 21, .status = S_OK, .used = 21 },
	{ "id, more room", T_GET_ID, 0, 0, 99, .status = S_OK, .used = 21 },
	{ "id, too little room", T_GET_ID, 0, 0, 20, .status = S_IOERR, .used = 1 },
	{ "id, no room", T_GET_ID, 0, 0, 1, .status = S_IOERR, .used = 1 },
	{ "discard", T_DISCARD, 8, 16, 1, 8, 0, S_OK, 1 },
	{ "discard nothing", T_DISCARD, 8, 16, 1, 0, 0, S_OK, 1 },
	{ "discard all", T_DISCARD, 0, 16, 1, 128, 0, S_OK, 1 },
	{ "discard past the end", T_DISCARD, 120, 16, 1, 9, 0, S_IOERR, 1 },
	{ "discard at the last of all", T_DISCARD, UINT64_MAX, 16, 1, 1, 0, S_IOERR, 1 },
	{ "discard as many as can be", T_DISCARD, 0, 16, 1, UINT32_MAX, 0, S_IOERR, 1 },
	{ "discard, unmap", T_DISCARD, 8, 16, 1, 8, 1, S_UNSUPP, 1 },
	{ "discard, an unknown flag", T_DISCARD, 8, 16, 1, 8, 2, S_UNSUPP, 1 },
	{ "discard, no segment", T_DISCARD, 8, 0, 1, .status = S_IOERR, .used = 1 },
	{ "discard, half a segment", T_DISCARD, 8, 8, 1, 8, 0, S_IOERR, 1 },
	{ "discard, two segments", T_DISCARD, 8, 32, 1, 8, 0, S_IOERR, 1 },
	{ "discard, read-only", T_DISCARD, 8, 16, 1, 8, 0, S_IOERR, 1, true },
	{ "zeros", T_ZEROES, 8, 16, 1, 8, 0, S_OK, 1 },
	{ "zeros, unmap", T_ZEROES, 8, 16, 1, 8, 1, S_OK, 1 },
	{ "zeros, an unknown flag", T_ZEROES, 8, 16, 1, 8, 1U << 31, S_UNSUPP, 1 },
	{ "zeros past the end", T_ZEROES, 127, 16, 1, 2, 0, S_IOERR, 1 },
	{ "zeros, three bytes too many", T_ZEROES, 8, 19, 1, 8, 0, S_IOERR, 1 },
	{ "zeros, read-only", T_ZEROES, 8, 16, 1, 8, 0, S_IOERR, 1, true },
	{ "a type that is none", 2, 0, 512, 513, .status = S_UNSUPP, .used = 1 },
	{ "secure erase, not offered", 14, 0, 16, 1, .status = S_UNSUPP, .used = 1 },
	{ "the last type of all", UINT32_MAX, 0, 0, 1, .status = S_UNSUPP, .used = 1 },
};

static void row_check(const struct row *r)
{
	struct disk d;
	struct gate_back *g = gate_new(SIZE, r->is_readonly);
	static uint8_t out[16 + 4096];
	struct iovec buf_out = { out, 16 + r->out }, buf_in = { NULL, r->in };
	uint8_t *in;
	uint16_t head;
	uint32_t used;

	memset(g->bytes, 0x11, SIZE);
	gate_open(g);
	disk_start(&d, &g->back, &(struct virtio_blk_options){ .serial = "a disk" });
	memset(out, 0x22, sizeof(out));
	disk_header(out, r->type, r->sector);
	if (r->segment_sectors || r->type == T_DISCARD || r->type == T_ZEROES)
		disk_segment(out + 16, r->sector, r->segment_sectors, r->segment_flags);
	head = guest_driver_add(&d.g, 0, &buf_out, 1, &buf_in, 1);
	used = disk_finish(&d, head);
	in = guest_driver_data(&d.g, 0, head, 1);
	if (in[r->in - 1] != r->status || used != r->used)
		fail_msg("%s: status %u, used %u", r->what, in[r->in - 1], used);
	if (r->status == S_OK && r->type == T_IN && r->in > 1)
		assert_true(in[0] == 0x11 && in[r->in - 2] == 0x11);
	else if (r->status == S_OK && r->type == T_GET_ID)
		assert_memory_equal(in, "a disk\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	else if (r->in > 1)
		assert_int_equal(in[0], 0xa5); /* nothing was written there */
	if (r->status == S_OK && r->type == T_OUT && r->out)
		assert_int_equal(g->bytes[r->sector * 512], 0x22);
	else if (r->status == S_OK && r->segment_sectors)
		assert_int_equal(g->bytes[r->sector * 512], 0);
	else
		for (size_t i = 0; i < SIZE; i++)
			assert_int_equal(g->bytes[i], 0x11);
	disk_stop(&d);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		row_check(&rows[i]);
}

/* ---- how chains are cut -------------------------------------------------------------------- */

static void test_no_status(void **state)
{
	uint8_t header[16];
	struct iovec out = { header, 16 }, short_out = { header, 15 }, in = { NULL, 513 };
	struct gate_back *g = gate_new(SIZE, false);
	struct disk d;
	uint16_t head;

	(void)state;
	gate_open(g);
	disk_start(&d, &g->back, NULL);
	disk_header(header, T_IN, 0);
	head = guest_driver_add(&d.g, 0, &out, 1, NULL, 0); /* nowhere to say anything */
	assert_int_equal(disk_finish(&d, head), 0);
	head = guest_driver_add(&d.g, 0, &out, 1, &(struct iovec){ NULL, 0 }, 1);
	assert_int_equal(disk_finish(&d, head), 0);
	head = guest_driver_add(&d.g, 0, &short_out, 1, &in, 1);
	assert_int_equal(disk_finish(&d, head), 1);
	assert_int_equal(((uint8_t *)guest_driver_data(&d.g, 0, head, 1))[512], S_IOERR);
	head = guest_driver_add(&d.g, 0, NULL, 0, &in, 1); /* no header at all */
	assert_int_equal(disk_finish(&d, head), 1);
	assert_int_equal(((uint8_t *)guest_driver_data(&d.g, 0, head, 0))[512], S_IOERR);
	assert_int_equal(g->ended, 0);
	disk_stop(&d);
}

/* A header byte by byte, data in odd pieces, a status that is the end of one of them. */
static void test_cut_oddly(void **state)
{
	struct gate_back *g = gate_new(SIZE, false);
	struct iovec out[18], in[3] = { { NULL, 1 }, { NULL, 510 }, { NULL, 2 } };
	uint8_t raw[16 + 512];
	struct disk d;
	uint16_t head;

	(void)state;
	gate_open(g);
	disk_start(&d, &g->back, NULL);
	for (unsigned int i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)i;
	disk_header(raw, T_OUT, 5);
	for (unsigned int i = 0; i < 15; i++)
		out[i] = (struct iovec){ raw + i, 1 };
	out[15] = (struct iovec){ raw + 15, 2 };
	out[16] = (struct iovec){ NULL, 0 };
	out[17] = (struct iovec){ raw + 17, 511 };
	head = guest_driver_add(&d.g, 0, out, 18, in + 2, 1);
	assert_int_equal(disk_finish(&d, head), 1);
	assert_memory_equal(g->bytes + 5 * 512, raw + 16, 512);
	disk_header(raw, T_IN, 5);
	head = guest_driver_add(&d.g, 0, out, 1, NULL, 0); /* in between, one that is wrong */
	assert_int_equal(disk_finish(&d, head), 0);
	out[0] = (struct iovec){ raw, 16 };
	head = guest_driver_add(&d.g, 0, out, 1, in, 3);
	assert_int_equal(disk_finish(&d, head), 513);
	assert_memory_equal(guest_driver_data(&d.g, 0, head, 1), raw + 16, 1);
	assert_memory_equal(guest_driver_data(&d.g, 0, head, 2), raw + 17, 510);
	assert_memory_equal(guest_driver_data(&d.g, 0, head, 3), raw + 527, 1);
	assert_int_equal(((uint8_t *)guest_driver_data(&d.g, 0, head, 3))[1], S_OK);
	disk_stop(&d);
}

/* The same memory many times: longer than a request may be. */
static void test_too_long(void **state)
{
	struct gate_back *g = gate_new(64U << 20, false);
	uint8_t header[16];
	struct iovec out = { header, 16 }, in[65];
	struct disk d;
	uint16_t head, at;

	(void)state;
	gate_open(g);
	disk_start(&d, &g->back, NULL);
	disk_header(header, T_IN, 0);
	for (unsigned int i = 0; i < 64; i++)
		in[i] = (struct iovec){ NULL, 512 };
	in[64] = (struct iovec){ NULL, 1 };
	head = guest_driver_add(&d.g, 0, &out, 1, in, 65);
	at = head;
	for (unsigned int i = 0; i < 64; i++) {
		uint64_t desc = d.g.queues[0].desc + 16ULL * at;

		if (i > 0) {
			guest_driver_poke(&d.g, desc, GUEST_DRIVER_BASE + 0x20000, 8);
			guest_driver_poke(&d.g, desc + 8, 0xc0000, 4); /* 63 times 768 KiB */
		}
		at = guest_driver_peek16(&d.g, desc + 14);
	}
	assert_int_equal(disk_finish(&d, head), 1);
	assert_int_equal(*(uint8_t *)guest_driver_data(&d.g, 0, head, 65), S_IOERR);
	assert_int_equal(g->ended, 0);
	disk_stop(&d);
}

static void test_errors(void **state)
{
	static const int errors[] = { -EIO, -ENOSPC, -EPERM };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct gate_back *g = gate_new(SIZE, false);
		struct disk d;

		g->error = errors[i];
		gate_open(g);
		disk_start(&d, &g->back, NULL);
		assert_int_equal(disk_read(&d, 0, 512, NULL), S_IOERR);
		assert_int_equal(disk_write(&d, 0, 512, NULL), S_IOERR);
		assert_int_equal(disk_flush(&d), S_IOERR);
		g->error = 0;
		assert_int_equal(disk_read(&d, 0, 512, NULL), S_OK);
		disk_stop(&d);
	}
}

/* A ring that breaks a rule: NEEDS_RESET, while another request is in flight; a reset helps. */
static void test_broken(void **state)
{
	struct gate_back *g = gate_new(SIZE, false);
	struct disk d;
	pthread_t t;

	(void)state;
	disk_start(&d, &g->back, NULL);
	(void)disk_add_read(&d, 0, 512);
	guest_driver_kick(&d.g, 0);
	guest_driver_poke(&d.g, d.g.queues[0].avail + 2, 0x4000, 2);
	guest_driver_kick(&d.g, 0);
	assert_true(guest_driver_get(&d.g, REG_STATUS) & STATUS_NEEDS_RESET);
	assert_true(guest_driver_interrupts(&d.g) & 2);
	t = gate_open_later(g);
	assert_int_equal(guest_driver_negotiate(&d.g, d.g.features, 16), STATUS_RUNNING);
	assert_int_equal(g->ended, 1);
	gate_open_wait(t);
	assert_int_equal(disk_read(&d, 0, 512, NULL), S_OK);
	disk_stop(&d);
}

/* ---- configuration, saved state ------------------------------------------------------------ */

static void test_config(void **state)
{
	static const struct {
		bool is_readonly;
		uint32_t off, value;
	} t[] = {
		{ false, 0, 128 },   { false, 4, 0 },    { false, 8, 256 << 10 },
		{ false, 12, 126 },  { false, 20, 512 }, { false, 36, 1 << 21 },
		{ false, 40, 1 },    { false, 44, 8 },   { false, 48, 1 << 17 },
		{ false, 52, 1 },    { false, 56, 1 },   { false, 60, 0 },
		{ false, 0xefc, 0 }, { true, 0, 128 },   { true, 36, 0 },
		{ true, 48, 0 },     { true, 56, 0 },
	};
	uint8_t raw[8];
	struct disk d;

	(void)state;
	for (unsigned int ro = 0; ro < 2; ro++) {
		struct gate_back *g = gate_new(SIZE, ro);

		disk_start(&d, &g->back, NULL);
		for (size_t i = 0; i < ARRAY_SIZE(t); i++)
			if (t[i].is_readonly == ro)
				assert_int_equal(guest_driver_get(&d.g, REG_CONFIG + t[i].off),
						 t[i].value);
		assert_int_equal(!!(d.g.features & 1U << 5), ro);
		assert_int_equal(!!(d.g.features & 1U << 13), !ro);
		assert_int_equal(!!(d.g.features & 1U << 14), !ro);
		virtio_mmio_read(&d.g.t, REG_CONFIG + 56, raw, 8);
		assert_int_equal(get_le64(raw), !ro);
		gate_open(g);
		disk_stop(&d);
	}
}

/* Save the state of a disk of `size`, load it into one of `new_size`. */
static int save_and_load(struct disk *from, struct disk *to, bool is_readonly, uint64_t new_size)
{
	struct buf b = { 0 };
	struct state_out out = { .b = &b };
	struct state_in in;
	struct gate_back *g = gate_new(new_size, is_readonly);
	struct err e = { 0 };
	int rc;

	gate_open(g);
	virtio_mmio_pause(&from->g.t);
	virtio_mmio_save(&from->g.t, &out);
	assert_false(out.has_failed);
	disk_attach(to, &g->back, NULL);
	in = (struct state_in){ .p = (const uint8_t *)b.data, .left = b.len };
	to->g.queues[0] = from->g.queues[0];
	to->g.features = from->g.features;
	memcpy(to->g.mem.slots[0].hva, from->g.mem.slots[0].hva, GUEST_DRIVER_SIZE);
	rc = virtio_mmio_load(&to->g.t, &in, &e);
	if (rc == 0)
		virtio_mmio_kick_all(&to->g.t);
	else
		assert_true(e.msg[0]);
	buf_done(&b);
	return rc;
}

static void test_save(void **state)
{
	static const struct {
		bool is_ro, is_ro_after;
		uint64_t size_after;
		int rc;
		uint32_t interrupts;
	} t[] = {
		{ false, false, SIZE, 0, 0 },      { true, true, SIZE, 0, 0 },
		{ false, false, 4 * SIZE, 0, 2 },  { true, true, 512, 0, 2 },
		{ false, true, SIZE, -EINVAL, 0 }, { true, false, SIZE, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct gate_back *g = gate_new(SIZE, t[i].is_ro);
		struct disk from, to;

		gate_open(g);
		disk_start(&from, &g->back, NULL);
		assert_int_equal(disk_read(&from, 0, 512, NULL), S_OK);
		(void)guest_driver_interrupts(&from.g);
		assert_int_equal(save_and_load(&from, &to, t[i].is_ro_after, t[i].size_after),
				 t[i].rc);
		assert_int_equal(guest_driver_interrupts(&to.g), t[i].interrupts);
		if (t[i].rc == 0) {
			assert_int_equal(guest_driver_get(&to.g, REG_CONFIG),
					 t[i].size_after / 512);
			assert_int_equal(disk_read(&to, 0, 512, NULL), S_OK);
		}
		disk_stop(&from);
		disk_stop(&to);
	}
}

static void test_load_bad(void **state)
{
	static const struct {
		uint8_t raw[9];
		size_t len;
	} t[] = {
		{ { 0 }, 0 },
		{ { 128 }, 8 },
		{ { 128, 0, 0, 0, 0, 0, 0, 0, 2 }, 9 },
		{ { 128, 0, 0, 0, 0, 0, 0, 0, 1 }, 9 },
	};
	struct gate_back *g = gate_new(SIZE, false);
	struct disk d;

	(void)state;
	gate_open(g);
	disk_start(&d, &g->back, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct state_in in = { t[i].raw, t[i].len, false };
		struct err e = { 0 };

		assert_int_equal(d.dev->ops->load(d.dev, &in, &e), -EINVAL);
		assert_true(e.msg[0]);
	}
	disk_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),      cmocka_unit_test(test_no_status),
		cmocka_unit_test(test_cut_oddly), cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_errors),    cmocka_unit_test(test_broken),
		cmocka_unit_test(test_config),    cmocka_unit_test(test_save),
		cmocka_unit_test(test_load_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
