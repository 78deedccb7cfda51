/* SPDX-License-Identifier: MIT */
/* image_tag.c - one more name for an image */
#include "engine_internal.h"
#include "ref.h"
#include "store_write.h"

int engine_image_tag(struct engine *g, const char *source, const char *target, struct err *e)
{
	char full[REF_NORMAL_SIZE];
	struct store_image img;
	struct store *s;
	struct ref r;

	if (ref_parse(target, &r, e) < 0)
		return -e->code;
	if (*r.digest)
		return err_plain(e, EINVAL, "refusing to create a tag with a digest reference");
	ref_format(&r, full, sizeof(full));
	if (engine_store_need(g, &s, e) < 0 || store_image_find(s, source, &img, e) < 0)
		return -e->code;
	return store_name_set(s, full, &img, e);
}
