"""From a request to a bundle's config.json: the OCI runtime spec 1.0.2, with docker's defaults.

https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md. `runc` starts the same bundle. Data for which OCI
has no field is in annotations: the user as typed, whose name only the container's files can resolve, and --init.
"""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.oci import capabilities, seccomp_profile
from mydocker.model.oci.annotations import GROUPS, INIT, JOINED, NETWORK_OF, SECCOMP, SHM, TERM, USER
from mydocker.model.options import keyvalue, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from mydocker.model.host import BlockDevice, HostFacts, Node
    from mydocker.model.options.mounts import Mount
    from mydocker.model.options.request import CreateRequest

    Json = dict[str, Any]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = 65534  # the user of a process until the name of its user is resolved
_CPU_PERIOD = 100_000  # µs, the kernel's default
_RLIM_INFINITY = 2**64 - 1  # OCI's limits are unsigned

# A kind of options.resources -> the list in linux.resources.blockIO.
_BLOCK_IO = {
    "weight": "weightDevice",
    "read_bps": "throttleReadBpsDevice",
    "write_bps": "throttleWriteBpsDevice",
    "read_iops": "throttleReadIOPSDevice",
    "write_iops": "throttleWriteIOPSDevice",
}

# moby's daemon/pkg/oci/defaults.go. HostFacts.masked adds the thermal counters of the machine.
MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

# Every limit is set, so that none is inherited from the caller's shell. These are systemd's defaults, which docker
# inherits (nofile 1024:524288), except nproc, which counts a user's processes on the whole machine: the pids cgroup
# limits those of a container.
_LIMITS = {
    "core": (0, -1),
    "cpu": (-1, -1),
    "data": (-1, -1),
    "fsize": (-1, -1),
    "locks": (-1, -1),
    "memlock": (8 * units.MIB, 8 * units.MIB),
    "msgqueue": (819200, 819200),
    "nice": (0, 0),
    "nofile": (1024, 524288),
    "nproc": (-1, -1),
    "rss": (-1, -1),
    "rtprio": (0, 0),
    "rttime": (-1, -1),
    "sigpending": (32768, 32768),
    "stack": (8 * units.MIB, -1),
    "as": (-1, -1),
}

# The device cgroup allows making any node (but not opening it), the terminals, and the devices of /dev, as with runc.
_DEVICES = [
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),  # null
    ("c", 1, 5, "rwm"),  # zero
    ("c", 1, 7, "rwm"),  # full
    ("c", 1, 8, "rwm"),  # random
    ("c", 1, 9, "rwm"),  # urandom
    ("c", 5, 0, "rwm"),  # tty
    ("c", 5, 1, "rwm"),  # console
    ("c", 5, 2, "rwm"),  # ptmx
    ("c", 136, None, "rwm"),  # pts
]


def cgroup_parent(systemd: bool, configured: str = "") -> str:
    """Return the parent of containers' cgroups, in every hierarchy. systemd: the host runs it. configured: the value in
    config.yaml.

    In a slice the cgroups are one level further down: systemd disables controllers in a slice's subtree_control that it
    believes unused, and the kernel refuses that (EBUSY) as long as a level below passes them on.
    """
    parent = configured.strip("/") or ("mydocker.slice" if systemd else "mydocker")
    return f"/{parent}/containers" if parent.endswith(".slice") else f"/{parent}"


def build(
    request: CreateRequest,
    container_id: str,
    directory: str,
    host: HostFacts,
    volumes: Mapping[str, str] | None = None,
    nodes: Iterable[Node] = (),
    shared: tuple[str, str, str] | None = None,
    parent: str = "",
    blocks: Iterable[BlockDevice] = (),
) -> Json:
    """Return config.json. request: a complete() one. directory: the container's. volumes: name -> path. nodes, blocks:
    from host.nodes(), host.block_devices(). shared: name, host name and directory of the container whose network it
    shares, and whose /etc/hosts, /etc/hostname and /etc/resolv.conf. parent: config.yaml's cgroup_parent.

    Raises InvalidArgument for capabilities that mydocker does not have, and for an invalid seccomp profile.
    """
    nodes = list(nodes)
    bounding = capabilities.bounding(request.cap_add, request.cap_drop, request.privileged, host.capabilities)
    own_name = host.hostname if request.network == "host" else container_id[:12]
    name, hostname, files = shared or ("", request.hostname or own_name, directory)
    hostname = "" if request.uts == "host" else hostname
    spec: Json = {
        "ociVersion": "1.0.2",
        "process": _process(request, hostname or host.hostname, bounding, host),
        "root": {"path": "rootfs", "readonly": request.read_only},
        "mounts": _mounts(request, files, volumes or {}),
        "annotations": dict(request.annotations),
        "linux": {
            "namespaces": _namespaces(request, name),
            "cgroupsPath": f"{cgroup_parent(host.systemd, request.cgroup_parent or parent)}/{container_id}",
            "resources": resources(request, host, nodes, blocks),
            "devices": [{key: value for key, value in node.items() if key != "access"} for node in nodes],
            "sysctl": _sysctls(request),
            "maskedPaths": [] if request.privileged or request.unmasked else MASKED + host.masked,
            "readonlyPaths": [] if request.privileged or request.unmasked else READ_ONLY,
            "rootfsPropagation": "rslave" if any("slave" in m["propagation"] for m in request.mounts) else "rprivate",
        },
    }
    if hostname:
        spec["hostname"] = hostname
    if request.domainname:
        spec["domainname"] = request.domainname
    if request.group_add:
        spec["annotations"][GROUPS] = ",".join(request.group_add)
    if shared:
        spec["annotations"][NETWORK_OF] = request.network.partition(":")[2]
    for kind, mode in (("pid", request.pid), ("ipc", request.ipc)):
        if mode.startswith("container:"):
            spec["annotations"][JOINED[kind]] = mode.partition(":")[2]
    if request.user:
        spec["annotations"][USER] = request.user
    if _has_default_term(request):
        spec["annotations"][TERM] = "true"
    if request.init:
        spec["annotations"][INIT] = "true"
    if request.seccomp not in ("", "unconfined"):
        spec["linux"]["seccomp"] = seccomp_profile.from_file(request.seccomp, bounding, host.kernel)
        spec["annotations"][SECCOMP] = "the profile that was given"
    elif not request.seccomp and not request.privileged:
        spec["linux"]["seccomp"] = seccomp_profile.default(bounding, host.kernel)
    return spec


def _process(request: CreateRequest, hostname: str, bounding: list[str], host: HostFacts) -> Json:
    uid, gid = user_ids(request.user)
    # A name may turn out to be root's. For any other user the kernel drops these when the process changes to it.
    permitted = bounding if uid in (0, NOBODY) else []
    added = [int(group) for group in request.group_add if group.isdigit()]
    user: Json = {"uid": uid, "gid": gid, "additionalGids": [gid, *added]}
    if request.umask >= 0:
        user["umask"] = request.umask
    return {
        "terminal": request.tty,
        "user": user,
        "args": (request.entrypoint or []) + request.command,
        "env": environment(request, hostname),
        "cwd": request.workdir or "/",
        "capabilities": {
            "bounding": bounding,
            "permitted": permitted,
            "effective": permitted,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": _rlimits(request, host),
        "noNewPrivileges": request.no_new_privileges,
        "oomScoreAdj": request.oom_score_adj,
    }


def user_ids(text: str) -> tuple[int, int]:
    """Return UID and GID for NAME-or-UID[:GROUP-or-GID]: 0 if it is not given, NOBODY for a name."""
    user, _, group = text.partition(":")
    uid = int(user or "0") if not user or user.isdigit() else NOBODY
    if not group:
        return uid, NOBODY if uid == NOBODY else 0
    return uid, int(group) if group.isdigit() else NOBODY


def environment(request: CreateRequest, hostname: str) -> list[str]:
    """Return KEY=VALUE rows. The runtime adds HOME from the container's /etc/passwd, as runc does."""
    own = [f"PATH={PATH}", f"HOSTNAME={hostname}", *(["TERM=xterm"] if request.tty else [])]
    return keyvalue.overlay(own, request.env)


def _has_default_term(request: CreateRequest) -> bool:
    return request.tty and not any(row.partition("=")[0] == "TERM" for row in request.env)


def _rlimits(request: CreateRequest, host: HostFacts) -> list[Json]:
    limits = {**_LIMITS, **{limit["name"]: (limit["soft"], limit["hard"]) for limit in request.ulimits}}
    rlimits = []
    for name, pair in limits.items():
        maximum = host.hard_limits.get(name, units.UNLIMITED)
        soft, hard = (_unsigned(min(_unsigned(value), _unsigned(maximum))) for value in pair)
        rlimits.append({"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard})
    return rlimits


def _unsigned(limit: int) -> int:
    return _RLIM_INFINITY if limit == units.UNLIMITED else limit


def _mounts(request: CreateRequest, directory: str, volumes: Mapping[str, str]) -> list[Json]:
    """Return the kernel's file systems, then the container's files in /etc and the user's mounts, parents first.

    Nothing of ours is mounted where the user mounts something, or below a /dev of theirs.
    """
    taken = {mount["target"] for mount in request.mounts}
    ours = [
        mount
        for mount in _system_mounts(request)
        if mount["destination"] not in taken and not ("/dev" in taken and mount["destination"].startswith("/dev/"))
    ]
    files = [
        _entry(
            f"/etc/{name}", "bind", f"{directory}/{name}", "rbind", *(["ro"] if request.read_only else []), "rprivate"
        )
        for name in ("hostname", "hosts", "resolv.conf")
        if f"/etc/{name}" not in taken
    ]
    users = [_user_mount(mount, volumes) for mount in request.mounts]
    return ours + sorted(files + users, key=lambda mount: mount["destination"].count("/"))


def _system_mounts(request: CreateRequest) -> list[Json]:
    locked = ("nosuid", "noexec", "nodev")
    guarded = locked if request.privileged else (*locked, "ro")
    if request.ipc.startswith("container:"):
        shm = _entry("/dev/shm", "bind", SHM, "rbind", "rprivate")
    elif request.ipc == "host":
        shm = _entry("/dev/shm", "bind", "/dev/shm", "rbind", "rprivate")
    else:
        shm = _entry("/dev/shm", "tmpfs", "shm", *locked, "mode=1777", f"size={request.shm_size}")
    return [
        _entry("/proc", "proc", "proc", *locked),
        _entry("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _entry(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _entry("/sys", "sysfs", "sysfs", *guarded),
        _entry("/sys/fs/cgroup", "cgroup", "cgroup", *guarded),
        _entry("/dev/mqueue", "mqueue", "mqueue", *locked),
        *([] if request.ipc == "none" else [shm]),
    ]


def _user_mount(mount: Mount, volumes: Mapping[str, str]) -> Json:
    if mount["type"] == "tmpfs":
        return _entry(mount["target"], "tmpfs", "tmpfs", *mount["options"])
    if mount["type"] == "volume" and mount["source"] not in volumes:
        raise InvalidArgument(f"no such volume: {mount['source']}", "see 'mydocker volume ls'")
    source = volumes[mount["source"]] if mount["type"] == "volume" else mount["source"]
    if "subpath" in mount:
        source = f"{source}/{mount['subpath']}"
    options = ["rbind" if mount["recursive"] else "bind", *(["ro"] if mount["read_only"] else []), mount["propagation"]]
    return _entry(mount["target"], "bind", source, *options)


def _entry(destination: str, kind: str, source: str, *options: str) -> Json:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _namespaces(request: CreateRequest, sharer: str) -> list[Json]:
    """sharer: the name of the container whose network it shares, or ""."""
    shared = {
        "network": request.network,
        "uts": request.uts,
        "pid": request.pid,
        "ipc": request.ipc,
        "cgroup": request.cgroupns,
    }
    kinds = ("mount", "network", "uts", "pid", "ipc", "cgroup")
    namespaces: list[Json] = [{"type": kind} for kind in kinds if shared.get(kind) != "host"]
    for each in namespaces:
        if shared.get(each["type"], "").startswith("container:") and each["type"] in JOINED:
            each["path"] = f"/proc/PID/ns/{each['type']}"  # the other container's, at each start
    if sharer:
        next(each for each in namespaces if each["type"] == "network")["path"] = f"/run/netns/{sharer}"
    return namespaces


def resources(request: CreateRequest, host: HostFacts, nodes: list[Node], blocks: Iterable[BlockDevice] = ()) -> Json:
    """Return linux.resources."""
    resources: Json = {"devices": _device_rules(request, nodes)}
    memory: Json = {}
    if request.memory:
        memory["limit"] = request.memory
        if host.swap:  # docker's default is as much swap as memory
            memory["swap"] = request.memory_swap or 2 * request.memory
    if request.memory_reservation:
        memory["reservation"] = request.memory_reservation
    if request.memory_swappiness >= 0:
        memory["swappiness"] = request.memory_swappiness
    if request.oom_kill_disable:
        memory["disableOOMKiller"] = True
    cpu: Json = {}
    if request.cpu_shares:
        cpu["shares"] = request.cpu_shares
    if request.nano_cpus:
        cpu["quota"] = request.nano_cpus * _CPU_PERIOD // 10**9
        cpu["period"] = _CPU_PERIOD
    for key, value in (
        ("quota", request.cpu_quota),
        ("period", request.cpu_period),
        ("realtimeRuntime", request.cpu_rt_runtime),
        ("realtimePeriod", request.cpu_rt_period),
    ):
        if value:
            cpu[key] = value
    if request.cpuset_cpus:
        cpu["cpus"] = request.cpuset_cpus
    if request.cpuset_mems:
        cpu["mems"] = request.cpuset_mems
    if memory:
        resources["memory"] = memory
    if cpu:
        resources["cpu"] = cpu
    if request.pids_limit:
        resources["pids"] = {"limit": request.pids_limit}
    if request.blkio_weight or blocks:
        resources["blockIO"] = _block_io(request.blkio_weight, blocks)
    return resources


def _block_io(weight: int, blocks: Iterable[BlockDevice]) -> Json:
    shown: Json = {"weight": weight} if weight else {}
    for block in blocks:
        value = {"weight" if block["kind"] == "weight" else "rate": block["value"]}
        shown.setdefault(_BLOCK_IO[block["kind"]], []).append(
            {"major": block["major"], "minor": block["minor"], **value}
        )
    return shown


def _device_rules(request: CreateRequest, nodes: list[Node]) -> list[Json]:
    if request.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[Json] = [{"allow": False, "access": "rwm"}]
    requested = [(node["type"], node["major"], node["minor"], node["access"]) for node in nodes]
    for kind, major, minor, access in _DEVICES + requested:
        rule: Json = {"allow": True, "type": kind, "access": access}
        if major is not None:
            rule["major"] = major
        if minor is not None:
            rule["minor"] = minor
        rules.append(rule)
    return rules + [rule for text in request.device_rules for rule in _typed_rules(text)]


def _typed_rules(text: str) -> list[Json]:
    """Translate --device-cgroup-rule. `a` with a number or without an access is two rules: the kernel's own `a` ignores
    both, and would allow everything."""
    kind, numbers, access = text.split(" ")
    if text.startswith("a *:* ") and set(access) == set("rwm"):
        return [{"allow": True, "access": "rwm"}]
    pairs = zip(("major", "minor"), numbers.split(":"))
    given = {key: int(value) for key, value in pairs if value != "*"}
    return [{"allow": True, "type": each, "access": access, **given} for each in ("bc" if kind == "a" else kind)]


def _sysctls(request: CreateRequest) -> dict[str, str]:
    """Return the user's sysctls and docker's two, which let any user ping, and listen on low ports, in a network of the
    container's own."""
    own = {}
    if request.network != "host" and not request.network.startswith("container:"):
        own = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    return {**own, **request.sysctls}
