"""The request for a build: the options of `build`, parsed and checked."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options import keyvalue, references, request
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from mydocker.model.host import HostFacts
    from mydocker.model.options.request import CreateRequest

# Options of `run` that hold for the containers of all steps.
_OF_STEPS = ("add_host", "shm_size", "ulimit", "memory", "memory_swap", "cpu_shares", "cpuset_cpus", "cpuset_mems")
_KINDS = ("image", "docker", "local", "tar")  # docker and image are the same: the store
_SECRET = "id=NAME,src=FILE or id=NAME,env=VARIABLE"
_OUTPUT = "type=local,dest=DIR or type=tar,dest=FILE; -o DIR and -o - are short for these"


@record
class Secret:
    """A --secret. file: the path that has it. variable: of the caller's environment; one of the two is ""."""

    id: str
    file: str
    variable: str


@record
class Output:
    """An --output. kind: image, local or tar. destination: a directory or file; - for stdout."""

    kind: str
    destination: str


@record
class BuildRequest:
    """context: a directory, or - for stdin. file: as typed, "" for the context's own. tags: normalised. build_args: a
    value of None is not set. pull: ask registries for newer images. steps: what holds for every step's container."""

    context: str
    file: str
    tags: list[str]
    build_args: dict[str, str]
    labels: dict[str, str]
    target: str
    platform: str
    no_cache: bool
    pull: bool
    debug: bool
    secrets: list[Secret]
    network: str
    output: Output
    iidfile: str
    steps: CreateRequest


def from_params(
    params: Mapping[str, Any], environ: Mapping[str, str], host: HostFacts, read: Callable[[str], str] | None = None
) -> BuildRequest:
    """Parse a command line. Raises InvalidArgument."""

    def text(key: str) -> str:
        return params.get(key) or ""

    context, file = params["context"], text("file")
    if not context:
        raise InvalidArgument("the context is empty", "name a directory, or - for stdin; . is the current one")
    if context == "-" == file:
        raise InvalidArgument("stdin can't be both the context and the Dockerfile", "name a file, or a directory")
    outputs = params.get("output") or []
    if len(outputs) > 1:
        raise InvalidArgument("only one --output is supported", _OUTPUT)
    limits = {key: params[key] for key in _OF_STEPS if params.get(key)}
    network = text("network") or "default"
    return BuildRequest(
        context=context,
        file=file,
        tags=list(dict.fromkeys(map(_tag, params.get("tag") or []))),
        build_args=_arguments(params.get("build_arg") or [], environ),
        labels=keyvalue.labels(params.get("label") or [], []),
        target=text("target"),
        platform=text("platform"),
        no_cache=bool(params.get("no_cache")),
        pull=bool(params.get("pull")),
        debug=bool(params.get("debug")),
        secrets=[secret(row) for row in params.get("secret") or []],
        network=network,
        output=output(outputs[0]) if outputs else Output("image", ""),
        iidfile=text("iidfile"),
        steps=request.from_params({"image_and_command": [], "network": [network], **limits}, environ, host, read),
    )


def _tag(text: str) -> str:
    name = references.normalise(text)
    if "@" in name or name.startswith("sha256:"):
        raise InvalidArgument(f"'{text}' is not a name for an image", "give NAME:TAG: a digest is computed")
    return name


def _arguments(rows: list[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Parse NAME=VALUE, or NAME for the caller's variable, which counts only if it is set."""
    arguments = {}
    for row in rows:
        name, sign, value = row.partition("=")
        if not name:
            raise InvalidArgument(f"invalid build argument '{row}'", "NAME=VALUE, or NAME for the environment's")
        if sign or name in environ:
            arguments[name] = value if sign else environ[name]
    return arguments


def secret(text: str) -> Secret:
    """Parse `id=NAME,src=FILE`, `id=NAME,env=VARIABLE` or `id=NAME`: the variable or else the file of that name."""
    fields = _fields(text, "secret", {"src": "src", "source": "src", "env": "env", "id": "id", "type": "type"}, _SECRET)
    kind = fields.get("type", "env" if "env" in fields else "file")
    if "=" not in text or kind not in ("file", "env") or ("env" in fields and "src" in fields):
        raise InvalidArgument(f"invalid secret '{text}'", _SECRET)
    name = fields.get("id", "")
    if not name:
        raise InvalidArgument(f"secret '{text}' has no id", _SECRET)
    if kind == "env":
        return Secret(name, "", fields.get("env") or fields.get("src") or name)
    return Secret(name, fields.get("src") or name, "")


def output(text: str) -> Output:
    if "=" not in text:
        return Output("tar", "-") if text == "-" else Output("local", text)
    fields = _fields(text, "output", {"type": "type", "dest": "dest", "name": "name", "push": "push"}, _OUTPUT)
    kind, destination = fields.get("type", ""), fields.get("dest", "")
    if kind not in _KINDS:
        raise InvalidArgument(f"output type '{kind}' is not supported", _OUTPUT)
    if kind in ("image", "docker"):
        if destination or fields.get("name") or fields.get("push", "false") != "false":
            raise InvalidArgument(f"output '{text}' is not supported", "-t NAME, then 'mydocker save' or 'push'")
        return Output("image", "")
    if not destination:
        if kind == "local":
            raise InvalidArgument(f"output '{text}' has no dest", _OUTPUT)
        destination = "-"
    return Output(kind, destination)


def _fields(text: str, what: str, known: dict[str, str], hint: str) -> dict[str, str]:
    fields = {}
    for pair in text.split(","):
        key, _, value = pair.partition("=")
        if key.strip().lower() not in known:
            raise InvalidArgument(f"invalid {what} '{text}': unknown key '{key}'", hint)
        fields[known[key.strip().lower()]] = value
    return fields
