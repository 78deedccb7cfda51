/* SPDX-License-Identifier: MIT */
/*
 * vhd_digest.c - SHA-256 of a disk's bytes
 *
 * What is known to be zeros is not read.
 */
#include "vhd_walk.h"

#include <openssl/evp.h>

static void md_drop(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

static int piece_add(struct vhd *v, EVP_MD_CTX *ctx, const struct vhd_piece *piece, uint8_t *buf,
		     struct vhd_err *e)
{
	size_t len = (size_t)piece->at.len;
	int rc = 0;

	if (piece->is_zero)
		memset(buf, 0, len);
	else
		rc = vhd_read(v, buf, len, piece->at.off, e);
	if (rc == 0 && EVP_DigestUpdate(ctx, buf, len) != 1)
		rc = vhd_err_set(e, EIO, "%s: SHA-256 failed", v->io->name);
	return rc;
}

int vhd_digest(struct vhd *v, uint8_t ret_sha256[32], const struct vhd_progress *p,
	       struct vhd_err *e)
{
	__attribute__((cleanup(md_drop))) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	auto_free uint8_t *buf = malloc(VHD_WALK_MAX);
	uint64_t off = 0, size = vhd_size(v);
	uint8_t sum[EVP_MAX_MD_SIZE];
	int rc = 0;

	if (!ctx || !buf)
		return vhd_err_sys(e, ENOMEM, "%s: digest", v->io->name);
	if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		return vhd_err_set(e, EIO, "%s: no SHA-256", v->io->name);
	while (off < size && rc == 0) {
		struct vhd_piece piece;

		rc = vhd_walk_piece(v, off, MIN_OF(VHD_WALK_MAX, size - off), &piece, e);
		if (rc == 0)
			rc = piece_add(v, ctx, &piece, buf, e);
		if (rc == 0) {
			off += piece.at.len;
			rc = vhd_walk_step(p, off, size, e);
		}
	}
	if (rc < 0)
		return rc;
	if (EVP_DigestFinal_ex(ctx, sum, NULL) != 1)
		return vhd_err_set(e, EIO, "%s: SHA-256 failed", v->io->name);
	memcpy(ret_sha256, sum, 32);
	return 0;
}
