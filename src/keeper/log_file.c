/* SPDX-License-Identifier: MIT */
/* log_file.c - see log_file.h. Hostile: the text. */
#include "log_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fdio.h"
#include "log.h"

int log_file_open(int dir_fd, struct log_file *ret, struct err *e)
{
	*ret = (struct log_file){
		.fd = openat(dir_fd, LOG_FILE_NAME,
			     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)
	};
	return ret->fd < 0 ? err_set(e, errno, "create the log") : 0;
}

/* Length of the valid UTF-8 sequence at p (RFC 3629), 0 for none. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80   ? 1
		     : p[0] < 0xc2 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
		     : p[0] < 0xf5 ? 4
				   : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static int char_add(struct buf *b, const uint8_t *p, size_t n, size_t *ret_used)
{
	size_t len = utf8_len(p, n);

	*ret_used = len ? len : 1;
	switch (p[0]) {
	case '"':
		return buf_add(b, "\\\"", 2);
	case '\\':
		return buf_add(b, "\\\\", 2);
	case '\n':
		return buf_add(b, "\\n", 2);
	case '\r':
		return buf_add(b, "\\r", 2);
	case '\t':
		return buf_add(b, "\\t", 2);
	default:
		break;
	}
	if (len == 0)
		return buf_add_str(b, "\\ufffd");
	if (p[0] < 0x20 || p[0] == '<' || p[0] == '>' || p[0] == '&')
		return buf_addf(b, "\\u%04x", p[0]);
	return buf_add(b, p, len);
}

static int line_format(struct buf *b, bool is_err, const char *line, size_t len)
{
	struct timespec now;
	struct tm tm;
	char when[40];
	int rc = buf_add_str(b, "{\"log\":\"");

	for (size_t i = 0, used = 0; rc == 0 && i < len; i += used)
		rc = char_add(b, (const uint8_t *)line + i, len - i, &used);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	return rc ? rc
		  : buf_addf(b, "\",\"stream\":\"%s\",\"time\":\"%s.%09ldZ\"}\n",
			     is_err ? "stderr" : "stdout", when, now.tv_nsec);
}

static void line_write(struct log_file *l, bool is_err, const char *line, size_t len)
{
	int rc;

	buf_clear(&l->text);
	rc = line_format(&l->text, is_err, line, len);
	if (rc == 0)
		rc = fd_write_full(l->fd, l->text.data, l->text.len);
	if (rc < 0 && !l->error)
		log_warn("the machine's log cannot be written: %s", strerror(-rc));
	l->error = rc;
}

void log_file_add(struct log_file *l, bool is_err, const void *data, size_t len)
{
	struct buf *part = &l->part[is_err];
	const char *p = data;

	while (len) {
		size_t room = LOG_LINE_MAX - part->len, n = MIN_OF(len, room);
		const char *nl = memchr(p, '\n', n);

		n = nl ? (size_t)(nl - p) + 1 : n;
		if (part->len == 0 && (nl || n == LOG_LINE_MAX)) {
			line_write(l, is_err, p, n);
		} else if (buf_add(part, p, n) == 0 && (nl || part->len == LOG_LINE_MAX)) {
			line_write(l, is_err, part->data, part->len);
			buf_clear(part);
		}
		p += n;
		len -= n;
	}
}

void log_file_done(struct log_file *l)
{
	for (int i = 0; i < 2; i++) {
		if (l->fd >= 0 && l->part[i].len)
			line_write(l, i, l->part[i].data, l->part[i].len);
		buf_done(&l->part[i]);
	}
	buf_done(&l->text);
	fd_drop(&l->fd);
}
