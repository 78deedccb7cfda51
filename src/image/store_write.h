/* SPDX-License-Identifier: MIT */
/*
 * store_write.h - changing the store: images on their way in, names, collection
 *
 * Called by the engine only. An ingest holds the store's shared lock, collection the exclusive one,
 * so what an ingest has brought in is never collected under it. Nothing is visible to others before
 * store_ingest_commit(), except single layers, which are good for everybody (they are named by what
 * is in them). Killed at any point, an ingest leaves partial blobs, which are resumed, layers,
 * which are found again, and ".new" files, which the next one takes over or collection removes.
 */
#ifndef STORE_WRITE_H
#define STORE_WRITE_H

#include "store.h"
#include "store_parts.h"

#define STORE_LOCK_WAIT_MS 60000

/* ---- ingest ---- */

struct store_ingest;
must_check int store_ingest_begin(struct store *s, struct store_ingest **ret, struct err *e);
void store_ingest_end(struct store_ingest *in); /* NULL is fine; without a commit: nothing named */
int store_ingest_partial_fd(const struct store_ingest *in); /* borrowed */
int store_ingest_blobs_fd(const struct store_ingest *in);   /* borrowed: blobs/sha256 */

/* A whole blob: committed, else fetched. size 0: any. -ENOENT. */
must_check int store_ingest_blob_open(struct store_ingest *in, const char *digest, uint64_t size,
				      int *ret_fd, struct err *e);
/* Forget a blob whose bytes are not what its name says, so that it is fetched anew. */
void store_ingest_blob_spoil(struct store_ingest *in, const char *digest);
/* One of them had been committed before: trying again will bring it anew. */
bool store_ingest_has_spoiled(const struct store_ingest *in);

enum store_claim_state {
	STORE_CLAIM_MINE,    /* make it: the claim holds empty, locked files */
	STORE_CLAIM_PRESENT, /* is there */
	STORE_CLAIM_BUSY,    /* another process is making it: ask again */
};
struct store_claim {
	int data_fd; /* layer data, or image metadata */
	int tree_fd; /* -1 for metadata */
	char hex[65];
	bool is_layer;
};
#define STORE_CLAIM_NONE                                                                           \
	{                                                                                          \
		.data_fd = -1, .tree_fd = -1                                                       \
	}
must_check int store_layer_claim(struct store_ingest *in, const char *diff_id,
				 struct store_claim *ret, enum store_claim_state *ret_state,
				 struct err *e);
/* What the claim's files hold is the layer: the caller has checked the digest. Ends the claim. */
must_check int store_layer_keep(struct store_ingest *in, struct store_claim *c, uint64_t data_len,
				struct err *e);
must_check int store_layer_tree_open(struct store *s, const char *diff_id, int *ret_fd,
				     struct err *e);

/* The image's metadata. Kept at the commit; the claim passes to the ingest. */
must_check int store_meta_claim(struct store_ingest *in, const char *image_id,
				struct store_claim *ret, enum store_claim_state *ret_state,
				struct err *e);
must_check int store_meta_keep(struct store_ingest *in, struct store_claim *c,
			       struct store_parts *parts, struct err *e);
void store_claim_drop(struct store_ingest *in, struct store_claim *c); /* removes its files */

struct store_blob {
	char digest[80];
	char media_type[128];
	uint64_t size;
};
struct store_new_image {
	const char *id, *os, *architecture, *variant;
	int64_t created_ns;
	const struct store_blob *manifest;
	const struct store_blob *blobs; /* config, then the layers, lowest first */
	uint32_t n_blobs;
	const char (*diff_ids)[80];
	uint32_t n_layers;
	const char (*docs)[80]; /* other documents to keep: the index; may be in no place at all */
	uint32_t n_docs;
	const char *digest;     /* what the names point at: index or manifest */
	const char *tag_ref;    /* "docker.io/library/nginx:latest"; NULL: none */
	const char *digest_ref; /* "docker.io/library/nginx@sha256:..."; NULL: none */
};
/* Sync, name, record: in this order; after it the image is there even if power goes. */
must_check int store_ingest_commit(struct store_ingest *in, const struct store_new_image *img,
				   struct err *e);
/* Only the layers and the metadata of an image that is recorded already. */
must_check int store_ingest_commit_disk(struct store_ingest *in, const char *image_id,
					struct err *e);

/* ---- facts ---- */

struct store_ids { /* a list of "sha256:..." */
	char (*v)[80];
	uint32_t n;
};
void store_ids_done(struct store_ids *l);
must_check int store_image_layers(struct store *s, const char *image_id, struct store_ids *ret,
				  struct err *e); /* diff ids, lowest first */
must_check int store_image_platform(struct store *s, const char *image_id, char ret_os[64],
				    char ret_arch[64], char ret_variant[64], struct err *e);
/* All names, "repo@digest" ones included. Caller frees. */
must_check int store_image_names(struct store *s, const char *image_id, struct store_image **ret,
				 uint32_t *ret_n, struct err *e);
/* The manifest's own row, and its blobs (config first). Caller frees *ret. */
must_check int store_manifest_blobs(struct store *s, const char *manifest,
				    struct store_blob *ret_manifest, struct store_blob **ret,
				    uint32_t *ret_n, struct err *e);
/* Any manifest of the image. */
must_check int store_image_manifest(struct store *s, const char *image_id, char ret[80],
				    struct err *e);
must_check int store_blob_open(struct store *s, const char *digest, int *ret_fd, struct err *e);

/* A machine that uses the image: 1 and its id and status ("running"), 0 for none. */
must_check int store_image_user(struct store *s, const char *image_id, char ret_machine[65],
				char ret_status[16], struct err *e);

/* ---- names ---- */

/* Point `ref` (normalised, with a tag or a digest) at what `src` names. */
must_check int store_name_set(struct store *s, const char *ref, const struct store_image *src,
			      struct err *e);
must_check int store_name_remove(struct store *s, const char *ref, struct err *e);
/* Forget the image unless a name or a machine holds it: ret_gone. */
must_check int store_image_forget(struct store *s, const char *image_id, bool *ret_gone,
				  struct err *e);

/* ---- collection ---- */

enum store_gc_flags {
	STORE_GC_UNTAGGED = 1 << 0, /* images without a tag go, unless a machine holds them */
	STORE_GC_PARTIAL = 1 << 1,  /* partial blobs of any age go */
};
/* -EBUSY when images are being brought in for longer than wait_ms. */
must_check int store_gc(struct store *s, uint32_t flags, uint32_t wait_ms, uint64_t *ret_freed,
			struct err *e);
/* Before a record is deleted: on a full disk, partial blobs go so that there is room for that,
 * unless images are being brought in. */
void store_room_make(struct store *s);

#endif
