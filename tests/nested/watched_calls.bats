#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# watched_calls.bats - the last file: what VMMs were allowed while all other tests ran, they did

@test "no rule of the VMM's system call filters is superfluous" {
	[ "$BATS_SUITE_TEST_NUMBER" -gt 50 ] || skip "says something after all other tests only"
	python3 "$BATS_TEST_DIRNAME/calls.py" compare "$BATS_TEST_DIRNAME/../../build/src/sandbox/sandbox_syscalls.h" \
		"$BATS_TEST_DIRNAME/watched_calls.txt"
}
