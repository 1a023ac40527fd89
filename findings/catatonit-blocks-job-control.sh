#!/bin/sh
# Expected: the program that a container's init starts has no signals blocked, whichever init it is.
# Observed (catatonit 0.2.1, tini 0.19.0, dumb-init 1.2.5, Debian 13): catatonit, podman's --init, starts the program with SIGTSTP,
# SIGTTIN and SIGTTOU blocked (bits 19 to 21). Ctrl-Z has no effect on a program that does not unblock them. dumb-init makes the program
# the leader of a new session; the other two keep it in the caller's.
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=catatonit=0.2.1-2+b14,tini=0.19.0-3+b8,dumb-init=1.2.5-3 trixie "$work/root"
cat >"$work/root/look" <<'LOOK'
grep SigBlk /proc/self/status | cut -f 2
cut -d ' ' -f 6 /proc/$$/stat
LOOK
seen=$(for init in 'catatonit --' 'tini --' dumb-init; do
    # shellcheck disable=SC2086
    printf '%s: %s\n' "${init%% *}" "$(unshare --pid --fork --kill-child --mount-proc="$work/root/proc" chroot "$work/root" $init sh /look | xargs)"
done)
expected='catatonit: 0000000000380000 0
tini: 0000000000000000 0
dumb-init: 0000000000000000 2'
printf 'init: blocked signals, session\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
