#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# user.bats - everything again as an ordinary user, who was made for this test

setup_file() {
	load lib
	export TEST_USER=caisson-test-$$ USER_DIR
	[ "$(id -u)" = 0 ] || { export WHY="only root can make a user"; return; }
	# one who may use KVM, where a group may
	group=$(stat -c %G /dev/kvm 2>/dev/null)
	case $group in '' | root | UNKNOWN) group= ;; esac
	useradd --no-create-home --shell /bin/sh ${group:+-G "$group"} "$TEST_USER" || { export WHY="useradd failed"; return; }
	# not below bats' own directory, which is closed to others
	USER_DIR=$(mktemp -d "${CAISSON_E2E_STORE:-/var/tmp}/caisson-user.XXXXXX")
	mkdir -p "$USER_DIR"/{root,run,home,oci,share}
	skopeo copy -q "oci:$IMAGES_OCI:busybox" "oci:$USER_DIR/oci:busybox"
	cp -r "$CAISSON_ROOT/kernels" "$USER_DIR/root/"
	chmod -R go+rX "$USER_DIR/oci"
	chown -R "$TEST_USER:" "$USER_DIR"
	chmod 755 "$USER_DIR"
	as_user caisson version >/dev/null 2>&1 || { export WHY="an ordinary user cannot run $CAISSON"; return; }
	as_user caisson image import "$USER_DIR/oci:busybox" busybox
}
teardown_file() {
	[ -n "$USER_DIR" ] || return 0
	as_user sh -c 'ids=$(caisson ps -aq); [ -z "$ids" ] || caisson rm -f $ids; caisson template prune' >/dev/null 2>&1
	# what its machines left running would keep userdel from its work: by pid, and only that user's
	for p in $(pgrep -u "$TEST_USER"); do kill "$p"; done
	userdel "$TEST_USER"
	rm -rf "$USER_DIR"
}
as_user() {
	(cd "$USER_DIR" && runuser -u "$TEST_USER" -- env -i PATH="$PATH" HOME="$USER_DIR/home" XDG_RUNTIME_DIR="$USER_DIR/run" \
		CAISSON_ROOT="$USER_DIR/root" CAISSON_RUN="$USER_DIR/run/caisson" "$@")
}
setup() {
	load lib
	load expect
	[ -z "${WHY:-}" ] || skip "$WHY"
}
teardown() {
	[ -n "${WHY:-}" ] || as_user sh -c 'ids=$(caisson ps -aq); [ -z "$ids" ] || caisson rm -f $ids' >/dev/null
}

@test "run: output, exit code, the user's processes are the user's" {
	[ "$(as_user caisson run --rm busybox echo hello)" = hello ]
	run as_user caisson run --rm busybox sh -c 'id -u; exit 9'
	[ "$status" = 9 ]
	[ "$output" = 0 ]
	as_user caisson run -d --name mm busybox sleep 1000
	for p in KeeperPid VmmPid; do
		pid=$(as_user caisson inspect -f "{{.Caisson.$p}}" mm)
		[ "$(stat -c %U "/proc/$pid")" = "$TEST_USER" ]
	done
	[ "$(as_user caisson exec mm echo in)" = in ]
	as_user caisson stop -t 0 mm
	as_user caisson start mm
	as_user caisson rm -f mm
}

@test "templates work: the second start is a clone of the image's" {
	as_user caisson run --rm busybox true
	eventually 60 as_user sh -c 'caisson template ls | grep -q image'
	as_user caisson run --name warm busybox true
	[ "$(as_user caisson inspect -f '{{.Caisson.Boot}}' warm)" = image ]
}

@test "published ports and the way out" {
	port=$(free_port)
	as_user caisson run -d --name ww -p "127.0.0.1:$port:80" busybox sh -c 'echo from inside >/index.html; httpd -f -p 80 -h /'
	eventually 20 curl -sf "http://127.0.0.1:$port/index.html" -o "$BATS_TEST_TMPDIR/page"
	grep -qx 'from inside' "$BATS_TEST_TMPDIR/page"
	run as_user caisson exec ww sh -c 'ip route; cat /etc/resolv.conf'
	[[ $output == *default* ]]
}

@test "volumes: files made inside belong to the user outside" {
	as_user sh -c "echo host >$USER_DIR/share/file"
	[ "$(as_user caisson run --rm -v "$USER_DIR/share:/s" busybox sh -c 'cat /s/file; echo guest >/s/new')" = host ]
	[ "$(cat "$USER_DIR/share/new")" = guest ]
	[ "$(stat -c %U "$USER_DIR/share/new")" = "$TEST_USER" ]
	echo root-only >"$USER_DIR/share/closed"
	chmod 600 "$USER_DIR/share/closed"
	run as_user caisson run --rm -v "$USER_DIR/share:/s" busybox cat /s/closed
	[[ $output != *root-only* ]]
	rm "$USER_DIR/share/closed"
	run as_user caisson run --rm -v "$USER_DIR/share:/s:ro" busybox touch /s/never
	[ "$status" = 1 ]
}

@test "pull, push, images, rmi" {
	name=$REGISTRY/user/x
	as_user caisson tag busybox "$name"
	as_user caisson push "$name"
	as_user caisson rmi "$name"
	as_user caisson pull "$name"
	as_user caisson images | grep -q "^$name "
	as_user caisson rmi "$name"
}

@test "doctor finds nothing that is in the way" {
	run as_user caisson doctor
	[ "$status" = 0 ]
}

@test "one user's store is closed to another" {
	[ "$(stat -c %a "$USER_DIR/root/machines")" = 700 ] || [ "$(stat -c %a "$USER_DIR/root")" = 700 ]
	run runuser -u nobody -- env PATH="$PATH" CAISSON_ROOT="$USER_DIR/root" CAISSON_RUN="$USER_DIR/run/caisson" caisson ps
	[ "$status" != 0 ]
}
