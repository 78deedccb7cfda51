#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# dirty_log.bats - the log of written pages, under a real KVM

setup() {
	load ../e2e/lib
	cd "$BATS_TEST_TMPDIR" || exit
}

@test "a copy that follows the dirty log is the memory, in two slots, with a disk and a network at work" {
	run timeout 280 python3 "$BATS_TEST_DIRNAME/dirty_log.py" "$(dirname "$CAISSON")/../../libexec/caisson-vmm" \
		"$CAISSON_ROOT/kernels/$SMALL/kernel"
	echo "$output"
	[ "$status" = 0 ]
}
