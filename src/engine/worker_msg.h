/* SPDX-License-Identifier: MIT */
/*
 * worker_msg.h - what caisson-fetch, caisson-unpack and caisson-import say, parsed
 *
 * The workers have read bytes of the network and may be in a stranger's hands: their words are data
 * of known shape and size, or the run ends. Text is made printable here, once.
 */
#ifndef WORKER_MSG_H
#define WORKER_MSG_H

#include <stdbool.h>

#include "store_parts.h"

#define FETCH_PACKET_MAX (128U << 10)
#define UNPACK_REPLY_MAX (256U << 10)

enum fetch_kind {
	FETCH_DOCUMENT, /* digest, size, media_type */
	FETCH_LAYERS,   /* digest: of the platform's manifest */
	FETCH_EXISTS,   /* digest */
	FETCH_OPEN,     /* digest, size, have; two descriptors come with it */
	FETCH_PROGRESS, /* digest, done */
	FETCH_MOUNTED,  /* digest */
	FETCH_DONE,     /* digest */
	FETCH_COMPLETE, /* digest, manifest */
	FETCH_ERROR,    /* code (an errno), text */
	FETCH_KIND_COUNT_
};
struct fetch_event {
	enum fetch_kind kind;
	char digest[80], manifest[80]; /* valid sha256 ids, or "" where the kind has none */
	char media_type[128];
	uint64_t size, have, done;
	int code;
	char text[400];
};
/* -EBADMSG. An event of a kind that is not known: 0, with kind FETCH_KIND_COUNT_. */
must_check int fetch_event_parse(const char *packet, size_t len, struct fetch_event *ret,
				 struct err *e);

struct unpack_reply {
	char diff_id[80], blob_digest[80];
	uint64_t blob_size, data_len;
};
/* An {"error":..} reply becomes this error, with its code. */
must_check int unpack_reply_parse(const char *text, size_t len, struct unpack_reply *ret,
				  struct err *e);
/* Fills parts, n_parts, disk_len, meta_len; the caller has filled the layers. Checked. */
must_check int merge_reply_parse(const char *text, size_t len, struct store_parts *p,
				 struct err *e);

#define IMPORT_LINE_MAX   4096U
#define IMPORT_LAYERS_MAX 2U

enum import_kind { IMPORT_PROGRESS, IMPORT_RESULT };
struct import_line {
	enum import_kind kind;
	uint64_t done, of; /* IMPORT_PROGRESS */
	uint32_t partition;
	bool has_config;
	struct {
		char diff_id[80], blob[80];
		uint64_t size, files, left_out;
	} layers[IMPORT_LAYERS_MAX];
	uint32_t n_layers; /* of a result: at least 1 */
};
/* A line without its end. An {"error":..} line becomes this error, with its code. */
must_check int import_line_parse(const char *text, size_t len, struct import_line *ret,
				 struct err *e);

#endif
