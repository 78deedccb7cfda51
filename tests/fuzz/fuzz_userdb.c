/* SPDX-License-Identifier: MIT */
/* fuzz_userdb.c - three texts with NUL between them: "user:group", passwd, group */
#include "fuzz_input.h"

#include "guest_internal.h"

static char *text_take(const uint8_t **io_p, const uint8_t *end)
{
	size_t n = strnlen((const char *)*io_p, (size_t)(end - *io_p));
	char *text = copy_of(*io_p, n);

	*io_p += n;
	if (*io_p < end)
		++*io_p;
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free uint8_t *all = copy_of(data, len);
	const uint8_t *p = all, *end = all + len;
	auto_free char *spec = text_take(&p, end), *passwd = text_take(&p, end),
		       *group = text_take(&p, end);
	struct user_ids ids;
	struct err e = { 0 };

	if (user_lookup(spec, passwd, group, &ids, &e) < 0) {
		MUST(e.code == EINVAL || e.code == ENOENT);
		return 0;
	}
	MUST(ids.uid != UINT32_MAX && ids.gid != UINT32_MAX);
	MUST(ids.n_groups >= 1 && ids.n_groups <= USER_GROUPS_MAX && ids.groups[0] == ids.gid);
	for (size_t i = 0; i < ids.n_groups; i++)
		for (size_t k = 0; k < i; k++)
			MUST(ids.groups[i] != ids.groups[k]);
	MUST(memchr(ids.home, 0, sizeof(ids.home)) && !strchr(ids.home, ':') &&
	     !strchr(ids.home, '\n'));
	return 0;
}
