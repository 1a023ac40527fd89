"""What lies in a container's directory beside its record."""

from __future__ import annotations

from mydocker import jsontext
from mydocker.errors import CorruptRecord
from mydocker.kernel.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container
    from mydocker.model.options.request import CreateRequest


# What a file has to look like before anybody relies on it: a type; [of what] a list is; {"name": of what} an object,
# "name?" where that may be missing, and "" for any name; (one, or the other). What is not named may be there.
_TEXTS, _MAP, _MAYBE = [str], {"": str}, type(None)
_CAPABILITIES = {f"{kind}?": _TEXTS for kind in ("bounding", "permitted", "effective", "inheritable", "ambient")}
_DEVICE = {"path": str, "type": str, "major": int, "minor": int, "fileMode?": int, "uid?": int, "gid?": int}
_ACCESS = {"allow": bool, "access?": str, "type?": str, "major?": int, "minor?": int}
_CPU = {"quota?": int, "period?": int, "shares?": int, "cpus?": str, "mems?": str}
_RESOURCES = {"devices?": [_ACCESS], "memory?": {"limit?": int, "swap?": int}, "cpu?": _CPU, "pids?": {"limit?": int}}
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
}  # fmt: skip
_REQUEST = {  # request.from_json() looks at the fields themselves
    **{f"{key}?": _TEXTS for key in ("words", "command", "env", "exposed_ports", "published", "dns", "dns_search")},
    **{f"{key}?": _TEXTS for key in ("dns_options", "extra_hosts", "cap_add", "cap_drop", "security_opt")},
    "entrypoint?": (_TEXTS, _MAYBE),
    "stop_timeout?": (int, _MAYBE),
    "labels?": _MAP,
    "sysctls?": _MAP,
    "ulimits?": [{"name": str, "soft": int, "hard": int}],
    "networks?": [{"network": str, "aliases?": _TEXTS, "": (str, _TEXTS)}],
    "mounts?": [_MOUNT],
    "devices?": [{"source": str, "target": str, "access": str}],
}


def misfit(value: Any, shape: Any, where: str = "it") -> str:
    """Say what is wrong with a value that must have this shape, and where; "" if nothing is."""
    if isinstance(shape, tuple):
        wrong = [misfit(value, each, where) for each in shape]
        return "" if "" in wrong else wrong[0]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is no list"
        of = shape[0]
        rows = ((f"{where}[{number}]", each, of) for number, each in enumerate(value) if type(each) is not of)
        return next(filter(None, (misfit(each, of, place) for place, each, of in rows)), "")
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where} is no object"
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
    return "" if type(value) is shape else f"{where} is no {shape.__name__}"


def load_spec(found: Container) -> dict[str, Any]:
    """config.json, the OCI bundle, with the parts that a container needs. Raises CorruptRecord."""
    spec = _load(found, "config.json")
    wrong = misfit(spec, _SPEC) or _wrong_cgroup(found, spec["linux"]["cgroupsPath"])
    if wrong:
        raise _corrupt(found, "config.json", wrong)
    return spec


def _wrong_cgroup(found: Container, path: str) -> str:
    """Say what is wrong with it. A removal kills whoever is in it: in the hierarchy's root that would be the host."""
    own = path.endswith(f"/{found.id}") and ".." not in path.split("/")
    return "" if own else f"linux.cgroupsPath is '{path}'"


def load_request(found: Container) -> CreateRequest:
    """request.json, what was asked for when it was created. Raises CorruptRecord."""
    from mydocker.model.options import request

    asked = _load(found, "request.json")
    wrong = misfit(asked, _REQUEST)
    if wrong:
        raise _corrupt(found, "request.json", wrong)
    return request.from_json(asked, f"{found.directory}/request.json")


def _load(found: Container, file: str) -> dict[str, Any]:
    path = f"{found.directory}/{file}"
    try:
        data = jsontext.loads(read_regular(path))
        if isinstance(data, dict):
            return data
        why = "it is no JSON object"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    raise _corrupt(found, file, why)


def _corrupt(found: Container, file: str, why: str) -> CorruptRecord:
    return CorruptRecord(
        f"container {found.name}: {found.directory}/{file}: {why}", f"restore it, or 'mydocker rm -f {found.name}'"
    )
