/* SPDX-License-Identifier: MIT */
/*
 * image_push.c - from the store to a registry
 *
 * What is pushed is the platform's manifest that the tag stands for, byte by byte as it came. The
 * ingest is only held for its lock: what is being read is not collected.
 */
#include <string.h>

#include "engine_internal.h"
#include "fetch_run.h"
#include "image_request.h"
#include "loop.h"

enum { RUN_DONE, RUN_FAILED };

struct push {
	const struct progress_ops *progress;
	struct ref ref;
	struct loop *loop;
	struct store_image image;
	struct store_blob manifest;
	struct store_blob *blobs; /* config first */
	uint32_t n_blobs;
	char mounts[IMAGE_MOUNTS_MAX][256];
	uint32_t n_mounts;
	struct err err;
};

static const struct store_blob *layer_find(const struct push *p, const char *digest)
{
	for (uint32_t i = 1; i < p->n_blobs; i++)
		if (strcmp(p->blobs[i].digest, digest) == 0)
			return &p->blobs[i];
	return NULL;
}

static void layer_show(const struct push *p, const struct fetch_event *ev,
		       enum progress_state state)
{
	const struct store_blob *b = layer_find(p, ev->digest);

	if (b)
		engine_show(p->progress, b->digest, state,
			    state == PROGRESS_UPLOADING ? MIN_OF(ev->done, b->size) : b->size,
			    b->size);
}

static void on_event(void *arg, const struct fetch_event *ev, int fds[2])
{
	struct push *p = arg;

	(void)fds; /* none come with a push's events */
	switch (ev->kind) {
	case FETCH_EXISTS:
		layer_show(p, ev, PROGRESS_EXISTS);
		return;
	case FETCH_MOUNTED:
		layer_show(p, ev, PROGRESS_MOUNTED);
		return;
	case FETCH_PROGRESS:
		layer_show(p, ev, PROGRESS_UPLOADING);
		return;
	case FETCH_DONE:
		layer_show(p, ev, PROGRESS_DONE);
		return;
	case FETCH_COMPLETE:
		loop_quit(p->loop, RUN_DONE);
		return;
	case FETCH_ERROR:
		(void)image_error(IMAGE_PUSH, &p->ref, ev, true, &p->err);
		loop_quit(p->loop, RUN_FAILED);
		return;
	default:
		return;
	}
}

static void on_lost(void *arg, const struct err *e)
{
	struct push *p = arg;

	p->err = *e;
	loop_quit(p->loop, RUN_FAILED);
}

/* ---- repositories there that have some of the layers already ---- */

static bool shares_layer(struct store *s, const struct push *p, const char *manifest)
{
	auto_free struct store_blob *blobs = NULL;
	struct err ignored = { 0 }; /* only a hint */
	struct store_blob m;
	uint32_t n;

	if (store_manifest_blobs(s, manifest, &m, &blobs, &n, &ignored) < 0)
		return false;
	for (uint32_t i = 1; i < n; i++)
		if (layer_find(p, blobs[i].digest))
			return true;
	return false;
}

static bool is_mount_known(const struct push *p, const char *path)
{
	for (uint32_t i = 0; i < p->n_mounts; i++)
		if (strcmp(p->mounts[i], path) == 0)
			return true;
	return strcmp(p->ref.path, path) == 0;
}

static void mounts_find(struct store *s, struct push *p)
{
	auto_free struct store_image *list = NULL;
	struct err ignored = { 0 };
	uint32_t n;

	if (store_image_list(s, &list, &n, &ignored) < 0)
		return;
	for (uint32_t i = 0; i < n && p->n_mounts < IMAGE_MOUNTS_MAX; i++) {
		struct ref r;

		if (ref_parse(list[i].ref, &r, &ignored) < 0 || strcmp(r.host, p->ref.host) != 0 ||
		    is_mount_known(p, r.path) || !shares_layer(s, p, list[i].manifest))
			continue;
		memcpy(p->mounts[p->n_mounts++], r.path, sizeof(r.path));
	}
}

/* ---- the push ---- */

static int image_find(struct store *s, struct push *p, struct err *e)
{
	char full[REF_NORMAL_SIZE], name[REF_NORMAL_SIZE];
	struct store_image *img = &p->image;

	ref_format(&p->ref, full, sizeof(full));
	ref_familiar(full, name, sizeof(name));
	if (store_image_find(s, full, img, e) < 0)
		return e->code == ENOENT
			       ? err_plain(e, ENOENT,
					   "An image does not exist locally with the tag: %s", name)
			       : -e->code;
	if (store_manifest_blobs(s, img->manifest, &p->manifest, &p->blobs, &p->n_blobs, e) < 0)
		return -e->code;
	if (p->n_blobs == 0)
		return err_plain(e, EBADMSG, "the records of image %.19s are incomplete", img->id);
	mounts_find(s, p);
	return 0;
}

static int request_make(const struct push *p, json_t **ret, struct err *e)
{
	const struct image_push what = {
		&p->ref, &p->manifest, p->blobs, p->n_blobs, (char(*)[256])p->mounts, p->n_mounts
	};
	struct regconf *conf;
	json_t *endpoints = NULL;
	int rc;

	if (regconf_load(&conf, e) < 0)
		return -e->code;
	rc = image_endpoints(conf, &p->ref, REGCONF_PUSH, &endpoints, e);
	regconf_free(conf);
	if (rc < 0)
		return rc;
	*ret = image_push_request(endpoints, &what);
	return *ret ? 0 : err_set(e, ENOMEM, "push");
}

static int blobs_send(struct engine *g, struct push *p, const json_t *request,
		      struct store_ingest *in, struct err *e)
{
	const struct fetch_run_ops ops = { .event = on_event, .lost = on_lost, .arg = p };
	struct fetch_run *run = NULL;
	int rc = fetch_run_start(g, p->loop, request, -1, store_ingest_blobs_fd(in), &ops, &run, e);

	if (rc == 0)
		rc = loop_run(p->loop, e);
	fetch_run_free(run);
	if (rc == RUN_FAILED) {
		*e = p->err;
		rc = -e->code;
	}
	return rc;
}

/* What stands there now is this image's: its RepoDigest. */
static int digest_name_set(struct store *s, const struct push *p, struct err *e)
{
	struct store_image img = p->image;
	char name[REF_NORMAL_SIZE];
	struct ref r = p->ref;

	snprintf(r.digest, sizeof(r.digest), "%s", p->manifest.digest);
	ref_format(&r, name, sizeof(name));
	snprintf(img.digest, sizeof(img.digest), "%s", p->manifest.digest);
	return store_name_set(s, name, &img, e);
}

static int push_run(struct engine *g, struct push *p, struct store_ingest *in, struct err *e)
{
	char repository[REF_NORMAL_SIZE];
	json_t *request = NULL;
	int rc;

	ref_format_repository(&p->ref, repository, sizeof(repository));
	if (image_find(engine_store(g), p, e) < 0 || request_make(p, &request, e) < 0)
		return -e->code;
	engine_say(p->progress, "The push refers to repository [%s]", repository);
	for (uint32_t i = 1; i < p->n_blobs; i++)
		engine_show(p->progress, p->blobs[i].digest, PROGRESS_WAITING, 0, p->blobs[i].size);
	rc = blobs_send(g, p, request, in, e);
	json_decref(request);
	if (rc < 0)
		return rc;
	engine_say(p->progress, "%s: digest: %s size: %llu", p->ref.tag, p->manifest.digest,
		   (unsigned long long)p->manifest.size);
	return digest_name_set(engine_store(g), p, e);
}

int engine_push(struct engine *g, const char *ref, const struct progress_ops *progress,
		char **ret_digest, struct err *e)
{
	struct push p = { .progress = progress };
	struct store_ingest *in = NULL;
	struct store *s;
	int rc;

	if (ref_parse(ref, &p.ref, e) < 0)
		return -e->code;
	if (*p.ref.digest)
		return err_plain(e, EINVAL, "cannot push a digest reference");
	if (engine_store_need(g, &s, e) < 0 || store_ingest_begin(s, &in, e) < 0)
		return -e->code;
	rc = loop_new(&p.loop, e);
	if (rc == 0)
		rc = push_run(g, &p, in, e);
	if (rc == 0 && ret_digest) {
		*ret_digest = strdup(p.manifest.digest);
		rc = *ret_digest ? 0 : err_set(e, ENOMEM, "push");
	}
	loop_free(p.loop);
	store_ingest_end(in);
	free(p.blobs);
	return rc;
}
