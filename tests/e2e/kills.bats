#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# kills.bats - kill -9 of any process at any point of a machine's life: nothing is lost, nothing stays

setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() {
	remove_all
	[ -z "${CAISSON_TEST_MARK:-}" ] || kill $(holders) 2>/dev/null || true
}

# holders: of templates, started with this mark
holders() {
	local p
	for p in $(pgrep -f 'caisson-template hold'); do
		if grep -qzFx "CAISSON_TEST_MARK=$CAISSON_TEST_MARK" "/proc/$p/environ" 2>/dev/null; then echo "$p"; fi
	done
}

sweep() { python3 "$BATS_TEST_DIRNAME/kills.py" sweep "$@"; }

@test "client killed at points of a start" {
	sweep cli 0 28 15
	sweep cli 20 120 3 --rm
}

@test "keeper killed at points of a start" {
	sweep keeper 0 28 15
	sweep keeper 0 130 3 --rm
}

@test "VMM killed at points of a start" {
	sweep vmm 0 28 15
	sweep vmm 0 130 3 --rm
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
	local server=virtiofsd
	[ "$(caisson version --format '{{.Hypervisor.Driver}}')" != kvm ] || server=caisson-share
	mkdir share
	echo text >share/file
	caisson run -d --name vol -v "$PWD/share:/s" "$BUSYBOX" sh -c 'trap "" TERM; while :; do cat /s/file >/dev/null; done'
	caisson exec vol sh -c 'echo kept >/file; sync'
	keeper=$(keeper_pid vol)
	kill -9 "$(its_pid vol $server)"
	eventually 5 is_state vol exited
	[ "$(caisson inspect -f '{{.State.ExitCode}} {{.State.Error}}' vol)" = "137 the server of $PWD/share ($server) ended" ]
	timeout 2 caisson stop vol
	eventually 5 process_gone "$keeper"
	caisson start vol
	[ "$(caisson exec vol cat /file /s/file)" = $'kept\ntext' ]
	kill -9 "$(its_pid vol $server)"
	timeout 5 caisson rm -f vol
	[ -z "$(ls "$CAISSON_ROOT/machines" "$CAISSON_RUN/machines" | grep -v :)" ]
}

@test "virtiofsd killed at points of a start" {
	mkdir share
	sweep virtiofsd 0 300 4 -v "$PWD/share:/s"
}

@test "rm -f of a machine that is just starting removes it" {
	for ms in 0 0.1 0.2; do
		caisson run --name early "$BUSYBOX" sleep 1000 >/dev/null 2>&1 3>&- &
		eventually 5 sh -c '[ -n "$(caisson ps -aq)" ]'
		sleep $ms
		timeout 10 caisson rm -f early || complain "rm after $ms s"
		eventually 5 process_gone $! || complain "run goes on after $ms s"
		kill -9 $! 2>/dev/null || true
		[ -z "$(caisson ps -aq)" ] || complain "it is still there after $ms s"
		caisson rm -f early >/dev/null 2>&1 || true
	done
	all_right
}

@test "killed while exec, wait and stop are at work: each ends, and says no 0" {
	for victim in keeper vmm; do
		caisson run -d --name busy "$BUSYBOX" true # an end with 0 that must not be told again
		caisson wait busy
		caisson rm busy
		caisson run -d --name busy "$BUSYBOX" sh -c 'trap "" TERM; [ -e /again ] || { touch /again; sync; exit 0; }; while :; do sleep 0.1; done'
		[ "$(caisson wait busy)" = 0 ]
		caisson start busy
		pid=$("${victim}_pid" busy)
		caisson exec busy sleep 1000 >/dev/null 2>exec 3>&- &
		exec=$!
		caisson wait busy >wait 2>&1 3>&- &
		waiting=$!
		caisson logs -f busy >/dev/null 2>&1 3>&- &
		logs=$!
		caisson stop -t 100 busy >/dev/null 2>&1 3>&- &
		stop=$!
		sleep 0.5
		kill -9 "$pid"
		for p in $exec $waiting $logs $stop; do
			eventually 5 process_gone "$p" || complain "$victim: $(tr '\0' ' ' <"/proc/$p/cmdline") goes on"
		done
		if wait $exec; then complain "$victim: exec says 0"; fi
		[ "$(cat wait)" = 137 ] || complain "$victim: wait says $(cat wait)"
		wait $stop || complain "$victim: stop fails"
		[ "$(caisson inspect -f '{{.State.Status}} {{.State.ExitCode}}' busy)" = 'exited 137' ] || complain "$victim: $(state_of busy)"
		caisson rm busy || complain "$victim: rm"
	done
	all_right
}

@test "run of a machine that had ended well before says what killed its keeper" {
	caisson run --name twice "$BUSYBOX" sh -c '[ -e /again ] || { touch /again; sync; exit 0; }; exec sleep 1000'
	for _ in 1 2; do
		caisson start -a twice >said 2>&1 3>&- &
		client=$!
		eventually 10 is_state twice running
		kill -9 "$(keeper_pid twice)"
		eventually 5 process_gone $client
		if wait $client; then complain "start -a says 0"; fi
		grep -q 'keeper' said || complain "start -a says $(cat said)"
		[ "$(caisson wait twice)" = 137 ] || complain "wait says $(caisson wait twice)"
	done
	# the moment in which a dying keeper has closed its sockets but not its lock, drawn out
	caisson rm twice
	id=$(caisson run -d --name twice "$BUSYBOX" sh -c '[ -e /again ] || { touch /again; sync; exit 0; }; exec sleep 1000')
	[ "$(caisson wait twice)" = 0 ]
	caisson start twice
	flock "$CAISSON_RUN/machines/$id/lock" sleep 1 3>&- &
	sleep 0.2
	kill -9 "$(keeper_pid twice)"
	sleep 0.2
	[ "$(state_of twice)" = running ]
	[ "$(caisson wait twice)" = 137 ]
	all_right
}

@test "clients killed: exec, stop and rm are done, or can be done again" {
	caisson run -d --name cc "$BUSYBOX" sleep 1000
	caisson exec cc sleep 1000 3>&- &
	sleep 0.3
	kill -9 $!
	[ "$(caisson exec cc echo here)" = here ]
	caisson stop -t 1 cc 3>&- &
	sleep 0.1
	kill -9 $!
	eventually 15 is_state cc exited
	caisson rm cc
	for ms in 0 0.005 0.01 0.015 0.02 0.03 0.05; do
		caisson run -d --name "r$ms" "$BUSYBOX" sleep 1000 >id
		caisson rm -f "r$ms" 3>&- &
		sleep $ms
		kill -9 $! 2>/dev/null || true
		wait $! || true
		caisson ps -a --format '{{.Status}}' | grep Dead && complain "it is half-removed after $ms s"
		caisson rm -f "r$ms" >/dev/null 2>&1
		for d in "$CAISSON_ROOT" "$CAISSON_RUN"; do
			[ ! -e "$d/machines/$(cat id)" ] || complain "$d/machines has it after $ms s"
		done
	done
	all_right
}

@test "a removal that was cut off is finished by who sees it" {
	for command in 'ps -a' 'inspect half' 'start half' 'rm -f half'; do
		id=$(caisson run -d --name half "$BUSYBOX" true)
		caisson wait half
		eventually 5 flock -n "$CAISSON_RUN/machines/$id/lock" true
		sqlite3 "$CAISSON_ROOT/caisson.db" "UPDATE machines SET state = json_set(state, '$.status', 'dead')"
		rm "$CAISSON_ROOT/machines/$id/log.json" # it got so far
		caisson $command >/dev/null 2>&1 || true
		[ ! -e "$CAISSON_ROOT/machines/$id" ] || complain "$command: files"
		[ ! -e "$CAISSON_RUN/machines/$id" ] || complain "$command: $(ls -R "$CAISSON_RUN/machines")"
		[ -z "$(caisson ps -aq)" ] || complain "$command: $(caisson ps -a)"
	done
	all_right
}

@test "template holder killed: starts go on, from the disk" {
	export CAISSON_RUN=$BATS_TEST_TMPDIR/run CAISSON_TEST_MARK=$BATS_TEST_TMPDIR
	for s in 0 0.03 0.1; do
		[ "$(caisson run --rm "$BUSYBOX" echo one)" = one ] || complain "before $s s"
		holder=$(holders)
		[ -n "$holder" ] || complain "before $s s: none is held"
		caisson run --rm "$BUSYBOX" echo two >said 2>&1 3>&- &
		client=$!
		sleep $s
		kill -9 $holder
		eventually 20 process_gone $client
		[ "$(cat said)" = two ] || complain "after $s s: $(cat said)"
	done
	all_right
}

@test "maker of a template killed: nothing runs on, and the next start makes it" {
	export CAISSON_TEST_MARK=$BATS_TEST_TMPDIR
	for s in 0 0.5; do
		caisson run --name "t$s" --memory 96m "$BUSYBOX" true >/dev/null 2>&1 3>&- &
		client=$!
		eventually 5 pgrep -P $client caisson-keeper >/dev/null
		sleep $s
		kill -9 "$(pgrep -P $client caisson-keeper)" 2>/dev/null || true
		eventually 5 process_gone $client
		eventually 5 sh -c '[ -z "$(python3 "$BATS_TEST_DIRNAME/kills.py" processes "$CAISSON_TEST_MARK")" ]' || complain "after $s s: processes stay"
		fails pgrep -fa -- size=100663296 || complain "after $s s: a VMM stays"
	done
	[ "$(caisson run --rm --memory 96m "$BUSYBOX" echo made)" = made ]
	all_right
}

@test "power loss: everything killed at once and RUN gone" {
	export CAISSON_RUN=$BATS_TEST_TMPDIR/run CAISSON_TEST_MARK=$BATS_TEST_TMPDIR
	mkdir share
	caisson run -d --name one "$BUSYBOX" sleep 1000
	caisson run -d --name two -p 80 -v "$PWD/share:/s" "$BUSYBOX" sleep 1000
	caisson run -d --name gone --rm "$BUSYBOX" sleep 1000
	caisson create --name never "$BUSYBOX" true
	caisson run --name ended "$BUSYBOX" sh -c 'exit 3' || true
	for m in one two; do
		caisson exec $m sh -c "echo $m >/file; sync"
		caisson exec $m sleep 1000 3>&- &
	done
	kill -9 $(python3 "$BATS_TEST_DIRNAME/kills.py" processes "$CAISSON_TEST_MARK") $(holders)
	rm -rf "$CAISSON_RUN"
	caisson ps -a --format '{{.Names}} {{.State}}' | sort >states
	printf '%s\n' 'ended exited' 'never created' 'one exited' 'two exited' | cmp - states
	[ "$(caisson inspect -f '{{.State.ExitCode}}' ended)" = 3 ]
	[ "$(caisson inspect -f '{{.State.ExitCode}}' one)" = 137 ]
	caisson inspect -f '{{.State.Error}}' two | grep -q 'host went down'
	for m in one two; do
		caisson start $m
		[ "$(caisson exec $m cat /file)" = $m ]
	done
	caisson start -a never
	caisson rm -f one two never ended
	[ -z "$(ls "$CAISSON_ROOT/machines" "$CAISSON_RUN/machines" | grep -v :)" ]
}

@test "power loss: a layer that never reached the disk is made anew, a part of one is told" {
	export CAISSON_TEST_MARK=$BATS_TEST_TMPDIR
	layer() { echo "$CAISSON_ROOT/machines/$(caisson inspect -f '{{.Id}}' "$1")/writable.vhd"; }
	for m in empty zeros part; do caisson run -d --name $m "$BUSYBOX" sleep 1000; done
	kill -9 $(python3 "$BATS_TEST_DIRNAME/kills.py" processes "$CAISSON_TEST_MARK") $(holders)
	eventually 5 is_state part exited
	: >"$(layer empty)"
	size=$(stat -c %s "$(layer zeros)")
	truncate -s 0 "$(layer zeros)"
	truncate -s "$size" "$(layer zeros)"
	truncate -s 40000 "$(layer part)"
	for m in empty zeros; do
		caisson start $m || complain "$m: not started"
		[ "$(caisson exec $m sh -c 'echo new >/file; sync; cat /file')" = new ] || complain "$m: not usable"
	done
	fails_with 1 "$(layer part) is damaged" caisson start part || complain "part"
	[ "$(stat -c %s "$(layer part)")" = 40000 ] || complain "part: changed"
	caisson rm -f empty zeros part
	all_right
}

@test "client killed before the app runs: the app's stdin ends" {
	for s in 0.02 0.05 0.08; do
		mkfifo in
		caisson run -i --name "in$s" "$BUSYBOX" cat <in >/dev/null 2>&1 3>&- &
		client=$!
		exec 4>in
		eventually 5 pgrep -P $client caisson-keeper >/dev/null
		sleep $s
		kill -9 $client
		eventually 10 is_state "in$s" exited || complain "after $s s: $(state_of "in$s")"
		exec 4>&-
		rm in
	done
	all_right
}
