/* SPDX-License-Identifier: MIT */
/* auth_internal.h - docker-credential-NAME, called by auth.c only */
#ifndef AUTH_INTERNAL_H
#define AUTH_INTERNAL_H

#include "auth.h"

/* 1 with credentials, 0 when the helper has none. */
must_check int auth_helper_get(const char *name, const char *server, struct auth_cred *ret,
			       struct err *e);
must_check int auth_helper_store(const char *name, const char *server, const char *user,
				 const char *password, struct err *e);
must_check int auth_helper_erase(const char *name, const char *server, struct err *e);

#endif
