/* SPDX-License-Identifier: MIT */
/*
 * vhd_utf16.c - [U] names between UTF-16 and UTF-8
 *
 * Windows does not see to it that surrogates come in pairs, so a name may not be representable:
 * each lone half is read as U+FFFD. What is written is always well-formed.
 */
#include "vhd_format.h"
#include "vhd_shim.h"

#define REPLACEMENT 0xfffdU

static bool is_high(uint32_t unit)
{
	return unit >> 10 == 0xd800 >> 10;
}

static bool is_low(uint32_t unit)
{
	return unit >> 10 == 0xdc00 >> 10;
}

static uint32_t unit_at(const uint8_t *raw, size_t i, enum vhd_endian endian)
{
	return endian == VHD_LE ? get_le16(raw + 2 * i) : get_be16(raw + 2 * i);
}

/* The character at unit *io_i of n, which moves on. */
static uint32_t utf16_next(const uint8_t *raw, size_t n, enum vhd_endian endian, size_t *io_i)
{
	uint32_t unit = unit_at(raw, (*io_i)++, endian), low;

	if (is_high(unit) && *io_i < n && is_low(low = unit_at(raw, *io_i, endian))) {
		++*io_i;
		return 0x10000 + ((unit & 0x3ff) << 10 | (low & 0x3ff));
	}
	return is_high(unit) || is_low(unit) ? REPLACEMENT : unit;
}

static size_t utf8_put(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

int vhd_utf16_decode(const uint8_t *raw, size_t len, enum vhd_endian endian, char *text, size_t cap)
{
	size_t used = 0, n = len / 2;

	for (size_t i = 0; i < n;) {
		uint32_t c = utf16_next(raw, n, endian, &i);
		uint8_t bytes[4];
		size_t k;

		if (c == 0)
			break;
		k = utf8_put(c, bytes);
		if (cap - used <= k)
			return -ENAMETOOLONG;
		memcpy(text + used, bytes, k);
		used += k;
	}
	if (cap == 0)
		return -ENAMETOOLONG;
	text[used] = '\0';
	return 0;
}

/* The character at *io_p, which moves on; false: no UTF-8 (too long a form, a surrogate, ...). A
 * NUL is no continuation byte, so nothing past the end of the text is looked at. */
static bool utf8_next(const uint8_t **io_p, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	const uint8_t *p = *io_p;
	uint32_t c = *p++;
	size_t more;

	if (c < 0x80)
		more = 0;
	else if (c >> 5 == 0x6)
		more = 1;
	else if (c >> 4 == 0xe)
		more = 2;
	else if (c >> 3 == 0x1e)
		more = 3;
	else
		return false;
	if (more)
		c &= 0x3fU >> more;
	for (size_t i = 0; i < more; i++) {
		if (*p >> 6 != 0x2)
			return false;
		c = c << 6 | (*p++ & 0x3f);
	}
	if (c < least[more] || c > 0x10ffff || is_high(c) || is_low(c))
		return false;
	*io_p = p;
	*ret = c;
	return true;
}

static void unit_put(uint8_t *raw, uint32_t unit, enum vhd_endian endian)
{
	if (endian == VHD_LE)
		put_le16(raw, (uint16_t)unit);
	else
		put_be16(raw, (uint16_t)unit);
}

int vhd_utf16_encode(const char *text, enum vhd_endian endian, uint8_t *raw, size_t cap)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t used = 0;

	while (*p) {
		uint32_t c;
		size_t k;

		if (!utf8_next(&p, &c))
			return -EILSEQ;
		k = c < 0x10000 ? 2 : 4;
		if (cap - used < k)
			return -ENAMETOOLONG;
		if (k == 4) {
			unit_put(raw + used, 0xd800 | (c - 0x10000) >> 10, endian);
			unit_put(raw + used + 2, 0xdc00 | (c & 0x3ff), endian);
		} else {
			unit_put(raw + used, c, endian);
		}
		used += k;
	}
	return (int)used;
}
