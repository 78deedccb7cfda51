#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fetch_registry.sh [WORKER] - caisson-fetch against docker-registry: push, pull, resume, mounts, login
#
# Two registries on loopback, one of them with a password. Exit status 77 when something is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

skip() {
	echo "skipped: $*" >&2
	exit 77
}

worker=$(realpath "${1:-$here/../../build/libexec/caisson-fetch}")
[[ -x $worker ]] || skip "no $worker"
for tool in docker-registry htpasswd openssl python3; do
	[[ -n $(type -P "$tool") ]] || skip "$tool is not installed"
done

tmp=$(mktemp -d)
pids=()
cleanup() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
	rm -rf "$tmp"
}
trap cleanup EXIT
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 # it traces itself, which the sandbox forbids
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
registry_start() { # NAME PORT [MORE]
	cat >"$tmp/$1.yml" <<-Y
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $tmp/$1}}
		http: {addr: "127.0.0.1:$2"}
		${3:-}
	Y
	docker-registry serve "$tmp/$1.yml" >"$tmp/$1.log" 2>&1 &
	pids+=($!)
	for _ in $(seq 100); do
		(: </dev/tcp/127.0.0.1/"$2") 2>/dev/null && return
		sleep 0.1
	done
	cat "$tmp/$1.log" >&2
	return 1
}

htpasswd -Bbc "$tmp/passwd" user 'pass:word' 2>/dev/null
open=$(free_port) closed=$(free_port)
registry_start open "$open"
registry_start closed "$closed" "auth: {htpasswd: {realm: test, path: $tmp/passwd}}"
mkdir "$tmp/work"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 \
	-keyout "$tmp/work/key.pem" -out "$tmp/work/cert.pem" 2>/dev/null
python3 "$here/fetch_registry.py" "$worker" "http://127.0.0.1:$open" "http://127.0.0.1:$closed" \
	user 'pass:word' "$tmp/work"
