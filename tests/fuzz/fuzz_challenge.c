/* SPDX-License-Identifier: MIT */
/* fuzz_challenge.c - headers and answers of registries: the first byte says of which kind */
#include "fuzz_input.h"

#include "registry_answer.h"
#include "registry_challenge.h"
#include "registry_url.h"

static bool is_printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static void challenge_try(const char *text)
{
	static struct challenge list[CHALLENGE_LIST_MAX], c;
	struct err e = { 0 };
	size_t n = challenge_parse(text, list);

	MUST(n <= CHALLENGE_LIST_MAX);
	for (size_t i = 0; i < n; i++)
		MUST(is_printable(list[i].realm) && is_printable(list[i].service) &&
		     is_printable(list[i].scope) && is_printable(list[i].scheme));
	if (challenge_choose(text, &c, &e) < 0)
		MUST(e.code == EBADMSG && is_printable(e.msg));
	else
		MUST(c.kind == CHALLENGE_BASIC || (c.kind == CHALLENGE_BEARER && c.realm[0]));
}

static void header_try(const char *text)
{
	uint64_t first, last, total;

	MUST(retry_after_parse(text, 1700000000, 60000) <= 60000);
	if (content_range_parse(text, &first, &last, &total))
		MUST(first <= last && last < total);
}

static void location_try(const char *text, const char *base)
{
	auto_free char *url = NULL;
	auto_free char *more = NULL;
	char shown[URL_SHOWN];
	struct url_origin from, to;
	struct err e = { 0 };

	url_shown(text, shown);
	MUST(is_printable(shown));
	if (url_resolve(base, text, &url, &e) < 0)
		return;
	MUST(url_origin(base, &from, &e) == 0 && url_origin(url, &to, &e) == 0);
	MUST(!url_is_tls(&from) || url_is_tls(&to));
	MUST(!strpbrk(url, "\r\n"));
	MUST(url_add_query(url, "digest", "sha256:a&b", &more, &e) == 0);
}

static void answer_try(const uint8_t *data, size_t len)
{
	auto_free char *token = NULL;
	char text[64];
	struct err e = { 0 };

	if (token_answer_parse((const char *)data, len, &token, &e) == 0)
		MUST(*token && is_printable(token) && !strchr(token, ' '));
	error_answer_text((const char *)data, len, text, sizeof(text));
	MUST(strlen(text) < sizeof(text) && is_printable(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free char *text = len ? copy_of(data + 1, len - 1) : NULL;

	if (!text)
		return 0;
	switch (data[0] % 5) {
	case 0:
		challenge_try(text);
		break;
	case 1:
		header_try(text);
		break;
	case 2:
		location_try(text, "https://registry.example:5000/v2/x/blobs/uploads/1?a=b");
		break;
	case 3:
		location_try(text, "http://registry.example/v2/");
		break;
	default:
		answer_try(data + 1, len - 1);
	}
	return 0;
}
