/* SPDX-License-Identifier: MIT */
/*
 * ref.h - names of images: [HOST[:PORT]/]PATH[:TAG][@DIGEST]
 *
 * Docker's rules: the first component is a host if it has a dot or a colon or is "localhost";
 * without a host docker.io is meant, and library/ before a path of one component; without a tag and
 * digest, latest. Grammar: github.com/distribution/reference. Pure.
 */
#ifndef REF_H
#define REF_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define REF_PATH_MAX     255U
#define REF_TAG_MAX      128U
#define REF_NORMAL_SIZE  512U
#define REF_DEFAULT_HOST "docker.io"

struct ref {
	char host[256];  /* "docker.io", "localhost:5000" */
	char path[256];  /* "library/nginx" */
	char tag[129];   /* "" when only a digest was given */
	char digest[80]; /* "sha256:..." or "" */
};

/* -EINVAL "invalid reference format ...". A tag of "latest" is filled in where there is neither. */
must_check int ref_parse(const char *text, struct ref *ret, struct err *e);

/* "docker.io/library/nginx:latest", or with "@sha256:..." where there is a digest. */
void ref_format(const struct ref *r, char *ret, size_t len);
/* "docker.io/library/nginx" */
void ref_format_repository(const struct ref *r, char *ret, size_t len);

/* Parse and format; false when it is no valid name. */
bool ref_normalise(const char *text, char *ret, size_t len);

/* As people write it: "nginx:latest", "localhost:5000/x:1". Any text is fine. */
void ref_familiar(const char *normal, char *ret, size_t len);

#endif
