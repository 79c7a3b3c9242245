# First process of a mount and pid namespace: makes ROOT a machine to work in, read-only but for what is bound, and
# runs a command there. All of it ends with this process.
#   enter.sh ROOT [rw|ro SOURCE TARGET]... -- COMMAND...
set -eu
root=$1
shift
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 run "$root/run"
while [ "$1" != -- ]; do
    mount --bind "$2" "$root$3"
    [ "$1" = rw ] || mount -o "remount,bind,$1" "$root$3"
    shift 3
done
shift
# Not exec: this process stays the namespace's first, so that the command may be killed from inside.
chroot "$root" "$@"
