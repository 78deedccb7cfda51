/* SPDX-License-Identifier: MIT */
/* foreign_info.h - what qemu-img says of an image of another format; called by cmd_disk_foreign.c
 */
#ifndef FOREIGN_INFO_H
#define FOREIGN_INFO_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define FOREIGN_INFO_MAX  (1U << 20)
#define FOREIGN_WORDS_MAX 300U

/*
 * The output of `qemu-img info --output=json`: of this format, and all its data in the one file
 * that qemu-img was given? -EINVAL and why not.
 */
must_check int foreign_info_check(const char *json, size_t len, const char *format, struct err *e);

/* The reason in what qemu-img wrote to stderr, on one line, without the options it was started
 * with. "": none. */
void foreign_words(const char *text, size_t len, char ret[FOREIGN_WORDS_MAX]);
/* Such a reason that is another file, which was not to be had? */
bool foreign_words_name_file(const char *words);

#endif
