/* SPDX-License-Identifier: MIT */
/*
 * image_request.h - what the download worker is asked, and how people are told what it answered
 *
 * Requests are those of doc/format/fetch.md. All but image_endpoints() is pure.
 */
#ifndef IMAGE_REQUEST_H
#define IMAGE_REQUEST_H

#include <jansson.h>

#include "auth.h"
#include "platform.h"
#include "ref.h"
#include "regconf.h"
#include "store_write.h"
#include "worker_msg.h"

#define IMAGE_MOUNTS_MAX 4U /* repositories that a push asks to mount from */

/* cred NULL: none. NULL: a text in it is not UTF-8, or no memory. */
json_t *image_endpoint_json(const struct regconf_endpoint *ep, const struct auth_cred *cred);

/* Places and credentials for a name, as the request's "endpoints". */
must_check int image_endpoints(const struct regconf *c, const struct ref *r, enum regconf_use use,
			       json_t **ret, struct err *e);

/* These take `endpoints` over. NULL: no memory. */
json_t *image_pull_request(json_t *endpoints, const struct ref *r, const struct platform *want);
struct image_push {
	const struct ref *ref;
	const struct store_blob *manifest;
	const struct store_blob *blobs; /* config first */
	uint32_t n_blobs;
	char (*mounts)[256]; /* repositories */
	uint32_t n_mounts;
};
json_t *image_push_request(json_t *endpoints, const struct image_push *p);
json_t *image_login_request(json_t *endpoint, const char *user, const char *password);

enum image_op { IMAGE_PULL, IMAGE_PUSH, IMAGE_LOGIN };
/* had_document: the registry had the name, so that what is missing is something else. Returns
 * -e->code. */
int image_error(enum image_op op, const struct ref *r, const struct fetch_event *ev,
		bool had_document, struct err *e);

#endif
