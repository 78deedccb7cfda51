/* SPDX-License-Identifier: MIT */
/*
 * banned.h - functions that this code base does without
 *
 * Included in every compilation: string functions without bounds and number parsers without errors.
 * strtok, system, alloca are refused by tests/gates (libraries' headers may name them).
 */
#ifndef BANNED_H
#define BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef strncpy
#undef strcpy
#undef strcat
#undef sprintf /* macros of the fortified headers under clang */
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets atoi atol atoll

#endif
