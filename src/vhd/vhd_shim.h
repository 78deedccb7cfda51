/* SPDX-License-Identifier: MIT */
/*
 * vhd_shim.h - all that src/vhd has of the rest of caisson: release by scope and byte order
 *
 * The library stands alone: its errors are its own (vhd_err, public), made here.
 */
#ifndef VHD_SHIM_H
#define VHD_SHIM_H

#include "bytes.h"
#include "cleanup.h"
#include "vhd.h"

/* Set the error; the text of `code` is appended after ": " by vhd_err_sys(). Return -code. */
int vhd_err_set(struct vhd_err *e, int code, const char *fmt, ...) printf_like(3, 4);
int vhd_err_sys(struct vhd_err *e, int code, const char *fmt, ...) printf_like(3, 4);
/* Put "context: " before the text; returns -e->code. */
int vhd_err_wrap(struct vhd_err *e, const char *fmt, ...) printf_like(2, 3);

/* The compiler is told that an error is negative (as base/err.h does). */
static inline int vhd_err_negative(int rc)
{
	if (rc >= 0)
		__builtin_unreachable();
	return rc;
}
#define vhd_err_set(...)         vhd_err_negative(vhd_err_set(__VA_ARGS__))
#define vhd_err_sys(...)         vhd_err_negative(vhd_err_sys(__VA_ARGS__))
#define vhd_err_wrap(...)        vhd_err_negative(vhd_err_wrap(__VA_ARGS__))

#define VHD_NEED(io_err, e, ...) /* return with a text when an io's call failed */                 \
	do {                                                                                       \
		int need_rc_ = (io_err);                                                           \
		if (need_rc_ < 0)                                                                  \
			return vhd_err_sys(e, -need_rc_, __VA_ARGS__);                             \
	} while (0)

static inline uint16_t get_be16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] << 8 | b[1]);
}
static inline uint32_t get_be32(const void *p)
{
	return (uint32_t)get_be16(p) << 16 | get_be16((const uint8_t *)p + 2);
}
static inline uint64_t get_be64(const void *p)
{
	return (uint64_t)get_be32(p) << 32 | get_be32((const uint8_t *)p + 4);
}
static inline void put_be16(void *p, uint16_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}
static inline void put_be32(void *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16((uint8_t *)p + 2, (uint16_t)v);
}
static inline void put_be64(void *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32((uint8_t *)p + 4, (uint32_t)v);
}

#endif
