#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# dax.bats - machines whose image is memory that they share with the host's page cache (--dax)

# A program that hands a mapped file, 64 KiB of it, to a write that passes no cache: the disk reads the image's memory.
direct_program() {
	cat <<-'C'
		#define _GNU_SOURCE
		#include <fcntl.h>
		#include <stdio.h>
		#include <sys/mman.h>
		#include <unistd.h>
		int main(int argc, char **argv)
		{
			int from = open(argv[1], O_RDONLY), to = open(argv[2], O_WRONLY | O_CREAT | O_DIRECT, 0644);
			void *p = mmap(NULL, 65536, PROT_READ, MAP_SHARED, from, 0);
			if (argc != 3 || to < 0 || p == MAP_FAILED || write(to, p, 65536) != 65536)
				perror("direct");
			return 0;
		}
	C
}

setup_file() {
	local layer=$BATS_FILE_TMPDIR/layer
	export DAX=localhost/dax BIG=$((48 << 20))
	mkdir -p "$layer/data"
	head -c $BIG /dev/urandom >"$layer/data/big"
	head -c 5000 /dev/urandom >"$layer/data/odd"
	head -c 100000 /dev/urandom >"$layer/data/other"
	direct_program | gcc -x c -O1 -static -o "$layer/data/direct" -
	python3 "$BATS_TEST_DIRNAME/../e2e/layer_add.py" "$IMAGES_OCI:busybox" "$layer" "$BATS_FILE_TMPDIR/image"
	caisson image import "$BATS_FILE_TMPDIR/image:filled" "$DAX:latest" >/dev/null
	(cd "$layer" && md5sum data/*) >"$BATS_FILE_TMPDIR/sums"
	rm -r "$layer" "$BATS_FILE_TMPDIR/image"
}

setup() {
	load ../e2e/lib
	load ../e2e/expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

how() { caisson inspect -f '{{.Caisson.Boot}}' "$1"; }
template_of() { # template_of DEPTH: the directory of one with an image in memory
	jq -r --arg d "$1" --arg k "${KERNEL:-$SMALL}" 'select(.driver == "kvm" and (.shape | endswith(",dax")) and .depth == $d and
		.kernel == $k) | input_filename | rtrimstr("/template.json")' "$CAISSON_ROOT"/templates/*/template.json 2>/dev/null
}
has_template() { [ -n "$(template_of "$1")" ]; }

# What the guest's kernel keeps of files, before and after all of the image's were read: KiB, KiB; then their sums.
READ_ALL='kept() { awk "/^(Cached|Buffers):/ { n += \$2 } END { print n }" /proc/meminfo; }
	kept; cat /data/* >/dev/null; kept; cd /; md5sum data/*'

grown() { # grown FILE: by how much, of the two first lines of READ_ALL
	echo $(($(sed -n 2p "$1") - $(sed -n 1p "$1")))
}

@test "cold, from the machine's template, from the image's: files are right, and the guest keeps no copy" {
	for way in cold machine image; do
		options=(--name "$way" --driver kvm --network none --dax)
		[ $way != cold ] || options+=(--no-template)
		[ $way != image ] || eventually 60 has_template image
		caisson run "${options[@]}" "$DAX" sh -c "$READ_ALL" >out
		echo "$way: $(cat out)"
		[ "$(how $way)" = $way ]
		[ "$(caisson inspect -f '{{.Caisson.Dax}}' $way)" = true ]
		sed 1,2d out | diff "$BATS_FILE_TMPDIR/sums" -
		[ "$(grown out)" -lt 2048 ]
	done
	# one that has run before, and has its own disk
	caisson start -a image >out
	[ "$(how image)" = machine ]
	sed 1,2d out | diff "$BATS_FILE_TMPDIR/sums" -
	# and without: what was read is kept in the guest
	caisson run --rm --driver kvm --network none --no-template "$DAX" sh -c "$READ_ALL" >out
	sed 1,2d out | diff "$BATS_FILE_TMPDIR/sums" -
	[ "$(grown out)" -gt $((BIG / 1024 / 2)) ]
}

@test "Debian's kernel does it as well, where its modules are there" {
	[ -n "$CLOUD" ] || skip "no kernel of Debian's in the store"
	bsdcpio -it --quiet <"$CAISSON_ROOT/kernels/$CLOUD/modules" | grep -q virtio_pmem ||
		skip "the kernel was packed without virtio_pmem"
	for way in machine image; do
		[ $way != image ] || KERNEL=$CLOUD eventually 90 has_template image
		caisson run --name "$way" --driver kvm --network none --dax --kernel "$CLOUD" "$DAX" sh -c "$READ_ALL" >out
		[ "$(how $way)" = $way ]
		sed 1,2d out | diff "$BATS_FILE_TMPDIR/sums" -
		[ "$(grown out)" -lt 2048 ]
	done
}

@test "the image in memory: the guest may map files and write by them, and cannot change a byte" {
	caisson run -d --name ww --driver kvm --network none --dax "$DAX" sleep 1000 >/dev/null
	files=$(readlink "/proc/$(vmm_pid ww)"/map_files/* | grep "^$CAISSON_ROOT/" | sort -u | grep -v /templates/ || true)
	[ -n "$files" ]
	grep -E " r--s .*$CAISSON_ROOT/(layers|images|blobs)" "/proc/$(vmm_pid ww)/maps"
	fails grep -E " .w.s .*$CAISSON_ROOT/(layers|images|blobs)" "/proc/$(vmm_pid ww)/maps"
	# shellcheck disable=SC2086
	sha256sum $files >before
	node='mknod /tmp/p b $(tr : " " </sys/block/pmem0/dev)'
	fails caisson exec --privileged ww sh -c "$node && dd if=/dev/zero of=/tmp/p bs=4k count=1 conv=fsync"
	# told to, the guest's kernel writes: for nothing
	caisson exec --privileged ww sh -c 'blockdev --setrw /tmp/p && dd if=/dev/urandom of=/tmp/p bs=64k count=4 conv=fsync
		dd if=/dev/urandom of=/tmp/p bs=64k seek=32 count=4 conv=fsync; sync'
	# shellcheck disable=SC2086
	sha256sum $files | diff before -
	# a device reads that memory
	caisson exec ww sh -c '/data/direct /data/other /copy && head -c 65536 /data/other | cmp - /copy'
	caisson exec ww sh -c 'cd /; md5sum data/*' | diff "$BATS_FILE_TMPDIR/sums" -
	is_state ww running
}

@test "two machines, one copy: the pages of the second one are those of the first" {
	shared_kib() { # of what the VMM maps of the store's files
		awk -v root="$CAISSON_ROOT/" '/^[0-9a-f]+-/ { is = index($0, root) > 0 && $2 ~ /s$/ }
			is && /^Private_(Clean|Dirty):/ { p += $2 } is && /^Rss:/ { r += $2 } END { print r + 0, p + 0 }' "/proc/$1/smaps"
	}
	for m in one two; do
		caisson run -d --name $m --driver kvm --network none --dax "$DAX" sleep 1000 >/dev/null
		caisson exec $m sh -c 'cat /data/big >/dev/null'
	done
	for m in one two; do
		read -r rss private < <(shared_kib "$(vmm_pid $m)")
		echo "$m: $rss KiB of files, $private KiB of it private"
		[ "$private" -lt 1024 ]
	done
}

@test "a file of the image that is cut short ends the machine, with the reason" {
	caisson run -d --name cut --driver kvm --network none --dax "$DAX" sleep 1000 >/dev/null
	file=$(find "$CAISSON_ROOT" -size +40M -path "*/layers/*.data" | head -n 1)
	cp "$file" kept
	truncate -s 4096 "$file"
	caisson exec cut sh -c 'cat /data/* | md5sum' || true
	eventually 20 is_state cut exited
	error=$(caisson inspect -f '{{.State.Error}}' cut)
	cat kept >"$file"
	echo "$error"
	[[ $error == *"memory of the guest's is not there"* ]]
	caisson run --rm --driver kvm --network none --dax "$DAX" sh -c 'cd /; md5sum data/*' | diff "$BATS_FILE_TMPDIR/sums" -
}

@test "QEMU cannot do it, and says so" {
	fails_with 125 '--dax needs caisson-vmm' caisson run --rm --driver qemu --dax "$DAX" true
}
