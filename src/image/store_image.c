/* SPDX-License-Identifier: MIT */
/*
 * store_image.c - looking images up
 *
 * A name is taken as Docker takes it: "sha256:" and 64 hex digits, or 64 hex digits, are an id;
 * then comes the table of names; then the id prefix, which must be unique.
 */
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <string.h>

#include "fdio.h"
#include "json_text.h"
#include "ref.h"
#include "store_internal.h"
#include "store_write.h"

#define NAME_SIZE  96
#define LIST_MAX   1000000U
#define PREFIX_MIN 1U

/* Columns of every query that fills a store_image. */
#define IMAGE_COLUMNS                                                                              \
	"n.ref, i.id, n.digest, n.manifest, i.created_ns, i.size"                                  \
	" FROM names n JOIN images i ON i.id = n.image_id"
/* The same for an image that may have no name. */
#define NAMELESS_COLUMNS                                                                           \
	"'', i.id, coalesce((SELECT min(digest) FROM manifests m WHERE m.image_id = i.id), ''),"   \
	" coalesce((SELECT min(digest) FROM manifests m WHERE m.image_id = i.id), ''),"            \
	" i.created_ns, i.size FROM images i"

static void text_copy(char *to, size_t size, sqlite3_stmt *st, int col)
{
	snprintf(to, size, "%s", store_db_text(st, col));
}

static void image_from_row(sqlite3_stmt *st, struct store_image *img)
{
	memset(img, 0, sizeof(*img));
	text_copy(img->ref, sizeof(img->ref), st, 0);
	text_copy(img->id, sizeof(img->id), st, 1);
	text_copy(img->digest, sizeof(img->digest), st, 2);
	text_copy(img->manifest, sizeof(img->manifest), st, 3);
	img->created_ns = sqlite3_column_int64(st, 4);
	img->size = (uint64_t)sqlite3_column_int64(st, 5);
}

/* 1 and the first row of the query, 0 when there is none. */
static int image_query(struct store *s, const char *sql, const char *arg, struct store_image *ret,
		       struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (store_db_query(s, &st, e, sql, "t", arg) < 0)
		return -e->code;
	rc = store_db_step(s, st, e);
	if (rc > 0)
		image_from_row(st, ret);
	return rc;
}

/* With a tag if it has one, then with a digest, then without a name. */
static int find_by_id(struct store *s, const char *id, struct store_image *ret, struct err *e)
{
	int rc = image_query(s,
			     "SELECT " IMAGE_COLUMNS " WHERE i.id = ?"
			     " ORDER BY n.is_digest, n.ref LIMIT 1",
			     id, ret, e);

	if (rc == 0)
		rc = image_query(s, "SELECT " NAMELESS_COLUMNS " WHERE i.id = ?", id, ret, e);
	return rc;
}

static int find_by_name(struct store *s, const char *name, struct store_image *ret, struct err *e)
{
	char ref[STORE_REF_SIZE];

	if (!ref_normalise(name, ref, sizeof(ref)))
		return 0;
	return image_query(s, "SELECT " IMAGE_COLUMNS " WHERE n.ref = ?", ref, ret, e);
}

static int find_by_prefix(struct store *s, const char *name, struct store_image *ret, struct err *e)
{
	const char *hex = strncmp(name, "sha256:", 7) == 0 ? name + 7 : name;
	size_t n = strlen(hex);
	char id[STORE_ID_SIZE] = "";
	auto_stmt st = NULL;
	int rc;

	if (n < PREFIX_MIN || n > STORE_HEX_LEN || strspn(hex, "0123456789abcdef") != n)
		return 0;
	/* digits and letters only, so the bounds are plain: every id with this prefix lies between
	 */
	if (store_db_query(s, &st, e,
			   "SELECT id FROM images WHERE id >= 'sha256:' || ?1"
			   " AND id < 'sha256:' || ?1 || 'g' LIMIT 2",
			   "t", hex) < 0)
		return -e->code;
	rc = store_db_step(s, st, e);
	if (rc <= 0)
		return rc;
	text_copy(id, sizeof(id), st, 0);
	rc = store_db_step(s, st, e);
	if (rc > 0)
		return err_plain(e, EINVAL, "Multiple IDs found with provided prefix: %s", hex);
	return rc < 0 ? rc : find_by_id(s, id, ret, e);
}

int store_image_find(struct store *s, const char *name, struct store_image *ret, struct err *e)
{
	char id[STORE_ID_SIZE];
	int rc;

	snprintf(id, sizeof(id), "%s%s", strlen(name) == STORE_HEX_LEN ? "sha256:" : "", name);
	if (store_id_is_valid(id))
		rc = find_by_id(s, id, ret, e);
	else
		rc = find_by_name(s, name, ret, e);
	if (rc == 0)
		rc = find_by_prefix(s, name, ret, e);
	if (rc == 0)
		return err_plain(e, ENOENT, "No such image: %s", name);
	return rc < 0 ? rc : 0;
}

static int rows_collect(struct store *s, sqlite3_stmt *st, struct store_image **list, uint32_t *n,
			struct err *e)
{
	int rc;

	while ((rc = store_db_step(s, st, e)) > 0) {
		if ((*n & (*n - 1)) == 0) { /* at 0 and each power of two */
			struct store_image *grown =
				*n < LIST_MAX
					? realloc(*list, (*n ? (size_t)*n * 2 : 1) * sizeof(**list))
					: NULL;

			if (!grown)
				return err_set(e, ENOMEM, "list of images");
			*list = grown;
		}
		image_from_row(st, &(*list)[(*n)++]);
	}
	return rc;
}

static int list_query(struct store *s, const char *sql, const char *types, const char *arg,
		      struct store_image **list, uint32_t *n, struct err *e)
{
	auto_stmt st = NULL;

	if (store_db_query(s, &st, e, sql, types, arg) < 0)
		return -e->code;
	return rows_collect(s, st, list, n, e);
}

/* Newest first, as Docker shows them: all tags; digest names of images without a tag; the nameless.
 */
int store_image_list(struct store *s, struct store_image **ret, uint32_t *ret_n, struct err *e)
{
	auto_free struct store_image *list = NULL;
	uint32_t n = 0;

	if (list_query(s,
		       "SELECT * FROM (SELECT " IMAGE_COLUMNS " WHERE n.is_digest = 0 OR NOT EXISTS"
		       " (SELECT 1 FROM names t WHERE t.image_id = i.id AND t.is_digest = 0)"
		       " UNION ALL SELECT " NAMELESS_COLUMNS " WHERE NOT EXISTS"
		       " (SELECT 1 FROM names t WHERE t.image_id = i.id))"
		       " ORDER BY created_ns DESC, ref",
		       "", NULL, &list, &n, e) < 0)
		return -e->code;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

int store_image_names(struct store *s, const char *image_id, struct store_image **ret,
		      uint32_t *ret_n, struct err *e)
{
	auto_free struct store_image *list = NULL;
	uint32_t n = 0;

	if (list_query(s, "SELECT " IMAGE_COLUMNS " WHERE i.id = ? ORDER BY n.is_digest, n.ref",
		       "t", image_id, &list, &n, e) < 0)
		return -e->code;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

void store_ids_done(struct store_ids *l)
{
	free(l->v);
	l->v = NULL;
	l->n = 0;
}

int store_image_layers(struct store *s, const char *image_id, struct store_ids *ret, struct err *e)
{
	struct store_ids l = { 0 };
	auto_stmt st = NULL;
	int rc;

	if (store_db_query(s, &st, e,
			   "SELECT diff_id FROM image_layers WHERE image_id = ? ORDER BY pos", "t",
			   image_id) < 0)
		return -e->code;
	l.v = calloc(MERGE_LAYERS_MAX, sizeof(*l.v));
	if (!l.v)
		return err_set(e, ENOMEM, "layers");
	while ((rc = store_db_step(s, st, e)) > 0 && l.n < MERGE_LAYERS_MAX)
		text_copy(l.v[l.n++], sizeof(*l.v), st, 0);
	if (rc) {
		store_ids_done(&l);
		return rc < 0 ? rc : err_plain(e, EBADMSG, "image with too many layers");
	}
	*ret = l;
	return 0;
}

int store_image_platform(struct store *s, const char *image_id, char ret_os[64], char ret_arch[64],
			 char ret_variant[64], struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (store_db_query(s, &st, e, "SELECT os, architecture, variant FROM images WHERE id = ?",
			   "t", image_id) < 0)
		return -e->code;
	rc = store_db_step(s, st, e);
	if (rc <= 0)
		return rc < 0 ? rc : err_plain(e, ENOENT, "No such image: %s", image_id);
	text_copy(ret_os, 64, st, 0);
	text_copy(ret_arch, 64, st, 1);
	text_copy(ret_variant, 64, st, 2);
	return 0;
}

int store_image_manifest(struct store *s, const char *image_id, char ret[80], struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (store_db_query(s, &st, e, "SELECT min(digest) FROM manifests WHERE image_id = ?", "t",
			   image_id) < 0)
		return -e->code;
	rc = store_db_step(s, st, e);
	if (rc < 0)
		return rc;
	text_copy(ret, 80, st, 0);
	return *ret ? 0 : err_plain(e, ENOENT, "image %.19s has no manifest", image_id);
}

static int manifest_row(struct store *s, const char *manifest, struct store_blob *ret,
			struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (store_db_query(s, &st, e,
			   "SELECT digest, media_type, size FROM manifests WHERE digest = ?", "t",
			   manifest) < 0)
		return -e->code;
	rc = store_db_step(s, st, e);
	if (rc <= 0)
		return rc < 0 ? rc : err_plain(e, ENOENT, "No such manifest: %s", manifest);
	text_copy(ret->digest, sizeof(ret->digest), st, 0);
	text_copy(ret->media_type, sizeof(ret->media_type), st, 1);
	ret->size = (uint64_t)sqlite3_column_int64(st, 2);
	return 0;
}

int store_manifest_blobs(struct store *s, const char *manifest, struct store_blob *ret_manifest,
			 struct store_blob **ret, uint32_t *ret_n, struct err *e)
{
	auto_free struct store_blob *list = calloc(MERGE_LAYERS_MAX + 1, sizeof(*list));
	auto_stmt st = NULL;
	uint32_t n = 0;
	int rc;

	if (!list)
		return err_set(e, ENOMEM, "blobs");
	if (manifest_row(s, manifest, ret_manifest, e) < 0 ||
	    store_db_query(s, &st, e,
			   "SELECT digest, media_type, size FROM manifest_blobs WHERE manifest = ?"
			   " ORDER BY pos",
			   "t", manifest) < 0)
		return -e->code;
	while ((rc = store_db_step(s, st, e)) > 0 && n <= MERGE_LAYERS_MAX) {
		text_copy(list[n].digest, sizeof(list[n].digest), st, 0);
		text_copy(list[n].media_type, sizeof(list[n].media_type), st, 1);
		list[n++].size = (uint64_t)sqlite3_column_int64(st, 2);
	}
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

int store_image_config(struct store *s, const char *image_id, char **ret, size_t *ret_len,
		       struct err *e)
{
	auto_buf b = BUF_LIMIT(STORE_DOC_MAX);
	uint8_t md[EVP_MAX_MD_SIZE];
	auto_fd fd = -1;
	unsigned n = 0;
	char hex[65];
	int rc;

	if (store_blob_open(s, image_id, &fd, e) < 0)
		return err_wrap(e, "config of image %.19s", image_id);
	rc = fd_read_all(fd, &b);
	if (rc < 0)
		return err_set(e, -rc, "read config of image %.19s", image_id);
	if (EVP_Digest(b.data ? b.data : "", b.len, md, &n, EVP_sha256(), NULL) != 1)
		return err_plain(e, EIO, "digest failed");
	for (unsigned i = 0; i < 32; i++)
		snprintf(hex + 2 * (size_t)i, 3, "%02x", md[i]);
	if (strcmp(hex, store_id_hex(image_id)) != 0)
		return err_plain(e, EBADMSG, "the config of image %.19s is damaged: pull it again",
				 image_id);
	*ret_len = b.len;
	*ret = buf_take_str(&b);
	return *ret ? 0 : err_set(e, ENOMEM, "config");
}

/* A damaged state is no "running". */
static void machine_status(const char *state, char ret[16])
{
	json_t *j = json_parse(state, strlen(state), 0, NULL);
	const char *status = json_string_value(json_object_get(j, "status"));

	snprintf(ret, 16, "%s", status ? status : "created");
	json_decref(j);
}

int store_image_user(struct store *s, const char *image_id, char ret_machine[65],
		     char ret_status[16], struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (store_db_query(s, &st, e,
			   "SELECT id, coalesce(state, '') FROM machines WHERE image_id = ?"
			   " ORDER BY state LIKE '%\"running\"%' DESC LIMIT 1",
			   "t", image_id) < 0)
		return -e->code;
	rc = store_db_step(s, st, e);
	if (rc <= 0)
		return rc;
	text_copy(ret_machine, 65, st, 0);
	machine_status(store_db_text(st, 1), ret_status);
	return 1;
}
