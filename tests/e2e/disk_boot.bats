#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# disk_boot.bats - images as bootable disks: made without root's rights, booted by QEMU's BIOS

bats_require_minimum_version 1.5.0
load lib

setup() {
	CONSOLE=$BATS_TEST_TMPDIR/console
	QEMU=
}

teardown() {
	[ -z "$QEMU" ] || kill "$QEMU" 2>/dev/null || true
}

export_disk() { caisson disk export --bootable -q "$@" >/dev/null; }

# boot DISK INTERFACE NIC: in the background; sets QEMU and PORT
boot() {
	PORT=$(free_port)
	qemu-system-x86_64 -M pc -accel tcg -m 512 -display none -no-reboot -serial "file:$CONSOLE" \
		-monitor "unix:$BATS_TEST_TMPDIR/monitor,server=on,wait=off" \
		-drive "if=$2,format=vpc,file=$1" \
		-nic "user,model=$3,hostfwd=tcp:127.0.0.1:$PORT-:80" >/dev/null 2>&1 3>&- &
	QEMU=$!
}

monitor() { echo "$1" | socat - "UNIX-CONNECT:$BATS_TEST_TMPDIR/monitor" >/dev/null; }

serves() { curl -sf -m 3 "http://127.0.0.1:$PORT/$1" | grep -q "$2"; }

# The power button, and no end but the guest's own.
press_power() {
	monitor system_powerdown
	eventually 30 process_gone "$QEMU"
	QEMU=
}

@test "a disk serves nginx on IDE and, moved, on virtio; a button ends it" {
	export_disk --for azure "$NGINX" "$BATS_TEST_TMPDIR/n.vhd"
	boot "$BATS_TEST_TMPDIR/n.vhd" ide vmxnet3
	eventually 90 serves '' 'Welcome to nginx'
	press_power
	grep -q 'the main process ended with 0' "$CONSOLE"
	boot "$BATS_TEST_TMPDIR/n.vhd" virtio virtio-net-pci
	eventually 90 serves '' 'Welcome to nginx'
	press_power
}

@test "what is written is there after a restart" {
	local oci=$BATS_TEST_TMPDIR/oci
	cp -r "$IMAGES_OCI" "$oci"
	umoci config --image "$oci:busybox" --tag count --config.cmd sh --config.cmd -c \
		--config.cmd 'echo x >>/var/count; echo "runs=$(wc -l </var/count) $WHO $(id -u)"' \
		--config.env WHO=me
	caisson image import "$oci:count" "$REGISTRY/count:latest" >/dev/null
	export_disk "$REGISTRY/count:latest" "$BATS_TEST_TMPDIR/c.vhd"
	for i in 1 2; do
		boot "$BATS_TEST_TMPDIR/c.vhd" virtio virtio-net-pci
		eventually 60 process_gone "$QEMU"
		grep -q "runs=$i me 0" "$CONSOLE"
	done
}

@test "the disk is a fixed VHD of whole MiB that nothing finds fault with" {
	export_disk --size 300m --for xenserver "$BUSYBOX" "$BATS_TEST_TMPDIR/b.vhd"
	[ "$(caisson disk info --format '{{.Type}} {{.Size}}' "$BATS_TEST_TMPDIR/b.vhd")" = "fixed $((300 << 20))" ]
	caisson disk check "$BATS_TEST_TMPDIR/b.vhd"
	python3 - "$BATS_TEST_TMPDIR/b.vhd" <<-'P'
		import struct, sys
		d = open(sys.argv[1], "rb").read(512)
		assert d[510:] == b"\x55\xaa"
		parts = [struct.unpack("<II", d[446 + 16 * i + 8:446 + 16 * i + 16]) for i in range(3)]
		assert parts[0][0] == 2048 and all(a % 2048 == 0 and n % 2048 == 0 for a, n in parts), parts
		assert [a + n for a, n in parts] == [parts[1][0], parts[2][0], 300 << 11], parts
	P
}

@test "refused: no --bootable, a file that is there, no such image, too small, no place" {
	run -125 caisson disk export "$BUSYBOX" "$BATS_TEST_TMPDIR/x.vhd"
	[[ $output == *--bootable* ]]
	touch "$BATS_TEST_TMPDIR/there.vhd"
	run -1 caisson disk export --bootable "$BUSYBOX" "$BATS_TEST_TMPDIR/there.vhd"
	[[ $output == *'File exists'* ]]
	run -1 caisson disk export --bootable nosuch:image "$BATS_TEST_TMPDIR/x.vhd"
	[[ $output == *'No such image'* ]]
	run -1 caisson disk export --bootable --size 70m "$BUSYBOX" "$BATS_TEST_TMPDIR/x.vhd"
	[[ $output == *'at least'* ]]
	run -1 caisson disk export --bootable "$BUSYBOX" "$BATS_TEST_TMPDIR/none/x.vhd"
	[[ $output == *'No such file'* ]]
	[ "$(ls -A "$BATS_TEST_TMPDIR")" = there.vhd ]
}

@test "a file system that is full leaves nothing" {
	mkdir "$BATS_TEST_TMPDIR/out"
	run -1 bash -c "ulimit -f 20480; trap '' XFSZ; caisson disk export --bootable $NGINX $BATS_TEST_TMPDIR/out/x.vhd"
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/out")" ]
}

# The descriptor of process PID that is a file without a name in DIR, in FD
finds_file() { # PID DIR
	for FD in "/proc/$1/fd"/*; do
		[[ $(readlink "$FD") != "$2"/* ]] || return 0
	done
	return 1
}
has_written() { # KIB
	local blocks
	blocks=$(stat -Lc %b "$FD" 2>/dev/null) && [ "$blocks" -gt $(($1 * 2)) ]
}

@test "SIGKILL in the middle leaves nothing" {
	local out=$BATS_TEST_TMPDIR/out all kib pid rc
	mkdir "$out"
	export_disk "$NGINX" "$out/x.vhd"
	all=$(($(stat -c %b "$out/x.vhd") / 2))
	rm "$out/x.vhd"
	for kib in 0 $((all / 4)) $((all / 2)) $((all * 3 / 4)); do
		caisson disk export --bootable "$NGINX" "$out/x.vhd" >/dev/null 2>&1 3>&- &
		pid=$!
		until finds_file $pid "$out" || process_gone $pid; do :; done
		until has_written "$kib" || process_gone $pid; do :; done
		kill -9 $pid 2>/dev/null || true
		rc=0
		wait $pid || rc=$?
		[ $rc = 137 ] || { echo "not in the middle: it had ended with $rc before $kib KiB"; return 1; }
		[ -z "$(ls -A "$out")" ]
	done
}
