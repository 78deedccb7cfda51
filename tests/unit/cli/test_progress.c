/* SPDX-License-Identifier: MIT */
/* test_progress.c - lines and frames of pull and push */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>

#include <cmocka.h>

#include "fdio.h"
#include "progress.h"
#include "text.h"

static void lines(void **state)
{
	static const struct {
		enum progress_kind kind;
		struct progress_item item;
		size_t width;
		const char *out;
	} t[] = {
		{ PROGRESS_PULL,
		  { "0123456789ab", PROGRESS_WAITING, 0, 0 },
		  80,
		  "0123456789ab: Pulling fs layer" },
		{ PROGRESS_PUSH,
		  { "0123456789ab", PROGRESS_WAITING, 0, 0 },
		  80,
		  "0123456789ab: Preparing" },
		{ PROGRESS_PUSH,
		  { "0123456789ab", PROGRESS_EXISTS, 5, 10 },
		  80,
		  "0123456789ab: Layer already exists" },
		{ PROGRESS_PULL,
		  { "ab", PROGRESS_DOWNLOADING, 500000, 1000000 },
		  60,
		  "ab: Downloading [================>               ] 500kB/1MB" },
		{ PROGRESS_PULL, { "ab", PROGRESS_DOWNLOADING, 0, 0 }, 60, "ab: Downloading" },
		{ PROGRESS_WORK, { "a.vhd", PROGRESS_WORKING, 0, 0 }, 60, "a.vhd: Working" },
		{ PROGRESS_WORK,
		  { "a.vhd", PROGRESS_WORKING, 500, 1000 },
		  40,
		  "a.vhd: Working [=======>      ] 500B/1kB" },
		{ PROGRESS_WORK, { "a.vhd", PROGRESS_DONE, 0, 0 }, 60, "a.vhd: Done" },
		{ PROGRESS_PULL,
		  { "ab", PROGRESS_DOWNLOADING, 1500, 0 },
		  60,
		  "ab: Downloading 1.5kB" },
		{ PROGRESS_PULL,
		  { "ab", PROGRESS_EXTRACTING, 500, 1000 },
		  30,
		  "ab: Extracting 500B/1kB" }, /* no room for the bar */
		{ PROGRESS_PULL, { "ab", PROGRESS_DONE, 9, 9 }, 8, "ab: Pull" },
		{ PROGRESS_PULL, { "ab", PROGRESS_EXTRACTING, 500, 1000 }, 3, "ab:" },
		{ PROGRESS_PULL, { "ab", PROGRESS_DONE, 9, 9 }, 0, "" },
		{ PROGRESS_PULL,
		  { "\x1b[2J", PROGRESS_DONE, 0, 0 },
		  80,
		  "\\x1b[2J: Pull complete" },
		{ PROGRESS_PULL,
		  { "0123456789abcdef", PROGRESS_DONE, 0, 0 },
		  80,
		  "0123456789ab: Pull complete" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };

		assert_int_equal(progress_line(&b, t[i].kind, &t[i].item, t[i].width), 0);
		assert_string_equal(b.data ? b.data : "", t[i].out);
	}
}

/* Whatever the numbers, a line fits. */
static void lines_fit(void **state)
{
	static const uint64_t numbers[] = {
		0, 1, 999, 1000, 12345678, 1ULL << 40, UINT64_MAX / 2, UINT64_MAX
	};

	(void)state;
	for (size_t d = 0; d < ARRAY_SIZE(numbers); d++)
		for (size_t n = 0; n < ARRAY_SIZE(numbers); n++)
			for (size_t width = 0; width < 120; width++)
				for (int s = 0; s <= PROGRESS_RETRYING; s++) {
					const struct progress_item i = { "\x01\x02\x03\x04\x05\x06",
									 (enum progress_state)s,
									 numbers[d], numbers[n] };
					auto_buf b = { 0 };

					assert_int_equal(
						progress_line(&b, PROGRESS_PULL, &i, width), 0);
					if (text_width(b.data ? b.data : "", b.len) > width)
						fail_msg("width %zu: %s", width, b.data);
				}
}

static void item(const struct progress *p, const char *id, enum progress_state s, uint64_t done,
		 uint64_t total)
{
	const struct progress_item i = { id, s, done, total };

	progress_ops(p)->item(progress_ops(p)->arg, &i);
}

static void read_all(int fd, struct buf *b)
{
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_all(fd, b), 0);
}

static void a_file_gets_a_line_for_each_change(void **state)
{
	auto_fd fd = memfd_create("progress", MFD_CLOEXEC);
	struct progress *p;
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(progress_new(fd, PROGRESS_PULL, &p, &e), 0);
	progress_ops(p)->message(progress_ops(p)->arg, "latest: Pulling from a\x1b[2J");
	item(p, "aaaaaaaaaaaa", PROGRESS_WAITING, 0, 0);
	item(p, "bbbbbbbbbbbb", PROGRESS_EXISTS, 0, 0);
	for (uint64_t i = 0; i < 100; i++)
		item(p, "aaaaaaaaaaaa", PROGRESS_DOWNLOADING, i, 100);
	item(p, "aaaaaaaaaaaa", PROGRESS_DONE, 100, 100);
	item(p, "aaaaaaaaaaaa", PROGRESS_DONE, 100, 100);
	progress_free(p);
	read_all(fd, &b);
	assert_string_equal(b.data, "latest: Pulling from a\\x1b[2J\n"
				    "aaaaaaaaaaaa: Pulling fs layer\n"
				    "bbbbbbbbbbbb: Already exists\n"
				    "aaaaaaaaaaaa: Pull complete\n");
}

static void quiet_is_quiet(void **state)
{
	auto_fd fd = memfd_create("progress", MFD_CLOEXEC);
	struct progress *p;
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(progress_new(fd, PROGRESS_QUIET, &p, &e), 0);
	progress_ops(p)->message(progress_ops(p)->arg, "x");
	item(p, "aaaaaaaaaaaa", PROGRESS_DONE, 0, 0);
	progress_free(p);
	progress_free(NULL);
	read_all(fd, &b);
	assert_int_equal(b.len, 0);
}

/* More layers than lines, on a terminal: every frame is drained, and its lines fit the height. */
static void a_terminal_gets_frames_that_fit(void **state)
{
	const struct winsize ws = { .ws_row = 6, .ws_col = 40 };
	auto_fd master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	auto_fd slave = -1;
	struct progress *p;
	struct err e = { 0 };
	char out[8192] = "";
	size_t len = 0;

	(void)state;
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		skip();
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(ioctl(slave, TIOCSWINSZ, &ws), 0);
	assert_int_equal(fd_set_nonblock(master, true), 0);
	assert_int_equal(progress_new(slave, PROGRESS_PULL, &p, &e), 0);
	for (int i = 0; i < 20; i++) {
		char id[13];
		ssize_t n;

		snprintf(id, sizeof(id), "%012d", i);
		item(p, id, i % 3 ? PROGRESS_DOWNLOADING : PROGRESS_DONE, 1, 2);
		n = read(master, out, sizeof(out) - 1);
		assert_true(n > 0);
		len = (size_t)n;
		out[len] = '\0';
	}
	progress_free(p);
	{
		size_t rows = 0;

		for (size_t i = 0; i < len; i++)
			rows += out[i] == '\n';
		assert_in_range(rows, 1, ws.ws_row - 1);
		assert_non_null(strstr(out, "of 20 layers complete"));
		assert_non_null(strstr(out, "\x1b[4A")); /* up over the frame before */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(lines_fit),
		cmocka_unit_test(a_file_gets_a_line_for_each_change),
		cmocka_unit_test(quiet_is_quiet),
		cmocka_unit_test(a_terminal_gets_frames_that_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
