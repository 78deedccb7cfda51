/* SPDX-License-Identifier: MIT */
/* fuzz_ref.c - names of images: what is taken must mean the same when it is written and read again
 */
#include "fuzz_input.h"

#include "ref.h"

static void ref_check(const struct ref *r)
{
	MUST(*r->host && *r->path && strlen(r->path) <= REF_PATH_MAX);
	MUST(strlen(r->tag) <= REF_TAG_MAX && (*r->tag || *r->digest));
	MUST(!*r->digest || (strncmp(r->digest, "sha256:", 7) == 0 && strlen(r->digest) == 71));
	MUST(r->path[0] != '/' && !strstr(r->path, "//") && !strstr(r->path, ".."));
	for (const char *p = r->path; *p; p++)
		MUST((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || strchr("._-/", *p));
	for (const char *p = r->host; *p; p++)
		MUST((unsigned char)*p > ' ' && *p != '/' && *p != '@');
}

/* `text` names what `r` does, but for the tag where there is a digest. */
static void again_check(const char *text, const struct ref *r)
{
	struct ref again;
	struct err e = { 0 };

	MUST(ref_parse(text, &again, &e) == 0);
	MUST(strcmp(again.host, r->host) == 0 && strcmp(again.path, r->path) == 0);
	MUST(strcmp(again.digest, r->digest) == 0);
	MUST(*r->digest || strcmp(again.tag, r->tag) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free char *text = copy_of(data, len);
	char normal[REF_NORMAL_SIZE], familiar[REF_NORMAL_SIZE], repository[REF_NORMAL_SIZE];
	struct err e = { 0 };
	struct ref r;

	ref_familiar(text, familiar, sizeof(familiar)); /* any text is fine */
	if (ref_parse(text, &r, &e) < 0) {
		MUST(e.code == EINVAL && e.msg[0] && !ref_normalise(text, normal, sizeof(normal)));
		return 0;
	}
	ref_check(&r);
	ref_format(&r, normal, sizeof(normal));
	again_check(normal, &r);
	ref_familiar(normal, familiar, sizeof(familiar));
	MUST(strlen(familiar) <= strlen(normal));
	again_check(familiar, &r);
	ref_format_repository(&r, repository, sizeof(repository));
	MUST(strncmp(normal, repository, strlen(repository)) == 0);
	return 0;
}
