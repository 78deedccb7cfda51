#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# vhd_operations.sh [BUILD] - disks made here and by qemu that were resized, compacted, coalesced and given
# another parent, as qemu and 7-Zip read them
# shellcheck disable=SC2016 # nbdkit expands $uri
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$top/build}
plugin=$build/src/nbdkit/nbdkit-caisson-vhd-plugin.so PATH=$build/src/cli:$PATH
for tool in qemu-img qemu-io 7zz nbdkit; do
	[[ -n $(type -P "$tool") ]] || { echo "skipped: $tool is not installed"; exit 77; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
complain() { echo "FAIL: $*"; exit 1; }

put() { # put IMAGE PATTERN OFFSET LENGTH: to IMAGE and to the file "model"
	nbdkit -U - "$plugin" file="$1" --run "qemu-io -f raw -c 'write -P $2 $3 $4' \$uri" >/dev/null
	qemu-io -f raw -c "write -P $2 $3 $4" model >/dev/null
}
foreign() { # the same by qemu, to an image that is all its own: in others its first new block has the old footer in it
	qemu-io -f vpc -c "write -P $2 $3 $4" "$1" >/dev/null
	qemu-io -f raw -c "write -P $2 $3 $4" model >/dev/null
}
seven() { # seven IMAGE: 7-Zip reads it as the model, chains too
	7zz e -so "$1" 2>7zz.err | cmp - model || { cat 7zz.err; complain "7-Zip on $1 after $step"; }
}
same() { # same IMAGE: everybody reads it as the model
	caisson disk check -q "$1" >check.out || { cat check.out; complain "check of $1 after $step"; }
	qemu-img convert -f vpc -O raw "$1" got.raw
	cmp got.raw model || complain "qemu on $1 after $step"
	rm got.raw
	seven "$1"
}
resize() { # resize IMAGE SIZE
	step="resize to $2"
	caisson disk resize "$1" "$2" >/dev/null
	truncate -s "${2^^}" model
	same "$1"
}

make_here() { caisson disk create "$@" a.vhd 20m >/dev/null; }
make_qemu() { qemu-img create -q -f vpc -o "force_size=on,subformat=$1" a.vhd 20M; }
for maker in "here --type dynamic" "here --for xenserver" "here --type fixed" "qemu dynamic" "qemu fixed"; do
	rm -f a.vhd model
	# shellcheck disable=SC2086 # its words are arguments
	make_$maker
	truncate -s 20M model
	[[ $maker == qemu* ]] && write=foreign || write=put
	$write a.vhd 17 1000k 5000k
	$write a.vhd 18 19m 1m
	resize a.vhd 33m
	put a.vhd 19 32m 1m
	if [[ $maker == *fixed ]]; then
		resize a.vhd 60m
		resize a.vhd 33m
		continue
	fi
	resize a.vhd 1100m # the table needs the place of the first block
	put a.vhd 20 1090m 3m
	step="writes to the end"
	same a.vhd
done

for maker in "here --type dynamic" "qemu dynamic"; do
	rm -f a.vhd model
	# shellcheck disable=SC2086
	make_$maker
	truncate -s 20M model
	[[ $maker == qemu* ]] && write=foreign || write=put
	$write a.vhd 33 0 20m
	$write a.vhd 0 1m 11m
	$write a.vhd 0 14m 2m
	before=$(stat -c %s a.vhd)
	step=compact
	caisson disk compact -q a.vhd >/dev/null
	(($(stat -c %s a.vhd) < before - (11 << 20))) || complain "$(stat -c %s a.vhd) bytes after compact"
	same a.vhd
	put a.vhd 34 2m 9m
	step="writes after compact"
	same a.vhd
done

rm -f a.vhd model
make_here --type dynamic
truncate -s 20M model
put a.vhd 50 3m 5m
caisson disk snapshot a.vhd b.vhd >/dev/null
put b.vhd 51 5000k 700k
put b.vhd 0 3500k 4k
caisson disk snapshot b.vhd c.vhd >/dev/null
put c.vhd 52 5100k 16k
step=snapshots
seven c.vhd
caisson disk coalesce -q b.vhd >/dev/null
step=coalesce
seven c.vhd
caisson disk reparent c.vhd a.vhd >/dev/null
rm b.vhd
step=reparent
seven c.vhd
caisson disk coalesce -q c.vhd >/dev/null
step="the last coalesce"
same a.vhd
