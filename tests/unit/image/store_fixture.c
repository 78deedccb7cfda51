/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "digest.h"
#include "fdio.h"
#include "ltree.h"

int store_dir_make(struct store_dir *d)
{
	if (temp_dir_make(&d->dir) < 0)
		return -1;
	snprintf(d->root, sizeof(d->root), "%s/root", d->dir.path);
	snprintf(d->run, sizeof(d->run), "%s/run", d->dir.path);
	return 0;
}

int store_dir_remove(struct store_dir *d)
{
	return temp_dir_remove(&d->dir);
}

void fixture_digest(const void *data, size_t len, char ret[80])
{
	uint8_t md[EVP_MAX_MD_SIZE];

	EVP_Digest(data, len, md, NULL, EVP_sha256(), NULL);
	snprintf(ret, 80, "sha256:");
	for (size_t i = 0; i < 32; i++)
		snprintf(ret + 7 + 2 * i, 3, "%02x", md[i]);
}

int fixture_write(int dir_fd, const char *name, const void *data, size_t len, struct err *e)
{
	auto_fd fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : fd_write_full(fd, data, len);

	return rc < 0 ? err_set(e, -rc, "write %s", name) : 0;
}

static int blob_arrives(struct store_ingest *in, const char *text, struct store_blob *ret,
			struct err *e)
{
	auto_fd there = -1;
	struct err ignored = { 0 };

	if (digest_of(text, strlen(text), ret->digest, e) < 0)
		return -e->code;
	snprintf(ret->media_type, sizeof(ret->media_type), "application/x-test");
	ret->size = strlen(text);
	if (store_ingest_blob_open(in, ret->digest, ret->size, &there, &ignored) == 0)
		return 0;
	return fixture_write(store_ingest_partial_fd(in), ret->digest + 7, text, ret->size, e);
}

int fixture_tree_write(int fd, const char *text, uint64_t data_len)
{
	uint8_t end[LTREE_TRAILER_SIZE] = LTREE_TRAILER_MAGIC;
	int rc = fd_write_full(fd, text, strlen(text));

	put_le64(end + LTREE_TRAILER_DATALEN, data_len);
	return rc < 0 ? rc : fd_write_full(fd, end, sizeof(end));
}

/* The layer's data is its text in one block. */
static int layer_make(struct store_ingest *in, const char *diff_id, const char *text, struct err *e)
{
	struct store_claim c = STORE_CLAIM_NONE;
	enum store_claim_state state;
	char block[LTREE_BLOCK] = { 0 };
	int rc;

	if (store_layer_claim(in, diff_id, &c, &state, e) < 0)
		return -e->code;
	if (state == STORE_CLAIM_PRESENT)
		return 0;
	if (state == STORE_CLAIM_BUSY)
		return err_plain(e, EBUSY, "layer is busy");
	snprintf(block, sizeof(block), "%s", text);
	rc = fd_write_full(c.data_fd, block, sizeof(block));
	if (rc == 0)
		rc = fixture_tree_write(c.tree_fd, text, sizeof(block));
	if (rc < 0)
		(void)err_set(e, -rc, "layer");
	else
		rc = store_layer_keep(in, &c, sizeof(block), e);
	store_claim_drop(in, &c);
	return rc;
}

static int meta_make(struct store_ingest *in, const char *id, char (*diff_ids)[80], uint32_t n,
		     struct err *e)
{
	struct merge_part parts[6] = { { .kind = MERGE_PART_META_HEAD, .len = LTREE_BLOCK } };
	struct store_parts p = { .diff_ids = diff_ids, .n_layers = n, .parts = parts };
	struct store_claim c = STORE_CLAIM_NONE;
	enum store_claim_state state;
	char block[LTREE_BLOCK] = "metadata";
	int rc;

	for (p.n_parts = 1; p.n_parts <= n; p.n_parts++)
		parts[p.n_parts] =
			(struct merge_part){ .kind = MERGE_PART_LAYER,
					     .layer = p.n_parts - 1,
					     .disk_off = p.n_parts * (uint64_t)LTREE_ALIGN,
					     .len = LTREE_BLOCK };
	parts[p.n_parts++] = (struct merge_part){ .kind = MERGE_PART_META,
						  .disk_off = (n + 1) * (uint64_t)LTREE_ALIGN,
						  .len = LTREE_BLOCK };
	p.disk_len = (n + 1) * (uint64_t)LTREE_ALIGN + LTREE_BLOCK;
	p.meta_len = LTREE_BLOCK;
	if (store_meta_claim(in, id, &c, &state, e) < 0)
		return -e->code;
	if (state != STORE_CLAIM_MINE)
		return state == STORE_CLAIM_PRESENT ? 0 : err_plain(e, EBUSY, "metadata is busy");
	rc = fd_write_full(c.data_fd, block, sizeof(block));
	if (rc < 0)
		(void)err_set(e, -rc, "metadata");
	else
		rc = store_meta_keep(in, &c, &p, e);
	store_claim_drop(in, &c);
	return rc;
}

static int image_bring(struct store_ingest *in, const struct fixture_image *f, char ret_id[80],
		       struct err *e)
{
	struct store_blob blobs[5], manifest;
	char diff_ids[4][80], text[256];

	if (blob_arrives(in, f->config, &blobs[0], e) < 0)
		return -e->code;
	snprintf(text, sizeof(text), "manifest of %s", f->config);
	if (blob_arrives(in, text, &manifest, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < f->n_layers; i++) {
		snprintf(text, sizeof(text), "compressed %s", f->layers[i]);
		if (digest_of(f->layers[i], strlen(f->layers[i]), diff_ids[i], e) < 0 ||
		    blob_arrives(in, text, &blobs[i + 1], e) < 0 ||
		    layer_make(in, diff_ids[i], f->layers[i], e) < 0)
			return -e->code;
	}
	if (meta_make(in, blobs[0].digest, diff_ids, f->n_layers, e) < 0)
		return -e->code;
	snprintf(ret_id, 80, "%s", blobs[0].digest);
	return store_ingest_commit(in,
				   &(struct store_new_image){
					   .id = blobs[0].digest,
					   .os = "linux",
					   .architecture = "amd64",
					   .variant = "",
					   .created_ns = 1700000000000000000,
					   .manifest = &manifest,
					   .blobs = blobs,
					   .n_blobs = f->n_layers + 1,
					   .diff_ids = (const char(*)[80])diff_ids,
					   .n_layers = f->n_layers,
					   .digest = manifest.digest,
					   .tag_ref = f->tag_ref,
					   .digest_ref = f->digest_ref,
				   },
				   e);
}

int fixture_ingest(struct store *s, const struct fixture_image *f, char ret_id[80], struct err *e)
{
	struct store_ingest *in;
	int rc;

	if (store_ingest_begin(s, &in, e) < 0)
		return -e->code;
	rc = image_bring(in, f, ret_id, e);
	store_ingest_end(in);
	return rc;
}

char *fixture_read(struct store *s, const char *name)
{
	auto_buf b = { 0 };
	struct err e = { 0 };

	if (file_read_at(store_root_fd(s), name, 1 << 20, &b, &e) < 0)
		return NULL;
	return buf_take_str(&b);
}

unsigned fixture_count(struct store *s, const char *dir)
{
	int fd = openat(store_root_fd(s), dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir d = fd < 0 ? NULL : fdopendir(fd);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	return n - 2; /* "." and ".." */
}
