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

# its_pid NAME PROGRAM: of a process beside the machine's VMM
its_pid() { pgrep -P "$(keeper_pid "$1")" "$2"; }

@test "passt killed: another one takes its place" {
	port=$(free_port)
	caisson run -d --name net -p "127.0.0.1:$port:80" "$BUSYBOX" sh -c 'echo hello >/tmp/index.html; exec httpd -f -h /tmp'
	eventually 10 curl -sf -m 1 "http://127.0.0.1:$port/" -o page
	first=$(its_pid net passt)
	kill -9 "$first"
	eventually 10 curl -sf -m 1 "http://127.0.0.1:$port/" -o page
	[ "$(its_pid net passt)" != "$first" ]
	is_state net running
	[ -z "$(caisson inspect -f '{{.State.Error}}' net)" ]
	# one that never lives is given up, and that is told
	for _ in 1 2 3 4; do
		eventually 5 its_pid net passt >/dev/null
		kill -9 "$(its_pid net passt)"
		sleep 0.1
	done
	eventually 5 sh -c 'caisson inspect -f "{{.State.Error}}" net | grep -q "network (passt) ended"'
	fails its_pid net passt
	is_state net running
	[ "$(caisson exec net cat /tmp/index.html)" = hello ]
	timeout 5 caisson stop -t 1 net
	[ "$(caisson inspect -f '{{.State.Error}}' net)" = '' ]
	caisson start net
	eventually 10 curl -sf -m 1 "http://127.0.0.1:$port/" -o page
}

@test "passt killed at points of a start" {
	sweep passt 0 20 4 -p 80
}

@test "virtiofsd killed: the machine ends and says why" {
	mkdir share
	echo text >share/file
	caisson run -d --name vol -v "$PWD/share:/s" "$BUSYBOX" sh -c 'trap "" TERM; while :; do cat /s/file >/dev/null; done'
	caisson exec vol sh -c 'echo kept >/file; sync'
	keeper=$(keeper_pid vol)
	kill -9 "$(its_pid vol virtiofsd)"
	eventually 5 is_state vol exited
	[ "$(caisson inspect -f '{{.State.ExitCode}} {{.State.Error}}' vol)" = "137 the server of $PWD/share (virtiofsd) ended" ]
	timeout 2 caisson stop vol
	eventually 5 process_gone "$keeper"
	caisson start vol
	[ "$(caisson exec vol cat /file /s/file)" = $'kept\ntext' ]
	kill -9 "$(its_pid vol virtiofsd)"
	timeout 5 caisson rm -f vol
	[ -z "$(ls "$CAISSON_ROOT/machines" "$CAISSON_RUN/machines" | grep -v :)" ]
}

@test "virtiofsd killed at points of a start" {
	mkdir share
	sweep virtiofsd 0 200 6 -v "$PWD/share:/s"
}
