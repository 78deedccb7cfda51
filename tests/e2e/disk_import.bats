#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# disk_import.bats - images of the root file systems of disks

bats_require_minimum_version 1.5.0
load lib

setup() {
	DISK=$BATS_TEST_TMPDIR/disk.raw
	NAME=$REGISTRY/imported
	files_before=$(find "$CAISSON_ROOT" -maxdepth 1 -type f | sort)
}

teardown() {
	# no file of the store's own directory, no worker is left by any run
	[ "$(find "$CAISSON_ROOT" -maxdepth 1 -type f | sort)" = "$files_before" ]
	! pgrep -f 'caisson-impor[t]' >/dev/null
}

# tree DIR: a root with a busybox and a little of everything
tree() {
	mkdir -p "$1"/{bin,etc,var/log,tmp,dev}
	cp /bin/busybox "$1/bin/busybox"
	ln "$1/bin/busybox" "$1/bin/sh"
	ln -s busybox "$1/bin/cat"
	ln -s /etc/motd "$1/etc/link"
	echo hello >"$1/etc/motd"
	chmod 4711 "$1/bin/sh"
	chmod 1777 "$1/tmp"
	chown 1234:70000 "$1/etc/motd"
	touch -d '2001-02-03 04:05:06.123456789Z' "$1/etc/motd"
	setfattr -n user.note -v kept "$1/etc/motd"
	truncate -s 3G "$1/var/log/lastlog"
	printf end | dd of="$1/var/log/lastlog" bs=1 seek=2G conv=notrunc status=none
	mkfifo "$1/tmp/fifo"
	mknod "$1/dev/null" c 1 3
	python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$1/tmp/s"
}

# ext DIR FILE OFFSET [OPTION...]: a file system of the tree, 64 MiB, at an offset of the file
ext() {
	local dir=$1 file=$2 off=$3
	shift 3
	truncate -s "$((off + (66 << 20)))" "$file"
	mke2fs -q -F -d "$dir" -E "offset=$off" "$@" "$file" 64m >/dev/null 2>&1
}

# mbr FILE START_MIB...: partitions of 64 MiB
mbr() {
	local file=$1 at
	shift
	for at in "$@"; do echo "$((at * 2048)),131072,L"; done |
		sfdisk -q --no-reread --no-tell-kernel -X "${LABEL:-dos}" "$file" >/dev/null 2>&1
}

import() { caisson disk import -q "$@"; }
refused() { # TEXT ARGUMENT...
	local text=$1
	shift
	run ! caisson disk import -q "$@" "$NAME:bad"
	[[ $output == *"$text"* ]] || {
		echo "$output"
		return 1
	}
	run ! caisson inspect --type image "$NAME:bad"
}

@test "an exported disk comes back as the image it was" {
	caisson disk export --bootable -q "$BUSYBOX" "$BATS_TEST_TMPDIR/b.vhd" >/dev/null
	import "$BATS_TEST_TMPDIR/b.vhd" "$NAME:back"
	[ "$(caisson inspect -f '{{json .Config.Cmd}} {{json .Config.Env}}' "$NAME:back")" = \
		"$(caisson inspect -f '{{json .Config.Cmd}} {{json .Config.Env}}' "$BUSYBOX")" ]
	tell='find / -xdev ! -path "/proc/*" ! -path "/etc/host*" ! -path /etc/resolv.conf ! -path /etc | sort |
		while read -r f; do stat -c "%n %a %u %g %F" "$f"; [ ! -f "$f" ] || md5sum <"$f"; done'
	caisson run --rm --network none "$NAME:back" sh -c "$tell" >"$BATS_TEST_TMPDIR/back"
	caisson run --rm --network none "$BUSYBOX" sh -c "$tell" >"$BATS_TEST_TMPDIR/first"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/first")" -gt 20 ]
	diff "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/back"
	caisson push -q "$NAME:back"
}

@test "what was written on an exported disk is a second layer, with whiteouts" {
	local oci=$BATS_TEST_TMPDIR/oci pid
	cp -r "$IMAGES_OCI" "$oci"
	umoci config --image "$oci:busybox" --tag change --config.cmd sh --config.cmd -c --config.cmd \
		'echo new >/etc/new; rm /bin/ls; rm -r /etc/ssl 2>/dev/null; mkdir -p /home/d; rm -rf /var; mkdir /var; echo v >/var/only; sync'
	caisson image import "$oci:change" "$REGISTRY/change:latest" >/dev/null
	caisson disk export --bootable -q "$REGISTRY/change:latest" "$BATS_TEST_TMPDIR/c.vhd" >/dev/null
	timeout 120 qemu-system-x86_64 -M pc -accel tcg -m 512 -display none -no-reboot -serial null -nic none \
		-drive "if=virtio,format=vpc,file=$BATS_TEST_TMPDIR/c.vhd" 3>&-
	import "$BATS_TEST_TMPDIR/c.vhd" "$NAME:changed"
	[ "$(caisson inspect -f '{{len .RootFS.Layers}}' "$NAME:changed")" = 2 ]
	run -0 caisson run --rm --network none "$NAME:changed" sh -c 'cat /etc/new; [ -e /bin/ls ] || echo gone; echo /var/*'
	[ "$output" = $'new\ngone\n/var/only' ]
}

@test "ext2, ext3 and ext4 on MBR, GPT and without a table" {
	tree "$BATS_TEST_TMPDIR/t"
	ext "$BATS_TEST_TMPDIR/t" "$DISK" $((1 << 20)) -t ext4
	debugfs -w -R 'sif /etc/motd mtime_extra 493827156' "$DISK?offset=1048576" >/dev/null 2>&1 # 123456789 << 2
	mbr "$DISK" 1
	id=$(import --change 'CMD ["/bin/sh", "-c", "cat /etc/motd"]' -c 'ENV A=1 B="2 3"' -m words "$DISK" "$NAME:mbr")
	[ "$(caisson run --rm --network none "$NAME:mbr")" = hello ]
	[ "$(caisson inspect -f '{{.Id}}' "$NAME:mbr")" = "$id" ]
	[ "$(caisson inspect -f '{{json .Config.Env}}' "$NAME:mbr")" = '["A=1","B=2 3"]' ]
	# all of what it is made of
	run -0 caisson run --rm --network none "$NAME:mbr" /bin/sh -c 'b=/bin/busybox
		$b stat -c "%a %u %g %y" /etc/motd; $b stat -c "%a %h" /bin/sh; $b readlink /etc/link
		$b stat -c %s /var/log/lastlog; $b tail -c 1073741824 /var/log/lastlog | $b head -c 3; echo
		$b stat -c %F /tmp/fifo; $b stat -c "%t %T %F" /dev/null; [ -e /tmp/s ] || echo none; $b stat -c %a /tmp'
	[ "$output" = $'644 1234 70000 2001-02-03 04:05:06.123456789 +0000\n4711 2\n/etc/motd\n3221225472\nend\nfifo\n1 3 character special file\nnone\n1777' ]
	rm "$DISK"
	ext "$BATS_TEST_TMPDIR/t" "$DISK" $((1 << 20)) -t ext3
	LABEL=gpt mbr "$DISK" 1
	import "$DISK" "$NAME:gpt"
	[ "$(caisson run --rm --network none "$NAME:gpt" /bin/cat /etc/motd)" = hello ]
	rm "$DISK"
	ext "$BATS_TEST_TMPDIR/t" "$DISK" 0 -t ext2
	import "$DISK" "$NAME:bare"
	[ "$(caisson run --rm --network none "$NAME:bare" /bin/cat /etc/motd)" = hello ]
}

@test "from fixed, dynamic and differencing VHDs, and from EROFS; the same tree is the same layer" {
	local layer=
	tree "$BATS_TEST_TMPDIR/t"
	ext "$BATS_TEST_TMPDIR/t" "$DISK" 0 -t ext4
	cd "$BATS_TEST_TMPDIR"
	caisson disk convert -q -O vhd-fixed disk.raw fixed.vhd
	caisson disk convert -q -O vhd-dynamic disk.raw dynamic.vhd
	caisson disk snapshot dynamic.vhd child.vhd
	mkfs.erofs "$BATS_TEST_TMPDIR/erofs.raw" t >/dev/null 2>&1
	for disk in disk.raw fixed.vhd dynamic.vhd child.vhd; do
		import "$disk" "$NAME:form"
		new=$(caisson inspect -f '{{json .RootFS.Layers}}' "$NAME:form")
		[ -z "$layer" ] || [ "$layer" = "$new" ]
		layer=$new
	done
	import erofs.raw "$NAME:erofs"
	[ "$(caisson run --rm --network none "$NAME:erofs" /bin/cat /etc/motd)" = hello ]
}

@test "refused, with the reason: what is no disk with one root" {
	tree "$BATS_TEST_TMPDIR/t"
	mkdir "$BATS_TEST_TMPDIR/empty"
	cd "$BATS_TEST_TMPDIR"
	truncate -s 1M zeros.raw
	refused 'no partitions' zeros.raw
	refused 'No such file' none.raw
	echo x >text.txt
	refused 'does not tell the format' text.txt
	ext empty data.raw $((1 << 20)) -t ext4
	mbr data.raw 1
	refused '1 (ext2/3/4)' data.raw
	ext t two.raw $((1 << 20)) -t ext4
	ext t two.raw $((66 << 20)) -t ext4
	mbr two.raw 1 66
	refused 'choose with --partition' two.raw
	refused 'no partition 7' --partition 7 two.raw
	import --partition 2 two.raw "$NAME:second"
	qemu-img create -q -f qcow2 q.qcow2 10M
	refused 'convert' q.qcow2
	mv q.qcow2 q.raw
	refused 'convert' q.raw
	cp two.raw cut.raw
	truncate -s 30M cut.raw
	refused 'does not lie on the disk' cut.raw
	refused 'none of CMD' -c 'RUN x' two.raw
}

@test "a journal that was not replayed, and damage everywhere, are refused or read; nothing breaks" {
	tree "$BATS_TEST_TMPDIR/t"
	cd "$BATS_TEST_TMPDIR"
	ext t d.raw 0 -t ext4
	cp d.raw dirty.raw
	debugfs -w -R 'feature +needs_recovery' dirty.raw >/dev/null 2>&1
	refused 'journal' dirty.raw
	for seed in 1 2 3 4 5 6 7 8; do
		cp d.raw bad.raw
		python3 - "$seed" <<-'P'
			import random, sys
			r = random.Random(int(sys.argv[1]))
			with open("bad.raw", "r+b") as f:
			    for _ in range(400):
			        f.seek(r.randrange(1024, 2 << 20))
			        f.write(bytes([r.randrange(256)]))
		P
		run timeout 60 caisson disk import -q --partition 0 bad.raw "$NAME:bad"
		[ "$status" -le 1 ] || {
			echo "seed $seed: $status $output"
			return 1
		}
	done
}

@test "SIGKILL and ctrl-c in the middle leave nothing" {
	tree "$BATS_TEST_TMPDIR/t"
	head -c 48M /dev/urandom >"$BATS_TEST_TMPDIR/t/var/noise"
	cd "$BATS_TEST_TMPDIR"
	ext t d.raw 0 -t ext4
	for signal in KILL INT TERM; do
		caisson disk import -q d.raw "$NAME:killed" >/dev/null 2>&1 3>&- &
		pid=$!
		eventually 20 pgrep -P "$pid" -f 'caisson-impor[t]' >/dev/null
		kill -s $signal "$pid"
		wait "$pid" || true
		eventually 10 process_gone "$pid"
		eventually 10 bash -c "! pgrep -f 'caisson-impor[t]' >/dev/null"
		run ! caisson inspect --type image "$NAME:killed"
	done
}
