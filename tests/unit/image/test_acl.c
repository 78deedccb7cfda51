/* SPDX-License-Identifier: MIT */
/* test_acl.c - access control lists, from text and as bytes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "acl.h"
#include "bytes.h"

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};
#define NO_ID UINT32_MAX

static size_t value_make(uint8_t *p, uint32_t version, const struct entry *x, size_t n)
{
	put_le32(p, version);
	for (size_t i = 0; i < n; i++) {
		put_le16(p + 4 + 8 * i, x[i].tag);
		put_le16(p + 6 + 8 * i, x[i].perm);
		put_le32(p + 8 + 8 * i, x[i].id);
	}
	return 4 + 8 * n;
}

static void bytes_checked(void **state)
{
	static const struct {
		struct entry x[6];
		size_t n;
		bool ok;
	} t[] = {
		{ { { 1, 7, NO_ID }, { 4, 5, NO_ID }, { 32, 4, NO_ID } }, 3, true },
		{ { { 1, 7, 0 }, { 4, 5, 0 }, { 32, 4, 0 } }, 3, true },
		{ { { 1, 7, 0 },
		    { 2, 6, 5 },
		    { 2, 6, 9 },
		    { 4, 5, 0 },
		    { 16, 7, 0 },
		    { 32, 4, 0 } },
		  6,
		  true },
		{ { { 1, 7, 0 }, { 4, 5, 0 }, { 8, 5, 3 }, { 16, 7, 0 }, { 32, 4, 0 } }, 5, true },
		{ { { 0 } }, 0, false },
		{ { { 1, 7, 0 }, { 4, 5, 0 } }, 2, false },               /* no other */
		{ { { 4, 5, 0 }, { 32, 4, 0 } }, 2, false },              /* no owner */
		{ { { 1, 8, 0 }, { 4, 5, 0 }, { 32, 4, 0 } }, 3, false }, /* permission */
		{ { { 4, 7, 0 }, { 1, 5, 0 }, { 32, 4, 0 } }, 3, false }, /* order */
		{ { { 1, 7, 0 }, { 1, 7, 0 }, { 4, 5, 0 }, { 32, 4, 0 } }, 4, false }, /* twice */
		{ { { 1, 7, 0 }, { 2, 6, 5 }, { 4, 5, 0 }, { 32, 4, 0 } }, 4, false }, /* no mask */
		{ { { 1, 7, 0 },
		    { 2, 6, 5 },
		    { 2, 6, 5 },
		    { 4, 5, 0 },
		    { 16, 7, 0 },
		    { 32, 4, 0 } },
		  6,
		  false }, /* the same user twice */
		{ { { 1, 7, 0 }, { 2, 6, NO_ID }, { 4, 5, 0 }, { 16, 7, 0 }, { 32, 4, 0 } },
		  5,
		  false },
		{ { { 1, 7, 0 }, { 3, 6, 5 }, { 4, 5, 0 }, { 16, 7, 0 }, { 32, 4, 0 } }, 5, false },
		{ { { 1, 7, 0 }, { 4, 5, 0 }, { 32, 4, 0 }, { 64, 4, 0 } }, 4, false },
		{ { { 0, 7, 0 }, { 1, 7, 0 }, { 4, 5, 0 }, { 32, 4, 0 } }, 4, false },
	};
	uint8_t v[64] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		size_t n = value_make(v, 2, t[i].x, t[i].n);

		if (acl_is_valid(v, n) != t[i].ok)
			fail_msg("row %zu", i);
		assert_false(acl_is_valid(v, n - 1));
		assert_false(acl_is_valid(v, n + 1));
	}
	assert_false(acl_is_valid(v, 0));
	assert_false(acl_is_valid(v, value_make(v, 1, t[0].x, t[0].n)));
}

/* "tag:perm:id" of each entry. */
static void print(const struct buf *b, char *ret, size_t size)
{
	size_t n = 0;

	for (size_t at = 4; at < b->len; at += 8)
		n += (size_t)snprintf(ret + n, size - n, "%u:%u:%d ", get_le16(b->data + at),
				      get_le16(b->data + at + 2), (int)get_le32(b->data + at + 4));
}

static void text_taken(void **state)
{
	static const struct {
		const char *text, *want;
	} t[] = {
		{ "user::rwx,group::r-x,other::r--", "1:7:-1 4:5:-1 32:4:-1 " },
		{ "u::rwx,g::r-x,o::---", "1:7:-1 4:5:-1 32:0:-1 " },
		{ "other::r,user::x\ngroup::w", "1:1:-1 4:2:-1 32:4:-1 " },
		{ "user::rw-\nuser:12:r--\ngroup::r--\nmask:r--\nother::---\n",
		  "1:6:-1 2:4:12 4:4:-1 16:4:-1 32:0:-1 " },
		{ "user::rwx,user:bin:r-x:2,user:1:r--,group::r--,group:adm:r--:4,mask::rwx,other::---",
		  "1:7:-1 2:4:1 2:5:2 4:4:-1 8:4:4 16:7:-1 32:0:-1 " },
		{ "# file: x\nuser::rwx\t#effective:r-x\ngroup::r-x\nother::r--",
		  "1:7:-1 4:5:-1 32:4:-1 " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };
		char got[200] = "";
		struct err e = { 0 };

		if (acl_from_text(t[i].text, &b, &e) < 0)
			fail_msg("%s: %s", t[i].text, e.msg);
		print(&b, got, sizeof(got));
		assert_string_equal(got, t[i].want);
		assert_true(acl_is_valid(b.data, b.len));
	}
}

static void text_refused(void **state)
{
	static const struct {
		const char *text;
		int code;
	} t[] = {
		{ "", EBADMSG },
		{ ",,,", EBADMSG },
		{ "user::rwx", EBADMSG },
		{ "user::rwx,group::r-x,other::rwxr", EBADMSG },
		{ "user::rwx,group::r-x,other::", EBADMSG },
		{ "user::rwx,group::r-x,other::a", EBADMSG },
		{ "user::7,group::5,other::4", EBADMSG },
		{ "user::rwx,group::r-x,other::r--,default:user::rwx", EBADMSG },
		{ "user::rwx,group::r-x,other::r--,x::rwx", EBADMSG },
		{ "user::rwx,group::r-x,other:5:r--", EBADMSG },
		{ "user::rwx,group::r-x,other::r--,user:1:r--", EBADMSG }, /* no mask */
		{ "user::rwx,user::rwx,group::r-x,other::r--", EBADMSG },
		{ "user::rwx,user:1:r--,user:1:r--,group::r-x,mask::rwx,other::r--", EBADMSG },
		{ "user:a:b:c:d", EBADMSG },
		{ "user", EBADMSG },
		{ "user::rwx,user:bin:r--,group::r-x,mask::rwx,other::r--", EOPNOTSUPP },
		{ "user::rwx,user:4294967295:r--,group::r-x,mask::rwx,other::r--", EOPNOTSUPP },
		{ "user::rwx,user:99999999999999999999:r--,group::r-x,mask::rwx,other::r--",
		  EOPNOTSUPP },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };
		struct err e = { 0 };

		assert_int_equal(buf_add(&b, "ab", 2), 0);
		if (acl_from_text(t[i].text, &b, &e) != -t[i].code)
			fail_msg("%s: %d %s", t[i].text, e.code, e.msg);
		assert_int_equal(b.len, 2);
	}
}

static void too_long(void **state)
{
	auto_buf text = { 0 }, b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(buf_add_str(&text, "u::r,g::r,o::r,m::r"), 0);
	for (unsigned int i = 0; i < ACL_ENTRIES_MAX; i++)
		assert_int_equal(buf_addf(&text, ",u:%u:r", i), 0);
	assert_int_equal(acl_from_text(text.data, &b, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "too long"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_checked),
		cmocka_unit_test(text_taken),
		cmocka_unit_test(text_refused),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
