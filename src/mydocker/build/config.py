"""The effects of instructions on an image's config and history, and the variables that are in force after each.

The builder keeps a State for each stage: begin() or inherit() makes it, advance() goes one instruction further. Nothing
here touches files; RUN, COPY and ADD only get their row of the history.
"""

from __future__ import annotations

import posixpath

from mydocker.build import commands, expansion, lint, mounts, portspecs
from mydocker.build.failure import BuildWarning, Malformed, did_you_mean
from mydocker.build.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    Transfer,
    User,
    Volume,
    Workdir,
)
from mydocker.errors import InvalidArgument
from mydocker.gotemplate.formats import quote
from mydocker.model.options import signals
from mydocker.record import copied, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where a base has none
COMMENT = "buildkit.dockerfile.v0"  # of each row of the history, so that other tools know what made it
_LARGEST = 8 << 20  # characters of an instruction, and of the history: a config has no more (store.LARGEST_JSON)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


@record
class Arguments:
    """Sources of the values of ARG. given: --build-arg. globals: the ARGs before the first FROM, and predefined ones
    such as TARGETARCH, with their values (stages.arguments())."""

    given: dict[str, str]
    globals: dict[str, str]


@record
class State:
    """A stage after some of its instructions.

    config: the image config's "config". author: its "author". history: its "history", the base's rows first; ours lack
    "created". variables: of ENV and ARG, in force for expansion and RUN. arguments: the ARGs declared, a parent stage's
    too, in order, with their values. has_cmd: there was a CMD in this stage. warnings: those that came up. env: the
    config's "Env" as soon as an ENV has changed it, which is then not in `config`. said: characters of the new rows of
    history.
    """

    config: dict[str, Any]
    author: str
    history: list[dict[str, Any]]
    variables: dict[str, str]
    arguments: dict[str, str | None]
    escape: str
    has_cmd: bool = False
    has_workdir: bool = False
    warnings: list[BuildWarning] = []
    env: dict[str, str] | None = None
    said: int = 0

    @property
    def directory(self) -> str:
        """Return the working directory, an absolute path."""
        return _joined("/", self.config.get("WorkingDir") or "/")

    @property
    def shell(self) -> list[str]:
        """Return the SHELL in force, or [] for the default."""
        return list(self.config.get("Shell") or [])


def begin(image: dict[str, Any] | None, escape: str = "\\") -> State:
    """Return the state after a FROM of an image. image: its whole config, or None for `scratch`.

    The image's OnBuild is left out: dockerfile.triggers() reads it, and they are the first instructions of the stage.
    """
    image = image or {"config": {"WorkingDir": "/"}}
    config = _owned(image.get("config") or {})
    rows = list(config.get("Env") or [])
    if not any(row.startswith("PATH=") for row in rows):
        config["Env"] = rows = [*rows, f"PATH={PATH}"]
    variables = dict(row.partition("=")[::2] for row in rows)
    return State(config, image.get("author") or "", list(image.get("history") or []), variables, {}, escape)


def inherit(parent: State) -> State:
    """Return the state after a FROM of another stage: with its variables and ARGs, without its OnBuild."""
    return State(
        _owned(parent.config),
        parent.author,
        list(parent.history),
        dict(parent.variables),
        dict(parent.arguments),
        parent.escape,
        has_workdir=parent.has_workdir,
        env=None if parent.env is None else dict(parent.env),
        said=parent.said,
    )


def edit(config: dict[str, Any]) -> State:
    """Return the state of an image config's "config" that instructions are to change, outside of a build."""
    variables = dict(row.partition("=")[::2] for row in config.get("Env") or [])
    kept = {"OnBuild": list(config["OnBuild"])} if config.get("OnBuild") else {}
    return State({**_owned(config), **kept}, "", [], variables, {}, "\\")


def _owned(config: dict[str, Any]) -> dict[str, Any]:
    """Copy a config without its OnBuild. Its objects are copied, too, as instructions add to them."""
    copied = {key: dict(value) if isinstance(value, dict) else value for key, value in config.items()}
    copied.pop("OnBuild", None)
    return copied


def advance(state: State, instruction: Instruction, arguments: Arguments) -> tuple[Instruction, State]:
    """Return the instruction with its variables expanded, and the state behind it. Raises Malformed.

    The row of the history says with `empty_layer` if the instruction makes no layer. The state that is given is used
    up: both have the same lists and objects, to which this one has added. Copies would make the time of a long
    Dockerfile grow with the square of its length.
    """
    expander = _Expander(state, instruction)
    instruction = expander.expanded(instruction)
    after = copied(state)
    after.warnings += expander.warnings
    row = _apply(after, instruction, arguments)
    if row:
        after.said += len(row[0])
        if after.said > _LARGEST:
            raise Malformed(f"the image's history would have more than {_LARGEST >> 20} MB", "fewer or shorter ARGs")
        after.history.append({"created_by": row[0], "comment": COMMENT, **({} if row[1] else {"empty_layer": True})})
    return instruction, after


def proxies(arguments: Arguments) -> dict[str, str]:
    """Return HTTP_PROXY and so on, and http_proxy and so on, if --build-arg has one of the two.

    A RUN gets them as variables; they are no part of its key in the cache."""
    values = {}
    for name, value in arguments.given.items():
        if name.upper() in _PROXIES:
            values[name.upper()] = values[name.lower()] = value
    return values


def image_config(state: State) -> dict[str, Any]:
    """Return the "config" as it is stored: without keys that have no value, as Go leaves them out."""
    config = dict(state.config)
    if state.env is not None:
        config["Env"] = [f"{key}={value}" for key, value in state.env.items()]
    return {key: value for key, value in config.items() if value not in ("", [], {}, None, False, 0)}


class _Expander:
    """Expands the raw fields of one instruction and notes the variables that are missing."""

    def __init__(self, state: State, instruction: Instruction) -> None:
        self._state = state
        self._line = instruction.first
        self._size = 0
        self.warnings: list[BuildWarning] = []

    def expanded(self, instruction: Instruction) -> Instruction:
        """Return a copy with each raw field expanded. Raises Malformed."""
        one = copied(instruction)
        if isinstance(one, (Env, Label)):
            one.pairs = [(self._word(key), self._word(value)) for key, value in one.pairs]
        elif isinstance(one, Workdir):
            one.path = self._word(one.path)
        elif isinstance(one, User):
            one.user = self._word(one.user)
        elif isinstance(one, Stopsignal):
            one.signal = self._word(one.signal)
        elif isinstance(one, Volume):
            one.paths = [self._word(path) for path in one.paths]
        elif isinstance(one, Expose):
            one.ports = [word for port in one.ports for word in self._process(port).words]
        elif isinstance(one, Transfer):
            self._transfer(one)
        elif isinstance(one, Run):
            one.mounts = [mounts.parse(text, self._word, self._state.directory) for text in one.mount_texts]
        return one

    def _transfer(self, one: Transfer) -> None:
        one.chown, one.chmod = self._word(one.chown), self._word(one.chmod)
        sources = [self._word(source) for source in one.sources]
        for raw, source in zip(one.sources, sources):
            if not source:
                raise Malformed(f"{one.word} has an empty source: {raw or quote(raw)}", "write . for the whole context")
        one.sources, one.destination = sources, self._word(one.destination)
        one.excludes = [self._word(pattern) for pattern in one.excludes]
        one.documents = [copied(document) for document in one.documents]
        for document in one.documents:
            if document.expand:
                document.body, document.strip_tabs = self._document(document.content), False
        if isinstance(one, Add):
            one.checksum = self._word(one.checksum)

    def _word(self, text: str) -> str:
        return self._process(text).text

    def _document(self, body: str) -> str:
        return self._noted(expansion.process(body, self._state.variables, "\\", quotes=False)).text

    def _process(self, text: str) -> expansion.Expanded:
        return self._noted(expansion.process(text, self._state.variables, self._state.escape))

    def _noted(self, result: expansion.Expanded) -> expansion.Expanded:
        self._size += len(result.text)
        if self._size > _LARGEST:
            raise Malformed(f"more than {_LARGEST >> 20} MB after expansion")
        for name in result.missing:
            if name not in self._state.arguments:
                hint = did_you_mean(name, self._state.variables, "$")
                message = f"Usage of undefined variable '${name}'" + (f" ({hint})" if hint else "")
                self.warnings.append(BuildWarning("UndefinedVar", message, self._line))
        return result


def _apply(after: State, one: Instruction, arguments: Arguments) -> tuple[str, bool] | None:
    """Change the state. Return the text of the history's row, and True if it has a layer; None for no row."""
    if isinstance(one, Run):
        return f"RUN {_run_text(after, one)} # buildkit", True
    if isinstance(one, (Copy, Add)):
        return f"{_transfer_text(one)} # buildkit", True
    if isinstance(one, Workdir):
        return _workdir(after, one)
    if isinstance(one, Onbuild):
        after.config.setdefault("OnBuild", []).append(one.trigger_text)
        return None
    return _metadata(after, one, arguments), False


def _metadata(after: State, one: Instruction, arguments: Arguments) -> str:
    """Change the state for an instruction without a layer. Return the row's text."""
    config = after.config
    text = ""
    if isinstance(one, Env):
        text = _env(after, one)
    elif isinstance(one, Arg):
        text = _arg(after, one, arguments)
    elif isinstance(one, Label):
        _add(config, "Labels", one.pairs)
        text = " ".join(f"{key}={value}" for key, value in one.pairs)
    elif isinstance(one, (Cmd, Entrypoint)):
        text = _command(after, one)
    elif isinstance(one, Healthcheck):
        text = _healthcheck(config, one)
    elif isinstance(one, Expose):
        ports = portspecs.exposed(one.ports)
        _add(config, "ExposedPorts", [(port, {}) for port in ports])
        text = f"[{' '.join(ports)}]"
    elif isinstance(one, User):
        config["User"] = text = one.user
    elif isinstance(one, Volume):
        if not all(one.paths):
            raise Malformed("VOLUME specified can not be an empty string")
        _add(config, "Volumes", [(path, {}) for path in one.paths])
        text = f"[{' '.join(one.paths)}]"
    elif isinstance(one, Stopsignal):
        _check_signal(one.signal)
        config["StopSignal"] = text = one.signal
    elif isinstance(one, Shell):
        config["Shell"] = one.words
        text = f"[{' '.join(one.words)}]"
    elif isinstance(one, Maintainer):
        after.author = text = one.name
    return f"{one.word} {text}"


def _add(config: dict[str, Any], name: str, pairs: list[tuple[str, Any]]) -> None:
    config[name] = config.get(name) or {}  # null in a base
    config[name].update(pairs)


def _env(after: State, one: Env) -> str:
    if after.env is None:
        after.env = dict(row.partition("=")[::2] for row in after.config.pop("Env", None) or [])
    for key, value in one.pairs:
        if not key or "=" in key:
            raise Malformed(f"ENV names can not be blank or have a =: {quote(key)}")
        after.env[key] = after.variables[key] = value
        after.warnings += lint.secrets("ENV", key, one.first)
    return " ".join(f"{key}={value}" for key, value in one.pairs)


def _arg(after: State, one: Arg, arguments: Arguments) -> str:
    texts = []
    for key, default in one.pairs:
        value: str | None
        if key in arguments.given:
            value = arguments.given[key]
        elif default is not None:
            expander = _Expander(after, one)
            value = expander._word(default)
            after.warnings += expander.warnings
        else:
            value = arguments.globals.get(key)
        if value is not None:
            after.variables[key] = value
        after.warnings += lint.secrets("ARG", key, one.first)
        after.arguments[key] = value
        texts.append(key if value is None else f"{key}={value}")
    return " ".join(texts)


def _command(after: State, one: Cmd | Entrypoint) -> str:
    argv = commands.argv(one.command, after.shell)
    if one.command.shell and not after.shell:
        after.warnings.append(lint.json_recommended(one))
    if isinstance(one, Cmd):
        after.config["Cmd"], after.has_cmd = argv, True
    else:
        after.config["Entrypoint"] = argv
        if not after.has_cmd:
            after.config.pop("Cmd", None)  # its arguments were for the base's entrypoint
    return _quoted_list(argv)


def _healthcheck(config: dict[str, Any], one: Healthcheck) -> str:
    test = ["NONE"]
    if one.command:
        test = ["CMD-SHELL" if one.command.shell else "CMD", *one.command.words]
    times = {
        "Interval": one.interval,
        "Timeout": one.timeout,
        "StartPeriod": one.start_period,
        "StartInterval": one.start_interval,
    }
    numbers = {**times, "Retries": one.retries}
    config["Healthcheck"] = {"Test": test, **{key: value for key, value in numbers.items() if value}}
    shown = " ".join(quote(_go_duration(value)) for value in times.values())
    return f"&{{{_quoted_list(test)} {shown} {_quoted_rune(one.retries)}}}"


def _workdir(after: State, one: Workdir) -> tuple[str, bool]:
    if not after.has_workdir and not one.path.startswith("/"):
        after.warnings.append(lint.relative_workdir(one))
    after.has_workdir = True
    directory = _joined(after.directory, one.path)
    after.config["WorkingDir"] = directory
    return f"WORKDIR {directory}", directory != "/"


def _joined(directory: str, path: str) -> str:
    """Return the absolute path without `.`, `..` and double slashes."""
    return "/" + posixpath.normpath(posixpath.join("/", directory, path)).lstrip("/")


def _check_signal(text: str) -> None:
    """Refuse a name that no signal has. Any number but 0 is taken, as docker does."""
    digits = text.removeprefix("-").removeprefix("+")
    if digits.isascii() and digits.isdigit() and digits.strip("0"):
        return
    try:
        signals.number(text)
    except InvalidArgument as error:
        raise Malformed(f"invalid signal: {text}", error.hint) from None


def _run_text(after: State, one: Run) -> str:
    """Return the ARGs and the command: `|1 X=1 /bin/sh -c echo $X`."""
    values = {key: after.variables.get(key, value or "") for key, value in after.arguments.items()}
    shown = [f"|{len(values)}"] if values else []
    shown += [f"{key}={value}" for key, value in values.items()]
    return " ".join([*shown, *commands.run_command(one, after.shell).argv])


def _transfer_text(one: Copy | Add) -> str:
    """Return the instruction without --from and --link, which say nothing about the result."""
    flags = {"--chown": one.chown, "--chmod": one.chmod}
    words = [one.word, *(f"{flag}={value}" for flag, value in flags.items() if value)]
    words += [*one.sources, *(f"<<{document.name}" for document in one.documents), one.destination]
    return " ".join(words)


def _quoted_list(words: list[str]) -> str:
    return f"[{' '.join(map(quote, words))}]"


def _go_duration(value: int) -> str:
    """Return nanoseconds as Go prints a duration: 0s, 1.5ms, 2s, 1m30s, 1h0m0s."""
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if 0 < value < 10**9 and value < size * 1000:
            return f"{_decimal(value, size)}{unit}"
    minutes, tail = divmod(value, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(tail, 10**9)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(value: int, unit: int) -> str:
    whole, tail = divmod(value, unit)
    digits = str(tail).zfill(len(str(unit)) - 1).rstrip("0") if tail else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _quoted_rune(number: int) -> str:
    """Return a number as Go's %q prints it: as the character of that number."""
    char = chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
    return quote(char, "'")
