/* SPDX-License-Identifier: MIT */
/* store_ingest_internal.h - an image on its way in: shared by store_ingest.c and store_claim.c */
#ifndef STORE_INGEST_INTERNAL_H
#define STORE_INGEST_INTERNAL_H

#include "store_internal.h"
#include "store_write.h"

struct store_ingest {
	struct store *s;
	int lock_fd;              /* the store's lock, shared */
	int partial_fd, blobs_fd; /* directories */
	struct store_claim meta;  /* metadata that the commit will rename */
	int json_fd;              /* its parts list */
	bool has_spoiled;         /* a blob that was committed before */
};

/* NAME.new -> NAME of all files of the claim. */
must_check int store_claim_rename(struct store_ingest *in, const struct store_claim *c,
				  struct err *e);

#endif
