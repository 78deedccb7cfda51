/* SPDX-License-Identifier: MIT */
/* test_dhcp_message.c - what is asked of a DHCP server, and which answers are taken */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cleanup.h"
#include "dhcp_message.h"

#define XID  0x01020304U
#define HEAD 240U

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

/* An answer to us with 10.0.2.15 and these options; its length. */
static size_t answer_make(uint8_t *p, const uint8_t *options, size_t len)
{
	static const uint8_t cookie[4] = { 99, 130, 83, 99 };

	memset(p, 0, HEAD);
	p[0] = 2;
	p[1] = 1;
	p[2] = 6;
	memcpy(p + 4, "\1\2\3\4", 4);
	memcpy(p + 16, "\12\0\2\17", 4);
	memcpy(p + 28, mac, sizeof(mac));
	memcpy(p + 236, cookie, sizeof(cookie));
	memcpy(p + HEAD, options, len);
	return HEAD + len;
}

static const struct {
	const char *what;
	uint8_t raw[40];
	size_t len;
	int rc;
	struct dhcp_lease want;
} rows[] = {
	{ "all of it",
	  { 53, 1, 5,  1, 4, 255, 255, 255, 0,  3, 4,  10, 0, 2, 2,  6, 4, 10,  0,
	    2,  3, 51, 4, 0, 1,   0,   0,   54, 4, 10, 0,  2, 2, 26, 2, 5, 220, 255 },
	  38,
	  0,
	  { .ip = 0x0a00020f,
	    .server = 0x0a000202,
	    .gateway = 0x0a000202,
	    .dns = { 0x0a000203 },
	    .n_dns = 1,
	    .seconds = 65536,
	    .prefix_len = 24,
	    .mtu = 1500 } },
	{ "no mask, no end, padding: by class",
	  { 0, 0, 53, 1, 2 },
	  5,
	  0,
	  { .ip = 0x0a00020f, .seconds = 60, .prefix_len = 8 } },
	{ "four name servers: three",
	  { 53, 1, 5, 6, 16, 1, 0, 0, 1, 2, 0, 0, 2, 3, 0, 0, 3, 4, 0, 0, 4 },
	  21,
	  0,
	  { .ip = 0x0a00020f,
	    .dns = { 0x01000001, 0x02000002, 0x03000003 },
	    .n_dns = 3,
	    .seconds = 60,
	    .prefix_len = 8 } },
	{ "gateway that is a group, small MTU: none",
	  { 53, 1, 5, 3, 4, 224, 0, 0, 1, 26, 2, 0, 68 },
	  13,
	  0,
	  { .ip = 0x0a00020f, .seconds = 60, .prefix_len = 8 } },
	{ "no type", { 255 }, 1, -EBADMSG },
	{ "nothing", { 0 }, 0, -EBADMSG },
	{ "a question", { 53, 1, 1 }, 3, -EBADMSG },
	{ "type of two bytes", { 53, 2, 5, 5 }, 4, -EBADMSG },
	{ "option past the end", { 53, 1, 5, 1, 4, 255, 255, 255 }, 8, -EBADMSG },
	{ "option without length", { 53, 1, 5, 1 }, 4, -EBADMSG },
	{ "mask with a hole", { 53, 1, 5, 1, 4, 255, 0, 255, 0 }, 9, -EBADMSG },
	{ "mask of nothing", { 53, 1, 5, 1, 4, 0, 0, 0, 0 }, 9, -EBADMSG },
	{ "half a name server", { 53, 1, 5, 6, 6, 1, 2, 3, 4, 5, 6 }, 11, -EBADMSG },
	{ "empty list of routers", { 53, 1, 5, 3, 0 }, 5, -EBADMSG },
};

static void test_answers(void **state)
{
	uint8_t p[HEAD + 40];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = answer_make(p, rows[i].raw, rows[i].len);
		struct dhcp_lease l = { 0 };
		struct err e = { 0 };
		enum dhcp_type type;

		if (dhcp_message_parse(p, len, XID, mac, &type, &l, &e) != rows[i].rc ||
		    (rows[i].rc ? e.msg[0] == '\0' : memcmp(&l, &rows[i].want, sizeof(l)) != 0))
			fail_msg("%s", rows[i].what);
	}
}

/* One byte wrong in what makes it an answer to us. */
static void test_of_others(void **state)
{
	static const size_t at[] = { 0, 1, 2, 4, 7, 28, 33, 236, 239 };
	static const uint8_t options[] = { 53, 1, 5 };
	uint8_t p[HEAD + 40];
	struct dhcp_lease l;
	struct err e = { 0 };
	enum dhcp_type type;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		len = answer_make(p, options, sizeof(options));
		p[at[i]] ^= 1;
		assert_int_equal(dhcp_message_parse(p, len, XID, mac, &type, &l, &e), -EBADMSG);
	}
	for (len = answer_make(p, options, sizeof(options)); len-- > 0;)
		assert_int_equal(dhcp_message_parse(p, len, XID, mac, &type, &l, &e), -EBADMSG);
	len = answer_make(p, options, sizeof(options));
	p[16] = 127;
	assert_int_equal(dhcp_message_parse(p, len, XID, mac, &type, &l, &e), -EBADMSG);
}

static void test_questions(void **state)
{
	const struct dhcp_lease want = { .ip = 0x0a00020f, .server = 0x0a000202 };
	static const uint8_t options[] = { 53, 1, 3, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2 };
	uint8_t p[DHCP_MESSAGE_MAX];

	(void)state;
	assert_true(dhcp_message_make(p, DHCP_REQUEST, XID, mac, &want) >= 300);
	assert_memory_equal(p + HEAD, options, sizeof(options));
	assert_memory_equal(p + 28, mac, sizeof(mac));
	assert_int_equal(p[10], 0x80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_of_others),
		cmocka_unit_test(test_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
