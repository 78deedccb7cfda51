#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# vmm.bats - machines under a real KVM: caisson-vmm, and QEMU
#
# A start takes about a second here, and several where no template is there yet, so tests share templates:
# what is asked for in another shape costs its own. The first ones make those of the usual shape.

setup() {
	load ../e2e/lib
	load ../e2e/expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

inside() { caisson run --rm --driver kvm --network none "$@"; }
up() { caisson run -d --driver kvm --network none "$@" sleep 1000 >/dev/null; } # up OPTION... IMAGE
field() { caisson inspect -f "{{$2}}" "$1"; }
how() { field "$1" '.Caisson.Boot'; }

# template DEPTH KERNEL SHAPE: the directory of caisson-vmm's, with a disk of the usual size; nothing if there is none
template() {
	jq -r --arg d "$1" --arg k "$2" --arg s "$3" 'select(.driver == "kvm" and .disk_bytes == 10737418240 and
		.depth == $d and .kernel == $k and .shape == $s) | input_filename | rtrimstr("/template.json")' \
		"$CAISSON_ROOT"/templates/*/template.json 2>/dev/null
}
has_template() { [ -n "$(template "$@")" ]; }
USUAL=512M,1cpu,nonet

# processes NAME: ids of those that run under it
processes() { pgrep -x "$1" || true; }
none_run() { # none_run NAME...
	local n
	for n in "$@"; do [ -z "$(processes "$n")" ] || return 1; done
}

template_workers() { # template_workers WHAT: ids of those that make templates, or hold them
	local p
	for p in $(processes caisson-templat); do # the kernel keeps 15 bytes of a name
		! grep -qzx "$1" "/proc/$p/cmdline" 2>/dev/null || echo "$p"
	done
}
no_template_workers() { [ -z "$(template_workers "$1")" ]; }

# ---- starts ----

@test "the machine has a KVM that runs guests" {
	/run/session/kvm_works 3
	caisson version --format json >version
	[ "$(jq -r .Hypervisor.Accelerator version)" = kvm ]
	[ "$(jq -r .Hypervisor.Driver version)" = kvm ]
	caisson doctor | grep -E '^\[ok\] +hardware virtualisation \(KVM\)'
}

@test "auto is caisson-vmm here, and inspect says why" {
	caisson run -d --name auto --network none "$BUSYBOX" sleep 1000
	[ "$(field auto .Caisson.WantedDriver)" = auto ]
	[ "$(field auto .Caisson.Driver)" = kvm ]
	[ "$(field auto .Caisson.Accelerator)" = kvm ]
	[ "$(field auto .Caisson.AcceleratorReason)" = '/dev/kvm runs guests' ]
	[ "$(cat "/proc/$(vmm_pid auto)/comm")" = caisson-vmm ]
	none_run qemu-system-x86 nbdkit virtiofsd
	caisson exec auto sh -c 'echo in | cat; exit 3' >out || code=$?
	[ "$(cat out)" = in ]
	[ "$code" = 3 ]
}

@test "QEMU runs machines under KVM: a first one, and clones of its template" {
	for _ in 1 2; do
		run caisson run --rm --driver qemu --network none "$BUSYBOX" echo hi
		[ "$status" = 0 ]
		[ "$output" = hi ]
	done
	caisson run -d --name long --driver qemu --network none "$BUSYBOX" sleep 1000 >/dev/null
	[ "$(caisson inspect -f '{{.Caisson.Accelerator}}' long)" = kvm ]
	[ "$(caisson exec long uname -s)" = Linux ]
}

# The three ways to start, in the order in which a new store sees them.
starts() { # starts KERNEL
	local way options
	eventually 60 no_template_workers make # for tests before this one
	caisson template prune
	for way in cold machine image; do
		options=(--name "way-$way" --kernel "$1" --driver kvm --network none)
		[ $way != cold ] || options+=(--no-template)
		[ $way != image ] || eventually 60 has_template image "$1" $USUAL
		run caisson run "${options[@]}" "$BUSYBOX" \
			sh -c 'uname -r; id -u; echo x >/kept; sync; cat /kept; hostname; exit 5'
		echo "$way: $status $output"
		[ "$status" = 5 ]
		[ "$output" = "${1#small-}"$'\n0\nx\n'"$(field "way-$way" .Config.Hostname)" ]
		[ "$(how "way-$way")" = $way ]
		[ "$(field "way-$way" .Caisson.Kernel)" = "$1" ]
		[ "$(field "way-$way" .State.ExitCode)" = 5 ]
	done
	# one that has run before has its own disk: never the image's template
	caisson start -a way-image || [ $? = 5 ]
	[ "$(how way-image)" = machine ]
}

@test "starts: cold, from the machine's template, from the image's; the small kernel" {
	starts "$SMALL"
}

@test "starts: cold, from the machine's template, from the image's; Debian's kernel" {
	[ -n "$CLOUD" ] || skip "no kernel of Debian's in the store"
	starts "$CLOUD"
}

# QEMU 7.2 emulates cmpxchg16b with flags that are junk up to the next instruction that sets them. This
# kernel's allocator branches on them at once, and an interrupt just then takes the junk along: 5 of 20
# starts crashed, and with a processor that has no cmpxchg16b 0 of 30.
# bats test_tags=no-cx16
@test "starts: cold, from the machine's template, from the image's; Debian's next kernel" {
	[ -n "$NEWER" ] || skip "$NEWER_WHY"
	! grep -qw cx16 /proc/cpuinfo || skip "needs NESTED_CPU=EPYC,+svm,+npt,-cx16"
	starts "$NEWER"
}

# ---- clones ----

# COUNT at once; $2: a template like theirs. Each prints what it alone may have; its clock is right.
clones_differ() { # clones_differ COUNT SHAPE OPTION...
	local i n=$1 shape=$2 before after probe='hostname; cat /proc/sys/kernel/random/boot_id /etc/machine-id
		cat /proc/sys/kernel/random/uuid; for n in 1 2 3; do head -c 16 /dev/urandom | md5sum; done
		cat /sys/class/net/eth0/address 2>/dev/null; date +%s >&2'
	shift 2
	caisson run --rm --driver kvm "$@" "$BUSYBOX" true
	eventually 60 has_template image "${@: -1}" "$shape"
	before=$(date +%s)
	for i in $(seq "$n"); do
		caisson run --name "clone$i" --driver kvm "$@" "$BUSYBOX" sh -c "$probe" >"clone$i" 2>"date$i" 3>&- &
	done
	wait
	after=$(date +%s)
	for i in $(seq "$n"); do
		[ "$(how "clone$i")" = image ] || complain "$i: $(how "clone$i")"
		[ "$(wc -l <"clone$i")" -ge 7 ] || complain "$i: $(cat "clone$i" "date$i")"
		[ "$(head -n 1 "clone$i")" = "$(field "clone$i" .Config.Hostname)" ] || complain "$i: its name"
		[ "$(cat "date$i")" -ge $((before - 1)) ] && [ "$(cat "date$i")" -le $((after + 1)) ] || complain "$i: $(cat "date$i")"
	done
	# no line of one stands in another
	[ -z "$(cat clone[0-9]* | sort | uniq -d)" ] || complain "shared: $(cat clone[0-9]* | sort | uniq -d)"
	all_right
}

@test "20 clones at once: names, ids, addresses, random numbers differ, clocks are right" {
	clones_differ 20 512M,1cpu,net --kernel "$SMALL"
	grep -qE '^02(:[0-9a-f]{2}){5}$' clone1
}

@test "clones of a kernel that knows nothing of generations differ, too" {
	[ -n "$CLOUD" ] || skip "no kernel of Debian's in the store"
	clones_differ 3 $USUAL --network none --kernel "$CLOUD"
}

@test "a clone's clock goes on right, and what it writes no other sees" {
	up --name one "$BUSYBOX"
	up --name two "$BUSYBOX"
	caisson exec one sh -c 'echo mine >/etc/mark; echo mine >/bin/mark; head -c 20000000 /dev/zero | tr "\0" x >/dev/shm/full'
	fails caisson exec two sh -c 'ls /etc/mark /bin/mark /dev/shm/full 2>/dev/null | grep .'
	sleep 3
	for m in one two; do
		before=$(date +%s)
		there=$(caisson exec "$m" date +%s)
		[ "$there" -ge $((before - 1)) ]
		[ "$there" -le $(($(date +%s) + 1)) ]
	done
	# time that passes in it passes as fast as outside
	from=$(date +%s%N)
	caisson exec one sleep 2
	[ $((($(date +%s%N) - from) / 100000000)) -ge 19 ]
}

@test "a clone's kernel hears of its new generation before anything of the image runs" {
	caisson run --rm --driver kvm --network none "$BUSYBOX" true
	eventually 60 has_template image "$SMALL" $USUAL
	for m in one two; do
		caisson run --name $m --driver kvm --network none "$BUSYBOX" dmesg >$m
		[ "$(how $m)" = image ]
		# when its image's template was made, of a clone, and now
		[ "$(grep -c 'crng reseeded due to virtual machine fork' $m)" = 2 ] || complain "$m: $(tail -n 20 $m)"
	done
	all_right
}

# ---- shapes ----

@test "memory above 4 GiB: seen, used, saved and loaded" {
	# what is written first is highest; then it comes back from the disk, to there
	use='awk "/^MemTotal/ { print \$2 }" /proc/meminfo
		dd if=/dev/urandom of=/t/x bs=1M count=16 2>/dev/null
		cp /t/x /x; sync; md5sum </t/x; dd if=/x iflag=direct bs=1M 2>/dev/null | md5sum'
	for way in cold machine; do
		options=(--name "$way")
		[ $way != cold ] || options+=(--no-template)
		caisson run --driver kvm --network none "${options[@]}" -m 5g --tmpfs /t "$BUSYBOX" sh -c "$use" >out
		cat out
		[ "$(how $way)" = $way ]
		[ "$(sed -n 1p out)" -gt 4900000 ]
		[ "$(sed -n 2p out)" = "$(sed -n 3p out)" ]
	done
	caisson rm cold machine
	caisson template prune # it is large
}

@test "no more processors than the host has" {
	# as docker; that a machine of four works is tested in control.bats, which asks the VMM itself
	fails_with 125 'Range of CPUs is from 1 to 1' caisson run --rm --driver kvm --cpus 4 "$BUSYBOX" true
}

# ---- files ----

@test "directories and a file of the host, by caisson-share, which ends with the machine" {
	mkdir rw ro outside
	echo host >rw/file
	echo fixed | tee ro/file one
	echo secret >outside/secret
	ln -s "$PWD/outside/secret" rw/link
	head -c 3000000 /dev/urandom >rw/large
	up --name bb -v "$PWD/rw:/rw" -v "$PWD/ro:/ro:ro" -v "$PWD/one:/etc/one" "$BUSYBOX"
	[ "$(how bb)" = machine ]
	[ "$(processes caisson-share | wc -l)" = 3 ]
	none_run virtiofsd
	[ "$(caisson exec bb cat /rw/file /ro/file /etc/one)" = $'host\nfixed\nfixed' ]
	caisson exec bb sh -c 'echo guest >/rw/new; mkdir /rw/dir; mv /rw/file /rw/dir; cp /rw/large /rw/copy; echo more >>/etc/one'
	[ "$(cat rw/new rw/dir/file one)" = $'guest\nhost\nfixed\nmore' ]
	cmp rw/large rw/copy
	echo later >rw/later
	[ "$(caisson exec bb cat /rw/later)" = later ]
	fails_with 1 'Read-only file system' caisson exec bb sh -c 'echo x >/ro/never'
	fails_with 1 'Read-only file system' caisson exec bb rm /ro/file
	[ "$(ls ro)" = file ]
	# the link is followed in the machine, where nothing is
	fails_with 1 'No such file' caisson exec bb cat /rw/link
	for p in $(processes caisson-share); do
		for f in $'Seccomp:\t2' $'NoNewPrivs:\t1'; do grep -qx "$f" "/proc/$p/status"; done
		[ "$(readlink "/proc/$p/ns/net")" != "$(readlink /proc/self/ns/net)" ]
		[ "$(readlink "/proc/$p/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
	done
	caisson rm -f bb
	eventually 90 none_run caisson-share caisson-vmm caisson-keeper # templates, too, are being made
}

@test "volumes outlive machines, and the VMM itself reads them" {
	up --name first -v vol:/v "$BUSYBOX"
	[ "$(how first)" != cold ]
	caisson exec first sh -c 'echo kept >/v/file; head -c 3000000 /dev/urandom >/v/large; md5sum </v/large' >sum
	none_run nbdkit caisson-share virtiofsd
	readlink "/proc/$(vmm_pid first)"/fd/* | grep -x "$CAISSON_ROOT/volumes/vol/disk.vhd"
	caisson rm -f first
	run inside -v vol:/v "$BUSYBOX" sh -c 'cat /v/file; md5sum </v/large; echo second >/v/file'
	[ "$output" = $'kept\n'"$(cat sum)" ]
	run inside -v vol:/v:ro "$BUSYBOX" sh -c 'cat /v/file; echo x >/v/file'
	[ "$status" = 1 ]
	[[ $output == second*'Read-only file system'* ]]
	caisson volume rm vol
}

@test "a full disk is the machine's own" {
	run inside --storage-opt size=64m "$BUSYBOX" sh -c \
		'dd if=/dev/zero of=/big bs=1M count=200; rm /big; echo goes on >/small; sync; cat /small; df -m / | tail -n 1'
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *'No space left on device'*'goes on'* ]]
	[ "$(tail -n 1 <<<"$output" | awk '{ print $2 }')" -le 64 ]
}

# ---- walls ----

# walls PID: what a caisson-vmm cannot do. Complains.
walls() {
	local pid=$1 f n
	for f in $'Seccomp:\t2' $'NoNewPrivs:\t1' $'Groups:\t *' Cap{Inh,Prm,Eff,Bnd,Amb}$':\t0+' \
		{Uid,Gid}$':(\t[1-9][0-9]*){4}'; do
		n=$(grep -LxE "$f" "/proc/$pid"/task/*/status || true)
		[ -z "$n" ] || complain "not $f: $n"
	done
	# the event thread has the process's filter, all others one more
	n=$(cat "/proc/$pid"/task/*/status | grep -cx $'Seccomp_filters:\t2' || true)
	[ "$n" -ge 1 ] && [ "$n" = $(($(ls "/proc/$pid/task" | wc -l) - 1)) ] || complain "$n tighter filters"
	for f in net mnt ipc uts user pid; do
		[ "$(readlink "/proc/$pid/ns/$f")" != "$(readlink "/proc/self/ns/$f")" ] || complain "the host's $f namespace"
	done
	f=$(ls -A "/proc/$pid/root/") && [ -z "$f" ] || complain "its root is not empty: $f"
	[ "$(wc -l <"/proc/$pid/net/dev")" = 3 ] || complain "network: $(cat "/proc/$pid/net/dev")"
	descriptors "$pid"
	return 0
}

# Descriptors: of files only disks, kernels and what came in memory; of those that are shared none to write.
descriptors() { # descriptors PID
	local n to
	while read -r n to; do
		case $to in
		socket:* | pipe:* | anon_inode:* | /dev/null | /memfd:*) continue ;;
		"$CAISSON_ROOT"/machines/* | "$CAISSON_ROOT"/volumes/*/disk.vhd) ;;
		"$CAISSON_ROOT"/kernels/* | "$CAISSON_ROOT"/parents/* | "$CAISSON_ROOT"/images/* | \
			"$CAISSON_ROOT"/layers/* | "$CAISSON_ROOT"/templates/*)
			grep -qE $'^flags:\t[0-7]*0$' "/proc/$1/fdinfo/$n" || complain "$to can be written"
			;;
		*) complain "descriptor $n is $to" ;;
		esac
		[ -f "/proc/$1/fd/$n" ] || complain "descriptor $n is no file: $to"
	done < <(find "/proc/$1/fd" -type l -printf '%f %l\n')
}

@test "caisson-vmm is shut in, all its threads: a clone, and one that booted" {
	mkdir shared
	caisson run -d --driver kvm --name clone -v vol:/v "$BUSYBOX" sleep 1000
	caisson run -d --driver kvm --name cold --no-template -v vol2:/v -v "$PWD/shared:/s" "$BUSYBOX" sleep 1000
	[ "$(how clone)" != cold ]
	[ "$(how cold)" = cold ]
	for m in clone cold; do walls "$(vmm_pid "$m")"; done
	[ "$(awk '/^Uid:/ { print $2 }' "/proc/$(vmm_pid clone)/status")" != "$(awk '/^Uid:/ { print $2 }' "/proc/$(vmm_pid cold)/status")" ] ||
		complain "two machines run as one user"
	all_right
}

# ---- ends ----

machine_files() { find "$CAISSON_ROOT/machines" "$CAISSON_RUN/machines" -mindepth 1; }

@test "kill -9 of VMM, keeper or file server: the end is told, and nothing stays" {
	mounts=$(wc -l </proc/self/mounts)
	mkdir shared
	up --name kk -v vol:/v "$BUSYBOX"
	caisson exec kk sh -c 'echo kept | tee /file >/v/file; sync'
	keeper=$(keeper_pid kk)
	kill -9 "$(vmm_pid kk)"
	eventually 10 is_state kk exited
	eventually 10 process_gone "$keeper"
	[ "$(field kk .State.Error)" = 'the virtual machine monitor was killed by signal 9' ]
	[ "$(field kk .State.ExitCode)" = 137 ]
	[ "$(field kk .Caisson.VmmPid)" = 0 ]

	caisson start kk
	[ "$(caisson exec kk cat /file /v/file)" = $'kept\nkept' ]
	vmm=$(vmm_pid kk)
	kill -9 "$(keeper_pid kk)"
	eventually 10 process_gone "$vmm"
	eventually 10 is_state kk exited

	caisson start kk
	[ "$(caisson exec kk cat /file /v/file)" = $'kept\nkept' ]
	up --name ss -v "$PWD/shared:/s" "$BUSYBOX"
	vmm=$(vmm_pid ss)
	kill -9 "$(processes caisson-share)"
	eventually 15 is_state ss exited
	eventually 15 process_gone "$vmm"
	field ss .State.Error | grep -qx "the server of $PWD/shared (caisson-share) ended"
	[ "$(field ss .State.ExitCode)" = 137 ]
	is_state kk running

	up --name tt -v "$PWD/shared:/s" "$BUSYBOX"
	kill -9 "$(keeper_pid tt)"
	eventually 10 none_run caisson-share
	caisson rm -f kk ss tt
	caisson volume rm vol
	eventually 5 none_run caisson-vmm caisson-keeper caisson-share
	[ -z "$(machine_files)" ]
	[ "$(wc -l </proc/self/mounts)" = "$mounts" ]
}

@test "kill -9 of all at once, holders of templates too: nothing stays, and all starts again" {
	mounts=$(wc -l </proc/self/mounts)
	mkdir shared
	names=(caisson-keeper caisson-vmm caisson-share passt passt.avx2 caisson-templat)
	caisson run --rm --driver kvm --network none "$BUSYBOX" true
	eventually 60 no_template_workers make
	[ -n "$(template_workers hold)" ]
	caisson run -d --name cc --driver kvm -p 80 "$BUSYBOX" sleep 1000
	caisson run -d --name ss --driver kvm -p 80 -v vol:/v -v "$PWD/shared:/s" "$BUSYBOX" sleep 1000
	caisson exec ss sh -c 'echo kept >/v/file; sync'
	eventually 20 sh -c 'pgrep -x "passt|passt.avx2"'
	pids=$(for n in "${names[@]}"; do processes "$n"; done)
	kill -9 $pids
	for p in $pids; do eventually 10 process_gone "$p" || complain "$p: $(cat "/proc/$p/cmdline" | tr '\0' ' ')"; done
	none_run "${names[@]}" || complain "processes stay: $(for n in "${names[@]}"; do processes "$n"; done)"
	for m in cc ss; do is_state $m exited || complain "$m: $(state_of $m)"; done
	caisson start cc ss
	[ "$(caisson exec ss cat /v/file)" = kept ] || complain "the volume: $(caisson exec ss cat /v/file)"
	caisson rm -f cc ss
	caisson volume rm vol
	eventually 5 none_run caisson-vmm caisson-keeper caisson-share passt passt.avx2 || complain "processes stay after rm"
	[ -z "$(machine_files)" ] || complain "files stay: $(machine_files)"
	[ "$(wc -l </proc/self/mounts)" = "$mounts" ] || complain "mounts stay"
	[ "$(hi)" = hi ]
	all_right
}

@test "an app's exit codes, signals and stops" {
	for code in 0 1 77 255; do
		run inside "$BUSYBOX" sh -c "exit $code"
		[ "$status" = $code ]
	done
	up --name kk "$BUSYBOX"
	caisson kill kk
	[ "$(caisson wait kk)" = 137 ]
	[ -z "$(field kk .State.Error)" ]
	# off and reboot, of the app's own processes: it ends as by the signal that this is there
	for c in 'poweroff 130' 'reboot 129'; do
		caisson start kk
		caisson exec --privileged kk ${c% *} -f || true
		[ "$(caisson wait kk)" = "${c#* }" ]
	done
	fails_with 127 'no such|not found' inside "$BUSYBOX" no-such-program
	eventually 10 none_run caisson-vmm
}

# ends REBOOT_TYPE KEY: the kernel itself, as an app with all rights can have it end. Waits for the end.
ends() {
	up --name kk --kernel "$CLOUD" "$BUSYBOX"
	timeout 30 caisson exec --privileged kk sh -c "mount -o remount,rw /sys && echo $1 >/sys/kernel/reboot/type
		mount -o remount,bind,rw /proc/sysrq-trigger && echo $2 >/proc/sysrq-trigger; sleep 20" || true
	[ "$(timeout 10 caisson wait kk)" = 137 ] || complain "$1 $2: code"
	field kk .State.Error >"$1-$2"
	caisson start kk || complain "$1 $2: does not start again"
	caisson rm -f kk
}

@test "a kernel that panics, restarts, gives up or powers off ends the machine, and it starts again" {
	[ -n "$CLOUD" ] || skip "no kernel of Debian's in the store"
	ends kbd c
	ends kbd b
	ends acpi b
	ends triple b
	ends acpi o
	grep . kbd-c kbd-b acpi-b triple-b acpi-o
	grep -q "the guest's processor gave up" triple-b || complain "triple: $(cat triple-b)"
	grep -q 'powered off' acpi-o || complain "off: $(cat acpi-o)"
	all_right
}

# ---- templates ----

holders_kill() {
	local p
	eventually 60 no_template_workers make
	for p in $(template_workers hold); do kill "$p"; done
	eventually 5 no_template_workers hold
}

# flip FILE OFFSET: one bit of that byte
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	# shellcheck disable=SC2059
	printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

hi() { timeout 60 caisson run --rm --driver kvm --network none "$BUSYBOX" echo hi; }

@test "a template that was altered or cut is dropped and made anew" {
	hi
	eventually 60 has_template image "$SMALL" $USUAL
	dir=$(template image "$SMALL" $USUAL)
	cp "$dir/state" good
	# a bit of the mark, the length, the contents: the machine boots, and says why; more in robust.bats
	for at in 0 17 5000; do
		holders_kill
		flip "$dir/state" "$at"
		run hi
		echo "bit in byte $at: $status $output"
		[[ $status = 0 && $output == *'saved machine'* && $output == *hi ]] || complain "byte $at: $status $output"
		eventually 60 has_template image "$SMALL" $USUAL
		cp "$dir/state" good
	done
	holders_kill
	cp good "$dir/state"
	[ "$(hi)" = hi ]
	# what is cut is made anew at once
	for part in state memory; do
		eventually 60 has_template image "$SMALL" $USUAL
		holders_kill
		for f in "$CAISSON_ROOT"/templates/*/$part; do truncate -s -1 "$f"; done
		run hi
		[ "$output" = hi ] || complain "cut $part: $status $output"
	done
	# so is memory in which a bit is another: of templates of both depths, in the first piece of data that they have
	eventually 60 has_template image "$SMALL" $USUAL
	holders_kill
	both=("$dir/memory" "$(template machine "$SMALL" $USUAL)/memory")
	for f in "${both[@]}"; do
		flip "$f" "$(python3 -c 'import os, sys; print(os.lseek(os.open(sys.argv[1], os.O_RDONLY), 0, os.SEEK_DATA) + 4000)' "$f")"
	done
	stat -c '%n %i' "${both[@]}" >before
	[ "$(hi)" = hi ]
	eventually 60 has_template image "$SMALL" $USUAL
	stat -c '%n %i' "${both[@]}" >after
	[ -z "$(sort before after | uniq -d)" ] || complain "memory that was altered was not made anew"
	# and there is always this way out
	eventually 60 has_template image "$SMALL" $USUAL
	holders_kill
	flip "$dir/state" 1000
	caisson template prune
	[ "$(hi)" = hi ]
	all_right
}
