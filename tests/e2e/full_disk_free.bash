# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# full_disk_free.bash IMAGE OTHER - what gives room back when a failed pull of OTHER has filled the disk with its parts
#
# Run under `unshare --mount`. Prints what is wrong, and at the end "tried: N".

dir=$(mktemp -d)
image=$1 other=$2 tried=0
export CAISSON_ROOT=$dir/store/root CAISSON_RUN=$dir/run
mkdir "$dir/store"

free_kib() { df -k --output=avail "$dir/store" | tail -n 1; }

# fill: IMAGE, a machine of it, parts of OTHER, and no room at all
fill() {
	mount -t tmpfs -o "size=9m,mode=700" tmpfs "$dir/store" || exit
	caisson pull -q "$image" >/dev/null || echo "pull $image"
	caisson create --name machine "$image" true >/dev/null || echo "create"
	caisson pull -q "$other" >/dev/null 2>&1 && echo "$other fits"
	[ -n "$(ls "$CAISSON_ROOT/partial")" ] || echo "there are no parts"
	dd if=/dev/zero of="$dir/store/fill" bs=4k 2>/dev/null
	[ "$(free_kib)" -eq 0 ] || echo "there is room"
	tried=$((tried + 1))
}

# frees COMMAND...: a full disk is so no longer
frees() {
	local said
	said=$("$@" 2>&1) || echo "$*: $said"
	[ "$(free_kib)" -ge 1000 ] || echo "$* leaves $(free_kib) KiB"
	umount "$dir/store"
}

fill
frees caisson image prune -f
fill
frees caisson rm machine
fill
frees caisson rmi -f "$image"
# without parts to give up, it is said why
fill
rm "$CAISSON_ROOT"/partial/*
dd if=/dev/zero of="$dir/store/more" bs=4k 2>/dev/null
said=$(caisson rm machine 2>&1) && echo "rm succeeds"
[[ $said == *'disk is full'* ]] || echo "rm: $said"
umount "$dir/store"
rm -rf "$dir"
echo "tried: $tried"
