/* SPDX-License-Identifier: MIT */
/* regconf_internal.h - shared by regconf*.c */
#ifndef REGCONF_INTERNAL_H
#define REGCONF_INTERNAL_H

#include "regconf.h"

#define REGCONF_PLACE_MAX 300U

enum regconf_tls {
	REGCONF_TLS_UNSAID, /* on, but for loopback hosts without certs.d */
	REGCONF_TLS_ON,
	REGCONF_TLS_SKIP_VERIFY,
	REGCONF_TLS_OFF, /* plain HTTP */
};

struct regconf_place {  /* [SCHEME://]HOST[:PORT][/PATH] */
	char scheme[6]; /* "" when not said */
	char host[256];
	char path[256]; /* without slashes at its ends */
};

struct regconf_section {
	char prefix[REGCONF_PLACE_MAX]; /* HOST[:PORT][/PATH] */
	enum regconf_tls tls;
	bool is_blocked;
	bool has_tls, has_blocked, has_location; /* said: twice is an error */
	struct regconf_place location;
	struct regconf_place mirrors[REGCONF_MIRRORS_MAX];
	uint32_t n_mirrors;
	bool is_of_this_file;
};

struct regconf_alias {
	char name[256]; /* without a host */
	struct ref target;
	bool is_of_this_file;
};

struct regconf {
	struct regconf_section *sections; /* room for REGCONF_SECTIONS_MAX */
	uint32_t n_sections;
	struct regconf_alias *aliases; /* the same */
	uint32_t n_aliases;
	char search[REGCONF_SEARCH_MAX][256];
	uint32_t n_search;
	bool has_search; /* of this file */
};

/* regconf_certs.c: what certs.d has for a host. ret_is_there: a directory of that name exists. */
must_check int regconf_certs_read(const char *host, struct regconf_endpoint *ep, bool *ret_is_there,
				  struct err *e);
/* "$XDG_CONFIG_HOME/caisson/NAME"; false when there is no home. */
bool regconf_user_path(const char *name, char *ret, size_t len);

#endif
