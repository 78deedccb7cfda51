/* SPDX-License-Identifier: MIT */
/*
 * image_pull.c - from a registry into the store
 *
 * The worker says what has arrived; what it has brought is checked by image_take.c before it
 * counts. The first document is what the name points at, and for a name by digest has to have that
 * digest; by tag the registry's word is all there is.
 */
#include <string.h>

#include "engine_internal.h"
#include "fetch_run.h"
#include "image_request.h"
#include "image_take.h"

struct pull {
	const struct progress_ops *progress;
	struct ref ref;
	struct platform want;
	bool is_explicit;   /* the platform was asked for */
	bool has_told_name; /* the error that is kept names the image already */
	bool has_spoiled;   /* something in the store was damaged, and is no longer there */
	struct image_take *take;
	struct doc_descriptor top; /* digest "" before the first document */
};

static void say_no(struct pull *p, int code, const char *what)
{
	struct err e = { 0 };

	(void)err_plain(&e, code, "%s", what);
	image_take_fail(p->take, &e);
}

static void top_set(struct pull *p, const struct fetch_event *ev)
{
	if (*p->top.digest)
		return;
	if (*p->ref.digest && strcmp(p->ref.digest, ev->digest) != 0) {
		say_no(p, EBADMSG,
		       "the registry answered with another document than was asked for");
		return;
	}
	p->top.size = ev->kind == FETCH_DOCUMENT ? ev->size : IMAGE_DOCS_ANY_SIZE;
	snprintf(p->top.digest, sizeof(p->top.digest), "%s", ev->digest);
	snprintf(p->top.media_type, sizeof(p->top.media_type), "%s", ev->media_type);
}

/* An index was searched for the platform; a manifest by itself is what it is. */
static int platform_check(const struct pull *p, struct err *e)
{
	const struct image_docs *d = image_take_image(p->take);
	char want[200], have[200];

	if (!p->is_explicit || d->n_indexes > 0 || platform_fits(&p->want, &d->config.platform))
		return 0;
	platform_format(&p->want, want, sizeof(want));
	platform_format(&d->config.platform, have, sizeof(have));
	return err_plain(
		e, ENOENT,
		"the image was found, but it is not for the platform: wanted %s, there is %s", want,
		have);
}

static void layers_known(struct pull *p, const struct fetch_event *ev)
{
	struct err e = { 0 };

	if (!*p->top.digest)
		say_no(p, EBADMSG, "the download process named layers before a document");
	else if (image_take_docs(p->take, &p->top, &p->want, &e) < 0 || platform_check(p, &e) < 0)
		image_take_fail(p->take, &e);
	else if (strcmp(image_take_image(p->take)->manifest.digest, ev->digest) != 0)
		say_no(p, EBADMSG, "the download process chose another platform's image");
}

static void completed(struct pull *p, const struct fetch_event *ev)
{
	if (!image_take_image(p->take) || strcmp(ev->digest, p->top.digest) != 0)
		say_no(p, EBADMSG, "the download process ended before it had the image");
	else
		image_take_ended(p->take);
}

static void failed(struct pull *p, const struct fetch_event *ev)
{
	struct err e = { 0 };

	(void)image_error(IMAGE_PULL, &p->ref, ev, *p->top.digest != '\0', &e);
	p->has_told_name = true;
	image_take_fail(p->take, &e);
}

static void on_event(void *arg, const struct fetch_event *ev, int fds[2])
{
	struct pull *p = arg;

	switch (ev->kind) {
	case FETCH_DOCUMENT:
		top_set(p, ev);
		return;
	case FETCH_LAYERS:
		layers_known(p, ev);
		return;
	case FETCH_EXISTS:
		top_set(p, ev);
		image_take_here(p->take, ev->digest, TAKE_FOUND);
		return;
	case FETCH_OPEN:
		image_take_source(p->take, ev->digest, ev->size, TAKE_FD(fds[0]), TAKE_FD(fds[1]));
		return;
	case FETCH_PROGRESS:
		image_take_progress(p->take, ev->digest, ev->done);
		return;
	case FETCH_DONE:
		image_take_here(p->take, ev->digest, TAKE_ARRIVED);
		return;
	case FETCH_COMPLETE:
		completed(p, ev);
		return;
	case FETCH_ERROR:
		failed(p, ev);
		return;
	default: /* nothing that concerns a pull */
		return;
	}
}

static void on_lost(void *arg, const struct err *e)
{
	struct pull *p = arg;

	image_take_fail(p->take, e);
}

static int request_make(const struct pull *p, const struct regconf *conf, json_t **ret,
			struct err *e)
{
	json_t *endpoints;

	if (image_endpoints(conf, &p->ref, REGCONF_PULL, &endpoints, e) < 0)
		return -e->code;
	*ret = image_pull_request(endpoints, &p->ref, &p->want);
	return *ret ? 0 : err_set(e, ENOMEM, "pull");
}

static int bytes_fetch(struct engine *g, struct pull *p, const json_t *request, struct err *e)
{
	const struct fetch_run_ops ops = { .event = on_event, .lost = on_lost, .arg = p };
	struct store_ingest *in = image_take_ingest(p->take);
	struct fetch_run *run = NULL;
	int rc = fetch_run_start(g, image_take_loop(p->take), request, store_ingest_partial_fd(in),
				 store_ingest_blobs_fd(in), &ops, &run, e);

	if (rc == 0)
		rc = image_take_run(p->take, e);
	fetch_run_free(run);
	return rc;
}

/* By tag the image gets two names, by digest one. */
static int image_commit(struct pull *p, struct err *e)
{
	char tag_ref[REF_NORMAL_SIZE], digest_ref[REF_NORMAL_SIZE];
	struct ref r = p->ref;

	r.digest[0] = '\0';
	ref_format(&r, tag_ref, sizeof(tag_ref));
	snprintf(r.digest, sizeof(r.digest), "%s", image_take_image(p->take)->top.digest);
	ref_format(&r, digest_ref, sizeof(digest_ref));
	return image_take_commit(p->take, *p->ref.digest ? NULL : tag_ref, digest_ref, e);
}

/* The image that the name stands for now; "" for none. */
static int image_before(struct engine *g, const struct pull *p, char ret_id[80], struct err *e)
{
	char name[REF_NORMAL_SIZE];
	struct store_image img;
	struct store *s;

	ref_format(&p->ref, name, sizeof(name));
	ret_id[0] = '\0';
	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	if (store_image_find(s, name, &img, e) < 0)
		return e->code == ENOENT ? 0 : -e->code;
	snprintf(ret_id, 80, "%s", img.id);
	return 0;
}

static int pull_run(struct engine *g, struct pull *p, const struct regconf *conf,
		    struct pulled *ret, struct err *e)
{
	char full[REF_NORMAL_SIZE], name[REF_NORMAL_SIZE], before[80];
	const struct image_docs *d;
	json_t *request = NULL;
	int rc;

	ref_format(&p->ref, full, sizeof(full));
	ref_familiar(full, name, sizeof(name));
	engine_say(p->progress, "%s: Pulling from %s", *p->ref.digest ? name : p->ref.tag,
		   p->ref.path);
	if (image_before(g, p, before, e) < 0 || request_make(p, conf, &request, e) < 0)
		return -e->code;
	rc = bytes_fetch(g, p, request, e);
	json_decref(request);
	if (rc < 0 || image_commit(p, e) < 0)
		return p->has_told_name ? -e->code : err_wrap(e, "pull %s", name);
	d = image_take_image(p->take);
	engine_say(p->progress, "Digest: %s", d->top.digest);
	engine_say(p->progress, "Status: %s for %s",
		   strcmp(before, d->doc.config.digest) == 0 ? "Image is up to date"
							     : "Downloaded newer image",
		   name);
	snprintf(ret->id, sizeof(ret->id), "%s", d->doc.config.digest);
	snprintf(ret->digest, sizeof(ret->digest), "%s", d->top.digest);
	snprintf(ret->ref, sizeof(ret->ref), "%s", full);
	return 0;
}

static int pull_once(struct engine *g, struct pull *p, const struct regconf *conf,
		     struct pulled *ret, struct err *e)
{
	int rc;

	memset(&p->top, 0, sizeof(p->top));
	p->has_told_name = p->has_spoiled = false;
	if (image_take_new(g, p->progress, &p->take, e) < 0)
		return -e->code;
	rc = pull_run(g, p, conf, ret, e);
	p->has_spoiled = store_ingest_has_spoiled(image_take_ingest(p->take));
	image_take_free(p->take);
	return rc;
}

static int pull_one(struct engine *g, struct pull *p, const struct regconf *conf,
		    struct pulled *ret, struct err *e)
{
	int rc = pull_once(g, p, conf, ret, e);

	if (rc == 0 || !p->has_spoiled)
		return rc;
	engine_say(p->progress, "%s; fetching it again", e->msg);
	return pull_once(g, p, conf, ret, e);
}

static bool is_elsewhere(const struct err *e)
{
	return e->code == ENOENT || e->code == EACCES || e->code == EPERM;
}

static int pull_any(struct engine *g, struct pull *p, const char *ref, struct pulled *ret,
		    struct err *e)
{
	struct ref names[REGCONF_SEARCH_MAX];
	struct regconf *conf;
	uint32_t n;
	int rc;

	if (regconf_load(&conf, e) < 0)
		return -e->code;
	rc = regconf_resolve(conf, ref, names, &n, e);
	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		p->ref = names[i];
		rc = pull_one(g, p, conf, ret, e);
		if (rc == 0)
			break;
		if (i + 1 < n && is_elsewhere(e)) {
			engine_say(p->progress, "%s", e->msg);
			rc = 0;
		}
	}
	regconf_free(conf);
	return rc;
}

int engine_pull(struct engine *g, const char *ref, const struct pull_options *o,
		const struct progress_ops *progress, struct pulled *ret, struct err *e)
{
	static const struct pull_options none;
	struct pull p = { 0 };
	struct pulled done = { 0 };

	if (!o)
		o = &none;
	p.progress = o->is_quiet ? NULL : progress;
	p.is_explicit = o->platform != NULL;
	if (o->all_tags)
		return err_plain(e, EINVAL, "pulling all tags of a repository is not supported");
	if (!o->platform)
		platform_host(&p.want);
	else if (platform_parse(o->platform, &p.want, e) < 0)
		return -e->code;
	if (pull_any(g, &p, ref, &done, e) < 0)
		return -e->code;
	if (ret)
		*ret = done;
	return 0;
}
