/* SPDX-License-Identifier: MIT */
/* machine_name.h - names for machines whose owner gave them none */
#ifndef MACHINE_NAME_H
#define MACHINE_NAME_H

#include <stddef.h>

#include "err.h"

/* "calm_pier"; with attempt > 0 a number is added. */
must_check int machine_name_random(unsigned attempt, char *ret, size_t len, struct err *e);
/* 64 random hex digits. */
must_check int machine_id_random(char ret[65], struct err *e);

#endif
