/* SPDX-License-Identifier: MIT */
/* fuzz_image_layout.c - index.json of an OCI layout, by name and by platform; the config for
 * inspect */
#include "fuzz_input.h"

#include "digest.h"
#include "image_inspect.h"
#include "image_layout.h"

static void choose(const char *text, size_t len, const char *name)
{
	const struct platform want = { "linux", "amd64", "" };
	struct doc_descriptor d = { 0 };
	struct err e = { 0 };

	if (image_layout_choose(text, len, name, &want, &d, &e) == 0)
		MUST(digest_is_valid(d.digest) && d.size <= DOC_BLOB_MAX);
	else
		MUST(e.code && e.msg[0]);
	for (const char *c = e.msg; *c; c++)
		MUST((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void inspect(const char *text, size_t len)
{
	struct err e = { 0 };
	json_t *o = NULL;

	if (image_inspect_config(text, len, &o, &e) < 0) {
		MUST(e.code == EBADMSG && !o);
		return;
	}
	MUST(json_is_object(json_object_get(o, "Config")));
	MUST(json_is_array(json_object_get(json_object_get(o, "RootFS"), "Layers")));
	json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free char *text = copy_of(data, len);
	struct err e = { 0 };

	choose(text, len, NULL);
	choose(text, len, "x");
	if (image_layout_check(text, len, &e) < 0)
		MUST(e.code == EBADMSG);
	inspect(text, len);
	return 0;
}
