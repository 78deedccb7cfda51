/* SPDX-License-Identifier: MIT */
/* test_doc.c - documents of images: what is taken, what is refused, which entry is chosen */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "buf.h"
#include "doc.h"

#define A64    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define A      "sha256:" A64
#define B      "sha256:" B64
#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
#define D(type, digest, size)                                                                      \
	"{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define CONFIG    D(OCI "config.v1+json", A, "7")
#define LAYER     D(OCI "layer.v1.tar+gzip", B, "9")
#define BODY      "\"config\":" CONFIG ",\"layers\":[" LAYER "]"
#define WITH(x)   "{\"schemaVersion\":2," x "}"
#define LAYERS(x) WITH("\"config\":" CONFIG ",\"layers\":[" x "]")
#define ENTRY     D(OCI "manifest.v1+json", A, "5")

static void taken(void **state)
{
	static const struct {
		const char *text, *outside, *type;
		enum doc_kind kind;
		uint32_t n;
	} t[] = {
		{ WITH(BODY), "", DOC_OCI_MANIFEST, DOC_MANIFEST, 1 },
		{ WITH(BODY), NULL, DOC_OCI_MANIFEST, DOC_MANIFEST, 1 },
		{ WITH(BODY), "application/json; charset=utf-8", DOC_OCI_MANIFEST, DOC_MANIFEST,
		  1 },
		{ WITH(BODY), DOC_DOCKER_MANIFEST, DOC_DOCKER_MANIFEST, DOC_MANIFEST, 1 },
		{ WITH(BODY), "Application/VND.oci.image.manifest.v1+JSON; x=y", DOC_OCI_MANIFEST,
		  DOC_MANIFEST, 1 },
		{ WITH("\"mediaType\":\"" DOC_DOCKER_MANIFEST "\"," BODY), "text/plain",
		  DOC_DOCKER_MANIFEST, DOC_MANIFEST, 1 },
		{ WITH("\"mediaType\":\"" DOC_OCI_MANIFEST "\"," BODY), DOC_OCI_MANIFEST,
		  DOC_OCI_MANIFEST, DOC_MANIFEST, 1 },
		{ WITH(BODY ",\"annotations\":{\"a\":\"b\"},\"subject\":{}"), "", DOC_OCI_MANIFEST,
		  DOC_MANIFEST, 1 },
		{ LAYERS(""), "", DOC_OCI_MANIFEST, DOC_MANIFEST, 0 },
		{ LAYERS(LAYER "," LAYER), "", DOC_OCI_MANIFEST, DOC_MANIFEST, 2 },
		{ LAYERS("{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" B
			 "\",\"size\":0,\"urls\":[]}"),
		  "", DOC_OCI_MANIFEST, DOC_MANIFEST, 1 },
		{ LAYERS(D(DOCKER "image.rootfs.diff.tar.gzip", B, "68719476736")), "",
		  DOC_OCI_MANIFEST, DOC_MANIFEST, 1 },
		{ WITH("\"manifests\":[]"), "", DOC_OCI_INDEX, DOC_INDEX, 0 },
		{ WITH("\"manifests\":[" ENTRY "]"), DOC_DOCKER_LIST, DOC_DOCKER_LIST, DOC_INDEX,
		  1 },
		{ WITH("\"manifests\":[" D("text/plain", A, "5") "]"), DOC_OCI_INDEX, DOC_OCI_INDEX,
		  DOC_INDEX, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct doc d = { 0 };
		struct err e = { 0 };

		if (doc_parse(t[i].text, strlen(t[i].text), t[i].outside, &d, &e) < 0)
			fail_msg("row %zu: %s", i, e.msg);
		assert_string_equal(d.media_type, t[i].type);
		assert_int_equal(d.kind, t[i].kind);
		assert_int_equal(d.n, t[i].n);
		doc_done(&d);
	}
}

static const struct {
	const char *text, *outside, *says;
} refused_rows[] = {
	{ "", "", "JSON" },
	{ "x", "", "JSON" },
	{ "[]", "", "object" },
	{ "{}", "", "schemaVersion" },
	{ "\xff\xfe{\0}\0", "", "JSON" }, /* UTF-16 */
	{ "\xef\xbb\xbf" WITH(BODY), "", "JSON" },
	{ WITH(BODY) "x", "", "JSON" },
	{ " \n<!DOCTYPE html>", "", "HTML" },
	{ WITH(BODY), "text/html", "HTML" },
	{ WITH(BODY), "image/png", "image/png" },
	{ WITH(BODY), DOC_OCI_INDEX, "has not the fields" },
	{ WITH("\"manifests\":[]"), DOC_OCI_MANIFEST, "has not the fields" },
	{ WITH(BODY), "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1" },
	{ "{\"schemaVersion\":1," BODY "}", "", "schema 1" },
	{ WITH(BODY ",\"fsLayers\":[]"), "", "schema 1" },
	{ "{\"schemaVersion\":\"2\"," BODY "}", "", "schemaVersion" },
	{ "{\"schemaVersion\":2.0," BODY "}", "", "schemaVersion" },
	{ "{" BODY "}", "", "schemaVersion" },
	{ WITH("\"mediaType\":\"" DOC_OCI_INDEX "\"," BODY), "", "has not the fields" },
	{ WITH("\"mediaType\":\"" DOC_OCI_MANIFEST "\"," BODY), DOC_DOCKER_MANIFEST, "comes as" },
	{ WITH("\"mediaType\":\"x/y\"," BODY), "", "no image" },
	{ WITH("\"mediaType\":5," BODY), "", "no string" },
	{ WITH(BODY ",\"manifests\":[]"), "", "at once" },
	{ WITH("\"layers\":[],\"manifests\":[]"), "", "at once" },
	{ WITH("\"x\":1"), "", "neither" },
	{ WITH(BODY ",\"layers\":[]"), "", "duplicate" },
	{ WITH(BODY ",\"Layers\":[]"), "", "\"Layers\" is not" },
	{ WITH(BODY ",\"MEDIATYPE\":\"x\""), "", "is not \"mediaType\"" },
	{ WITH("\"layers\":[]"), "", "\"config\" is missing" },
	{ WITH("\"config\":[],\"layers\":[]"), "", "\"config\" is no object" },
	{ WITH("\"config\":" CONFIG), "", "\"layers\" is missing" },
	{ WITH("\"config\":" CONFIG ",\"layers\":{}"), "", "no array" },
	{ WITH("\"config\":" D(OCI "empty.v1+json", A, "2") ",\"layers\":[]"), "", "artifact" },
	{ WITH("\"config\":" D("application/vnd.cncf.helm.config.v1+json", A,
			       "2") ",\"layers\":[]"),
	  "", "helm" },
	{ WITH("\"config\":" D(OCI "config.v1+json", A, "8388609") ",\"layers\":[]"), "",
	  "8388609" },
	{ LAYERS("5"), "", "no object" },
	{ LAYERS("{}"), "", "missing" },
	{ LAYERS(D(OCI "layer.v1.tar", "md5:d41d8cd98f00b204e9800998ecf8427e", "1")), "", "md5" },
	{ LAYERS(D(OCI "layer.v1.tar", "sha256:../../../etc/passwd", "1")), "", "not valid" },
	{ LAYERS(D(OCI "layer.v1.tar", "sha512:" A64, "1")), "", "not valid" },
	{ LAYERS(D(OCI "layer.v1.tar", "sha256:" A64 "a", "1")), "", "not valid" },
	{ LAYERS(D(OCI "layer.v1.tar", "sha256:" A64 A64, "1")), "", "too long" },
	{ LAYERS(D(OCI "layer.v1.tar", B, "-1")), "", "-1" },
	{ LAYERS(D(OCI "layer.v1.tar", B, "1.5")), "", "no integer" },
	{ LAYERS(D(OCI "layer.v1.tar", B, "1e3")), "", "no integer" },
	{ LAYERS(D(OCI "layer.v1.tar", B, "\"1\"")), "", "no integer" },
	{ LAYERS(D(OCI "layer.v1.tar", B, "null")), "", "no integer" },
	{ LAYERS(D(OCI "layer.v1.tar", B, "68719476737")), "", "68719476737" },
	{ LAYERS(D(OCI "layer.v1.tar", B, "99999999999999999999")), "", "JSON" },
	{ LAYERS("{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":5,\"size\":1}"), "",
	  "no string" },
	{ LAYERS("{\"mediaType\":\"" OCI "layer.v1.tar\",\"Digest\":\"" B "\",\"size\":1}"), "",
	  "is not \"digest\"" },
	{ LAYERS("{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" B
		 "\",\"size\":1,\"urls\":[\"http://x\"]}"),
	  "", "foreign" },
	{ LAYERS("{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" B
		 "\",\"size\":1,\"urls\":\"http://x\"}"),
	  "", "urls" },
	{ LAYERS(D(OCI "layer.nondistributable.v1.tar+gzip", B, "1")), "", "foreign" },
	{ LAYERS(D(DOCKER "image.rootfs.foreign.diff.tar.gzip", B, "1")), "", "foreign" },
	{ LAYERS(D(OCI "layer.v1.tar+gzip+encrypted", B, "1")), "", "encrypted" },
	{ LAYERS(D("application/json", B, "1")), "", "no layer" },
	{ LAYERS(D(OCI "layer.v1.tar\\u0000", B, "1")), "", "JSON" },
	{ LAYERS(LAYER "," D(OCI "layer.v1.tar", B, "10")), "", "two sizes" },
	{ LAYERS(D(OCI "layer.v1.tar", A, "8")), "", "two sizes" },
	{ WITH("\"manifests\":{}"), "", "no array" },
	{ WITH("\"manifests\":[{\"mediaType\":\"x\",\"digest\":\"" A
	       "\",\"size\":1,\"platform\":5}]"),
	  "", "platform" },
	{ WITH("\"manifests\":[{\"mediaType\":\"x\",\"digest\":\"" A
	       "\",\"size\":1,\"platform\":{\"os\":\"linux\"}}]"),
	  "", "architecture" },
	{ WITH("\"manifests\":[{\"mediaType\":\"x\",\"digest\":\"" A
	       "\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":[]}}]"),
	  "", "no string" },
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused_rows); i++) {
		const char *text = refused_rows[i].text;
		struct doc d = { 0 };
		struct err e = { 0 };
		int rc = doc_parse(text, strlen(text), refused_rows[i].outside, &d, &e);

		if ((rc != -EBADMSG && rc != -EFBIG) || !strstr(e.msg, refused_rows[i].says) ||
		    d.list)
			fail_msg("row %zu: %d %s", i, rc, e.msg);
	}
}

static void repeat(struct buf *b, const char *text, size_t n, const char *between)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_addf(b, "%s%s", i ? between : "", text), 0);
}

static int parse_list(const char *before, const char *text, size_t n, const char *after)
{
	auto_buf b = { 0 };
	struct doc d = { 0 };
	struct err e = { 0 };
	int rc;

	assert_int_equal(buf_add_str(&b, before), 0);
	repeat(&b, text, n, ",");
	assert_int_equal(buf_add_str(&b, after), 0);
	rc = doc_parse(b.data, b.len, "", &d, &e);
	doc_done(&d);
	return rc;
}

static void limits(void **state)
{
	auto_free char *spaces = malloc(DOC_INDEX_MAX + 1);
	const char *layers = "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[";
	auto_buf deep = { 0 };
	struct doc d = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(parse_list(layers, LAYER, DOC_LAYERS_MAX, "]}"), 0);
	assert_int_equal(parse_list(layers, LAYER, DOC_LAYERS_MAX + 1, "]}"), -EBADMSG);
	assert_int_equal(
		parse_list("{\"schemaVersion\":2,\"manifests\":[", ENTRY, DOC_ENTRIES_MAX, "]}"),
		0);
	assert_int_equal(parse_list("{\"schemaVersion\":2,\"manifests\":[", ENTRY,
				    DOC_ENTRIES_MAX + 1, "]}"),
			 -EBADMSG);
	memset(spaces, ' ', DOC_INDEX_MAX + 1);
	memcpy(spaces, LAYERS(""), strlen(LAYERS("")));
	assert_int_equal(doc_parse(spaces, DOC_INDEX_MAX, "", &d, &e), 0);
	doc_done(&d);
	assert_int_equal(doc_parse(spaces, DOC_INDEX_MAX + 1, "", &d, &e), -EFBIG);
	repeat(&deep, "[", 1000, "");
	assert_int_equal(doc_parse(deep.data, deep.len, "", &d, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "nested"));
}

/* ---- choice ---- */

#define P(type, digit, os, arch, variant)                                                              \
	"{\"mediaType\":\"" type "\",\"size\":1,\"digest\":\"sha256:" digit                            \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"platform\":{\"os\":\"" os \
	"\",\"architecture\":\"" arch "\",\"variant\":\"" variant "\"}}"
#define M(digit, os, arch, variant) P(OCI "manifest.v1+json", digit, os, arch, variant)
#define NESTED                      "{\"mediaType\":\"" DOC_OCI_INDEX "\",\"size\":1,\"digest\":\"" B "\"}"

static void chosen(void **state)
{
	static const struct {
		const char *list, *want;
		char digit; /* 0: none */
		const char *says;
	} t[] = {
		{ M("1", "linux", "amd64", ""), "linux/amd64", '1', NULL },
		{ M("1", "unknown", "unknown", "") "," M("2", "linux", "amd64", ""), "linux/amd64",
		  '2', NULL },
		{ M("1", "linux", "arm", "v5") "," M("2", "linux", "arm", "v6") "," M("3", "linux",
										      "arm", "v7"),
		  "linux/arm/v6", '2', NULL },
		{ M("1", "linux", "arm64", "v8") "," M("2", "linux", "amd64", ""), "linux/arm64",
		  '1', NULL },
		{ M("1", "linux", "amd64", "") "," M("2", "linux", "amd64", ""), "linux/amd64", '1',
		  NULL },
		{ P("text/plain", "1", "linux", "amd64", "") "," M("2", "linux", "amd64", ""),
		  "linux/amd64", '2', NULL },
		{ NESTED "," M("2", "linux", "amd64", ""), "linux/amd64", '2', NULL },
		{ NESTED "," M("2", "linux", "amd64", ""), "linux/s390x", 'b', NULL },
		{ M("1", "windows", "amd64", "") "," M("2", "linux", "arm", "v7"), "linux/amd64", 0,
		  "windows/amd64, linux/arm/v7" },
		{ M("1", "unknown", "unknown", ""), "linux/amd64", 0, "none at all" },
		{ P("text/plain", "1", "linux", "amd64", ""), "linux/amd64", 0, "none at all" },
		{ "", "linux/amd64", 0, "none at all" },
		{ M("1", "li\\u001bnux", "x", ""), "linux/amd64", 0, "li?nux/x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const struct doc_descriptor *d = NULL;
		struct platform want;
		auto_buf b = { 0 };
		struct doc index = { 0 };
		struct err e = { 0 };
		int rc;

		assert_int_equal(buf_addf(&b, WITH("\"manifests\":[%s]"), t[i].list), 0);
		assert_int_equal(platform_parse(t[i].want, &want, &e), 0);
		if (doc_parse(b.data, b.len, "", &index, &e) < 0)
			fail_msg("row %zu: %s", i, e.msg);
		rc = doc_index_choose(&index, &want, &d, &e);
		if (t[i].digit ? rc != 0 || d->digest[7] != t[i].digit
			       : rc != -ENOENT || !strstr(e.msg, t[i].says))
			fail_msg("row %zu: %d %s", i, rc, e.msg);
		doc_done(&index);
	}
}

/* ---- config ---- */

#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" A "\"]}"
#define C(x)   "{\"os\":\"linux\",\"architecture\":\"amd64\"," x "}"

static void configs_taken(void **state)
{
	static const struct {
		const char *text;
		int64_t created_ns;
		uint32_t n;
	} t[] = {
		{ C(ROOTFS), 0, 1 },
		{ "{" ROOTFS "}", 0, 1 },
		{ C("\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}"), 0, 0 },
		{ C(ROOTFS ",\"created\":\"1970-01-01T00:00:01Z\""), 1000000000, 1 },
		{ C(ROOTFS ",\"created\":\"1970-01-01T00:00:01.25Z\""), 1250000000, 1 },
		{ C(ROOTFS ",\"created\":\"1970-01-01T01:00:00.0000000019+01:00\""), 1, 1 },
		{ C(ROOTFS ",\"created\":\"1969-12-31T23:59:59Z\""), -1000000000, 1 },
		{ C(ROOTFS ",\"created\":\"0001-01-01T00:00:00Z\""), 0, 1 },
		{ C(ROOTFS ",\"created\":\"9999-01-01T00:00:00Z\""), 0, 1 },
		{ C(ROOTFS ",\"created\":\"2020-13-01T00:00:00Z\""), 0, 1 },
		{ C(ROOTFS ",\"created\":\"2020-01-01T00:00:00\""), 0, 1 },
		{ C(ROOTFS ",\"created\":\"yesterday\""), 0, 1 },
		{ C(ROOTFS ",\"created\":5"), 0, 1 },
		{ C(ROOTFS ",\"created\":null"), 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct doc_config c = { 0 };
		struct err e = { 0 };

		if (doc_config_parse(t[i].text, strlen(t[i].text), &c, &e) < 0)
			fail_msg("row %zu: %s", i, e.msg);
		assert_int_equal(c.created_ns, t[i].created_ns);
		assert_int_equal(c.n_diff_ids, t[i].n);
		if (t[i].n)
			assert_string_equal(c.diff_ids[0], A);
		doc_config_done(&c);
	}
}

static void configs_refused(void **state)
{
	static const char *const t[] = {
		"",
		"[]",
		"<html>",
		"{}",
		C("\"x\":1"),
		C("\"rootfs\":[]"),
		C("\"rootfs\":{}"),
		C("\"rootfs\":{\"type\":\"layers\"}"),
		C("\"rootfs\":{\"type\":\"base\",\"diff_ids\":[]}"),
		C("\"rootfs\":{\"type\":5,\"diff_ids\":[]}"),
		C("\"rootfs\":{\"type\":\"layers\",\"diff_ids\":{}}"),
		C("\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[5]}"),
		C("\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"md5:00\"]}"),
		C("\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[],\"Diff_Ids\":[]}"),
		C(ROOTFS ",\"Rootfs\":{}"),
		C(ROOTFS "," ROOTFS),
		C(ROOTFS ",\"OS\":\"x\""),
		"{\"os\":5," ROOTFS "}",
		"{\"os\":\"linux\",\"architecture\":[]," ROOTFS "}",
	};
	auto_free char *spaces = malloc(DOC_CONFIG_MAX + 1);
	struct doc_config c = { 0 };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (doc_config_parse(t[i], strlen(t[i]), &c, &e) != -EBADMSG || c.diff_ids)
			fail_msg("%s", t[i]);
	memset(spaces, ' ', DOC_CONFIG_MAX + 1);
	memcpy(spaces, C(ROOTFS), strlen(C(ROOTFS)));
	assert_int_equal(doc_config_parse(spaces, DOC_CONFIG_MAX + 1, &c, &e), -EBADMSG);
	assert_int_equal(doc_config_parse(spaces, DOC_CONFIG_MAX, &c, &e), 0);
	doc_config_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken),         cmocka_unit_test(refused),
		cmocka_unit_test(limits),        cmocka_unit_test(chosen),
		cmocka_unit_test(configs_taken), cmocka_unit_test(configs_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
