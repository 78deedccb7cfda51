/* SPDX-License-Identifier: MIT */
/* test_image_docs.c - what counts as reachable from the digest that a name points at */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "image_docs.h"

#define DOCS_MAX 16
#define LAYER_A  "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LAYER_B  "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define CONFIG_T "application/vnd.oci.image.config.v1+json"
#define LAYER_T  "application/vnd.oci.image.layer.v1.tar+gzip"

struct box { /* a store of documents, in memory */
	struct {
		char digest[DIGEST_SIZE];
		char *text;
	} d[DOCS_MAX];
	unsigned n;
};

static const char *put(struct box *x, char *text)
{
	struct err e = { 0 };

	assert_non_null(text);
	assert_true(x->n < DOCS_MAX);
	assert_int_equal(digest_of(text, strlen(text), x->d[x->n].digest, &e), 0);
	x->d[x->n].text = text;
	return x->d[x->n++].digest;
}

static size_t size_of(const struct box *x, const char *digest)
{
	for (unsigned i = 0; i < x->n; i++)
		if (strcmp(x->d[i].digest, digest) == 0)
			return strlen(x->d[i].text);
	return 0;
}

static int box_read(void *arg, const char *digest, size_t max, struct buf *ret, struct err *e)
{
	const struct box *x = arg;

	(void)max;
	for (unsigned i = 0; i < x->n; i++)
		if (strcmp(x->d[i].digest, digest) == 0)
			return buf_add_str(ret, x->d[i].text) < 0 ? err_set(e, ENOMEM, "x") : 0;
	return err_plain(e, ENOENT, "not here");
}

static void box_done(struct box *x)
{
	for (unsigned i = 0; i < x->n; i++)
		free(x->d[i].text);
}

static const char *config_put(struct box *x, const char *arch, const char *diff_ids)
{
	char *t = NULL;

	assert_true(
		asprintf(
			&t,
			"{\"os\":\"linux\",\"architecture\":\"%s\",\"rootfs\":{\"type\":\"layers\","
			"\"diff_ids\":[%s]}}",
			arch, diff_ids) > 0);
	return put(x, t);
}

/* size_off: how much the config's size is told wrong. */
static const char *manifest_put(struct box *x, const char *config, int size_off, const char *layers)
{
	char *t = NULL;

	assert_true(asprintf(&t,
			     "{\"schemaVersion\":2,\"mediaType\":\"" DOC_OCI_MANIFEST
			     "\",\"config\":{"
			     "\"mediaType\":\"" CONFIG_T "\",\"digest\":\"%s\",\"size\":%d},"
			     "\"layers\":[%s]}",
			     config, (int)size_of(x, config) + size_off, layers) > 0);
	return put(x, t);
}

#define LAYER(d) "{\"mediaType\":\"" LAYER_T "\",\"digest\":\"" d "\",\"size\":5}"

static const char *index_put(struct box *x, const char *entry, const char *type, const char *arch)
{
	char *t = NULL;

	assert_true(asprintf(&t,
			     "{\"schemaVersion\":2,\"mediaType\":\"" DOC_OCI_INDEX
			     "\",\"manifests\":[{"
			     "\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s%s%s}]}",
			     type, entry, size_of(x, entry),
			     arch ? ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" : "",
			     arch ? arch : "", arch ? "\"}" : "") > 0);
	return put(x, t);
}

static const char *image_put(struct box *x)
{
	return manifest_put(x, config_put(x, "amd64", "\"" LAYER_A "\",\"" LAYER_B "\""), 0,
			    LAYER(LAYER_A) "," LAYER(LAYER_B));
}

static int walk_as(struct box *x, const char *top, uint64_t size, const char *type,
		   struct image_docs *ret)
{
	const struct platform want = { "linux", "amd64", "" };
	struct doc_descriptor d = { .size = size };
	struct err e = { 0 };
	int rc;

	snprintf(d.digest, sizeof(d.digest), "%s", top);
	snprintf(d.media_type, sizeof(d.media_type), "%s", type);
	rc = image_docs_walk(&d, &want, box_read, x, ret, &e);
	assert_int_equal(rc, -e.code);
	assert_true(rc == 0 || e.msg[0]);
	return rc;
}

static int walk(struct box *x, const char *top)
{
	struct image_docs d = { 0 };
	int rc = walk_as(x, top, IMAGE_DOCS_ANY_SIZE, "", &d);

	if (rc == 0)
		image_docs_done(&d);
	return rc;
}

static void reached(void **state)
{
	struct box x = { 0 };
	struct image_docs d;
	const char *m = image_put(&x), *inner = index_put(&x, m, DOC_OCI_MANIFEST, "amd64"),
		   *top = index_put(&x, inner, DOC_OCI_INDEX, NULL);

	(void)state;
	assert_int_equal(walk_as(&x, top, size_of(&x, top), DOC_OCI_INDEX, &d), 0);
	assert_string_equal(d.top.digest, top);
	assert_string_equal(d.manifest.digest, m);
	assert_int_equal(d.n_indexes, 2);
	assert_string_equal(d.indexes[0], top);
	assert_string_equal(d.indexes[1], inner);
	assert_int_equal(d.doc.n, 2);
	assert_string_equal(d.config.diff_ids[1], LAYER_B);
	image_docs_done(&d);
	assert_int_equal(walk_as(&x, m, IMAGE_DOCS_ANY_SIZE, "", &d), 0);
	assert_int_equal(d.n_indexes, 0);
	assert_int_equal(d.top.size, size_of(&x, m));
	assert_string_equal(d.top.media_type, DOC_OCI_MANIFEST);
	image_docs_done(&d);
	box_done(&x);
}

static void not_what_it_says(void **state)
{
	struct box x = { 0 };
	struct image_docs d = { 0 };
	const char *m = image_put(&x);

	(void)state;
	assert_int_equal(walk_as(&x, m, size_of(&x, m) + 1, "", &d), -EBADMSG);
	assert_int_equal(walk_as(&x, m, 0, "", &d), -EBADMSG);
	assert_int_equal(walk_as(&x, m, 1ULL << 40, "", &d), -EFBIG);
	assert_int_equal(walk_as(&x, m, IMAGE_DOCS_ANY_SIZE, DOC_OCI_INDEX, &d), -EBADMSG);
	assert_int_equal(walk_as(&x, m, IMAGE_DOCS_ANY_SIZE, DOC_DOCKER_MANIFEST, &d), -EBADMSG);
	assert_int_equal(walk(&x, "sha256:../../etc/passwd"), -EINVAL);
	assert_int_equal(walk(&x, "md5:0"), -EINVAL);
	assert_int_equal(walk(&x, ""), -EINVAL);
	assert_int_equal(walk(&x, LAYER_A), -ENOENT);
	/* the bytes under a name are others */
	x.d[x.n - 1].text[0] = ' ';
	assert_int_equal(walk(&x, m), -EBADMSG);
	box_done(&x);
}

static void members_do_not_fit(void **state)
{
	const char *two = "\"" LAYER_A "\",\"" LAYER_B "\"";
	struct box x = { 0 };

	(void)state;
	/* layers and diff ids: one too few, one too many, none */
	assert_int_equal(
		walk(&x, manifest_put(&x, config_put(&x, "amd64", two), 0, LAYER(LAYER_A))),
		-EBADMSG);
	assert_int_equal(walk(&x, manifest_put(&x, config_put(&x, "amd64", ""), 0, LAYER(LAYER_A))),
			 -EBADMSG);
	assert_int_equal(walk(&x, manifest_put(&x, config_put(&x, "amd64", two), 0, "")), -EBADMSG);
	/* the config has another size than the manifest tells */
	assert_int_equal(walk(&x, manifest_put(&x, config_put(&x, "arm64", ""), 1, "")), -EBADMSG);
	assert_int_equal(walk(&x, manifest_put(&x, config_put(&x, "s390x", ""), -1, "")), -EBADMSG);
	/* no config at all */
	assert_int_equal(walk(&x, manifest_put(&x, LAYER_A, 7, "")), -ENOENT);
	box_done(&x);
}

static void index_of_others(void **state)
{
	struct box x = { 0 };
	const char *m = image_put(&x), *at;

	(void)state;
	assert_int_equal(walk(&x, index_put(&x, m, DOC_OCI_MANIFEST, "s390x")), -ENOENT);
	assert_int_equal(walk(&x, index_put(&x, m, DOC_OCI_MANIFEST, "unknown")), -ENOENT);
	/* the entry says index, the document is a manifest */
	assert_int_equal(walk(&x, index_put(&x, m, DOC_OCI_INDEX, "amd64")), -EBADMSG);
	at = index_put(&x, m, DOC_OCI_MANIFEST, "amd64");
	for (unsigned i = 1; i < DOC_INDEX_DEPTH; i++)
		at = index_put(&x, at, DOC_OCI_INDEX, NULL);
	assert_int_equal(walk(&x, at), 0);
	assert_int_equal(walk(&x, index_put(&x, at, DOC_OCI_INDEX, NULL)), -EBADMSG);
	box_done(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reached),
		cmocka_unit_test(not_what_it_says),
		cmocka_unit_test(members_do_not_fit),
		cmocka_unit_test(index_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
