/* SPDX-License-Identifier: MIT */
/*
 * image_change.h - instructions of a Dockerfile that change an image's config. Pure.
 */
#ifndef IMAGE_CHANGE_H
#define IMAGE_CHANGE_H

#include <jansson.h>
#include <stdbool.h>

#include "err.h"

struct image_change {
	json_t *config; /* the object "config" of a config document; borrowed, changed */
	bool has_cmd;   /* a CMD was among the instructions: ENTRYPOINT leaves it */
};

/*
 * CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR, in JSON or shell form, as
 * `docker import --change` has them. -EINVAL names what is wrong; `c` may be changed in part then.
 */
must_check int image_change_apply(struct image_change *c, const char *instruction, struct err *e);

#endif
