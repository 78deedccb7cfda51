/* SPDX-License-Identifier: MIT */
/*
 * registry_challenge.h - what registries say in headers
 *
 * WWW-Authenticate (RFC 9110, 11.6.1; Docker's token authentication), Retry-After (10.2.3) and
 * Content-Range (14.4). Pure.
 */
#ifndef REGISTRY_CHALLENGE_H
#define REGISTRY_CHALLENGE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "err.h"

#define CHALLENGE_LIST_MAX 16U

enum challenge_kind { CHALLENGE_OTHER, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_kind kind;
	char scheme[32];
	char realm[2048], service[512], scope[2048];
};

/*
 * The challenges of all WWW-Authenticate lines (joined by newlines), in their order; reading stops
 * at what is malformed. Returns how many there are.
 */
size_t challenge_parse(const char *text, struct challenge list[CHALLENGE_LIST_MAX]);

/* Bearer with a realm first, else Basic. -EBADMSG says what was offered instead. */
must_check int challenge_choose(const char *text, struct challenge *ret, struct err *e);

/* Retry-After as seconds or date; at most cap_ms; 0 when there is none or it is not readable. */
uint32_t retry_after_parse(const char *text, time_t now, uint32_t cap_ms);

/* "bytes 0-99/100" or with "*" for the total, which then is UINT64_MAX. */
bool content_range_parse(const char *text, uint64_t *ret_first, uint64_t *ret_last,
			 uint64_t *ret_total);

#endif
