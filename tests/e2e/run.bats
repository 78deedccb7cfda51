#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# run.bats - what a machine's user sees: output, exit codes, files, users, signals

setup() {
	load lib
	cd "$BATS_TEST_TMPDIR"
}
teardown() { remove_all; }

@test "stdout and stderr stay apart, and arrive whole" {
	caisson run --rm "$BUSYBOX" sh -c 'echo out; echo err >&2' >out 2>err
	[ "$(cat out)" = out ]
	[ "$(cat err)" = err ]
	caisson run --rm "$BUSYBOX" sh -c 'seq 200000' | cmp - <(seq 200000)
}

@test "exit codes: the app's, 125, 126, 127, 128 + signal" {
	run caisson run --rm "$BUSYBOX" sh -c 'exit 42'
	[ "$status" = 42 ]
	run caisson run --rm "$BUSYBOX" sh -c 'sh -c "kill -9 \$\$"; exit $?'
	[ "$status" = 137 ]
	run caisson run --rm "$BUSYBOX" no-such-program
	[ "$status" = 127 ]
	[[ $output == *'executable file not found in $PATH'* ]]
	run caisson run --rm "$BUSYBOX" /etc/passwd
	[ "$status" = 126 ]
	[[ $output == *'permission denied'* ]]
	run caisson run --no-such-flag "$BUSYBOX" true
	[ "$status" = 125 ]
	[[ $output == *'unknown flag: --no-such-flag'* ]]
	run caisson run --rm --gpus all "$BUSYBOX" true
	[ "$status" = 125 ]
}

@test "stdin reaches the app, and so does its end" {
	seq 50000 | caisson run --rm -i "$BUSYBOX" cat | cmp - <(seq 50000)
	[ "$(echo ignored | caisson run --rm "$BUSYBOX" cat)" = "" ]
	[ "$(printf abc | caisson run --rm -i "$BUSYBOX" wc -c)" = 3 ]
}

@test "environment, working directory, user, host name" {
	run caisson run --rm -e A=1 -e 'B=two words' --env-file <(printf '# no\nC=3\n') "$BUSYBOX" sh -c 'echo "$A/$B/$C/$PATH"'
	[ "$output" = "1/two words/3//usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" ]
	run caisson run --rm -w /made/for/me "$BUSYBOX" pwd
	[ "$output" = /made/for/me ]
	run caisson run --rm -u www "$BUSYBOX" id
	[ "$output" = "uid=33(www) gid=33(www) groups=33(www),500(extra)" ]
	run caisson run --rm -u 1234:5678 "$BUSYBOX" id
	[ "$output" = "uid=1234 gid=5678 groups=5678" ]
	run caisson run --rm -u nobody-here "$BUSYBOX" id
	[ "$status" = 125 ] || [ "$status" = 126 ]
	run caisson run --rm --hostname chosen "$BUSYBOX" sh -c 'hostname; cat /etc/hostname'
	[ "$output" = $'chosen\nchosen' ]
}

@test "the app is PID 1 of its own namespace and sees no agent" {
	run caisson run --rm "$BUSYBOX" sh -c 'echo $$; ps | wc -l; ls /proc | grep -c "^[0-9]"'
	[ "${lines[0]}" = 1 ]
	[ "${lines[1]}" -le 4 ]
	run caisson run --rm "$BUSYBOX" sh -c 'kill -9 -1 2>/dev/null; echo alive'
	[ "$output" = alive ]
}

@test "it is another kernel" {
	run caisson run --rm "$BUSYBOX" uname -r
	[ "$output" != "$(uname -r)" ]
}

@test "a terminal: size, echo, control characters" {
	run script -qec "caisson run --rm -it $BUSYBOX sh -c 'tty; stty size'" /dev/null </dev/null
	[[ $output == */dev/pts/0* ]]
	run caisson run --rm -it "$BUSYBOX" true </dev/null
	[ "$status" != 0 ]
	[[ $output == *"not a TTY"* ]]
}

@test "detached: ps, logs, exec, stop, start, rm" {
	id=$(caisson run -d --name worker "$BUSYBOX" sh -c 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done')
	[ ${#id} = 64 ]
	run caisson ps --format '{{.Names}} {{.Status}}'
	[[ $output == "worker Up "* ]]
	eventually 5 sh -c 'caisson logs worker | grep -q up'
	[ "$(caisson exec worker echo in)" = in ]
	run caisson exec worker sh -c 'exit 9'
	[ "$status" = 9 ]
	run caisson exec worker no-such
	[ "$status" = 127 ] || [ "$status" = 126 ]
	caisson exec worker sh -c 'echo kept >/file'
	run caisson stop worker
	[ "$output" = worker ]
	[ "$(caisson inspect -f '{{.State.ExitCode}}' worker)" = 3 ]
	[ "$(caisson logs worker | tail -n 1)" = bye ]
	caisson start worker
	[ "$(caisson exec worker cat /file)" = kept ]
	run caisson rm worker
	[ "$status" = 1 ]
	caisson rm -f worker
	run caisson inspect worker
	[ "$status" = 1 ]
}

@test "kill, wait, and the signals between" {
	caisson run -d --name kk "$BUSYBOX" sh -c 'trap "exit 5" USR1; while :; do sleep 0.1; done'
	eventually 5 caisson exec kk true
	caisson wait kk >code &
	waiter=$!
	caisson kill -s USR1 kk
	wait $waiter
	[ "$(cat code)" = 5 ]
	caisson start kk
	caisson kill kk
	[ "$(caisson wait kk)" = 137 ]
}

@test "a stop that is not heard ends in a kill" {
	caisson run -d --name deaf "$BUSYBOX" sh -c 'trap "" TERM; while :; do sleep 0.1; done'
	caisson stop -t 1 deaf
	[ "$(caisson inspect -f '{{.State.ExitCode}}' deaf)" = 137 ]
}

@test "names: one machine each; unknown ones are errors" {
	caisson create --name one "$BUSYBOX" true
	run caisson create --name one "$BUSYBOX" true
	[ "$status" = 125 ] || [ "$status" = 1 ]
	[[ $output == *'already in use'* ]]
	run caisson start nobody
	[ "$status" = 1 ]
	[[ $output == *'No such container: nobody'* ]]
	caisson start -a one
}

@test "--rm removes, --cidfile tells" {
	caisson run --rm --cidfile id "$BUSYBOX" true
	[ "$(wc -c <id)" = 64 ]
	[ -z "$(caisson ps -aq)" ]
	run caisson run --rm --cidfile id "$BUSYBOX" true
	[ "$status" = 125 ]
}

@test "files: writable root, read-only root, tmpfs" {
	run caisson run --rm "$BUSYBOX" sh -c 'echo x >/new && cat /new'
	[ "$output" = x ]
	run caisson run --rm --read-only "$BUSYBOX" sh -c 'echo x >/new'
	[ "$status" = 1 ]
	[[ $output == *'Read-only file system'* ]]
	run caisson run --rm --read-only --tmpfs /scratch:size=4m "$BUSYBOX" sh -c 'echo x >/scratch/new && cat /scratch/new && df -k /scratch | tail -n 1'
	[ "${lines[0]}" = x ]
	[[ ${lines[1]} == *4096* ]]
}

@test "a full disk is the machine's own" {
	run caisson run --rm --storage-opt size=64m "$BUSYBOX" sh -c 'dd if=/dev/zero of=/big bs=1M count=200'
	[ "$status" != 0 ]
	[[ $output == *'No space left on device'* ]]
}

@test "memory and processors as asked" {
	run caisson run --rm -m 256m "$BUSYBOX" sh -c 'grep MemTotal /proc/meminfo'
	mem=$(awk '{ print $2 }' <<<"$output")
	[ "$mem" -gt 180000 ] && [ "$mem" -lt 262144 ]
	if [ "$(nproc)" -gt 1 ]; then # a machine has no more than its host
		run caisson run --rm --cpus 2 "$BUSYBOX" nproc
		[ "$output" = 2 ]
	fi
}

@test "bind mounts: read-write, read-only, one file, no way out" {
	mkdir -p data/sub
	echo host >data/file
	ln -s /etc/passwd data/link
	run caisson run --rm -v "$PWD/data:/data" "$BUSYBOX" sh -c 'cat /data/file; echo guest >/data/new; ls /data'
	[ "${lines[0]}" = host ]
	[ "$(cat data/new)" = guest ]
	run caisson run --rm -v "$PWD/data:/data:ro" "$BUSYBOX" sh -c 'echo x >/data/never'
	[ "$status" = 1 ]
	[ ! -e data/never ]
	run caisson run --rm -v "$PWD/data/file:/etc/one" "$BUSYBOX" cat /etc/one
	[ "$output" = host ]
	# the link is resolved inside the machine: its passwd, not the host's
	run caisson run --rm -v "$PWD/data:/data" "$BUSYBOX" sh -c 'cat /data/link; ls /data/../.. | head -n 3'
	[[ $output != *"$(tail -n 1 /etc/passwd)"* ]]
	run caisson run --rm -v /no/such/dir/here:/x:ro "$BUSYBOX" true
	[ "$status" = 125 ] || [ -d /no/such/dir/here ] && rmdir /no/such/dir/here 2>/dev/null || true
}

@test "disk servers are shut in, all their threads" {
	local servers p field
	caisson run --rm -d --name boxed --driver qemu -v /v "$BUSYBOX" sh -c 'echo x >/v/x; sync; exec sleep 1000'
	eventually 10 caisson exec boxed test -s /v/x
	servers=$(pgrep -x -P "$(keeper_pid boxed)" nbdkit)
	[ "$(wc -w <<<"$servers")" = 2 ]
	for p in $servers; do
		[ "$(ls "/proc/$p/task" | wc -l)" -gt 1 ]
		for field in 'Seccomp:	2' 'NoNewPrivs:	1' 'CapPrm:	0*' 'CapEff:	0*'; do
			[ "$(grep -lx "$field" /proc/$p/task/*/status | wc -l)" = "$(ls "/proc/$p/task" | wc -l)" ]
		done
		# no network but its own
		[ "$(readlink "/proc/$p/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	done
	caisson rm -f boxed
}
