/* SPDX-License-Identifier: MIT */
/* stage_order.h - packets between caisson-init and a process that is about to become a program */
#ifndef STAGE_ORDER_H
#define STAGE_ORDER_H

#include <stdint.h>

struct stage_order { /* with three descriptors: stdin, stdout, stderr; the payload follows */
	uint32_t len;
};
struct stage_answer { /* code 0: prepared */
	uint32_t code;
	char text[400];
};

#endif
