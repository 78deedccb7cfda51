/* SPDX-License-Identifier: MIT */
/*
 * image_login.c - credentials: tried at the registry, then kept where Docker keeps them
 *
 * They are kept under the host that they go to, which registries.conf may have moved.
 */
#include <string.h>

#include "engine_internal.h"
#include "fetch_run.h"
#include "image_request.h"
#include "loop.h"

enum { RUN_DONE, RUN_FAILED };

struct login {
	struct loop *loop;
	struct ref ref; /* its host is the registry */
	struct err err;
};

static void on_event(void *arg, const struct fetch_event *ev, int fds[2])
{
	struct login *l = arg;

	(void)fds;
	if (ev->kind == FETCH_COMPLETE)
		loop_quit(l->loop, RUN_DONE);
	if (ev->kind != FETCH_ERROR)
		return;
	(void)image_error(IMAGE_LOGIN, &l->ref, ev, false, &l->err);
	loop_quit(l->loop, RUN_FAILED);
}

static void on_lost(void *arg, const struct err *e)
{
	struct login *l = arg;

	l->err = *e;
	loop_quit(l->loop, RUN_FAILED);
}

static int login_try(struct engine *g, struct login *l, const json_t *request, struct err *e)
{
	const struct fetch_run_ops ops = { .event = on_event, .lost = on_lost, .arg = l };
	struct fetch_run *run = NULL;
	int rc;

	if (loop_new(&l->loop, e) < 0)
		return -e->code;
	rc = fetch_run_start(g, l->loop, request, -1, -1, &ops, &run, e);
	if (rc == 0)
		rc = loop_run(l->loop, e);
	fetch_run_free(run);
	loop_free(l->loop);
	if (rc == RUN_FAILED) {
		*e = l->err;
		rc = -e->code;
	}
	return rc;
}

/* The registry itself, no mirrors. */
static int endpoint_find(struct login *l, const char *registry, struct regconf_endpoint **ret,
			 uint32_t *ret_n, struct err *e)
{
	struct regconf *conf;
	int rc;

	if (auth_host(registry && *registry ? registry : REF_DEFAULT_HOST, l->ref.host, e) < 0 ||
	    regconf_load(&conf, e) < 0)
		return -e->code;
	rc = regconf_endpoints(conf, &l->ref, REGCONF_PUSH, ret, ret_n, e);
	regconf_free(conf);
	return rc;
}

static int login_at(struct engine *g, struct login *l, const struct regconf_endpoint *ep,
		    const char *user, const char *password, struct err *e)
{
	json_t *o = image_endpoint_json(ep, NULL);
	json_t *request = o ? image_login_request(o, user, password) : NULL;
	int rc;

	if (!request)
		return err_plain(e, EINVAL, "user, password or a certificate is not UTF-8");
	rc = login_try(g, l, request, e);
	json_decref(request);
	return rc < 0 ? rc : auth_store(ep->key, user, password, e);
}

int engine_login(struct engine *g, const char *registry, const char *user, const char *password,
		 struct err *e)
{
	struct regconf_endpoint *list = NULL;
	struct login l = { 0 };
	uint32_t n = 0;
	int rc;

	if (!user || !*user || !password)
		return err_plain(e, EINVAL, "a user and a password are needed");
	rc = endpoint_find(&l, registry, &list, &n, e);
	if (rc == 0)
		rc = login_at(g, &l, &list[n - 1], user, password, e);
	regconf_endpoints_free(list, n);
	return rc;
}

int engine_logout(struct engine *g, const char *registry, struct err *e)
{
	struct regconf_endpoint *list = NULL;
	struct login l = { 0 };
	bool was_there = false;
	uint32_t n = 0;
	int rc = endpoint_find(&l, registry, &list, &n, e);

	(void)g;
	if (rc == 0)
		rc = auth_erase(list[n - 1].key, &was_there, e);
	if (rc == 0 && !was_there)
		rc = err_plain(e, ENOENT, "Not logged in to %s", list[n - 1].key);
	regconf_endpoints_free(list, n);
	return rc;
}
