/* SPDX-License-Identifier: MIT */
/* image_defaults.h - what an image's config says, under what the user said */
#ifndef IMAGE_DEFAULTS_H
#define IMAGE_DEFAULTS_H

#include "machine.h"

/*
 * Fill in what `c` leaves open from the config document (its bytes have the digest that names the
 * image; what is in them is a stranger's). Docker's rules: an entrypoint of the user's drops the
 * image's command; variables and labels of the user's replace those of the same name. -EBADMSG.
 */
must_check int image_defaults_apply(struct machine_config *c, const char *config, size_t len,
				    struct err *e);

#endif
