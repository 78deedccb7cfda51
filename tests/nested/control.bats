#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# control.bats - what a driver can ask of caisson-vmm, all of it: its control socket, end to end

setup_file() {
	load play
	play_ready "$BATS_FILE_TMPDIR"
}
setup() {
	load ../e2e/lib
	load ../e2e/expect
	load play
	cd "$BATS_TEST_TMPDIR" || exit
}

# answers FILE: what came, without lines of the guest's own
answers() { grep -E '^(ok|error|ended)' "$1"; }

@test "disks are attached, written, and refused" {
	head -c 2M /dev/urandom >disk
	head -c 1M /dev/urandom >fixed
	sum=$(md5sum <disk) fixed=$(md5sum <fixed)
	play >out <<-E || complain "play: $?"
		guest cat /sys/block/vdb/size /sys/block/vdc/size
		guest (echo nothing >/dev/vdb; sync) 2>/dev/null; dd if=/dev/vdb bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\\0' | wc -c
		attach 1 $PWD/disk
		guest for i in 1 2 3 4 5 6 7 8 9; do [ \$(cat /sys/block/vdb/size) = 4096 ] && break; sleep 1; done; md5sum </dev/vdb
		guest echo written >/dev/vdb && sync
		attach 2 $PWD/fixed ro
		guest for i in 1 2 3 4 5 6 7 8 9; do [ \$(cat /sys/block/vdc/size) = 2048 ] && break; sleep 1; done; md5sum </dev/vdc
		guest echo never >/dev/vdc && sync
		attach 1 $PWD/fixed ro
		attach 7 $PWD/fixed
		guest dd if=/dev/vdb bs=8 count=1 2>/dev/null
	E
	cat out
	# an empty slot takes nothing
	[ "$(sed -n 3,5p out)" = $'= 0\n0\n= 0' ]
	grep -qxF "$sum" out
	grep -qxF "$fixed" out
	[ "$(head -c 8 disk)" = written ]
	[ "$(md5sum <fixed)" = "$fixed" ]
	answers out >got
	[ "$(sed -n 1,2p got)" = $'ok\nok' ]
	grep -q 'error 2 there is no disk 7' got
	# one that may be written is not replaced by one that may not, and stays as it is
	[[ "$(sed -n 3p got)" == 'error 30 '* ]]
	[ "$(tail -n 2 out)" = $'written\n= 0' ]
	all_right
}

@test "the network gets its peer while the guest runs, in both directions" {
	play >out <<-E || complain "play: $?"
		guest cat /sys/class/net/eth0/address
		guest ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0; arping -c 3 -I eth0 10.0.0.3 >/dev/null & echo
		net
		guest sleep 1; arping -c 3 -I eth0 10.0.0.3 >/dev/null & echo
		frames
		guest sleep 2; cat /sys/class/net/eth0/statistics/rx_packets
		net
		guest sleep 1; arping -c 3 -I eth0 10.0.0.3 >/dev/null & echo
	E
	cat out
	[ "$(grep -cE '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' out)" = 2 ]
	[ "$(grep -E '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' out | uniq | wc -l)" = 1 ]
	grep -qx '[1-9][0-9]*' out
	all_right
}

@test "pause, statistics, resume; the balloon" {
	play >out <<-E || complain "play: $?"
		guest (while :; do usleep 1000; done) & echo
		resume
		statistics
		balloon 33554432
		guest sleep 4
		statistics
		balloon 0
		guest sleep 3
		snapshot $PWD
		pause
		pause
		statistics
		statistics
		resume
		guest sleep 1
		statistics
		stop
	E
	cat out
	answers out | sort | uniq -c
	[ "$(answers out | grep -c '^ok')" = 7 ]
	grep -q '^error 16 the machine is not paused' out
	grep -E '^[0-9]+ [0-9]+ ' out >counts
	[ "$(wc -l <counts)" = 5 ]
	[ "$(sed -n 2p counts | cut -d' ' -f6)" = 33554432 ]
	# nothing happens while it is paused, and things do before and after
	[ "$(sed -n 3p counts)" = "$(sed -n 4p counts)" ]
	[ "$(sed -n 3p counts | cut -d' ' -f6)" = 0 ]
	[ "$(sed -n 3p counts | cut -d' ' -f1)" -gt "$(sed -n 2p counts | cut -d' ' -f1)" ]
	[ "$(sed -n 5p counts | cut -d' ' -f1)" -gt "$(sed -n 4p counts | cut -d' ' -f1)" ]
	all_right
}

@test "a state that is saved while a disk is written: nothing of it is lost" {
	mkdir saved
	truncate -s 8M disk
	play -d disk >out <<-E || complain "play: $?"
		guest head -c 8388608 /dev/urandom >/tmp/src; md5sum </tmp/src
		guest (dd if=/tmp/src of=/dev/vda bs=4k oflag=direct 2>/tmp/log; echo done >/tmp/done) & usleep 10000
		pause
		snapshot $PWD/saved
	E
	cat out
	play -d disk -r saved >after <<-E || complain "play: $?"
		guest cat /tmp/done
		guest for i in \$(seq 60); do [ -e /tmp/done ] && break; sleep 1; done; cat /tmp/done
		guest dd if=/dev/vda iflag=direct bs=64k 2>/dev/null | md5sum
	E
	cat after
	# it was under way
	[ "$(sed -n 2p after)" = '= 1' ]
	[ "$(sed -n 3,4p after)" = $'done\n= 0' ]
	[ "$(sed -n 5p after)" = "$(head -n 1 out)" ]
	[ "$(md5sum <disk)" = "$(head -n 1 out)" ]
	all_right
}

@test "frames that make no sense end the machine" {
	# another version; no such type; an answer; a length that is not PAUSE's; ATTACH without its descriptor
	for bytes in 0000000001000200 000000006300010 0000000040000100 04000000010001000000000 \
		0d00000006000100010000000000020000000000000; do
		echo "bytes ${bytes}0" | play >out || true
		[ "$(tail -n 1 out)" = ended ] || complain "$bytes: $(cat out)"
	done
	all_right
}

@test "four processors: all of them work, also in a restored one" {
	mkdir saved
	cat >work <<-E
		guest nproc; grep -c ^processor /proc/cpuinfo
		guest for m in 1 2 4 8; do taskset \$m sh -c 'head -c 300000 /dev/zero | md5sum' & done; wait
		guest awk '/^cpu[0-9]/ { if (\$2 + \$4 > 0) n++ } END { print n }' /proc/stat
	E
	printf 'pause\nsnapshot %s\n' "$PWD/saved" >save
	want=$(head -c 300000 /dev/zero | md5sum)
	printf '%s\n' 4 4 '= 0' "$want" "$want" "$want" "$want" '= 0' 4 '= 0' >want
	cat work save | play -c 4 >out || complain "play: $?"
	cat out
	diff want <(head -n 10 out)
	[ "$(tail -n 2 out)" = $'ok\nok' ]
	play -c 4 -r saved <work >out || complain "play: $?"
	cat out
	diff want out
	# a machine of another shape is not what was saved
	fails play -c 2 -r saved <work 2>err
	grep -q 'another shape' err || complain "$(cat err)"
	all_right
}

@test "a saved state that was altered or cut is refused, at each place that was tried" {
	mkdir saved
	printf 'pause\nsnapshot %s\n' "$PWD/saved" | play >/dev/null
	[ "$(echo 'guest echo back' | play -r saved)" = $'back\n= 0' ]
	size=$(stat -c %s saved/state)
	cp saved/state good
	for at in 0 8 12 16 24 36 $((size / 2)) $((size - 5)) $((size - 1)); do
		cp good saved/state
		printf '\xff\xfe' | dd of=saved/state bs=1 seek="$at" count=1 conv=notrunc status=none
		! cmp -s good saved/state || printf '\x01' | dd of=saved/state bs=1 seek="$at" conv=notrunc status=none
		echo 'guest echo back' | play -r saved >out 2>err && complain "byte $at: $(cat out)"
		grep -q 'saved machine' err || complain "byte $at: $(cat err)"
	done
	for n in 0 23 $((size - 1)); do
		head -c "$n" good >saved/state
		echo 'guest echo back' | play -r saved >out 2>err && complain "cut to $n: $(cat out)"
	done
	cp good saved/state
	truncate -s -4096 saved/memory
	echo 'guest echo back' | play -r saved >out 2>err && complain "memory that is cut: $(cat out)"
	all_right
}
