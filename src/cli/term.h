/* SPDX-License-Identifier: MIT */
/* term.h - the user's terminal: raw mode that is always undone, its size, passwords */
#ifndef TERM_H
#define TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Raw mode on stdin, undone by term_restore() and by every signal that ends the process. */
must_check int term_raw(struct err *e);
void term_restore(void); /* nothing when raw mode is not on */

/* Of stdout, else of stdin; zeros when neither is a terminal. */
void term_size(uint16_t *ret_rows, uint16_t *ret_cols);

/* Ask on stderr, read a line from stdin; hidden: without echo. */
must_check int term_ask(const char *question, bool hidden, char *ret, size_t len, struct err *e);

#endif
