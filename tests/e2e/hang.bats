#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# hang.bats - guests that do not answer: errors in bounded time, and they can still be stopped and removed

setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

# first_vmm CLIENT: the VMM of the machine that this client is starting; it is its keeper's child
first_vmm() {
	local keeper
	keeper=$(pgrep -P "$1" caisson-keeper) && VMM=$(pgrep -P "$keeper" qemu-system)
}

@test "a guest that stops answering: exec ends with an error, stop and rm work" {
	caisson run -d --name ice "$BUSYBOX" sleep 1000
	kill -STOP "$(vmm_pid ice)"
	keeper=$(keeper_pid ice)
	timeout -k 5 10 caisson ps | grep -q ice
	timeout -k 5 10 caisson logs ice
	fails_with '1|125|126' 'answer|time' caisson exec ice true || complain "exec"
	timeout -k 5 60 caisson stop -t 1 ice || complain "stop"
	is_state ice exited || complain "it is not exited"
	eventually 10 process_gone "$keeper" || complain "the keeper is still there"
	timeout -k 5 10 caisson rm ice || complain "rm"
	all_right
}

@test "a guest that never answers: the start fails, and nothing of it runs on" {
	caisson run --no-template --network none --name cold "$BUSYBOX" true >said 2>&1 3>&- &
	client=$!
	eventually 10 first_vmm $client
	kill -STOP "$VMM"
	eventually 120 process_gone $client
	wait $client && code=0 || code=$?
	cat said
	[ $code = 125 ]
	grep -q 'does not answer' said
	eventually 10 process_gone "$VMM"
	[ "$(state_of cold)" != running ]
	# the next one is not held up by it
	caisson start -a cold
}

@test "a client can be ended while its machine starts" {
	caisson run --no-template --network none --name held "$BUSYBOX" sleep 1000 >/dev/null 2>&1 3>&- &
	client=$!
	eventually 10 first_vmm $client
	kill -STOP "$VMM"
	kill -TERM $client
	sleep 1
	kill -CONT "$VMM" 2>/dev/null || true
	eventually 20 process_gone $client || kill -9 $client
	timeout -k 5 20 caisson rm -f held
	eventually 10 process_gone "$VMM"
}
