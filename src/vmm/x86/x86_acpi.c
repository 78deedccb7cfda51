/* SPDX-License-Identifier: MIT */
/*
 * x86_acpi.c - the ACPI tables of the machine
 *
 * Section numbers are those of ACPI 6.5. A table is made in a `struct table` that remembers when it
 * was full; AML (chapter 20) is appended piece by piece, and a package's length is put in front of
 * it once its contents are there.
 */
#include "x86_acpi.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "bytes.h"

#define TABLE_MAX   4096U
#define HEADER_SIZE 36U
#define RSDP_SIZE   36U
#define FADT_SIZE   276U

struct table {
	uint8_t data[TABLE_MAX];
	size_t len;
	bool is_full;
};

/* Where the next table goes. */
struct place {
	const struct guest_memory *m;
	uint64_t at;
};

static void add(struct table *t, const void *data, size_t len)
{
	if (!range_fits(t->len, len, TABLE_MAX)) {
		t->is_full = true;
		return;
	}
	memcpy(t->data + t->len, data, len);
	t->len += len;
}

/* The `n` lowest bytes of `v`. */
static void add_le(struct table *t, uint64_t v, size_t n)
{
	uint8_t raw[8];

	put_le64(raw, v);
	add(t, raw, n);
}

static uint8_t sum_of(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

/* 5.2.6: the header that every table but the RSDP has; length and sum come with table_put(). */
static void header_add(struct table *t, const char *signature, uint8_t revision)
{
	add(t, signature, 4);
	add_le(t, 0, 4);
	add_le(t, revision, 1);
	add_le(t, 0, 1);
	add(t, "CAISSNCAISSON ", 14); /* OEM's name, and its name for the table */
	add_le(t, 1, 4);
	add(t, "CSSN", 4);
	add_le(t, 1, 4);
}

static int table_put(struct place *p, struct table *t, uint64_t *ret_at, struct err *e)
{
	if (t->is_full || !range_fits(p->at - X86_ACPI, t->len, X86_ACPI_END - X86_ACPI))
		return err_plain(e, EINVAL, "ACPI table %.4s does not fit", (char *)t->data);
	put_le32(t->data + 4, (uint32_t)t->len);
	t->data[9] = sum_of(t->data, t->len);
	if (guest_write(p->m, p->at, t->data, t->len) < 0)
		return err_plain(e, EINVAL, "ACPI tables: no memory at %#llx",
				 (unsigned long long)p->at);
	*ret_at = p->at;
	p->at = align_up(p->at + t->len, 16);
	return 0;
}

/* AML, chapter 20.2. */
enum {
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_DWORD = 0x0c,
	AML_STRING = 0x0d,
	AML_SCOPE = 0x10,
	AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12,
	AML_METHOD = 0x14,
	AML_DEVICE_EXT = 0x5b, /* then AML_DEVICE */
	AML_DEVICE = 0x82,
	AML_DUAL = 0x2e, /* two names follow */
	AML_ROOT = 0x5c,
	AML_NOTIFY = 0x86,
};

static void aml_byte(struct table *t, uint8_t b)
{
	add(t, &b, 1);
}

static void aml_int(struct table *t, uint32_t v)
{
	if (v > 0xff) {
		aml_byte(t, AML_DWORD);
		add_le(t, v, 4);
	} else if (v > 1) {
		aml_byte(t, AML_BYTE);
		add_le(t, v, 1);
	} else {
		aml_byte(t, v ? AML_ONE : AML_ZERO);
	}
}

/* Names are always 4 bytes here. */
static void aml_name(struct table *t, const char *name)
{
	aml_byte(t, AML_NAME);
	add(t, name, 4);
}

static void aml_name_int(struct table *t, const char *name, uint32_t v)
{
	aml_name(t, name);
	aml_int(t, v);
}

static void aml_name_string(struct table *t, const char *name, const char *s)
{
	aml_name(t, name);
	aml_byte(t, AML_STRING);
	add(t, s, strlen(s) + 1);
}

/* 20.2.4: put the length of what follows `start`, its own bytes included, there. */
static void aml_close(struct table *t, size_t start)
{
	size_t len = t->len - start, n = len + 1 < 64 ? 1 : 2;
	uint8_t raw[2];

	assert(len + n < 4096); /* TABLE_MAX leaves no other case */
	raw[0] = (uint8_t)(n == 1 ? len + 1 : 0x40 | ((len + 2) & 15));
	raw[1] = (uint8_t)((len + 2) >> 4);
	add(t, raw, n); /* for the room */
	if (t->is_full)
		return;
	memmove(t->data + start + n, t->data + start, len);
	memcpy(t->data + start, raw, n);
}

static size_t device_open(struct table *t, const char *name)
{
	size_t start;

	aml_byte(t, AML_DEVICE_EXT);
	aml_byte(t, AML_DEVICE);
	start = t->len;
	add(t, name, 4);
	return start;
}

/* 19.6.62, 6.4.3.6: an interrupt that this device consumes: edge, active high, its own. */
static void res_irq(struct table *res, uint32_t gsi)
{
	static const uint8_t head[] = { 0x89, 6, 0, 3, 1 };

	add(res, head, sizeof(head));
	add_le(res, gsi, 4);
}

/* _CRS: the resources as a buffer, with their end tag (6.4.2.9; sum 0: not checked). */
static void aml_crs(struct table *t, const struct table *res)
{
	size_t start;

	aml_name(t, "_CRS");
	aml_byte(t, AML_BUFFER);
	start = t->len;
	aml_int(t, (uint32_t)res->len + 2);
	add(t, res->data, res->len);
	add_le(t, 0x0079, 2);
	aml_close(t, start);
}

static void virtio_add(struct table *t, uint32_t i)
{
	static const uint8_t memory32[] = { 0x86, 9, 0, 1 }; /* 6.4.3.4, writable */
	struct table res = { .len = 0 };
	char name[8];
	size_t start;

	snprintf(name, sizeof(name), "V%03u", i % 1000);
	start = device_open(t, name);
	aml_name_string(t, "_HID", "LNRO0005");
	aml_name_int(t, "_UID", i);
	aml_name_int(t, "_CCA", 1);
	add(&res, memory32, sizeof(memory32));
	add_le(&res, X86_VIRTIO_BASE + i * X86_VIRTIO_SIZE, 4);
	add_le(&res, X86_VIRTIO_SIZE, 4);
	res_irq(&res, X86_VIRTIO_GSI + i);
	aml_crs(t, &res);
	aml_close(t, start);
}

static void com1_add(struct table *t)
{
	struct table res = { .len = 0 };
	size_t start = device_open(t, "COM1");

	aml_name_string(t, "_HID", "PNP0501");
	aml_name_int(t, "_UID", 0);
	add_le(&res, 0x0147, 2); /* 6.4.2.5: I/O ports, decoded in full */
	add_le(&res, X86_COM1_PORT, 2);
	add_le(&res, X86_COM1_PORT, 2);
	add_le(&res, 1, 1);
	add_le(&res, 8, 1);
	res_irq(&res, X86_COM1_GSI);
	aml_crs(t, &res);
	aml_close(t, start);
}

static void vmgenid_add(struct table *t)
{
	size_t start = device_open(t, "VGEN"), package;

	aml_name_string(t, "_HID", "VMGENCTR");
	aml_name_string(t, "_CID", "VM_Gen_Counter");
	aml_name_string(t, "_DDN", "VM_Gen_Counter");
	aml_name(t, "ADDR"); /* low half, high half */
	aml_byte(t, AML_PACKAGE);
	package = t->len;
	aml_byte(t, 2);
	aml_int(t, X86_VMGENID);
	aml_int(t, 0);
	aml_close(t, package);
	aml_close(t, start);
}

/* 5.6.9: with one interrupt there is nothing for _EVT to tell apart. */
static void ged_add(struct table *t)
{
	struct table res = { .len = 0 };
	size_t start = device_open(t, "GED_"), method;

	aml_name_string(t, "_HID", "ACPI0013");
	aml_name_int(t, "_UID", 0);
	res_irq(&res, X86_GED_GSI);
	aml_crs(t, &res);
	aml_byte(t, AML_METHOD);
	method = t->len;
	add(t, "_EVT", 4);
	aml_byte(t, 1); /* takes one argument */
	aml_byte(t, AML_NOTIFY);
	aml_byte(t, AML_ROOT);
	aml_byte(t, AML_DUAL);
	add(t, "_SB_VGEN", 8);
	aml_int(t, 0x80);
	aml_close(t, method);
	aml_close(t, start);
}

/* 7.4.2: sleep type 5 is power off. */
static void s5_add(struct table *t)
{
	size_t start;

	aml_name(t, "_S5_");
	aml_byte(t, AML_PACKAGE);
	start = t->len;
	aml_byte(t, 4);
	aml_int(t, 5);
	aml_int(t, 5);
	aml_int(t, 0);
	aml_int(t, 0);
	aml_close(t, start);
}

static int dsdt_put(struct place *p, uint32_t n_virtio, uint64_t *ret_at, struct err *e)
{
	struct table t = { .len = 0 };
	size_t scope;

	header_add(&t, "DSDT", 2);
	aml_byte(&t, AML_SCOPE);
	scope = t.len;
	aml_byte(&t, AML_ROOT);
	add(&t, "_SB_", 4);
	for (uint32_t i = 0; i < n_virtio; i++)
		virtio_add(&t, i);
	com1_add(&t);
	vmgenid_add(&t);
	ged_add(&t);
	aml_close(&t, scope);
	s5_add(&t);
	return table_put(p, &t, ret_at, e);
}

/* 5.2.3.2: a register of one byte at the port X86_PM_PORT. */
static void gas_set(uint8_t *p)
{
	static const uint8_t head[] = { 1, 8, 0, 1 }; /* I/O space, 8 bits, from bit 0, by byte */

	memcpy(p, head, sizeof(head));
	put_le64(p + sizeof(head), X86_PM_PORT);
}

/* 5.2.9 */
static int fadt_put(struct place *p, uint64_t dsdt, uint64_t *ret_at, struct err *e)
{
	enum { NO_POWER_BUTTON = 1 << 4, NO_SLEEP_BUTTON = 1 << 5, RESET = 1 << 10 };
	enum { HW_REDUCED = 1 << 20, NO_VGA = 1 << 2, NO_CMOS_CLOCK = 1 << 5 };
	struct table t = { .len = 0 };

	header_add(&t, "FACP", 6);
	t.len = FADT_SIZE;
	put_le16(t.data + 109, NO_VGA | NO_CMOS_CLOCK);
	put_le32(t.data + 112, NO_POWER_BUTTON | NO_SLEEP_BUTTON | RESET | HW_REDUCED);
	gas_set(t.data + 116);
	t.data[128] = 1; /* what to write there to reset */
	t.data[131] = 5; /* minor version */
	put_le64(t.data + 140, dsdt);
	gas_set(t.data + 244); /* sleep control */
	gas_set(t.data + 256); /* sleep status */
	memcpy(t.data + 268, "CAISSON", 8);
	return table_put(p, &t, ret_at, e);
}

/* 5.2.12: no 8259s, one I/O APIC with the GSIs 0 to 23, a local APIC per vCPU. */
static int madt_put(struct place *p, uint32_t cpus, uint64_t *ret_at, struct err *e)
{
	struct table t = { .len = 0 };

	header_add(&t, "APIC", 6);
	add_le(&t, X86_LAPIC, 4);
	add_le(&t, 0, 4);
	add_le(&t, 1 | 12U << 8, 4); /* I/O APIC, its length, id 0 */
	add_le(&t, X86_IOAPIC, 4);
	add_le(&t, 0, 4);
	for (uint32_t i = 0; i < cpus; i++) {
		add_le(&t, 0 | 8U << 8 | i << 16 | i << 24, 4); /* local APIC, length, ids */
		add_le(&t, 1, 4);                               /* enabled */
	}
	return table_put(p, &t, ret_at, e);
}

static int xsdt_put(struct place *p, uint64_t fadt, uint64_t madt, uint64_t *ret_at, struct err *e)
{
	struct table t = { .len = 0 };

	header_add(&t, "XSDT", 1);
	add_le(&t, fadt, 8);
	add_le(&t, madt, 8);
	return table_put(p, &t, ret_at, e);
}

/* 5.2.5.3 */
static int rsdp_put(const struct guest_memory *m, uint64_t xsdt, struct err *e)
{
	uint8_t raw[RSDP_SIZE] = "RSD PTR \0CAISSN\2";

	put_le32(raw + 20, sizeof(raw));
	put_le64(raw + 24, xsdt);
	raw[8] = sum_of(raw, 20);
	raw[32] = sum_of(raw, sizeof(raw));
	if (guest_write(m, X86_RSDP, raw, sizeof(raw)) < 0)
		return err_plain(e, EINVAL, "ACPI tables: no memory at %#x", X86_RSDP);
	return 0;
}

int x86_acpi_write(const struct guest_memory *m, uint32_t cpus, uint32_t n_virtio, struct err *e)
{
	struct place p = { .m = m, .at = X86_ACPI };
	uint64_t dsdt = 0, fadt = 0, madt = 0, xsdt = 0;
	int rc;

	if (!cpus || cpus > X86_CPUS_MAX)
		return err_plain(e, EINVAL, "%u vCPUs, not 1 to %u", cpus, X86_CPUS_MAX);
	if (n_virtio > X86_VIRTIO_COUNT)
		return err_plain(e, EINVAL, "%u devices, more than %u", n_virtio, X86_VIRTIO_COUNT);
	rc = dsdt_put(&p, n_virtio, &dsdt, e);
	if (rc == 0)
		rc = fadt_put(&p, dsdt, &fadt, e);
	if (rc == 0)
		rc = madt_put(&p, cpus, &madt, e);
	if (rc == 0)
		rc = xsdt_put(&p, fadt, madt, &xsdt, e);
	return rc < 0 ? rc : rsdp_put(m, xsdt, e);
}
