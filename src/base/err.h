/* SPDX-License-Identifier: MIT */
/*
 * err.h - the one error convention
 *
 * A function that can fail returns 0 or a negative errno-like code and leaves the text in the
 * `struct err` that its caller has on the stack. Make and return an error in one expression, add
 * context once per layer, and either return an error or log it, never both. `e` may not be NULL.
 */
#ifndef ERR_H
#define ERR_H

#include <stdarg.h>

#include "cleanup.h"

#define ERR_MSG_MAX 512 /* longer texts are cut, marked with "..." */

struct err {
	int code; /* positive errno value; 0 when no error was set */
	char msg[ERR_MSG_MAX];
};

/*
 * Set the error to `fmt`; for a `code` that is an errno value its text is appended after ": ".
 * err_plain() appends nothing. Both return -code. A code of 0 becomes EIO.
 */
int err_set(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);
int err_plain(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);

/* Put "context: " before the text that is there; returns -e->code. */
int err_wrap(struct err *e, const char *fmt, ...) printf_like(2, 3);

/*
 * The compiler is told that an error is negative, so that it sees that `if (get(&x, e) < 0) return`
 * leaves no x unset.
 */
static inline int err_negative(int rc)
{
	if (rc >= 0)
		__builtin_unreachable();
	return rc;
}
#define err_set(...)   err_negative(err_set(__VA_ARGS__))
#define err_plain(...) err_negative(err_plain(__VA_ARGS__))

#endif
