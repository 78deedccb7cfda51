set -e
cd /work/h/lead
. tests/e2e/env.sh
store=$CAISSON_ROOT
export CAISSON_ROOT=/tmp/caisson/root CAISSON_RUN=/tmp/caisson/run
mkdir -p "$CAISSON_ROOT" "$CAISSON_RUN"
mkdir $CAISSON_ROOT/kernels; cp -a $store/kernels/[!.]* $CAISSON_ROOT/kernels
cp -f ${K:-/work/cache/k-1} $CAISSON_ROOT/kernels/small-6.1.192/kernel
caisson kernel use small-6.1.192
caisson image import "$IMAGES_OCI:busybox" localhost/busybox:latest >/dev/null
for d in ${D:-kvm}; do
  CAISSON_TRACE=1 caisson run --rm --driver $d --network none localhost/busybox dmesg > /out/dmesg.$d 2>/out/err.$d || true
  caisson template prune >/dev/null
done
