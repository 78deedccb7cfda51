#!/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# initrd.sh - /init of the nested machine: modules, the host's files under a layer of its own, session.sh
b=/busybox

give_up() {
	echo "initrd.sh: $1"
	$b poweroff -f
}

$b mount -t proc proc /proc
$b mount -t devtmpfs devtmpfs /dev
for m in /modules/*.ko; do
	$b insmod "$m" || echo "initrd.sh: $m does not load"
done
$b mount -t virtiofs -o ro root /lower || give_up "no root file system"
$b mount -t tmpfs tmpfs /layer
$b mkdir /layer/upper /layer/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work overlay /root || give_up "no overlay"
$b mkdir -p /root/proc /root/sys /root/dev /root/run /root/tmp
$b mount --move /dev /root/dev
$b mount -t tmpfs -o mode=755 tmpfs /root/run
$b mkdir /root/run/session
$b mount -t virtiofs session /root/run/session || give_up "no session"
$b umount /proc
$b mount -t proc proc /root/proc
exec $b switch_root /root /bin/bash /run/session/session.sh
