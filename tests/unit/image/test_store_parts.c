/* SPDX-License-Identifier: MIT */
/* test_store_parts.c - the list of a disk's parts */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "ltree.h"
#include "store_parts.h"

#define ID  "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY "abcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcd"

static void sample(struct store_parts *p, struct merge_part parts[3], char ids[2][80])
{
	snprintf(ids[0], 80, ID);
	snprintf(ids[1], 80, ID);
	parts[0] = (struct merge_part){ MERGE_PART_META_HEAD, 0, 0, 0, 4096 };
	parts[1] = (struct merge_part){ MERGE_PART_LAYER, 1, 2 << 20, 0, 8192 };
	parts[2] = (struct merge_part){ MERGE_PART_META, 0, 4 << 20, 0, 12288 };
	*p = (struct store_parts){ .diff_ids = ids,
				   .n_layers = 2,
				   .parts = parts,
				   .n_parts = 3,
				   .disk_len = (4 << 20) + 12288,
				   .meta_len = 12288,
				   .key = KEY };
}

static void round_trip(void **state)
{
	struct merge_part parts[3];
	struct store_parts p, got = { 0 };
	char ids[2][80];
	auto_buf text = { 0 }, again = { 0 };
	struct err e = { 0 };

	(void)state;
	sample(&p, parts, ids);
	assert_int_equal(store_parts_format(&p, &text, &e), 0);
	assert_int_equal(store_parts_parse(text.data, text.len, &got, &e), 0);
	assert_int_equal(got.n_parts, 3);
	assert_int_equal(got.parts[1].layer, 1);
	assert_int_equal(got.parts[2].disk_off, 4 << 20);
	assert_string_equal(got.key, KEY);
	assert_int_equal(store_parts_format(&got, &again, &e), 0);
	assert_string_equal(text.data, again.data);
	store_parts_done(&got);
	store_parts_done(&got);
}

enum what { DISK_OFF, FILE_OFF, LEN, LAYER, KIND, DISK_LEN, META_LEN, N_PARTS, N_LAYERS };

static void checked(void **state)
{
	static const struct {
		enum what what;
		uint32_t part;
		uint64_t value;
		const char *why; /* NULL: fine */
	} t[] = {
		{ DISK_LEN, 0, (4 << 20) + 16384, NULL },
		{ FILE_OFF, 1, 1 << 20, NULL },
		{ DISK_OFF, 1, 1, "whole blocks" },
		{ FILE_OFF, 1, 512, "whole blocks" },
		{ LEN, 1, 0, "whole blocks" },
		{ LEN, 1, 4097, "whole blocks" },
		{ DISK_OFF, 1, 0, "overlaps" },
		{ DISK_OFF, 2, 2 << 20, "overlaps" },
		{ LEN, 1, (2 << 20) + 4096, "overlaps" },
		{ DISK_OFF, 2, 8 << 20, "leaves the disk" },
		{ DISK_OFF, 2, UINT64_MAX - 4095, "leaves the disk" },
		{ LEN, 2, UINT64_MAX - 4095, "leaves the disk" },
		{ FILE_OFF, 1, UINT64_MAX - 4095, "leaves its file" },
		{ FILE_OFF, 1, STORE_PARTS_DISK_MAX, "leaves its file" },
		{ LAYER, 1, 2, "not there" },
		{ KIND, 1, 3, "no known kind" },
		{ KIND, 1, UINT32_MAX, "no known kind" },
		{ DISK_LEN, 0, 0, "a disk of" },
		{ DISK_LEN, 0, 4095, "a disk of" },
		{ DISK_LEN, 0, STORE_PARTS_DISK_MAX + 4096, "a disk of" },
		{ META_LEN, 0, 0, "metadata of" },
		{ META_LEN, 0, UINT64_MAX, "metadata of" },
		{ N_PARTS, 0, 0, "parts" },
		{ N_PARTS, 0, MERGE_LAYERS_MAX + 3, "parts" },
		{ N_LAYERS, 0, MERGE_LAYERS_MAX + 1, "layers" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct merge_part parts[3], *x = &parts[t[i].part];
		struct store_parts p;
		char ids[2][80];
		auto_buf text = { 0 };
		struct err e = { 0 };
		int rc;

		sample(&p, parts, ids);
		switch (t[i].what) {
		case DISK_OFF:
			x->disk_off = t[i].value;
			break;
		case FILE_OFF:
			x->file_off = t[i].value;
			break;
		case LEN:
			x->len = t[i].value;
			break;
		case LAYER:
			x->layer = (uint32_t)t[i].value;
			break;
		case KIND:
			x->kind = (enum merge_part_kind)t[i].value;
			break;
		case DISK_LEN:
			p.disk_len = t[i].value;
			break;
		case META_LEN:
			p.meta_len = t[i].value;
			break;
		case N_PARTS:
			p.n_parts = (uint32_t)t[i].value;
			break;
		case N_LAYERS:
			p.n_layers = (uint32_t)t[i].value;
			break;
		}
		rc = store_parts_format(&p, &text, &e);
		if (rc != (t[i].why ? -EBADMSG : 0) || (t[i].why && !strstr(e.msg, t[i].why)))
			fail_msg("row %zu: %d %s", i, rc, e.msg);
		assert_true(rc == 0 || text.len == 0);
	}
}

#define PART "{\"kind\":\"meta\",\"disk_off\":0,\"file_off\":0,\"len\":4096}"
#define DOC(version, key, disk, meta, layers, parts)                                               \
	"{\"version\":" version ",\"key\":" key ",\"disk_len\":" disk ",\"meta_len\":" meta        \
	",\"layers\":" layers ",\"parts\":" parts "}"
#define GOOD_KEY "\"" KEY "\""

static void parsed(void **state)
{
	static const struct {
		const char *json;
		int rc;
	} t[] = {
		{ DOC("1", GOOD_KEY, "4096", "5", "[]", "[" PART "]"), 0 },
		{ DOC("1", GOOD_KEY, "4096", "5", "[\"" ID "\"]", "[" PART "]"), 0 },
		{ DOC("2", GOOD_KEY, "4096", "5", "[]", "[" PART "]"), -EBADMSG },
		{ DOC("\"1\"", GOOD_KEY, "4096", "5", "[]", "[" PART "]"), -EBADMSG },
		{ DOC("1", "\"ab\"", "4096", "5", "[]", "[" PART "]"), -EBADMSG },
		{ DOC("1", "null", "4096", "5", "[]", "[" PART "]"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "-4096", "5", "[]", "[" PART "]"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096.0", "5", "[]", "[" PART "]"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096", "5", "{}", "[" PART "]"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096", "5", "[\"sha256:../x\"]", "[" PART "]"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096", "5", "[5]", "[" PART "]"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096", "5", "[]", "[]"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096", "5", "[]", "null"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096", "5", "[]", "[{}]"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096", "5", "[]", "[7]"), -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096", "5", "[]",
		      "[{\"kind\":\"layer\",\"disk_off\":0,\"file_off\":0,\"len\":4096}]"),
		  -EBADMSG },
		{ DOC("1", GOOD_KEY, "4096", "5", "[]",
		      "[{\"kind\":\"what\",\"disk_off\":0,\"file_off\":0,\"len\":4096}]"),
		  -EBADMSG },
		{ "{\"version\":1,\"version\":1}", -EBADMSG },
		{ "[]", -EBADMSG },
		{ "", -EBADMSG },
		{ "{", -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct store_parts p = { 0 };
		struct err e = { 0 };

		if (store_parts_parse(t[i].json, strlen(t[i].json), &p, &e) != t[i].rc)
			fail_msg("row %zu: %s", i, e.msg);
		assert_true(t[i].rc == 0 || (!p.parts && !p.diff_ids));
		store_parts_done(&p);
	}
}

static void too_much(void **state)
{
	static char big[STORE_PARTS_JSON_MAX + 2];
	struct store_parts p = { 0 };
	auto_buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	memset(big, ' ', sizeof(big));
	assert_int_equal(store_parts_parse(big, sizeof(big) - 1, &p, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "bytes"));
	assert_int_equal(buf_addf(&b, "{\"version\":1,\"key\":\"" KEY "\",\"disk_len\":4096,"
				      "\"meta_len\":1,\"layers\":[],\"parts\":[" PART),
			 0);
	for (unsigned int i = 0; i < MERGE_LAYERS_MAX + 2; i++)
		assert_int_equal(buf_addf(&b, "," PART), 0);
	assert_int_equal(buf_addf(&b, "]}"), 0);
	assert_int_equal(store_parts_parse(b.data, b.len, &p, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "too many"));
}

static void key_changes_with_the_bytes(void **state)
{
	struct merge_part parts[3];
	struct store_parts p;
	char ids[2][80], keys[5][65];
	struct err e = { 0 };

	(void)state;
	sample(&p, parts, ids);
	assert_int_equal(store_parts_set_key(&p, "meta", 4, &e), 0);
	memcpy(keys[0], p.key, sizeof(p.key));
	assert_int_equal(store_parts_set_key(&p, "meta", 4, &e), 0);
	assert_string_equal(keys[0], p.key);
	assert_int_equal(store_parts_set_key(&p, "metb", 4, &e), 0);
	memcpy(keys[1], p.key, sizeof(p.key));
	parts[1].disk_off += 4096;
	assert_int_equal(store_parts_set_key(&p, "meta", 4, &e), 0);
	memcpy(keys[2], p.key, sizeof(p.key));
	ids[1][70] = '0';
	assert_int_equal(store_parts_set_key(&p, "meta", 4, &e), 0);
	memcpy(keys[3], p.key, sizeof(p.key));
	p.disk_len += 4096;
	assert_int_equal(store_parts_set_key(&p, "meta", 4, &e), 0);
	memcpy(keys[4], p.key, sizeof(p.key));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(keys[i], keys[k]);
	assert_int_equal(store_parts_check(&p, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(checked),
		cmocka_unit_test(parsed),
		cmocka_unit_test(too_much),
		cmocka_unit_test(key_changes_with_the_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
