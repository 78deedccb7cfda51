#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# nbdkit.sh - the nbdkit plugin: what other programs write and read through it, compared with plain files
# shellcheck disable=SC2016 # nbdkit expands $uri and $unixsocket
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$top/build}
export plugin=$build/src/nbdkit/nbdkit-caisson-vhd-plugin.so PATH=$build/src/cli:$PATH
for tool in nbdkit nbdcopy nbdinfo qemu-img qemu-io; do
	[[ -n $(type -P "$tool") ]] || { echo "skipped: $tool is not installed"; exit 77; }
done
tmp=$(mktemp -d)
server=
end() {
	[[ -z $server ]] || kill "$server" 2>/dev/null || true
	rm -rf "$tmp"
}
trap end EXIT
cd "$tmp"
complain() { echo "FAIL: $*"; exit 1; }
serve() { # serve [NBDKIT'S FLAGS AND PARAMETERS...] -- COMMAND, which has $uri and $unixsocket
	local args=()
	while [[ $1 != -- ]]; do args+=("$1"); shift; done
	nbdkit -U "${socket:--}" "$plugin" "${args[@]}" --run "$2"
}
serve_boxed() { # the same with sandbox=1, in which nbdkit cannot remove its socket
	local socket=$tmp/boxed.sock
	serve sandbox=1 "$@"
	rm "$socket"
}
clean() { # no error is found in IMAGE
	caisson disk check "$1" >check.out || { cat check.out; complain "$1 has errors"; }
}
same() { # IMAGE reads as the raw FILE
	rm -f got.raw
	caisson disk convert -f vhd -O raw "$1" got.raw >/dev/null
	cmp "$2" got.raw || complain "$1 is not $2"
}
size=$((33 << 20))

# A file of data and holes, in by nbdcopy, out by nbdcopy and by the tool itself.
truncate -s $size model
dd if=/dev/urandom of=model bs=1M count=3 seek=5 conv=notrunc status=none
dd if=/dev/urandom of=model bs=512 count=7 seek=40001 conv=notrunc status=none
for type in dynamic fixed; do
	caisson disk create --type $type $type.vhd $size >/dev/null
	serve $type.vhd -- 'nbdcopy --destination-is-zero model "$uri"'
	serve -r $type.vhd -- 'nbdcopy "$uri" out.raw'
	cmp model out.raw
	serve $type.vhd -- 'nbdinfo --json "$uri"' >info.json
	for can in can_multi_conn can_trim can_zero can_fast_zero can_fua can_flush can_cache; do
		grep -q "\"$can\": true" info.json || complain "$type: $can is not true"
	done
	grep -q '"is_read_only": false' info.json || complain "$type: not writable"
	serve -r $type.vhd -- 'nbdinfo --json "$uri"' | grep -q '"is_read_only": true' || complain "$type: -r does not count"
	clean $type.vhd
	same $type.vhd model
done
[[ $(stat -c %s dynamic.vhd) -lt $((14 << 20)) ]] || complain "holes were allocated"

# Block status: what is in no block is a hole.
serve -r dynamic.vhd -- 'nbdinfo --map "$uri"' >map
awk -v size=$size '
	$1 != at { print "gap at " at; exit 1 }
	{ at += $2; if ($3 == 0) data += $2; else hole += $2 }
	END { if (at != size || data < 3145728 || hole < size / 2) { print at, data, hole; exit 1 } }' map || complain "map"

# A child over it: qemu-io writes at odd places, the model gets the same; the parent stays.
caisson disk snapshot dynamic.vhd leaf.vhd >/dev/null
sum=$(sha256sum <dynamic.vhd)
cat >ops <<-OPS
	write -P 0x11 0 4k
	write -P 0x22 6291000 1537
	write -f -P 0x33 20480512 512
	write -z -u 5767168 1M
	write -z 8388000 70000
	write -P 0x44 12582911 2097155
	flush
	discard 16M 2M
	write -P 0x55 34603007 1
OPS
cp model want
qemu-io -f raw want <ops >io.want
serve leaf.vhd -- 'qemu-io -f raw "nbd+unix:///?socket=$unixsocket" <ops' >io.got
! grep -iE 'fail|error|invalid' io.got || complain "qemu-io"
# what was discarded may read as before or as zeros: not compared
clean leaf.vhd
rm -f got.raw
caisson disk convert -f vhd -O raw leaf.vhd got.raw >/dev/null
cmp -n $((16 << 20)) want got.raw
cmp -i $((18 << 20)) want got.raw
[[ $(sha256sum <dynamic.vhd) = "$sum" ]] || complain "the parent was changed"

# Zeros whose sender does not allow trimming keep their space; others take none.
serve leaf.vhd -- 'qemu-io -f raw -c "write -z 24M 1M" -c "write -z -u 29M 1M" "nbd+unix:///?socket=$unixsocket"' >/dev/null
serve -r leaf.vhd -- 'nbdinfo --map "$uri"' >map
awk -v at=$((24 << 20)) '$1 <= at && at < $1 + $2 && $3 == 0 { ok = 1 } END { exit !ok }' map || complain "zeros without trim took no space"
awk -v at=$((29 << 20)) '$1 <= at && at < $1 + $2 && $3 == 3 { ok = 1 } END { exit !ok }' map || complain "zeros with trim took space"
same leaf.vhd got.raw

# qemu-img reads the same through the plugin, by list of images and by descriptors.
serve -r file=leaf.vhd parent=dynamic.vhd -- 'qemu-img compare -f raw -F raw got.raw "nbd+unix:///?socket=$unixsocket"' >/dev/null
serve -r file=/proc/self/fd/8 parent=/dev/fd/9 -- 'nbdcopy "$uri" fd.raw' 8<leaf.vhd 9<dynamic.vhd
cmp got.raw fd.raw
serve file=/proc/self/fd/8 parent=/proc/self/fd/9 -- 'qemu-io -f raw -c "write -P 0x66 1M 64k" "nbd+unix:///?socket=$unixsocket"' \
	8<>leaf.vhd 9<dynamic.vhd >/dev/null
qemu-io -f raw -c 'write -P 0x66 1M 64k' got.raw >/dev/null
cp got.raw want
same leaf.vhd want

# In its sandbox it does all of this too: a chain, data, zeros, space given back, its tail when it ends.
caisson disk snapshot leaf.vhd boxed.vhd >/dev/null
boxed=(file=/proc/self/fd/7 parent=/proc/self/fd/8 parent=/proc/self/fd/9)
serve_boxed "${boxed[@]}" -- 'qemu-io -f raw "nbd+unix:///?socket=$unixsocket" <ops' 7<>boxed.vhd 8<leaf.vhd 9<dynamic.vhd >io.got
! grep -iE 'fail|error|invalid' io.got || complain "qemu-io, sandbox"
qemu-io -f raw want <ops >/dev/null
clean boxed.vhd
rm -f boxed.raw
caisson disk convert -f vhd -O raw boxed.vhd boxed.raw >/dev/null
cmp -n $((16 << 20)) want boxed.raw
cmp -i $((18 << 20)) want boxed.raw
cp got.raw want
serve_boxed "${boxed[@]}" -- 'qemu-io -f raw -c "discard 0 33M" -c flush "nbd+unix:///?socket=$unixsocket"' \
	7<>boxed.vhd 8<leaf.vhd 9<dynamic.vhd >/dev/null
clean boxed.vhd
serve_boxed -r "${boxed[@]}" -- 'nbdcopy "$uri" boxed2.raw' 7<boxed.vhd 8<leaf.vhd 9<dynamic.vhd
caisson disk create --type fixed boxed-fixed.vhd $size >/dev/null
serve_boxed file=/dev/fd/7 -- 'nbdcopy --connections=4 --threads=4 model "$uri"' 7<>boxed-fixed.vhd
same boxed-fixed.vhd model

# What an intruder would try fails in it, in whichever thread; outside of it all would be had.
attempts() { # PARAMETERS...
	rm -f attempts.sock
	nbdkit -U attempts.sock --filter="$build/tests/unit/nbdkit/nbdkit-attempt-filter.so" "$plugin" file=/proc/self/fd/7 "$@" \
		--run 'nbdcopy "$uri" attempts' 7<>boxed-fixed.vhd
	tr -d '\0' <attempts
}
[[ $(attempts) = yyyyyyyy ]] || complain "attempts without a sandbox: $(attempts)"
[[ $(attempts sandbox=1) = nnnnnnnn ]] || complain "attempts in the sandbox: $(attempts sandbox=1)"

# Several connections write at the same time.
caisson disk create many.vhd $size >/dev/null
serve many.vhd -- 'nbdcopy --connections=4 --threads=4 --requests=16 --request-size=65536 --allocated model "$uri"'
clean many.vhd
same many.vhd model

# Refusals come before nbdkit goes to the background, and name the file.
refused() { # TEXT PARAMETERS...
	local text=$1
	shift
	if nbdkit -U refused.sock "$plugin" "$@" --run true 2>err; then complain "accepted: $*"; fi
	grep -qE "$text" err || { cat err; complain "$*: the error lacks $text"; }
}
refused 'file='
refused 'no-such.vhd' file=no-such.vhd
refused 'unknown parameter' file=leaf.vhd bad=1
refused 'given twice' file=leaf.vhd file=many.vhd
refused 'model' file=model
refused 'many.vhd|leaf.vhd' file=leaf.vhd parent=many.vhd
refused 'fd/8' file=/proc/self/fd/8 8<model
refused 'leaf.vhd|fd/8' file=/proc/self/fd/8 8<leaf.vhd
refused 'sandbox' file=leaf.vhd sandbox=1
refused 'sandbox' file=/proc/self/fd/8 parent=dynamic.vhd sandbox=1 8<leaf.vhd
refused 'sandbox|boolean' file=leaf.vhd sandbox=perhaps
mkdir elsewhere
refused 'dynamic.vhd' file=leaf.vhd roots=elsewhere

serve -r leaf.vhd -- 'nbdinfo "$uri" >/dev/null; ! caisson disk compact leaf.vhd 2>err' && grep -q 'in use' err ||
	complain "a served image can be changed"
serve leaf.vhd -- 'nbdinfo "$uri" >/dev/null; ! nbdkit -U refused.sock "$plugin" leaf.vhd --run true 2>err' && grep -q 'in use' err ||
	complain "an image is served by two"

# Killed while a client writes: what was flushed, in either way, is there, and nothing else is broken.
for ((i = 0; i < 64; i++)); do echo "write -P 0x99 $((8 << 20 | i << 18)) 256k"; done >unflushed
for how in flush fua; do
	caisson disk snapshot --force leaf.vhd killed.vhd >/dev/null
	cp want killed.want
	case $how in
	flush) printf '%s\n' 'write -P 0x77 3M 5M' 'write -P 0x78 30M 123456' flush ;;
	fua) printf '%s\n' 'write -P 0x77 3M 5M' 'write -f -P 0x78 30M 123456' ;;
	esac >flushed
	nbdkit -f -U killed.sock "$plugin" killed.vhd &
	server=$!
	for _ in $(seq 100); do [[ ! -S killed.sock ]] || break; sleep 0.05; done
	# writeback, since qemu-io else makes each write a FUA one; it flushes when it ends, which it never does
	{ cat flushed; echo 'sleep 100000'; } | qemu-io -t writeback -f raw "nbd+unix:///?socket=killed.sock" >io.flushed 2>&1 &
	flusher=$!
	for _ in $(seq 100); do [[ $(grep -c '^wrote' io.flushed) -lt 2 ]] || break; sleep 0.05; done
	sleep 0.2 # for the flush, which says nothing
	qemu-io -f raw killed.want <flushed >/dev/null
	qemu-io -t writeback -f raw "nbd+unix:///?socket=killed.sock" <unflushed >/dev/null 2>&1 &
	client=$!
	sleep 0.03
	kill -9 "$server"
	wait "$server" 2>/dev/null || true
	server=
	kill "$flusher" 2>/dev/null || true
	wait "$client" "$flusher" 2>/dev/null || true
	rm -f killed.sock
	clean killed.vhd
	rm -f got.raw
	caisson disk convert -f vhd -O raw killed.vhd got.raw >/dev/null
	cmp -n $((8 << 20)) killed.want got.raw || complain "$how: lost what was flushed"
	cmp -i $((24 << 20)) killed.want got.raw || complain "$how: lost what was flushed, at the end"
	# what was not flushed is old or new, sector by sector
	python3 - killed.want got.raw <<-'P'
		import sys
		want, got = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
		for at in range(8 << 20, 24 << 20, 512):
		    s = got[at:at + 512]
		    if s != want[at:at + 512] and s != b"\x99" * 512: sys.exit(f"neither old nor new at {at}")
	P
done
# and it can be written again
serve killed.vhd -- 'qemu-io -f raw -c "write -P 1 0 1M" "nbd+unix:///?socket=$unixsocket"' >/dev/null
clean killed.vhd
