/* SPDX-License-Identifier: MIT */
/*
 * registry_http.c - HTTP over libcurl's multi interface; see registry_http.h
 *
 * Hostile: everything that arrives. libcurl reads the protocol; header lines are counted, and those
 * that somebody wants are kept. Idle time is summed up by http_pump() in steps of at most
 * TICK_MAX_MS, so that time in which this process itself was busy or stopped is nobody's fault.
 */
#include "registry_http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "fdio.h"
#include "registry_failure.h"
#include "registry_url.h"

#define CALLS_MAX   32U
#define TICK_MAX_MS 1000U
#define BUFFER_SIZE (256L << 10)
#define ROOTS_MAX   (8U << 20)
#define REUSE_MAX   16L

static const char *const method_names[] = { "GET", "HEAD", "POST", "PUT", "PATCH" };
_Static_assert(ARRAY_SIZE(method_names) == HTTP_METHOD_COUNT_, "a name for each method");

struct http {
	CURLM *multi;
	int watch_fd;
	struct http_limits limits;
	struct http_call *calls[CALLS_MAX];
	size_t n_calls;
	uint64_t last_ms;
};

struct http_run { /* a call on its way */
	struct http *http;
	CURL *easy;
	struct curl_slist *headers;
	char why[CURL_ERROR_SIZE];
	size_t header_bytes;
	bool has_headers;       /* of the last response */
	bool has_begun, is_cut; /* the sink; the body's rest is not wanted */
	uint64_t sent;          /* of the source */
	uint64_t moved;         /* bytes of bodies since the last look */
	uint32_t idle_ms, total_ms, window_ms;
	uint64_t window_bytes;
};

const char *http_method_name(enum http_method m)
{
	return method_names[m];
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- headers ---- */

static void response_clear(struct http_response *r)
{
	free(r->location);
	free(r->content_type);
	free(r->content_range);
	free(r->content_encoding);
	free(r->retry_after);
	free(r->docker_digest);
	buf_done(&r->challenges);
	*r = (struct http_response){ .length = -1 };
}

static bool header_is(const char *line, size_t n, const char *name, const char **ret_value,
		      size_t *ret_len)
{
	size_t at = strlen(name);

	if (n <= at || strncasecmp(line, name, at) != 0 || line[at] != ':')
		return false;
	for (at++; at < n && (line[at] == ' ' || line[at] == '\t');)
		at++;
	while (n > at && strchr(" \t\r\n", line[n - 1])) /* NUL too */
		n--;
	*ret_value = line + at;
	*ret_len = n - at;
	return true;
}

/* Out of memory: the value is missing, which every reader takes. The first line of a name counts.
 */
static void header_keep(struct http_response *r, const char *line, size_t n)
{
	struct {
		const char *name;
		char **field;
	} kept[] = { { "location", &r->location },
		     { "content-type", &r->content_type },
		     { "content-range", &r->content_range },
		     { "content-encoding", &r->content_encoding },
		     { "retry-after", &r->retry_after },
		     { "docker-content-digest", &r->docker_digest } };
	const char *value;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (!*kept[i].field && header_is(line, n, kept[i].name, &value, &len))
			*kept[i].field = strndup(value, len);
	if (header_is(line, n, "www-authenticate", &value, &len) &&
	    buf_add(&r->challenges, value, len) == 0)
		(void)!buf_add_str(&r->challenges, "\n");
}

static int call_fail(struct http_call *c, int code, const char *text)
{
	if (c->rc == 0)
		c->rc = err_plain(&c->why, code, "%s", text);
	return -1;
}

/*
 * curl obeys the environment and says too little of it: without a proxy it speaks to the port of
 * the address. One on the same port goes unseen.
 */
static void proxy_look(struct http_call *c)
{
	struct url_origin o;
	struct err ignored = { 0 };
	char *ip = NULL;
	long port = 0;

	if (url_origin(c->url, &o, &ignored) < 0 || url_is_tls(&o))
		return; /* behind TLS it is the server that answers */
	(void)curl_easy_getinfo(c->run->easy, CURLINFO_PRIMARY_IP, &ip);
	(void)curl_easy_getinfo(c->run->easy, CURLINFO_PRIMARY_PORT, &port);
	if (ip && *ip && port > 0 && port != strtol(o.port, NULL, 10))
		snprintf(c->response.proxy, sizeof(c->response.proxy), "%s:%ld", ip, port);
}

static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
	struct http_call *c = arg;

	n *= one;
	c->run->header_bytes += n;
	if (c->run->header_bytes > HTTP_HEADER_MAX) {
		(void)call_fail(c, EBADMSG, "the answer's headers are too long");
		return 0;
	}
	if (n >= 5 && strncmp(line, "HTTP/", 5) == 0) { /* also after "100 Continue" */
		response_clear(&c->response);
		c->run->has_headers = false;
		return n;
	}
	if (c->run->has_headers)
		return n; /* trailers */
	if (n > 0 && (*line == '\r' || *line == '\n')) {
		long status = 0;

		(void)curl_easy_getinfo(c->run->easy, CURLINFO_RESPONSE_CODE, &status);
		c->response.status = (int)status;
		if (status >= 300)
			proxy_look(c);
		c->run->has_headers = status >= 200;
		c->run->idle_ms = 0;
		return n;
	}
	header_keep(&c->response, line, n);
	return n;
}

/* ---- bodies ---- */

static bool is_good(const struct http_call *c)
{
	return c->response.status >= 200 && c->response.status < 300;
}

static void length_get(struct http_call *c)
{
	curl_off_t n = -1;

	if (curl_easy_getinfo(c->run->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &n) == CURLE_OK)
		c->response.length = n;
}

static int sink_begin(struct http_call *c)
{
	if (c->run->has_begun)
		return 0;
	c->run->has_begun = true;
	length_get(c);
	c->rc = c->sink->begin(c->sink->arg, &c->response, &c->why);
	return c->rc;
}

static int text_take(struct http_call *c, const char *p, size_t n)
{
	size_t max = c->text_max && is_good(c) ? c->text_max : HTTP_TEXT_MAX;

	c->text.max = max;
	if (n <= max && c->text.len <= max - n)
		return buf_add(&c->text, p, n) < 0 ? call_fail(c, ENOMEM, "out of memory") : 0;
	if (is_good(c)) {
		c->rc = err_plain(&c->why, EFBIG,
				  "the answer is larger than the limit of %zu bytes", max);
		return -1;
	}
	c->run->is_cut = true; /* an error's text: what is there will do */
	return -1;
}

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
	struct http_call *c = arg;

	n *= one;
	c->run->moved += n;
	if (!c->sink || !is_good(c))
		return text_take(c, p, n) < 0 ? 0 : n;
	if (sink_begin(c) < 0)
		return 0;
	c->rc = c->sink->data(c->sink->arg, p, n, &c->why);
	return c->rc < 0 ? 0 : n;
}

static size_t on_read(char *p, size_t one, size_t n, void *arg)
{
	struct http_call *c = arg;
	uint64_t left = c->source->size - c->run->sent;
	ssize_t got;

	n *= one;
	if (left == 0)
		return 0;
	got = c->source->read(c->source->arg, c->run->sent, p, (size_t)MIN_OF(left, (uint64_t)n));
	if (got <= 0) {
		c->rc = got ? err_set(&c->why, (int)-got, "read what is to be sent")
			    : err_plain(&c->why, EBADMSG,
					"what is to be sent is shorter than it was");
		return CURL_READFUNC_ABORT;
	}
	c->run->sent += (uint64_t)got;
	c->run->moved += (uint64_t)got;
	return (size_t)got;
}

static int on_seek(void *arg, curl_off_t off, int origin)
{
	struct http_call *c = arg;

	if (origin != SEEK_SET || off < 0 || (uint64_t)off > c->source->size)
		return CURL_SEEKFUNC_CANTSEEK;
	c->run->sent = (uint64_t)off;
	return CURL_SEEKFUNC_OK;
}

/* ---- ends ---- */

static void list_drop(struct http *h, struct http_call *c)
{
	for (size_t i = 0; i < h->n_calls; i++)
		if (h->calls[i] == c)
			h->calls[i--] = h->calls[--h->n_calls];
}

static void run_free(struct http *h, struct http_call *c)
{
	if (!c->run)
		return;
	list_drop(h, c);
	(void)curl_multi_remove_handle(h->multi, c->run->easy); /* one that is not in it is fine */
	curl_easy_cleanup(c->run->easy);
	curl_slist_free_all(c->run->headers);
	free(c->run);
	c->run = NULL;
}

static void call_end(struct http *h, struct http_call *c, CURLcode code)
{
	bool answered = c->run->has_headers && (c->run->is_cut || !is_good(c));

	if (c->run->has_headers && c->response.length < 0)
		length_get(c);
	if (c->rc == 0 && code == CURLE_OK && c->sink && is_good(c))
		(void)sink_begin(c); /* leaves its error in the call */
	else if (c->rc == 0 && code != CURLE_OK && !answered)
		http_failure_explain(c, c->run->easy, code,
				     c->run->why[0] ? c->run->why : curl_easy_strerror(code));
	if (c->rc == 0 && !c->run->has_headers)
		(void)call_fail(c, EBADMSG, "the answer is no HTTP response");
	run_free(h, c);
	c->is_done = true;
}

void http_stop(struct http *h, struct http_call *c)
{
	run_free(h, c);
	response_clear(&c->response);
	buf_done(&c->text);
	c->is_done = c->is_temporary = c->is_refused = false;
	c->rc = 0;
	c->why = (struct err){ 0 };
}

/* ---- begins ---- */

static int header_addf(struct http_run *r, const char *name, const char *value)
{
	auto_free char *line = NULL;
	struct curl_slist *more;

	if (!value)
		return 0;
	if (asprintf(&line, "%s: %s", name, value) < 0)
		return -ENOMEM;
	more = curl_slist_append(r->headers, line);
	if (!more)
		return -ENOMEM;
	r->headers = more;
	return 0;
}

/* A list of several types is several lines: some registries read only the first of a line. */
static int accept_add(struct http_run *r, const char *list)
{
	while (list && *list) {
		size_t n = strcspn(list, " ");
		auto_free char *one = strndup(list, n);

		if (!one || header_addf(r, "Accept", one) < 0)
			return -ENOMEM;
		list += n + strspn(list + n, " ");
	}
	return 0;
}

static int headers_make(struct http_call *c)
{
	struct http_run *r = c->run;
	struct curl_slist *more;
	char range[64] = "";

	snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)c->range_from);
	if (accept_add(r, c->accept) < 0 || header_addf(r, "Accept-Encoding", "identity") < 0 ||
	    header_addf(r, "Authorization", c->authorization) < 0 ||
	    header_addf(r, "Content-Type", c->content_type) < 0 ||
	    header_addf(r, "Range", c->range_from ? range : NULL) < 0)
		return -ENOMEM;
	more = curl_slist_append(r->headers, "Expect:"); /* none: tokens are fetched before */
	if (!more)
		return -ENOMEM;
	r->headers = more;
	return 0;
}

static CURLcode set_blob(CURL *e, CURLoption option, const char *pem)
{
	struct curl_blob b = { (void *)pem, pem ? strlen(pem) : 0, CURL_BLOB_COPY };

	return pem ? curl_easy_setopt(e, option, &b) : CURLE_OK;
}

static int set_tls(CURL *e, const struct http_tls *t)
{
	int bad = 0;

	if (!t)
		return 0;
	if (t->skip_verify) {
		bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
		bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	bad |= set_blob(e, CURLOPT_CAINFO_BLOB, t->ca);
	bad |= set_blob(e, CURLOPT_SSLCERT_BLOB, t->cert);
	bad |= set_blob(e, CURLOPT_SSLKEY_BLOB, t->key);
	return bad;
}

static int set_method(CURL *e, struct http_call *c)
{
	int bad = 0;

	if (c->method == HTTP_GET)
		return curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	if (c->method == HTTP_HEAD)
		return curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	if (c->source) {
		bad |= curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		bad |= curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
		bad |= curl_easy_setopt(e, CURLOPT_READDATA, c);
		bad |= curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
		bad |= curl_easy_setopt(e, CURLOPT_SEEKDATA, c);
		bad |= curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);
		bad |= curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->source->size);
	} else {
		bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->body ? c->body : "");
		bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE,
					(curl_off_t)(c->body ? c->body_len : 0));
	}
	bad |= curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method_names[c->method]);
	return bad;
}

static int set_usual(CURL *e, const struct http *h, struct http_call *c)
{
	int bad = 0;

	bad |= curl_easy_setopt(e, CURLOPT_URL, c->url);
	bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	bad |= curl_easy_setopt(e, CURLOPT_USERAGENT, "caisson/" CAISSON_VERSION);
	bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->run->why);
	bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->limits.connect_ms);
	bad |= curl_easy_setopt(e, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
	bad |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->run->headers);
	bad |= curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	bad |= curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	bad |= curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	if (c->undo_encoding) /* our own Accept-Encoding line stands; this turns decoding on */
		bad |= curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
	return bad;
}

int http_start(struct http *h, struct http_call *c, struct err *e)
{
	http_stop(h, c);
	if (h->n_calls == CALLS_MAX)
		return err_plain(e, EAGAIN, "too many requests at once");
	c->run = calloc(1, sizeof(*c->run));
	if (!c->run)
		return err_set(e, ENOMEM, "request");
	c->run->http = h;
	c->run->easy = curl_easy_init();
	if (!c->run->easy || headers_make(c) < 0 || set_usual(c->run->easy, h, c) ||
	    set_method(c->run->easy, c) || set_tls(c->run->easy, c->tls) ||
	    curl_multi_add_handle(h->multi, c->run->easy) != CURLM_OK) {
		run_free(h, c);
		return err_plain(e, ENOMEM, "cannot prepare a request");
	}
	h->calls[h->n_calls++] = c;
	return 0;
}

/* ---- time ---- */

static bool is_slow(struct http_call *c, const struct http_limits *l)
{
	struct http_run *r = c->run;
	bool busy = r->has_headers || (c->source && r->sent < c->source->size);
	bool slow;

	if (!busy) {
		r->window_ms = 0;
		r->window_bytes = 0;
		return false;
	}
	if (r->window_ms < l->window_ms)
		return false;
	slow = r->window_bytes * 1000 < (uint64_t)l->min_speed * r->window_ms;
	r->window_ms = 0;
	r->window_bytes = 0;
	return slow;
}

static const char *too_late(struct http_call *c, const struct http_limits *l, uint32_t passed_ms)
{
	struct http_run *r = c->run;

	r->idle_ms = r->moved ? 0 : r->idle_ms + passed_ms;
	r->total_ms += passed_ms;
	r->window_ms += passed_ms;
	r->window_bytes += r->moved;
	r->moved = 0;
	if (!r->has_headers && r->idle_ms >= (c->answer_ms ? c->answer_ms : l->answer_ms))
		return "no answer came in time";
	if (r->has_headers && r->idle_ms >= l->stall_ms)
		return "the transfer has stalled";
	if (is_slow(c, l))
		return "the transfer is too slow";
	if (c->total_ms && r->total_ms >= c->total_ms)
		return "the answer took too long";
	return NULL;
}

static bool deadlines_check(struct http *h, uint32_t passed_ms)
{
	bool ended = false;

	for (size_t i = 0; i < h->n_calls; i++) {
		struct http_call *c = h->calls[i];
		const char *why = too_late(c, &h->limits, passed_ms);

		if (!why)
			continue;
		(void)call_fail(c, ETIMEDOUT, why);
		c->is_temporary = true;
		call_end(h, c, CURLE_OPERATION_TIMEDOUT); /* takes it off the list */
		ended = true;
		i--;
	}
	return ended;
}

/* ---- the loop ---- */

static bool messages_take(struct http *h)
{
	bool ended = false;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left))) {
		char *c = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
		call_end(h, (struct http_call *)(void *)c, m->data.result);
		ended = true;
	}
	return ended;
}

static int watch_check(const struct http *h, struct err *e)
{
	char c;
	ssize_t n = recv(h->watch_fd, &c, 1, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return err_plain(e, ECANCELED, "nobody waits for this any more");
	return 0;
}

int http_pump(struct http *h, uint32_t max_ms, struct err *e)
{
	struct curl_waitfd extra = { .fd = h->watch_fd, .events = CURL_WAIT_POLLIN };
	uint64_t now;
	bool ended;
	int running;

	if (curl_multi_perform(h->multi, &running) != CURLM_OK)
		return err_plain(e, EIO, "libcurl failed");
	ended = messages_take(h);
	now = now_ms();
	ended |= deadlines_check(h, (uint32_t)MIN_OF(now - h->last_ms, (uint64_t)TICK_MAX_MS));
	h->last_ms = now;
	if (ended)
		return 0;
	if (curl_multi_poll(h->multi, &extra, 1, (int)MIN_OF(max_ms, TICK_MAX_MS), NULL) !=
	    CURLM_OK)
		return err_plain(e, EIO, "libcurl failed");
	return extra.revents ? watch_check(h, e) : 0;
}

int http_new(int watch_fd, const struct http_limits *limits, struct http **ret, struct err *e)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h)
		h->multi = curl_multi_init();
	if (!h || !h->multi) {
		free(h);
		return err_set(e, ENOMEM, "libcurl");
	}
	h->watch_fd = watch_fd;
	h->limits = *limits;
	h->last_ms = now_ms();
	(void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, REUSE_MAX); /* advice only */
	*ret = h;
	return 0;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	while (h->n_calls > 0)
		http_stop(h, h->calls[0]);
	curl_multi_cleanup(h->multi);
	free(h);
}

int http_roots_with(const char *ca, struct buf *ret, struct err *e)
{
	CURL *easy = curl_easy_init();
	char *path = NULL;
	auto_fd fd = -1;

	ret->max = ROOTS_MAX;
	if (easy)
		(void)curl_easy_getinfo(easy, CURLINFO_CAINFO, &path); /* else there is none */
	if (path)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	curl_easy_cleanup(easy);
	/* a machine without roots of its own has those that are given */
	if ((fd >= 0 && fd_read_all(fd, ret) < 0) || buf_add_str(ret, "\n") < 0 ||
	    buf_add_str(ret, ca) < 0)
		return err_set(e, ENOMEM, "certificates");
	return 0;
}
