/* SPDX-License-Identifier: MIT */
/* image_inspect.h - what `image inspect` shows of a config document, in Docker's shape. Pure. */
#ifndef IMAGE_INSPECT_H
#define IMAGE_INSPECT_H

#include <jansson.h>
#include <stddef.h>

#include "err.h"

/*
 * {"Created", "Author", "Architecture", "Variant", "Os", "Config": {...}, "RootFS": {...}}. Fields
 * of a wrong type are left out, as Docker would. -EBADMSG when the document is not JSON.
 */
must_check int image_inspect_config(const char *config, size_t len, json_t **ret, struct err *e);

#endif
