#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# clones.bats - machines from one template share nothing that must be unique

setup() {
	load lib
	cd "$BATS_TEST_TMPDIR"
}
teardown() { remove_all; }

@test "two clones: entropy, machine id, boot id, MAC, host name, uuid differ" {
	probe='head -c 32 /dev/urandom | md5sum; cat /proc/sys/kernel/random/boot_id; cat /etc/machine-id 2>/dev/null;
		cat /sys/class/net/eth0/address; hostname; cat /proc/sys/kernel/random/uuid'
	for i in 1 2 3; do
		caisson run --rm "$BUSYBOX" sh -c "$probe" >"clone$i" &
	done
	wait
	for i in 1 2 3; do [ "$(wc -l <clone$i)" -ge 5 ]; done
	# no line of one stands in another
	[ -z "$(sort clone1 clone2 clone3 | uniq -d)" ]
}

@test "a clone's clock is right" {
	there=$(caisson run --rm "$BUSYBOX" date +%s)
	here=$(date +%s)
	[ $((here - there)) -le 5 ] && [ $((there - here)) -le 5 ]
}

comes_warm() { # from the image's template, which is made after a first start
	caisson run --name warm "$BUSYBOX" true
	[ "$(caisson inspect -f '{{.Caisson.Boot}}' warm)" != image ] || return 0
	caisson rm warm
	return 1
}

@test "inspect tells how it came up; --no-template boots cold" {
	eventually 60 comes_warm
	caisson run --no-template --name cold "$BUSYBOX" true
	[ "$(caisson inspect -f '{{.Caisson.Boot}}' cold)" = cold ]
}

@test "what one clone writes no other sees" {
	caisson run --rm "$BUSYBOX" sh -c 'echo mine >/etc/mark; echo mine >/bin/mark'
	run caisson run --rm "$BUSYBOX" sh -c 'ls /etc/mark /bin/mark'
	[ "$status" != 0 ]
}

@test "20 at once" {
	for i in $(seq 20); do
		caisson run --rm --network none "$BUSYBOX" echo "$i" >"out$i" &
	done
	wait
	for i in $(seq 20); do [ "$(cat out$i)" = "$i" ]; done
}
