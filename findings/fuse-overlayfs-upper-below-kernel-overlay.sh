#!/bin/sh
# Expected: the upper directory that fuse-overlayfs has written, as root and with trusted.overlay.opaque set, can be a lower directory of
# the kernel's overlay: both use 0/0 devices as whiteouts.
# Observed (fuse-overlayfs 1.14, Debian 13): removed files are hidden there too, but a recreated directory shows two names that nobody
# made, .wh..opq (which can be listed, but not opened) and .wh..wh..opq: fuse-overlayfs marks such a directory in three ways at once.
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
mkdir -p lower/dir upper work merged
touch lower/gone lower/dir/old
chroot .. fuse-overlayfs -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work /mnt/merged >/dev/null 2>&1 </dev/null
rm -r merged/gone merged/dir
mkdir merged/dir
touch merged/dir/new
umount merged
mount -t overlay -o lowerdir=upper:lower none merged
cd merged
find . -mindepth 1 -print 2>/dev/null | sort
SH
)
expected='./dir
./dir/.wh..opq
./dir/.wh..wh..opq
./dir/new'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
