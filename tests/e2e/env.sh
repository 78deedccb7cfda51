# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# env.sh - where the end-to-end tests keep their store; sourced by tests/run.sh, by the suite and by hand
e2e_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export CAISSON_CACHE=${CAISSON_CACHE:-$e2e_top/.cache}
export CAISSON=$e2e_top/build/src/cli/caisson
e2e_store=${CAISSON_E2E_STORE:-$CAISSON_CACHE/e2e}
export CAISSON_ROOT=$e2e_store/root CAISSON_RUN=$e2e_store/run
export IMAGES_OCI=$CAISSON_CACHE/images/oci
mkdir -p "$CAISSON_ROOT" "$CAISSON_RUN"
export PATH=$e2e_top/build/src/cli:$PATH
