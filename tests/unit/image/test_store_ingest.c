/* SPDX-License-Identifier: MIT */
/* test_store_ingest.c - images brought in, claimed, broken off, and collected */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "fdio.h"
#include "store_fixture.h"

static struct store_dir dir;

struct place {
	struct store *s, *other; /* two processes, as far as the store can tell */
};

static int setup(void **state)
{
	static struct place p;
	struct err e = { 0 };

	*state = &p;
	return store_dir_make(&dir) || store_open(dir.root, dir.run, &p.s, &e) < 0 ||
	       store_open(dir.root, dir.run, &p.other, &e) < 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	store_close(p->s);
	store_close(p->other);
	return store_dir_remove(&dir);
}

static const struct fixture_image one = {
	{ "base", "app" }, 2, "config one", "docker.io/library/one:latest", NULL
};
static const struct fixture_image two = {
	{ "base", "other" }, 2, "config two", "docker.io/library/two:latest", NULL
};

static void bring(struct store *s, const struct fixture_image *f, char ret_id[80])
{
	struct err e = { 0 };

	if (fixture_ingest(s, f, ret_id, &e) < 0)
		fail_msg("%s", e.msg);
}

static void image_is_there(struct store *s, const char *name, const char *id)
{
	struct store_image img;
	struct store_disk d;
	struct err e = { 0 };

	if (store_image_find(s, name, &img, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(img.id, id);
	if (store_image_disk(s, id, &d, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(d.n_parts, 4);
	assert_int_equal(strlen(d.key), 64);
	store_disk_done(&d);
}

/* A command that was killed between the database and the file leaves an old one, or none. */
static void index_is_mended(struct store *s, const char *index)
{
	struct err e = { 0 };

	for (int has_old = 0; has_old < 2; has_old++) {
		char *now;

		assert_int_equal(unlinkat(store_root_fd(s), "index.json", 0), 0);
		if (has_old)
			assert_int_equal(fixture_write(store_root_fd(s), "index.json", "{}", 2, &e),
					 0);
		assert_int_equal(store_index_mend(s, &e), 0);
		now = fixture_read(s, "index.json");
		assert_string_equal(now, index);
		free(now);
	}
}

static void whole_image(void **state)
{
	struct place *p = *state;
	char id[80], *index;
	char *config;
	size_t len;
	struct err e = { 0 };

	bring(p->s, &one, id);
	image_is_there(p->s, "docker.io/library/one:latest", id);
	image_is_there(p->other, "docker.io/library/one:latest", id);
	assert_int_equal(store_image_config(p->s, id, &config, &len, &e), 0);
	assert_int_equal(len, strlen(one.config));
	assert_memory_equal(config, one.config, len);
	free(config);
	index = fixture_read(p->s, "index.json");
	assert_non_null(index);
	assert_non_null(strstr(index, "one"));
	index_is_mended(p->s, index);
	free(index);
	assert_int_equal(fixture_count(p->s, "partial"), 0);
	assert_int_equal(fixture_count(p->s, "blobs/sha256"), 4); /* config, manifest, two layers */
	assert_int_equal(fixture_count(p->s, "layers"), 4);
	/* again: nothing is made twice */
	bring(p->other, &one, id);
	assert_int_equal(fixture_count(p->s, "blobs/sha256"), 4);
	assert_int_equal(fixture_count(p->s, "layers"), 4);
}

static void begin(struct store *s, struct store_ingest **ret)
{
	struct err e = { 0 };

	if (store_ingest_begin(s, ret, &e) < 0)
		fail_msg("%s", e.msg);
}

static enum store_claim_state claim(struct store_ingest *in, const char *text,
				    struct store_claim *c)
{
	enum store_claim_state state;
	char id[80];
	struct err e = { 0 };

	fixture_digest(text, strlen(text), id);
	if (store_layer_claim(in, id, c, &state, &e) < 0)
		fail_msg("%s", e.msg);
	return state;
}

static void claims_exclude_each_other(void **state)
{
	struct place *p = *state;
	struct store_claim c = STORE_CLAIM_NONE, d = STORE_CLAIM_NONE;
	struct store_ingest *a, *b;
	char zeros[4096] = { 0 };
	struct err e = { 0 };

	begin(p->s, &a);
	begin(p->other, &b); /* both may bring something in */
	assert_int_equal(claim(a, "layer", &c), STORE_CLAIM_MINE);
	assert_true(c.data_fd >= 0 && c.tree_fd >= 0 && c.is_layer);
	assert_int_equal(claim(b, "layer", &d), STORE_CLAIM_BUSY);
	assert_int_equal(d.data_fd, -1);
	store_claim_drop(a, &c); /* given up: free for others, nothing left behind */
	store_claim_drop(a, &c);
	assert_int_equal(fixture_count(p->s, "layers"), 0);
	assert_int_equal(claim(b, "layer", &d), STORE_CLAIM_MINE);
	assert_int_equal(fd_write_full(d.data_fd, zeros, sizeof(zeros)), 0);
	assert_int_equal(store_layer_keep(b, &d, 8192, &e), -EBADMSG); /* not so long */
	assert_int_equal(fixture_tree_write(d.tree_fd, "tree", 4096), 0);
	assert_int_equal(store_layer_keep(b, &d, 4096, &e), 0);
	assert_int_equal(d.data_fd, -1);
	assert_int_equal(claim(a, "layer", &c), STORE_CLAIM_PRESENT);
	store_ingest_end(a);
	store_ingest_end(b);
	store_ingest_end(NULL);
}

static void bad_ids(void **state)
{
	static const char *const ids[] = {
		"",
		"sha256:",
		"sha256:../../../../etc/passwd",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
		"sha512:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	};
	struct place *p = *state;
	struct store_ingest *in;

	begin(p->s, &in);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct store_claim c = STORE_CLAIM_NONE;
		enum store_claim_state st;
		struct store_disk d;
		struct err e = { 0 };
		int fd;

		assert_int_equal(store_layer_claim(in, ids[i], &c, &st, &e), -EINVAL);
		assert_int_equal(store_meta_claim(in, ids[i], &c, &st, &e), -EINVAL);
		assert_int_equal(store_ingest_blob_open(in, ids[i], 0, &fd, &e), -EINVAL);
		assert_int_equal(store_blob_open(p->s, ids[i], &fd, &e), -EINVAL);
		assert_int_equal(store_layer_tree_open(p->s, ids[i], &fd, &e), -EINVAL);
		assert_int_equal(store_image_disk(p->s, ids[i], &d, &e), -EINVAL);
		store_ingest_blob_spoil(in, ids[i]);
	}
	store_ingest_end(in);
}

static void blobs_are_found_in_both_places(void **state)
{
	struct place *p = *state;
	struct store_ingest *in;
	char id[80];
	struct err e = { 0 };
	int fd;

	begin(p->s, &in);
	fixture_digest("blob", 4, id);
	assert_int_equal(store_ingest_blob_open(in, id, 4, &fd, &e), -ENOENT);
	assert_int_equal(fixture_write(store_ingest_partial_fd(in), id + 7, "bl", 2, &e), 0);
	assert_int_equal(store_ingest_blob_open(in, id, 4, &fd, &e), -EBADMSG); /* half of it */
	assert_int_equal(fixture_write(store_ingest_partial_fd(in), id + 7, "blob", 4, &e), 0);
	assert_int_equal(store_ingest_blob_open(in, id, 4, &fd, &e), 0);
	close(fd);
	assert_int_equal(store_blob_open(p->s, id, &fd, &e), -ENOENT); /* not committed */
	store_ingest_blob_spoil(in, id);
	assert_int_equal(store_ingest_blob_open(in, id, 0, &fd, &e), -ENOENT);
	assert_false(store_ingest_has_spoiled(in));
	assert_int_equal(fixture_write(store_ingest_blobs_fd(in), id + 7, "blob", 4, &e), 0);
	store_ingest_blob_spoil(in, id);
	assert_int_equal(store_ingest_blob_open(in, id, 0, &fd, &e), -ENOENT);
	assert_true(store_ingest_has_spoiled(in));
	/* a link or a directory is no blob */
	assert_int_equal(symlinkat("/etc/passwd", store_ingest_partial_fd(in), id + 7), 0);
	assert_int_equal(store_ingest_blob_open(in, id, 0, &fd, &e), -ELOOP);
	assert_int_equal(unlinkat(store_ingest_partial_fd(in), id + 7, 0), 0);
	assert_int_equal(mkdirat(store_ingest_partial_fd(in), id + 7, 0700), 0);
	assert_int_equal(store_ingest_blob_open(in, id, 0, &fd, &e), -EBADMSG);
	store_ingest_end(in);
}

static void touch(struct store *s, const char *name_format, const char *text, const char *ext)
{
	char id[80], name[128];
	struct err e = { 0 };

	fixture_digest(text, strlen(text), id);
	snprintf(name, sizeof(name), "%s/%s%s", name_format, id + 7, ext);
	assert_int_equal(fixture_write(store_root_fd(s), name, "leftover", 8, &e), 0);
}

/* Files as a maker leaves them that was killed at some point. */
static void leftovers_are_taken_over(void **state)
{
	struct place *p = *state;
	char id[80];

	touch(p->s, "layers", "base", ".data.new"); /* while it was written */
	touch(p->s, "layers", "base", ".tree.new");
	touch(p->s, "layers", "app", ".data"); /* between the two names: no record */
	touch(p->s, "layers", "app", ".tree.new");
	touch(p->s, "images", "config one", ".meta.new");
	touch(p->s, "images", "config one", ".json.new");
	bring(p->s, &one, id);
	image_is_there(p->s, "docker.io/library/one:latest", id);
	assert_int_equal(fixture_count(p->s, "layers"), 4);
	assert_int_equal(fixture_count(p->s, "images"), 2);
}

static void leftovers_are_collected(void **state)
{
	struct place *p = *state;
	char id[80];
	uint64_t freed = 0;
	struct err e = { 0 };

	bring(p->s, &one, id);
	touch(p->s, "layers", "unknown", ".data");
	touch(p->s, "layers", "unknown", ".tree");
	touch(p->s, "layers", "base", ".data.new");
	touch(p->s, "images", "unknown", ".meta");
	touch(p->s, "blobs/sha256", "unknown", "");
	touch(p->s, "partial", "unknown", ""); /* young: kept for resumption */
	assert_int_equal(store_gc(p->s, 0, 0, &freed, &e), 0);
	assert_true(freed > 0);
	assert_int_equal(fixture_count(p->s, "layers"), 4);
	assert_int_equal(fixture_count(p->s, "images"), 2);
	assert_int_equal(fixture_count(p->s, "blobs/sha256"), 4);
	assert_int_equal(fixture_count(p->s, "partial"), 1);
	image_is_there(p->s, "docker.io/library/one:latest", id);
	assert_int_equal(store_gc(p->s, STORE_GC_PARTIAL, 0, &freed, &e), 0);
	assert_int_equal(fixture_count(p->s, "partial"), 0);
}

static void collection_keeps_what_is_shared(void **state)
{
	struct place *p = *state;
	char a[80], b[80];
	uint64_t freed;
	struct err e = { 0 };
	struct store_image img;

	bring(p->s, &one, a);
	bring(p->s, &two, b);
	assert_int_equal(fixture_count(p->s, "layers"), 6); /* "base" once */
	assert_int_equal(store_name_remove(p->s, one.tag_ref, &e), 0);
	assert_int_equal(store_name_remove(p->s, one.tag_ref, &e), -ENOENT);
	assert_int_equal(store_gc(p->s, 0, 0, &freed, &e), 0);
	assert_int_equal(fixture_count(p->s, "layers"), 4);
	assert_int_equal(store_image_find(p->s, a, &img, &e), -ENOENT);
	image_is_there(p->s, two.tag_ref, b);
	assert_int_equal(store_name_remove(p->s, two.tag_ref, &e), 0);
	assert_int_equal(store_gc(p->s, 0, 0, &freed, &e), 0);
	assert_int_equal(fixture_count(p->s, "layers"), 0);
	assert_int_equal(fixture_count(p->s, "images"), 0);
	assert_int_equal(fixture_count(p->s, "blobs/sha256"), 0);
}

static void machine_add(struct store *s, const char *image)
{
	char sql[300];

	snprintf(sql, sizeof(sql), "INSERT INTO machines VALUES('m','n','%s','{}','%s')", image,
		 "{\"status\":\"running\"}");
	assert_int_equal(sqlite3_exec(store_db(s), sql, NULL, NULL, NULL), SQLITE_OK);
}

static void machines_hold_their_image(void **state)
{
	struct place *p = *state;
	char id[80], machine[65], status[16];
	uint64_t freed;
	bool gone = true;
	struct err e = { 0 };

	bring(p->s, &one, id);
	machine_add(p->s, id);
	assert_int_equal(store_image_user(p->s, id, machine, status, &e), 1);
	assert_string_equal(machine, "m");
	assert_string_equal(status, "running");
	assert_int_equal(store_name_remove(p->s, one.tag_ref, &e), 0);
	assert_int_equal(store_image_forget(p->s, id, &gone, &e), 0);
	assert_false(gone);
	assert_int_equal(store_gc(p->s, STORE_GC_UNTAGGED, 0, &freed, &e), 0);
	image_is_there(p->s, id, id);
	assert_int_equal(sqlite3_exec(store_db(p->s), "DELETE FROM machines", NULL, NULL, NULL), 0);
	assert_int_equal(store_image_forget(p->s, id, &gone, &e), 0);
	assert_true(gone);
	assert_int_equal(store_gc(p->s, 0, 0, &freed, &e), 0);
	assert_int_equal(fixture_count(p->s, "layers"), 0);
}

static void untagged(void **state)
{
	struct place *p = *state;
	struct fixture_image f = one;
	char id[80];
	uint64_t freed;
	struct store_image img;
	struct err e = { 0 };

	f.tag_ref = NULL;
	f.digest_ref = "docker.io/library/one@sha256:"
		       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	bring(p->s, &f, id);
	assert_int_equal(store_gc(p->s, 0, 0, &freed, &e), 0);
	image_is_there(p->s, id, id);
	assert_int_equal(store_gc(p->s, STORE_GC_UNTAGGED, 0, &freed, &e), 0);
	assert_int_equal(store_image_find(p->s, id, &img, &e), -ENOENT);
}

static void collection_waits_for_ingests(void **state)
{
	struct place *p = *state;
	struct store_claim c = STORE_CLAIM_NONE;
	struct store_ingest *in;
	uint64_t freed = 7;
	struct err e = { 0 };

	begin(p->s, &in);
	assert_int_equal(claim(in, "layer", &c), STORE_CLAIM_MINE);
	assert_int_equal(store_gc(p->other, 0, 0, &freed, &e), -EBUSY);
	assert_int_equal(freed, 7);
	assert_int_equal(fixture_count(p->s, "layers"), 2);
	store_claim_drop(in, &c);
	store_ingest_end(in);
	assert_int_equal(store_gc(p->other, 0, 0, &freed, &e), 0);
}

static void layer_of_another_boot_is_made_anew(void **state)
{
	struct place *p = *state;
	struct store_claim c = STORE_CLAIM_NONE;
	struct store_ingest *in;
	char zeros[4096] = { 0 };
	struct err e = { 0 };

	begin(p->s, &in);
	assert_int_equal(claim(in, "layer", &c), STORE_CLAIM_MINE);
	assert_int_equal(fd_write_full(c.data_fd, zeros, sizeof(zeros)), 0);
	assert_int_equal(fixture_tree_write(c.tree_fd, "tree", 4096), 0);
	assert_int_equal(store_layer_keep(in, &c, 4096, &e), 0);
	assert_int_equal(claim(in, "layer", &c), STORE_CLAIM_PRESENT);
	assert_int_equal(
		sqlite3_exec(store_db(p->s), "UPDATE layers SET boot = 'before'", NULL, NULL, NULL),
		0);
	assert_int_equal(claim(in, "layer", &c), STORE_CLAIM_MINE);
	store_claim_drop(in, &c);
	/* a record without its files is none either */
	assert_int_equal(
		sqlite3_exec(store_db(p->s), "UPDATE layers SET boot = ''", NULL, NULL, NULL), 0);
	assert_int_equal(claim(in, "layer", &c), STORE_CLAIM_PRESENT);
	assert_int_equal(tree_remove_at(store_root_fd(p->s), "layers", &e), 0);
	assert_int_equal(mkdirat(store_root_fd(p->s), "layers", 0700), 0);
	assert_int_equal(claim(in, "layer", &c), STORE_CLAIM_MINE);
	store_claim_drop(in, &c);
	store_ingest_end(in);
}

static void layer_put(struct store_ingest *in, uint64_t data_len, uint64_t said)
{
	struct store_claim c = STORE_CLAIM_NONE;
	struct err e = { 0 };

	assert_int_equal(claim(in, "layer", &c), STORE_CLAIM_MINE);
	assert_int_equal(ftruncate(c.data_fd, (off_t)data_len), 0);
	assert_int_equal(fixture_tree_write(c.tree_fd, "some records", said), 0);
	assert_int_equal(store_layer_keep(in, &c, data_len, &e), 0);
}

static void file_cut(struct store *s, const char *ext, off_t off)
{
	char id[80], name[120];
	auto_fd fd = -1;
	struct stat st;

	fixture_digest("layer", 5, id);
	snprintf(name, sizeof(name), "layers/%s.%s", id + 7, ext);
	fd = openat(store_root_fd(s), name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(ftruncate(fd, off < 0 ? st.st_size + off : off), 0);
}

/* A record is believed where its files are as long as it says. */
static void layer_that_was_cut_off_is_made_anew(void **state)
{
	static const struct {
		const char *ext;
		off_t off; /* from the end if below 0 */
	} rows[] = { { "data", 0 }, { "data", -1 }, { "data", 4096 }, { "tree", 0 },
		     { "tree", 5 }, { "tree", -1 }, { "tree", -32 } };
	struct place *p = *state;
	struct store_claim c = STORE_CLAIM_NONE;
	struct store_ingest *in;

	begin(p->s, &in);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		layer_put(in, 8192, 8192);
		assert_int_equal(claim(in, "layer", &c), STORE_CLAIM_PRESENT);
		file_cut(p->s, rows[i].ext, rows[i].off);
		if (claim(in, "layer", &c) != STORE_CLAIM_MINE)
			fail_msg("row %zu: believed", i);
		store_claim_drop(in, &c);
	}
	layer_put(in, 8192, 4096); /* a tree of another data file */
	assert_int_equal(claim(in, "layer", &c), STORE_CLAIM_MINE);
	store_claim_drop(in, &c);
	store_ingest_end(in);
}

/* What was said to have arrived must have. */
static void commit_refuses(void **state)
{
	struct place *p = *state;
	struct store_ingest *in;
	struct store_blob blob = { .size = 4 }, manifest = { .size = 4 };
	char diff_ids[1][80];
	struct store_new_image img = { .os = "linux",
				       .architecture = "amd64",
				       .variant = "",
				       .manifest = &manifest,
				       .blobs = &blob,
				       .n_blobs = 1,
				       .diff_ids = (const char(*)[80])diff_ids,
				       .tag_ref = "docker.io/library/x:latest" };
	struct store_image found;
	struct err e = { 0 };

	begin(p->s, &in);
	fixture_digest("conf", 4, blob.digest);
	fixture_digest("mani", 4, manifest.digest);
	fixture_digest("layer", 5, diff_ids[0]);
	img.id = blob.digest;
	img.digest = "sha256:no";
	assert_int_equal(store_ingest_commit(in, &img, &e), -EINVAL);
	img.digest = manifest.digest;
	assert_int_equal(store_ingest_commit(in, &img, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "did not arrive"));
	img.n_layers = 1;
	assert_int_equal(store_ingest_commit(in, &img, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "was not made"));
	store_ingest_end(in);
	assert_int_equal(store_image_find(p->s, img.tag_ref, &found, &e), -ENOENT);
}

static void damaged_disk_is_told(void **state)
{
	struct place *p = *state;
	char id[80], name[120], layer[80];
	struct store_disk d;
	struct err e = { 0 };

	bring(p->s, &one, id);
	fixture_digest("app", 3, layer);
	snprintf(name, sizeof(name), "layers/%s.data", layer + 7);
	assert_int_equal(fixture_write(store_root_fd(p->s), name, "short", 5, &e), 0);
	assert_int_equal(store_image_disk(p->s, id, &d, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "shorter"));
	assert_int_equal(unlinkat(store_root_fd(p->s), name, 0), 0);
	assert_int_equal(store_image_disk(p->s, id, &d, &e), -ENOENT);
	snprintf(name, sizeof(name), "images/%s.json", id + 7);
	assert_int_equal(fixture_write(store_root_fd(p->s), name, "{}", 2, &e), 0);
	assert_int_equal(store_image_disk(p->s, id, &d, &e), -EBADMSG);
	/* brought in again, it is whole again */
	bring(p->s, &one, id);
	image_is_there(p->s, one.tag_ref, id);
}

/* Each command opens the store, changes a thing, and closes it. */
static void log_stays_short(void **state)
{
	struct place *p = *state;
	struct store_image img;
	struct err e = { 0 };
	struct stat st;
	char id[80];

	bring(p->s, &one, id);
	assert_int_equal(store_image_find(p->s, one.tag_ref, &img, &e), 0);
	store_close(p->s);
	store_close(p->other);
	p->s = p->other = NULL;
	for (int i = 0; i < 500; i++) {
		struct store *s;

		assert_int_equal(store_open(dir.root, dir.run, &s, &e), 0);
		if (store_name_set(s, "docker.io/library/tag:1", &img, &e) < 0)
			fail_msg("%s", e.msg);
		if (fstatat(store_root_fd(s), "caisson.db-wal", &st, 0) < 0)
			st.st_size = 0;
		store_close(s);
		assert_in_range(st.st_size, 0, 2300000);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(whole_image),
		TEST(claims_exclude_each_other),
		TEST(bad_ids),
		TEST(blobs_are_found_in_both_places),
		TEST(leftovers_are_taken_over),
		TEST(leftovers_are_collected),
		TEST(collection_keeps_what_is_shared),
		TEST(machines_hold_their_image),
		TEST(untagged),
		TEST(collection_waits_for_ingests),
		TEST(layer_of_another_boot_is_made_anew),
		TEST(layer_that_was_cut_off_is_made_anew),
		TEST(commit_refuses),
		TEST(damaged_disk_is_told),
		TEST(log_stays_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
