/* SPDX-License-Identifier: MIT */
/*
 * fake.h - a driver without a machine, for tests
 *
 * A child process answers the agent protocol by itself. What it "runs" is decided by argv[0]:
 * "true", "exit" N, "cat" (stdin to stdout), "echo" WORDS, "yes" (endless output), "sleep" (until a
 * signal ends it), and faults: "hang" (answers nothing), "garbage" (breaks the protocol), "die"
 * (the process ends).
 */
#ifndef FAKE_H
#define FAKE_H

#include "driver.h"

extern const struct vm_driver_ops fake_driver;

#endif
