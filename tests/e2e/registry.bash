# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# registry.bash - registries that want a password, or speak TLS

# registry_serve DIR HTTP-OPTIONS AUTH: sets SERVED (host:port) and SERVED_PID
registry_serve() {
	local curl=(curl -sk -o /dev/null) scheme=http
	mkdir -p "$1"
	SERVED=127.0.0.1:$(free_port)
	[[ $2 != *tls* ]] || scheme=https
	cat >"$1/config.yml" <<-Y
		version: 0.1
		storage: {filesystem: {rootdirectory: $1/data}}
		http: {addr: '$SERVED'$2}
		$3
	Y
	docker-registry serve "$1/config.yml" >"$1/log" 2>&1 3>&- &
	# shellcheck disable=SC2034 # the test ends it
	SERVED_PID=$!
	eventually 10 "${curl[@]}" "$scheme://$SERVED/v2/" || { cat "$1/log" >&2; return 1; }
}

# registry_with_password DIR: user "ship", password "anchor"
registry_with_password() {
	mkdir -p "$1"
	htpasswd -Bbn ship anchor >"$1/htpasswd"
	registry_serve "$1" '' "auth: {htpasswd: {realm: dock, path: $1/htpasswd}}"
}

# registry_with_tls DIR: a certificate of DIR/ca.crt
registry_with_tls() {
	mkdir -p "$1"
	(
		cd "$1" || exit
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
			-keyout ca.key -out ca.crt
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry -keyout key -out csr
		openssl x509 -req -in csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out crt \
			-extfile <(echo subjectAltName=IP:127.0.0.1)
	) >"$1/openssl.log" 2>&1 || { cat "$1/openssl.log" >&2; return 1; }
	registry_serve "$1" ", tls: {certificate: $1/crt, key: $1/key}" ''
}
