/* SPDX-License-Identifier: MIT */
/* engine_open.c - the engine object: options, places, the store on first use */
#include <stdarg.h>
#include <string.h>

#include "engine_internal.h"
#include "libexec.h"

#define ID_SHOWN 12 /* hex digits of a digest that people see */

int engine_open(const struct engine_options *o, struct engine **ret, struct err *e)
{
	static const struct engine_options none;
	struct engine *g = calloc(1, sizeof(*g));

	if (!g)
		return err_set(e, ENOMEM, "engine");
	if (!o)
		o = &none;
	g->root = o->root ? strdup(o->root) : NULL;
	g->run = o->run ? strdup(o->run) : NULL;
	g->libexec = libexec_dir(o->libexec);
	if (!g->libexec || (o->root && !g->root) || (o->run && !g->run)) {
		engine_close(g);
		return err_set(e, ENOMEM, "engine");
	}
	*ret = g;
	return 0;
}

void engine_close(struct engine *g)
{
	if (!g)
		return;
	store_close(g->store);
	free(g->root);
	free(g->run);
	free(g->libexec);
	free(g);
}

int engine_store_need(struct engine *g, struct store **ret, struct err *e)
{
	if (!g->store && store_open(g->root, g->run, &g->store, e) < 0)
		return -e->code;
	*ret = g->store;
	return 0;
}

struct store *engine_store(struct engine *g)
{
	struct store *s = NULL;
	struct err e = { 0 };

	return engine_store_need(g, &s, &e) < 0 ? NULL : s;
}

const char *engine_libexec(const struct engine *g)
{
	return g->libexec;
}

void engine_say(const struct progress_ops *p, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (!p || !p->message)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->message(p->arg, text);
}

void engine_show(const struct progress_ops *p, const char *digest, enum progress_state state,
		 uint64_t done, uint64_t total)
{
	const char *colon = strchr(digest, ':');
	char id[ID_SHOWN + 1];
	struct progress_item item = { .id = id, .state = state, .done = done, .total = total };

	if (!p || !p->item)
		return;
	snprintf(id, sizeof(id), "%.*s", ID_SHOWN, colon ? colon + 1 : digest);
	p->item(p->arg, &item);
}
