/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "log.h"

static size_t take(int fd, char *text, size_t len)
{
	ssize_t n = read(fd, text, len - 1);

	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void control_bytes_are_escaped(void **state)
{
	char text[512];
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	log_init("test", LOG_LEVEL_WARN, p[1]);
	log_warn("a\033[2Jb\nc\td\x7f");
	take(p[0], text, sizeof(text));
	assert_string_equal(text, "test: warning: a\\x1b[2Jb\\x0ac\td\\x7f\n");
	log_info("not at this level");
	log_error("%s", "last");
	take(p[0], text, sizeof(text));
	assert_string_equal(text, "test: last\n");
	log_init("test", LOG_LEVEL_WARN, STDERR_FILENO);
	close(p[0]);
	close(p[1]);
}

static void long_lines_stay_inside(void **state)
{
	char text[8192], in[4000];
	int p[2];

	(void)state;
	memset(in, '\1', sizeof(in) - 1); /* each byte becomes four */
	in[sizeof(in) - 1] = '\0';
	assert_int_equal(pipe(p), 0);
	log_init("test", LOG_LEVEL_ERROR, p[1]);
	log_error("%s", in);
	assert_true(take(p[0], text, sizeof(text)) < 4200);
	assert_int_equal(text[strlen(text) - 1], '\n');
	log_init("test", LOG_LEVEL_WARN, STDERR_FILENO);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_bytes_are_escaped),
		cmocka_unit_test(long_lines_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
