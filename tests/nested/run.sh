#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh - run a command on a machine that has a real KVM, even where this host has none
#
#   tests/nested/run.sh COMMAND [ARGUMENT...]
#
# The machine is an emulated x86-64 processor with AMD's virtualisation (SVM), under Debian's cloud
# kernel. Its root file system is this host's own, read-only, under a layer that forgets: the command
# finds the same programs and the same checkout at the same paths, and can change none of them. It
# runs as root in the same directory, with no input, and with no network but loopback. Its output and
# its exit code are handed through. The host's own /dev/kvm is not used: every host tests the same.
#
#   NESTED_OUT		a directory of this host that the command may write; it is /out there
#   NESTED_TIMEOUT	seconds until the machine is ended (1200)
#   NESTED_MEMORY	MiB of the machine (3072); /tmp and changed files take at most half each
#   NESTED_CPU		QEMU's name of the processor (EPYC,+svm,+npt)
#   NESTED_POLL		if not empty, the processor polls when it is idle: QEMU 7.2 may never wake one that halts (with
#			50 machines inside, twice in half an hour). All takes a seventh longer
#   NESTED_VERBOSE	if not empty, say how long the machine took to start the command
#
# Of the environment pass PATH, HOME, LANG, IMAGES_OCI and CAISSON*; for more, "env NAME=VALUE COMMAND".
# Clocks run as they do here, but the processor is many times slower, and one inside of it slower
# again: give limits room, and compare durations only with others of the same run.
#
# Exit code: the command's own; 124 when NESTED_TIMEOUT ended it; 125 when the machine failed; 77 when
# this host cannot start it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
export CAISSON_CACHE=${CAISSON_CACHE:-$top/.cache}
timeout=${NESTED_TIMEOUT:-1200} memory=${NESTED_MEMORY:-3072} cpu=${NESTED_CPU:-EPYC,+svm,+npt}
package=linux-image-cloud-amd64
modules=(virtio_pci virtiofs overlay kvm-amd tun loop erofs vhost_vsock)

cannot() {
	echo "$*"
	exit 77
}

virtiofsd=''
host_check() {
	local p
	[ "$(uname -m)" = x86_64 ] || cannot "the nested machine is x86-64, and this host is not"
	[ "$(id -u)" = 0 ] || cannot "the nested machine shares this host's root file system: it needs root"
	for p in gcc qemu-system-x86_64 busybox bsdcpio setpriv unshare apt-get dpkg-deb; do
		command -v "$p" >/dev/null || cannot "$p is missing (tools/setup.sh build run image test)"
	done
	for p in /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd; do
		[ ! -x $p ] || virtiofsd=$p
	done
	[ -n "$virtiofsd" ] || cannot "virtiofsd is missing (tools/setup.sh run)"
	unshare -m true 2>/dev/null || cannot "this process may not mount"
}

# module_take TREE NAME TO: copy a module after those that it depends on; the names in TO sort as they load
module_take() {
	local file need
	file=$(find "$1" -name "$2.ko" -o -name "${2//_/-}.ko" -o -name "${2//-/_}.ko" | head -n 1)
	[ -n "$file" ] || return 0 # built in
	! compgen -G "$3/*-$2.ko" >/dev/null || return 0
	need=$(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p')
	for need in ${need//,/ }; do module_take "$1" "$need" "$3"; done
	cp "$file" "$3/$(printf %02d "$(find "$3" -name '*.ko' | wc -l)")-$2.ko"
}

# The distribution's kernel and the modules above, unpacked into the cache; never installed.
kernel_fetch() {
	local to=$1 real scratch m
	real=$(apt-cache depends --important $package | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -n 1)
	scratch=$(mktemp -d "$to.XXXX")
	if ! (cd "$scratch" && apt-get download -q -o APT::Sandbox::User=root "${real:-$package}" &&
		dpkg-deb -x ./*.deb x) >"$scratch/log" 2>&1; then
		cat "$scratch/log"
		rm -rf "$scratch"
		cannot "no kernel: apt-get download ${real:-$package} failed"
	fi
	mkdir "$scratch/kernel" "$scratch/kernel/modules"
	mv "$scratch"/x/boot/vmlinuz-* "$scratch/kernel/vmlinuz"
	for m in "${modules[@]}"; do module_take "$scratch/x" "$m" "$scratch/kernel/modules"; done
	rm -rf "$to"
	mv "$scratch/kernel" "$to"
	rm -rf "$scratch"
}

# kernel_ready DIR: fetched once for each list of modules
kernel_ready() {
	local lock
	[ -e "$1/vmlinuz" ] && return
	mkdir -p "$(dirname "$1")"
	exec {lock}>"$1.lock"
	flock "$lock"
	[ -e "$1/vmlinuz" ] || kernel_fetch "$1"
	exec {lock}>&-
}

initrd_make() { # initrd_make KERNEL_DIR FILE
	local dir=$work/initrd
	mkdir -p "$dir"/{dev,proc,modules,lower,layer,root}
	cp "$(command -v busybox)" "$dir/busybox"
	cp "$1"/modules/*.ko "$dir/modules"
	install -m 755 "$here/initrd.sh" "$dir/init"
	(cd "$dir" && find . | bsdcpio --quiet -o -H newc) >"$2"
	rm -rf "$dir"
}

# What the machine is to do, and all that comes back from it, are files of one directory.
session_write() { # session_write DIR COMMAND...
	local dir=$1 v
	shift
	{
		for v in PATH HOME LANG IMAGES_OCI "${!CAISSON@}"; do
			[ -z "${!v+x}" ] || printf 'export %s=%q\n' "$v" "${!v}"
		done
		printf 'directory=%q keep=(%q %q)\n' "$PWD" "$top" "$CAISSON_CACHE"
		printf 'same_output=%q has_out=%q\n' "$same_output" "${NESTED_OUT:+1}"
		printf 'command=('
		printf ' %q' "$@"
		echo ' )'
	} >"$dir/settings"
	cp "$here/session.sh" "$dir"
	gcc -O1 -D_GNU_SOURCE -o "$dir/kvm_works" "$here/kvm_works.c"
	: >"$dir/out"
	: >"$dir/err"
}

# A child that dies with this script, however that ends.
start() {
	setpriv --pdeathsig KILL "$@" &
	started=$!
}

# Every file system of this host but those that are the kernel's, read-only, at one place that only
# the file server sees.
# shellcheck disable=SC2016
share_root='
	set -e
	mount --rbind / "$1"
	for d in proc sys dev run; do umount -R -l "$1/$d" 2>/dev/null || :; done
	while read -r _ _ _ _ at _; do
		at=$(printf %b "$at")
		case $at in
		"$1" | "$1"/*) mount -o remount,bind,ro "$at" 2>/dev/null || umount -l "$at" ;;
		esac
	done </proc/self/mountinfo
	root=$1
	shift
	exec "$@" -o source="$root"
'
share() { # share TAG OPTION...: start a file server, add the machine's device for it
	local tag=$1
	shift
	if [ "$tag" = root ]; then
		mkdir "$work/root"
		start unshare -m --propagation private bash -c "$share_root" - "$work/root" \
			"$virtiofsd" --socket-path="$work/$tag.sock" -o log_level=err "$@"
	else
		start "$virtiofsd" --socket-path="$work/$tag.sock" -o log_level=err "$@"
	fi >"$work/$tag.log" 2>&1
	devices+=(-chardev "socket,id=$tag,path=$work/$tag.sock"
		-device "vhost-user-fs-pci,chardev=$tag,tag=$tag,queue-size=1024")
}

machine_start() { # machine_start KERNEL_DIR
	local s i
	share root -o cache=always
	share session -o cache=none -o source="$work/session"
	[ -z "${NESTED_OUT:-}" ] || share out -o cache=auto -o source="$(realpath "$NESTED_OUT")"
	for s in root session ${NESTED_OUT:+out}; do
		for ((i = 0; i < 200; i++)); do
			[ ! -S "$work/$s.sock" ] || continue 2
			sleep 0.02
		done
		cat "$work/$s.log" >&2
		return 125
	done
	# One processor: with two, some machines inside never come up.
	start qemu-system-x86_64 -M q35,memory-backend=mem,usb=off,vmport=off,smbus=off,sata=off \
		-accel tcg,thread=multi -cpu "$cpu" -smp 1 -m "$memory" \
		-object "memory-backend-memfd,id=mem,size=${memory}M,share=on" \
		-nodefaults -no-user-config -display none -no-reboot -serial "file:$work/console" \
		-kernel "$1/vmlinuz" -initrd "$work/initrd.cpio" \
		-append "console=ttyS0 panic=-1 quiet mitigations=off rcupdate.rcu_expedited=1${NESTED_POLL:+ idle=poll}" \
		"${devices[@]}" >"$work/qemu.log" 2>&1
	qemu=$started
}

# The command's output as it comes: the files grow until the machine is gone.
output_follow() {
	start tail -q -c +1 -s 0.1 --pid="$qemu" -f "$work/session/out"
	followers=("$started")
	[ -z "$same_output" ] || return 0
	start tail -q -c +1 -s 0.1 --pid="$qemu" -f "$work/session/err" >&2
	followers+=("$started")
}

clean_up() {
	local rc=$?
	trap '' INT TERM HUP
	# shellcheck disable=SC2046
	kill $(jobs -p) 2>/dev/null || :
	wait
	# by rmdir, which takes nothing along should this host's files ever be in sight there
	if [ -n "$work" ] && { [ ! -e "$work/root" ] || rmdir "$work/root"; }; then
		rm -rf "$work"
	fi
	exit "$rc"
}

[ $# -gt 0 ] || { sed -n '3,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2; }
work='' devices=() started='' qemu='' followers=() same_output=''
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
begin=$(date +%s.%N)
host_check
if [ -n "${NESTED_OUT:-}" ] && [ ! -d "$NESTED_OUT" ]; then
	echo "nested: NESTED_OUT: $NESTED_OUT is not a directory" >&2
	exit 125
fi
kernel=$CAISSON_CACHE/nested/kernel-$(printf '%s\n' $package "${modules[@]}" | cksum | cut -d' ' -f1)
kernel_ready "$kernel"
work=$(mktemp -d "${TMPDIR:-/tmp}/caisson-nested.XXXXXX")
mkdir "$work/session"
[ ! /dev/stdout -ef /dev/stderr ] || same_output=1
session_write "$work/session" "$@"
initrd_make "$kernel" "$work/initrd.cpio"
machine_start "$kernel"
output_follow
start sleep "$timeout"
ended=''
wait -n -p ended "$qemu" "$started" || :
[ "$ended" = "$qemu" ] || kill "$qemu" 2>/dev/null || :
wait "$qemu" "${followers[@]}" 2>/dev/null || :
if [ -n "${NESTED_VERBOSE:-}" ] && [ -e "$work/session/started" ]; then
	echo "nested: the command started after $(awk -v a="$begin" -v b="$(stat -c %.Y "$work/session/started")" \
		'BEGIN { printf "%.1f", b - a }') s" >&2
fi
[ ! -s "$work/session/status" ] || exit "$(cat "$work/session/status")"
if [ "$ended" != "$qemu" ]; then
	echo "nested: ended after $timeout s" >&2
	exit 124
fi
echo "nested: the machine failed; the end of its console:" >&2
cat "$work"/*.log >&2
tail -n 30 "$work/console" >&2 2>/dev/null || :
exit 125
