/* SPDX-License-Identifier: MIT */
/* stage_order.h - packets between caisson-init and a process that is about to become a program */
#ifndef STAGE_ORDER_H
#define STAGE_ORDER_H

#include <stddef.h>
#include <stdint.h>

struct stage_order { /* with three descriptors: stdin, stdout, stderr; the payload follows */
	uint32_t len;
};
struct stage_answer { /* code 0: prepared */
	uint32_t code;
	char text[400];
};

/* Wait for the end of the socket (running), or for the reason why not. 0, or the user's exit code
 * and the reason; in stage.c. */
int stage_answer_wait(int sock, char *text, size_t len);

#endif
