"""Read config.json and request.json, the files in a container's directory beside its record."""

from __future__ import annotations

from mydocker import jsontext
from mydocker.errors import CorruptRecord
from mydocker.kernel.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container
    from mydocker.model.options.request import CreateRequest


# The shapes that files must have: a type; [shape] for a list; {"name": shape} for an object, with "name?" for a key
# that may be missing and "" for any key; (shape, shape) for alternatives. Further keys are allowed.
_TEXTS, _MAP, _MAYBE = [str], {"": str}, type(None)
_CAPABILITIES = {f"{kind}?": _TEXTS for kind in ("bounding", "permitted", "effective", "inheritable", "ambient")}
_DEVICE = {"path": str, "type": str, "major": int, "minor": int, "fileMode?": int, "uid?": int, "gid?": int}
_ACCESS = {"allow": bool, "access?": str, "type?": str, "major?": int, "minor?": int}
_CPU = {
    "quota?": int, "period?": int, "shares?": int, "cpus?": str, "mems?": str, "realtimeRuntime?": int,
    "realtimePeriod?": int,
}  # fmt: skip
_MEMORY = {"limit?": int, "swap?": int, "reservation?": int, "swappiness?": int, "disableOOMKiller?": bool}
_RATE = {"major": int, "minor": int, "rate": int}
_BLOCK_IO = {
    "weight?": int,
    "weightDevice?": [{"major": int, "minor": int, "weight": int}],
    **{f"throttle{kind}Device?": [_RATE] for kind in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")},
}
_RESOURCES = {
    "devices?": [_ACCESS], "memory?": _MEMORY, "cpu?": _CPU, "pids?": {"limit?": int}, "blockIO?": _BLOCK_IO,
}  # fmt: skip
_ARGUMENT = {"index": int, "value": int, "valueTwo?": int, "op": str}
_CALLS = {"names": _TEXTS, "action": str, "args?": [_ARGUMENT], "errnoRet?": int}
_SECCOMP = {
    "defaultAction": str, "defaultErrnoRet?": int, "architectures?": _TEXTS, "syscalls?": [_CALLS], "flags?": _TEXTS,
}  # fmt: skip
_SPEC = {
    "process": {
        "terminal?": bool,
        "user": {"uid": int, "gid": int, "additionalGids?": [int], "umask?": int},
        "args": _TEXTS,
        "env?": _TEXTS,
        "cwd": str,
        "capabilities?": _CAPABILITIES,
        "rlimits?": [{"type": str, "soft": int, "hard": int}],
        "noNewPrivileges?": bool,
        "oomScoreAdj?": int,
    },
    "root": {"path": str, "readonly?": bool},
    "mounts": [{"destination": str, "type?": str, "source?": str, "options?": _TEXTS}],
    "annotations": _MAP,
    "hostname?": str,
    "domainname?": str,
    "linux": {
        "namespaces": [{"type": str, "path?": str}],
        "cgroupsPath": str,
        "resources": _RESOURCES,
        "devices?": [_DEVICE],
        "sysctl?": _MAP,
        "maskedPaths?": _TEXTS,
        "readonlyPaths?": _TEXTS,
        "rootfsPropagation?": str,
        "seccomp?": _SECCOMP,
    },
}
_MOUNT = {
    "type": str, "source": str, "target": str, "read_only": bool, "recursive": bool, "propagation": str, "copy": bool,
    "anonymous": bool, "options": _TEXTS, "option": str, "mode": str,
    "labels?": _MAP, "volume_options?": _MAP, "bind_recursive?": str, "subpath?": str,
}  # fmt: skip
_REQUEST = {  # request.from_json() looks at the fields themselves
    **{f"{key}?": _TEXTS for key in ("words", "command", "env", "exposed_ports", "published", "dns", "dns_search")},
    **{
        f"{key}?": _TEXTS
        for key in ("dns_options", "extra_hosts", "cap_add", "cap_drop", "security_opt", "device_rules")
    },
    **{f"{key}?": _TEXTS for key in ("attach", "group_add", "volumes_from")},
    "entrypoint?": (_TEXTS, _MAYBE),
    "stop_timeout?": (int, _MAYBE),
    **{f"{key}?": _MAP for key in ("labels", "annotations", "sysctls", "log_options", "anyway")},
    "ulimits?": [{"name": str, "soft": int, "hard": int}],
    "networks?": [{"network": str, "aliases?": _TEXTS, "": (str, _TEXTS)}],
    "mounts?": [_MOUNT],
    "devices?": [{"source": str, "target": str, "access": str}],
    "block_limits?": [{"kind": str, "path": str, "value": int}],
}


def misfit(value: Any, shape: Any, where: str = "it") -> str:
    """Describe the first error in a value that must have this shape; "" if there is none."""
    if isinstance(shape, tuple):
        wrong = [misfit(value, each, where) for each in shape]
        return "" if "" in wrong else wrong[0]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is not a list"
        of = shape[0]
        rows = ((f"{where}[{number}]", each, of) for number, each in enumerate(value) if type(each) is not of)
        return next(filter(None, (misfit(each, of, place) for place, each, of in rows)), "")
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where} is not an object"
        for key, of in shape.items():
            name = key.rstrip("?")
            if name and name in value:
                wrong = [misfit(value[name], of, f"{where}.{name}")]
            elif name:
                wrong = [] if key.endswith("?") else [f"{where} has no '{name}'"]
            else:
                wrong = [misfit(each, of, f"{where}.{other}") for other, each in value.items()]
            if any(wrong):
                return next(filter(None, wrong))
        return ""
    return "" if type(value) is shape else f"{where} is not of type {shape.__name__}"


def load_spec(container: Container) -> dict[str, Any]:
    """Read the OCI spec from config.json. Raises CorruptRecord if a part that a container needs is wrong."""
    spec = _load(container, "config.json")
    wrong = misfit(spec, _SPEC) or _wrong_cgroup(container, spec["linux"]["cgroupsPath"])
    if wrong:
        raise _corrupt(container, "config.json", wrong)
    return spec


def _wrong_cgroup(container: Container, path: str) -> str:
    """Describe an error in the cgroup's path, "" if there is none. A removal kills the processes in that cgroup: with
    the hierarchy's root as path, all of the host's."""
    own = path.endswith(f"/{container.id}") and ".." not in path.split("/")
    return "" if own else f"linux.cgroupsPath is '{path}'"


def load_request(container: Container) -> CreateRequest:
    """Read request.json, the options of the container's creation. Raises CorruptRecord."""
    from mydocker.model.options import request

    options = _load(container, "request.json")
    wrong = misfit(options, _REQUEST)
    if wrong:
        raise _corrupt(container, "request.json", wrong)
    return request.from_json(options, f"{container.directory}/request.json")


def _load(container: Container, file: str) -> dict[str, Any]:
    path = f"{container.directory}/{file}"
    try:
        data = jsontext.loads(read_regular(path))
        if isinstance(data, dict):
            return data
        why = "it is not a JSON object"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    raise _corrupt(container, file, why)


def _corrupt(container: Container, file: str, why: str) -> CorruptRecord:
    name = container.name
    return CorruptRecord(
        f"container {name}: {container.directory}/{file}: {why}", f"restore it, or 'mydocker rm -f {name}'"
    )
