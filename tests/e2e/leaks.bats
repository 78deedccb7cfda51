#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# leaks.bats - after machines are gone, so is all that belonged to them

setup() {
	load lib
	cd "$BATS_TEST_TMPDIR"
}
teardown() { remove_all; }

leftovers() { # processes of ours that work for a machine
	for p in /proc/[0-9]*; do
		tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -E 'caisson-keeper|caisson-vmm|qemu-system|passt|virtiofsd' | grep -F "$1" || true
	done
}

@test "no process, mount, socket or file stays after rm" {
	mkdir shared
	id=$(caisson run -d -p 80 -v "$PWD/shared:/s" "$BUSYBOX" sleep 1000)
	[ -n "$(leftovers "${id:0:12}")" ]
	mounts=$(wc -l </proc/self/mounts)
	caisson rm -f "$id"
	eventually 5 sh -c "! ls -d $CAISSON_ROOT/machines/$id $CAISSON_RUN/machines/$id 2>/dev/null"
	eventually 5 test -z "$(leftovers "${id:0:12}")"
	[ "$mounts" = "$(wc -l </proc/self/mounts)" ]
}

@test "a failed start leaves nothing" {
	run caisson run -d --name bad "$BUSYBOX" no-such-program
	[ "$status" = 127 ]
	caisson rm -f bad
	[ -z "$(ls "$CAISSON_ROOT/machines")" ]
}

@test "a machine of --rm that does not start is gone, without help of the client" {
	# `start` removes nothing: only the keeper can have done it
	id=$(caisson create --rm "$BUSYBOX" no-such-program)
	run caisson start "$id"
	[ "$status" = 1 ]
	[ -z "$(caisson ps -aq)" ]
	port=$(free_port)
	caisson run -d --name holder -p "127.0.0.1:$port:80" "$BUSYBOX" sleep 1000
	id=$(caisson create --rm -p "127.0.0.1:$port:80" "$BUSYBOX" true)
	run caisson start "$id"
	[[ $output == *'already allocated'* ]]
	[ "$(caisson ps -aq | wc -l)" = 1 ]
	eventually 5 sh -c "! ls -d $CAISSON_ROOT/machines/$id $CAISSON_RUN/machines/$id 2>/dev/null"
}
