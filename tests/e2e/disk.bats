#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# disk.bats - the commands of "caisson disk": no machine is started here
# shellcheck disable=SC2314,SC2315

setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() {
	local m
	for m in "$BATS_TEST_TMPDIR"/mnt*; do
		! mountpoint -q "$m" || umount -l "$m"
	done
}

field() { caisson disk info --format "{{.$2}}" "$1"; }
reads_as() { # IMAGE reads as the raw FILE
	caisson disk convert --force -f vhd -O raw "$1" reads_as.tmp >/dev/null && cmp "$2" reads_as.tmp
}
raw_random() { # FILE KIB SIZE: random bytes, then a hole
	head -c "$(($2 * 1024))" /dev/urandom >"$1"
	truncate -s "$3" "$1"
}
# Bytes into an image, through qemu (no child: qemu reads no chains) or through a mount
poke() { qemu-io -f vpc -c "write -P $2 $3 $4" "$1" >/dev/null; }
poke_chain() { # IMAGE PATTERN OFFSET LENGTH
	mkdir -p mnt-poke
	caisson disk mount "$1" mnt-poke
	head -c "$4" /dev/zero | tr '\0' "$(printf '\\%o' "$2")" |
		dd of=mnt-poke/disk.raw bs="$4" seek="$3" oflag=seek_bytes conv=notrunc,fsync iflag=fullblock status=none
	caisson disk umount mnt-poke
}

@test "create: sizes, types, block sizes, profiles" {
	[ "$(caisson disk create a.vhd 10m)" = a.vhd ]
	[ "$(field a.vhd Type) $(field a.vhd Size) $(field a.vhd BlockSize) $(field a.vhd Blocks)" = "dynamic 10485760 2097152 5" ] || complain "dynamic"
	[ "$(stat -c %s a.vhd)" -lt 16384 ] || complain "an empty dynamic disk is large"
	caisson disk create -t fixed f.vhd 3m >/dev/null
	[ "$(field f.vhd Type) $(stat -c %s f.vhd)" = "fixed $((3 << 20 | 512))" ] || complain "fixed"
	[ "$(stat -c %b f.vhd)" -lt 100 ] || complain "an empty fixed disk takes space"
	caisson disk create --block-size 512k b.vhd 1.5g >/dev/null
	[ "$(field b.vhd BlockSize) $(field b.vhd Size)" = "524288 1610612736" ] || complain "block size"
	caisson disk create big.vhd 2040g >/dev/null
	[ "$(field big.vhd Size)" = $((2040 << 30)) ] || complain "the largest"
	caisson disk create --for azure z.vhd 2m >/dev/null
	[ "$(field z.vhd Type)" = fixed ] || complain "azure: not fixed"
	caisson disk create --for xenserver x.vhd 2m >/dev/null
	[ "$(field x.vhd Creator) $(field x.vhd Batmap)" = "tap true" ] || complain "xenserver: $(field x.vhd Creator)"
	caisson disk create --for hyperv h.vhd 2m >/dev/null
	[ "$(field h.vhd Creator)" = win ] || complain "hyperv"
	for f in a b h x; do
		qemu-img info -f vpc $f.vhd >/dev/null || complain "qemu-img does not open $f.vhd"
		caisson disk check $f.vhd || complain "check $f.vhd"
	done
	all_right
}

@test "create: what is refused leaves nothing" {
	fails_with 125 'invalid size' caisson disk create a.vhd 2041g || complain "too large"
	fails_with 125 'invalid size' caisson disk create a.vhd 0 || complain "zero"
	fails_with 125 'whole sectors' caisson disk create a.vhd 1000 || complain "no whole sectors"
	fails_with 125 'invalid size' caisson disk create a.vhd ten || complain "no number"
	fails_with 125 'invalid type' caisson disk create -t thin a.vhd 1m || complain "type"
	fails_with 125 'invalid block size' caisson disk create --block-size 3m a.vhd 1m || complain "block size"
	fails_with 125 'invalid value.*--for' caisson disk create --for vmware a.vhd 1m || complain "profile"
	fails_with 1 'MiB|azure' caisson disk create --for azure a.vhd 1536k || complain "azure, half a MiB"
	fails_with 1 'requires exactly 2' caisson disk create a.vhd || complain "one argument"
	fails_with 1 'no-such' caisson disk create no-such/a.vhd 1m || complain "directory"
	[ -z "$(ls)" ] || complain "left: $(ls)"
	echo precious >a.vhd
	fails_with 1 'a.vhd.*exists' caisson disk create a.vhd 1m || complain "existing file"
	[ "$(cat a.vhd)" = precious ] || complain "the existing file was changed"
	caisson disk create -f a.vhd 1m >/dev/null && caisson disk check a.vhd >/dev/null || complain "--force"
	all_right
}

@test "info: for people, as JSON, by template; no VHD" {
	caisson disk create a.vhd 64m >/dev/null
	caisson disk snapshot a.vhd b.vhd >/dev/null
	caisson disk info b.vhd >out
	grep -qx 'Type: *differencing' out || complain "type"
	grep -qx 'Size: *67.11MB (67108864 bytes)' out || complain "size"
	grep -qx 'Locator W2ru: *./a.vhd' out || complain "locator"
	[ "$(caisson disk info --format json b.vhd | jq -r '.Type, .Size, .ParentID, .Locators[0].Path')" = \
		"differencing"$'\n'67108864$'\n'"$(field a.vhd ID)"$'\n'"./a.vhd" ] || complain "JSON"
	# a digest is of what the disk reads
	[ "$(caisson disk info --digest --format '{{.Digest}}' b.vhd)" = "sha256:$(head -c 64M /dev/zero | sha256sum | cut -d' ' -f1)" ] ||
		complain "digest"
	rm a.vhd
	caisson disk info b.vhd >/dev/null || complain "info needs the parent"
	fails_with 1 'a.vhd' caisson disk info --digest b.vhd || complain "a digest without the parent"
	head -c 100000 /dev/urandom >c.vhd
	fails_with 1 '^caisson: c.vhd: no VHD: footer at offset 99488: cookie: .*; copy at 0: cookie: ' caisson disk info c.vhd ||
		complain "no VHD"
	fails_with 1 'no-such.vhd: No such file' caisson disk info no-such.vhd || complain "no file"
	mkfifo fifo
	fails_with 1 'fifo' caisson disk info fifo || complain "a pipe"
	all_right
}

@test "info: a name that drives a terminal does not" {
	caisson disk create $'a\e[31m.vhd' 1m >/dev/null
	caisson disk snapshot $'a\e[31m.vhd' b.vhd >/dev/null
	script -qec "caisson disk info b.vhd" /dev/null >out
	grep -q 'Parent:' out
	! grep -q $'\e\\[31m' out || return 1
}

@test "snapshot and ls-chain: a chain of four, moved and broken" {
	caisson disk create d0.vhd 8m >/dev/null
	poke d0.vhd 17 0 65536
	for i in 1 2 3; do
		caisson disk snapshot d$((i - 1)).vhd d$i.vhd >/dev/null
		poke_chain d$i.vhd $((32 + i)) $((i * 1048576)) 4096
	done
	caisson disk ls-chain d3.vhd >out
	[ "$(wc -l <out)" = 5 ] || complain "lines: $(cat out)"
	[ "$(caisson disk ls-chain --format '{{.Depth}} {{.Type}}' d3.vhd | tr '\n' ,)" = \
		"0 differencing,1 differencing,2 differencing,3 dynamic," ] || complain "types"
	caisson disk ls-chain -q d3.vhd | tail -n 1 | grep -q 'd0.vhd$' || complain "-q"
	[ "$(caisson disk ls-chain --format json d3.vhd | jq -r .SizeBytes | sort -u)" = 8388608 ] || complain "JSON"
	truncate -s 8M want
	qemu-io -f raw -c 'write -P 17 0 65536' -c 'write -P 33 1M 4k' -c 'write -P 34 2M 4k' -c 'write -P 35 3M 4k' want >/dev/null
	reads_as d3.vhd want || complain "data"
	# all in another directory: relative names hold
	mkdir moved && mv d?.vhd moved
	caisson disk convert moved/d3.vhd got.raw >/dev/null && cmp got.raw want || complain "moved"
	# the parent elsewhere: only where it may lie
	mkdir base && mv moved/d0.vhd base
	fails_with 1 'd0.vhd|parent' caisson disk ls-chain moved/d3.vhd || complain "a missing parent"
	mv base/d0.vhd d0.vhd
	ln -s ../d0.vhd moved/d0.vhd
	fails_with 1 'd0.vhd|parent' caisson disk ls-chain moved/d3.vhd || complain "a link out of the directory"
	caisson disk ls-chain --parent-root . moved/d3.vhd >/dev/null || complain "--parent-root"
	fails_with 1 '.' caisson disk ls-chain --parent-root base moved/d3.vhd || complain "another --parent-root"
	rm moved/d0.vhd
	# not its parent
	caisson disk create moved/d0.vhd 8m >/dev/null
	fails_with 1 'd0.vhd' caisson disk ls-chain moved/d3.vhd || complain "another parent of the same name"
	# a loop
	cd moved && cp d3.vhd d1.vhd
	fails_with 1 '.' timeout 10 caisson disk ls-chain --any-parent d3.vhd || complain "a loop"
	all_right
}

@test "snapshot: refused over what is no disk, over itself, smaller" {
	caisson disk create a.vhd 8m >/dev/null
	echo text >text
	fails_with 1 'text' caisson disk snapshot text b.vhd || complain "text"
	fails_with 1 'its own parent' caisson disk snapshot a.vhd a.vhd || complain "itself"
	ln -s a.vhd link.vhd
	fails_with 1 'its own parent' caisson disk snapshot --force a.vhd a.vhd || complain "itself, by force"
	fails_with 1 'its own parent' caisson disk snapshot --force a.vhd link.vhd || complain "itself, by a link"
	caisson disk snapshot a.vhd c.vhd >/dev/null
	fails_with 1 'stands on it' caisson disk snapshot --force c.vhd a.vhd || complain "its parent, by force"
	fails_with 1 '.' caisson disk snapshot --size 4m a.vhd b.vhd || complain "smaller"
	fails_with 1 'no-such' caisson disk snapshot no-such.vhd b.vhd || complain "nothing"
	[ ! -e b.vhd ] || complain "b.vhd was left"
	caisson disk check a.vhd >/dev/null || complain "a.vhd was changed"
	caisson disk snapshot --size 16m a.vhd b.vhd >/dev/null
	[ "$(field b.vhd Size)" = 16777216 ] || complain "larger"
	all_right
}

@test "convert: raw, VHDs, qcow2, vmdk, vhdx, there and back" {
	raw_random want 1500 16M
	dd if=/dev/urandom of=want bs=4096 count=3 seek=3000 conv=notrunc status=none
	caisson disk convert -f raw want dynamic.vhd >/dev/null
	[ "$(stat -c %s dynamic.vhd)" -lt $((6 << 20)) ] || complain "holes were filled"
	caisson disk convert -f raw -O vhd-fixed want fixed.vhd >/dev/null
	[ "$(field fixed.vhd Type)" = fixed ] || complain "vhd-fixed"
	caisson disk convert --for azure dynamic.vhd azure.vhd >/dev/null
	[ "$(field azure.vhd Type)" = fixed ] || complain "--for azure"
	caisson disk convert fixed.vhd back.vhd >/dev/null
	[ "$(field back.vhd Type)" = dynamic ] || complain "fixed to dynamic"
	for f in dynamic fixed azure back; do
		reads_as $f.vhd want || complain "$f"
		qemu-img compare -f vpc -F raw $f.vhd want >/dev/null || complain "$f, by qemu-img"
	done
	for f in qcow2 vmdk vhdx; do
		caisson disk convert dynamic.vhd a.$f >/dev/null || complain "to $f"
		qemu-img compare -f $f -F raw a.$f want >/dev/null || complain "$f is another"
		caisson disk convert a.$f from-$f.vhd >/dev/null || complain "from $f"
		reads_as from-$f.vhd want || complain "from $f: another"
		caisson disk convert -f $f -O raw a.$f from-$f.img >/dev/null || complain "$f to raw"
		cmp from-$f.img want || complain "$f to raw: another"
		caisson disk convert -f raw want b.$f >/dev/null || complain "raw to $f"
		qemu-img compare -f $f -F raw b.$f want >/dev/null || complain "raw to $f: another"
	done
	caisson disk convert a.qcow2 c.vmdk >/dev/null && qemu-img compare -f vmdk -F raw c.vmdk want >/dev/null || complain "qcow2 to vmdk"
	[ "$(stat -c %b a.qcow2)" -lt 8192 ] || complain "holes were filled on the way to qcow2"
	[ -z "$(find . -name '.caisson-*')" ] || complain "left: $(find . -name '.caisson-*')"
	all_right
}

@test "convert: a chain becomes one disk" {
	caisson disk create a.vhd 8m >/dev/null
	poke a.vhd 1 0 1M
	caisson disk snapshot a.vhd b.vhd >/dev/null
	poke_chain b.vhd 50 524288 1048576
	truncate -s 8M want
	qemu-io -f raw -c 'write -P 1 0 1M' -c 'write -P 50 512k 1M' want >/dev/null
	caisson disk convert b.vhd one.qcow2 >/dev/null
	qemu-img compare -f qcow2 -F raw one.qcow2 want >/dev/null || complain "convert"
	[ "$(caisson disk flatten b.vhd flat.vhd)" = flat.vhd ] || complain "flatten says"
	[ "$(field flat.vhd Type)" = dynamic ] && reads_as flat.vhd want || complain "flatten"
	caisson disk flatten -t fixed b.vhd flatfixed.vhd >/dev/null
	[ "$(field flatfixed.vhd Type)" = fixed ] && reads_as flatfixed.vhd want || complain "flatten to fixed"
	fails_with 1 'flat.vhd.*exists' caisson disk flatten b.vhd flat.vhd || complain "an existing file"
	all_right
}

@test "convert: images that name other files are refused" {
	echo 'the secret' >secret
	truncate -s 1M secret
	qemu-img create -q -f qcow2 -b "$PWD/secret" -F raw backing.qcow2
	qemu-img create -q -f qcow2 -o data_file="$PWD/secret.data" data.qcow2 1M
	qemu-img create -q -f vmdk -o subformat=monolithicFlat flat.vmdk 1M
	printf '%s\n' '# Disk DescriptorFile' 'version=1' 'CID=12345678' 'parentCID=ffffffff' 'createType="monolithicFlat"' \
		"RW 2048 FLAT \"$PWD/secret\" 0" >evil.vmdk
	fails_with 1 'backing file' caisson disk convert backing.qcow2 out.vhd || complain "a backing file"
	fails_with 1 'data file' caisson disk convert data.qcow2 out.vhd || complain "a data file"
	fails_with 1 'other files' caisson disk convert flat.vmdk out.vhd || complain "an extent"
	fails_with 1 'other files' caisson disk convert evil.vmdk out.vhd || complain "a foreign extent"
	# the format is not guessed: the backing file of a "raw" disk is just bytes
	cp backing.qcow2 guest.raw
	caisson disk convert guest.raw raw.vhd >/dev/null
	caisson disk convert raw.vhd back.qcow2 >/dev/null
	qemu-img convert -f qcow2 -O raw back.qcow2 back.raw
	cmp -n "$(stat -c %s guest.raw)" guest.raw back.raw || complain "a raw disk was taken for what it holds"
	! grep -q 'the secret' back.raw raw.vhd || complain "the secret is out"
	[ ! -e out.vhd ] || complain "out.vhd was made"
	[ -z "$(find . -name '.caisson-*')" ] || complain "left: $(find . -name '.caisson-*')"
	all_right
}

# taken_over WORDS PYTHON: a qemu-img that an image has taken over, in place of the true one; what it tries is told
taken_over() {
	mkdir -p bin
	printf '%s\n' '#!/usr/bin/python3 -I' 'import os, signal, socket' 'try:' "    said = $2" 'except OSError as e:' \
		'    said = "kept out"' 'os.write(2, b"qemu-img: %s\n" % str(said).encode())' 'os._exit(1)' >bin/qemu-img
	chmod 755 bin/qemu-img
	fails_with 1 "qemu-img: $1" env "PATH=$PWD/bin:$PATH" SECRET=hidden caisson disk convert v.vmdk stolen.raw
}

@test "convert: a qemu-img that is taken over reads no other file, and reaches nobody" {
	local server port try
	python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 1)' || skip "the kernel has no Landlock"
	echo 'the secret' >secret
	chmod 644 secret
	cp /bin/true tool
	qemu-img create -q -f vmdk v.vmdk 1M
	taken_over 'read KDMV' '"read " + open("/proc/self/fd/3", "rb").read(4).decode()' || complain "its image"
	port=$(free_port)
	python3 -m http.server --bind 127.0.0.1 "$port" >http.log 2>&1 3>&- &
	server=$!
	eventually 10 curl -s -o /dev/null "http://127.0.0.1:$port/"
	for try in "open('$PWD/secret').read()" "open('/etc/passwd').read()" "open('/proc/1/environ').read()" "open('$PWD/secret', 'a')" \
		"open('$PWD/made', 'w')" "open('/proc/self/fd/3', 'r+')" "os.unlink('$PWD/secret')" "os.listdir('$PWD')" \
		"socket.create_connection(('127.0.0.1', $port))" "socket.socket(socket.AF_UNIX)" "os.kill($server, 0)" "os.fork()" \
		"os.execv('$PWD/tool', ['tool'])"; do
		taken_over 'kept out' "$try" || complain "$try"
	done
	kill "$server"
	taken_over "\\['LC_ALL', 'MALLOC_ARENA_MAX'\\]" 'sorted(os.environ)' || complain "environment"
	[ "$(cat secret)" = 'the secret' ] && [ ! -e made ] && [ ! -e stolen.raw ] || complain "left: $(ls)"
	[ -z "$(find . -name '.caisson-*')" ] || complain "left: $(find . -name '.caisson-*')"
	all_right
}

@test "convert: root's qemu-img reads what only another user may" {
	[ "$(id -u)" = 0 ] || skip "only root reads files of others"
	truncate -s 1M want
	qemu-img convert -f raw -O qcow2 want theirs.qcow2
	chown 65534 theirs.qcow2
	chmod 600 theirs.qcow2
	caisson disk convert theirs.qcow2 got.raw >/dev/null
	cmp want got.raw
}

@test "convert: formats and files that are refused" {
	raw_random a.raw 10 1M
	cp a.raw a.img
	fails_with 125 'does not tell the format' caisson disk convert a.img a.vhd || complain "a format that the name does not tell"
	fails_with 125 'does not tell the format' caisson disk convert a.raw a.disk || complain "of the output"
	fails_with 125 'invalid format' caisson disk convert -f vdi a.img a.vhd || complain "an unknown format"
	fails_with 1 'a.img' caisson disk convert -f vhd a.img a.vhd || complain "raw as VHD"
	fails_with 1 'qemu-img' caisson disk convert -f qcow2 a.img a.vhd || complain "raw as qcow2"
	echo precious >b.vhd
	fails_with 1 'b.vhd.*exists' caisson disk convert a.raw b.vhd || complain "an existing file"
	fails_with 1 'b.vhd.*exists' caisson disk convert -O qcow2 a.raw b.vhd || complain "an existing file, by qemu-img"
	[ "$(cat b.vhd)" = precious ] || complain "the existing file was changed"
	caisson disk convert --force -O qcow2 a.raw b.vhd >/dev/null && qemu-img compare -f qcow2 -F raw b.vhd a.raw >/dev/null || complain "--force"
	caisson disk convert a.raw 'nbd:,:a.qcow2' >/dev/null || complain "a name like an URL"
	caisson disk convert 'nbd:,:a.qcow2' c.vhd >/dev/null && reads_as c.vhd a.raw || complain "from a name like an URL"
	[ ! -e a.vhd ] || complain "left: $(ls)"
	# no whole sectors: zeros follow, nothing is cut off
	printf x >>a.raw
	caisson disk convert a.raw d.vhd >/dev/null || complain "no whole sectors"
	truncate -s $((1048576 + 512)) a.raw
	reads_as d.vhd a.raw || complain "no whole sectors: data"
	[ -z "$(find . -name '.caisson-*')" ] || complain "left: $(find . -name '.caisson-*')"
	all_right
}

@test "convert: ctrl-c leaves nothing" {
	truncate -s 40G a.raw
	for i in $(seq 0 63); do dd if=/dev/urandom of=a.raw bs=1M count=2 seek=$((i * 600)) conv=notrunc status=none; done
	for to in a.vhd a.qcow2; do
		setsid caisson disk convert a.raw $to >/dev/null 2>&1 3>&- &
		pid=$!
		sleep 0.05
		kill -INT -- -$pid 2>/dev/null
		if wait $pid; then # it was faster
			rm $to
			continue
		fi
		[ ! -e $to ] || complain "$to is there"
		[ "$(ls -A)" = a.raw ] || complain "left by $to: $(ls -A)"
	done
	all_right
}

@test "coalesce: into the parent, over levels, and what it says" {
	caisson disk create d0.vhd 8m >/dev/null
	for i in 1 2 3; do
		caisson disk snapshot d$((i - 1)).vhd d$i.vhd >/dev/null
		poke_chain d$i.vhd $((48 + i)) $((i * 65536)) 131072
	done
	caisson disk convert d3.vhd want.raw >/dev/null
	[ "$(caisson disk coalesce --format json d3.vhd | jq .Moved)" = 131072 ] || complain "one level: moved"
	reads_as d2.vhd want.raw || complain "one level"
	caisson disk coalesce -n 2 d2.vhd >out
	grep -q '^Moved: ' out || complain "says"
	reads_as d0.vhd want.raw || complain "two levels"
	caisson disk check d0.vhd >/dev/null || complain "check"
	fails_with 1 '.' caisson disk coalesce d0.vhd || complain "no parent"
	fails_with 1 '.' caisson disk coalesce -n 3 d2.vhd || complain "more levels than there are"
	fails_with 125 'levels' caisson disk coalesce -n 0 d2.vhd || complain "no level"
	fails_with 125 'levels' caisson disk coalesce -n 128 d2.vhd || complain "too many levels"
	all_right
}

@test "resize: grow, shrink where it is empty, relative sizes" {
	caisson disk create a.vhd 8m >/dev/null
	poke a.vhd 7 0 4096
	[ "$(caisson disk resize a.vhd 16m)" = a.vhd ]
	[ "$(field a.vhd Size)" = 16777216 ] || complain "grow"
	caisson disk resize a.vhd +16m >/dev/null
	[ "$(field a.vhd Size)" = 33554432 ] || complain "+"
	caisson disk resize -- a.vhd -30m >/dev/null
	[ "$(field a.vhd Size)" = 2097152 ] || complain "-"
	caisson disk resize a.vhd 8m >/dev/null
	poke a.vhd 9 6M 4096
	fails_with 1 'a.vhd' caisson disk resize a.vhd 4m || complain "data was cut off"
	fails_with 125 'invalid size' caisson disk resize a.vhd 3000g || complain "too large"
	fails_with 125 'smaller' caisson disk resize -- a.vhd -9m || complain "below nothing"
	fails_with 1 'no-such' caisson disk resize no-such.vhd 1m || complain "nothing"
	truncate -s 8M want
	qemu-io -f raw -c 'write -P 7 0 4k' -c 'write -P 9 6M 4k' want >/dev/null
	reads_as a.vhd want || complain "data"
	caisson disk check a.vhd >/dev/null || complain "check"
	all_right
}

@test "compact: gives back zeros, says so before" {
	caisson disk create a.vhd 32m >/dev/null
	poke a.vhd 1 0 32M
	poke a.vhd 0 2M 20M
	before=$(stat -c %s a.vhd) sum=$(sha256sum <a.vhd)
	caisson disk compact --dry-run a.vhd >out
	grep -q '^Would be done: 10 blocks' out || complain "dry run: $(cat out)"
	[ "$(sha256sum <a.vhd)" = "$sum" ] || complain "the dry run changed it"
	[ "$(caisson disk compact --format json a.vhd | jq -c '[.BlocksFreed, .DryRun]')" = '[10,false]' ] || complain "JSON"
	[ "$(stat -c %s a.vhd)" -lt $((before - (19 << 20))) ] || complain "the file is as large"
	truncate -s 32M want
	qemu-io -f raw -c 'write -P 1 0 2M' -c 'write -P 1 22M 10M' want >/dev/null
	reads_as a.vhd want || complain "data"
	caisson disk check a.vhd >/dev/null || complain "check"
	all_right
}

@test "check and repair: what is found, told and mended" {
	raw_random want.raw 3000 8M
	caisson disk convert want.raw a.vhd >/dev/null
	[ "$(caisson disk check a.vhd)" = "No errors were found." ] || complain "a good disk: $(caisson disk check a.vhd)"
	[ -z "$(caisson disk check --format json a.vhd)" ] || complain "a good disk, JSON"
	[ "$(caisson disk repair -y a.vhd)" = "There is nothing that can be mended." ] || complain "a good disk is mended"
	# an entry of the table that points outside is an error
	cp a.vhd bad.vhd
	printf '\x7f\xff\xff\x00' | dd of=bad.vhd bs=1 seek=1536 conv=notrunc status=none
	fails_with 2 'error.*bad.vhd' caisson disk check bad.vhd || complain "an entry outside"
	fails_with 2 '' caisson disk check -q --format '{{.Severity}}' bad.vhd || complain "an entry outside, by template"
	[ "$(caisson disk check --format json bad.vhd | jq -r 'select(.Severity == "error") | .Offset' | head -n 1)" = 1536 ] ||
		complain "JSON: $(caisson disk check --format json bad.vhd)"
	caisson disk info bad.vhd | grep -q '^Problem:' || complain "info does not say it"
	# a lost footer has a copy: a warning, and it can be mended
	dd if=/dev/zero of=a.vhd bs=512 seek=$(($(stat -c %s a.vhd) / 512 - 1)) count=1 conv=notrunc status=none
	sum=$(sha256sum <a.vhd)
	fails_with 0 'warning.*a.vhd.*footer' caisson disk check a.vhd || complain "a lost footer"
	caisson disk info a.vhd | grep -q '^Problem:.*footer' || complain "info does not say it is lost"
	caisson disk repair a.vhd >out
	grep -q 'Nothing was changed' out || complain "dry run: $(cat out)"
	[ "$(sha256sum <a.vhd)" = "$sum" ] || complain "the dry run changed it"
	caisson disk repair --write a.vhd >out
	grep -q '^Mended: 1' out || complain "repair: $(cat out)"
	[ "$(caisson disk check a.vhd)" = "No errors were found." ] || complain "after the repair"
	reads_as a.vhd want.raw || complain "data"
	[ "$(caisson disk repair -y a.vhd)" = "There is nothing that can be mended." ] || complain "again"
	fails_with 1 'no-such' caisson disk check no-such.vhd || complain "nothing"
	head -c 5000 /dev/urandom >b.vhd
	fails_with '[12]' 'b.vhd' caisson disk check b.vhd || complain "no VHD"
	all_right
}

@test "diff: ranges, chains, exit code" {
	caisson disk create a.vhd 8m >/dev/null
	poke a.vhd 5 0 65536
	cp a.vhd same.vhd
	caisson disk snapshot a.vhd b.vhd >/dev/null
	poke_chain b.vhd 51 1048576 4096
	poke_chain b.vhd 5 0 4096 # what is there already
	[ -z "$(caisson disk diff --format json a.vhd same.vhd)" ] || complain "a copy differs"
	[ "$(caisson disk diff --format '{{.Offset}}+{{.Length}}' a.vhd b.vhd)" = 1048576+4096 ] || complain "ranges: $(caisson disk diff a.vhd b.vhd)"
	caisson disk diff --exit-code -q a.vhd same.vhd || complain "exit code of equals"
	fails_with 2 '' caisson disk diff --exit-code a.vhd b.vhd || complain "exit code"
	[ -z "$(caisson disk diff -q a.vhd b.vhd)" ] || complain "-q is not quiet"
	fails_with 1 'no-such' caisson disk diff a.vhd no-such.vhd || complain "nothing"
	all_right
}

@test "reparent: another place, another disk" {
	mkdir base
	caisson disk create base/a.vhd 8m >/dev/null
	poke base/a.vhd 5 0 65536
	caisson disk snapshot base/a.vhd b.vhd >/dev/null
	poke_chain() { :; }
	cp base/a.vhd copy.vhd
	caisson disk reparent --parent-root . b.vhd copy.vhd >/dev/null
	[ "$(field b.vhd ParentName)" = copy.vhd ] || complain "name: $(field b.vhd ParentName)"
	rm -r base
	caisson disk ls-chain -q b.vhd | tail -n 1 | grep -q 'copy.vhd$' || complain "chain"
	caisson disk create other.vhd 8m >/dev/null
	fails_with 1 '.' caisson disk reparent b.vhd other.vhd || complain "another disk"
	caisson disk reparent --any-parent b.vhd other.vhd >/dev/null || complain "another disk, by force"
	caisson disk ls-chain -q b.vhd | tail -n 1 | grep -q 'other.vhd$' || complain "chain, by force"
	fails_with 1 '.' caisson disk reparent --any-parent b.vhd b.vhd || complain "itself"
	fails_with 1 'other.vhd' caisson disk reparent other.vhd copy.vhd || complain "of a disk without parents"
	all_right
}

can_mount() { [ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || skip "needs root and /dev/fuse"; }
watcher() { getfattr --only-values -n user.caisson.watcher "$1"; }

@test "mount: read, write, holes, sync, umount" {
	can_mount
	mkdir mnt
	raw_random want 3000 16M
	caisson disk convert -f raw want a.vhd >/dev/null
	caisson disk mount a.vhd mnt
	[ "$(ls mnt)" = disk.raw ] || complain "ls: $(ls mnt)"
	[ "$(stat -c %s mnt/disk.raw)" = 16777216 ] || complain "size"
	cmp mnt/disk.raw want || complain "data"
	[ "$(du -k mnt/disk.raw | cut -f1)" -lt 8192 ] || complain "du"
	python3 - mnt/disk.raw <<-'P' || complain "holes are not told"
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		hole = os.lseek(fd, 0, os.SEEK_HOLE)
		assert 3000 << 10 <= hole <= 4 << 20, hole
		assert os.lseek(fd, 1000, os.SEEK_DATA) == 1000
		try: sys.exit("data at %d" % os.lseek(fd, 8 << 20, os.SEEK_DATA))
		except OSError as e: assert e.errno == 6, e
		assert os.lseek(fd, 8 << 20, os.SEEK_HOLE) == 8 << 20
	P
	for op in 'write -P 7 1000 5000' 'write -P 8 12345678 100000' 'write -z 512k 64k' 'discard 1M 512k' 'write -P 9 16777215 1'; do
		qemu-io -f raw -c "$op" mnt/disk.raw >/dev/null || complain "$op"
		qemu-io -f raw -c "$op" want >/dev/null
	done
	dd if=/dev/zero of=mnt/disk.raw bs=1 seek=16777216 count=1 conv=notrunc status=none 2>/dev/null && complain "a write past the end"
	truncate -s 1M mnt/disk.raw 2>/dev/null && complain "truncated"
	touch mnt/other 2>/dev/null && complain "another file was made"
	rm -f mnt/disk.raw 2>/dev/null && complain "it was removed"
	cmp mnt/disk.raw want || complain "data after writes"
	fails_with 1 'a.vhd: in use' caisson disk resize a.vhd 32m || complain "the image is not locked"
	caisson disk umount mnt
	reads_as a.vhd want || complain "data after umount"
	caisson disk check a.vhd >/dev/null || complain "check"
	[ -z "$(ls mnt)" ] || complain "still mounted"
	all_right
}

@test "mount: read-only, foreground, refusals" {
	can_mount
	mkdir mnt plain
	raw_random want 100 1M
	caisson disk convert -f raw want a.vhd >/dev/null
	sum=$(sha256sum <a.vhd)
	caisson disk mount --read-only a.vhd mnt
	fails dd if=/dev/zero of=mnt/disk.raw bs=1 count=1 conv=notrunc status=none 2>/dev/null || complain "written"
	cmp mnt/disk.raw want || complain "data"
	caisson disk ls-chain a.vhd >/dev/null || complain "others cannot read it"
	caisson disk umount mnt
	[ "$(sha256sum <a.vhd)" = "$sum" ] || complain "the image was changed"
	caisson disk mount --foreground a.vhd mnt 3>&- &
	pid=$!
	eventually 10 test -e mnt/disk.raw || complain "not mounted"
	kill -TERM $pid
	wait $pid || complain "foreground: exit code $?"
	[ -z "$(ls mnt)" ] || complain "foreground: still mounted"
	fails_with 1 'no-such' caisson disk mount a.vhd no-such || complain "no directory"
	fails_with 1 'Not a directory' caisson disk mount a.vhd want || complain "a file"
	fails_with 1 'want' caisson disk mount want mnt || complain "no VHD"
	fails_with 1 'no-such.vhd' caisson disk mount no-such.vhd mnt || complain "no image"
	fails_with 1 'nothing that caisson mounted' caisson disk umount plain || complain "umount of a plain directory"
	fails_with 1 'nothing that caisson mounted' caisson disk umount /proc || complain "umount of /proc"
	all_right
}

@test "mount: a killed server leaves no dead mount, and what was synced" {
	can_mount
	mkdir mnt
	caisson disk create a.vhd 8m >/dev/null
	caisson disk mount a.vhd mnt
	dd if=/dev/urandom of=synced bs=64k count=8 status=none
	dd if=synced of=mnt/disk.raw bs=64k conv=notrunc,fsync status=none
	dd if=/dev/urandom of=mnt/disk.raw bs=64k seek=64 count=8 conv=notrunc status=none
	w=$(watcher mnt)
	server=$(ps -o pid= --ppid "$w")
	kill -9 $server
	eventually 10 process_gone "$w" || complain "the watcher stays"
	fails mountpoint -q mnt || complain "a dead mount stays"
	caisson disk check a.vhd >/dev/null || complain "check"
	caisson disk convert a.vhd got.raw >/dev/null && cmp -n 524288 got.raw synced || complain "synced data is lost"
	all_right
}

@test "mount: for an ordinary user" {
	can_mount
	caisson disk create a.vhd 8m >/dev/null
	mkdir mnt-user
	mknod fuse c 10 229 && chmod 666 fuse
	chown 65534:65534 . a.vhd mnt-user
	chmod 755 . "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR"/* 2>/dev/null
	cat >user.sh <<-'S'
		set -e
		caisson disk mount a.vhd mnt-user
		[ "$(stat -c %u mnt-user/disk.raw)" = "$(id -u)" ]
		printf 'by a user' | dd of=mnt-user/disk.raw conv=notrunc,fsync status=none
		caisson disk umount mnt-user
	S
	# /dev/fuse as distributions have it, seen by this test alone
	env CAISSON_ROOT=$PWD/root CAISSON_RUN=$PWD/run unshare -m sh -c \
		'mount --bind fuse /dev/fuse && exec setpriv --reuid 65534 --regid 65534 --clear-groups sh user.sh'
	caisson disk convert a.vhd got.raw >/dev/null
	[ "$(head -c 9 got.raw)" = 'by a user' ]
}

@test "progress: a bar on a terminal, nothing in a pipe" {
	raw_random a.raw 2000 64M
	script -qec "caisson disk convert a.raw a.vhd" /dev/null >out
	grep -qa 'a.vhd: Working \[' out || complain "no bar"
	grep -qa 'a.vhd: Done' out || complain "no end"
	[ "$(caisson disk convert a.raw b.vhd 2>&1)" = b.vhd ] || complain "noise in a pipe"
	script -qec "caisson disk convert -q a.raw c.vhd" /dev/null >out
	! grep -qa Working out || complain "-q is not quiet"
	all_right
}

@test "usage: every command has help, and refuses what it does not know" {
	for c in create info ls-chain snapshot coalesce flatten resize compact check repair convert diff reparent mount umount; do
		caisson disk $c --help | grep -q "^Usage:  caisson disk $c" || complain "$c --help"
		fails_with 125 'unknown flag' caisson disk $c --no-such-flag || complain "$c --no-such-flag"
		fails_with 1 'requires exactly' caisson disk $c || complain "$c without arguments"
	done
	caisson disk | grep -q '^  ls-chain ' || complain "caisson disk"
	fails_with 1 'is not a caisson command' caisson disk explode || complain "explode"
	all_right
}
