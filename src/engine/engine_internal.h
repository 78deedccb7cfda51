/* SPDX-License-Identifier: MIT */
/* engine_internal.h - the engine itself, and how it speaks: shared inside src/engine */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include "driver.h"
#include "engine.h"

struct engine {
	char *root, *run; /* NULL: the store's own choice */
	char *libexec;
	struct store *store;                      /* NULL until asked for */
	const struct vm_driver_ops *known_driver; /* that `known_info` is of; NULL: none yet */
	struct vm_driver_info known_info;
};

/* engine_store() with the reason when it cannot be opened. */
must_check int engine_store_need(struct engine *g, struct store **ret, struct err *e);

/* p or its callbacks may be NULL. */
void engine_say(const struct progress_ops *p, const char *fmt, ...) printf_like(2, 3);
void engine_show(const struct progress_ops *p, const char *digest, enum progress_state state,
		 uint64_t done, uint64_t total);

#endif
