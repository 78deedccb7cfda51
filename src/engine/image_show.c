/* SPDX-License-Identifier: MIT */
/*
 * image_show.c - images as JSON: list, and inspect in Docker's shape
 *
 * Parts are added without a look; json_build_end() tells whether all are there.
 */
#include <string.h>

#include "engine_internal.h"
#include "image_inspect.h"
#include "json_text.h"
#include "log.h"
#include "ref.h"
#include "store_write.h"

int engine_image_list(struct engine *g, json_t **ret, struct err *e)
{
	auto_free struct store_image *list = NULL;
	struct err ignored = { 0 }; /* the list is right without it */
	struct store *s;
	json_t *a;
	uint32_t n;

	if (engine_store_need(g, &s, e) < 0 || store_image_list(s, &list, &n, e) < 0)
		return -e->code;
	if (store_index_mend(s, &ignored) < 0)
		log_debug("%s", ignored.msg);
	json_build_begin();
	a = json_array();
	for (uint32_t i = 0; i < n; i++)
		(void)json_array_append_new(a,
					    json_pack("{s:s,s:s,s:s,s:I,s:I}", "ref", list[i].ref,
						      "id", list[i].id, "digest", list[i].digest,
						      "created", (json_int_t)list[i].created_ns,
						      "size", (json_int_t)list[i].size));
	*ret = json_build_end(a);
	return *ret ? 0 : err_set(e, ENOMEM, "list of images");
}

/* ---- inspect ---- */

static int names_add(struct store *s, const char *image_id, json_t *o, struct err *e)
{
	auto_free struct store_image *names = NULL;
	json_t *tags = json_array(), *digests = json_array();
	uint32_t n;
	int rc = store_image_names(s, image_id, &names, &n, e);

	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		char text[REF_NORMAL_SIZE];

		ref_familiar(names[i].ref, text, sizeof(text));
		(void)json_array_append_new(strchr(text, '@') ? digests : tags, json_string(text));
	}
	(void)json_object_set_new(o, "RepoTags", tags);
	(void)json_object_set_new(o, "RepoDigests", digests);
	return rc;
}

/* Docker's order: who reads the output by eye finds things where they were. */
static int image_show(struct store *s, const struct store_image *img, json_t *config, json_t *o,
		      struct err *e)
{
	(void)json_object_set_new(o, "Id", json_string(img->id));
	if (names_add(s, img->id, o, e) < 0)
		return -e->code;
	(void)json_object_update(o, config);
	(void)json_object_set_new(o, "Size", json_integer((json_int_t)img->size));
	(void)json_object_set_new(o, "VirtualSize", json_integer((json_int_t)img->size));
	(void)json_object_set_new(o, "Metadata", json_pack("{s:{}}", "Caisson"));
	(void)json_object_set_new(
		o, "Descriptor",
		json_pack("{s:s,s:s}", "digest", img->digest, "manifest", img->manifest));
	return 0;
}

int engine_image_inspect(struct engine *g, const char *name, json_t **ret, struct err *e)
{
	auto_free char *text = NULL;
	struct store_image img;
	json_t *config = NULL, *o;
	struct store *s;
	size_t len;
	int rc;

	if (engine_store_need(g, &s, e) < 0 || store_image_find(s, name, &img, e) < 0 ||
	    store_image_config(s, img.id, &text, &len, e) < 0 ||
	    image_inspect_config(text, len, &config, e) < 0)
		return -e->code;
	json_build_begin();
	o = json_object();
	rc = image_show(s, &img, config, o, e);
	json_decref(config);
	o = json_build_end(o);
	if (rc < 0) {
		json_decref(o);
		return rc;
	}
	*ret = o;
	return o ? 0 : err_set(e, ENOMEM, "inspect");
}
