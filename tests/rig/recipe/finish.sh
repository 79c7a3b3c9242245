# After the last package: $1 is the new root.
set -eu
# Where the rig mounts the checkout, cargo's home, the toolchain, a run's own folder, and results.
mkdir "$1/fanlight" "$1/cargo" "$1/toolchain" "$1/rig" "$1/out"
# D-Bus and Mesa want one, and it need not be anyone's.
echo 0123456789abcdef0123456789abcdef > "$1/etc/machine-id"
echo fanlight-rig > "$1/etc/hostname"
printf '127.0.0.1 localhost fanlight-rig\n' > "$1/etc/hosts"
# The kernel mounts its root by itself: VIRTIO_FS is built in.
rm -f "$1"/boot/initrd.img*
