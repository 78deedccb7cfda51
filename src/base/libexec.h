/* SPDX-License-Identifier: MIT */
/* libexec.h - where the programs are that start one another */
#ifndef LIBEXEC_H
#define LIBEXEC_H

/*
 * `given`, else $CAISSON_LIBEXEC, else build/libexec when this is a program of a build (links to
 * all of them), else the installed place. NULL: no memory; the caller frees.
 */
char *libexec_dir(const char *given);

#endif
