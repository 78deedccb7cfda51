/* SPDX-License-Identifier: MIT */
/*
 * auth.h - credentials for registries, where Docker keeps them
 *
 * $DOCKER_CONFIG/config.json (~/.docker/config.json): "auths", and the helper programs that
 * "credsStore" and "credHelpers" name. The file is the user's own: what is not understood in it is
 * an error, what is not ours stays as it is. Called by the engine; the worker gets the credentials
 * of its one request. A registry is named by its host, "localhost:5000"; docker.io's has other
 * names, which mean the same.
 */
#ifndef AUTH_H
#define AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define AUTH_HOST_SIZE  256U
#define AUTH_FILE_MAX   (4U << 20)
#define AUTH_SECRET_MAX (64U << 10)

struct auth_cred { /* user and password, or a token; NULL where it is not so */
	char *user, *password, *identity_token;
};
void auth_cred_done(struct auth_cred *c); /* wipes them */

/* "https://index.docker.io/v1/", "HOST/v2/" -> "docker.io", "HOST". -EINVAL. */
must_check int auth_host(const char *registry, char ret[AUTH_HOST_SIZE], struct err *e);

/* 1 and credentials, 0 when there are none for the host. */
must_check int auth_get(const char *host, struct auth_cred *ret, struct err *e);
must_check int auth_store(const char *host, const char *user, const char *password, struct err *e);
must_check int auth_erase(const char *host, bool *ret_was_there, struct err *e);

#endif
