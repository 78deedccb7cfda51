/* SPDX-License-Identifier: MIT */
/* test_digest.c - which texts are digests, and digests of bytes, files and streams */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <sys/mman.h>

#include "digest.h"
#include "fdio.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC   "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void texts(void **state)
{
	static const struct {
		const char *text, *says; /* says NULL: valid */
	} t[] = {
		{ "sha256:" HEX64, NULL },
		{ EMPTY, NULL },
		{ "", "not a valid digest" },
		{ "sha256", "not a valid digest" },
		{ "sha256:", "not a valid digest" },
		{ "sha256:abc", "not a valid digest" },
		{ "sha256:" HEX64 "0", "not a valid digest" },
		{ "sha256:" HEX64 "\n", "not a valid digest" },
		{ " sha256:" HEX64, "not a valid digest" },
		{ "SHA256:" HEX64, "not a valid digest" },
		{ "sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		  "not a valid digest" },
		{ "sha256:../../../../../../../../../../../../../../../../../etc/passwd00",
		  "not a valid digest" },
		{ HEX64, "not a valid digest" },
		{ "md5:d41d8cd98f00b204e9800998ecf8427e", "not a valid digest" },
		{ "sha512:" HEX64 HEX64, "sha512 is not supported" },
		{ "sha384:" HEX64, "sha384 is not supported" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = { 0 };

		assert_int_equal(digest_is_valid(t[i].text), t[i].says == NULL);
		assert_int_equal(digest_check(t[i].text, &e), t[i].says ? -EINVAL : 0);
		if (t[i].says && !strstr(e.msg, t[i].says))
			fail_msg("%s: %s", t[i].text, e.msg);
	}
	assert_false(digest_is_valid(NULL));
	assert_string_equal(digest_hex("sha256:" HEX64), HEX64);
}

static void values(void **state)
{
	struct digest_stream *s = NULL;
	char d[DIGEST_SIZE];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(digest_of("", 0, d, &e), 0);
	assert_string_equal(d, EMPTY);
	assert_int_equal(digest_of("abc", 3, d, &e), 0);
	assert_string_equal(d, ABC);
	assert_int_equal(digest_stream_new(&s, &e), 0);
	assert_int_equal(digest_stream_get(s, d, &e), 0);
	assert_string_equal(d, EMPTY);
	assert_int_equal(digest_stream_add(s, "a", 1, &e), 0);
	assert_int_equal(digest_stream_get(s, d, &e), 0); /* does not end it */
	assert_int_equal(digest_stream_add(s, "bc", 2, &e), 0);
	assert_int_equal(digest_stream_get(s, d, &e), 0);
	assert_string_equal(d, ABC);
	digest_stream_reset(s);
	assert_int_equal(digest_stream_get(s, d, &e), 0);
	assert_string_equal(d, EMPTY);
	digest_stream_free(s);
	digest_stream_free(NULL);
}

static void files(void **state)
{
	static const struct {
		uint64_t len, there;
		const char *digest;
	} t[] = { { UINT64_MAX, 3, ABC }, { 3, 3, ABC }, { 100, 3, ABC }, { 0, 0, EMPTY } };
	auto_fd fd = memfd_create("digest", MFD_CLOEXEC);
	char d[DIGEST_SIZE];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(fd_write_full(fd, "abc", 3), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint64_t n = 77;

		assert_int_equal(digest_of_file(fd, t[i].len, d, &n, &e), 0);
		assert_string_equal(d, t[i].digest);
		assert_int_equal(n, t[i].there);
	}
	assert_int_equal(digest_of_file(fd, 3, d, NULL, &e), 0);
	assert_int_equal(digest_of_file(-1, 3, d, NULL, &e), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(values),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
