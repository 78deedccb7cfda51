#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# crash.bats - kill -9 of every process, and what is left afterwards

setup() {
	load lib
	cd "$BATS_TEST_TMPDIR"
}
teardown() { remove_all; }

@test "VMM killed: exited, files kept, starts again" {
	caisson run -d --name vv "$BUSYBOX" sh -c 'while :; do sleep 0.1; done'
	[ "$(caisson inspect -f '{{.Caisson.Boot}}' vv)" != cold ]
	caisson exec vv sh -c 'echo kept >/file; sync'
	keeper=$(keeper_pid vv)
	kill -9 "$(vmm_pid vv)"
	eventually 10 is_state vv exited
	eventually 10 process_gone "$keeper"
	# the reason and no more: QEMU has nothing to say in a good start
	[ "$(caisson inspect -f '{{.State.Error}}' vv)" = 'the virtual machine monitor was killed by signal 9' ]
	caisson start vv
	[ "$(caisson exec vv cat /file)" = kept ]
}

@test "keeper killed: VMM gone with it, exited, starts again" {
	caisson run -d --name kk "$BUSYBOX" sleep 1000
	vmm=$(vmm_pid kk)
	kill -9 "$(keeper_pid kk)"
	eventually 10 process_gone "$vmm"
	eventually 10 is_state kk exited
	caisson start kk
	is_state kk running
}

@test "client killed: the machine goes on" {
	caisson run --name cc "$BUSYBOX" sh -c 'for i in $(seq 30); do echo $i; sleep 0.1; done' >/dev/null &
	client=$!
	eventually 10 is_state cc running
	kill -9 $client
	[ "$(caisson wait cc)" = 0 ]
	[ "$(caisson logs cc | tail -n 1)" = 30 ]
}

@test "a full disk of the host: the app gets an error, and goes on when there is room" {
	unshare --mount true || skip "mounts of its own take root"
	said=$(unshare --mount bash "$BATS_TEST_DIRNAME/host_full.bash" 3>&-)
	echo "$said"
	[ "$said" = "done" ]
}

@test "redis: what was acknowledged survives kill -9 of the VMM" {
	port=$(free_port)
	caisson run -d --name rr -p "127.0.0.1:$port:6379" "$REGISTRY/redis"
	eventually 30 redis-cli -p "$port" ping
	# all over one connection; one that is reset or stalls while the app comes up is made again
	for i in $(seq 50); do echo "set key$i value$i"; done >sets
	eventually 40 sh -c "timeout 15 redis-cli -p $port <sets | grep -c OK | grep -qx 50"
	kill -9 "$(vmm_pid rr)"
	eventually 10 is_state rr exited
	caisson start rr
	eventually 30 sh -c "redis-cli -p $port ping | grep -q PONG"
	seq -f 'get key%g' 50 >gets
	seq -f 'value%g' 50 >want
	eventually 40 sh -c "timeout 15 redis-cli -p $port <gets | cmp -s - want"
}

@test "postgres: what was committed survives kill -9 of the VMM" {
	port=$(free_port)
	caisson run -d --name pp -p "127.0.0.1:$port:5432" "$REGISTRY/postgres"
	q() { psql -h 127.0.0.1 -p "$port" -U postgres -At -c "$1" 2>/dev/null; }
	eventually 90 q 'select 1'
	q 'create table t (n int)'
	for i in $(seq 20); do q "insert into t values ($i)"; done | grep -c 'INSERT 0 1' | grep -qx 20
	kill -9 "$(vmm_pid pp)"
	eventually 10 is_state pp exited
	caisson start pp
	eventually 90 q 'select 1'
	[ "$(q 'select count(*), sum(n) from t')" = '20|210' ]
}
