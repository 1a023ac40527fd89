#!/bin/sh
# Expected: a sparse file stays sparse when an overlay copies it to the upper directory.
# Observed (fuse-overlayfs 1.14, Debian 13): after one byte is appended, a sparse file of 100 MiB uses 100 MiB. The kernel's overlay
# keeps the hole.
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=fuse-overlayfs=1.14-1+b1 trixie "$work/root"

[ -c /dev/fuse ] || { echo "needs /dev/fuse"; exit 2; }
mknod "$work/root/dev/fuse" c 10 229
seen=$(unshare --mount --propagation private sh -eu -s "$work/root" <<'SH'
cd "$1"
mount -t proc proc proc
mount -t tmpfs none mnt
cd mnt
mkdir lower upper work merged kernel-upper kernel-work
truncate -s 100M lower/sparse
change() {
    printf x >>merged/sparse
    printf '%s: %s KiB\n' "$1" $(($(stat -c %b merged/sparse) / 2))
    umount merged
}
chroot .. fuse-overlayfs -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work /mnt/merged >/dev/null 2>&1 </dev/null
change fuse-overlayfs
mount -t overlay -o lowerdir=lower,upperdir=kernel-upper,workdir=kernel-work none merged
change kernel
SH
)
expected='fuse-overlayfs: 102404 KiB
kernel: 4 KiB'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
