/* SPDX-License-Identifier: MIT */
/*
 * share_fixture.h - a share of a test's own directory (temp_dir), its guest, and the host's view
 */
#ifndef SHARE_FIXTURE_H
#define SHARE_FIXTURE_H

#include <sys/stat.h>

#include "share_client.h"
#include "temp_dir.h"

#define ROOT FUSE_ROOT_ID

extern struct share_client client;

/* Of cmocka: the directory, and a share of it with room for 64 inodes and 16 open files. */
int share_setup(void **state);
int share_teardown(void **state);
struct share_options share_options_plain(void);
void share_restart(const struct share_options *o);

void host_file(const char *name, const char *text);
void host_has(const char *name, const char *text);
struct stat host_stat(const char *name);
uint64_t node_of(const char *name); /* looks it up in the root, once more */

#endif
