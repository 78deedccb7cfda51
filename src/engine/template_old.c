/* SPDX-License-Identifier: MIT */
/*
 * template_old.c - templates that nothing will look for again
 *
 * A template says what it was made for. When that has another key by now, since the kernel, init,
 * the VMM or the format changed, no machine can find it. They are looked for when the new one has
 * been made, in the maker's time and not in that of a start.
 */
#include <string.h>

#include "json_text.h"
#include "log.h"
#include "machine_internal.h"
#include "shape.h"
#include "template_internal.h"
#include "vm_record.h"

static const char *text_of(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key)) ?: "";
}

static uint64_t number_of(const json_t *j, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(j, key));
}

/* Would a start of today find it? What cannot be told counts as yes. */
static bool is_current(struct engine *g, const json_t *j)
{
	const char *image = text_of(j, "image");
	enum template_depth depth = *image ? TEMPLATE_IMAGE : TEMPLATE_MACHINE;
	struct template_want w = { .kernel = text_of(j, "kernel"),
				   .image_id = *image ? image : NULL,
				   .disk_bytes = number_of(j, "disk_bytes") };
	auto_free char *shape = strdup(text_of(j, "shape"));
	struct err e = { 0 };
	char key[65];

	if (!shape)
		return true;
	if (!json_is_string(json_object_get(j, "driver")) || shape_parse(shape, &w) < 0 ||
	    w.net == TEMPLATE_NET_COUNT_)
		return false; /* of a version that did not say */
	w.driver = vm_driver_find(text_of(j, "driver"), &e);
	if (!w.driver || template_key(g, &w, depth, key, &e) < 0)
		return e.code != ENOENT; /* its kernel is gone */
	return strcmp(key, text_of(j, "key")) == 0;
}

static int is_used(struct engine *g, const char *key, bool *ret, struct err *e)
{
	struct strv ids = { 0 };
	struct sqlite3 *db;
	int rc = machine_db(g, &db, e);

	*ret = false;
	if (rc == 0)
		rc = vm_record_list(db, &ids, e);
	for (uint32_t i = 0; rc == 0 && !*ret && i < ids.n; i++) {
		struct machine m = { 0 };

		rc = machine_read(g, ids.v[i], &m, e);
		if (rc == -ENOENT) {
			rc = 0; /* removed meanwhile */
		} else if (rc == 0) {
			*ret = m.state.status == MACHINE_RUNNING &&
			       strcmp(m.state.template_key, key) == 0;
			machine_done(&m);
		}
	}
	strv_done(&ids);
	return rc;
}

static int old_remove(struct engine *g, const char *key, struct err *e)
{
	struct err busy = { 0 };
	uint64_t freed = 0;
	auto_fd lock = -1;
	bool used;

	if (template_lock_try(engine_store(g), key, &lock, &busy) < 0)
		return 0;
	if (is_used(g, key, &used, e) < 0)
		return -e->code;
	return used ? 0 : template_remove(engine_store(g), key, &freed, e);
}

int template_old_remove(struct engine *g, const char *image_id, struct err *e)
{
	json_t *list = NULL, *j;
	size_t i;
	int rc = engine_template_list(g, &list, e);

	json_array_foreach (list, i, j) {
		const char *key = text_of(j, "key");

		if (rc == 0 && template_key_is_valid(key) &&
		    strcmp(text_of(j, "image"), image_id ? image_id : "") == 0 && !is_current(g, j))
			rc = old_remove(g, key, e);
	}
	json_decref(list);
	return rc;
}
