#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# erofs_tree.sh [WORKER] - an image of odd layers as a disk, compared with what umoci unpacks
#
# WORKER is caisson-unpack, of the build unless told. Checks: fsck.erofs is content, the kernel mounts the disk, every name,
# type, mode, owner, time, xattr, device, link group and content is umoci's (but for what
# erofs_tree.py lists), and a second run gives the same bytes. Needs root, umoci, erofs-utils and
# EROFS in the kernel; exit status 77 when something is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

skip() {
	echo "skipped: $*" >&2
	exit 77
}

worker=${1:-$here/../../build/libexec/caisson-unpack}
[[ -x $worker ]] || { echo "usage: $0 [path/to/caisson-unpack]" >&2; exit 2; }
[[ $(id -u) == 0 ]] || skip 'needs root, for devices, owners and mounts'
for tool in umoci fsck.erofs python3 tar mount; do
	[[ -n $(type -P "$tool") ]] || skip "$tool is not installed"
done
grep -qw erofs /proc/filesystems || modprobe -q erofs || skip 'this kernel has no EROFS'

tmp=$(mktemp -d)
cleanup() {
	mountpoint -q "$tmp/mnt" && umount "$tmp/mnt"
	rm -rf "$tmp"
}
trap cleanup EXIT
mkdir "$tmp/mnt"

# One layer or a whole merge, each with the descriptors that the worker's head comment lists.
unpack() { # TAR PREFIX
	"$worker" layer 3<"$1" 4</dev/null 5<>"$2.data" 6<>"$2.tree" >/dev/null
}
merge() { # META TREE...
	local meta=$1 n fd=3
	shift
	n=$#
	(
		for t in "$@"; do
			eval "exec $fd<\"\$t\""
			fd=$((fd + 1))
		done
		eval "exec $fd<>\"\$meta\""
		"$worker" merge "$n" 000102030405060708090a0b0c0d0e0f >/dev/null
	)
}

python3 "$here/erofs_tree.py" layers "$tmp"
umoci init --layout "$tmp/oci"
umoci new --image "$tmp/oci:odd"
datas=() trees=()
for tar in "$tmp"/layer?.tar; do
	umoci raw add-layer --image "$tmp/oci:odd" "$tar" 2>/dev/null
	unpack "$tar" "${tar%.tar}"
	datas+=("${tar%.tar}.data")
	trees+=("${tar%.tar}.tree")
done
umoci unpack --image "$tmp/oci:odd" "$tmp/bundle" 2>/dev/null

merge "$tmp/meta" "${trees[@]}"
merge "$tmp/meta2" "${trees[@]}"
cmp "$tmp/meta" "$tmp/meta2"
python3 "$here/erofs_tree.py" disk "$tmp/disk" "$tmp/meta" "${datas[@]}"
fsck.erofs "$tmp/disk"
mount -o loop,ro -t erofs "$tmp/disk" "$tmp/mnt"
python3 "$here/erofs_tree.py" compare "$tmp/bundle/rootfs" "$tmp/mnt"
