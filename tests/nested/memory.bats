#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# memory.bats - machines whose memory grows and shrinks while they run

setup() {
	load ../e2e/lib
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

field() { caisson inspect -f "{{$2}}" "$1"; }
mib() { echo $(($(field "$1" ".Caisson.$2") >> 20)); }
total() { caisson exec "$1" sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo; } # in KiB
resident() { echo $(($(sed -n 's/^RssAnon:\t *\([0-9]*\) kB/\1/p' "/proc/$(vmm_pid "$1")/status") >> 10)); }
grows() { # grows NAME OPTION...: a machine of 128 MiB that may have 512
	caisson run -d --name "$1" --driver kvm --network none --memory 128m --memory-max 512m \
		--tmpfs /m:size=300m "${@:2}" \
		"$BUSYBOX" sleep 1000 >/dev/null
}

# Up, used, down, and over its limits.
life() { # life NAME
	local began most
	began=$(total "$1")
	[ "$began" -lt 131072 ]
	[ "$(mib "$1" MemoryNowBytes)" = 128 ]
	[ "$(mib "$1" MemoryMaxBytes)" = 512 ]

	[ "$(caisson update --memory 384m "$1")" = "$1" ]
	[ "$(mib "$1" MemoryWantedBytes)" = 384 ]
	[ "$(mib "$1" MemoryNowBytes)" = 384 ]
	[ "$(total "$1")" -gt $((began + 250000)) ]
	# more than it began with, so some of it is what came
	caisson exec "$1" sh -c 'dd if=/dev/zero bs=1M count=220 2>/dev/null | tr "\0" x >/m/full; wc -c </m/full' >size
	[ "$(cat size)" = 230686720 ]
	most=$(resident "$1")
	[ "$most" -gt 220 ]
	caisson exec "$1" rm /m/full

	caisson update -m 128m "$1" 2>warned
	cat warned >&2
	[ "$(mib "$1" MemoryWantedBytes)" = 128 ]
	eventually 60 eval "[ \$(mib $1 MemoryNowBytes) = 128 ]"
	[ "$(total "$1")" = "$began" ]
	[ "$(resident "$1")" -lt $((most - 100)) ]

	run caisson update --memory 64m "$1"
	[ "$status" = 1 ]
	[[ $output = *"from 128MB, with which it began, to 512MB"* ]]
	run caisson update --memory 513m "$1"
	[ "$status" = 1 ]
	[ "$(mib "$1" MemoryWantedBytes)" = 128 ]
	[ "$(caisson exec "$1" echo lives)" = lives ]
}

# A clone, which is killed with what it has taken.
clone_lives() { # clone_lives KERNEL
	grows clone --kernel "$1"
	[ "$(field clone .Caisson.Boot)" = machine ]
	life clone
	caisson update -m 512m clone
	kill -9 "$(vmm_pid clone)"
	eventually 20 is_state clone exited
	caisson start clone >/dev/null
	[ "$(mib clone MemoryNowBytes)" = 128 ]
}

@test "memory grows and shrinks: the small kernel, booted and a clone" {
	grows cold --kernel "$SMALL" --no-template
	[ "$(field cold .Caisson.Boot)" = cold ]
	life cold
	caisson rm -f cold >/dev/null
	clone_lives "$SMALL"
}

@test "memory grows and shrinks: Debian's kernel" {
	[ -n "$CLOUD" ] || skip "no kernel of Debian's in the store"
	clone_lives "$CLOUD"
}

@test "memory that does not grow, and of machines that do not run" {
	caisson run -d --name fixed --driver kvm --network none -m 128m "$BUSYBOX" sleep 1000 >/dev/null
	run caisson update -m 256m fixed
	[ "$status" = 1 ]
	[[ $output = *"without --memory-max"* ]]
	run caisson update fixed
	[ "$status" = 1 ]
	caisson stop -t 0 fixed >/dev/null
	[ "$(caisson update -m 256m fixed)" = fixed ]
	[ "$(mib fixed MemoryBytes)" = 256 ]
	[ "$(mib fixed MemoryNowBytes)" = 0 ]
	run caisson update -m 1m fixed
	[ "$status" = 1 ]
	[ "$(mib fixed MemoryBytes)" = 256 ]
	caisson start fixed
	[ "$(total fixed)" -gt 200000 ]
}

@test "memory that grows is caisson-vmm's only" {
	run caisson create --driver qemu -m 128m --memory-max 256m "$BUSYBOX" true
	[ "$status" != 0 ]
	[[ $output = *"--memory-max needs caisson-vmm"* ]]
	run caisson create -m 256m --memory-max 128m "$BUSYBOX" true
	[ "$status" != 0 ]
	[ -z "$(caisson ps -aq)" ]
}

# The guest's kernel lets go of the device; then its root looks at the first block, which is not its own, and stores to it.
@test "a store to memory that was not given ends the machine" {
	local device
	[ -n "$CLOUD" ] || skip "no kernel of Debian's in the store" # the small one has no /dev/mem
	grows thief --kernel "$CLOUD"
	device=$(caisson exec thief sh -c 'basename "$(echo /sys/bus/virtio/drivers/virtio_mem/virtio*)"')
	caisson exec --privileged thief sh -c "mount -t sysfs none /m; echo $device >/m/bus/virtio/drivers/virtio_mem/unbind"
	run caisson update -m 256m thief
	[ "$status" = 0 ]
	[[ $output = *"has 128MB of memory, not yet 256MB: its kernel has not taken the rest"* ]]
	[ "$(mib thief MemoryWantedBytes)" = 256 ]
	[ "$(mib thief MemoryNowBytes)" = 128 ]
	caisson exec --privileged thief sh -c 'mknod /tmp/mem c 1 1; ln -sf /tmp/mem /dev/mem; devmem 0x100000000' >seen
	[ "$(cat seen)" = 0x00000000 ]
	caisson exec --privileged thief devmem 0x100000000 32 1 || true
	eventually 20 is_state thief exited
	[[ $(field thief .State.Error) = *"memory of the guest's is not there"* ]]
}
