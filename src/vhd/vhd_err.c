/* SPDX-License-Identifier: MIT */
/*
 * vhd_err.c - errors of the library, and a few names
 */
#include "vhd_shim.h"

#include <stdarg.h>

static int __attribute__((format(printf, 3, 0)))
err_va(struct vhd_err *e, int code, const char *fmt, va_list ap)
{
	e->code = code > 0 ? code : EIO;
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	return -e->code;
}

int(vhd_err_set)(struct vhd_err *e, int code, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = err_va(e, code, fmt, ap);
	va_end(ap);
	return rc;
}

int(vhd_err_sys)(struct vhd_err *e, int code, const char *fmt, ...)
{
	va_list ap;
	size_t len;
	int rc;

	va_start(ap, fmt);
	rc = err_va(e, code, fmt, ap);
	va_end(ap);
	len = strlen(e->msg);
	snprintf(e->msg + len, sizeof(e->msg) - len, ": %s", strerrordesc_np(e->code));
	return rc;
}

int(vhd_err_wrap)(struct vhd_err *e, const char *fmt, ...)
{
	char old[VHD_ERR_MAX];
	va_list ap;
	size_t len;

	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	len = strlen(e->msg);
	snprintf(e->msg + len, sizeof(e->msg) - len, ": %s", old);
	return -e->code;
}

const char *vhd_type_name(enum vhd_type type)
{
	switch (type) {
	case VHD_TYPE_RAW:
		return "raw";
	case VHD_TYPE_FIXED:
		return "fixed";
	case VHD_TYPE_DYNAMIC:
		return "dynamic";
	case VHD_TYPE_DIFFERENCING:
		return "differencing";
	}
	return "unknown";
}
