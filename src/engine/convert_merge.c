/* SPDX-License-Identifier: MIT */
/*
 * convert_merge.c - the last step: the layers of an image become one metadata file
 *
 * The file system's UUID is made of the layers' ids, so that the same layers give the same bytes.
 */
#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#include "convert.h"
#include "engine_internal.h"
#include "unpack_job.h"
#include "worker_msg.h"

#define UUID_LEN      16
#define BUSY_NS       20000000L
#define MERGE_WAIT_MS 300000 /* for another process that makes the same metadata */

static int uuid_make(const char (*diff_ids)[80], uint32_t n, char ret_hex[2 * UUID_LEN + 1],
		     struct err *e)
{
	auto_buf b = { 0 };
	uint8_t md[EVP_MAX_MD_SIZE];

	for (uint32_t i = 0; i < n; i++)
		if (buf_addf(&b, "%s\n", diff_ids[i]) < 0)
			return err_set(e, ENOMEM, "merge");
	if (EVP_Digest(b.data ? b.data : "", b.len, md, NULL, EVP_sha256(), NULL) != 1)
		return err_plain(e, EIO, "digest failed");
	md[6] = (md[6] & 0x0f) | 0x80; /* version 8: of the maker's own kind */
	md[8] = (md[8] & 0x3f) | 0x80;
	for (size_t i = 0; i < UUID_LEN; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", md[i]);
	return 0;
}

static int trees_open(struct store *s, const char (*diff_ids)[80], uint32_t n, int *fds,
		      struct err *e)
{
	for (uint32_t i = 0; i < n; i++)
		if (store_layer_tree_open(s, diff_ids[i], &fds[i], e) < 0)
			return -e->code;
	return 0;
}

static int parts_make(struct engine *g, const char (*diff_ids)[80], uint32_t n, int meta_fd,
		      struct store_parts *p, struct err *e)
{
	auto_buf reply = { 0 };
	char uuid[2 * UUID_LEN + 1];
	int fds[MERGE_LAYERS_MAX];
	int rc;

	p->diff_ids = calloc(n ? n : 1, sizeof(*p->diff_ids));
	if (!p->diff_ids)
		return err_set(e, ENOMEM, "merge");
	p->n_layers = n;
	memcpy(p->diff_ids, diff_ids, n * sizeof(*diff_ids));
	for (uint32_t i = 0; i < n; i++)
		fds[i] = -1;
	rc = trees_open(engine_store(g), diff_ids, n, fds, e);
	if (rc == 0)
		rc = uuid_make(diff_ids, n, uuid, e);
	if (rc == 0)
		rc = unpack_merge_run(g, fds, n, uuid, meta_fd, &reply, e);
	for (uint32_t i = 0; i < n; i++)
		fd_drop(&fds[i]);
	return rc < 0 ? rc : merge_reply_parse(reply.data ? reply.data : "", reply.len, p, e);
}

static int claim_wait(struct store_ingest *in, const char *image_id, struct store_claim *ret,
		      enum store_claim_state *ret_state, struct err *e)
{
	const struct timespec pause = { .tv_nsec = BUSY_NS };

	for (unsigned i = 0; i < MERGE_WAIT_MS / (BUSY_NS / 1000000); i++) {
		if (store_meta_claim(in, image_id, ret, ret_state, e) < 0)
			return -e->code;
		if (*ret_state != STORE_CLAIM_BUSY)
			return 0;
		nanosleep(&pause, NULL);
	}
	return err_plain(e, EBUSY, "another process is still making image %.19s", image_id);
}

int convert_merge(struct engine *g, struct store_ingest *in, const char *image_id,
		  const char (*diff_ids)[80], uint32_t n, struct err *e)
{
	struct store_claim claim = STORE_CLAIM_NONE;
	struct store_parts parts = { 0 };
	enum store_claim_state state;
	int rc;

	if (n > MERGE_LAYERS_MAX)
		return err_plain(e, E2BIG, "an image of more than %u layers", MERGE_LAYERS_MAX);
	if (claim_wait(in, image_id, &claim, &state, e) < 0)
		return -e->code;
	if (state == STORE_CLAIM_PRESENT)
		return 0;
	rc = parts_make(g, diff_ids, n, claim.data_fd, &parts, e);
	if (rc == 0)
		rc = store_meta_keep(in, &claim, &parts, e);
	store_claim_drop(in, &claim);
	store_parts_done(&parts);
	return rc < 0 ? err_wrap(e, "image %.19s", image_id) : 0;
}
