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
	keeper=$(pgrep -P "$1" caisson-keeper) && VMM=$(pgrep -P "$keeper" 'qemu-system|caisson-vmm')
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

@test "a guest that never comes up: kill and rm -f end it at once" {
	for how in 'kill slow' 'rm -f slow'; do
		CAISSON_START_TIMEOUT=600 caisson run --no-template --network none --name slow "$BUSYBOX" sleep 1000 >said 2>&1 3>&- &
		client=$!
		eventually 10 first_vmm $client
		keeper=$(pgrep -P $client caisson-keeper)
		kill -STOP "$VMM"
		# longer than it takes, far shorter than the 15 s after which rm gives up
		timeout -k 5 8 caisson $how >/dev/null || complain "$how: exit code $?"
		eventually 3 process_gone "$client" || complain "$how: the client is still there"
		grep -q 'killed while it was starting' said || complain "$how: said $(cat said)"
		eventually 3 process_gone "$keeper" || complain "$how: the keeper is still there"
		process_gone "$VMM" || complain "$how: the VMM is still there"
		[ "$how" != 'kill slow' ] || { is_state slow created && caisson rm slow >/dev/null; } || complain "$how: it is $(state_of slow)"
	done
	fails caisson inspect slow
	# other signals are not for one that does not run yet
	caisson run --no-template --network none --name slow "$BUSYBOX" sleep 1000 >/dev/null 2>&1 3>&- &
	client=$!
	eventually 10 first_vmm $client
	fails_with 1 'not running' caisson kill -s TERM slow || complain "TERM: $output"
	eventually 20 is_state slow running || complain "it was ended by a TERM"
	caisson rm -f slow
	all_right
}
