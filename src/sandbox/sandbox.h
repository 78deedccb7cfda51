/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h - a worker process gives up what it will not need
 *
 * Called by a worker with one thread, before the first hostile byte, with all its descriptors open.
 * (Threads that a host program such as nbdkit has already get the system call filter too, but none
 * of the other walls; and where there are any, no user namespace is made.) There is no way back.
 * What the kernel does not have (Landlock, namespaces) is done without and said at debug level;
 * system call filter, capabilities and limits must succeed.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stddef.h>

#include "err.h"

enum sandbox_kind {
	SANDBOX_UNPACK,  /* reads and writes open descriptors, has threads; opens nothing */
	SANDBOX_FETCH,   /* and connects to the network, reads what name lookup and TLS need */
	SANDBOX_MOUNT,   /* as SANDBOX_UNPACK, with files of any size: disks that a FUSE server has
			    open */
	SANDBOX_DISK,    /* as SANDBOX_MOUNT, and talks to who is on a socket that is open; the
			    namespaces are its starter's business */
	SANDBOX_PROGRAM, /* becomes a program of others, which opens the policy's files and what
			    programs consist of; no network, no other process */
	SANDBOX_VMM,     /* runs a guest with what is open: KVM, disks, sockets, rings, timers, the
			    guest's memory; opens nothing, sees no file; its threads may take filters
			    of their own. No more descriptors than the soft limit says */
	SANDBOX_SHARE,   /* serves the files beneath the policy's directories over an open socket:
			    opens, makes, changes and removes them; makes no devices. Root's keeps
			    the rights over others' files */
	SANDBOX_KIND_COUNT_
};

struct sandbox_policy {
	enum sandbox_kind kind;
	/* SANDBOX_FETCH, SANDBOX_SHARE: directories; SANDBOX_PROGRAM: files; all borrowed */
	const int *dir_fds; /* these, and files beneath, may be read, written and made */
	size_t n_dir_fds;
	const int *read_fds; /* these, and files beneath, may be read */
	size_t n_read_fds;
	int program_fd;     /* SANDBOX_PROGRAM: the program */
	unsigned int cpu_s; /* most processor time; 0: any */
};

must_check int sandbox_enter(const struct sandbox_policy *p, struct err *e);

enum sandbox_thread {
	SANDBOX_THREAD_VCPU, /* runs a vCPU that is there, and serves registers of devices */
	SANDBOX_THREAD_DISK, /* reads and writes what is open */
	SANDBOX_THREAD_COUNT_,
};

/*
 * The calling thread of a SANDBOX_VMM gives up more than its process has: any call that is not of
 * its kind kills the process. After sandbox_enter(), which fails where a thread has a filter of its
 * own; best in a thread made after it, which has all walls. Allocates, and so should be called
 * before the thread begins its work. The process still counts as one: what another thread may do,
 * code that runs in this one can make it do.
 */
must_check int sandbox_thread(enum sandbox_thread kind, struct err *e);

#endif
