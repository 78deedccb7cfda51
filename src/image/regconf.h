/* SPDX-License-Identifier: MIT */
/*
 * regconf.h - where registries really are, and how they are spoken to: registries.conf, certs.d
 *
 * Called by the engine, which gives the download worker what comes out of it. The file is the
 * user's or the administrator's own: strictly read, errors with file and line. Format:
 * caisson-registries.conf(5).
 */
#ifndef REGCONF_H
#define REGCONF_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "ref.h"

#define REGCONF_FILE_MAX     (1U << 20)
#define REGCONF_PEM_MAX      (24U << 10) /* of each kind: they travel in one packet */
#define REGCONF_SECTIONS_MAX 512U
#define REGCONF_MIRRORS_MAX  8U
#define REGCONF_SEARCH_MAX   8U

struct regconf;

must_check int regconf_new(struct regconf **ret, struct err *e); /* as without any file */
void regconf_free(struct regconf *c);                            /* NULL is fine */
/* One file's text over what is there: a section given again replaces the former one. -EINVAL. */
must_check int regconf_parse(struct regconf *c, const char *file, const char *text, size_t len,
			     struct err *e);
/*
 * $CAISSON_REGISTRIES_CONF, which then must be there, else /etc/caisson/registries.conf and
 * $XDG_CONFIG_HOME/caisson/registries.conf (~/.config), the user's over the system's.
 */
must_check int regconf_load(struct regconf **ret, struct err *e);

/*
 * The full names that `text` may stand for, in the order to try them: one, unless it has no host
 * and there is a list to search. ret: REGCONF_SEARCH_MAX of them.
 */
must_check int regconf_resolve(const struct regconf *c, const char *text, struct ref *ret,
			       uint32_t *ret_n, struct err *e);

enum regconf_use { REGCONF_PULL, REGCONF_PUSH /* and login: no mirrors */ };

struct regconf_endpoint {
	char url[300];        /* "https://registry-1.docker.io" */
	char key[256];        /* for credentials: "docker.io", "localhost:5000" */
	char repository[512]; /* at that place */
	bool is_mirror, skip_verify;
	char *ca, *cert, *key_pem; /* PEM; NULL: none */
};
void regconf_endpoints_free(struct regconf_endpoint *list, uint32_t n);

/* Mirrors first, the registry itself last; reads certs.d. -EPERM for a blocked one. */
must_check int regconf_endpoints(const struct regconf *c, const struct ref *r, enum regconf_use use,
				 struct regconf_endpoint **ret, uint32_t *ret_n, struct err *e);

#endif
