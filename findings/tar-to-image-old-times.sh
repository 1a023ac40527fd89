#!/bin/sh
# Expected: a file older than 1970 keeps its time in an image, or gets 0.
# Observed (Debian 13; an archive in pax form, mtime -5): mkfs.erofs 1.8.6 keeps -5, tar2sqfs 1.3.2 makes it 0, and sqfstar 4.6.1 refuses
# the whole archive ("Failed to parse pax header"). mke2fs 1.47.2 keeps it, as a mount shows, but debugfs extracts it as 2106.
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=erofs-utils=1.8.6-1,squashfs-tools=1:4.6.1-1,squashfs-tools-ng=1.3.2-1,e2fsprogs=1.47.2-3+b12,libarchive13t64=3.7.4-4+deb13u1 trixie "$work/root"
cd "$work/root"
touch -d @-5 file
tar --format=posix -cf old.tar file
image() {
    case $1 in
    mkfs.erofs) chroot . mkfs.erofs --quiet --tar=f /image /old.tar && chroot . fsck.erofs --extract=/out --preserve /image ;;
    sqfstar) chroot . sqfstar -quiet -no-progress /image <old.tar && chroot . unsquashfs -quiet -no-progress -force -dest /out /image ;;
    tar2sqfs) chroot . tar2sqfs -q /image <old.tar && chroot . unsquashfs -quiet -no-progress -force -dest /out /image ;;
    mke2fs*) chroot . mke2fs -q -t ext4 -d /old.tar /image 8M && chroot . debugfs -R 'rdump / /out' /image ;;
    esac
}
seen=$(for tool in mkfs.erofs sqfstar tar2sqfs 'mke2fs, debugfs'; do
    rm -rf image out
    mkdir out
    if image "$tool" >/dev/null 2>&1; then echo "$tool: $(stat -c %Y out/file)"; else echo "$tool: refused"; fi
done)
expected='mkfs.erofs: -5
sqfstar: refused
tar2sqfs: 0
mke2fs, debugfs: 4294967291'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
