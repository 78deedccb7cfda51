/* SPDX-License-Identifier: MIT */
#include "err.h"

#include <string.h>

static int printf_like(4, 0)
	err_store(struct err *e, int code, const char *suffix, const char *fmt, va_list ap)
{
	int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);

	e->code = code ? abs(code) : EIO;
	if (n < 0)
		n = 0;
	if (suffix && (size_t)n < sizeof(e->msg))
		n += snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", suffix);
	if ((size_t)n >= sizeof(e->msg))
		memcpy(e->msg + sizeof(e->msg) - 4, "...", 4);
	return -e->code;
}

int(err_set)(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = err_store(e, code, strerror(code ? code : EIO), fmt, ap);
	va_end(ap);
	return rc;
}

int(err_plain)(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = err_store(e, code, NULL, fmt, ap);
	va_end(ap);
	return rc;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	struct err inner = *e;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = err_store(e, inner.code, inner.msg, fmt, ap);
	va_end(ap);
	return rc;
}
