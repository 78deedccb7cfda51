#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# databases.bats - the VMM is killed while they write; what they had acknowledged is there afterwards

setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
	PORT=$(free_port)
}
teardown() {
	[ -z "${WRITER:-}" ] || kill "$WRITER" 2>/dev/null || true
	remove_all
}

# crash_and_start NAME
crash_and_start() {
	kill -9 "$(vmm_pid "$1")"
	eventually 10 is_state "$1" exited
	[ "$(caisson inspect -f '{{.State.ExitCode}}' "$1")" != 0 ]
	caisson start "$1"
}

# Writes key FIRST, FIRST+1, ... one after the other, and the number of each that was acknowledged to a file.
redis_write() {
	python3 - "$PORT" "$1" <<-'P' >"$2" 2>/dev/null 3>&- &
		import socket, sys, time
		n = int(sys.argv[2])
		while True: # a connection that is reset, as happens while the app comes up, acknowledges nothing
		    try:
		        s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10)
		        while True:
		            s.sendall(b'SET key%d value%d\r\n' % (n, n))
		            if s.recv(100) != b'+OK\r\n':
		                break
		            print(n, flush=True)
		            n += 1
		    except OSError:
		        time.sleep(0.05)
	P
	WRITER=$!
}

@test "redis: killed three times while it writes" {
	caisson run -d --name rr -p "127.0.0.1:$PORT:6379" "$REGISTRY/redis"
	acknowledged=0
	for _ in 1 2 3; do
		eventually 60 sh -c "redis-cli -p $PORT ping 2>/dev/null | grep -q PONG"
		redis_write $((acknowledged + 1)) acks
		eventually 30 sh -c "[ \$(wc -l <acks) -ge 40 ]"
		crash_and_start rr
		kill $WRITER 2>/dev/null || true
		wait $WRITER || true
		acknowledged=$(tail -n 1 acks)
	done
	eventually 60 sh -c "redis-cli -p $PORT ping 2>/dev/null | grep -q PONG"
	for i in $(seq "$acknowledged"); do echo "get key$i"; done | redis-cli -p "$PORT" >got
	seq -f 'value%g' "$acknowledged" | diff - got
	[ "$acknowledged" -ge 120 ]
}

@test "postgres: killed three times while it commits" {
	q() { psql -h 127.0.0.1 -p "$PORT" -U postgres -At -c "$1" 2>/dev/null; }
	caisson run -d --name pp -p "127.0.0.1:$PORT:5432" "$REGISTRY/postgres"
	eventually 90 q 'select 1'
	q 'create table t (n int primary key, text text)'
	acknowledged=0
	for _ in 1 2 3; do
		eventually 90 q 'select 1'
		# a row that was on its way when the machine died may be there or not
		first=$(($(q 'select coalesce(max(n), 0) from t') + 1))
		[ "$first" -gt "$acknowledged" ]
		awk -v n="$first" 'BEGIN { for (;; n++) printf "insert into t values (%d, repeat(md5(%d::text), 20)) returning n;\n", n, n }' |
			psql -h 127.0.0.1 -p "$PORT" -U postgres -Atq >acks 2>/dev/null 3>&- &
		WRITER=$!
		sleep 1.5
		crash_and_start pp
		eventually 20 process_gone $WRITER
		wait $WRITER || true
		[ -s acks ]
		acknowledged=$(tail -n 1 acks)
	done
	eventually 90 q 'select 1'
	[ "$(q "select count(*) from t where n <= $acknowledged and text = repeat(md5(n::text), 20)")" = "$acknowledged" ]
}

@test "a file that was synced is whole, one that was renamed over is old or new" {
	caisson run -d --name gg "$BUSYBOX" sh -c 'if [ -e /file ]; then cat /file; exit; fi; i=0
		while :; do i=$((i + 1)); seq $i $((i + 1000)) >/new; sync /new; mv /new /file; sync /; echo "done $i"; done'
	eventually 20 sh -c '[ "$(caisson logs gg | grep -c done)" -ge 5 ]'
	crash_and_start gg
	[ "$(caisson wait gg)" = 0 ]
	last=$(caisson logs gg | sed -n 's/^done //p' | tail -n 1)
	caisson logs gg | grep -v "^done" >found
	first=$(head -n 1 found)
	[ "$first" -ge "$last" ]
	seq "$first" $((first + 1000)) | diff - found
}
