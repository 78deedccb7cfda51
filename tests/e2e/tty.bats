#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# tty.bats - terminals: their size, its changes, detaching, control characters, what is restored afterwards

setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

# on_terminal COMMAND...: plays stdin's script on a terminal of 24 x 80
on_terminal() { timeout 100 python3 "$BATS_TEST_DIRNAME/pty_play.py" 24 80 "$@"; }
ends_with() { tail -n 1 played | grep -qx "exit $1"; }

@test "the size of the terminal reaches the app, and so does its change" {
	on_terminal caisson run --rm -it "$BUSYBOX" sh -c 'trap "stty size" WINCH; trap "exit 3" QUIT; stty size; echo ready; while :; do sleep 0.1; done' >played <<-'S'
		expect 24 80
		expect ready
		resize 40 132
		expect 40 132
		resize 10 20
		expect 10 20
		send \x1c
	S
	ends_with 3
}

@test "exec has a terminal of its own" {
	caisson run -d --name mm "$BUSYBOX" sleep 1000
	on_terminal caisson exec -it mm sh -c 'tty; stty size; read x; echo got $x; stty size; exit 7' >played <<-'S'
		expect /dev/pts/
		expect 24 80
		resize 30 100
		send words\r
		expect got words
		expect 30 100
	S
	ends_with 7
	run caisson exec mm sh -c 'tty'
	[[ $output == *'not a tty'* ]]
}

@test "detach keys: the app goes on, and can be attached to again" {
	on_terminal caisson run -it --name dd "$BUSYBOX" sh -c 'echo up; while read x; do echo "got $x"; done; exit 4' >played <<-'S'
		expect up
		send one\r
		expect got one
		send \x10\x11
	S
	ends_with 0
	is_state dd running
	on_terminal caisson attach dd >played <<-'S'
		send two\r
		expect got two
		send \x10\x11
	S
	ends_with 0
	is_state dd running
	on_terminal caisson attach --detach-keys ctrl-x,q dd >played <<-'S'
		send \x10\x11three\r
		expect three
		send \x18q
	S
	ends_with 0
	is_state dd running
	on_terminal caisson attach dd >played <<-'S'
		send four\r
		expect got four
		send \x04
	S
	ends_with 4
	caisson logs dd | grep -q 'got two'
}

@test "the first of the detach keys alone is passed on" {
	on_terminal caisson run --rm -it "$BUSYBOX" sh -c 'stty raw; echo up; head -c 3 | od -An -tx1' >played <<-'S'
		expect up
		send \x10ab
		expect 10 61 62
	S
	ends_with 0
}

@test "^C ends the app, not the client alone; ^Z and ^\\ are the app's too" {
	on_terminal caisson run --name cc -it "$BUSYBOX" sh -c 'trap "echo interrupted; exit 5" INT; echo up; while :; do sleep 0.1; done' >played <<-'S'
		expect up
		send \x03
		expect interrupted
	S
	ends_with 5
	[ "$(caisson inspect -f '{{.State.ExitCode}}' cc)" = 5 ]
	on_terminal caisson run --rm -it "$BUSYBOX" sh -i >played <<-'S'
		expect #
		send sh -c "echo star''ted; exec sleep 1000"\r
		expect started
		send \x1a
		expect Stopped
		send jobs | wc -l\r
		expect 1
		send exit\r
		expect stopped jobs
		send exit 6\r
	S
	ends_with 6
}

@test "an interactive shell: echo, editing, line discipline" {
	on_terminal caisson run --rm -it "$BUSYBOX" sh >played <<-'S'
		expect #
		send echo $((40 + 2))\r
		expect 42
		send stty -echo; echo quiet\r
		expect quiet
		send echo hid"den"\r
		expect hidden
		send exit\r
	S
	ends_with 0
	grep -q $'\r$' played
}

@test "the user's terminal is as before, however it ended" {
	for how in 'exit 3' 'kill -9 $$'; do
		on_terminal sh -c "before=\$(stty -g); caisson run --rm -it $BUSYBOX sh -c '$how'; [ \"\$before\" = \"\$(stty -g)\" ] && echo as before" >played <<-'S'
			expect as before
		S
	done
	caisson run -d --name kk "$BUSYBOX" sh -c 'while :; do sleep 0.1; done'
	on_terminal sh -c 'before=$(stty -g); caisson exec -it kk sh -c "echo up; sleep 1000"; [ "$before" = "$(stty -g)" ] && echo as before' >played <<-S
		expect up
		send \x10\x11
		expect as before
	S
}

@test "a client that is gone: the app gets a hang-up or goes on, the machine stays whole" {
	on_terminal caisson run -it --name hh "$BUSYBOX" sh -c 'echo up; while :; do sleep 0.1; done' >played <<-'S'
		expect up
		kill KILL
	S
	ends_with -9
	is_state hh running
	[ "$(caisson exec hh echo fine)" = fine ]
	caisson stop -t 0 hh
}

@test "without a terminal -t is an error, with -d it is none" {
	fails_with '1|125' 'not a TTY' caisson run --rm -it "$BUSYBOX" true
	caisson run -dt --name tt "$BUSYBOX" sh -c 'tty; sleep 1000'
	eventually 10 sh -c 'caisson logs tt | grep -q /dev/pts/'
}
