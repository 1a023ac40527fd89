"""The request for a container: every option of run and create, parsed and checked, with the image's defaults.

A CreateRequest can be written as JSON. It is kept with the container: start, inspect and commit read it.
"""

from __future__ import annotations

from mydocker.errors import CorruptRecord, HostError, ImageNotFound, InvalidArgument
from mydocker.model.oci import capabilities
from mydocker.model.options import keyvalue, mounts, names, net, ports, resolver, restart, signals, units
from mydocker.model.options.references import BUSYBOX
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from mydocker.model.host import HostFacts
    from mydocker.model.options.mounts import Device, Mount
    from mydocker.model.options.resources import BlockLimit
    from mydocker.model.options.units import Ulimit

SCHEMA = 1
MIN_MEMORY = 6 * units.MIB  # docker's: with less, a start fails with errors that do not name the cause
SHM_SIZE = 64 * units.MIB
# Options that are accepted only for what happens anyway -> (the accepted values, why there are no others).
_ANYWAY = {
    "log_driver": (
        ("json-file", "local"),
        "json-file or local: the log is always a file on this host, for 'mydocker logs'",
    ),
    "runtime": (("runc", "io.containerd.runc.v2", "mydocker"), "runc: mydocker itself does what runc does"),
    "userns": (("host",), "host: there are no user namespaces"),
    "isolation": (("default",), "default: Linux has no other"),
    "volume_driver": (("local",), "local: volumes are directories of this host"),
}
PULL = ("always", "missing", "never")  # --pull: when a registry is asked for the image
# Options that few containers have: options.resources and options.isolation, which parse and check them, are loaded for
# them only.
RARE_LIMITS = (
    "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "memory_reservation", "memory_swappiness",
    "oom_kill_disable", "blkio_weight", "blkio_weight_device", "device_read_bps", "device_write_bps",
    "device_read_iops", "device_write_iops", "device_cgroup_rule", "cgroup_parent",
)  # fmt: skip
_RARE = ("domainname", "group_add", "umask", "annotation", "volumes_from", "cgroupns")
_MAX_PIDS = 4 * units.MIB  # the kernel's PID_MAX_LIMIT
_LONGEST_STOP = 10**9  # seconds
_LARGEST_FILE = 1 << 20  # bytes, of --env-file and its like


@record
class CreateRequest:
    """words: [IMAGE] [COMMAND] [ARG…] as typed; see resolve_words(). Zero, "" or None: the option is not given."""

    words: list[str]
    name: str = ""  # "": a random one
    detach: bool = False
    interactive: bool = False
    tty: bool = False
    attach: list[str] = []  # stdin, stdout, stderr; []: what is usual
    auto_remove: bool = False
    restart: str = restart.NO  # a policy of options.restart
    cidfile: str = ""
    explain: bool = False
    dry_run: bool = False
    # The process. complete() sets image, and adds the image's defaults to the others.
    image: str = ""
    platform: str = ""  # as typed
    pull: str = ""  # always, missing or never; "": missing
    quiet: bool = False  # about the pull
    entrypoint: list[str] | None = None  # []: none, not even the image's
    command: list[str] = []
    env: list[str] = []  # KEY=VALUE
    user: str = ""
    group_add: list[str] = []  # as typed
    umask: int = -1  # -1: 022
    workdir: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    exposed_ports: list[str] = []  # "80/tcp"
    published: list[str] = []  # as options.ports writes them
    publish_all: bool = False
    stop_signal: str = ""
    stop_timeout: int | None = None  # seconds; -1: never kill
    log_size: int = 0  # bytes of a log file; 0: the host's default
    log_files: int = 0  # number of log files, likewise
    log_options: dict[str, str] = {}  # as typed
    anyway: dict[str, str] = {}  # _ANYWAY's options as typed, for inspect to show
    no_healthcheck: bool = False
    init: bool = False
    oom_score_adj: int = 0
    ulimits: list[Ulimit] = []
    # Its view of the host
    hostname: str = ""
    domainname: str = ""
    network: str = "none"  # none, host, container:ID, or the first network's name
    networks: list[dict[str, Any]] = []  # model.network.Endpoint, without addresses
    dns: list[str] = []
    dns_search: list[str] = []
    dns_options: list[str] = []
    extra_hosts: list[str] = []  # NAME:ADDRESS
    pid: str = ""  # "", host or container:ID
    ipc: str = ""  # likewise, or shareable or none
    uts: str = ""  # "" or host; likewise cgroupns
    cgroupns: str = ""
    read_only: bool = False
    mounts: list[Mount] = []
    volumes_from: list[str] = []  # CONTAINER[:MODE], as typed; their mounts are in mounts
    devices: list[Device] = []
    shm_size: int = SHM_SIZE
    sysctls: dict[str, str] = {}
    # Its resources
    memory: int = 0  # bytes
    memory_swap: int = 0  # bytes of memory plus swap; -1: no limit of swap
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    cpu_period: int = 0  # µs, likewise the next three
    cpu_quota: int = 0  # -1: none
    cpu_rt_period: int = 0
    cpu_rt_runtime: int = 0
    memory_reservation: int = 0  # bytes
    memory_swappiness: int = -1  # -1: the kernel's
    oom_kill_disable: bool = False
    blkio_weight: int = 0
    block_limits: list[BlockLimit] = []
    device_rules: list[str] = []  # "c 42:* rwm"
    cgroup_parent: str = ""  # as typed
    # Its privileges
    privileged: bool = False
    cap_add: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []  # as typed
    no_new_privileges: bool = False
    unmasked: bool = False  # no path of /proc or /sys is masked or read-only
    seccomp: str = ""  # "": the default profile; unconfined; or a profile's JSON

    @property
    def attached(self) -> list[str]:
        """The streams to which `run` attaches."""
        if self.detach:
            return []
        return self.attach or [*(["stdin"] if self.interactive else []), "stdout", "stderr"]

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **self.__dict__}


def from_json(data: dict[str, Any], where: str = "request.json") -> CreateRequest:
    """Read what to_json() returned. where: the file's name in the message. Unknown keys are ignored: a newer version of
    the same schema may have written them. Raises CorruptRecord."""
    if data.get("schema") != SCHEMA:
        raise CorruptRecord(f"{where} is not of schema {SCHEMA}", "it was written by another version of mydocker")
    hint = "remove the container with rm -f and create it again"
    defaults = CreateRequest([]).__dict__
    try:
        request = CreateRequest(**{key: value for key, value in data.items() if key in defaults})
    except TypeError as error:
        raise CorruptRecord(f"{where}: {error}", hint) from None
    for key, default in defaults.items():
        if default is not None and type(getattr(request, key)) is not type(default):
            raise CorruptRecord(f"{where}: '{key}' is not {type(default).__name__}", hint)
    return request


def from_params(
    params: Mapping[str, Any], environ: Mapping[str, str], host: HostFacts, read: Callable[[str], str] | None = None
) -> CreateRequest:
    """Parse a command line. environ: the caller's. read: returns the text of --env-file and other files.

    Raises InvalidArgument for invalid options, HostError for what this machine can't do.
    """
    read = read or read_text

    def text(key: str) -> str:
        return params.get(key) or ""

    def several(key: str) -> list[str]:
        return params.get(key) or []

    def files(key: str) -> list[tuple[str, str]]:
        return [(path, read(path)) for path in several(key)]

    for key, (taken, why) in _ANYWAY.items():
        if text(key) and text(key) not in taken:
            raise InvalidArgument(f"--{key.replace('_', '-')} {text(key)} is not supported", why)
    if text("pull") not in ("", *PULL):
        raise InvalidArgument(f"invalid pull option: '{text('pull')}'", f"must be one of {', '.join(PULL)}")
    entrypoint, timeout = params.get("entrypoint"), params.get("stop_timeout")
    mode, endpoints = net.parse(several("network"), text("ip"), text("mac_address"), several("network_alias"))
    ipc = _namespace("ipc", text("ipc"), ("host", "private", "shareable", "none", "container:NAME"))
    unmasked, security_opt = _split_system_paths(several("security_opt"))
    no_new_privileges, seccomp = _security(security_opt, read)
    log_size, log_files = units.log_options(several("log_opt"))
    rare_limits, rare = (
        {key: value for key in keys if (value := params.get(key)) not in (None, False, [])}
        for keys in (RARE_LIMITS, _RARE)
    )
    request = CreateRequest(
        words=list(params["image_and_command"]),
        name="" if params.get("name") is None else names.container_name(text("name")),
        detach=bool(params.get("detach")),
        interactive=bool(params.get("interactive")),
        tty=bool(params.get("tty")),
        attach=list(dict.fromkeys(map(names.stream, several("attach")))),
        auto_remove=bool(params.get("rm")),
        restart=restart.parse(text("restart")),
        cidfile=text("cidfile"),
        explain=bool(params.get("explain")),
        dry_run=bool(params.get("dry_run")),
        platform=text("platform"),
        pull=text("pull"),
        quiet=bool(params.get("quiet")),
        entrypoint=None if entrypoint is None else [entrypoint] if entrypoint else [],
        env=keyvalue.environment(several("env"), files("env_file"), environ),
        user=names.user(text("user")),
        workdir=names.absolute_path(text("workdir"), "working directory") if text("workdir") else "",
        labels=keyvalue.labels(several("label"), files("label_file")),
        stop_signal=text("stop_signal"),
        stop_timeout=None if timeout is None else units.integer(timeout, "stop timeout", -1, _LONGEST_STOP),
        log_size=log_size,
        log_files=log_files,
        log_options=dict(option.split("=", 1) for option in several("log_opt")),
        anyway={key: text(key) for key in _ANYWAY if text(key)},
        no_healthcheck=bool(params.get("no_healthcheck")),
        init=bool(params.get("init")),
        oom_score_adj=_number(params, "oom_score_adj", "OOM score adjustment", -1000, 1000),
        ulimits=list({limit["name"]: limit for limit in map(units.ulimit, several("ulimit"))}.values()),
        hostname=names.hostname(text("hostname")) if text("hostname") else "",
        network=mode,
        networks=[endpoint.to_json() for endpoint in endpoints],
        published=[port.text for port in ports.parse_published(several("publish"))],
        publish_all=bool(params.get("publish_all")),
        exposed_ports=ports.expose(several("expose")),
        dns=list(map(resolver.server, several("dns"))),
        dns_search=list(map(resolver.search, several("dns_search"))),
        dns_options=list(map(resolver.option, several("dns_option"))),
        extra_hosts=[":".join(resolver.extra_host(row)) for row in several("add_host")],
        pid=_namespace("pid", text("pid"), ("host", "container:NAME")),
        ipc=ipc,
        uts=_namespace("uts", text("uts"), ("host",)),
        read_only=bool(params.get("read_only")),
        mounts=mounts.parse(several("volume"), several("mount"), several("tmpfs"), host.cwd),
        devices=list(map(mounts.device, several("device"))),
        shm_size=_size(params, "shm_size", "size of /dev/shm") or SHM_SIZE,
        sysctls=keyvalue.sysctls(several("sysctl"), mode, ipc),
        **limits(params, host),
        privileged=bool(params.get("privileged")),
        cap_add=capabilities.parse(several("cap_add")),
        cap_drop=capabilities.parse(several("cap_drop")),
        security_opt=security_opt,
        no_new_privileges=no_new_privileges,
        unmasked=unmasked,
        seccomp=seccomp,
    )
    if rare_limits:
        from mydocker.model.options import resources

        resources.add(request, rare_limits)
    if rare:
        from mydocker.model.options import isolation

        isolation.add(request, rare)
    _check(request, host)
    return request


def _number(params: Mapping[str, Any], key: str, what: str, low: int, high: int) -> int:
    value = params.get(key)
    return 0 if value is None else units.integer(value, what, low, high)


def _size(params: Mapping[str, Any], key: str, what: str) -> int:
    value = params.get(key)
    return 0 if value is None else units.size(value, what)


def limits(params: Mapping[str, Any], host: HostFacts) -> dict[str, Any]:
    """Parse the common limits to fields of CreateRequest."""
    memory, cpus = _size(params, "memory", "memory size"), params.get("cpus")
    if 0 < memory < MIN_MEMORY:
        raise InvalidArgument(f"memory limit '{params['memory']}' is too small", "the minimum is 6 MB")
    unlimited = params.get("memory_swap") == "-1"
    cpu_shares = _number(params, "cpu_shares", "CPU shares", 0, 262144)
    if cpu_shares == 1:
        raise InvalidArgument("CPU shares '1' are too few", "2 to 262144; 1024 is the usual share")
    own, nodes = params.get("cpuset_cpus"), params.get("cpuset_mems")
    return {
        "memory": memory,
        "memory_swap": -1 if unlimited else _size(params, "memory_swap", "memory and swap size"),
        "nano_cpus": 0 if cpus is None else units.cpus(cpus, len(units.numbers(host.cpus) or {0})),
        "cpu_shares": cpu_shares,
        "cpuset_cpus": units.cpuset(own, host.cpus) if own else "",
        "cpuset_mems": units.cpuset(nodes, host.nodes, "memory nodes") if nodes else "",
        "pids_limit": max(0, _number(params, "pids_limit", "PIDs limit", -_MAX_PIDS, _MAX_PIDS)),
    }


def _namespace(kind: str, mode: str, known: tuple[str, ...]) -> str:
    """Return the value for CreateRequest: "" for a namespace of the container's own, without anything special."""
    joins = "container:NAME" in known and mode.startswith("container:") and len(mode) > len("container:")
    if mode and mode not in known and not joins:
        raise InvalidArgument(f"unknown {kind} mode '{mode}'", f"--{kind} {' or '.join(known)}")
    return "" if mode == "private" else mode


def _split_system_paths(options: list[str]) -> tuple[bool, list[str]]:
    """Split systempaths=unconfined off: docker's client does so, and shows only the others."""
    others = [option for option in options if option not in ("systempaths=unconfined", "systempaths:unconfined")]
    return len(others) < len(options), others


def _security(options: list[str], read: Callable[[str], str]) -> tuple[bool, str]:
    """Parse --security-opt to no-new-privileges, and seccomp as in CreateRequest. A profile's file is read now, as it
    may be removed later."""
    no_new_privileges, seccomp = False, ""
    for option in options:
        key, _, value = option.partition("=" if "=" in option else ":")
        if key == "no-new-privileges" and value in ("", "true", "false"):
            no_new_privileges = value != "false"
        elif key == "seccomp" and value in ("unconfined", "builtin"):
            seccomp = value.replace("builtin", "")
        elif key == "seccomp" and value:
            seccomp = read(value)
            if not seccomp.lstrip().startswith("{"):
                raise InvalidArgument(f"'{value}' is not a seccomp profile", "a file in docker's JSON format")
        elif (key, value) not in (("apparmor", "unconfined"), ("label", "disable")):
            raise InvalidArgument(
                f"security option '{option}' is not supported",
                "no-new-privileges, seccomp=FILE or unconfined, and unconfined systempaths or apparmor, label=disable",
            )
    return no_new_privileges, seccomp


def read_text(path: str) -> str:
    """Read a file that the user named. Raises InvalidArgument if it can't be read, is not UTF-8, or is too large."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise InvalidArgument(f"cannot read '{path}'", error.strerror or str(error)) from None
    except ValueError:
        raise InvalidArgument(f"cannot read '{path}'", "it is not UTF-8 text, or its name has a NUL") from None
    if len(text) > _LARGEST_FILE:
        raise InvalidArgument(f"'{path}' is too large", "up to 1 MB")
    return text


def _check(request: CreateRequest, host: HostFacts) -> None:
    """Check for options that contradict each other, or that this machine can't support."""
    if request.stop_signal:
        signals.number(request.stop_signal)
    if request.attach and request.detach:
        raise InvalidArgument("conflicting options: --attach and --detach", "leave out -d or -a")
    if request.auto_remove and request.restart != restart.NO:
        raise InvalidArgument("conflicting options: --restart and --rm", "a removed container can't be restarted")
    check_memory(request, host)
    if request.hostname and request.uts == "host":
        raise InvalidArgument("conflicting options: --hostname and --uts host", "it would rename the host")
    if request.oom_score_adj < 0 and not host.capabilities & capabilities.SYS_RESOURCE:
        raise HostError(
            "a negative --oom-score-adj is not possible here", "mydocker itself runs without CAP_SYS_RESOURCE"
        )
    if not request.networks:
        _check_shared_network(request)
    for limit in request.ulimits:
        maximum = host.hard_limits.get(limit["name"], units.UNLIMITED)
        if maximum != units.UNLIMITED and not 0 <= limit["hard"] <= maximum:
            raise HostError(
                f"ulimit {limit['name']} can't be above {maximum} here", "mydocker itself runs without CAP_SYS_RESOURCE"
            )


def check_memory(request: CreateRequest, host: HostFacts) -> None:
    """Raises InvalidArgument, HostError."""
    if request.memory_swap > 0 and not request.memory:
        raise InvalidArgument("--memory-swap without --memory", "it is the sum of memory and swap; give both")
    if 0 < request.memory_swap < request.memory:
        raise InvalidArgument("--memory-swap is less than --memory", "it is the sum of memory and swap")
    if request.memory_swap > 0 and not host.swap:
        raise HostError(
            "this kernel does not support swap limits", "boot with swapaccount=1, or leave --memory-swap out"
        )


def _check_shared_network(request: CreateRequest) -> None:
    """Check a container without a network of its own for options that need one."""
    if request.network.startswith("container:"):
        if request.published or request.publish_all or request.exposed_ports:
            raise InvalidArgument(
                f"conflicting options: port publishing and --net {request.network}",
                "that is up to the other container",
            )
        of_its_own = [request.hostname, request.dns, request.dns_search, request.dns_options, request.extra_hosts]
        if any(of_its_own):
            raise InvalidArgument(
                f"conflicting options: --hostname, --dns or --add-host, and --net {request.network}",
                "that is up to the other container",
            )


def resolve_words(
    words: list[str],
    is_image: Callable[[str], bool],
    is_command: Callable[[str], bool],
    how_to_get: Callable[[str], str],
) -> tuple[str, list[str]]:
    """Split [IMAGE] [COMMAND] [ARG…] into (image, command). If the first word is not an image, the command runs in the
    default image.

    is_image: the store has it. is_command: the default image's PATH has it. how_to_get: returns the hint for a missing
    image.
    """
    if not words:
        raise InvalidArgument("no command or image given", "usage: mydocker run [OPTION…] [IMAGE] [COMMAND] [ARG…]")
    first = words[0]
    if not first.startswith("/") and is_image(first):
        return first, words[1:]
    if first.startswith("/") or is_command(first):
        return BUSYBOX, words
    says = (
        f"no such image: {first}" if ":" in first else f"'{first}' is neither an image here nor a command in {BUSYBOX}"
    )
    raise ImageNotFound(says, how_to_get(first), first)


def complete(request: CreateRequest, image: str, command: list[str], config: Mapping[str, Any]) -> CreateRequest:
    """Return the request with the image's config where the user gave nothing, merged as docker does.

    config: the `config` object of the OCI image config. It is untrusted, so its shape is checked.
    """
    own_entrypoint = request.entrypoint is None
    entrypoint = _strings(config, "Entrypoint") if own_entrypoint else request.entrypoint or []
    command = command or (_strings(config, "Cmd") if own_entrypoint else [])
    if not entrypoint + command:
        raise InvalidArgument("no command specified", f"image '{image}' has none of its own: add one after its name")
    named = {pair.partition("=")[0] for pair in request.env}
    env = [pair for pair in _strings(config, "Env") if "=" in pair[1:] and pair.partition("=")[0] not in named]
    stop_signal = request.stop_signal or _string(config, "StopSignal")
    if stop_signal:
        signals.number(stop_signal)
    # mydocker does not publish SCTP.
    images = [port for port in sorted(_table(config, "ExposedPorts")) if not port.endswith("/sctp")]
    exposed = ports.expose([*request.exposed_ports, *images])
    targets = {port.target for port in ports.parse_published(request.published)}
    own_network = request.publish_all and request.networks
    published = [target for target in exposed if target not in targets] if own_network else []
    return CreateRequest(
        **{
            **request.__dict__,
            "image": image,
            "entrypoint": entrypoint,
            "command": command,
            "env": request.env + env,
            "user": request.user or names.user(_string(config, "User")),
            "workdir": request.workdir or names.absolute_path("/" + _string(config, "WorkingDir"), "working directory"),
            "labels": {**_table(config, "Labels", str), **request.labels},
            "exposed_ports": exposed,
            "published": request.published + published,
            "stop_signal": stop_signal,
            "mounts": request.mounts + mounts.image_volumes(sorted(_table(config, "Volumes")), request.mounts),
        }
    )


def _string(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key) or ""
    if not isinstance(value, str) or "\0" in value:
        raise InvalidArgument(f"the image's {key} is malformed", "import or build the image again")
    return value


def _strings(config: Mapping[str, Any], key: str) -> list[str]:
    value = config.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
        raise InvalidArgument(f"the image's {key} is malformed", "import or build the image again")
    return value


def _table(config: Mapping[str, Any], key: str, kind: type = dict) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(item, kind) for item in value.values()):
        raise InvalidArgument(f"the image's {key} is malformed", "import or build the image again")
    return value
