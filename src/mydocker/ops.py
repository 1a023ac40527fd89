"""Every step by which mydocker changes the kernel's mind about something, one small class each.

An op is plain data (its fields are JSON) with do(), undo(), shell(), the equivalent shell command, and phrase(), what
it is for. Planners make lists of them; only trace.py calls do() and undo(). undo() is for steps on the host, and must
be harmless after a do() that stopped half-way; a step in the container ends with its namespaces. topic: the heading
under which explain shows it.
"""

from __future__ import annotations

import _signal
import errno
import fcntl
import os
import stat

from mydocker.kernel import cgroups, mounts, netdev, process, seccomp, terminal
from mydocker.kernel.files import copy_tree, move_into, remove_tree
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


NETNS = "/run/netns"  # ip(8)'s


class Op:
    topic = ""
    _fields: tuple[str, ...] = ()

    def do(self) -> None:
        raise NotImplementedError

    def undo(self) -> None:
        """Nothing to take back, unless a subclass says otherwise."""

    def phrase(self) -> str:
        raise NotImplementedError

    def shell(self) -> str:
        raise NotImplementedError

    def arguments(self) -> dict[str, Any]:
        """Its fields, for a record that `revive` reads back."""
        return {name: getattr(self, name) for name in self._fields}


def revive(name: str, fields: dict[str, Any]) -> Op:
    """The op that a trace recorded. Raises KeyError for a name that is no op."""
    made: Op = classes()[name](**fields)
    return made


def classes() -> dict[str, Any]:
    """Every op that is loaded, by its name."""
    return {cls.__name__: cls for cls in Op.__subclasses__()}


def quote(word: str) -> str:
    """A word as a shell takes it."""
    safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_"
    if word and all(char in safe for char in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


# --- cgroup -----------------------------------------------------------------------------------------------------------


@record
class MakeCgroups(Op):
    """The container's directory in every hierarchy. undo() kills what is still in there."""

    paths: list[str]
    topic = "cgroup"

    def do(self) -> None:
        for path in self.paths:
            cgroups.make(path)

    def undo(self) -> None:
        for path in self.paths:
            cgroups.remove(path)

    def phrase(self) -> str:
        return "make the container's cgroup"

    def shell(self) -> str:
        return "mkdir -p " + " ".join(map(quote, self.paths))


@record
class EnableControllers(Op):
    """cgroup v2: a directory's children have only the controllers that each directory above passes on."""

    directories: list[str]
    controllers: list[str]
    topic = "cgroup"

    def do(self) -> None:
        for directory in self.directories:
            cgroups.write(f"{directory}/cgroup.subtree_control", " ".join(f"+{name}" for name in self.controllers))

    def phrase(self) -> str:
        return "pass the controllers on to it"

    def shell(self) -> str:
        wanted = " ".join(f"+{name}" for name in self.controllers)
        return "; ".join(
            f"echo '{wanted}' > {quote(directory)}/cgroup.subtree_control" for directory in self.directories
        )


@record
class FillCpuset(Op):
    """cgroup v1: a new cpuset is empty, and nothing may join it before it has CPUs and memory nodes."""

    path: str
    topic = "cgroup"

    def do(self) -> None:
        for name in ("cpuset.cpus", "cpuset.mems"):
            empty, directory = [], self.path
            while not cgroups.read(f"{directory}/{name}"):
                empty.append(directory)
                directory = os.path.dirname(directory)
            for below in reversed(empty):
                cgroups.write(f"{below}/{name}", cgroups.read(f"{directory}/{name}"))

    def phrase(self) -> str:
        return "give the empty cpuset its parent's CPUs"

    def shell(self) -> str:
        return f"cd {quote(self.path)} && for f in cpus mems; do cat ../cpuset.$f > cpuset.$f; done"


@record
class WriteCgroup(Op):
    path: str
    value: str
    topic = "cgroup"

    def do(self) -> None:
        cgroups.write(self.path, self.value)

    def phrase(self) -> str:
        return f"limit: {os.path.basename(self.path)} = {self.value}"

    def shell(self) -> str:
        return f"echo {quote(self.value)} > {quote(self.path)}"


@record
class AllowDevices(Op):
    """cgroup v1: deny every device, then allow these. rules: as devices.allow takes them, "c 1:3 rwm"."""

    path: str
    rules: list[str]
    topic = "cgroup"

    def do(self) -> None:
        cgroups.write(f"{self.path}/devices.deny", "a")
        for rule in self.rules:
            cgroups.write(f"{self.path}/devices.allow", rule)

    def phrase(self) -> str:
        return "allow every device" if self.rules == ["a"] else f"deny all devices but {len(self.rules)} rules"

    def shell(self) -> str:
        rules = " ".join(quote(rule) for rule in self.rules)
        return f'cd {quote(self.path)} && echo a > devices.deny && for r in {rules}; do echo "$r" > devices.allow; done'


@record
class FilterDevices(Op):
    """cgroup v2: the same as AllowDevices, by an eBPF program. devices: the OCI spec's linux.resources.devices."""

    path: str
    devices: list[dict[str, Any]]
    topic = "cgroup"

    def do(self) -> None:
        from mydocker.kernel import device_filter

        device_filter.attach(self.path, device_filter.compile(self.devices))

    def phrase(self) -> str:
        return f"attach a device filter of {len(self.devices)} rules"

    def shell(self) -> str:
        return f"bpftool cgroup attach {quote(self.path)} cgroup_device pinned /sys/fs/bpf/devices"


@record
class JoinCgroups(Op):
    """files: `tasks` on v1, cgroup.procs on v2.

    A process that writes itself to `tasks` skips the global lock and the RCU grace period that cgroup.procs
    takes on v1: 0.3 ms in all instead of 16.
    """

    files: list[str]
    topic = "cgroup"

    def do(self) -> None:
        for file in self.files:
            cgroups.write(file, "0")

    def phrase(self) -> str:
        return "join the cgroup"

    def shell(self) -> str:
        return f"echo 0 | tee {' '.join(map(quote, self.files))}"


# --- namespaces -------------------------------------------------------------------------------------------------------


@record
class Unshare(Op):
    """kinds: names of namespaces as in the OCI spec."""

    kinds: list[str]
    topic = "namespaces"

    def do(self) -> None:
        flags = 0
        for kind in self.kinds:
            flags |= process.NAMESPACES[kind]
        process.unshare(flags)

    def phrase(self) -> str:
        return f"enter a new {', '.join(self.kinds)} namespace"

    def shell(self) -> str:
        return "unshare " + " ".join({"network": "--net"}.get(kind, f"--{kind}") for kind in self.kinds)


@record
class JoinNamespaces(Op):
    """Those of a running container, by a pidfd of its first process, in one call (Linux 5.8)."""

    pidfd: int
    kinds: list[str]
    topic = "namespaces"

    def do(self) -> None:
        process.setns(self.pidfd, sum(process.NAMESPACES[kind] for kind in self.kinds))

    def phrase(self) -> str:
        return f"join its {', '.join(self.kinds)} namespaces"

    def shell(self) -> str:
        return "nsenter --target PID " + " ".join({"network": "--net"}.get(kind, f"--{kind}") for kind in self.kinds)


@record
class JoinNetwork(Op):
    """The network namespace of another container. descriptor: of that namespace, opened while its PID was known to be
    its own; path: the same, for people."""

    path: str
    descriptor: int
    topic = "network"

    def do(self) -> None:
        process.setns(self.descriptor, process.NAMESPACES["network"])

    def phrase(self) -> str:
        return "join the other container's network"

    def shell(self) -> str:
        return f"nsenter --net={quote(self.path)}"


@record
class ShowNamespace(Op):
    """For `ip netns exec NAME`: a link in the directory where ip(8) looks. A namespace of that name that somebody else
    has put there stays. pid: the container's first process, known only after the clone."""

    name: str
    pid: int = 0
    topic = "network"

    def do(self) -> None:
        path = f"{NETNS}/{self.name}"
        for _ in range(2):
            try:
                os.symlink(self._target(), path)
            except FileNotFoundError:
                os.makedirs(NETNS, 0o755, exist_ok=True)
            except FileExistsError:
                if not os.path.islink(path) or os.path.exists(path):
                    return
                os.unlink(path)  # of a container that has ended with its monitor
            else:
                return

    def undo(self) -> None:
        path = f"{NETNS}/{self.name}"
        try:
            if os.readlink(path) == self._target():
                os.unlink(path)
        except OSError:
            pass  # it is gone, or was never a link

    def _target(self) -> str:
        return f"/proc/{self.pid}/ns/net"

    def phrase(self) -> str:
        return f"show its network to ip netns as {self.name}"

    def shell(self) -> str:
        return f"ip netns attach {quote(self.name)} {self.pid or '$PID'}"


@record
class AwaitMonitor(Op):
    """Wait for one message on the socket to the monitor: what it does for us on the host is done. what: a phrase."""

    descriptor: int
    what: str = "the links are there"
    topic = "network"

    def do(self) -> None:
        if not os.read(self.descriptor, 16):
            raise OSError(errno.EPIPE, "the monitor has given up")

    def phrase(self) -> str:
        return f"wait until {self.what}"

    def shell(self) -> str:
        return f"read -r _ <&{self.descriptor}"


@record
class TellMonitor(Op):
    """Say to the monitor that the container's side of its networks is done: it waits for that before it goes on."""

    descriptor: int
    topic = "network"

    def do(self) -> None:
        os.write(self.descriptor, b"U")

    def phrase(self) -> str:
        return "say that its links are up"

    def shell(self) -> str:
        return f"echo >&{self.descriptor}"


@record
class SetHostname(Op):
    name: str
    topic = "namespaces"

    def do(self) -> None:
        process.set_hostname(self.name)

    def phrase(self) -> str:
        return f"call it {self.name}"

    def shell(self) -> str:
        return f"hostname {quote(self.name)}"


@record
class SetDomainname(Op):
    name: str
    topic = "namespaces"

    def do(self) -> None:
        process.set_domainname(self.name)

    def phrase(self) -> str:
        return f"its NIS domain is {self.name}"

    def shell(self) -> str:
        return f"domainname {quote(self.name)}"


@record
class LinkUp(Op):
    device: str
    topic = "network"

    def do(self) -> None:
        netdev.link_up(self.device)

    def phrase(self) -> str:
        return f"bring {self.device} up"

    def shell(self) -> str:
        return f"ip link set {quote(self.device)} up"


@record
class WriteSysctl(Op):
    """key: with dots, as sysctl(8) takes it. Only namespaced keys get this far (see model)."""

    key: str
    value: str
    topic = "namespaces"

    def do(self) -> None:
        cgroups.write("/proc/sys/" + self.key.replace(".", "/"), self.value)

    def phrase(self) -> str:
        return f"set {self.key}"

    def shell(self) -> str:
        return f"sysctl -w {quote(f'{self.key}={self.value}')}"


# --- mounts -----------------------------------------------------------------------------------------------------------


@record
class SetPropagation(Op):
    """For a mount and all below it. private: nothing gets out or in. slave: what the host mounts later still comes
    in.
    """

    target: str
    kind: str
    root: str = ""
    topic = "root"

    def do(self) -> None:
        flags = mounts.FLAGS[self.kind] | mounts.FLAGS["rec"]
        if not self.root:
            mounts.mount("none", self.target, flags=flags)
            return
        point = mounts.open_point(self.root, self.target)
        try:
            mounts.mount("none", f"/proc/self/fd/{point}", flags=flags)
        finally:
            os.close(point)

    def phrase(self) -> str:
        what = f"the mounts of {self.target}" if self.root else "the mounts"
        return f"cut {what} off from the host's" if self.kind == "private" else f"let {what} follow the host's only"

    def shell(self) -> str:
        return f"mount --make-r{self.kind} {quote(self.root + self.target)}"


_MOST_OF_FSCONFIG = 255
# What a link in the image may not bring a mount to: a forged /proc would be read by an exec on its way in.
_OURS = ("/proc", "/sys", "/dev")


@record
class Mount(Op):
    """One mount(2). flags: as mounts.FLAGS. root: if set, `target` is a path inside that directory, resolved there,
    links included; a missing mount point is made, a file for a bind mount of a file. follow: whether links on the way
    are followed (in the root) or refused; none may lead to the root itself, or into what the kernel or mydocker fills.
    readonly: of a bind mount, with all below it."""

    source: str
    target: str
    fstype: str = ""
    flags: int = 0
    data: str = ""
    root: str = ""
    follow: bool = True
    readonly: bool = False
    topic = "mounts"

    def do(self) -> None:
        if not self.root:
            mounts.mount(self.source, self.target, self.fstype, self.flags, self.data)
            return
        bind_file = bool(self.flags & mounts.FLAGS["bind"]) and not os.path.isdir(self.source)
        point = mounts.open_point(self.root, self.target, "file" if bind_file else "directory", self.follow)
        try:
            there = mounts.place(self.root, point)
            if there != self.target and (there == "/" or there.startswith(_OURS)):
                raise OSError(errno.EPERM, f"the image leads it to {there}", self.target)
            if self.readonly:
                mounts.bind_readonly(self.source, point, bool(self.flags & mounts.FLAGS["rec"]))
            else:
                mounts.mount(self.source, f"/proc/self/fd/{point}", self.fstype, self.flags, self.data)
        finally:
            os.close(point)

    def phrase(self) -> str:
        if not self.root:
            return f"mount {self.fstype or 'the copy'} as the container's root"
        return (
            f"{'bind' if self.flags & mounts.FLAGS['bind'] else 'mount'} {self.fstype or self.source} on {self.target}"
        )

    def shell(self) -> str:
        names = [name for name, bit in mounts.FLAGS.items() if self.flags & bit and name not in ("bind", "rec")]
        options = ",".join([*names, *(["ro"] if self.readonly else []), *([self.data] if self.data else [])])
        target = self.root + self.target if self.root else self.target
        if self.flags & mounts.FLAGS["bind"]:
            kind = "--rbind" if self.flags & mounts.FLAGS["rec"] else "--bind"
        else:
            kind = f"-t {self.fstype}"
        # mount(8) from 2.39 on uses fsconfig(2), whose values have 255 bytes: too few for many layers.
        mount = "LIBMOUNT_FORCE_MOUNT2=always mount" if len(options) > _MOST_OF_FSCONFIG else "mount"
        return " ".join([mount, kind, *(["-o", quote(options)] if options else []), quote(self.source), quote(target)])


@record
class RemountReadOnly(Op):
    """A mount inside `root` and all mounts below it."""

    root: str
    target: str
    topic = "mounts"

    def do(self) -> None:
        point = mounts.open_point(self.root, self.target)
        try:
            mounts.make_readonly(f"/proc/self/fd/{point}")
        finally:
            os.close(point)

    def phrase(self) -> str:
        return f"make {self.target} read-only"

    def shell(self) -> str:
        return f"mount -o remount,bind,ro {quote((self.root + self.target).rstrip('/'))}"


@record
class RootReadOnly(Op):
    """The root's own mount, but not what is mounted in it: volumes, /dev and /proc stay as they are."""

    root: str
    topic = "root"

    def do(self) -> None:
        flags = mounts.FLAGS["remount"] | mounts.FLAGS["bind"] | mounts.FLAGS["ro"]
        mounts.mount("none", self.root, flags=flags)

    def phrase(self) -> str:
        return "make the root read-only"

    def shell(self) -> str:
        return f"mount -o remount,bind,ro {quote(self.root)}"


@record
class FillVolume(Op):
    """A named volume that is still empty gets what the image has at its mount point, as with docker.

    volume: its directory _data. The copy is made beside it, where no container looks, and then moved in: another
    container that has the volume could replace a directory by a link while its owner and mode are being set.
    """

    root: str
    target: str
    volume: str
    topic = "mounts"

    def do(self) -> None:
        try:
            point = mounts.open_point(self.root, self.target)
        except FileNotFoundError:
            return
        own = os.open(os.path.dirname(self.volume), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(own, fcntl.LOCK_EX)  # one fills it; the others then find it full
            if stat.S_ISDIR(os.fstat(point).st_mode) and not os.listdir(self.volume):
                copy = f"{os.path.dirname(self.volume)}/copy"
                remove_tree(copy)  # of a start that was cut short
                copy_tree(f"/proc/self/fd/{point}", copy)
                move_into(copy, self.volume)
        finally:
            os.close(own)
            os.close(point)

    def phrase(self) -> str:
        return f"fill the empty volume with the image's {self.target}"

    def shell(self) -> str:
        return f"cp -a {quote(self.root + self.target)}/. {quote(self.volume)}"


@record
class MakeDevice(Op):
    """A device node inside `root`. kind: c, b or p."""

    root: str
    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int = 0
    gid: int = 0
    topic = "devices"

    def do(self) -> None:
        parent = mounts.open_point(self.root, os.path.dirname(self.path), "directory")
        try:
            name = os.path.basename(self.path)
            kind = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO, "u": stat.S_IFCHR}[self.kind]
            device = os.makedev(self.major, self.minor)
            try:
                os.mknod(name, self.mode | kind, device, dir_fd=parent)
            except FileExistsError:
                there = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if stat.S_IFMT(there.st_mode) != kind or there.st_rdev != device:
                    raise
                return  # it came with a volume over /dev, and is not ours to change
            os.chown(name, self.uid, self.gid, dir_fd=parent, follow_symlinks=False)
            # The umask is 022 here, and mknod obeys it.
            os.chmod(f"/proc/self/fd/{parent}/{name}", self.mode)
        finally:
            os.close(parent)

    def phrase(self) -> str:
        return f"make {self.path}"

    def shell(self) -> str:
        numbers = "" if self.kind == "p" else f" {self.major} {self.minor}"
        owner = f" && chown {self.uid}:{self.gid} {quote(self.root + self.path)}" if self.uid or self.gid else ""
        return f"mknod -m {self.mode:04o} {quote(self.root + self.path)} {self.kind}{numbers}{owner}"


@record
class MakeLink(Op):
    """A symbolic link inside `root`."""

    root: str
    target: str
    path: str
    topic = "devices"

    def do(self) -> None:
        parent = mounts.open_point(self.root, os.path.dirname(self.path), "directory")
        try:
            os.symlink(self.target, os.path.basename(self.path), dir_fd=parent)
        finally:
            os.close(parent)

    def phrase(self) -> str:
        return f"{self.path} leads to {self.target}"

    def shell(self) -> str:
        return f"ln -s {quote(self.target)} {quote(self.root + self.path)}"


@record
class MarkRoot(Op):
    """What programs look for: /.dockerenv, by which they know that they are in a container, and /etc/mtab. What the
    image has there stays."""

    root: str
    topic = "root"

    def do(self) -> None:
        top = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            os.close(os.open(".dockerenv", flags, 0o755, dir_fd=top))
        except FileExistsError:
            pass
        finally:
            os.close(top)
        directory = mounts.open_point(self.root, "/etc", "directory")
        try:
            os.symlink("/proc/mounts", "mtab", dir_fd=directory)
        except FileExistsError:
            pass
        finally:
            os.close(directory)

    def phrase(self) -> str:
        return "have /.dockerenv and /etc/mtab"

    def shell(self) -> str:
        root = quote(self.root)
        return f"touch {root}/.dockerenv; ln -s /proc/mounts {root}/etc/mtab"


@record
class MakeDirectory(Op):
    """A directory inside `root`, and those above it, where they are missing."""

    root: str
    path: str
    topic = "root"

    def do(self) -> None:
        os.close(mounts.open_point(self.root, self.path, "directory"))

    def phrase(self) -> str:
        return f"make sure that {self.path} is there"

    def shell(self) -> str:
        return f"mkdir -p {quote(self.root + self.path)}"


@record
class PivotRoot(Op):
    root: str
    topic = "root"

    def do(self) -> None:
        mounts.pivot_root(self.root)

    def phrase(self) -> str:
        return "make it the root, let the host's go"

    def shell(self) -> str:
        return f"cd {quote(self.root)} && pivot_root . . && umount -l . && cd /"


@record
class MaskPath(Op):
    """Hide a file under /dev/null, a directory under an empty read-only tmpfs. What is not there needs no mask."""

    root: str
    path: str
    topic = "security"

    def do(self) -> None:
        try:
            point = mounts.open_point(self.root, self.path, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            if stat.S_ISDIR(os.fstat(point).st_mode):
                flags = sum(mounts.FLAGS[name] for name in ("ro", "nosuid", "nodev", "noexec"))
                mounts.mount("tmpfs", f"/proc/self/fd/{point}", "tmpfs", flags, "nr_inodes=1,mode=0555")
            else:
                null = _null_device(self.root)
                mounts.mount(f"/proc/self/fd/{null}", f"/proc/self/fd/{point}", flags=mounts.FLAGS["bind"])
                os.close(null)
        finally:
            os.close(point)

    def phrase(self) -> str:
        return f"hide {self.path}"

    def shell(self) -> str:
        return f"mount --bind /dev/null {quote(self.root + self.path)}"


def _null_device(root: str) -> int:
    """The container's own /dev/null, so that `mount` in there tells nothing of the host's /dev; the host's if it has
    none, as a volume over /dev may have put anything there."""
    try:
        null = mounts.open_point(root, "/dev/null", follow=False)
        status = os.fstat(null)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3):
            return null
        os.close(null)
    except OSError:
        pass
    return os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)


@record
class ReadOnlyPath(Op):
    root: str
    path: str
    topic = "security"

    def do(self) -> None:
        try:
            point = mounts.open_point(self.root, self.path, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            here = f"/proc/self/fd/{point}"
            mounts.mount(here, here, flags=mounts.FLAGS["bind"] | mounts.FLAGS["rec"])
        finally:
            os.close(point)
        # That descriptor is of what now lies below the new mount: the path leads to the mount itself.
        point = mounts.open_point(self.root, self.path, follow=False)
        try:
            mounts.make_readonly(f"/proc/self/fd/{point}")
        finally:
            os.close(point)

    def phrase(self) -> str:
        return f"make {self.path} read-only"

    def shell(self) -> str:
        path = quote(self.root + self.path)
        return f"mount --bind {path} {path} && mount -o remount,bind,ro {path}"


# --- process and privileges -------------------------------------------------------------------------------------------


@record
class NewSession(Op):
    topic = "process"

    def do(self) -> None:
        os.setsid()

    def phrase(self) -> str:
        return "lead a new session, without a terminal"

    def shell(self) -> str:
        return "setsid"


@record
class OpenTerminal(Op):
    """A pseudo-terminal of the container's own devpts becomes descriptors 0, 1 and 2. console: it is the container's
    first: the controlling terminal, and on /dev/console.

    After do(), `master` is the other end's descriptor, for the monitor."""

    root: str
    rows: int
    columns: int
    console: bool
    topic = "process"

    def do(self) -> None:
        self.master = terminal.open_pty(self.root, self.rows, self.columns, self.console)

    def phrase(self) -> str:
        return "open a terminal in the container's /dev/pts"

    def shell(self) -> str:
        return "script -q /dev/null  # posix_openpt, TIOCSCTTY"


@record
class SetLimit(Op):
    """An rlimit. resource: the kernel's number. soft, hard: -1 is unlimited."""

    name: str
    resource: int
    soft: int
    hard: int
    topic = "limits"

    def do(self) -> None:
        process.set_rlimit(self.resource, self.soft, self.hard)

    def phrase(self) -> str:
        return f"limit: {self.name.lower()} = {_limit(self.soft)}"

    def shell(self) -> str:
        return f"prlimit --pid $$ --{self.name[7:].lower()}={_limit(self.soft)}:{_limit(self.hard)}"


def _limit(value: int) -> str:
    return "unlimited" if value < 0 else str(value)


@record
class SetOomScore(Op):
    score: int
    topic = "limits"

    def do(self) -> None:
        cgroups.write("/proc/self/oom_score_adj", str(self.score))

    def phrase(self) -> str:
        return "set how readily the OOM killer picks it"

    def shell(self) -> str:
        return f"echo {self.score} > /proc/self/oom_score_adj"


@record
class NoNewPrivileges(Op):
    topic = "security"

    def do(self) -> None:
        process.no_new_privileges()

    def phrase(self) -> str:
        return "no set-uid program can give more"

    def shell(self) -> str:
        return "setpriv --no-new-privs"


@record
class LoadSeccomp(Op):
    """program: classic BPF in hexadecimal. about: where it is from. flags: of seccomp(2)."""

    about: str
    program: str
    flags: int = 0
    topic = "security"

    def do(self) -> None:
        seccomp.load(bytes.fromhex(self.program), self.flags)

    def phrase(self) -> str:
        return f"filter system calls, {len(self.program) // 16} BPF instructions"

    def shell(self) -> str:
        return f"# seccomp(SECCOMP_SET_MODE_FILTER), {self.about}"


@record
class DropBounding(Op):
    """keep: a bit mask of the capabilities that no program in the container can ever exceed."""

    keep: int
    topic = "security"

    def do(self) -> None:
        process.drop_bounding(self.keep)

    def phrase(self) -> str:
        return f"bound capabilities to {self.keep:016x}"

    def shell(self) -> str:
        return f"capsh --drop=…  # CapBnd: {self.keep:016x}"


@record
class SwitchUser(Op):
    """Group IDs, then user ID; capabilities are kept through it, for SetCapabilities to say what remains."""

    uid: int
    gid: int
    groups: list[int]
    topic = "security"

    def do(self) -> None:
        process.keep_capabilities(True)
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        process.keep_capabilities(False)
        # A change of user makes a process dumpable or not by the host's fs.suid_dumpable; we stay closed.
        process.set_dumpable(False)

    def phrase(self) -> str:
        return f"become user {self.uid}, group {self.gid}"

    def shell(self) -> str:
        groups = f"--groups {','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
        return f"setpriv --reuid {self.uid} --regid {self.gid} {groups}"


@record
class SetCapabilities(Op):
    """Bit masks."""

    effective: int
    permitted: int
    inheritable: int
    ambient: int
    topic = "security"

    def do(self) -> None:
        process.set_capabilities(self.effective, self.permitted, self.inheritable)
        process.set_ambient(self.ambient)

    def phrase(self) -> str:
        return f"keep capabilities {self.effective:016x}"

    def shell(self) -> str:
        return f"capsh --caps=…  # CapEff: {self.effective:016x}, CapInh: {self.inheritable:016x}"


@record
class NewKeyring(Op):
    topic = "process"

    def do(self) -> None:
        process.new_session_keyring()

    def phrase(self) -> str:
        return "leave the caller's keys behind"

    def shell(self) -> str:
        return "keyctl session -"


@record
class ResetSignals(Op):
    """Whatever the caller ignored or blocked, the container starts with the defaults."""

    topic = "process"

    def do(self) -> None:
        for number in range(1, 65):
            if number not in (9, 19, 32, 33):  # KILL and STOP can't be set; 32 and 33 are the C library's own
                _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])

    def phrase(self) -> str:
        return "take every signal's default"

    def shell(self) -> str:
        return "env --default-signal --block-signal="


@record
class OwnStreams(Op):
    """A user other than root may open /dev/stdout: the pipes and the terminal of the container become his."""

    uid: int
    topic = "process"

    def do(self) -> None:
        for descriptor in (0, 1, 2):
            status = os.fstat(descriptor)
            # Never what the container only shares, such as the host's /dev/null.
            pty = stat.S_ISCHR(status.st_mode) and 136 <= os.major(status.st_rdev) < 144
            if stat.S_ISFIFO(status.st_mode) or pty:
                os.fchown(descriptor, self.uid, -1)

    def phrase(self) -> str:
        return "own its standard streams"

    def shell(self) -> str:
        return f"chown {self.uid} /dev/stdin /dev/stdout /dev/stderr"


@record
class DieWithMonitor(Op):
    topic = "process"

    def do(self) -> None:
        process.die_with_parent()

    def phrase(self) -> str:
        return "end when the monitor ends"

    def shell(self) -> str:
        return "setpriv --pdeathsig SIGKILL"


@record
class CloseDescriptors(Op):
    """lowest: the first descriptor that is closed, with all above it."""

    lowest: int
    topic = "process"

    def do(self) -> None:
        process.close_from(self.lowest)

    def phrase(self) -> str:
        return "close what the caller left open"

    def shell(self) -> str:
        return f"# close_range({self.lowest}, ~0)"


@record
class ChangeDirectory(Op):
    """The working directory, which must be inside the root: `WORKDIR /proc/self/fd/N` may not lead out."""

    path: str
    topic = "process"

    def do(self) -> None:
        os.chdir(self.path)
        try:
            here = os.getcwd()
        except FileNotFoundError:
            here = ""
        # getcwd(2) names a directory outside the root "(unreachable)/…"; glibc turns that into ENOENT.
        if not here.startswith("/"):
            raise OSError(errno.EPERM, "the working directory is outside of the container's root", self.path)

    def phrase(self) -> str:
        return f"work in {self.path}"

    def shell(self) -> str:
        return f"cd {quote(self.path)}"
