/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_BYTES 1024
#define TRACE_ENV      "CAISSON_TRACE"

/* The only mutable file-scope state below main files: every process has one log. */
static struct {
	const char *program;
	enum log_level level;
	int fd;
	bool trace;
	double trace_start_ms;
} log_state = { .program = "caisson", .level = LOG_LEVEL_WARN, .fd = STDERR_FILENO };

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

void log_init(const char *program, enum log_level level, int fd)
{
	const char *start = getenv(TRACE_ENV);

	log_state.program = program;
	log_state.level = level;
	log_state.fd = fd;
	if (start) {
		log_state.trace = true;
		log_state.trace_start_ms = strtod(start, NULL);
		if (log_state.trace_start_ms <= 1)
			log_trace_on();
	}
}

/* Control bytes: of ASCII, and U+0080 to U+009F as UTF-8 has them (p[-1] may be looked at). */
static bool is_control(const unsigned char *p, bool has_before)
{
	return (*p < 0x20 && *p != '\t') || *p == 0x7f || (*p == 0xc2 && (p[1] & 0xe0) == 0x80) ||
	       (has_before && p[-1] == 0xc2 && (*p & 0xe0) == 0x80);
}

/* Write `text` as one line; control bytes other than tab become \xNN. */
static void log_line(const char *prefix, const char *text)
{
	char out[LINE_MAX_BYTES * 4 + 64];
	size_t n = (size_t)snprintf(out, 64, "%.32s: %s", log_state.program, prefix);

	for (const unsigned char *p = (const unsigned char *)text; *p && n < sizeof(out) - 6; p++) {
		if (is_control(p, p > (const unsigned char *)text))
			n += (size_t)snprintf(out + n, 5, "\\x%02x", *p);
		else
			out[n++] = (char)*p;
	}
	out[n++] = '\n';
	if (write(log_state.fd, out, n) < 0)
		return; /* nowhere left to say it */
}

static void printf_like(3, 0)
	log_va(enum log_level level, const char *prefix, const char *fmt, va_list ap)
{
	char text[LINE_MAX_BYTES];
	int saved = errno;

	if (level <= log_state.level) {
		vsnprintf(text, sizeof(text), fmt, ap);
		log_line(prefix, text);
	}
	errno = saved;
}

#define LOG_FUNCTION(name, level, prefix)                                                          \
	void name(const char *fmt, ...)                                                            \
	{                                                                                          \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, fmt);                                                                 \
		log_va(level, prefix, fmt, ap);                                                    \
		va_end(ap);                                                                        \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, "")
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN, "warning: ")
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, "")
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, "debug: ")

void log_trace_on(void)
{
	char start[32];

	log_state.trace = true;
	log_state.trace_start_ms = now_ms();
	snprintf(start, sizeof(start), "%.3f", log_state.trace_start_ms);
	setenv(TRACE_ENV, start, 1);
}

void log_trace(const char *phase)
{
	char text[256];

	if (!log_state.trace)
		return;
	snprintf(text, sizeof(text), "%9.3f ms  %s", now_ms() - log_state.trace_start_ms, phase);
	log_line("trace ", text);
}
