/* SPDX-License-Identifier: MIT */
/* template_internal.h - shared by template*.c */
#ifndef TEMPLATE_INTERNAL_H
#define TEMPLATE_INTERNAL_H

#include "template.h"

#define TEMPLATE_TIMEOUT_MS 60000U

/* Two that could not stand in for each other have different keys. */
must_check int template_key(struct engine *g, const struct template_want *w,
			    enum template_depth depth, char ret_key[65], struct err *e);

bool template_key_is_valid(const char *name);
/* With its holder; the caller has its lock. */
must_check int template_remove(struct store *s, const char *key, uint64_t *io_freed, struct err *e);

/* ---- template_old.c ---- */

/*
 * Remove the image's templates (NULL: those of depth machine) that can never be used again: made
 * with another kernel, init, VMM or version of the format. Those that a machine runs on stay, and
 * those that somebody has locked.
 */
must_check int template_old_remove(struct engine *g, const char *image_id, struct err *e);

/* ---- template_disk.c: ROOT/templates/KEY ---- */

must_check int template_disk_save(struct store *s, const struct template *t,
				  const struct template_want *w, struct err *e);
/* Into a new memfd. -ENOENT: not there, or not whole. */
must_check int template_disk_load(struct store *s, const char *key, struct template *ret,
				  struct err *e);
bool template_disk_has(struct store *s, const char *key);
/* A lock on KEY, waited for: who holds it makes, loads or removes the template. */
must_check int template_lock(struct store *s, const char *key, int *ret_fd, struct err *e);
/* The same, not waited for: -EBUSY. */
must_check int template_lock_try(struct store *s, const char *key, int *ret_fd, struct err *e);
/* What the parts in ROOT/templates/DIR_NAME take. */
uint64_t template_disk_bytes(struct store *s, const char *dir_name);
/* Remove what makers that were killed have left. */
must_check int template_disk_sweep(struct store *s, uint64_t *io_freed, struct err *e);
must_check int template_mem_make(uint64_t size, int *ret_fd, struct err *e);
must_check int template_mem_seal(int fd, struct err *e);

/* ---- template_hold.c: processes that hold templates in memory ---- */

/* -ENOENT: nobody holds it. */
must_check int template_hold_get(struct store *s, const char *key, struct template *ret,
				 int32_t *ret_pid, struct err *e);
must_check int template_hold_start(struct engine *g, const struct template *t, struct err *e);

/* ---- template_build.c ---- */

/* -ESTALE: the template of depth machine that it is made of does not fit here. */
/* ---- template_trial.c ---- */

/* Run a clone of `t`, of depth image, up to where its program would begin, and add to the state
 * which pages that took. `disks` are those that it was made with; the writable layer's are copied.
 */
must_check int template_trial(struct engine *g, const struct template_want *w,
			      const struct vm_spec *made, const struct template *t, int parent_fd,
			      struct err *e);

must_check int template_build(struct engine *g, const struct template_want *w,
			      enum template_depth depth, const char *key, struct template *ret,
			      struct err *e);

#endif
