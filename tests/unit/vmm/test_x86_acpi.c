/* SPDX-License-Identifier: MIT */
/* test_x86_acpi.c - the tables read back: sums, lengths, packages that end where they should */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "bytes.h"
#include "x86_acpi.h"

static struct guest_memory mem;

static const uint8_t *at(uint64_t gpa)
{
	return guest_span(&mem, gpa, 1);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

/* A table whose signature, length and sum are right. */
static const uint8_t *table(uint64_t gpa, const char *signature, uint32_t *ret_len)
{
	const uint8_t *p = at(gpa);

	assert_true(gpa >= X86_ACPI && gpa < X86_VMGENID && gpa % 16 == 0);
	assert_memory_equal(p, signature, 4);
	*ret_len = get_le32(p + 4);
	assert_true(*ret_len >= 36 && *ret_len <= 4096);
	assert_int_equal(sum(p, *ret_len), 0);
	return p;
}

static const uint8_t *xsdt(uint32_t *ret_len)
{
	const uint8_t *p = at(X86_RSDP);

	assert_memory_equal(p, "RSD PTR ", 8);
	assert_int_equal(sum(p, 20), 0);
	assert_int_equal(sum(p, 36), 0);
	assert_int_equal(p[15], 2);
	assert_int_equal(get_le32(p + 16), 0);
	assert_int_equal(get_le32(p + 20), 36);
	return table(get_le64(p + 24), "XSDT", ret_len);
}

static const uint8_t *found(uint32_t i, const char *signature, uint32_t *ret_len)
{
	uint32_t len;
	const uint8_t *p = xsdt(&len);

	assert_int_equal(len, 36 + 2 * 8);
	return table(get_le64(p + 36 + (size_t)i * 8), signature, ret_len);
}

static const uint8_t *dsdt(uint32_t *ret_len)
{
	uint32_t len;
	const uint8_t *p = found(0, "FACP", &len);

	return table(get_le64(p + 140), "DSDT", ret_len);
}

static void test_fadt(void **state)
{
	static const uint8_t gas[] = { 1, 8, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0 };
	const uint8_t *p;
	uint32_t len;
	struct err e;

	(void)state;
	assert_int_equal(x86_acpi_write(&mem, 1, 1, &e), 0);
	p = found(0, "FACP", &len);
	assert_int_equal(len, 276);
	assert_int_equal(p[8], 6);
	assert_int_equal(p[131], 5);
	assert_int_equal(get_le32(p + 112), 1 << 20 | 1 << 10 | 1 << 5 | 1 << 4);
	assert_int_equal(get_le16(p + 109), 1 << 5 | 1 << 2);
	assert_memory_equal(p + 116, gas, sizeof(gas));
	assert_int_equal(p[128], 1);
	assert_memory_equal(p + 244, gas, sizeof(gas));
	assert_memory_equal(p + 256, gas, sizeof(gas));
}

static void test_madt(void **state)
{
	static const uint32_t counts[] = { 1, 2, 7, X86_CPUS_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		const uint8_t *p, *q;
		uint32_t len;
		struct err e;

		assert_int_equal(x86_acpi_write(&mem, counts[i], 0, &e), 0);
		p = found(1, "APIC", &len);
		assert_int_equal(len, 44 + 12 + 8 * counts[i]);
		assert_int_equal(get_le32(p + 36), 0xfee00000);
		assert_int_equal(get_le32(p + 40), 0);
		assert_int_equal(get_le32(p + 44), 1 | 12 << 8);
		assert_int_equal(get_le32(p + 48), 0xfec00000);
		assert_int_equal(get_le32(p + 52), 0);
		q = p + 56;
		for (uint32_t id = 0; id < counts[i]; id++, q += 8) {
			const uint8_t want[] = { 0, 8, (uint8_t)id, (uint8_t)id, 1, 0, 0, 0 };

			assert_memory_equal(q, want, sizeof(want));
		}
	}
}

/* A package's length at `p`, and how many bytes say it. */
static uint32_t pkg_length(const uint8_t *p, uint32_t *ret_bytes)
{
	*ret_bytes = 1 + (p[0] >> 6);
	assert_true(*ret_bytes <= 2);
	return *ret_bytes == 1 ? p[0] : (uint32_t)((p[0] & 15) | p[1] << 4);
}

/* The device called `name` inside the scope's bytes; how long it is with its operator. */
static const uint8_t *device(const char *name, uint32_t *ret_len)
{
	uint32_t len, bytes, scope;
	const uint8_t *t = dsdt(&len), *p, *end;

	assert_int_equal(t[36], 0x10);
	scope = pkg_length(t + 37, &bytes);
	p = t + 37 + bytes;
	end = t + 37 + scope;
	assert_true(end <= t + len);
	assert_memory_equal(p, "\\_SB_", 5);
	for (p += 5; p < end; p += *ret_len) {
		assert_int_equal(get_le16(p), 0x825b);
		*ret_len = 2 + pkg_length(p + 2, &bytes);
		assert_true(*ret_len <= end - p);
		if (!memcmp(p + 2 + bytes, name, 4))
			return p;
	}
	assert_ptr_equal(p, end);
	return NULL;
}

static void device_check(const char *name, const void *want, size_t want_len)
{
	uint32_t len;
	const uint8_t *p = device(name, &len);

	assert_non_null(p);
	assert_int_equal(len, want_len);
	assert_memory_equal(p, want, len);
}

/* Byte by byte, so that no change goes unseen: Linux has taken these without a complaint. */
static void test_devices(void **state)
{
	static const uint8_t v000[] =
		"\x5b\x82\x41\x04V000\x08_HID\x0dLNRO0005\0\x08_UID\0\x08_CCA\x01\x08_CRS\x11\x1a"
		"\x0a\x17\x86\x09\0\x01\x00\x10\x00\xc0\x00\x10\0\0\x89\x06\0\x03\x01\x05\0\0\0\x79";
	static const uint8_t v017[] =
		"\x5b\x82\x42\x04V017\x08_HID\x0dLNRO0005\0\x08_UID\x0a\x11\x08_CCA\x01\x08_CRS\x11"
		"\x1a\x0a\x17\x86\x09\0\x01\x00\x20\x01\xc0\x00\x10\0\0\x89\x06\0\x03\x01\x16\0\0\0"
		"\x79";
	static const uint8_t ged[] =
		"\x5b\x82\x43\x04GED_\x08_HID\x0d"
		"ACPI0013\0\x08_UID\0\x08_CRS\x11\x0e\x0a\x0b\x89"
		"\x06\0\x03\x01\x17\0\0\0\x79\0\x14\x13_EVT\x01\x86\x5c\x2e_SB_VGEN\x0a\x80";
	static const uint8_t vgen[] =
		"\x5b\x82\x4d\x04VGEN\x08_HID\x0dVMGENCTR\0\x08_CID\x0dVM_Gen_Counter\0\x08_DDN"
		"\x0dVM_Gen_Counter\0\x08"
		"ADDR\x12\x08\x02\x0c\x00\x00\x0d\x00";
	static const uint8_t com1[] =
		"\x5b\x82\x35"
		"COM1\x08_HID\x0dPNP0501\0\x08_UID\0\x08_CRS\x11\x16\x0a\x13"
		"\x47\x01\xf8\x03\xf8\x03\x01\x08\x89\x06\0\x03\x01\x04\0\0\0\x79";
	struct err e;

	(void)state;
	assert_int_equal(x86_acpi_write(&mem, 2, X86_VIRTIO_COUNT, &e), 0);
	device_check("V000", v000, sizeof(v000)); /* the string's NUL is the end tag's sum */
	device_check("V017", v017, sizeof(v017));
	device_check("GED_", ged, sizeof(ged) - 1);
	device_check("VGEN", vgen, sizeof(vgen)); /* the NUL is the address's high half */
	device_check("COM1", com1, sizeof(com1));
}

static void test_device_counts(void **state)
{
	(void)state;
	for (uint32_t n = 0; n <= X86_VIRTIO_COUNT; n++) {
		static const uint8_t s5[] = { 8, '_', 'S', '5', '_', 0x12, 8,
					      4, 0xa, 5,   0xa, 5,   0,    0 };
		uint32_t len, bytes;
		const uint8_t *t;
		struct err e;

		assert_int_equal(x86_acpi_write(&mem, 1, n, &e), 0);
		for (uint32_t i = 0; i <= X86_VIRTIO_COUNT; i++) {
			char name[8];

			snprintf(name, sizeof(name), "V%03u", i);
			assert_int_equal(device(name, &len) != NULL, i < n);
		}
		t = dsdt(&len);
		assert_int_equal(len, 37 + pkg_length(t + 37, &bytes) + sizeof(s5));
		assert_memory_equal(t + len - sizeof(s5), s5, sizeof(s5));
	}
}

static void test_refused(void **state)
{
	static const struct {
		uint32_t cpus, n_virtio;
	} rows[] = { { 0, 1 },
		     { X86_CPUS_MAX + 1, 1 },
		     { UINT32_MAX, 1 },
		     { 1, X86_VIRTIO_COUNT + 1 },
		     { 1, UINT32_MAX } };
	struct guest_memory none = { 0 }, small = mem, no_rsdp = mem;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(x86_acpi_write(&mem, rows[i].cpus, rows[i].n_virtio, &e), -EINVAL);
	small.slots[0].size = 0xa0000;
	no_rsdp.slots[0].size = 0xe0000;
	assert_int_equal(x86_acpi_write(&none, 1, 1, &e), -EINVAL);
	assert_int_equal(x86_acpi_write(&small, 1, 1, &e), -EINVAL);
	assert_int_equal(x86_acpi_write(&no_rsdp, 1, 1, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fadt),    cmocka_unit_test(test_madt),
		cmocka_unit_test(test_devices), cmocka_unit_test(test_device_counts),
		cmocka_unit_test(test_refused),
	};
	struct err e;
	int rc;

	if (x86_memory_layout(X86_MEMORY_MIN, &mem) < 0 ||
	    guest_memory_map(&mem, GUEST_MEMORY_ANON, -1, &e) < 0)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	guest_memory_unmap(&mem);
	return rc;
}
