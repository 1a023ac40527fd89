#!/bin/sh
# Expected: mkfs.erofs --tar=f keeps the extended attributes of an archive, or drops them.
# Observed (mkfs.erofs 1.8.6, bsdtar 3.7.4, Debian 13): an attribute in a SCHILY.xattr header is kept; one in a LIBARCHIVE.xattr header,
# in base64, gets another value: "Hello" becomes six other bytes. By default, bsdtar writes both headers; then the first one counts.
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=erofs-utils=1.8.6-1,libarchive-tools=3.7.4-4+deb13u1,attr=1:2.5.2-3 trixie "$work/root"
cd "$work/root"
touch file
chroot . setfattr -n user.key -v Hello /file
for header in SCHILY LIBARCHIVE; do
    chroot . bsdtar --format=pax --options xattrheader=$header -cf /$header.tar -C / file
    chroot . mkfs.erofs --quiet --tar=f /$header.img /$header.tar >/dev/null
    chroot . fsck.erofs --extract=/$header --xattrs /$header.img >/dev/null
done
seen=$(for header in SCHILY LIBARCHIVE; do
    printf '%s %s\n' $header "$(chroot . getfattr -e hex -n user.key /$header/file | grep user.key)"
done)
expected='SCHILY user.key=0x48656c6c6f
LIBARCHIVE user.key=0x9251b19bc103'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
