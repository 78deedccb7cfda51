#!/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# play_init.sh - /init of vmm_play's guests: a shell that reads what to do from the agent's port
/busybox mkdir -p /proc /sys /dev /bin /tmp
/busybox mount -t proc proc /proc
/busybox mount -t sysfs sysfs /sys
/busybox mount -t devtmpfs devtmpfs /dev
/busybox --install -s /bin
export PATH=/bin
while :; do
	for p in /sys/class/virtio-ports/*; do
		[ "$(cat "$p/name" 2>/dev/null)" != caisson.agent ] || break 2
	done
	usleep 10000
done
exec sh <>"/dev/${p##*/}" >&0 2>&1
