#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# vhd_samples.sh [BUILD] - VHDs of Virtual PC, Hyper-V and disk2vhd, out of Debian's qemu source package
#
# They are kept in $CAISSON_CACHE/vhd-samples. Where the package cannot be had, this is skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
build=$(cd "${1:-$top/build}" && pwd)
cache=${CAISSON_CACHE:-$top/.cache}/vhd-samples
caisson() { "$build/src/cli/caisson" "$@"; }
skip() {
	echo "skipped: $*"
	exit 77
}
complain() { echo "FAIL: $*"; exit 1; }
for tool in qemu-img qemu-io 7zz jq bzip2; do
	[[ -n $(type -P "$tool") ]] || skip "$tool is not installed"
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
samples='virtualpc-dynamic hyperv2012r2-dynamic d2v-zerofilled'

# The source package of the qemu that is installed, by sources of its own: the machine's stay as they are.
fetch() {
	local apt=(-q -o "Dir::Etc::sourcelist=$tmp/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$tmp/lists")
	local key=/usr/share/keyrings/debian-archive-keyring.gpg version s
	version=$(dpkg-query -W -f '${source:Version}' qemu-utils)
	mkdir -p "$tmp/lists/partial" "$tmp/source"
	for s in 'debian bookworm' 'debian bookworm-updates' 'debian-security bookworm-security'; do
		echo "deb-src [signed-by=$key] http://deb.debian.org/${s% *} ${s#* } main"
	done >"$tmp/sources.list"
	apt-get "${apt[@]}" update >"$tmp/apt.log" 2>&1 || return 1
	(cd "$tmp/source" && apt-get "${apt[@]}" source --download-only "qemu=$version") >>"$tmp/apt.log" 2>&1 || return 1
	mkdir -p "$cache"
	for s in $samples; do
		tar -xOf "$tmp"/source/qemu_*.orig.tar.xz --wildcards "*/sample_images/$s.vhd.bz2" >"$tmp/$s.bz2" || return 1
		bzip2 -dc "$tmp/$s.bz2" | dd of="$tmp/$s.vhd" bs=64k conv=sparse iflag=fullblock status=none || return 1
		mv "$tmp/$s.vhd" "$cache/$s.vhd"
	done
}
for s in $samples; do
	[[ -e $cache/$s.vhd ]] || { fetch || skip "the source package of qemu cannot be had: $(tail -n 1 "$tmp/apt.log")"; }
done

# What each says of itself: type, size, blocks that are there, creator.
info() { caisson disk info --format json "$cache/$1.vhd" | jq -r '[.Type, .Size, .BlocksPresent, .Creator] | map(tostring) | join(" ")'; }
is() { [[ $(info "$1") == "$2" ]] || complain "$1: $(info "$1"), not $2"; }
is virtualpc-dynamic 'dynamic 136365211648 0 vpc'
is hyperv2012r2-dynamic 'dynamic 136365211648 0 win'
is d2v-zerofilled 'dynamic 263454720 126 d2v'

for s in $samples; do
	cp --sparse=always "$cache/$s.vhd" "$tmp/copy.vhd"
	caisson disk check -q "$tmp/copy.vhd" >"$tmp/check" || { cat "$tmp/check"; complain "$s: check"; }
	cmp "$cache/$s.vhd" "$tmp/copy.vhd" || complain "$s: changed by being looked at"
done

# qemu takes the size from CHS for what disk2vhd and Virtual PC made, unless it is told not to: the
# format has it in "current size".
options() { echo "${2:-}driver=vpc,${2:-}force_size_calc=current_size,${2:-}file.filename=$1"; }
caisson disk convert -q -f vhd -O raw "$cache/d2v-zerofilled.vhd" "$tmp/here.raw" >/dev/null
qemu-img convert --image-opts -O raw "$(options "$cache/d2v-zerofilled.vhd")" "$tmp/qemu.raw"
cmp "$tmp/here.raw" "$tmp/qemu.raw"
7zz x -so "$cache/d2v-zerofilled.vhd" | cmp - "$tmp/here.raw"

# Written here, read by qemu: at both ends and in the middle, also of the large and empty ones.
head -c 70000 /dev/urandom >"$tmp/noise"
for s in $samples; do
	cp --sparse=always "$cache/$s.vhd" "$tmp/copy.vhd"
	size=$(info "$s" | cut -d ' ' -f 2)
	for off in 0 $((size / 1024 * 512 + 77)) $((size - 70144)); do
		BUILD=$build PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here /usr/bin/python3 - "$tmp/copy.vhd" "$off" "$tmp/noise" <<-'P'
			import sys
			from vhd_library import OPEN_WRITE, Disk
			with Disk(sys.argv[1], OPEN_WRITE) as d:
			    d.write(int(sys.argv[2]), open(sys.argv[3], "rb").read())
		P
		part=driver=raw,offset=$((off / 512 * 512)),size=70144
		qemu-img convert --image-opts -O raw "$part,$(options "$tmp/copy.vhd" file.)" "$tmp/got"
		cmp -n 70000 -i $((off % 512)):0 "$tmp/got" "$tmp/noise" || complain "$s: qemu reads other bytes at $off"
	done
	caisson disk check -q "$tmp/copy.vhd" >"$tmp/check" || { cat "$tmp/check"; complain "$s: check after writing"; }
done
