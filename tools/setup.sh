#!/bin/bash
# SPDX-License-Identifier: MIT
# setup.sh - install the Debian packages that a step needs, those that are missing
#
#   tools/setup.sh build|run|image|demo|test|bench ...
set -euo pipefail

build="gcc libc6-dev meson ninja-build pkg-config libcurl4-openssl-dev libssl-dev libjansson-dev libsqlite3-dev
	libseccomp-dev libzstd-dev libisal-dev zlib1g-dev libcmocka-dev
	libfuse3-dev nbdkit-plugin-dev libext2fs-dev liburing-dev"
run="qemu-system-x86 qemu-system-common passt e2fsprogs ca-certificates nbdkit fuse3 qemu-utils
	grub-pc-bin grub-common"
image="mmdebstrap umoci busybox-static"
demo="docker-registry curl"
test="clang clang-format libclang-rt-14-dev bats jq skopeo podman runc buildah erofs-utils xz-utils
	python3-minimal python3 attr libarchive-tools iproute2 socat netcat-openbsd procps util-linux openssl apache2-utils
	redis-tools postgresql-client linux-source-6.1 flex bison bc libelf-dev make
	7zip python3-libvhdi bzip2 dpkg-dev libnbd-bin fdisk"
bench="docker.io podman runc iptables gnuplot-nox iperf3"

want=()
for set in "$@"; do
	case $set in
	build | run | image | demo | test | bench) read -r -d '' -a words <<<"${!set}" || true ;;
	*) echo "setup.sh: no such set: $set" >&2; exit 2 ;;
	esac
	want+=("${words[@]}")
done

missing=()
for p in "${want[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "setup.sh: these packages are missing; as root: apt-get install ${missing[*]}" >&2
	exit 1
fi
echo "installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Services of these packages are not wanted on this machine: the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
	trap 'rm -f $policy' EXIT
fi
log=$(mktemp)
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	rm -f "$log"
	exit 1
fi
rm -f "$log"
