#!/bin/bash
# SPDX-License-Identifier: MIT
# build.sh - make the test images from Debian packages, as an OCI layout
#
#   tests/images/build.sh DIR NAME...	NAME: busybox nginx redis postgres python3 tricks
#
# All Debian images stand on one base layer. What is there is not made again. Needs root, mmdebstrap, umoci.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
shift
oci=$dir/oci
suite=bookworm
epoch=1700000000
work=$(mktemp -d "$dir/work.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

say() { echo "image $*" >&2; }
have() { [ -e "$dir/.$1.done" ]; }
done_with() { touch "$dir/.$1.done"; }

[ -d "$oci" ] || umoci init --layout "$oci"

# Whole root of the shared base, as the layer of oci:base.
make_base() {
	have base && return
	say "base (Debian $suite)"
	umoci new --image "$oci:base"
	umoci unpack --image "$oci:base" "$work/base"
	rm -rf "$work/base/rootfs"
	mmdebstrap --quiet --variant=apt \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--aptopt='Apt::Install-Recommends "false"' "$suite" "$work/base/rootfs"
	printf '#!/bin/sh\nexit 101\n' >"$work/base/rootfs/usr/sbin/policy-rc.d"
	chmod 755 "$work/base/rootfs/usr/sbin/policy-rc.d"
	rm -rf "$work/base/rootfs"/var/cache/apt/* "$work/base/rootfs"/var/log/*.log "$work/base/rootfs/etc/resolv.conf"
	umoci repack --image "$oci:base" "$work/base"
	rm -rf "$work/base"
	done_with base
}

# from_base NAME PACKAGE...: a layer over the base with these packages; the tree stays in $work/NAME.
from_base() {
	local name=$1 root=$work/$1/rootfs
	shift
	make_base
	say "$name (${*:-no packages})"
	umoci unpack --image "$oci:base" "$work/$name"
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	for f in /etc/apt/apt.conf.d/*; do # a proxy of the host, for the downloads only
		grep -qi proxy "$f" 2>/dev/null && cp "$f" "$root/etc/apt/apt.conf.d/zz-$(basename "$f")-build"
	done
	chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q -q update >&2
	chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q -q install -y --no-install-recommends "$@" \
		>"$work/$name.log" 2>&1 || { cat "$work/$name.log" >&2; return 1; }
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* "$root/etc/resolv.conf" \
		"$root"/etc/apt/apt.conf.d/zz-*-build "$root"/var/cache/debconf/*-old
}

# pack NAME CONFIG-FLAGS...
pack() {
	local name=$1
	shift
	umoci repack --image "$oci:$name" "$work/$name"
	umoci config --image "$oci:$name" --created "$(date -u -d @$epoch +%Y-%m-%dT%H:%M:%SZ)" --author caisson \
		--config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
	rm -rf "${work:?}/$name"
	done_with "$name"
}

make_busybox() {
	say busybox
	umoci new --image "$oci:busybox"
	umoci unpack --image "$oci:busybox" "$work/busybox"
	local root=$work/busybox/rootfs
	mkdir -p "$root"/{bin,etc,tmp,root,home,var,usr/bin}
	chmod 1777 "$root/tmp"
	install -m 755 "$(command -v busybox)" "$root/bin/busybox"
	for a in $("$root/bin/busybox" --list); do [ "$a" = busybox ] || ln "$root/bin/busybox" "$root/bin/$a"; done
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\nwww:x:33:33:www:/home:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\nwww:x:33:\nextra:x:500:www\n' >"$root/etc/group"
	pack busybox --config.cmd sh
}

make_nginx() {
	from_base nginx nginx-light
	ln -sf /dev/stdout "$work/nginx/rootfs/var/log/nginx-access" 2>/dev/null || true
	mkdir -p "$work/nginx/rootfs/var/log/nginx"
	ln -sf /dev/stdout "$work/nginx/rootfs/var/log/nginx/access.log"
	ln -sf /dev/stderr "$work/nginx/rootfs/var/log/nginx/error.log"
	rm -f "$work/nginx/rootfs/var/log/nginx-access"
	pack nginx --config.cmd nginx --config.cmd -g --config.cmd 'daemon off;' \
		--config.exposedports 80/tcp --config.stopsignal SIGQUIT
}

make_redis() {
	from_base redis redis-server redis-tools
	mkdir -p "$work/redis/rootfs/data"
	pack redis --config.cmd redis-server --config.cmd --protected-mode --config.cmd no \
		--config.cmd --appendonly --config.cmd yes --config.cmd --appendfsync --config.cmd always \
		--config.cmd --dir --config.cmd /data --config.exposedports 6379/tcp
}

make_postgres() {
	from_base postgres postgresql
	local root=$work/postgres/rootfs
	chroot "$root" pg_dropcluster 15 main 2>/dev/null || true
	cat >"$root/usr/local/bin/postgres-start" <<-'S'
		#!/bin/sh
		set -e
		bin=/usr/lib/postgresql/15/bin
		if [ ! -s /data/PG_VERSION ]; then
			mkdir -p /data && chown postgres:postgres /data && chmod 700 /data
			setpriv --reuid postgres --regid postgres --init-groups $bin/initdb -D /data --auth=trust >/dev/null
			echo "host all all all trust" >>/data/pg_hba.conf
			echo "listen_addresses = '*'" >>/data/postgresql.conf
			sync # what the shell has appended is on no disk yet
		fi
		mkdir -p /run/postgresql && chown postgres /run/postgresql
		exec setpriv --reuid postgres --regid postgres --init-groups $bin/postgres -D /data
	S
	chmod 755 "$root/usr/local/bin/postgres-start"
	pack postgres --config.entrypoint postgres-start --config.exposedports 5432/tcp --config.stopsignal SIGINT
}

make_python3() {
	from_base python3 python3-minimal
	pack python3 --config.cmd python3
}

for name; do
	have "$name" || "make_$name"
done
