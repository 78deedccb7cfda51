#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# kills.bats - kill -9 of any process at any point of a machine's life: nothing is lost, nothing stays

setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

sweep() { python3 "$BATS_TEST_DIRNAME/kills.py" sweep "$@"; }

@test "client killed at points of a start" {
	sweep cli 0 25 16
	sweep cli 20 80 4 --rm
}

@test "keeper killed at points of a start" {
	sweep keeper 0 25 16
	sweep keeper 0 80 5 --rm
}

@test "VMM killed at points of a start" {
	sweep vmm 0 25 16
	sweep vmm 0 80 5 --rm
}
