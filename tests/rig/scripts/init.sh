#!/bin/sh
# First process of the machine: mounts what a system has, runs /rig/command, says how it ended, and powers off.
export PATH=/fanlight/target/rig/debug:/fanlight/target/rig/debug/examples:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t debugfs debugfs /sys/kernel/debug
ln -s /proc/self/fd /dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${stream%:*}" "/dev/${stream#*:}"
done
mkdir -m 700 -p /run/user/0 /tmp/home
cat /etc/hostname > /proc/sys/kernel/hostname
ip link set lo up
modprobe virtio_gpu

port() {
    for port in /sys/class/virtio-ports/*; do
        read -r name < "$port/name"
        if [ "$name" = "$1" ]; then echo "/dev/${port##*/}"; fi
    done
}

# In a pid namespace of its own: what the command leaves behind ends with it.
if [ -e /rig/interactive ]; then
    setsid -c unshare --pid --fork --mount-proc sh /rig/command < /dev/ttyS0 > /dev/ttyS0 2>&1
    status=$?
else
    # Through pipes, because a port can't be opened twice and programs do reopen /dev/stderr.
    mkfifo /run/out /run/err
    cat /run/out > "$(port out)" &
    out=$!
    cat /run/err > "$(port err)" &
    err=$!
    unshare --pid --fork --mount-proc sh /rig/command < /dev/null > /run/out 2> /run/err
    status=$?
    wait $out $err
fi
echo "exit $status" > /rig/status
busybox poweroff -f
