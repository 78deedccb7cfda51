/* SPDX-License-Identifier: MIT */
/*
 * log.h - messages for people, and phase marks for `--trace`
 *
 * One line each on a descriptor (stderr unless told), prefixed with the program's name. Log only
 * what nobody returns as an error. Control bytes in the text are escaped, so that text of a guest,
 * an image or a server cannot drive a terminal.
 */
#ifndef LOG_H
#define LOG_H

#include "cleanup.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_init(const char *program, enum log_level level, int fd);
void log_error(const char *fmt, ...) printf_like(1, 2);
void log_warn(const char *fmt, ...) printf_like(1, 2);
void log_info(const char *fmt, ...) printf_like(1, 2);
void log_debug(const char *fmt, ...) printf_like(1, 2);

/*
 * Phases of a start. log_trace_on() turns marks on (CAISSON_TRACE=1 in the environment does too, so
 * that child processes of ours follow); log_trace() then prints milliseconds of CLOCK_MONOTONIC
 * since the first process's mark, the program and the phase. Costs a test of a flag when off.
 */
void log_trace_on(void);
void log_trace(const char *phase);

#endif
