/* SPDX-License-Identifier: MIT */
/* kvm_pages.h - which pages of its template a clone has written */
#ifndef KVM_PAGES_H
#define KVM_PAGES_H

#include <sys/types.h>

#include "err.h"

/* Add to the end of `state_fd` the list (vmm_pages.h) of those pages of `mem_fd` that the process
 * has copies of; what is more than a list takes is left out. -ENOENT: it has not mapped that. */
must_check int kvm_pages_record(pid_t pid, int mem_fd, int state_fd, struct err *e);

#endif
