/* SPDX-License-Identifier: MIT */
/*
 * store_ingest.c - from arrived bytes to an image that a power cut cannot take away
 *
 * Order of a commit: (1) sync what is new: blobs still in partial/, layers written in this boot,
 * metadata; (2) give it its final names, sync the directories; (3) record it in the database,
 * synced; (4) index.json, which is made from the database and lags behind after a crash until
 * images are listed. Before (3) nothing refers to the new files, so each prefix of the order is a
 * good store.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fdio.h"
#include "log.h"
#include "store_ingest_internal.h"

#define STORE_LOCK_NAME ".lock"
#define NAME_SIZE       96

static int dir_open(struct store *s, const char *name, int *ret_fd, struct err *e)
{
	*ret_fd = openat(s->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? err_set(e, errno, "open %s/%s", s->root, name) : 0;
}

int store_ingest_begin(struct store *s, struct store_ingest **ret, struct err *e)
{
	struct store_ingest *in = calloc(1, sizeof(*in));

	if (!in)
		return err_set(e, ENOMEM, "ingest");
	in->s = s;
	in->lock_fd = in->partial_fd = in->blobs_fd = in->json_fd = -1;
	in->meta = (struct store_claim)STORE_CLAIM_NONE;
	if (store_db_need(s, e) < 0 ||
	    store_lock(s, STORE_LOCK_NAME, STORE_LOCK_SHARED, STORE_LOCK_WAIT_MS, &in->lock_fd, e) <
		    0 ||
	    dir_open(s, STORE_PARTIAL_DIR, &in->partial_fd, e) < 0 ||
	    dir_open(s, "blobs/sha256", &in->blobs_fd, e) < 0) {
		store_ingest_end(in);
		return -e->code;
	}
	*ret = in;
	return 0;
}

void store_ingest_end(struct store_ingest *in)
{
	if (!in)
		return;
	store_claim_drop(in, &in->meta);
	fd_drop(&in->json_fd);
	fd_drop(&in->partial_fd);
	fd_drop(&in->blobs_fd);
	fd_drop(&in->lock_fd);
	free(in);
}

int store_ingest_partial_fd(const struct store_ingest *in)
{
	return in->partial_fd;
}

int store_ingest_blobs_fd(const struct store_ingest *in)
{
	return in->blobs_fd;
}

static int sized_open(int dir_fd, const char *hex, uint64_t size, int *ret_fd, struct err *e)
{
	auto_fd fd = openat(dir_fd, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return err_set(e, errno, "open blob %.12s", hex);
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "stat blob %.12s", hex);
	if (!S_ISREG(st.st_mode) || (size && (uint64_t)st.st_size != size))
		return err_plain(e, EBADMSG, "blob %.12s has not its size", hex);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int store_ingest_blob_open(struct store_ingest *in, const char *digest, uint64_t size, int *ret_fd,
			   struct err *e)
{
	struct err first = { 0 };

	if (!store_id_is_valid(digest))
		return err_plain(e, EINVAL, "\"%s\" is no sha256 digest", digest);
	if (sized_open(in->blobs_fd, store_id_hex(digest), size, ret_fd, &first) == 0)
		return 0;
	return sized_open(in->partial_fd, store_id_hex(digest), size, ret_fd, e);
}

int store_blob_open(struct store *s, const char *digest, int *ret_fd, struct err *e)
{
	char name[NAME_SIZE];

	if (!store_id_is_valid(digest))
		return err_plain(e, EINVAL, "\"%s\" is no sha256 digest", digest);
	snprintf(name, sizeof(name), "blobs/sha256/%s", store_id_hex(digest));
	return sized_open(s->root_fd, name, 0, ret_fd, e);
}

void store_ingest_blob_spoil(struct store_ingest *in, const char *digest)
{
	if (!store_id_is_valid(digest))
		return;
	if (unlinkat(in->blobs_fd, store_id_hex(digest), 0) == 0)
		in->has_spoiled = true;
	(void)unlinkat(in->partial_fd, store_id_hex(digest), 0); /* may not be there */
}

bool store_ingest_has_spoiled(const struct store_ingest *in)
{
	return in->has_spoiled;
}

/* ---- (1) sync ---- */

static int sync_named(int dir_fd, const char *name, struct err *e)
{
	auto_fd fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : err_set(e, errno, "open %s", name);
	return fdatasync(fd) < 0 ? err_set(e, errno, "sync %s", name) : 0;
}

/* Layers that this boot has written, whoever it was: theirs may not have been synced yet. */
static int sync_layers(struct store_ingest *in, const char (*ids)[80], uint32_t n, struct err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		auto_stmt st = NULL;
		char name[NAME_SIZE];
		int rc;

		if (store_db_query(in->s, &st, e, "SELECT boot FROM layers WHERE diff_id = ?", "t",
				   ids[i]) < 0)
			return -e->code;
		rc = store_db_step(in->s, st, e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return err_plain(e, ENOENT, "layer %.19s was not made", ids[i]);
		if (*store_db_text(st, 0) == '\0')
			continue;
		snprintf(name, sizeof(name), "layers/%s.data", store_id_hex(ids[i]));
		if (sync_named(in->s->root_fd, name, e) < 0)
			return -e->code;
		snprintf(name, sizeof(name), "layers/%s.tree", store_id_hex(ids[i]));
		if (sync_named(in->s->root_fd, name, e) < 0)
			return -e->code;
	}
	return 0;
}

static int sync_blobs(struct store_ingest *in, const struct store_new_image *img, struct err *e)
{
	for (uint32_t i = 0; i < img->n_blobs; i++)
		if (sync_named(in->partial_fd, store_id_hex(img->blobs[i].digest), e) < 0)
			return -e->code;
	for (uint32_t i = 0; i < img->n_docs; i++)
		if (sync_named(in->partial_fd, store_id_hex(img->docs[i]), e) < 0)
			return -e->code;
	return sync_named(in->partial_fd, store_id_hex(img->manifest->digest), e);
}

static int sync_meta(struct store_ingest *in, struct err *e)
{
	if (in->meta.data_fd < 0)
		return 0;
	if (fdatasync(in->meta.data_fd) < 0 || fdatasync(in->json_fd) < 0)
		return err_set(e, errno, "sync metadata");
	return 0;
}

/* ---- (2) final names ---- */

enum blob_duty { BLOB_MUST_BE, BLOB_MAY_BE };

/* Another pull may have been quicker: then the blob has its name already. */
static int blob_place(struct store_ingest *in, const char *digest, enum blob_duty duty,
		      struct err *e)
{
	const char *hex = store_id_hex(digest);
	struct stat st;

	if (fstatat(in->partial_fd, hex, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
		(void)!fchmodat(in->partial_fd, hex, 0600, 0);
		if (renameat(in->partial_fd, hex, in->blobs_fd, hex) == 0)
			return 0;
		if (errno != ENOENT)
			return err_set(e, errno, "rename blob %.12s", hex);
	}
	if (duty == BLOB_MAY_BE || faccessat(in->blobs_fd, hex, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return err_plain(e, ENOENT, "blob %.12s did not arrive", hex);
}

static int blobs_place(struct store_ingest *in, const struct store_new_image *img, struct err *e)
{
	for (uint32_t i = 0; i < img->n_blobs; i++)
		if (blob_place(in, img->blobs[i].digest, BLOB_MUST_BE, e) < 0)
			return -e->code;
	for (uint32_t i = 0; i < img->n_docs; i++)
		if (blob_place(in, img->docs[i], BLOB_MAY_BE, e) < 0)
			return -e->code;
	return blob_place(in, img->manifest->digest, BLOB_MUST_BE, e);
}

static int dirs_sync(struct store_ingest *in, struct err *e)
{
	static const char *const dirs[] = { "layers", "images" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		auto_fd fd = -1;

		if (dir_open(in->s, dirs[i], &fd, e) < 0)
			return -e->code;
		if (fsync(fd) < 0)
			return err_set(e, errno, "sync %s", dirs[i]);
	}
	return fsync(in->blobs_fd) < 0 ? err_set(e, errno, "sync blobs") : 0;
}

static int meta_place(struct store_ingest *in, struct err *e)
{
	return in->meta.data_fd < 0 ? 0 : store_claim_rename(in, &in->meta, e);
}

/* The metadata has its name now, and its lock may go. */
static void meta_done(struct store_ingest *in)
{
	fd_drop(&in->meta.data_fd);
	fd_drop(&in->json_fd);
}

/* ---- (3) records ---- */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int record_layers(struct store *s, const char *image_id, const char (*ids)[80], uint32_t n,
			 struct err *e)
{
	for (uint32_t i = 0; i < n; i++)
		if (store_db_run(s, e,
				 "INSERT OR REPLACE INTO image_layers(image_id, pos, diff_id)"
				 " VALUES(?, ?, ?)",
				 "tit", image_id, (int64_t)i, ids[i]) < 0 ||
		    store_db_run(s, e, "UPDATE layers SET boot = '' WHERE diff_id = ?", "t",
				 ids[i]) < 0)
			return -e->code;
	return 0;
}

static int record_manifest(struct store *s, const struct store_new_image *img, struct err *e)
{
	const struct store_blob *m = img->manifest;

	if (store_db_run(s, e,
			 "INSERT OR IGNORE INTO manifests(digest, image_id, media_type, size)"
			 " VALUES(?, ?, ?, ?)",
			 "ttti", m->digest, img->id, m->media_type, (int64_t)m->size) < 0)
		return -e->code;
	for (uint32_t i = 0; i < img->n_blobs; i++)
		if (store_db_run(s, e,
				 "INSERT OR IGNORE INTO manifest_blobs(manifest, pos, digest,"
				 " media_type, size) VALUES(?, ?, ?, ?, ?)",
				 "titti", m->digest, (int64_t)i, img->blobs[i].digest,
				 img->blobs[i].media_type, (int64_t)img->blobs[i].size) < 0)
			return -e->code;
	return 0;
}

static int record_name(struct store *s, const struct store_new_image *img, const char *ref,
		       bool is_digest, struct err *e)
{
	if (!ref)
		return 0;
	return store_db_run(
		s, e,
		"INSERT OR REPLACE INTO names(ref, is_digest, image_id, digest, manifest)"
		" VALUES(?, ?, ?, ?, ?)",
		"tittt", ref, (int64_t)is_digest, img->id, img->digest, img->manifest->digest);
}

static int record_image(struct store *s, const struct store_new_image *img, struct err *e)
{
	if (store_db_run(
		    s, e,
		    "INSERT INTO images(id, os, architecture, variant, created_ns, added_ns, size)"
		    " VALUES(?, ?, ?, ?, ?, ?, 0) ON CONFLICT(id) DO NOTHING",
		    "ttttii", img->id, img->os, img->architecture, img->variant, img->created_ns,
		    now_ns()) < 0 ||
	    record_layers(s, img->id, img->diff_ids, img->n_layers, e) < 0)
		return -e->code;
	return store_db_run(
		s, e,
		"UPDATE images SET size = (SELECT coalesce(sum(l.data_len), 0)"
		" FROM image_layers i JOIN layers l USING(diff_id) WHERE i.image_id = ?1)"
		" WHERE id = ?1",
		"t", img->id);
}

static int record_all(struct store *s, const struct store_new_image *img, struct err *e)
{
	auto_txn txn = { 0 };

	if (store_txn_begin(&txn, s, STORE_TXN_DURABLE, e) < 0 || record_image(s, img, e) < 0 ||
	    record_manifest(s, img, e) < 0 || record_name(s, img, img->tag_ref, false, e) < 0 ||
	    record_name(s, img, img->digest_ref, true, e) < 0)
		return -e->code;
	return store_txn_commit(&txn, e);
}

static bool new_image_is_sound(const struct store_new_image *img)
{
	bool ok = store_id_is_valid(img->id) && store_id_is_valid(img->manifest->digest) &&
		  store_id_is_valid(img->digest);

	for (uint32_t i = 0; ok && i < img->n_blobs; i++)
		ok = store_id_is_valid(img->blobs[i].digest);
	for (uint32_t i = 0; ok && i < img->n_layers; i++)
		ok = store_id_is_valid(img->diff_ids[i]);
	for (uint32_t i = 0; ok && i < img->n_docs; i++)
		ok = store_id_is_valid(img->docs[i]);
	return ok;
}

int store_ingest_commit(struct store_ingest *in, const struct store_new_image *img, struct err *e)
{
	struct err index_err = { 0 };

	if (!new_image_is_sound(img))
		return err_plain(e, EINVAL, "the image has a digest that is not sha256");
	if (sync_layers(in, img->diff_ids, img->n_layers, e) < 0 || sync_blobs(in, img, e) < 0 ||
	    sync_meta(in, e) < 0)
		return -e->code;
	if (blobs_place(in, img, e) < 0 || meta_place(in, e) < 0 || dirs_sync(in, e) < 0)
		return -e->code;
	if (record_all(in->s, img, e) < 0)
		return -e->code;
	meta_done(in);
	if (store_index_write(in->s, &index_err) < 0)
		log_warn("%s", index_err.msg); /* the next change writes it again */
	return 0;
}

int store_ingest_commit_disk(struct store_ingest *in, const char *image_id, struct err *e)
{
	struct store_ids ids = { 0 };
	auto_txn txn = { 0 };
	int rc = store_image_layers(in->s, image_id, &ids, e);

	if (rc == 0 && (sync_layers(in, (const char(*)[80])ids.v, ids.n, e) < 0 ||
			sync_meta(in, e) < 0 || meta_place(in, e) < 0 || dirs_sync(in, e) < 0 ||
			store_txn_begin(&txn, in->s, STORE_TXN_DURABLE, e) < 0 ||
			record_layers(in->s, image_id, (const char(*)[80])ids.v, ids.n, e) < 0 ||
			store_txn_commit(&txn, e) < 0))
		rc = -e->code;
	store_ids_done(&ids);
	if (rc == 0)
		meta_done(in);
	return rc;
}
