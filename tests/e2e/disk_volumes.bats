#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# disk_volumes.bats - volumes, and VHDs of the user's as disks of machines
# shellcheck disable=SC2314,SC2315

setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() {
	remove_all
	local v
	v=$(caisson volume ls -q)
	[ -z "$v" ] || caisson volume rm $v >/dev/null
}

inside() { caisson run --rm --network none "$@"; }
# filled VHD: a directory tree as ext4 in a VHD, made without us
ext4_vhd() { # FILE SIZE [qemu-img option]
	mkdir -p tree/sub
	echo from-the-host >tree/file
	echo deep >tree/sub/file
	truncate -s "$2" raw.img
	mkfs.ext4 -q -F -d tree raw.img
	qemu-img convert -f raw -O vpc -o "${3:-force_size=on}" raw.img "$1"
}
# an image of busybox with a /data that has content, owned and shaped in all ways
filled_image() {
	mkdir -p layer/data/sub
	echo one >layer/data/one
	ln layer/data/one layer/data/sub/same
	ln -s one layer/data/link
	mkfifo layer/data/pipe
	mknod layer/data/null c 1 3
	echo x >layer/data/set
	chown 33:44 layer/data/one
	chown 12:34 layer/data
	chmod 4711 layer/data/set
	chmod 2750 layer/data
	touch -d '2001-02-03 04:05:06Z' layer/data/one
	python3 "$BATS_TEST_DIRNAME/layer_add.py" "$IMAGES_OCI:busybox" layer image "$@"
	caisson image import "$PWD/image:filled" filled:latest >/dev/null
}

@test "volume create, ls, inspect, rm: texts and exit codes" {
	[ "$(caisson volume create v1)" = v1 ] || complain "create"
	[ "$(caisson volume create v1)" = v1 ] || complain "create one that is there"
	[ "$(caisson volume create -d local --label a=b --label c --opt size=64m v2)" = v2 ] || complain "create with options"
	anonymous=$(caisson volume create)
	[[ $anonymous =~ ^[0-9a-f]{64}$ ]] || complain "anonymous: $anonymous"
	caisson volume ls >out
	[ "$(head -n 1 out)" = "DRIVER    VOLUME NAME" ] || complain "head: $(head -n 1 out)"
	grep -qx 'vhd       v1' out && grep -qx 'local     v2' out || complain "rows: $(cat out)"
	[ "$(caisson volume ls -q --filter name=v)" = $'v1\nv2' ] || complain "by name"
	[ "$(caisson volume ls -q --filter label=a=b)" = v2 ] || complain "by label"
	[ "$(caisson volume ls -q --filter driver=vhd --filter name=v)" = v1 ] || complain "by driver"
	[ "$(caisson volume ls --filter label=c --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}}')" = "v2 local local a=b,c=" ] || complain "template"
	[ "$(caisson volume ls --filter name=v1 --format json | jq -r .Name)" = v1 ] || complain "JSON"
	caisson volume inspect v1 v2 >out
	[ "$(jq -r '.[0].Name, .[0].Driver, .[0].Scope, .[0].Labels, .[1].Labels.a, .[1].Options.size' out | paste -sd' ')" = \
		"v1 vhd local null b 64m" ] || complain "inspect: $(cat out)"
	[ -f "$(jq -r '.[0].Mountpoint' out)" ] || complain "no disk"
	[ "$(stat -c %b "$(jq -r '.[0].Mountpoint' out)")" -le 400 ] || complain "an empty volume is large"
	[ "$(caisson volume inspect -f '{{.Name}}' v2)" = v2 ] || complain "inspect template"
	[ "$(caisson inspect --type volume -f '{{.Name}}' v2)" = v2 ] || complain "inspect --type volume"
	fails_with 1 'get none: no such volume' caisson volume inspect none || complain "inspect none"
	fails_with 1 'get none: no such volume' caisson volume rm none || complain "rm none"
	[ "$(caisson volume rm -f none)" = none ] || complain "rm -f none"
	fails_with 1 'includes invalid characters' caisson volume create a/b || complain "name with a slash"
	fails_with 1 'too short' caisson volume create a || complain "short name"
	fails_with 1 'invalid option: "color"' caisson volume create --opt color=red || complain "option"
	fails_with 1 'size is from' caisson volume create --opt size=1k v3 || complain "tiny"
	fails_with 1 'plugin "nfs" not found' caisson volume create -d nfs v3 || complain "driver"
	fails_with 1 "invalid filter 'colour'" caisson volume ls --filter colour=red || complain "filter"
	[ "$(caisson volume rm v1 v2)" = $'v1\nv2' ] || complain "rm"
	[ "$(caisson volume ls -q)" = "$anonymous" ] || complain "left: $(caisson volume ls)"
	fails test -e "$CAISSON_ROOT/volumes/v1" || complain "files of v1 are left"
	all_right
}

@test "content is kept from machine to machine, and -v makes what is missing" {
	inside -v data:/data "$BUSYBOX" sh -c 'echo kept >/data/file; mkdir /data/dir; chown 33:44 /data/dir'
	[ "$(caisson volume ls -q)" = data ]
	[ "$(inside --mount type=volume,src=data,dst=/other "$BUSYBOX" sh -c 'cat /other/file; stat -c %u:%g /other/dir; ls -A /other | paste -sd " "')" = \
		$'kept\n33:44\ndir file' ]
	caisson run -d --name mm --network none -v data:/data "$BUSYBOX" sh -c 'echo again >>/data/file; sleep 1000'
	caisson inspect -f '{{json .Mounts}}' mm | jq -e '.[0] | .Type == "volume" and .Name == "data" and .Destination == "/data" and .RW and .Driver == "vhd"'
	[ "$(caisson ps --format '{{.Mounts}}')" = data ]
	eventually 5 caisson exec mm grep -q again /data/file
	caisson stop -t 0 mm
	caisson start mm
	[ "$(caisson exec mm cat /data/file | head -n 2)" = $'kept\nagain' ]
}

@test "an empty volume gets what the image has there, once" {
	[ "$(id -u)" = 0 ] || skip "only root can make the image"
	filled_image
	show='cd /data; stat -c "%n %F %u:%g %a %h %Y" . one sub/same link pipe null set; readlink link; cat sub/same'
	inside filled sh -c "$show" | sed '1s/ [0-9]* [0-9]*$//; s/^\(link\|pipe\|null\|set\|sub.*\) \(.*\) [0-9]*$/\1 \2/' >want
	inside -v data:/data filled sh -c "$show" | sed '1s/ [0-9]* [0-9]*$//; s/^\(link\|pipe\|null\|set\|sub.*\) \(.*\) [0-9]*$/\1 \2/' >have
	diff want have
	grep -q '^one regular file 33:44 644 2 981173106$' have
	# what is there stays, also when it is less
	inside -v data:/data filled sh -c 'rm -r /data/sub /data/one; echo own >/data/own'
	[ "$(inside -v data:/data filled ls -A /data | paste -sd' ')" = "link null own pipe set" ]
	# read-only, not at all, and where the image has nothing
	run inside -v other:/data:ro filled sh -c 'cat /data/sub/same; echo x >/data/new'
	[ "${lines[0]}" = one ]
	[[ $output == *'Read-only file system'* ]]
	[ -z "$(inside -v third:/data:nocopy filled ls -A /data)" ]
	[ -z "$(inside -v fourth:/nothing/there filled ls -A /nothing/there)" ]
}

@test "anonymous volumes: of -v PATH and of the image, gone with --rm and rm -v only" {
	filled_image /data
	[ "$(caisson image inspect -f '{{json .Config.Volumes}}' filled)" = '{"/data":{}}' ]
	inside filled sh -c 'mount | grep -q "on /data type ext4"'
	[ -z "$(caisson volume ls -q)" ]
	inside -v /own "$BUSYBOX" touch /own/x
	[ -z "$(caisson volume ls -q)" ]
	caisson run --name mm --network none -v /own filled sh -c 'echo x >/own/x'
	[ "$(caisson volume ls -q | wc -l)" = 2 ]
	[ "$(caisson volume ls -q --filter dangling=true | wc -l)" = 0 ]
	caisson rm mm
	[ "$(caisson volume ls -q --filter dangling=true | wc -l)" = 2 ]
	caisson run --name mm --network none -v named:/data -v /own filled true
	[ "$(caisson volume ls -q | wc -l)" = 4 ]
	caisson rm -v mm
	[ "$(caisson volume ls -q | wc -l)" = 3 ]
	caisson volume ls -q | grep -qx named
}

@test "read-only: nothing of it changes, and several may read at a time" {
	inside -v data:/data "$BUSYBOX" sh -c 'echo one >/data/file'
	run inside -v data:/data:ro "$BUSYBOX" sh -c 'cat /data/file; echo x >/data/new; rm /data/file; mount -o remount,rw /data; echo y >/data/new'
	[ "${lines[0]}" = one ]
	[[ $output == *'Read-only file system'* ]]
	caisson run -d --name ra --network none -v data:/data:ro "$BUSYBOX" sleep 1000
	caisson run -d --name rb --network none --mount type=volume,src=data,dst=/data,readonly "$BUSYBOX" sleep 1000
	[ "$(caisson exec ra ls /data)" = file ]
	[ "$(caisson exec rb cat /data/file)" = one ]
	fails_with 125 'volume data is in use by the running machine r[ab]' caisson run --rm --network none -v data:/data "$BUSYBOX" true
}

@test "a machine with a volume or two is cloned as others are" {
	for mounts in '-v one:/a' '-v one:/a -v two:/b' '-v /own'; do
		# shellcheck disable=SC2086
		caisson run --name mm --network none $mounts "$BUSYBOX" sh -c 'mount | grep -c " type ext4"; for d in /a /b /own; do test ! -d $d || echo $d >$d/x; done' >out
		[ "$(cat out)" = $(($(wc -w <<<"$mounts") / 2)) ] || complain "$mounts: $(cat out)"
		[[ $(caisson inspect -f '{{.Caisson.Boot}}' mm) =~ ^(image|machine)$ ]] || complain "$mounts: booted cold"
		caisson start -a mm >/dev/null || complain "$mounts: second start"
		caisson rm -v mm >/dev/null
	done
	caisson run --name mm --network none -v one:/a -v two:/b -v three:/c "$BUSYBOX" cat /a/x /b/x >out
	[ "$(cat out)" = $'/a\n/b' ] || complain "three: $(cat out)"
	all_right
}

@test "two machines: one may write; a volume in use is not removed" {
	caisson run -d --name mm --network none -v data:/data "$BUSYBOX" sleep 1000
	SECONDS=0
	fails_with 125 'volume data is in use by the running machine mm' caisson run --rm --network none -v data:/data "$BUSYBOX" true
	fails_with 125 'volume data is in use by the running machine mm' caisson run --rm --network none -v data:/data:ro "$BUSYBOX" true
	[ $SECONDS -lt 10 ]
	id=$(caisson inspect -f '{{.Id}}' mm)
	fails_with 1 "remove data: volume is in use - \\[$id\\]" caisson volume rm data
	fails_with 1 'in use' caisson volume rm -f data
	caisson stop -t 0 mm
	fails_with 1 "remove data: volume is in use - \\[$id\\]" caisson volume rm data
	inside -v data:/data "$BUSYBOX" touch /data/x
	caisson rm mm
	caisson volume rm data
	[ -z "$(caisson volume ls -q)" ]
}

@test "prune takes anonymous ones that nobody has; -a all" {
	caisson volume create named >/dev/null
	caisson volume create --label keep=no labelled >/dev/null
	anonymous=$(caisson volume create)
	caisson create --name mm -v used:/u -v /own "$BUSYBOX" true
	caisson volume prune -f >out
	[ "$(head -n 2 out)" = "Deleted Volumes:"$'\n'"$anonymous" ]
	tail -n 1 out | grep -q '^Total reclaimed space: [0-9.]*[kM]B$'
	[ "$(caisson volume ls -q | wc -l)" = 4 ]
	caisson volume prune -f -a --filter label=keep=no >out
	[ "$(sed -n 2p out)" = labelled ]
	caisson volume prune -f -a >out
	[ "$(sed -n 2p out)" = named ]
	[ "$(caisson volume ls -q | wc -l)" = 2 ]
	[ "$(caisson volume prune -f)" = "Total reclaimed space: 0B" ]
}

@test "the size of a volume is its end" {
	caisson volume create --opt size=32m small >/dev/null
	run inside -v small:/data "$BUSYBOX" sh -c 'df -k /data | tail -n 1; dd if=/dev/zero of=/data/x bs=1M count=64; sync; stat -c %s /data/x'
	[[ $output == *'No space left on device'* ]]
	[ "${lines[-1]}" -lt 33554432 ]
	[ "${lines[-1]}" -gt 1000000 ]
	inside -v small:/data "$BUSYBOX" sh -c 'rm /data/x && echo fits >/data/y && cat /data/y'
}

@test "what was synced survives the sudden end of VMM and keeper" {
	caisson run -d --name mm --network none -v data:/data "$BUSYBOX" sleep 1000
	caisson exec mm sh -c 'head -c 3000000 /dev/urandom >/data/file; md5sum </data/file >/data/sum; sync'
	kill -9 "$(keeper_pid mm)" "$(vmm_pid mm)"
	inside -v data:/data "$BUSYBOX" sh -c 'md5sum </data/file | cmp - /data/sum'
	# and a reader alone gets the journal played back as well
	caisson start mm
	caisson exec mm sh -c 'echo more | dd of=/data/more conv=fsync' # the name is in the journal only
	kill -9 "$(keeper_pid mm)" "$(vmm_pid mm)"
	[ "$(inside -v data:/data:ro "$BUSYBOX" cat /data/more)" = more ]
	caisson disk check --parent-root "$CAISSON_ROOT" "$(caisson volume inspect -f '{{.Mountpoint}}' data)"
}

@test "a disk: dynamic, fixed, with a partition, and a chain" {
	ext4_vhd dynamic.vhd 64M
	ext4_vhd fixed.vhd 64M force_size=on,subformat=fixed
	truncate -s 66M parted.img
	# a partition of Linux from sector 2048 on: one entry of a master boot record
	printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\0\002\0' | dd of=parted.img bs=1 seek=446 conv=notrunc status=none
	printf '\125\252' | dd of=parted.img bs=1 seek=510 conv=notrunc status=none
	dd if=raw.img of=parted.img bs=1M seek=1 conv=notrunc status=none
	qemu-img convert -f raw -O vpc -o force_size=on parted.img parted.vhd
	caisson disk snapshot dynamic.vhd middle.vhd >/dev/null
	caisson disk snapshot middle.vhd top.vhd >/dev/null
	sum=$(md5sum <dynamic.vhd)
	for d in fixed parted top; do
		run inside --mount "type=disk,src=$d.vhd,dst=/disk" "$BUSYBOX" sh -c 'cat /disk/file /disk/sub/file; echo '$d' >/disk/new'
		[ "$output" = $'from-the-host\ndeep' ] || complain "$d: $output"
		[ "$(inside --mount "type=disk,src=$PWD/$d.vhd,dst=/disk,readonly" "$BUSYBOX" sh -c 'cat /disk/new; echo x 2>&1 >/disk/x' 2>&1 | head -n 1)" = $d ] ||
			complain "$d: not kept"
		caisson disk check -q $d.vhd || complain "$d: damaged"
	done
	[ "$(md5sum <dynamic.vhd)" = "$sum" ] || complain "the parent was written to"
	# whoever reads it next sees what was written, at once and without a journal to play back
	caisson disk convert --force -f vhd -O raw fixed.vhd out.img >/dev/null
	[ "$(debugfs -R 'cat new' out.img 2>/dev/null)" = fixed ] || complain "not on the disk"
	dumpe2fs -h out.img 2>/dev/null | grep -q 'needs_recovery' && complain "was not unmounted"
	all_right
}

@test "a disk that cannot be had says why" {
	caisson disk create empty.vhd 64m >/dev/null
	ext4_vhd good.vhd 64M
	head -c 100000 /dev/urandom >none.vhd
	fails_with 125 'mount /disk: the disk has no file system' caisson run --rm --network none --mount type=disk,src=empty.vhd,dst=/disk "$BUSYBOX" true || complain "empty"
	fails_with 125 'missing.vhd: No such file' caisson run --rm --network none --mount type=disk,src=missing.vhd,dst=/disk "$BUSYBOX" true || complain "missing"
	fails_with 125 'none.vhd' caisson run --rm --network none --mount type=disk,src=none.vhd,dst=/disk "$BUSYBOX" true || complain "no VHD"
	caisson run -d --name mm --network none --mount type=disk,src=good.vhd,dst=/disk "$BUSYBOX" sleep 1000
	fails_with 125 'good.vhd is in use' caisson run --rm --network none --mount type=disk,src=good.vhd,dst=/disk "$BUSYBOX" true || complain "two writers"
	fails_with 1 'at most 6' caisson create -v /a -v /b -v /c -v /d -v /e -v /f -v /g "$BUSYBOX" true || complain "seven"
	[ "$(caisson ps -aq | wc -l)" = 1 ] || complain "left: $(caisson ps -a)"
	all_right
}

@test "six volumes and shares together, one in another" {
	mkdir share
	echo host >share/file
	run inside -v a1:/v/a/in -v a2:/v/a -v a3:/v/c -v a4:/v/d -v a5:/v/e -v a6:/v/f -v "$PWD/share:/v/a/in/share" "$BUSYBOX" sh -c '
		for v in a/in a c d e f; do echo $v >/v/$v/name; done; cat /v/a/in/share/file; mount | grep -c "^/dev/vd.* ext4"'
	[ "$output" = $'host\n6' ]
	[ "$(inside -v a1:/one -v a2:/two "$BUSYBOX" cat /one/name /two/name)" = $'a/in\na' ]
}
