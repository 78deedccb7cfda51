/* SPDX-License-Identifier: MIT */
/*
 * vmm_control.h - the driver's end of caisson-vmm: requests are served, the end is told
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include "vmm_machine.h"

struct vmm_control;

/* `m` and its loop are borrowed. The loop ends (loop_quit) with 0 when the driver hangs up or says
 * stop, and when the machine has ended; 1 when that was an error, with its text on the log. */
must_check int vmm_control_new(struct machine *m, int fd, struct vmm_control **ret, struct err *e);
/* The machine is there; it runs as soon as this has been said. */
must_check int vmm_control_ready(struct vmm_control *c, struct err *e);
void vmm_control_free(struct vmm_control *c); /* NULL is fine; closes `fd` */

#endif
