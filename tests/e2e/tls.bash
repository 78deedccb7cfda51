# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# tls.bash - a private authority, and certificates by it

# authority_make DIR NAME: DIR/ca.crt, DIR/ca.key
authority_make() {
	mkdir -p "$1"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$2" \
		-keyout "$1/ca.key" -out "$1/ca.crt" 2>/dev/null
}

# certificate_make CA-DIR CERT KEY [EXTENSION]
certificate_make() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test -keyout "$3" -out "$2.csr" 2>/dev/null
	openssl x509 -req -in "$2.csr" -CA "$1/ca.crt" -CAkey "$1/ca.key" -CAcreateserial -days 2 -out "$2" \
		-extfile <(echo "${4:-}") 2>/dev/null
}
