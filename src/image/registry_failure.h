/* SPDX-License-Identifier: MIT */
/*
 * registry_failure.h - what a failure of libcurl means: its text, its code, and whether to try
 * again
 *
 * Called by registry_http.c for a call that got no response.
 */
#ifndef REGISTRY_FAILURE_H
#define REGISTRY_FAILURE_H

#include <curl/curl.h>

#include "registry_http.h"

/* Sets rc, why, is_temporary and is_refused of the call. why: libcurl's own words. */
void http_failure_explain(struct http_call *c, CURL *easy, CURLcode code, const char *why);

#endif
