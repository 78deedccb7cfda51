/* SPDX-License-Identifier: MIT */
/*
 * registry_url.h - whose an address is, and where a redirect leads
 *
 * Pure. Only http and https exist here; a user in an address is dropped, since it would be a
 * stranger's choice of credentials.
 */
#ifndef REGISTRY_URL_H
#define REGISTRY_URL_H

#include <stdbool.h>

#include "err.h"

#define URL_MAX   8192U /* signed addresses of object stores take one or two thousand */
#define URL_SHOWN 200U  /* an error's text has room for more */

struct url_origin {
	char scheme[8], host[256], port[8]; /* lower case; the port is always there */
};

/* -EINVAL: neither http nor https, or no address at all. */
must_check int url_origin(const char *url, struct url_origin *ret, struct err *e);
bool url_same_origin(const struct url_origin *a, const struct url_origin *b);
bool url_is_tls(const struct url_origin *o);

/*
 * `location` as seen from `base`. -EBADMSG: too long, another scheme than http and https, or from
 * https to http. The caller frees.
 */
must_check int url_resolve(const char *base, const char *location, char **ret, struct err *e);

/* With "name=value" added to its query, the value escaped; the caller frees. */
must_check int url_add_query(const char *url, const char *name, const char *value, char **ret,
			     struct err *e);

/* For messages: without user, query and fragment, where secrets stand. */
void url_shown(const char *url, char ret[URL_SHOWN]);

#endif
