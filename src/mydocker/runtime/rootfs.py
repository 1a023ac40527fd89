"""Plan a container's root: from the OCI spec to the mounts, device nodes and links below its rootfs directory.

All steps run in the container's own mount namespace, before pivot_root, so that nothing can leak on the host. Paths in
the image are resolved inside its root (see Mount); /proc, /sys and /dev must not be links at all.
"""

from __future__ import annotations

from mydocker import jsontext
from mydocker.errors import HostError
from mydocker.kernel.mounts import FLAGS
from mydocker.model.oci.annotations import FILL, MADE, SHM, SUBPATHS, VOLUMES, WRITABLE_BELOW
from mydocker.ops.base import Op
from mydocker.ops.rootfs import (
    FillVolume,
    MakeDevice,
    MakeDirectory,
    MakeLink,
    MarkRoot,
    MaskPath,
    Mount,
    NoteMade,
    PivotRoot,
    ReadOnlyPath,
    RemountReadOnly,
    RootReadOnly,
    SetPropagation,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout

# The OCI runtime spec's default devices, with Docker's modes.
DEVICES = [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
LINKS = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
    ("pts/ptmx", "/dev/ptmx"),
]
_PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")
_KERNEL_FILE_SYSTEMS = ("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue")


def plan(spec: dict[str, Any], root: str, root_ops: list[Op], layout: Layout) -> list[Op]:
    """Plan everything up to seal(). root: the container's root. root_ops: the storage driver's steps that mount it."""
    slave = spec.get("linux", {}).get("rootfsPropagation", "rprivate").endswith("slave")
    steps: list[Op] = [SetPropagation("/", "slave" if slave else "private"), *root_ops, MarkRoot(root)]
    mounted: dict[str, bool] = {}
    if VOLUMES in spec.get("annotations", {}):
        from mydocker.runtime import volumes as with_options

        options = jsontext.loads(spec["annotations"][VOLUMES])
        steps += with_options.plan(options)
        mounted = with_options.fillable(options)
    fill = jsontext.loads(spec.get("annotations", {}).get(FILL, "[]"))
    requested = [device["path"] for device in spec.get("linux", {}).get("devices", [])]
    # Volumes are filled before /proc and /sys are mounted: the image's mount point may be a link into them.
    volumes = [mount for mount in spec.get("mounts", []) if mount["destination"] in fill]
    if volumes:
        from mydocker.kernel import copying  # noqa: F401  FillVolume needs it where no module can be loaded any more
    inside = jsontext.loads(spec.get("annotations", {}).get(SUBPATHS, "{}"))
    for mount in volumes:
        source, subpath = _split(mount, inside)
        if mounted.get(source, True):
            steps.append(FillVolume(root, mount["destination"], source, source in mounted, subpath))
    linux = spec.get("linux", {})
    has_own_view = any(each["type"] == "cgroup" for each in linux.get("namespaces", []))
    shared_view = "" if has_own_view else linux.get("cgroupsPath", "")
    writable_below = jsontext.loads(spec.get("annotations", {}).get(WRITABLE_BELOW, "[]"))
    for mount in spec.get("mounts", []):
        steps += _mount(mount, root, layout, shared_view, mount["destination"] not in writable_below, inside)
        if slave and not any(option.endswith("slave") for option in mount.get("options", [])):
            steps.append(SetPropagation(mount["destination"], "private", root))
        if mount["destination"] == "/dev" and mount.get("type") == "tmpfs":
            own = [row for row in DEVICES if f"/dev/{row[0]}" not in requested]
            steps += [MakeDevice(root, f"/dev/{name}", "c", major, minor, 0o666) for name, major, minor in own]
            steps += [MakeLink(root, target, path) for target, path in LINKS]
    for device in linux.get("devices", []):
        steps.append(
            MakeDevice(
                root,
                device["path"],
                device["type"],
                device.get("major", 0),
                device.get("minor", 0),
                device.get("fileMode", 0o666),
                device.get("uid", 0),
                device.get("gid", 0),
            )
        )
    if spec["process"].get("cwd", "/") != "/":
        steps.append(MakeDirectory(root, spec["process"]["cwd"]))
    steps += [MaskPath(root, path) for path in linux.get("maskedPaths", [])]
    steps += [ReadOnlyPath(root, path) for path in linux.get("readonlyPaths", [])]
    return steps


def seal(spec: dict[str, Any], root: str) -> list[Op]:
    """Plan the last steps on the root. They follow the terminal, whose /dev/console is a file in the root."""
    steps: list[Op] = []
    note = spec.get("annotations", {}).get(MADE)
    if note:
        steps.append(NoteMade(root, note))
    if spec["root"].get("readonly"):
        steps.append(RootReadOnly(root))
    return [*steps, PivotRoot(root)]


def _mount(
    mount: dict[str, Any], root: str, layout: Layout, shared_view: str, below: bool, inside: dict[str, str]
) -> list[Op]:
    """shared_view: the path of its cgroup, if it has no cgroup namespace. below: of a read-only bind mount, the mounts
    below it are read-only, too. inside: as SUBPATHS has it."""
    kind, destination = mount.get("type", "bind"), mount["destination"]
    flags, data, readonly = _options(mount)
    if kind == "cgroup":
        return _cgroup(destination, root, layout, readonly, shared_view)
    follow = kind not in _KERNEL_FILE_SYSTEMS and destination != "/dev"
    if mount.get("source") == SHM:
        from mydocker.runtime import sharing

        return [sharing.shared_memory(root, destination)]
    if flags & FLAGS["bind"]:
        if data or flags & ~(FLAGS["bind"] | FLAGS["rec"] | FLAGS["ro"]):
            # The kernel would ignore these options silently.
            raise HostError(
                f"the bind mount on {destination} has unsupported options", "only ro, bind and rbind are supported"
            )
        flags &= ~FLAGS["ro"]
        source, subpath = _split(mount, inside)
        return [Mount(source, destination, "", flags, "", root, readonly=readonly, below=below, inside=subpath)]
    return [Mount(mount.get("source", kind), destination, kind, flags, data, root, follow)]


def _split(mount: dict[str, Any], inside: dict[str, str]) -> tuple[str, str]:
    """Split a bind mount's source: (the volume's directory, the path in it)."""
    subpath = inside.get(mount["destination"], "")
    return mount["source"].removesuffix(f"/{subpath}") if subpath else mount["source"], subpath


def _options(mount: dict[str, Any]) -> tuple[int, str, bool]:
    """Split the spec's list of options: (flags, data for the file system, True for a read-only mount)."""
    flags, data, readonly = 0, [], False
    for option in mount.get("options", []):
        if option == "rbind":
            flags |= FLAGS["bind"] | FLAGS["rec"]
        elif option == "ro":
            flags, readonly = flags | FLAGS["ro"], True
        elif option in FLAGS and option not in _PROPAGATION:
            flags |= FLAGS[option]
        elif option not in _PROPAGATION and option != "rw":
            data.append(option)
    if mount.get("type", "bind") == "bind":
        flags |= FLAGS["bind"]
    return flags, ",".join(data), readonly


def _cgroup(destination: str, root: str, layout: Layout, readonly: bool, shared_view: str) -> list[Op]:
    """Mount every hierarchy. In the container's cgroup namespace the root of each mount is the container's cgroup.

    Without one (shared_view: its path), a hierarchy of v1 is its cgroup bound there, and v2 is the host's, as with
    runc."""
    safe = FLAGS["nosuid"] | FLAGS["nodev"] | FLAGS["noexec"]
    final = safe | FLAGS["ro"] if readonly else safe
    if layout.version == 2:
        return [Mount("cgroup2", destination, "cgroup2", final, "", root, False)]
    steps: list[Op] = [Mount("tmpfs", destination, "tmpfs", safe, "mode=755", root, False)]
    for point in layout.directories():
        controllers = [name for name, mount in layout.mounts.items() if mount == point]
        name = point.rpartition("/")[2]
        if shared_view:
            bind = FLAGS["bind"] | FLAGS["rec"]
            steps.append(Mount(point + shared_view, f"{destination}/{name}", "", bind, "", root, readonly=readonly))
        elif controllers == ["unified"]:
            steps.append(Mount("cgroup2", f"{destination}/{name}", "cgroup2", final, "", root, False))
            continue
        else:
            steps.append(Mount("cgroup", f"{destination}/{name}", "cgroup", final, ",".join(controllers), root, False))
        steps += [
            MakeLink(root, name, f"{destination}/{other}")
            for other in controllers
            if "=" not in other and other != name
        ]
    return [*steps, RemountReadOnly(root, destination)] if readonly else steps
