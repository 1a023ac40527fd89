# Debian in a virtual machine of plain qemu, for the other scripts; sourced after lib.sh.
# shellcheck shell=sh

# shellcheck disable=SC2034  # for `need`, by the scripts
VM_PACKAGES="mmdebstrap e2fsprogs openssh-client qemu-system-x86 qemu-utils"

# vm_make DIR SUITE [PACKAGE…]: make a disk, its kernel and a key for root in DIR.
vm_make() {
    vm=$1
    suite=$2
    shift 2
    mkdir -p "$vm"
    ssh-keygen -q -t ed25519 -N '' -f "$vm/key"
    mmdebstrap --quiet --mode=root --variant=apt "$suite" "$vm/root" \
        --include="linux-image-cloud-amd64 systemd-sysv dbus libpam-systemd udev kmod openssh-server python3 $*"
    printf 'debian\n' >"$vm/root/etc/hostname"
    printf '127.0.0.1 localhost debian\n' >"$vm/root/etc/hosts"
    printf '[Match]\nName=eth0\n[Network]\nDHCP=yes\n' >"$vm/root/etc/systemd/network/eth0.network"
    printf 'nameserver 10.0.2.3\n' >"$vm/root/etc/resolv.conf" # qemu's own
    chroot "$vm/root" systemctl --quiet enable systemd-networkd.service
    install -D -m 600 "$vm/key.pub" "$vm/root/root/.ssh/authorized_keys"
    for timer in apt-daily apt-daily-upgrade e2scrub_all fstrim; do # they would disturb the tests
        ln -s /dev/null "$vm/root/etc/systemd/system/$timer.timer"
    done
    cp -L "$vm/root/vmlinuz" "$vm/root/initrd.img" "$vm"
    mke2fs -q -t ext4 -d "$vm/root" "$vm/disk" 4G
    rm -rf --one-file-system "$vm/root"
}

# vm_up DIR PORT: boot it, with ssh at 127.0.0.1:PORT. MYDOCKER_VM_TCG=1: do not use KVM, which may be broken.
vm_up() {
    accelerator="tcg,thread=multi"
    processor=Nehalem # a newer one takes longer to emulate
    if [ "${MYDOCKER_VM_TCG-}" != 1 ] && grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
        accelerator=kvm
        processor=max
    fi
    qemu-system-x86_64 -nodefaults -display none -machine q35 -accel "$accelerator" -cpu "$processor" -smp 2 -m 2048 \
        -kernel "$1/vmlinuz" -initrd "$1/initrd.img" \
        -append "root=/dev/vda rw net.ifnames=0 mitigations=off console=ttyS0" -serial "file:$1/console" \
        -drive "file=$1/disk,format=raw,if=virtio,cache=unsafe" \
        -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$2-:22" -device virtio-net-pci,netdev=net \
        -daemonize -pidfile "$1/pid"
    tries=0
    until vm_ssh "$1" "$2" true 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || die "the virtual machine does not answer; see $1/console"
        sleep 3
    done
}

# vm_ssh DIR PORT COMMAND…
vm_ssh() {
    directory=$1
    port=$2
    shift 2
    ssh -q -i "$directory/key" -p "$port" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o ConnectTimeout=5 -o BatchMode=yes root@127.0.0.1 "$@"
}

# vm_down DIR: power it off.
vm_down() {
    [ ! -e "$1/pid" ] || kill "$(cat "$1/pid")" 2>/dev/null || true
    rm -f "$1/pid"
}
