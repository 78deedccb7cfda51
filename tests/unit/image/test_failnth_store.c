/* SPDX-License-Identifier: MIT */
/* test_failnth_store.c - a store in which something failed is the one before, or the one after */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "failnth.h"
#include "fdio.h"
#include "json_text.h"
#include "store_fixture.h"

static const struct fixture_image one = {
	{ "base", "app" }, 2, "config one", "docker.io/library/one:latest", NULL
};
static const struct fixture_image two = {
	{ "base", "other" },
	2,
	"config two",
	"docker.io/library/two:latest",
	"docker.io/library/two@sha256:0123456789abcdef0123456789ab"
	"cdef0123456789abcdef0123456789abcdef"
};

static struct store *store_get(struct store_dir *d)
{
	struct store *s = NULL;
	struct err e = { 0 };

	if (store_open(d->root, d->run, &s, &e) < 0)
		fail_msg("%s", e.msg);
	return s;
}

static int image_is_whole(struct store *s, const char *name, struct err *e)
{
	struct store_image img;
	struct store_disk d;
	auto_free char *config = NULL;
	size_t len;

	if (store_image_find(s, name, &img, e) < 0 || store_image_disk(s, img.id, &d, e) < 0)
		return -e->code;
	assert_int_equal(d.n_parts, 4);
	store_disk_done(&d);
	if (store_image_config(s, img.id, &config, &len, e) < 0)
		return -e->code;
	assert_int_equal(len, strlen(one.config));
	return 0;
}

static void bring(struct store *s, const struct fixture_image *f)
{
	char id[80];
	struct err e = { 0 };

	if (fixture_ingest(s, f, id, &e) < 0 || image_is_whole(s, f->tag_ref, &e) < 0)
		fail_msg("%s", e.msg);
}

/* Image two goes again; image one is as it always was, and nothing else is there. */
static void back_to_one(struct store *s)
{
	struct err e = { 0 };
	uint64_t freed;

	if (store_name_remove(s, two.tag_ref, &e) < 0)
		assert_int_equal(e.code, ENOENT);
	if (store_gc(s, STORE_GC_UNTAGGED | STORE_GC_PARTIAL, 0, &freed, &e) < 0)
		fail_msg("%s", e.msg);
	if (image_is_whole(s, one.tag_ref, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(fixture_count(s, "layers"), 4);
	assert_int_equal(fixture_count(s, "images"), 2);
	assert_int_equal(fixture_count(s, "blobs/sha256"), 4);
	assert_int_equal(fixture_count(s, "partial"), 0);
}

/* Both lists agree; image one is there. Two is there whole, or not at all: 1, 0. */
static int look(struct store *s)
{
	auto_free struct store_image *list = NULL;
	auto_free char *index = fixture_read(s, "index.json");
	struct err e = { 0 };
	bool has_two = false;
	json_t *j;
	uint32_t n;

	if (store_image_list(s, &list, &n, &e) < 0 || image_is_whole(s, one.tag_ref, &e) < 0)
		fail_msg("%s", e.msg);
	for (uint32_t i = 0; i < n; i++)
		has_two |= strcmp(list[i].ref, two.tag_ref) == 0;
	if (has_two && image_is_whole(s, two.tag_ref, &e) < 0)
		fail_msg("%s", e.msg);
	assert_non_null(index);
	j = json_parse(index, strlen(index), 0, NULL);
	assert_non_null(j); /* perhaps of the time before: the next change writes it again */
	json_decref(j);
	return has_two;
}

/* ---- a new store ---- */

static int make(void *arg, struct err *e)
{
	struct store_dir *d = arg;
	struct store_image *list;
	struct store *s;
	uint32_t n;
	int rc;

	if (store_open(d->root, d->run, &s, e) < 0)
		return -e->code;
	rc = store_image_list(s, &list, &n, e);
	store_close(s);
	if (rc < 0)
		return rc;
	free(list);
	assert_int_equal(n, 0);
	return 0;
}

static void made_at_last(void *arg, int rc)
{
	struct store_dir *d = arg;
	struct store *s = store_get(d);
	struct err e = { 0 };

	(void)rc;
	bring(s, &one);
	store_close(s);
	assert_int_equal(tree_remove_at(AT_FDCWD, d->root, &e), 0);
	assert_int_equal(tree_remove_at(AT_FDCWD, d->run, &e), 0);
}

/* ---- an image on its way in ---- */

static int ingest(void *arg, struct err *e)
{
	struct store_dir *d = arg;
	struct store *s;
	char id[80];
	int rc;

	if (store_open(d->root, d->run, &s, e) < 0)
		return -e->code;
	rc = fixture_ingest(s, &two, id, e);
	store_close(s);
	return rc;
}

static void ingested_or_not(void *arg, int rc)
{
	struct store *s = store_get(arg);

	if (!look(s))
		assert_true(rc < 0);
	bring(s, &two); /* goes on from what is there */
	assert_int_equal(look(s), 1);
	back_to_one(s);
	store_close(s);
}

/* ---- collection ---- */

static int collect(void *arg, struct err *e)
{
	struct store_dir *d = arg;
	struct store *s;
	uint64_t freed = 0;
	int rc;

	if (store_open(d->root, d->run, &s, e) < 0)
		return -e->code;
	rc = store_name_remove(s, two.tag_ref, e);
	if (rc == 0)
		rc = store_gc(s, STORE_GC_UNTAGGED, 0, &freed, e);
	store_close(s);
	return rc;
}

static void collected_or_not(void *arg, int rc)
{
	struct store *s = store_get(arg);

	if (look(s))
		assert_true(rc < 0);
	back_to_one(s);
	bring(s, &two);
	store_close(s);
}

/* ---- reading, and names ---- */

static int names(void *arg, struct err *e)
{
	static const char other[] = "docker.io/library/other:1";
	struct store_dir *d = arg;
	struct store_image img, *list = NULL;
	struct store_ids ids = { 0 };
	struct store *s;
	uint32_t n;
	int rc;

	if (store_open(d->root, d->run, &s, e) < 0)
		return -e->code;
	rc = store_image_find(s, "one", &img, e);
	if (rc == 0)
		rc = store_name_set(s, other, &img, e);
	if (rc == 0)
		rc = image_is_whole(s, other, e);
	if (rc == 0)
		rc = store_image_layers(s, img.id, &ids, e);
	if (rc == 0)
		rc = store_image_names(s, img.id, &list, &n, e);
	if (rc == 0) {
		assert_int_equal(ids.n, 2);
		assert_int_equal(n, 2);
		rc = store_name_remove(s, other, e);
	}
	free(list);
	store_ids_done(&ids);
	store_close(s);
	return rc;
}

static void named_or_not(void *arg, int rc)
{
	struct store *s = store_get(arg);
	struct err e = { 0 };

	(void)look(s);
	if (store_name_remove(s, "docker.io/library/other:1", &e) == 0)
		assert_true(rc < 0);
	store_close(s);
}

static int setup(void **state)
{
	static struct store_dir d;

	*state = &d;
	return store_dir_make(&d);
}

static int teardown(void **state)
{
	return store_dir_remove(*state);
}

static void made(void **state)
{
	failnth_run(&(struct failnth){ "open", make, made_at_last, *state, FAIL_ALLOC | FAIL_CALL,
				       NULL });
}

static void ingested(void **state)
{
	struct store *s = store_get(*state);

	bring(s, &one);
	store_close(s);
	failnth_run(&(struct failnth){ "ingest", ingest, ingested_or_not, *state,
				       FAIL_ALLOC | FAIL_CALL, NULL });
}

static void collected(void **state)
{
	struct store *s = store_get(*state);

	bring(s, &one);
	bring(s, &two);
	store_close(s);
	failnth_run(&(struct failnth){ "collect", collect, collected_or_not, *state,
				       FAIL_ALLOC | FAIL_CALL, NULL });
}

static void named(void **state)
{
	struct store *s = store_get(*state);

	bring(s, &one);
	store_close(s);
	failnth_run(&(struct failnth){ "names", names, named_or_not, *state, FAIL_ALLOC | FAIL_CALL,
				       NULL });
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(made),
		TEST(ingested),
		TEST(collected),
		TEST(named)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
