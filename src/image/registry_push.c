/* SPDX-License-Identifier: MIT */
/*
 * registry_push.c - blobs, several at once, then the manifest
 *
 * One blob goes through: HEAD (is it there?) -> MOUNT from each repository named -> START an upload
 * -> SEND -> COMMIT -> DONE. What breaks on the way waits in PAUSE and begins anew at HEAD, so that
 * a commit whose answer was lost is found. Uploads go to the address in Location, which may lie on
 * another host; registry_call.c keeps credentials from it.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "registry_internal.h"

#define TURN_MS       50U
#define ANSWER_FACTOR 10U /* a registry may take its time to store what has come */

enum upload_state {
	UPLOAD_HEAD,
	UPLOAD_MOUNT,
	UPLOAD_START,
	UPLOAD_SEND,
	UPLOAD_COMMIT,
	UPLOAD_PAUSE,
	UPLOAD_DONE,
};

struct upload {
	struct registry *r;
	struct endpoint *ep;
	const struct doc_descriptor *d;
	enum upload_state state;
	bool is_asked; /* the question of this state is on its way */
	size_t mount;
	int fd;
	char *location;
	struct registry_call call;
	struct http_source source;
	struct retry retry;
	uint64_t wait_until_ms, progress_ms;
	char scope[SCOPE_SIZE];
};

static struct endpoint *push_endpoint(struct registry *r)
{
	return &r->rq.endpoints[r->rq.n_endpoints - 1]; /* mirrors take no pushes */
}

static void scope_make(const struct upload *u, char ret[SCOPE_SIZE])
{
	const char *from = u->state == UPLOAD_MOUNT ? u->r->rq.mount_from[u->mount] : NULL;

	snprintf(ret, SCOPE_SIZE, "repository:%s:pull,push%s%s%s", u->ep->repository,
		 from ? " repository:" : "", from ? from : "", from ? ":pull" : "");
}

static ssize_t source_read(void *arg, uint64_t off, char *p, size_t n)
{
	struct upload *u = arg;
	uint64_t now = registry_now_ms();
	struct err ignored = { 0 }; /* an engine that is gone shows itself in the next turn */
	ssize_t got;

	do {
		got = pread(u->fd, p, n, (off_t)off);
	} while (got < 0 && errno == EINTR);
	if (got > 0 && now - u->progress_ms >= PROGRESS_EVERY_MS) {
		u->progress_ms = now;
		(void)!event_progress(u->r, u->d->digest, off + (uint64_t)got, &ignored);
	}
	return got < 0 ? -errno : got;
}

static int source_open(struct upload *u, struct err *e)
{
	const char *hex = digest_hex(u->d->digest);
	struct stat st;

	u->fd = openat(u->r->io.blobs_fd, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (u->fd < 0)
		return err_set(e, errno, "open blob %.12s", hex);
	if (fstat(u->fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != u->d->size)
		return err_plain(e, EIO, "blob %.12s in the store has not its size", hex);
	u->source = (struct http_source){ source_read, u->d->size, u };
	return 0;
}

/* ---- questions ---- */

static int uploads_path(const struct upload *u, char **ret, struct err *e)
{
	const char *from = u->state == UPLOAD_MOUNT ? u->r->rq.mount_from[u->mount] : NULL;

	if (asprintf(ret, "/v2/%s/blobs/uploads/%s%s%s%s", u->ep->repository, from ? "?mount=" : "",
		     from ? u->d->digest : "", from ? "&from=" : "", from ? from : "") < 0)
		return err_set(e, ENOMEM, "address");
	return 0;
}

static int path_make(const struct upload *u, char **ret, struct err *e)
{
	if (u->state != UPLOAD_HEAD)
		return uploads_path(u, ret, e);
	if (asprintf(ret, "/v2/%s/blobs/%s", u->ep->repository, u->d->digest) < 0)
		return err_set(e, ENOMEM, "address");
	return 0;
}

static int location_ask(struct upload *u, struct err *e)
{
	struct http_call *h = &u->call.http;
	auto_free char *url = NULL;

	h->answer_ms = ANSWER_FACTOR * u->r->rq.limits.answer_ms;
	if (u->state == UPLOAD_SEND) {
		h->method = HTTP_PATCH;
		h->source = &u->source;
		h->content_type = "application/octet-stream";
		if (call_set_url(&u->call, u->location, e) < 0)
			return -e->code;
		return call_begin(&u->call, NULL, e);
	}
	h->method = HTTP_PUT;
	if (url_add_query(u->location, "digest", u->d->digest, &url, e) < 0 ||
	    call_set_url(&u->call, url, e) < 0)
		return -e->code;
	return call_begin(&u->call, NULL, e);
}

static int ask(struct upload *u, struct err *e)
{
	auto_free char *path = NULL;

	call_done(&u->call);
	scope_make(u, u->scope);
	u->call = (struct registry_call){ .reg = u->r, .ep = u->ep, .scope = u->scope };
	u->call.refuse_redirect = u->state != UPLOAD_HEAD;
	u->is_asked = true;
	if (u->state == UPLOAD_SEND || u->state == UPLOAD_COMMIT)
		return location_ask(u, e);
	if (path_make(u, &path, e) < 0)
		return -e->code;
	u->call.http.method = u->state == UPLOAD_HEAD ? HTTP_HEAD : HTTP_POST;
	return call_begin(&u->call, path, e);
}

/* ---- answers ---- */

static int location_keep(struct upload *u, struct err *e)
{
	const char *said = u->call.http.response.location;
	char *url = NULL;

	if (!said && u->location && u->state == UPLOAD_SEND)
		return 0; /* the same as before */
	if (!said)
		return err_plain(e, EBADMSG, "upload to %s: no Location came", u->ep->url);
	if (url_resolve(u->call.url, said, &url, e) < 0)
		return err_wrap(e, "upload to %s", u->ep->url);
	free(u->location);
	u->location = url;
	return 0;
}

static int digest_agrees(const struct registry_call *c, const char *digest, struct err *e)
{
	const char *said = c->http.response.docker_digest;
	char shown[URL_SHOWN + 8];

	call_shown(c, shown);
	if (said && digest_is_valid(said) && strcmp(said, digest) != 0)
		return err_plain(e, EBADMSG, "%s: the registry has stored %s instead of %s", shown,
				 said, digest);
	return 0;
}

static int upload_end(struct upload *u, const char *event, struct err *e)
{
	u->state = UPLOAD_DONE;
	return event_digest(u->r, event, u->d->digest, e);
}

static void state_set(struct upload *u, enum upload_state state)
{
	u->state = state;
	u->is_asked = false;
}

static void mount_next(struct upload *u)
{
	state_set(u, ++u->mount < u->r->rq.n_mounts ? UPLOAD_MOUNT : UPLOAD_START);
}

static int answered(struct upload *u, struct err *e)
{
	int status = u->call.http.response.status;

	switch (u->state) {
	case UPLOAD_HEAD:
		return upload_end(u, "exists", e);
	case UPLOAD_MOUNT:
		if (status == 201)
			return upload_end(u, "mounted", e);
		/* an upload was begun instead: the last such one is used */
		mount_next(u);
		if (u->state == UPLOAD_START && status == 202 && u->call.http.response.location) {
			if (location_keep(u, e) < 0)
				return -e->code;
			state_set(u, u->d->size ? UPLOAD_SEND : UPLOAD_COMMIT);
		}
		return 0;
	case UPLOAD_START:
		if (location_keep(u, e) < 0)
			return -e->code;
		state_set(u, u->d->size ? UPLOAD_SEND : UPLOAD_COMMIT);
		return 0;
	case UPLOAD_SEND:
		if (location_keep(u, e) < 0)
			return -e->code;
		state_set(u, UPLOAD_COMMIT);
		return 0;
	default:
		if (digest_agrees(&u->call, u->d->digest, e) < 0)
			return -e->code;
		return upload_end(u, "done", e);
	}
}

static int failed(struct upload *u, struct err *e)
{
	int status = u->call.http.response.status;
	uint32_t ms = 0;

	if (e->code == ECANCELED)
		return -e->code;
	if (u->state == UPLOAD_HEAD && status == 404) {
		u->mount = 0;
		state_set(u, u->r->rq.n_mounts ? UPLOAD_MOUNT : UPLOAD_START);
		return 0;
	}
	if (u->state == UPLOAD_MOUNT) { /* an offer only: the blob can be sent */
		mount_next(u);
		return 0;
	}
	if ((u->state == UPLOAD_SEND || u->state == UPLOAD_COMMIT) &&
	    (status == 404 || status == 416))
		u->call.is_temporary = true; /* the registry has forgotten the upload */
	if (!retry_again(u->r, &u->retry, &u->call, &ms))
		return -e->code;
	event_retrying(u->r, u->d->digest, u->retry.failed, e);
	u->wait_until_ms = registry_now_ms() + ms;
	state_set(u, UPLOAD_PAUSE);
	return 0;
}

static int upload_step(struct upload *u, struct err *e)
{
	enum call_state state = CALL_RUNNING;

	if (u->wait_until_ms > registry_now_ms())
		return 0;
	if (u->state == UPLOAD_PAUSE)
		state_set(u, UPLOAD_HEAD);
	if (!u->is_asked)
		return ask(u, e) < 0 ? failed(u, e) : 0;
	if (!u->call.http.is_done)
		return 0;
	if (call_advance(&u->call, &state, e) < 0)
		return failed(u, e);
	return state == CALL_DONE ? answered(u, e) : 0;
}

/* ---- all of them ---- */

static void upload_done(struct upload *u)
{
	call_done(&u->call);
	fd_drop(&u->fd);
	free(u->location);
	*u = (struct upload){ .fd = -1, .state = UPLOAD_DONE };
}

static bool is_repeated(const struct registry_request *rq, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(rq->blobs[k].digest, rq->blobs[i].digest) == 0)
			return true;
	return false;
}

static int slot_fill(struct registry *r, size_t *io_next, struct upload *u, struct err *e)
{
	while (*io_next < r->rq.n_blobs && is_repeated(&r->rq, *io_next))
		(*io_next)++;
	if (*io_next == r->rq.n_blobs)
		return 0;
	upload_done(u);
	u->r = r;
	u->ep = push_endpoint(r);
	u->d = &r->rq.blobs[(*io_next)++];
	state_set(u, UPLOAD_HEAD);
	return source_open(u, e);
}

static int push_steps(struct registry *r, struct upload *list, size_t *io_next, bool *ret_busy,
		      struct err *e)
{
	*ret_busy = *io_next < r->rq.n_blobs;
	for (size_t i = 0; i < PUSHES_AT_ONCE; i++) {
		struct upload *u = &list[i];

		if (u->state == UPLOAD_DONE && slot_fill(r, io_next, u, e) < 0)
			return -e->code;
		if (u->state == UPLOAD_DONE)
			continue;
		*ret_busy = true;
		if (upload_step(u, e) < 0)
			return err_wrap(e, "push of %.19s", u->d->digest);
	}
	return 0;
}

static int blobs_push(struct registry *r, struct err *e)
{
	struct upload list[PUSHES_AT_ONCE];
	bool busy = true;
	size_t next = 0;
	int rc = 0;

	for (size_t i = 0; i < PUSHES_AT_ONCE; i++)
		list[i] = (struct upload){ .fd = -1, .state = UPLOAD_DONE };
	while (rc == 0 && busy) {
		rc = push_steps(r, list, &next, &busy, e);
		if (rc == 0 && busy)
			rc = registry_turn(r, TURN_MS, e);
	}
	for (size_t i = 0; i < PUSHES_AT_ONCE; i++)
		upload_done(&list[i]);
	return rc;
}

/* ---- manifest ---- */

static int manifest_put(struct registry *r, const struct buf *b, struct err *e)
{
	struct endpoint *ep = push_endpoint(r);
	char scope[SCOPE_SIZE];
	auto_free char *path = NULL;
	struct registry_call c = { .reg = r, .ep = ep, .scope = scope, .refuse_redirect = true };
	int rc;

	snprintf(scope, sizeof(scope), "repository:%s:pull,push", ep->repository);
	if (asprintf(&path, "/v2/%s/manifests/%s", ep->repository, r->rq.reference) < 0)
		return err_set(e, ENOMEM, "address");
	c.http.method = HTTP_PUT;
	c.http.body = b->data;
	c.http.body_len = b->len;
	c.http.content_type = r->rq.manifest.media_type;
	c.http.answer_ms = ANSWER_FACTOR * r->rq.limits.answer_ms;
	rc = call_run(&c, path, e);
	if (rc == 0)
		rc = digest_agrees(&c, r->rq.manifest.digest, e);
	call_done(&c);
	return rc;
}

int registry_push(struct registry *r, struct err *e)
{
	const char *digest = r->rq.manifest.digest;
	auto_buf manifest = { 0 };

	if (part_read(r, digest, DOC_INDEX_MAX, &manifest, e) < 0)
		return err_plain(e, EIO, "manifest %.19s is not in the store", digest);
	if (blobs_push(r, e) < 0 || manifest_put(r, &manifest, e) < 0 ||
	    event_digest(r, "done", digest, e) < 0)
		return -e->code;
	return event_send(r,
			  json_pack("{s:s, s:s, s:s}", "event", "complete", "digest", digest,
				    "manifest", digest),
			  e);
}
