#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# network.bats - published ports, names, and what cannot be reached

setup() {
	load lib
	cd "$BATS_TEST_TMPDIR"
}
teardown() { remove_all; }

@test "nginx answers on a published port" {
	port=$(free_port)
	caisson run -d --name web -p "127.0.0.1:$port:80" "$NGINX"
	eventually 20 curl -sf "http://127.0.0.1:$port/" -o page
	grep -q 'Welcome to nginx' page
	run caisson ps --format '{{.Ports}}'
	[ "$output" = "127.0.0.1:$port->80/tcp" ]
	eventually 5 sh -c 'caisson logs web | grep -q "GET / HTTP"'
	caisson stop web
	! curl -sf -m 1 "http://127.0.0.1:$port/"
}

@test "-P and -p without a host port choose one" {
	caisson run -d --name any -P "$NGINX"
	port=$(caisson inspect -f '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}' any)
	[ "$port" -gt 1023 ]
	eventually 20 curl -sf "http://127.0.0.1:$port/" -o page
}

@test "UDP ports" {
	port=$(free_port)
	caisson run -d --name udp -p "127.0.0.1:$port:9/udp" "$REGISTRY/python3" python3 -c \
		'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 9)); open("/got", "wb").write(s.recv(99)); s.recv(99)'
	eventually 10 sh -c "printf hello | socat -t0.2 - UDP:127.0.0.1:$port; caisson exec udp grep -q hello /got"
}

@test "a port in use is an error that says so, and nothing stays" {
	port=$(free_port)
	python3 -m http.server "$port" --bind 127.0.0.1 >/dev/null 2>&1 3>&- &
	server=$!
	eventually 20 curl -s "http://127.0.0.1:$port/" -o /dev/null
	run caisson run -d --name clash -p "127.0.0.1:$port:80" "$BUSYBOX" sleep 100
	kill $server
	[ "$status" = 125 ]
	[[ $output == *'port is already allocated'* || $output == *'address already in use'* ]]
	run caisson ps -q
	[ -z "$output" ]
}

@test "--network none has loopback only" {
	run caisson run --rm --network none "$BUSYBOX" sh -c 'ls /sys/class/net; ip route'
	[ "$output" = lo ]
}

@test "a machine cannot reach the host's loopback" {
	port=$(free_port)
	python3 -m http.server "$port" --bind 127.0.0.1 >/dev/null 2>&1 3>&- &
	server=$!
	eventually 20 curl -s "http://127.0.0.1:$port/" -o /dev/null
	run caisson run --rm "$BUSYBOX" sh -c "gw=\$(ip route | awk '/default/ { print \$3 }'); for a in 127.0.0.1 \$gw; do wget -q -T 2 -O - http://\$a:$port/ && echo REACHED; done; true"
	kill $server
	[[ $output != *REACHED* ]]
}

@test "/etc/hosts, --add-host, --dns" {
	run caisson run --rm --hostname me --add-host db:10.1.2.3 --dns 192.0.2.1 "$BUSYBOX" sh -c 'cat /etc/hosts /etc/resolv.conf'
	[[ $output == *$'10.1.2.3\tdb'* ]]
	[[ $output == *localhost* ]]
	[[ $output == *me* ]]
	[[ $output == *'nameserver 192.0.2.1'* ]]
}
