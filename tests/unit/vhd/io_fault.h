/* SPDX-License-Identifier: MIT */
/*
 * io_fault.h - a store of bytes that fails when told to, over another one
 *
 * The other store stays the caller's: closing this one does not close it. So an image can be opened
 * again on what it wrote.
 */
#ifndef IO_FAULT_H
#define IO_FAULT_H

#include "vhd.h"

enum io_call {
	IO_READ,
	IO_WRITE,
	IO_FLUSH,
	IO_SET_SIZE,
	IO_PUNCH,
	IO_GET_SIZE,
	IO_CALL_COUNT_,
};

/* What fails, and what was called; the caller's, may be changed between calls of the io. */
struct io_fault_plan {
	int code;         /* errno value that is returned; 0: nothing fails */
	uint64_t fail_at; /* number of the first call that fails, from 0 */
	bool is_for_all;  /* `fail_at` counts calls of all kinds, not of `call` */
	enum io_call call;
	bool is_lasting;   /* later calls (of that kind) fail too */
	bool is_torn;      /* a write that fails has written about half its sectors */
	bool no_punch;     /* punch is -EOPNOTSUPP, and not counted */
	uint64_t size_max; /* 0: none; else ENOSPC past it, after writing up to it */
	uint64_t counts[IO_CALL_COUNT_];
	uint64_t total, failed;
};

/* `plan` NULL: nothing ever fails, and nothing is counted. */
struct vhd_io *io_fault_new(struct vhd_io *inner, struct io_fault_plan *plan);

#endif
