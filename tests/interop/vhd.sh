#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# vhd.sh [BUILD] - virtual hard disks made here and by qemu, read by qemu, 7-Zip, libvhdi and here
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$here/../../build}" && pwd)
skip() {
	echo "skipped: $*"
	exit 77
}
for tool in qemu-img qemu-io 7zz; do
	[[ -n $(type -P "$tool") ]] || skip "$tool is not installed"
done
/usr/bin/python3 -c 'import pyvhdi' 2>/dev/null || skip 'pyvhdi (python3-libvhdi) is not installed'
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
BUILD=$build PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$here/vhd.py" "$tmp"
