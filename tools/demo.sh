#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh - caisson's first session, for real: an nginx image made from Debian packages, a registry on
# loopback, push, pull, run, a request answered from inside the virtual machine, exec, logs, stop.
# Everything it starts it ends; only caches (.cache/) stay.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
cache=${CAISSON_CACHE:-$top/.cache}
begin=$(date +%s.%N)

bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'
[ -t 1 ] || bold='' dim='' off=''

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f s", b - a }'; }
title() { printf '\n%s# %s%s\n' "$bold" "$*" "$off"; }

# show COMMAND...: print it, run it, say how long it took
show() {
	local t
	printf '%s$ %s%s\n' "$bold" "$*" "$off"
	t=$(now)
	"$@"
	printf '%s  (%s)%s\n' "$dim" "$(since "$t")" "$off"
}
quiet() { # like show, without the command's own output unless it fails
	local t log
	log=$(mktemp)
	printf '%s$ %s%s\n' "$bold" "$*" "$off"
	t=$(now)
	if ! "$@" >"$log" 2>&1; then
		tail -n 30 "$log"
		rm -f "$log"
		exit 1
	fi
	rm -f "$log"
	printf '%s  (%s)%s\n' "$dim" "$(since "$t")" "$off"
}

free_port() {
	local p
	for p in $(shuf -i 20000-40000 -n 20); do
		(exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p"; return; }
	done
	return 1
}

registry_pid='' work=''
clean_up() {
	local rc=$?
	if [ -n "$work" ]; then
		caisson rm -f web >/dev/null 2>&1 || true
		caisson rmi -f "${registry:-}/nginx" >/dev/null 2>&1 || true # so that the next demo pulls, too
		caisson template prune >/dev/null 2>&1 || true # ends the processes that hold templates
	fi
	[ -z "$registry_pid" ] || { kill "$registry_pid" 2>/dev/null && wait "$registry_pid" 2>/dev/null; } || true
	[ -z "$work" ] || rm -rf "$work"
	exit $rc
}
trap clean_up EXIT
trap 'exit 130' INT TERM

title "packages and build"
quiet tools/setup.sh build run image demo
quiet make --no-print-directory build
export PATH=$top/build/src/cli:$PATH CAISSON_ROOT=$cache/demo/root CAISSON_RUN=$cache/demo/run
mkdir -p "$CAISSON_ROOT" "$CAISSON_RUN"
work=$(mktemp -d)

title "a guest kernel (the distribution's own, unpacked, not installed)"
if caisson kernel ls -q 2>/dev/null | grep -q .; then show caisson kernel ls; else show caisson kernel install; fi

title "an nginx image from Debian packages, and a registry on loopback"
quiet tests/images/build.sh "$cache/images" nginx
port=$(free_port)
registry=127.0.0.1:$port
cat >"$work/registry.yml" <<-Y
	version: 0.1
	storage: {filesystem: {rootdirectory: $work/registry}}
	http: {addr: $registry}
	log: {level: error, accesslog: {disabled: true}}
Y
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry_pid=$!
for _ in $(seq 50); do
	curl -s "http://$registry/v2/" >/dev/null && break
	sleep 0.1
done

caisson rmi -f "$registry/nginx" >/dev/null 2>&1 || true
caisson image import "$cache/images/oci:nginx" "$registry/nginx:latest" >/dev/null
show caisson push "$registry/nginx"
show caisson rmi "$registry/nginx"

title "the session"
show caisson pull "$registry/nginx"
web=$(free_port)
show caisson run -d --name web -p "$web:80" "$registry/nginx"
t=$(now)
printf '%s$ curl http://127.0.0.1:%s/%s\n' "$bold" "$web" "$off"
for _ in $(seq 300); do
	curl -s -m 2 "http://127.0.0.1:$web/" >"$work/page" && [ -s "$work/page" ] && break
	sleep 0.02
done
grep -q 'Welcome to nginx' "$work/page" || { echo "nginx did not answer"; caisson logs web; exit 1; }
sed -n 's/.*<title>\(.*\)<\/title>.*/  title: \1/p' "$work/page"
printf '%s  (%s)%s\n' "$dim" "$(since "$t")" "$off"
show caisson ps
show caisson exec web uname -srm
echo "  (this host: $(uname -srm))"
show caisson exec web cat /proc/1/comm
show caisson logs web
show caisson stop web
show caisson rm web

title "and once more, now that its template is there"
show caisson run --rm "$registry/nginx" echo "hello from a virtual machine of my own"
printf '\nThe whole demo took %s.\n' "$(since "$begin")"
