#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# vmm.bats - machines under a real KVM

setup() {
	load ../e2e/lib
	cd "$BATS_TEST_TMPDIR"
}
teardown() { remove_all; }

@test "the machine has a KVM that runs guests" {
	/run/session/kvm_works 3
	caisson version --format json >version
	[ "$(jq -r .Hypervisor.Accelerator version)" = kvm ]
	caisson doctor | grep -E '^\[ok\] +hardware virtualisation \(KVM\)'
}

@test "QEMU runs machines under KVM: a first one, and clones of its template" {
	for _ in 1 2; do
		run caisson run --rm --driver qemu --network none "$BUSYBOX" echo hi
		[ "$status" = 0 ]
		[ "$output" = hi ]
	done
	caisson run -d --name long --driver qemu --network none "$BUSYBOX" sleep 1000 >/dev/null
	[ "$(caisson inspect -f '{{.Caisson.Accelerator}}' long)" = kvm ]
	[ "$(caisson exec long uname -s)" = Linux ]
}
