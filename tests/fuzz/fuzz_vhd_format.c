/* SPDX-License-Identifier: MIT */
/* fuzz_vhd_format.c - one byte: which structure, and whether its sum is made right; then its bytes
 */
#include "fuzz_input.h"

#include "vhd_format.h"

/* The structure's bytes, zeros where the input is too short. */
static void fill(uint8_t *raw, size_t size, const uint8_t *data, size_t len)
{
	memset(raw, 0, size);
	memcpy(raw, data, MIN_OF(len, size));
}

static void sum_set(uint8_t *raw, size_t size, size_t at)
{
	uint32_t sum = vhd_checksum(raw, size, at);

	for (size_t i = 0; i < 4; i++)
		raw[at + i] = (uint8_t)(sum >> (24 - 8 * i));
}

static void must_explain(int rc, const struct vhd_err *e)
{
	MUST(rc < 0 && e->code == -rc && memchr(e->msg, 0, sizeof(e->msg)) && e->msg[0]);
}

static void footer(const uint8_t *data, size_t len, bool is_summed)
{
	uint8_t raw[VHD_FOOTER_SIZE], again[VHD_FOOTER_SIZE];
	struct vhd_footer f, g;
	struct vhd_err e = { 0 };
	int rc;

	fill(raw, sizeof(raw), data, len);
	if (is_summed)
		sum_set(raw, sizeof(raw), 64);
	rc = vhd_footer_decode(raw, &f, &e);
	if (rc < 0) {
		must_explain(rc, &e);
		return;
	}
	MUST(f.size && f.size <= VHD_SIZE_MAX && f.size % VHD_SECTOR == 0);
	MUST(f.type >= VHD_TYPE_FIXED && f.type <= VHD_TYPE_DIFFERENCING);
	MUST(f.type == VHD_TYPE_FIXED || (f.data_offset >= 512 && f.data_offset <= 1ULL << 41));
	MUST(vhd_blocks_of(f.size, VHD_BLOCK_MIN) <= VHD_SIZE_MAX / VHD_BLOCK_MIN);
	vhd_footer_encode(&f, raw);
	MUST(vhd_footer_decode(raw, &g, &e) == 0);
	vhd_footer_encode(&g, again);
	MUST(memcmp(raw, again, sizeof(raw)) == 0);
	MUST(g.size == f.size && g.type == f.type && vhd_uuid_equal(&g.id, &f.id));
}

static void header(const uint8_t *data, size_t len, bool is_summed)
{
	uint8_t raw[VHD_HEADER_SIZE], again[VHD_HEADER_SIZE];
	struct vhd_header h, i;
	struct vhd_err e = { 0 };
	int rc;

	fill(raw, sizeof(raw), data, len);
	if (is_summed)
		sum_set(raw, sizeof(raw), 36);
	rc = vhd_header_decode(raw, &h, &e);
	if (rc < 0) {
		must_explain(rc, &e);
		return;
	}
	MUST(h.block_size >= VHD_BLOCK_MIN && h.block_size <= VHD_BLOCK_MAX);
	MUST((uint64_t)h.table_entries * h.block_size <= VHD_SIZE_MAX && h.table_entries);
	MUST(h.table_offset >= 512 && h.table_offset <= 1ULL << 41);
	for (size_t k = 0; k < VHD_PARENTS_MAX; k++) {
		const struct vhd_locator *l = &h.locators[k];

		MUST(l->length <= l->space && l->length <= VHD_LOCATOR_MAX);
		MUST(l->offset + l->space <= 1ULL << 41);
	}
	vhd_header_encode(&h, raw);
	MUST(vhd_header_decode(raw, &i, &e) == 0);
	vhd_header_encode(&i, again);
	MUST(memcmp(raw, again, sizeof(raw)) == 0);
}

static void batmap(const uint8_t *data, size_t len)
{
	uint8_t raw[VHD_BATMAP_SIZE];
	struct vhd_batmap b, c;
	struct vhd_err e = { 0 };
	int rc;

	fill(raw, sizeof(raw), data, len);
	rc = vhd_batmap_decode(raw, &b, &e);
	if (rc < 0) {
		must_explain(rc, &e);
		return;
	}
	MUST(b.sectors && b.sectors <= VHD_SIZE_MAX / VHD_BLOCK_MIN / 8 / VHD_SECTOR);
	MUST(b.offset >= 512 && b.offset <= 1ULL << 41);
	vhd_batmap_encode(&b, raw);
	MUST(vhd_batmap_decode(raw, &c, &e) == 0);
	MUST(c.offset == b.offset && c.sectors == b.sectors && c.checksum == b.checksum);
}

static void locator(const uint8_t *data, size_t len)
{
	static const char codes[][4] = { "W2ru", "W2ku", "MacX", "Wi2r" };
	auto_free uint8_t *raw = NULL;
	char path[VHD_PATH_MAX];
	struct vhd_locator l = { 0 };
	int rc;

	if (len == 0)
		return;
	memcpy(l.code, codes[data[0] % 4], sizeof(l.code));
	raw = malloc(MAX_OF(len - 1, 1U)); /* exactly what there is */
	MUST(raw);
	memcpy(raw, data + 1, len - 1);
	rc = vhd_locator_path(&l, raw, len - 1, path);
	MUST(rc == 0 || rc == -ENOTSUP || rc == -EINVAL || rc == -ENAMETOOLONG);
	MUST(memchr(path, 0, sizeof(path)));
	MUST((rc == 0) == (path[0] != '\0'));
	MUST(memcmp(l.code, "W2", 2) != 0 || !strchr(path, '\\'));
}

/* Decoded text is well-formed: it encodes, and what that gives decodes to the same. */
static void utf16_decode(const uint8_t *data, size_t len)
{
	size_t cap = 3 * len + 1;
	auto_free char *text = malloc(cap), *again = malloc(cap);
	auto_free uint8_t *raw = malloc(len + 1);
	int n;

	MUST(text && again && raw);
	MUST(vhd_utf16_decode(data, len, VHD_BE, text, cap) == 0);
	n = vhd_utf16_encode(text, VHD_LE, raw, len + 1);
	MUST(n >= 0 && (size_t)n <= len);
	MUST(vhd_utf16_decode(raw, (size_t)n, VHD_LE, again, cap) == 0);
	MUST(strcmp(text, again) == 0);
	for (size_t small = 0; small <= MIN_OF(strlen(text), 40U); small++) {
		auto_free char *exact = malloc(small ? small : 1);

		MUST(exact && vhd_utf16_decode(data, len, VHD_BE, exact, small) < 0);
	}
}

static void utf16_encode(const uint8_t *data, size_t len)
{
	auto_free char *text = copy_of(data, len), *again = malloc(len + 1);
	auto_free uint8_t *raw = malloc(2 * len + 1);
	int n;

	MUST(again && raw);
	n = vhd_utf16_encode(text, VHD_BE, raw, 2 * len);
	if (n < 0) {
		MUST(n == -EILSEQ);
		return;
	}
	MUST(vhd_utf16_decode(raw, (size_t)n, VHD_BE, again, len + 1) == 0);
	MUST(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	bool is_summed = len && data[0] & 0x80;

	if (len == 0)
		return 0;
	switch (data[0] & 0x7f) {
	case 'f':
		footer(data + 1, len - 1, is_summed);
		break;
	case 'h':
		header(data + 1, len - 1, is_summed);
		break;
	case 'b':
		batmap(data + 1, len - 1);
		break;
	case 'l':
		locator(data + 1, len - 1);
		break;
	case 'd':
		utf16_decode(data + 1, len - 1);
		break;
	default:
		utf16_encode(data + 1, len - 1);
	}
	return 0;
}
