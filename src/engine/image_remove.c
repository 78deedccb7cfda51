/* SPDX-License-Identifier: MIT */
/*
 * image_remove.c - Docker's rmi, and collection
 *
 * By name: the name goes, and the image with its last one. By id: all names go, which needs force
 * when they are of several repositories. A machine holds its image: a running one always, one that
 * stands still until force takes the names away; the image itself then goes when the machine does.
 */
#include <string.h>

#include "engine_internal.h"
#include "ref.h"
#include "store_write.h"

#define GC_WAIT_MS 10000
#define GC_WAIT_AFTER_RMI                                                                          \
	200 /* a pull that goes on will not end soon; a later collection does it */

struct removal {
	struct store *s;
	bool force;
	struct store_image img;
	struct store_image *names;
	uint32_t n;
	char machine[65], status[16]; /* "" when none uses the image */
	json_t *done;
};

static bool is_running(const struct removal *r)
{
	return strcmp(r->status, "running") == 0;
}

static size_t repository_len(const char *name)
{
	const char *at = strchr(name, '@'), *slash, *colon;

	if (at)
		return (size_t)(at - name);
	slash = strrchr(name, '/');
	colon = strchr(slash ? slash : name, ':');
	return colon ? (size_t)(colon - name) : strlen(name);
}

static bool is_same_repository(const char *a, const char *b)
{
	size_t n = repository_len(a);

	return n == repository_len(b) && strncmp(a, b, n) == 0;
}

static bool is_tag(const char *name)
{
	return !strchr(name, '@');
}

/* At most one tag, and all names of one repository. */
static bool is_single(const struct removal *r)
{
	uint32_t tags = 0;

	for (uint32_t i = 0; i < r->n; i++) {
		tags += is_tag(r->names[i].ref);
		if (!is_same_repository(r->names[0].ref, r->names[i].ref))
			return false;
	}
	return tags <= 1;
}

static int names_read(struct removal *r, struct err *e)
{
	free(r->names);
	r->names = NULL;
	r->n = 0;
	return store_image_names(r->s, r->img.id, &r->names, &r->n, e);
}

static int note(struct removal *r, const char *what, const char *text, struct err *e)
{
	return json_array_append_new(r->done, json_pack("{s:s}", what, text)) < 0
		       ? err_set(e, ENOMEM, "remove")
		       : 0;
}

static int untag(struct removal *r, const char *ref, struct err *e)
{
	char shown[REF_NORMAL_SIZE];

	if (store_name_remove(r->s, ref, e) < 0)
		return e->code == ENOENT ? 0 : -e->code; /* another command was quicker */
	ref_familiar(ref, shown, sizeof(shown));
	return note(r, "Untagged", shown, e);
}

/* ---- conflicts ---- */

static int name_conflict(const struct removal *r, const char *name, struct err *e)
{
	return err_plain(
		e, EBUSY,
		"conflict: unable to remove repository reference \"%.200s\" (must force) - "
		"container %.12s is using its referenced image %.12s",
		name, r->machine, r->img.id + 7);
}

static int image_conflict(const struct removal *r, struct err *e)
{
	if (is_running(r))
		return err_plain(
			e, EBUSY,
			"conflict: unable to delete %.12s (cannot be forced) - image is being "
			"used by running container %.12s",
			r->img.id + 7, r->machine);
	return err_plain(
		e, EBUSY,
		"conflict: unable to delete %.12s (must be forced) - image is being used by "
		"stopped container %.12s",
		r->img.id + 7, r->machine);
}

/* ---- the two ways ---- */

static int by_id(struct removal *r, struct err *e)
{
	if (!r->force && r->n > 0 && !is_single(r))
		return err_plain(e, EBUSY,
				 "conflict: unable to delete %.12s (must be forced) - image is "
				 "referenced in multiple repositories",
				 r->img.id + 7);
	if (*r->machine && (is_running(r) || !r->force))
		return image_conflict(r, e);
	for (uint32_t i = 0; i < r->n; i++)
		if (untag(r, r->names[i].ref, e) < 0)
			return -e->code;
	return 0;
}

/* With the last tag of a repository its names by digest go. */
static int digests_untag(struct removal *r, const char *gone, struct err *e)
{
	if (names_read(r, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < r->n; i++)
		if (is_tag(r->names[i].ref) && is_same_repository(r->names[i].ref, gone))
			return 0;
	for (uint32_t i = 0; i < r->n; i++)
		if (is_same_repository(r->names[i].ref, gone) && untag(r, r->names[i].ref, e) < 0)
			return -e->code;
	return 0;
}

static int by_name(struct removal *r, const char *name, struct err *e)
{
	if (!r->force && *r->machine && is_single(r))
		return name_conflict(r, name, e);
	if (untag(r, r->img.ref, e) < 0)
		return -e->code;
	return is_tag(r->img.ref) ? digests_untag(r, r->img.ref, e) : 0;
}

/* What was written is a name of the image, not its id or the beginning of it. */
static bool is_by_name(const struct removal *r, const char *name)
{
	char full[REF_NORMAL_SIZE];

	return *r->img.ref && ref_normalise(name, full, sizeof(full)) &&
	       strcmp(full, r->img.ref) == 0;
}

static int forget(struct removal *r, struct err *e)
{
	struct err ignored = { 0 }; /* what stays is found by the next collection */
	uint64_t freed;
	bool is_gone;

	if (store_image_forget(r->s, r->img.id, &is_gone, e) < 0)
		return -e->code;
	if (!is_gone)
		return 0;
	(void)!store_gc(r->s, 0, GC_WAIT_AFTER_RMI, &freed, &ignored);
	return note(r, "Deleted", r->img.id, e);
}

static int removal_run(struct removal *r, const char *name, struct err *e)
{
	int rc;

	if (store_image_find(r->s, name, &r->img, e) < 0 || names_read(r, e) < 0)
		return -e->code;
	rc = store_image_user(r->s, r->img.id, r->machine, r->status, e);
	if (rc < 0)
		return rc;
	if (rc == 0)
		r->machine[0] = r->status[0] = '\0';
	rc = is_by_name(r, name) ? by_name(r, name, e) : by_id(r, e);
	return rc < 0 ? rc : forget(r, e);
}

int engine_image_remove(struct engine *g, const char *name, bool force, json_t **ret, struct err *e)
{
	struct removal r = { .force = force };
	int rc;

	if (engine_store_need(g, &r.s, e) < 0)
		return -e->code;
	store_room_make(r.s);
	r.done = json_array();
	rc = removal_run(&r, name, e);
	free(r.names);
	if (rc < 0)
		json_decref(r.done);
	else
		*ret = r.done;
	return rc;
}

int engine_gc(struct engine *g, uint64_t *ret_freed, struct err *e)
{
	struct store *s;

	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	return store_gc(s, STORE_GC_UNTAGGED | STORE_GC_PARTIAL, GC_WAIT_MS, ret_freed, e);
}
