#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# robust.bats - starts whose template does not fit, and what is said of a machine's end

setup() {
	load ../e2e/lib
	load ../e2e/expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

field() { caisson inspect -f "{{$2}}" "$1"; }
no_maker() { ! pgrep -f '^caisson-template make' >/dev/null; }
no_holder() { ! pgrep -f '^caisson-template hold' >/dev/null; }

# templates DRIVER DEPTH: their directories
templates() {
	jq -r --arg v "$1" --arg d "$2" 'select(.driver == $v and .depth == $d and .shape == "512M,1cpu,nonet") | input_filename | rtrimstr("/template.json")' \
		"$CAISSON_ROOT"/templates/*/template.json 2>/dev/null
}
has_template() { [ -n "$(templates "$@")" ]; }
holders_end() {
	eventually 120 no_maker
	pkill -f '^caisson-template hold' || true
	eventually 5 no_holder
}

# flip FILE OFFSET: one bit of that byte
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	# shellcheck disable=SC2059
	printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# start NAME DRIVER: one machine; its words in NAME.out and NAME.err
start() { caisson run --name "$1" --driver "$2" --network none "$BUSYBOX" echo hi >"$1.out" 2>"$1.err" || complain "$1: $?, $(cat "$1.err")"; }

# renewed NAME DRIVER TEXT: it booted, said why once, and the template is gone; the next one knows of nothing
renewed() {
	start "$1" "$2"
	[ "$(cat "$1.out")" = hi ] || complain "$1: $(cat "$1.out")"
	[ "$(field "$1" .Caisson.Boot)" = cold ] || complain "$1: $(field "$1" .Caisson.Boot)"
	[ "$(grep -c 'the template was removed, and the machine booted' "$1.err")" = 1 ] || complain "$1: $(cat "$1.err")"
	grep -q "$3" "$1.err" || complain "$1: not $3: $(cat "$1.err")"
	field "$1" .Caisson.BootReason | grep -q "$3" || complain "$1: $(field "$1" .Caisson.BootReason)"
	eventually 120 no_maker
	start "$1-next" "$2"
	[ "$(cat "$1-next.out")" = hi ] || complain "$1-next: $(cat "$1-next.out")"
	[ ! -s "$1-next.err" ] || complain "$1-next: $(cat "$1-next.err")"
	[ "$(field "$1-next" .Caisson.Boot)" = image ] || complain "$1-next: $(field "$1-next" .Caisson.Boot)"
	[ -z "$(field "$1-next" .Caisson.BootReason)" ] || complain "$1-next has a reason"
	caisson rm "$1" "$1-next" >/dev/null
}

@test "a template that was altered: the start goes on, says why once, and the next one clones again" {
	start first kvm
	eventually 120 has_template kvm image
	holders_end
	flip "$(templates kvm image)/state" 1000
	renewed altered kvm 'checksum is wrong'
	# of another version, as after an update that forgot to count
	holders_end
	flip "$(templates kvm image)/state" 9
	renewed version kvm 'a saved machine of version'
	holders_end
	dir=$(templates kvm image)
	truncate -s 0 "$dir/memory" && truncate -s 512M "$dir/memory"
	start memory kvm # found out where it is read from the disk
	[ "$(cat memory.out)" = hi ]
	[ "$(field memory .Caisson.Boot)" = machine ]
	eventually 120 has_template kvm image
	all_right
}

@test "both templates do not fit: a machine boots, and the next ones are made" {
	start first kvm
	eventually 120 has_template kvm image
	holders_end
	for dir in $(templates kvm image) $(templates kvm machine); do flip "$dir/state" 1000; done
	renewed both kvm 'checksum is wrong'
	all_right
}

@test "the parent of the writable layers was replaced" {
	start first kvm
	eventually 120 has_template kvm image
	holders_end
	caisson rm first
	rm "$CAISSON_ROOT"/parents/*
	renewed parent kvm 'parent'
	all_right
}

@test "QEMU refuses a template's state" {
	start first qemu
	eventually 120 has_template qemu image
	holders_end
	flip "$(templates qemu image)/state" 0
	renewed refused qemu 'the virtual machine monitor ended with exit code 1'
	all_right
}

# ends NAME TYPE KEY TEXT: the kernel itself ends, as an app with all rights can have it; TEXT is told
ends() {
	caisson run --name "$1" --driver kvm --network none --kernel "$CLOUD" "$BUSYBOX" sleep 1000 >"$1.out" 2>"$1.err" 3>&- &
	eventually 60 is_state "$1" running
	timeout 30 caisson exec --privileged "$1" sh -c "mount -o remount,rw /sys && echo $2 >/sys/kernel/reboot/type
		mount -o remount,bind,rw /proc/sysrq-trigger && echo $3 >/proc/sysrq-trigger; sleep 20" || true
	wait $! && complain "$1: 0" || [ $? = 137 ] || complain "$1: $?"
	grep -qx "$4" <(field "$1" .State.Error) || complain "$1: $(field "$1" .State.Error)"
	grep -qx "caisson: warning: $4" "$1.err" || complain "$1: $(cat "$1.err")"
}

@test "a machine that ends by itself: power-off, reset and crash are told apart" {
	[ -n "$CLOUD" ] || skip "no kernel of Debian's in the store"
	ends off acpi o 'the machine powered off'
	ends reset kbd b 'the machine reset itself: its kernel rebooted or panicked'
	ends panic kbd c 'the machine reset itself: its kernel rebooted or panicked'
	ends crash triple b "the machine crashed: the guest's processor gave up"
	all_right
}

@test "processor models: what the guest has, and what no guest can have" {
	flags() { caisson run --rm --driver kvm --network none "$@" "$BUSYBOX" grep -m 1 '^flags' /proc/cpuinfo; }
	flags >host
	cat host
	for _ in 1 2; do # of a template that is made, of one that is there
		flags --cpu-model baseline-v2 >v2
		cat v2
		grep -qw sse4_2 v2
		fails grep -qwE 'avx|avx2|bmi1|bmi2|fma|movbe|xsave' v2
		[ "$(wc -w <v2)" -lt "$(wc -w <host)" ]
	done
	if caisson run --name v3 --driver kvm --network none --cpu-model baseline-v3 "$BUSYBOX" grep -m 1 '^flags' /proc/cpuinfo >v3 2>err; then
		cat v3
		grep -qw bmi2 v3
		fails grep -qwE 'adx|clflushopt|sha_ni|rdrand|pku' v3
		[ "$(field v3 .Caisson.CpuModel)" = baseline-v3 ]
	else
		grep -q 'CPU model baseline-v3: this host lacks' err
	fi
	fails_with 125 'no processor model "haswell"' caisson run --rm --cpu-model haswell "$BUSYBOX" true
	fails_with 125 '--cpu-model needs caisson-vmm' caisson run --rm --driver qemu --cpu-model baseline-v2 "$BUSYBOX" true
	fails_with 1 '--cpu-model needs caisson-vmm' caisson create --driver qemu --cpu-model baseline-v2 "$BUSYBOX" true
}

@test "machines with directories are clones, too; one template serves one directory and two" {
	mkdir a b c
	echo a >a/file
	echo b >b/file
	dirs() { caisson run --name "$1" --driver kvm --network none "${@:2}" "$BUSYBOX" sh -c 'cat /a/file /b/file 2>/dev/null; echo "$HOSTNAME" >>/a/log'; }
	[ "$(dirs one -v "$PWD/a:/a")" = a ]
	[ "$(field one .Caisson.Boot)" = machine ] # made for it
	eventually 120 no_maker
	[ "$(dirs two -v "$PWD/a:/a" -v "$PWD/b:/b:ro")" = $'a\nb' ]
	[ "$(field two .Caisson.Boot)" = image ]
	[ "$(dirs again -v "$PWD/a:/a")" = a ]
	[ "$(field again .Caisson.Boot)" = image ]
	[ "$(wc -l <a/log)" = 3 ]
	[ "$(grep -l '"shape":"512M,1cpu,nonet,2shares"' "$CAISSON_ROOT"/templates/*/template.json | wc -l)" = 2 ]
	# more than templates have slots for
	many=()
	for i in 1 2 3 4 5 6 7; do many+=(-v "$PWD/c:/m$i"); done
	[ "$(dirs many -v "$PWD/a:/a" "${many[@]:2}")" = a ]
	[ "$(dirs cold -v "$PWD/a:/a" "${many[@]}")" = a ]
	[ "$(field cold .Caisson.Boot)" = cold ]
	# a server that dies takes its clone along, as it does a machine that booted
	caisson run -d --name lost --driver kvm --network none -v "$PWD/a:/a" "$BUSYBOX" sleep 1000 >/dev/null
	pkill -9 -x caisson-share
	eventually 15 is_state lost exited
	field lost .State.Error | grep -q 'caisson-share'
}

@test "more devices than a machine has room for" {
	mkdir d
	many=()
	for i in $(seq 12); do many+=(-v "$PWD/d:/m$i"); done
	fails_with 125 'room for 18 devices, and this machine has 19' caisson run --rm --driver kvm --network none "${many[@]}" "$BUSYBOX" true
	[ "$(caisson run --rm --driver kvm --network none "${many[@]:2}" "$BUSYBOX" sh -c 'grep -c "^share[0-9]* /m" /proc/mounts')" = 11 ]
}
