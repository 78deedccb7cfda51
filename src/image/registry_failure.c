/* SPDX-License-Identifier: MIT */
/* registry_failure.c - see registry_failure.h; where libcurl has no code, its words decide */
#include "registry_failure.h"

#include <string.h>

#include "registry_url.h"

static int fail_code(CURLcode code)
{
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return EPROTO;
	case CURLE_OPERATION_TIMEDOUT:
		return ETIMEDOUT;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
		return EBADMSG;
	case CURLE_OUT_OF_MEMORY:
		return ENOMEM;
	default:
		return EHOSTUNREACH;
	}
}

static bool is_temporary(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_SEND_FAIL_REWIND:
	case CURLE_GOT_NOTHING:
	case CURLE_OPERATION_TIMEDOUT:
		return true;
	default:
		return false;
	}
}

static bool is_plain_http(const char *why)
{
	return strstr(why, "wrong version number") || strstr(why, "packet length too long") ||
	       strstr(why, "http request");
}

/* With TLS 1.3 the server's word on it comes when the handshake is over for us. */
static bool is_client_refused(const char *why)
{
	return strstr(why, "alert ") && (strstr(why, "certificate") || strstr(why, "unknown ca"));
}

/* The server may have hung up so early that its reason was lost with the connection. */
static bool is_cut_off_at_once(const struct http_call *c, CURL *easy, CURLcode code)
{
	long connects = 0;

	if (code != CURLE_SEND_ERROR || c->source || strncasecmp(c->url, "https:", 6) != 0)
		return false;
	(void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
	return connects > 0;
}

static void client_refused(struct http_call *c, const char *why)
{
	bool has_cert = c->tls && c->tls->cert;

	c->is_temporary = false;
	c->rc = err_plain(&c->why, EPROTO, "the server %s: %s",
			  has_cert ? "does not accept the client certificate"
				   : "wants a client certificate, and there is none for it",
			  why);
}

/* curl names whom it could not reach: when that is not the address's host, it is a proxy. */
static bool is_proxy_down(const struct http_call *c, CURLcode code, const char *why)
{
	struct url_origin o;
	struct err ignored = { 0 };

	return code == CURLE_COULDNT_CONNECT && url_origin(c->url, &o, &ignored) == 0 &&
	       o.host[0] != '[' && strstr(why, "connect to") && !strcasestr(why, o.host);
}

/* What stands between us and the server; false when nothing does, or it was not at fault. */
static bool proxy_explain(struct http_call *c, CURL *easy, CURLcode code, const char *why)
{
	long status = 0;

	(void)curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &status);
	if (is_proxy_down(c, code, why)) {
		c->rc = err_plain(&c->why, EHOSTUNREACH, "the proxy does not answer: %s", why);
		return true;
	}
	if (status < 300)
		return false;
	c->is_temporary = status >= 500; /* that is its view of the server */
	c->rc = err_plain(&c->why, EHOSTUNREACH, "the proxy %s: %s",
			  status == 407 ? "wants a user and a password" : "refuses to connect",
			  why);
	return true;
}

void http_failure_explain(struct http_call *c, CURL *easy, CURLcode code, const char *why)
{
	c->is_refused = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
			code == CURLE_COULDNT_RESOLVE_PROXY;
	c->is_temporary = is_temporary(code);
	if (proxy_explain(c, easy, code, why))
		return;
	if (fail_code(code) == EPROTO && is_plain_http(why)) {
		c->rc = err_plain(
			&c->why, EPROTO,
			"server gave HTTP response to HTTPS client; if it speaks plain HTTP "
			"only, list it among the insecure registries");
	} else if (code == CURLE_PEER_FAILED_VERIFICATION) {
		c->rc = err_plain(&c->why, EPROTO, "the server's certificate is not trusted: %s",
				  why);
	} else if (code == CURLE_SSL_CERTPROBLEM) {
		c->rc = err_plain(&c->why, EPROTO,
				  "the client certificate cannot be used with its key: %s", why);
	} else if (is_client_refused(why)) {
		client_refused(c, why);
	} else if (is_cut_off_at_once(c, easy, code)) {
		c->is_refused = true; /* if that is why, it will go on so */
		c->rc = err_plain(&c->why, EHOSTUNREACH,
				  "%s: the server may want another client certificate, or one",
				  why);
	} else if (code == CURLE_SSL_CONNECT_ERROR && strstr(why, "SSL_ERROR_SYSCALL")) {
		c->is_temporary = true; /* cut off in the middle of it */
		c->rc = err_plain(&c->why, EHOSTUNREACH, "%s", why);
	} else {
		c->rc = err_plain(&c->why, fail_code(code), "%s", why);
	}
}
