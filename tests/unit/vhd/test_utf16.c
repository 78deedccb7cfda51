/* SPDX-License-Identifier: MIT */
/* test_utf16.c - names between UTF-16 and UTF-8 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "vhd_format.h"
#include "vhd_shim.h"

static void decoding(void **state)
{
	static const struct {
		const char *raw;
		size_t len;
		const char *text;
	} t[] = {
		{ "", 0, "" },
		{ "\0a\0.\0v", 6, "a.v" },
		{ "\0a\0\0\0b", 6, "a" }, /* ends at the NUL */
		{ "\0a\0", 3, "a" },      /* half a unit is none */
		{ "\0\xe4\x20\xac", 4, "\xc3\xa4\xe2\x82\xac" },
		{ "\xd8\x3d\xde\0", 4, "\xf0\x9f\x98\x80" },
		{ "\xd8\0\xdc\0", 4, "\xf0\x90\x80\x80" },     /* U+10000 */
		{ "\xdb\xff\xdf\xff", 4, "\xf4\x8f\xbf\xbf" }, /* U+10FFFF */
		{ "\xd8\x3d", 2, "\xef\xbf\xbd" },             /* half a pair at the end */
		{ "\xd8\x3d\0a", 4,
		  "\xef\xbf\xbd"
		  "a" },
		{ "\xde\0\0a", 4,
		  "\xef\xbf\xbd"
		  "a" },
		{ "\xd8\x3d\xd8\x3d\xde\0", 6, "\xef\xbf\xbd\xf0\x9f\x98\x80" },
		{ "\xde\0\xd8\x3d", 4, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xd7\xff\xe0\0", 4, "\xed\x9f\xbf\xee\x80\x80" }, /* beside the surrogates */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char text[64], swapped[16];

		assert_int_equal(vhd_utf16_decode((const uint8_t *)t[i].raw, t[i].len, VHD_BE, text,
						  sizeof(text)),
				 0);
		assert_string_equal(text, t[i].text);
		for (size_t k = 0; k + 1 < t[i].len; k += 2) {
			swapped[k] = t[i].raw[k + 1];
			swapped[k + 1] = t[i].raw[k];
		}
		assert_int_equal(vhd_utf16_decode((const uint8_t *)swapped, t[i].len & ~1UL, VHD_LE,
						  text, sizeof(text)),
				 0);
		assert_string_equal(text, t[i].text);
	}
}

static void decoding_has_an_end(void **state)
{
	static const uint8_t raw[] = { 0, 'a', 0x20, 0xac, 0xd8, 0x3d, 0xde, 0 }; /* 1 + 3 + 4 */
	char text[9];

	(void)state;
	for (size_t cap = 0; cap < sizeof(text); cap++) {
		memset(text, 0x7f, sizeof(text));
		assert_int_equal(vhd_utf16_decode(raw, sizeof(raw), VHD_BE, text, cap),
				 -ENAMETOOLONG);
		assert_int_equal(text[cap], 0x7f);
	}
	assert_int_equal(vhd_utf16_decode(raw, sizeof(raw), VHD_BE, text, sizeof(text)), 0);
	assert_int_equal(strlen(text), 8);
	assert_int_equal(vhd_utf16_decode(raw, 0, VHD_BE, text, 0), -ENAMETOOLONG);
}

static void encoding(void **state)
{
	static const struct {
		const char *text, *raw;
		int rc;
	} t[] = {
		{ "", "", 0 },
		{ "a.v", "\0a\0.\0v", 6 },
		{ "\xc3\xa4\xe2\x82\xac", "\0\xe4\x20\xac", 4 },
		{ "\xf0\x9f\x98\x80", "\xd8\x3d\xde\0", 4 },
		{ "\xf4\x8f\xbf\xbf", "\xdb\xff\xdf\xff", 4 },
		{ "\xed\x9f\xbf\xee\x80\x80", "\xd7\xff\xe0\0", 4 },
		{ "\x80", "", -EILSEQ }, /* begins with what continues */
		{ "a\xff", "", -EILSEQ },
		{ "\xc3", "", -EILSEQ }, /* cut */
		{ "\xe2\x82", "", -EILSEQ },
		{ "\xf0\x9f\x98", "", -EILSEQ },
		{ "\xe2\x82z", "", -EILSEQ },
		{ "\xc0\xaf", "", -EILSEQ }, /* '/' the long way */
		{ "\xc0\x80", "", -EILSEQ }, /* NUL the long way */
		{ "\xe0\x80\xaf", "", -EILSEQ },
		{ "\xf0\x80\x80\xaf", "", -EILSEQ },
		{ "\xed\xa0\xbd\xed\xb8\x80", "", -EILSEQ }, /* surrogates */
		{ "\xed\xbf\xbf", "", -EILSEQ },
		{ "\xf4\x90\x80\x80", "", -EILSEQ }, /* past U+10FFFF */
		{ "\xf8\x88\x80\x80\x80", "", -EILSEQ },
		{ "\xc3\x28", "", -EILSEQ },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint8_t raw[64];

		if (vhd_utf16_encode(t[i].text, VHD_BE, raw, sizeof(raw)) != t[i].rc)
			fail_msg("row %zu", i);
		if (t[i].rc > 0)
			assert_memory_equal(raw, t[i].raw, (size_t)t[i].rc);
	}
}

static void encoding_has_an_end(void **state)
{
	uint8_t raw[7];

	(void)state;
	for (size_t cap = 0; cap < 6; cap++) {
		memset(raw, 0x7f, sizeof(raw));
		assert_int_equal(vhd_utf16_encode("a\xf0\x9f\x98\x80", VHD_LE, raw, cap),
				 -ENAMETOOLONG);
		assert_int_equal(raw[cap], 0x7f);
	}
	assert_int_equal(vhd_utf16_encode("a\xf0\x9f\x98\x80", VHD_LE, raw, 6), 6);
	assert_memory_equal(raw, "a\0\x3d\xd8\0\xde", 6);
}

/* Each character there is, both ways. */
static void round_trip(void **state)
{
	(void)state;
	for (uint32_t c = 1; c <= 0x10ffff; c++) {
		uint8_t raw[4], again[4];
		char text[5];
		size_t len = c < 0x10000 ? 2 : 4;

		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		if (len == 2) {
			put_le16(raw, (uint16_t)c);
		} else {
			put_le16(raw, (uint16_t)(0xd800 + ((c - 0x10000) >> 10)));
			put_le16(raw + 2, (uint16_t)(0xdc00 + ((c - 0x10000) & 0x3ff)));
		}
		assert_int_equal(vhd_utf16_decode(raw, len, VHD_LE, text, sizeof(text)), 0);
		assert_int_equal(vhd_utf16_encode(text, VHD_LE, again, sizeof(again)), len);
		assert_memory_equal(raw, again, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoding),   cmocka_unit_test(decoding_has_an_end),
		cmocka_unit_test(encoding),   cmocka_unit_test(encoding_has_an_end),
		cmocka_unit_test(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
