/* SPDX-License-Identifier: MIT */
/*
 * store.h - the directory that holds images, layers, machines, kernels and templates
 *
 * An OCI image layout (readable by other tools), beside it our own folders, and one SQLite database
 * (WAL) for names and machines. Many processes use a store at once: every change of several files
 * is made under a lock, in an order that leaves a usable store after a power cut at any point.
 * Format: doc/format/store.md.
 *
 *   ROOT/oci-layout, index.json, blobs/sha256/HEX	images as pulled
 *   ROOT/partial/HEX					blobs on their way, kept for resumption
 *   ROOT/layers/HEX.{tree,data}			one pair per diff id
 *   ROOT/images/HEX.{meta,json}			EROFS metadata and parts list, per image id
 *   ROOT/kernels/NAME/{kernel,modules,kernel.json}
 *   ROOT/templates/KEY/				see engine/template.h
 *   ROOT/parents/					empty ext4 disks
 *   ROOT/machines/ID/					writable layer, log, console
 *   ROOT/volumes/NAME/					a volume's disk
 *   ROOT/caisson.db
 *   RUN/machines/ID/, RUN/templates/			sockets and locks; gone after a reboot
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct store;
struct sqlite3;

/*
 * root NULL: $CAISSON_ROOT, else /var/lib/caisson for root and $XDG_DATA_HOME/caisson
 * (~/.local/share/caisson) for others. run NULL: $CAISSON_RUN, else /run/caisson and
 * $XDG_RUNTIME_DIR/caisson (or a directory of mode 0700 in /tmp whose owner is checked). Creates
 * what is missing.
 */
must_check int store_open(const char *root, const char *run, struct store **ret, struct err *e);
void store_close(struct store *s); /* NULL is fine */

int store_root_fd(const struct store *s); /* borrowed */
int store_run_fd(const struct store *s);  /* borrowed */
const char *store_root_path(const struct store *s);
const char *store_run_path(const struct store *s);
/* Opened on first use, busy timeout set. NULL: cannot be opened, store_db_error() says why. */
struct sqlite3 *store_db(const struct store *s);
const struct err *store_db_error(const struct store *s);

/* ---- images ---- */

struct store_image {        /* one name of one image */
	char ref[512];      /* normalised: docker.io/library/nginx:latest; "" when it has no name */
	char id[80];        /* "sha256:..." of the config document */
	char digest[80];    /* of the manifest or index that the name was pulled by */
	char manifest[80];  /* of the platform's manifest */
	int64_t created_ns; /* from the config; 0 when not told */
	uint64_t size;      /* bytes of its layers, uncompressed */
};

/* The image's disk, ready to be given to a machine. */
struct store_disk_part {
	int fd; /* owned by the struct; opened read-only */
	uint64_t disk_off, file_off, len;
};
struct store_disk {
	struct store_disk_part *parts;
	uint32_t n_parts;
	uint64_t disk_len;
	char key[65]; /* hex: changes when the bytes of the disk would */
};
void store_disk_done(struct store_disk *d);

/* By name, id or unique id prefix, as Docker resolves them. -ENOENT "No such image: x". */
must_check int store_image_find(struct store *s, const char *name, struct store_image *ret,
				struct err *e);
must_check int store_image_list(struct store *s, struct store_image **ret, uint32_t *ret_n,
				struct err *e); /* caller frees *ret */
/* index.json as the database has it, where a command that was killed left it behind. */
must_check int store_index_mend(struct store *s, struct err *e);
must_check int store_image_disk(struct store *s, const char *image_id, struct store_disk *ret,
				struct err *e);
/* The config document's bytes (verified). Caller frees. */
must_check int store_image_config(struct store *s, const char *image_id, char **ret,
				  size_t *ret_len, struct err *e);

#endif
