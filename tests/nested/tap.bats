#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# tap.bats - machines on a tap of the host, in a network namespace of its own; limits of network and disks

setup_file() {
	local n
	ip netns add taps
	chmod 666 /dev/net/tun # there is no udev to do it
	for n in 0 1; do
		ip -n taps tuntap add "tap$n" mode tap
		ip -n taps addr add "10.77.$n.1/24" dev "tap$n"
		ip -n taps link set "tap$n" up
	done
	ip -n taps link set lo up
	dd if=/dev/urandom of="$BATS_FILE_TMPDIR/10M" bs=1M count=10 2>/dev/null
	ip netns exec taps busybox httpd -p 10.77.0.1:80 -h "$BATS_FILE_TMPDIR" 3>&-
}
teardown_file() {
	# shellcheck disable=SC2046
	kill $(ip netns pids taps) 2>/dev/null || :
	ip netns del taps
}
setup() {
	load ../e2e/lib
	load ../e2e/expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

there() { ip netns exec taps "$@"; }
ON=(ip netns exec taps caisson run --driver kvm --network tap:tap0)
up() { "${ON[@]}" -d "$@" sleep 1000 >/dev/null; } # up OPTION... IMAGE
field() { caisson inspect -f "{{$2}}" "$1"; }
frames() { there cat "/sys/class/net/tap0/statistics/$1_packets"; }
has_template() { grep -qs '"depth":"image".*,tap"' "$CAISSON_ROOT"/templates/*/template.json; }

@test "--ip: address, router, MAC; 10 MiB intact both ways, in large frames" {
	up --name one --ip 10.77.0.2/24 --gateway 10.77.0.1 --mac-address 02:00:00:00:07:07 "$BUSYBOX"
	[ "$(field one .NetworkSettings.IPAddress)" = 10.77.0.2 ]
	[ "$(field one .NetworkSettings.Gateway)" = 10.77.0.1 ]
	[ "$(field one .NetworkSettings.MacAddress)" = 02:00:00:00:07:07 ]
	[ "$(field one .HostConfig.NetworkMode)" = tap:tap0 ]
	[ "$(caisson exec one cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu)" = $'02:00:00:00:07:07\n1500' ]
	caisson exec one ip route | grep -q '^default via 10.77.0.1 dev eth0'
	caisson exec one ping -c 2 -W 5 10.77.0.1
	there busybox ping -c 2 -W 5 10.77.0.2
	want=$(md5sum <"$BATS_FILE_TMPDIR/10M")
	to=$(frames tx)
	[ "$(caisson exec one sh -c 'wget -q -O /dev/shm/x http://10.77.0.1/10M; md5sum </dev/shm/x')" = "$want" ]
	to=$(($(frames tx) - to)) from=$(frames rx)
	caisson exec one httpd -p 8080 -h /dev/shm
	[ "$(there busybox wget -q -O - http://10.77.0.2:8080/x | md5sum)" = "$want" ]
	from=$(($(frames rx) - from))
	echo "frames: $to to the machine, $from from it; 7242 would be of 1500 bytes"
	[ "$to" -lt 4000 ]
	[ "$from" -lt 4000 ]
	# CSUM, GUEST_CSUM, MAC, TSO of both kinds and ways, MRG_RXBUF, STATUS
	caisson exec one sh -c 'cat /sys/class/net/eth0/device/features' | grep -q '^11000101100110011'
}

@test "clones of a tap's template have its features and a MAC of their own; a tap serves one at a time" {
	"${ON[@]}" --rm --ip 10.77.0.2/24 "$BUSYBOX" true
	eventually 60 has_template
	up --name one --ip 10.77.0.2/24 "$BUSYBOX"
	[ "$(field one .Caisson.Boot)" = image ]
	fails_with 125 'tap tap0: a program has it open already' "${ON[@]}" --rm --ip 10.77.0.3/24 "$BUSYBOX" true
	there caisson run -d --name two --driver kvm --network tap:tap1 --ip 10.77.1.2/24 "$BUSYBOX" sleep 1000
	[ "$(field two .Caisson.Boot)" = image ]
	[ "$(field one .NetworkSettings.MacAddress)" != "$(field two .NetworkSettings.MacAddress)" ]
	[ "$(caisson exec two cat /sys/class/net/eth0/address)" = "$(field two .NetworkSettings.MacAddress)" ]
	caisson exec one ping -c 1 -W 5 10.77.0.1
	caisson exec two ping -c 1 -W 5 10.77.1.1
	# the VMM sees no network but through what it was given
	[ "$(readlink "/proc/$(vmm_pid one)/ns/net")" != "$(there readlink /proc/self/ns/net)" ]
}

@test "killed in the middle of a transfer, the next one has the tap" {
	up --name one --ip 10.77.0.2/24 "$BUSYBOX"
	caisson exec -d one sh -c 'while wget -q -O /dev/null http://10.77.0.1/10M; do :; done'
	sleep 1
	kill -9 "$(vmm_pid one)"
	eventually 10 is_state one exited
	there caisson start one
	caisson exec one ping -c 1 -W 5 10.77.0.1
	vmm=$(vmm_pid one)
	kill -9 "$(keeper_pid one)"
	eventually 10 process_gone "$vmm"
	there caisson start one
	caisson exec one ping -c 1 -W 5 10.77.0.1
}

no_server() { ! pgrep -x udhcpd >/dev/null && ! pgrep -f "udhcpd -f" >/dev/null; }

@test "DHCP: address, router, name server; no server is an error that says so" {
	cat >udhcpd.conf <<-C
		start 10.77.0.50
		end 10.77.0.59
		interface tap0
		lease_file $PWD/leases
		pidfile $PWD/pid
		opt subnet 255.255.255.0
		opt router 10.77.0.1
		opt dns 10.77.0.9 10.77.0.10
		opt lease 600
	C
	touch leases
	there busybox udhcpd -f udhcpd.conf >dhcp.log 2>&1 3>&- &
	up --name one --hostname asked "$BUSYBOX"
	ip=$(field one .NetworkSettings.IPAddress)
	[[ $ip == 10.77.0.5? ]]
	[ "$(field one .NetworkSettings.Gateway)" = 10.77.0.1 ]
	caisson exec one ip addr show dev eth0 | grep -q "inet $ip/24 "
	caisson exec one ip route | grep -q '^default via 10.77.0.1 dev eth0'
	caisson exec one grep -q "^$ip.asked" /etc/hosts
	[ "$(caisson exec one grep nameserver /etc/resolv.conf)" = $'nameserver 10.77.0.9\nnameserver 10.77.0.10' ]
	caisson exec one ping -c 1 -W 5 10.77.0.1
	caisson rm -f one
	kill "$(cat pid)"
	eventually 5 no_server
	fails_with 125 'dhcp: no lease' "${ON[@]}" --rm "$BUSYBOX" true
}

@test "what is no tap of ours is refused, with the reason" {
	fails_with 125 'there is no interface tap9' "${ON[@]}" --rm --network tap:tap9 "$BUSYBOX" true
	there test ! -e /sys/class/net/tap9
	fails_with 125 'tap lo: it is no tap' "${ON[@]}" --rm --network tap:lo "$BUSYBOX" true
	fails_with 125 'ports cannot be published' "${ON[@]}" --rm -p 80:80 "$BUSYBOX" true
	fails_with 125 'need --network tap' caisson run --rm --ip 10.77.0.2/24 "$BUSYBOX" true
	ip -n taps tuntap add tap2 mode tap user 4711
	ip -n taps link set tap2 up
	ip -n taps addr add 10.77.2.1/24 dev tap2
	# its owner, who is nobody else here, and another one
	own=$(mktemp -d /tmp/tap-user.XXXX)
	chmod 755 "$own"
	mkdir "$own/store" "$own/run"
	cp -a "$CAISSON_ROOT/kernels" "$own/store"
	skopeo copy --quiet "oci:$IMAGES_OCI:busybox" "oci:$own/oci:busybox"
	chmod -R go+rX "$own/oci"
	for uid in 4711 4712; do
		chown -R $uid:$uid "$own"/*
		ip netns exec taps setpriv --reuid $uid --regid $uid --groups "$(stat -c %g /dev/kvm)" env HOME=/nowhere \
			CAISSON_ROOT="$own/store" CAISSON_RUN="$own/run" sh -c '
			caisson image import "$0:busybox" busybox:latest >/dev/null &&
			caisson run --rm --no-template --driver kvm --network tap:tap2 --ip 10.77.2.2/24 busybox \
				ping -c 1 -W 5 10.77.2.1' "$own/oci" >"out$uid" 2>&1 || echo "exit $?" >>"out$uid"
		cat "out$uid"
	done
	rm -r "$own"
	grep -q '1 packets received' out4711
	grep -q "tap tap2: it is another user's" out4712
}

@test "QEMU: the same tap, booted" {
	run there caisson run --name one --driver qemu --network tap:tap0 --ip 10.77.0.2/24 "$BUSYBOX" \
		sh -c 'wget -q -O /dev/shm/x http://10.77.0.1/10M; md5sum </dev/shm/x'
	echo "$output"
	[ "$output" = "$(md5sum <"$BATS_FILE_TMPDIR/10M")" ]
	[ "$(field one .Caisson.Boot)" = cold ]
	fails_with 125 '--disk-iops needs caisson-vmm' caisson run --rm --driver qemu --net-bps 1m "$BUSYBOX" true
}

took() { # took COMMAND...: its tenths of a second
	local from
	from=$(date +%s%N)
	"$@" >&2
	echo $((($(date +%s%N) - from) / 100000000))
}

@test "limits: so many bytes a second of network, and bytes and requests of disks" {
	# after a burst of a second: 10 MiB at 2 MiB/s
	up --name net --ip 10.77.0.2/24 --net-bps 2m "$BUSYBOX"
	t=$(took caisson exec net wget -q -O /dev/null http://10.77.0.1/10M)
	echo "net: $t"
	[ "$t" -ge 39 ]
	caisson rm -f net
	caisson run -d --name disk --driver kvm --network none --disk-bps 4m --disk-iops 100 "$BUSYBOX" sleep 1000
	t=$(took caisson exec disk dd if=/dev/zero of=/x bs=1M count=16 conv=fsync)
	echo "bytes: $t"
	[ "$t" -ge 29 ]
	sleep 2
	t=$(took caisson exec disk dd if=/x of=/dev/null bs=4096 count=400 iflag=direct)
	echo "requests: $t"
	[ "$t" -ge 29 ]
	[ "$(field disk .Caisson.DiskBps)" = 4194304 ]
	[ "$(field disk .Caisson.DiskIops)" = 100 ]
}
