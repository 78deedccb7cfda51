#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# library.sh - libcaisson-vhd as others see it: installed, found by pkg-config, its example built and run
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$top/build}
for tool in meson pkg-config cc nm objdump; do
	[[ -n $(type -P "$tool") ]] || { echo "skipped: $tool is not installed"; exit 77; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
complain() { echo "FAIL: $*"; exit 1; }

meson install -C "$build" --no-rebuild --quiet --destdir "$tmp/root" >"$tmp/install.log" 2>&1 ||
	{ cat "$tmp/install.log"; exit 1; }
lib=$(find "$tmp/root" -name libcaisson-vhd.so.0)
[[ -n $lib ]] || complain "no libcaisson-vhd.so.0 was installed"
objdump -p "$lib" | grep -q 'SONAME *libcaisson-vhd.so.0$' || complain "its soname is not libcaisson-vhd.so.0"

# What is exported is what the header declares.
header=$(find "$tmp/root" -path '*/include/caisson/vhd.h')
cc -E -P "$header" | tr '\n' ' ' | tr ';' '\n' | sed -E 's/__attribute__ *\(\([a-z_]*\)\)//g' |
	sed -nE 's/^[^(]*\b(vhd_[a-z0-9_]+) *\(.*/\1/p' |
	sort -u >"$tmp/declared"
nm -D --defined-only "$lib" | awk '$2 == "T" || $2 == "D" || $2 == "B" || $2 == "R" { sub(/@.*/, "", $3); print $3 }' |
	sort -u >"$tmp/exported"
[[ $(wc -l <"$tmp/declared") -gt 30 ]] || complain "the header was not understood"
diff "$tmp/declared" "$tmp/exported" || complain "declared (<) and exported (>) differ"

# A program in C, and the header in C++ and alone with strict options.
pc=$(dirname "$(find "$tmp/root" -name libcaisson-vhd.pc)")
flags=$(PKG_CONFIG_SYSROOT_DIR=$tmp/root PKG_CONFIG_LIBDIR=$pc PKG_CONFIG_PATH=$pc pkg-config --cflags --libs libcaisson-vhd)
read -ra flags <<<"$flags"
example=$(find "$tmp/root" -name vhd-copy.c)
cc -std=c11 -Wall -Wextra -Wpedantic -Werror -o "$tmp/vhd-copy" "$example" "${flags[@]}"
if [[ -n $(type -P c++) ]]; then
	echo '#include <caisson/vhd.h>' >"$tmp/a.cc"
	c++ -Wall -Wextra -Werror -fsyntax-only "$tmp/a.cc" "${flags[@]}"
fi

# It does what it says: a chain of two becomes the bytes that were written.
caisson=$build/src/cli/caisson
head -c 3000000 /dev/urandom >"$tmp/want"
truncate -s 8M "$tmp/want"
"$caisson" disk convert -f raw -O vhd "$tmp/want" "$tmp/base.vhd" >/dev/null
"$caisson" disk snapshot "$tmp/base.vhd" "$tmp/leaf.vhd" >/dev/null
LD_LIBRARY_PATH=$(dirname "$lib") "$tmp/vhd-copy" "$tmp/leaf.vhd" "$tmp/got" >"$tmp/out" 2>/dev/null
cmp "$tmp/want" "$tmp/got"
grep -q 'leaf.vhd: differencing, 8388608 bytes' "$tmp/out" || complain "the leaf was not told"
grep -q 'base.vhd: dynamic, 8388608 bytes' "$tmp/out" || complain "the parent was not told"
if LD_LIBRARY_PATH=$(dirname "$lib") "$tmp/vhd-copy" "$tmp/want" "$tmp/other" 2>"$tmp/err"; then
	complain "a file that is no VHD was copied"
fi
grep -q 'want' "$tmp/err" || complain "the error does not name the file"

# Man pages are installed and have no errors.
for page in libcaisson-vhd.3 nbdkit-caisson-vhd-plugin.1; do
	file=$(find "$tmp/root" -name "$page")
	[[ -n $file ]] || complain "$page is not installed"
	[[ -z $(type -P groff) ]] || ! groff -man -Tutf8 -ww -z "$file" 2>&1 | grep . || complain "$page"
done
