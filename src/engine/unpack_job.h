/* SPDX-License-Identifier: MIT */
/*
 * unpack_job.h - one run of caisson-unpack
 *
 * The worker dies with the engine. Its reply is read to its end, bounded, and given out raw:
 * parsing is worker_msg.h's.
 */
#ifndef UNPACK_JOB_H
#define UNPACK_JOB_H

#include "buf.h"
#include "loop.h"

struct engine;
struct unpack_job;

/* Called once from the loop when the worker has ended. The callee may free the job. */
typedef void unpack_job_fn(void *arg, const char *reply, size_t len, int status);

/*
 * caisson-unpack layer: blob_fd (perhaps still growing; count_fd tells, -1: whole) -> data_fd and
 * tree_fd. All borrowed.
 */
struct unpack_job_files {
	int blob_fd, count_fd, data_fd, tree_fd;
};
must_check int unpack_job_start(struct engine *g, struct loop *l, const struct unpack_job_files *f,
				unpack_job_fn *fn, void *arg, struct unpack_job **ret,
				struct err *e);
void unpack_job_free(struct unpack_job *j); /* kills it if it runs; NULL is fine */

/* caisson-unpack merge, to its end. trees: lowest first. The reply goes to `reply`. */
must_check int unpack_merge_run(struct engine *g, const int *tree_fds, uint32_t n,
				const char *uuid_hex, int meta_fd, struct buf *reply,
				struct err *e);

#endif
