/* SPDX-License-Identifier: MIT */
/*
 * vmm_process.h - a virtual machine monitor as a child process, whichever it is
 *
 * It runs as a user of its own where we are root, and dies with us. It gets an empty network, or,
 * when it shuts itself in, the namespace that it cannot make itself. What it writes to stderr is
 * kept in a pipe that never blocks it, for the reason of its end.
 */
#ifndef VMM_PROCESS_H
#define VMM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "driver.h"

struct vmm_process {
	pid_t pid; /* 0: not started */
	int pidfd, stderr_fd;
	bool is_reaped;
	int status; /* as waitpid */
};
#define VMM_PROCESS_NONE                                                                           \
	{                                                                                          \
		.pidfd = -1, .stderr_fd = -1                                                       \
	}

struct vmm_process_spec {
	const char *program;
	const char *const *argv;
	const int *fds; /* of the child, borrowed; [2] is replaced by the pipe */
	size_t n_fds;
	uid_t uid; /* 0: as we are */
	gid_t gid;
	gid_t extra_gid;      /* with another uid: its one supplementary group; 0: none */
	bool shuts_itself_in; /* makes its namespaces itself, but that of processes */
	const char *trace;    /* NULL, or an assignment for the environment: "CAISSON_TRACE=1" */
};

must_check int vmm_process_start(struct vmm_process *p, const struct vmm_process_spec *s,
				 struct err *e);
/* After its end: VM_END_OFF for exit code 0, else VM_END_LOST; and why, for people. Control bytes
 * escaped. */
enum vm_end vmm_process_end_reason(struct vmm_process *p, char *buf, size_t len);
/* Kill and reap if it still lives. NONE is fine. */
void vmm_process_done(struct vmm_process *p);

#endif
