/* SPDX-License-Identifier: MIT */
/*
 * fuzz_image_defaults.c - the config document of an image, under what a user said
 *
 * First byte, bit by bit: what the user said. That must still be there afterwards.
 */
#include "fuzz_input.h"

#include "image_defaults.h"

static bool has(const struct strv *s, const char *text)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i], text) == 0)
			return true;
	return false;
}

static void user_says(struct machine_config *c, uint8_t what)
{
	if (what & 1)
		MUST(strv_add(&c->entrypoint, "") == 0);
	if (what & 2)
		MUST(strv_add(&c->entrypoint, "own") == 0);
	if (what & 4)
		MUST(strv_add(&c->cmd, "arg") == 0);
	if (what & 8)
		MUST(strv_add(&c->env, "PATH=/own") == 0 && strv_add(&c->env, "A=own") == 0);
	if (what & 16)
		MUST(strv_add(&c->labels, "l=own") == 0);
	if (what & 32)
		MUST((c->user = strdup("me")) && (c->cwd = strdup("/here")));
}

static void user_check(const struct machine_config *c, uint8_t what)
{
	if ((what & 3) == 1)
		MUST(c->entrypoint.n == 0);
	if (what & 2)
		MUST(has(&c->entrypoint, "own"));
	if ((what & 3) && !(what & 4))
		MUST(c->cmd.n == 0); /* an entrypoint of one's own drops the image's command */
	if (what & 4)
		MUST(c->cmd.n == 1 && strcmp(c->cmd.v[0], "arg") == 0);
	if (what & 8)
		MUST(has(&c->env, "PATH=/own") && has(&c->env, "A=own"));
	if (what & 16)
		MUST(has(&c->labels, "l=own"));
	if (what & 32)
		MUST(strcmp(c->user, "me") == 0 && strcmp(c->cwd, "/here") == 0);
}

/* "NAME=value", and nothing beside a user's of the same name. */
static void env_check(const struct strv *s, uint8_t what)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const char *eq = strchr(s->v[i], '=');

		MUST(eq && eq != s->v[i]);
		MUST(!(what & 8) || strncmp(s->v[i], "PATH=", 5) != 0 ||
		     strcmp(s->v[i], "PATH=/own") == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct machine_config c = { 0 };
	struct err e = { 0 };
	auto_free char *text = NULL;

	if (len == 0)
		return 0;
	text = copy_of(data + 1, len - 1);
	user_says(&c, data[0]);
	if (image_defaults_apply(&c, text, len - 1, &e) == 0) {
		user_check(&c, data[0]);
		env_check(&c.env, data[0]);
	} else {
		MUST(e.code == EBADMSG && e.msg[0]);
	}
	machine_config_done(&c);
	return 0;
}
