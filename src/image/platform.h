/* SPDX-License-Identifier: MIT */
/*
 * platform.h - operating system, architecture and variant of an image: "linux/arm64/v8"
 *
 * Names are Go's, as in the OCI image spec; what people and uname say is normalised to them
 * (x86_64 -> amd64, aarch64 -> arm64, armhf -> arm/v7, arm64/v8 -> arm64). Pure but for
 * platform_host().
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct platform {
	char os[64], architecture[64], variant[64]; /* variant "" where there is none */
};

/* "linux/arm64/v8", "linux/amd64", "arm64", "linux". -EINVAL. */
must_check int platform_parse(const char *text, struct platform *ret, struct err *e);
void platform_host(struct platform *ret);
void platform_normalise(struct platform *p);
void platform_format(const struct platform *p, char *ret, size_t len);
/*
 * How well an image of `have` serves who wants `want`: 0 not at all, higher is better. The same
 * variant is best; an older variant of arm serves a newer one; no variant serves any.
 */
unsigned platform_fits(const struct platform *want, const struct platform *have);

#endif
