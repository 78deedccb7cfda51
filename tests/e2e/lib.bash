# SPDX-License-Identifier: MIT
# lib.bash - what several end-to-end files need
# shellcheck shell=bash

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# registry_start DIR: a registry on loopback; sets REGISTRY (host:port) and REGISTRY_PID
registry_start() {
	local port
	port=$(free_port)
	REGISTRY=127.0.0.1:$port
	mkdir -p "$1"
	cat >"$1/config.yml" <<-Y
		version: 0.1
		storage: {filesystem: {rootdirectory: $1/data}, delete: {enabled: true}}
		http: {addr: '$REGISTRY'}
		log: {level: info, accesslog: {disabled: false}}
	Y
	docker-registry serve "$1/config.yml" >"$1/log" 2>&1 3>&- &
	REGISTRY_PID=$!
	for _ in $(seq 100); do
		curl -s "http://$REGISTRY/v2/" >/dev/null && return
		sleep 0.05
	done
	cat "$1/log" >&2
	return 1
}

# eventually SECONDS COMMAND...: true as soon as the command is; a slow host says how many times the seconds
eventually() {
	local until=$((SECONDS + $1 * ${CAISSON_TEST_PATIENCE:-1}))
	shift
	while ! "$@"; do
		[ $SECONDS -lt $until ] || return 1
		sleep 0.1
	done
}

state_of() { caisson inspect -f '{{.State.Status}}' "$1"; }
is_state() { [ "$(state_of "$1")" = "$2" ]; }

# pids of a machine: its keeper and its VMM
keeper_pid() { caisson inspect -f '{{.Caisson.KeeperPid}}' "$1"; }
vmm_pid() { caisson inspect -f '{{.Caisson.VmmPid}}' "$1"; }
process_gone() { ! kill -0 "$1" 2>/dev/null; }

remove_all() {
	local ids
	ids=$(caisson ps -aq)
	[ -z "$ids" ] || caisson rm -f $ids >/dev/null
}
