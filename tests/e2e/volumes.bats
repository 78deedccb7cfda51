#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# volumes.bats - directories and files of the host in a machine, tmpfs, and what stays outside

setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
	mkdir share outside
	echo host >share/file
	echo secret-of-the-host >outside/secret
}
teardown() { remove_all; }

inside() { caisson run --rm --network none "$@"; }

@test "read-write: both sides see what the other does, while it runs" {
	caisson run -d --name mm -v "$PWD/share:/s" "$BUSYBOX" sleep 1000
	caisson exec mm sh -c 'mkdir /s/dir && echo guest >/s/dir/file && mv /s/file /s/renamed && ln -s renamed /s/link && mkfifo /s/fifo'
	[ "$(cat share/dir/file)" = guest ]
	[ "$(cat share/link)" = host ]
	[ -p share/fifo ]
	echo later >share/later
	[ "$(caisson exec mm cat /s/later)" = later ]
	caisson exec mm rm -r /s/dir /s/later
	fails test -e share/dir
	fails test -e share/later
	# a file open in the machine outlives its name
	caisson exec mm sh -c 'exec 3<>/s/renamed; rm /s/renamed; echo more >&3; cat /proc/self/fd/3' | grep -q more
}

@test "a large file goes both ways unharmed" {
	head -c 30000000 /dev/urandom >share/large
	inside -v "$PWD/share:/s" "$BUSYBOX" sh -c 'md5sum </s/large; cp /s/large /s/copy; sync' >sum
	[ "$(cat sum)" = "$(md5sum <share/large)" ]
	cmp share/large share/copy
}

@test "read-only: nothing of it changes, by no way" {
	mkdir share/sub
	run inside -v "$PWD/share:/s:ro" "$BUSYBOX" sh -c 'cat /s/file; echo x >/s/new; rm /s/file; mkdir /s/dir; chmod 777 /s/file; mv /s/file /s/moved; touch /s/sub; ln -s a /s/link; mount -o remount,rw /s; echo y >/s/new'
	[ "${lines[0]}" = host ]
	[[ $output == *'Read-only file system'* ]]
	[ "$(ls share)" = $'file\nsub' ]
	[ "$(cat share/file)" = host ]
	inside --mount "type=bind,source=$PWD/share,target=/s,readonly" "$BUSYBOX" sh -c 'fails() { ! "$@"; }; fails touch /s/new'
	fails test -e share/new
}

@test "a single file, in a directory of the image and in one that is not there" {
	run inside -v "$PWD/share/file:/etc/one" -v "$PWD/share/file:/not/there/before" "$BUSYBOX" sh -c 'cat /etc/one /not/there/before; echo changed >/etc/one; ls /etc | grep -c passwd'
	[ "$status" = 0 ]
	[ "${lines[0]}${lines[1]}${lines[2]}" = hosthost1 ]
	[ "$(cat share/file)" = changed ]
	run inside -v "$PWD/share/file:/etc/passwd:ro" "$BUSYBOX" cat /etc/passwd
	[ "$output" = changed ]
	# its neighbours are not to be had through it
	run inside -v "$PWD/share/file:/one" "$BUSYBOX" sh -c 'ls /one/.. /; cat /outside/secret'
	[[ $output != *secret-of-the-host* ]]
}

@test "a source that is not there: -v makes a directory, --mount refuses" {
	inside -v "$PWD/made/for/it:/m" "$BUSYBOX" touch /m/inside
	[ -f made/for/it/inside ]
	fails_with 125 'does not exist|no such file' caisson run --rm --mount "type=bind,source=$PWD/never,target=/m" "$BUSYBOX" true
	fails test -e never
	[ -z "$(caisson ps -aq)" ]
}

@test "links and dots in a share do not lead out of it" {
	ln -s "$PWD/outside/secret" share/absolute
	ln -s ../outside/secret share/relative
	ln -s ../outside share/dir
	ln -s / share/root
	run inside -v "$PWD/share:/s" "$BUSYBOX" sh -c '
		cat /s/absolute /s/relative /s/dir/secret /s/../outside/secret /s/root/'"$PWD"'/outside/secret
		ls /s/root/; cat /s/root/etc/passwd | head -n 1'
	[[ $output != *secret-of-the-host* ]]
	[[ $output == *'root:x:0:0:root:/root:/bin/sh'* ]]
	# made from inside, and followed by the host's side of the share at most there
	run inside -v "$PWD/share:/s" "$BUSYBOX" sh -c '
		ln -s ../outside /s/new; echo x >/s/new/written; ln -s /s/../../outside/secret /s/hard
		ln /s/relative /s/linked; cat /s/linked /s/hard'
	[[ $output != *secret-of-the-host* ]]
	[ "$(ls outside)" = secret ]
	# a directory that becomes a link while it is in use
	caisson run -d --name mm -v "$PWD/share:/s" "$BUSYBOX" sleep 1000
	caisson exec mm mkdir /s/swap
	rmdir share/swap
	ln -s "$PWD/outside" share/swap
	run caisson exec mm cat /s/swap/secret
	[[ $output != *secret-of-the-host* ]]
}

@test "owners and modes are the same on both sides" {
	[ "$(id -u)" = 0 ] || skip "only root can give files away"
	chown 1234:4321 share/file
	chmod 640 share/file
	run inside -v "$PWD/share:/s" "$BUSYBOX" sh -c 'stat -c %u:%g:%a /s/file; touch /s/own; chown 33:44 /s/own; chmod 4711 /s/own'
	[ "$output" = 1234:4321:640 ]
	[ "$(stat -c %u:%g:%a share/own)" = 33:44:4711 ]
	chmod 777 share
	inside -u 33:33 -v "$PWD/share:/s" "$BUSYBOX" touch /s/by-user
	[ "$(stat -c %u:%g share/by-user)" = 33:33 ]
	run inside -u 33:33 -v "$PWD/share:/s" "$BUSYBOX" cat /s/file
	[ "$status" = 1 ]
	[[ $output == *'Permission denied'* ]]
}

@test "tmpfs: options, and gone with the machine" {
	run inside --tmpfs /t:size=2m,mode=1770 "$BUSYBOX" sh -c 'stat -c %a /t; df -k /t | tail -n 1; dd if=/dev/zero of=/t/x bs=1M count=5'
	[ "${lines[0]}" = 1770 ]
	[[ ${lines[1]} == *2048* ]]
	[[ $output == *'No space left'* ]]
	run inside --mount type=tmpfs,target=/t,tmpfs-size=4m,tmpfs-mode=0700 "$BUSYBOX" sh -c 'stat -c %a /t; df -k /t | tail -n 1'
	[ "${lines[0]}" = 700 ]
	[[ ${lines[1]} == *4096* ]]
	caisson run -d --name mm --tmpfs /t "$BUSYBOX" sleep 1000
	caisson exec mm touch /t/file
	caisson stop -t 0 mm
	caisson start mm
	[ -z "$(caisson exec mm ls /t)" ]
}

@test "shares after stop and start, and several in one another" {
	mkdir second
	echo two >second/file
	caisson run -d --name mm -v "$PWD/share:/a" -v "$PWD/second:/a/in:ro" --tmpfs /a/tmp "$BUSYBOX" sleep 1000
	[ "$(caisson exec mm cat /a/file /a/in/file)" = $'host\ntwo' ]
	caisson stop -t 0 mm
	caisson start mm
	[ "$(caisson exec mm cat /a/file /a/in/file)" = $'host\ntwo' ]
	[ "$(caisson inspect -f '{{range .Mounts}}{{.Destination}} {{.RW}};{{end}}' mm | tr ';' '\n' | grep -c '^/a')" -ge 2 ]
	caisson inspect -f '{{json .Mounts}}' mm | jq -e --arg s "$PWD/second" 'any(.[]; .Source == $s and .Destination == "/a/in" and .RW == false)'
}

@test "specifications that are none" {
	for v in a : /a: :/b 'name:b' 'x:/b' '/a:b' '/a:/b:rw:x' '/a:/b:sometimes'; do
		fails_with 125 'volume|mount|-v' caisson run --rm -v "$v" "$BUSYBOX" true || complain "-v $v"
	done
	for m in type=bind type=bind,source=/a 'type=bind,source=a,target=/b' 'type=what,target=/b' 'target' 'type=tmpfs,target=/t,colour=red'; do
		fails_with 125 'mount|field|key|target' caisson run --rm --mount "$m" "$BUSYBOX" true || complain "--mount $m"
	done
	fails_with 125 '.' caisson run --rm -v "$PWD/share:/s" -v "$PWD/outside:/s" "$BUSYBOX" true || complain "two on one place"
	fails_with 125 '.' caisson run --rm -v "$PWD/share:/" "$BUSYBOX" true || complain "on the root"
	fails_with 125 'tmpfs' caisson run --rm --tmpfs relative "$BUSYBOX" true || complain "--tmpfs relative"
	all_right
	[ -z "$(caisson ps -aq)" ]
}
