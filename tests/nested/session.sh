#!/bin/bash
# SPDX-License-Identifier: MIT
# session.sh - process 1 of the nested machine: the rest of a usual system, then the command of run.sh
session=/run/session
directory='' keep=() same_output='' has_out='' command=()
# shellcheck source=/dev/null
. $session/settings

mounts_make() {
	mount -t sysfs sysfs /sys
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir -p /dev/pts /dev/shm
	mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
	mount -t tmpfs -o mode=1777 tmpfs /dev/shm
	ln -sfn /proc/self/fd /dev/fd
	ln -sfn /proc/self/fd/0 /dev/stdin
	ln -sfn /proc/self/fd/1 /dev/stdout
	ln -sfn /proc/self/fd/2 /dev/stderr
	[ -z "$has_out" ] || { mkdir -p /out && mount -t virtiofs out /out; }
}

# A /tmp that knows O_TMPFILE and the like. A checkout that lies in the host's stays in sight.
tmp_make() {
	local d
	mkdir /run/host-tmp
	mount --bind /tmp /run/host-tmp
	mount -t tmpfs -o mode=1777 tmpfs /tmp
	for d in "${keep[@]}" "$directory"; do
		[[ $d == /tmp/* && ! -e $d ]] || continue
		mkdir -p "$d"
		mount --bind "/run/host-tmp/${d#/tmp/}" "$d"
	done
}

# The command's output passes pipes, so that a program can open its /dev/stdout, too. Daemons that
# it leaves behind may hold them: what is in them at its end gets through, and no more.
command_run() {
	local out err i status
	cd "$directory" || return 125
	exec 3> >(exec cat >>$session/out)
	out=$! err=$!
	if [ -n "$same_output" ]; then
		exec 4>&3
	else
		exec 4> >(exec 3>&- cat >>$session/err)
		err=$!
	fi
	: >$session/started
	setsid "${command[@]}" </dev/null >&3 2>&4 3>&- 4>&- &
	wait $!
	status=$?
	exec 3>&- 4>&-
	for ((i = 0; i < 20; i++)); do
		kill -0 $out 2>/dev/null || kill -0 $err 2>/dev/null || break
		sleep 0.1
	done
	return $status
}

mounts_make
tmp_make
getent group 136 >/dev/null || groupadd -g 136 kvm
chgrp 136 /dev/kvm # there is no udev to give it to a group
chmod 660 /dev/kvm
echo nested >/proc/sys/kernel/hostname
busybox ifconfig lo 127.0.0.1 up
# passt wants a way out to exist, if only into nothing
ip tuntap add dev out0 mode tap && ip addr add 192.0.2.1/24 dev out0 && ip link set out0 up && ip route add default via 192.0.2.2
if $session/kvm_works 3; then
	command_run
	echo $? >$session/status
fi
busybox poweroff -f
