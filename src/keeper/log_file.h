/* SPDX-License-Identifier: MIT */
/*
 * log_file.h - a machine's log, as Docker's json-file driver writes it
 *
 * One JSON object per line: {"log":"text\n","stream":"stdout","time":"RFC 3339"}. Lines of the app
 * longer than LOG_LINE_MAX are split. Bytes that are no UTF-8 become U+FFFD.
 */
#ifndef LOG_FILE_H
#define LOG_FILE_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"

#define LOG_LINE_MAX  16384U
#define LOG_FILE_NAME "log.json"

struct log_file {
	int fd;
	struct buf part[2]; /* a line that has not ended, of stdout and stderr */
	struct buf text;    /* on its way to the file */
	int error;          /* of the last write; told once */
};

must_check int log_file_open(int dir_fd, struct log_file *ret, struct err *e);
/* is_err: stderr. */
void log_file_add(struct log_file *l, bool is_err, const void *data, size_t len);
void log_file_done(struct log_file *l); /* what has not ended is written */

#endif
