/* SPDX-License-Identifier: MIT */
/*
 * fuzz_text.c - text of strangers on a terminal, and the progress of a pull
 *
 * The bytes are a text first: escaped it must hold no control character, shortened and aligned it
 * must fit. Then they are a script of messages and layers, for a progress on a terminal (the slave
 * of a pty that is never full) and on a file.
 */
#include "fuzz_input.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include "progress.h"
#include "text.h"

#define ITEMS 64

static bool drives_terminal(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++) {
		unsigned char c = (unsigned char)b->data[i];
		unsigned char next = i + 1 < b->len ? (unsigned char)b->data[i + 1] : 0;

		if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0))
			return true;
	}
	return false;
}

static void text_try(const char *text, size_t len)
{
	auto_buf escaped = { 0 }, again = { 0 }, cut = { 0 }, table = { 0 };
	size_t max = len ? (uint8_t)text[0] % 40U + 1 : 1;

	MUST(text_escape(&escaped, text, len) == 0);
	MUST(!drives_terminal(&escaped));
	MUST(text_escape(&again, escaped.data ? escaped.data : "", escaped.len) == 0);
	MUST(again.len == escaped.len); /* what is escaped stays */
	MUST(text_shorten(&cut, text, max) == 0);
	MUST(text_width(cut.data ? cut.data : "", cut.len) <= max);
	MUST(columns_align(&table, text, len) == 0);
	MUST(table.len + 1 > len || memchr(text, '\t', len));
}

static void numbers_try(const uint8_t *data, size_t len)
{
	char size[24], duration[40];
	uint64_t n = 0;

	memcpy(&n, data, MIN_OF(len, sizeof(n)));
	size_text(n, 3 + (int)(n & 1), size, sizeof(size));
	MUST(*size && strlen(size) < 12);
	duration_text((int64_t)n, duration, sizeof(duration));
	MUST(*duration);
}

static void line_try(enum progress_kind kind, const struct progress_item *i, size_t width)
{
	auto_buf b = { 0 };

	MUST(progress_line(&b, kind, i, width) == 0);
	MUST(!drives_terminal(&b));
	MUST(text_width(b.data ? b.data : "", b.len) <= width);
}

/* Each step: a kind, then 12 bytes of an id (few differ, so that they meet) or a message. */
static void script_run(struct progress *p, enum progress_kind kind, const uint8_t *data, size_t len)
{
	const struct progress_ops *ops = progress_ops(p);

	for (int n = 0; len >= 8 && n < ITEMS; n++, data += 8, len -= 8) {
		char id[13] = "aaaaaaaaaaaa";
		struct progress_item i = { .id = id };

		id[0] = (char)data[1];
		id[5] = (char)data[2];
		i.state = (enum progress_state)(data[0] % (PROGRESS_RETRYING + 1));
		i.done = (uint64_t)data[3] << (data[4] % 57);
		i.total = (uint64_t)data[5] << (data[6] % 57);
		if (data[0] & 0x80)
			ops->message(ops->arg, id);
		else
			ops->item(ops->arg, &i);
		line_try(kind, &i, data[7]);
	}
}

static void progress_try(int fd, const uint8_t *data, size_t len)
{
	enum progress_kind kind = data[0] & 1 ? PROGRESS_PUSH : PROGRESS_PULL;
	struct progress *p;
	struct err e = { 0 };

	if (progress_new(fd, kind, &p, &e) < 0)
		return;
	script_run(p, kind, data, len);
	progress_free(p);
}

/* Our end of a terminal that takes all that is written. */
static int terminal_open(const uint8_t *data, int *ret_master)
{
	const struct winsize ws = { .ws_row = data[0] % 30U, .ws_col = data[1] % 120U };
	int fd;

	*ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_master < 0 || grantpt(*ret_master) < 0 || unlockpt(*ret_master) < 0)
		return -1;
	fd = open(ptsname(*ret_master), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		(void)ioctl(fd, TIOCSWINSZ, &ws);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free char *text = copy_of(data, len);
	auto_fd file = -1;
	auto_fd master = -1;
	auto_fd slave = -1;

	text_try(text, strlen(text)); /* shortening is of strings */
	text_try(text, len);
	numbers_try(data, len);
	if (len < 8)
		return 0;
	file = open("/dev/null", O_WRONLY | O_CLOEXEC);
	progress_try(file, data, len);
	slave = terminal_open(data, &master);
	if (slave >= 0)
		progress_try(slave, data, len);
	return 0;
}
