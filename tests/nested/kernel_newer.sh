#!/bin/bash
# SPDX-License-Identifier: MIT
# kernel_newer.sh - fetch Debian's next kernel (bookworm-backports) for tests in the nested machine
#
#   tests/nested/kernel_newer.sh STORE
#
# By "caisson kernel install" into a store of its own, with an apt configuration of its own, so that
# this machine's stays as it is. Exit code 77, and why, where it cannot be had.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
store=$(realpath -m "$1")
key=/usr/share/keyrings/debian-archive-keyring.gpg
! compgen -G "$store/kernels/6.1[0-9].*/kernel" >/dev/null || exit 0

cannot() {
	echo "$*"
	exit 77
}
[ -e "$key" ] || cannot "$key is missing: this is not Debian"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/lists/partial "$scratch"/cache/archives/partial "$store"
echo "deb [signed-by=$key] http://deb.debian.org/debian bookworm-backports main" >"$scratch/sources.list"
cat >"$scratch/apt.conf" <<-END
	Dir::Etc::SourceList "$scratch/sources.list";
	Dir::Etc::SourceParts "-";
	Dir::State::Lists "$scratch/lists";
	Dir::Cache "$scratch/cache";
	APT::Sandbox::User "root";
END
export APT_CONFIG=$scratch/apt.conf
timeout 300 apt-get -q update >"$scratch/log" 2>&1 || cannot "apt-get update of bookworm-backports failed: $(tail -n 1 "$scratch/log")"
package=$(apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-6.*\)/\1/p')
[ -n "$package" ] || cannot "bookworm-backports has no linux-image-cloud-amd64"
"$top/build/src/cli/caisson" --root "$store" --run "$scratch/run" kernel install "$package" >"$scratch/log" 2>&1 ||
	cannot "kernel install $package failed: $(tail -n 1 "$scratch/log")"
