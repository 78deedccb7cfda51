#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# layers.bats - layers with tricks in them: refused with the reason, or right when looked at from inside

setup_file() {
	export TRICKY=$BATS_FILE_TMPDIR/tricky
	python3 "$BATS_TEST_DIRNAME/tricky_layers.py" "$IMAGES_OCI:busybox" "$TRICKY" >"$BATS_FILE_TMPDIR/names"
}
setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() {
	remove_all
	caisson rmi "tricky/$NAME" >/dev/null 2>&1 || true
}

# refused NAME WORDS: exit code 1, the reason, no name, and nothing of it on the host
refused() {
	fails_with 1 "$2" caisson image import "$TRICKY:bad-$1" "tricky/$1" 2>>said || complain "$1: $(tail -c 500 said)"
	! caisson images --format '{{.Repository}}' | grep -qx "tricky/$1" || complain "$1 has got a name"
}

# import NAME: an odd but good one
import() {
	NAME=$1
	caisson image import "$TRICKY:odd-$1" "tricky/$1" >/dev/null
}
# inside COMMAND...: in a machine of it
inside() { caisson run --rm --network none "tricky/$NAME" "$@"; }
# held_by_images: KiB
held_by_images() { (cd "$CAISSON_ROOT" && du -skc blobs images layers | tail -n 1 | cut -f 1); }
# same WHAT EXPECTED GOT
same() { [ "$2" = "$3" ] || complain "$1: expected '$2', got '$3'"; }

@test "every bad layer is tried here" {
	for i in $(sed -n 's/^bad-//p' "$BATS_FILE_TMPDIR/names"); do
		grep -qE "(refused|for i in) .*\b$i\b" "$BATS_TEST_FILENAME" || complain "$i"
	done
	all_right
}

@test "names that leave the image" {
	for i in dotdot dotdot-late hardlink-out; do refused $i '\.\.'; done
	fails test -e /escaped
	fails test -e "$CAISSON_ROOT/escaped"
	all_right
}

@test "links to nothing, to directories, through files and loops" {
	refused hardlink-nothing 'to-where.*not/there|not/there.*to-where'
	refused hardlink-dir 'directory'
	refused file-as-parent '"?f/x.*(parent|directory|file)'
	refused symlink-loop 'symlinks|loop|too many'
	all_right
}

@test "whiteouts of the root, of its parent, of nothing" {
	for i in whiteout-empty whiteout-root whiteout-parent whiteout-parent-dir; do refused $i 'whiteout'; done
	refused root-as-file 'root'
	all_right
}

@test "too deep, too long, too much" {
	refused deep 'deep|path of more'
	refused name-256 'name'
	refused target-4096 'link|target'
	refused pax-megabytes 'extended header|pax'
	all_right
}

@test "numbers that are none" {
	for i in uid-max uid-33-bits gid-negative; do refused $i 'owner|uid|gid|id'; done
	for i in size-negative size-huge size-pax; do refused $i 'size|more than|GiB'; done
	refused device-huge 'device'
	refused path-nul 'NUL|pax|zero'
	refused pax-length 'pax|header|length'
	all_right
}

@test "archives that are cut, broken, or go on" {
	for i in cut-in-file cut-in-header; do refused $i 'ends|truncated|early'; done
	refused checksum 'checksum|header'
	refused behind-the-end 'after the end|header|garbage'
	all_right
}

@test "sparse maps that lie" {
	for i in sparse-outside sparse-order sparse-endless; do refused $i 'sparse'; done
	all_right
}

@test "odd and right: names, duplicates, links, whiteouts, devices, owners, times" {
	import all
	cat >probe <<-'S'
		cat absolute resolved dotted/slashes kind child/first low/through own-passwd | md5sum
		cat absolute resolved dotted/slashes kind child/first low/through etc/passwd | md5sum
		ls twice low/linked again/old opaque/old .wh..wh.plnk .wh..wh.aufs .wh..wh..opq 2>&1 | grep -vc 'No such'
		cat again/new opaque/new low/hard; echo; stat -c %h low/hard
		cat etc/new tmp/caisson-escaped; echo
		stat -c '%A %t:%T' dev-null dev-block; stat -c %F fifo; ls dev-whiteout 2>&1 | grep -c 'No such'
		stat -c '%a %u:%g' suid child large-ids pax-id
		stat -c %Y before-1970 after-2106
		cat "$(printf 'new\nline')" "$(printf '\377\376')" n*n; echo
		cat d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/../end 2>&1 | grep -c 'No such'
		readlink long | wc -c; readlink hard-up
		p=end; i=0; while [ $i -lt 1000 ]; do p=d/$p; i=$((i + 1)); done; cat $p; echo
	S
	inside sh -c "cd /; $(cat probe)" >got
	mapfile -t got <got
	same "contents" "${got[0]}" "${got[1]}"
	same "removed names" 0 "${got[2]}"
	same "whiteout and again, opaque late, hard link below" newnewlinked "${got[3]}"
	same "links left" 1 "${got[4]}"
	same "through links to outside" newinside "${got[5]}"
	same "character device" 'crw-rw-rw- 1:3' "${got[6]}"
	same "block device" 'brwxr-xr-x 103:11170' "${got[7]}"
	same "fifo" fifo "${got[8]}"
	same "a whiteout device of overlayfs" 1 "${got[9]}"
	same "set-user-id" '4755 7:8' "${got[10]}"
	same "a directory after its children" '700 5:0' "${got[11]}"
	same "largest ids" '644 4294967294:4294967294' "${got[12]}"
	same "id of a pax header" '644 70000:0' "${got[13]}"
	same "before 1970" -86400 "${got[14]}"
	same "after 2106" 8589934592 "${got[15]}"
	same "odd names" newlinebytes255 "${got[16]}"
	same "not there" 1 "${got[17]}"
	same "long link, and a newline" 4096 "${got[18]}"
	same "hard link to a symlink" ../../../../../tmp "${got[19]}"
	same "deep" deep "${got[20]}"
	fails test -e /tmp/caisson-escaped
	fails test -e /etc/new
	all_right
}

@test "the four sparse formats: the same file, and its holes cost nothing" {
	# the rest of the store holds the template that an earlier test's machine may be making just now
	before=$(held_by_images)
	import sparse
	after=$(held_by_images)
	[ $((after - before)) -lt 4096 ]
	inside sh -c 'md5sum sparse-*; stat -c %s sparse-gnu' >got
	[ "$(grep -c sparse- got)" = 4 ]
	[ "$(grep sparse- got | cut -d ' ' -f 1 | sort -u | wc -l)" = 1 ]
	[ "$(tail -n 1 got)" = 67108864 ]
	truncate -s 64M want
	for at in 0 1048576 34603008; do
		yes $at | head -n 1000 | tr -d '\n' | dd of=want bs=1M seek=$((at / 1048576)) conv=notrunc status=none
	done
	grep -q "^$(md5sum <want | cut -d ' ' -f 1)" got
}

@test "layers with nothing in them" {
	import empty
	[ "$(inside echo fine)" = fine ]
}

@test "an archive that ends with the last byte of its last file" {
	import unpadded
	[ "$(inside cat /cut)" = 'as umoci insert leaves it' ]
}

@test "opaque on the root: nothing of the base is left" {
	import opaque-root
	run inside /bin/busybox ls /
	[[ $output == *only* && $output == *bin* ]]
	[[ $output != *home* ]]
	[ "$(inside /bin/busybox ls /bin)" = busybox ]
}

@test "files of /etc that are links, fifos, directories: nothing is written through them, nothing hangs" {
	import etc-links
	run timeout -k 5 30 caisson run --rm --network none -u 12:34 "tricky/$NAME" sh -c 'cat /target; echo; id -u; grep -c localhost /etc/hosts; ls -d /no/where'
	[ "${lines[0]}" = mine ]
	[ "${lines[1]}" = 12 ]
	[ "${lines[2]}" -ge 1 ]
	[[ ${lines[3]} == *'No such'* ]]
	fails_with '12[56]' 'nobody' timeout -k 5 30 caisson run --rm -u nobody "tricky/$NAME" true
}

@test "/etc/passwd that never ends" {
	import passwd-device
	[ "$(timeout -k 5 30 caisson run --rm --network none -u 5:5 "tricky/$NAME" grep -c "^Uid:.5.5" /proc/self/status)" = 1 ]
	fails_with '12[56]' 'nobody' timeout -k 5 30 caisson run --rm -u nobody "tricky/$NAME" true
}
