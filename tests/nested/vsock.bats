#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# vsock.bats - AF_VSOCK of a guest and unix sockets of the host, both ways, under caisson-vmm

setup() {
	load ../e2e/lib
	load ../e2e/expect
	cd "$BATS_TEST_TMPDIR" || exit
	PEER=$BATS_FILE_TMPDIR/vsock_peer
	mkdir sockets
}
teardown() {
	[ -z "$SERVER" ] || kill "$SERVER"
	remove_all
}
setup_file() {
	gcc -O2 -static -o "$BATS_FILE_TMPDIR/vsock_peer" "$BATS_TEST_DIRNAME/vsock_peer.c"
	head -c 1048576 /dev/urandom >"$BATS_FILE_TMPDIR/data"
}

up() { caisson run -d --driver kvm --network none --vsock sockets "$@" "$BUSYBOX" sleep 1000 >/dev/null; } # up OPTION...
bring_peer() { caisson exec -i "$1" sh -c 'cat >/peer; chmod +x /peer' <"$PEER"; }
server_start() { # server_start PORT: an echo server of the host's
	"$PEER" host-serve "sockets/$1" 3>&- &
	SERVER=$!
	eventually 60 test -S "sockets/$1"
}
guest_answers() { "$PEER" host-call sockets/connect 5000 <<<ping | grep -x ping; }

# 1 MiB each way over a connection that the guest makes, and over one that the host makes.
both_ways() { # both_ways MACHINE
	local data=$BATS_FILE_TMPDIR/data
	bring_peer "$1"
	caisson exec -i "$1" /peer call 77 <"$data" >from-host
	cmp "$data" from-host
	caisson exec -d "$1" /peer serve 5000
	eventually 60 guest_answers
	"$PEER" host-call sockets/connect 5000 <"$data" >from-guest
	cmp "$data" from-guest
}

@test "1 MiB each way, to the host and to the guest, after a boot" {
	server_start 77
	up --name booted --no-template
	[ "$(caisson inspect -f '{{.Caisson.Boot}} {{.Caisson.Vsock}}' booted)" = "cold $PWD/sockets" ]
	[ "$(stat -c %a sockets/connect)" = 600 ]
	both_ways booted
}

@test "a clone of a template, and what nobody answers" {
	caisson run --rm --driver kvm --network none --vsock sockets "$BUSYBOX" true # makes the template
	[ ! -e sockets/connect ]
	server_start 77
	up --name clone
	[ "$(caisson inspect -f '{{.Caisson.Boot}}' clone)" != cold ]
	both_ways clone
	# nobody listens: there, and here
	[ -z "$("$PEER" host-call sockets/connect 5001 <<<ping)" ]
	fails_with 1 'connect: Connection reset by peer' caisson exec clone /peer call 78
	ln -s 77 sockets/79 # links are not followed
	fails_with 1 'connect: Connection reset by peer' caisson exec clone /peer call 79
	caisson exec -i clone /peer call 77 <<<again | grep -x again
}

@test "a driver that lets go of the device, and takes it again" {
	local driver device open hold
	up --name leaves
	bring_peer leaves
	caisson exec -d leaves /peer serve 5000
	eventually 60 guest_answers
	mkfifo in
	exec {hold}<>in
	"$PEER" host-call sockets/connect 5000 <in >open 3>&- {hold}>&- &
	open=$!
	echo there >&$hold
	eventually 20 grep -x there open
	driver=$(caisson exec --privileged leaves sh -c 'mkdir /m; mount -t sysfs none /m; echo /m/bus/virtio/drivers/*vsock*')
	device=$(caisson exec leaves sh -c "basename $driver/virtio*")
	caisson exec --privileged leaves sh -c "echo $device >$driver/unbind"
	eventually 20 process_gone $open
	exec {hold}>&-
	[ -z "$("$PEER" host-call sockets/connect 5000 <<<ping)" ]
	caisson exec --privileged leaves sh -c "echo $device >$driver/bind"
	caisson exec -d leaves /peer serve 5001
	eventually 60 eval '"$PEER" host-call sockets/connect 5001 <<<ping | grep -x ping'
}

@test "Debian's kernel: its modules are loaded" {
	[ -n "$CLOUD" ] || skip "no kernel of Debian's in the store"
	cpio -t <"$CAISSON_ROOT/kernels/$CLOUD/modules" 2>/dev/null | grep -q vmw_vsock_virtio_transport.ko ||
		skip "the store's kernel of Debian's was installed without vsock"
	server_start 77
	up --name debian --kernel "$CLOUD"
	both_ways debian
}

@test "a directory is one machine's; what a dead one leaves is replaced" {
	up --name first
	run caisson run --rm --driver kvm --network none --vsock sockets "$BUSYBOX" true
	[ "$status" = 125 ]
	[[ $output == *"--vsock $PWD/sockets: another machine has it"* ]]
	kill -9 "$(keeper_pid first)"
	eventually 10 is_state first exited
	[ -S sockets/connect ]
	caisson start first
	bring_peer first
	caisson exec -d first /peer serve 5000
	eventually 60 guest_answers
	caisson stop -t 1 first
	[ ! -e sockets/connect ]
	echo mine >sockets/connect
	fails_with 1 'is there, and is no socket' caisson start first
	[ "$(cat sockets/connect)" = mine ]
}

@test "not with QEMU, and not without a directory" {
	fails_with 125 '--vsock needs caisson-vmm' caisson run --rm --driver qemu --vsock sockets "$BUSYBOX" true
	fails_with 125 'No such file or directory' caisson run --rm --driver kvm --vsock nowhere "$BUSYBOX" true
}
