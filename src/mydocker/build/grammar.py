"""Each instruction's grammar: from its line and heredocs to its record, with docker's checks and messages.

Two steps, as ONBUILD takes only the first when it is written: split() finds the words, build() makes the record.
"""

from __future__ import annotations

from mydocker.build import heredocs as marks
from mydocker.build.failure import Malformed, did_you_mean
from mydocker.build.flags import Flags
from mydocker.build.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from mydocker.build.lines import BLANKS, Line
from mydocker.build.words import by_blanks, json_list, quoted_words, split_first, take_flags
from mydocker.errors import InvalidArgument
from mydocker.gotemplate.formats import quote
from mydocker.model.options.times import duration
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_NETWORKS = ("default", "host", "none")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_OF_STAGE_NAME = frozenset(_LETTERS + "0123456789_.-")
_NOT_TRIGGERS = ("FROM", "MAINTAINER", "ONBUILD")
_LARGEST_RETRIES = (1 << 31) - 1
_SHORTEST_INTERVAL = 10**6  # ns


@record
class Words:
    """An instruction's line in words. word: its name in upper case; `written`: as it is written. pairs: of ENV, LABEL.

    listed: the arguments are a JSON list.
    """

    word: str
    written: str
    flags: list[str]
    arguments: list[str]
    pairs: list[tuple[str, str]]
    listed: bool

    @property
    def may_have_heredocs(self) -> bool:
        """Say if `<<EOF` announces a heredoc here."""
        if self.word == "ONBUILD":
            return bool(self.arguments) and self.arguments[0] in ("RUN", "COPY", "ADD") and not self.listed
        return self.word in ("RUN", "COPY", "ADD") and not self.listed


def split(text: str, escape: str) -> Words:
    """Split an instruction's text. An unknown instruction has no arguments. Raises Malformed."""
    written, tail = split_first(text.strip(BLANKS))
    word = written.upper()
    flags, tail = take_flags(tail, escape)
    arguments: list[str] = []
    pairs: list[tuple[str, str]] = []
    listed = None
    if word in ("ENV", "LABEL"):
        pairs = _pairs(word, tail, escape)
    elif word == "ARG":
        arguments = quoted_words(tail, escape)
    elif word in ("FROM", "EXPOSE"):
        arguments = by_blanks(tail)
    elif word in ("COPY", "ADD", "VOLUME"):
        listed = json_list(tail)
        arguments = by_blanks(tail) if listed is None else listed
    elif word in ("RUN", "CMD", "ENTRYPOINT", "SHELL"):
        listed = json_list(tail)
        arguments = ([tail] if tail else []) if listed is None else listed
    elif word == "HEALTHCHECK":
        kind, command = split_first(tail)
        listed = json_list(command)
        arguments = [kind] if kind else []
        arguments += ([command] if command else []) if listed is None else listed
    elif word == "ONBUILD" and tail:
        arguments = [split_first(tail)[0].upper()]
        if arguments != ["ONBUILD"]:  # which is an error, and may go on for long
            inner = split(tail, escape)
            arguments, listed = [inner.word, *inner.arguments], [] if inner.listed else None
    elif word in _BUILDERS and tail:
        arguments = [tail]
    return Words(word, written, flags, arguments, pairs, listed is not None)


def _pairs(word: str, tail: str, escape: str) -> list[tuple[str, str]]:
    """Parse `KEY=VALUE …`, or the old form `KEY VALUE UP TO THE END`."""
    words = quoted_words(tail, escape)
    if words and "=" not in words[0]:
        key, value = split_first(tail)
        if not value:
            raise Malformed(f"{word} must have two arguments")
        return [(key, value)]
    pairs = []
    for each in words:
        key, sign, value = each.partition("=")
        if not sign:
            raise Malformed(f"Syntax error - can't find = in {quote(each)}. Must be of the form: name=value")
        pairs.append((key, value))
    return pairs


def build(words: Words, line: Line, heredocs: list[Heredoc], trigger: bool = False) -> Instruction:
    """Make the record. heredocs: those of the line, with their bodies. Raises Malformed."""
    builder = _BUILDERS.get(words.word)
    if builder is None:
        raise Malformed(f"unknown instruction: {words.written}", did_you_mean(words.word, _BUILDERS))
    place = {"first": line.first, "last": line.last, "text": line.text.strip(BLANKS), "trigger": trigger}
    return builder(place, words, heredocs)


def _no_flags(words: Words) -> None:
    Flags(words.flags)


def _single(words: Words) -> str:
    _no_flags(words)
    if len(words.arguments) != 1:
        raise Malformed(f"{words.word} requires exactly one argument")
    return words.arguments[0]


def _at_least_one(words: Words) -> None:
    if not (words.arguments or words.pairs):
        raise Malformed(f"{words.word} requires at least one argument")


def _from(place: Any, words: Words, heredocs: list[Heredoc]) -> From:
    parts = words.arguments
    if len(parts) not in (1, 3) or (len(parts) == 3 and parts[1].lower() != "as"):
        raise Malformed("FROM requires either one or three arguments", "FROM IMAGE, or FROM IMAGE AS NAME")
    name = parts[2].lower() if len(parts) == 3 else ""
    if name and not (name[0] in _LETTERS and _OF_STAGE_NAME.issuperset(name)):
        reason = "name can't start with a number or contain symbols"
        raise Malformed(f"invalid name for build stage: {quote(parts[2])}, {reason}")
    return From(**place, base=parts[0], name=name, platform=Flags(words.flags, texts=["platform"]).text("platform"))


def _run(place: Any, words: Words, heredocs: list[Heredoc]) -> Run:
    flags = Flags(words.flags, texts=["network"], lists=["mount"])
    network = flags.text("network") or "default"
    if network not in _NETWORKS:
        raise Malformed(f"invalid network mode {quote(network)}", "one of " + " ".join(_NETWORKS))
    if heredocs and _only_redirections(words.arguments[0]):
        hint = "RUN sh <<EOF >FILE gives it to a shell"
        raise Malformed("the heredoc is never run: the line has redirections, but no command", hint)
    return Run(
        **place,
        command=_command(words),
        heredocs=heredocs,
        network=network,
        mount_texts=flags.list("mount"),
        mounts=[],
    )


def _only_redirections(text: str) -> bool:
    """Say if a line with heredocs has nothing else but redirections, and is not one heredoc alone."""
    import re

    tail = re.sub(r"(?<!\d)\d*(?:<<-?|>>|<>|>\||[<>]&|[<>])[ \t]*[^\s<>|&;]+", " ", text)
    return marks.mark(text) is None and not tail.strip(BLANKS)


def _command(words: Words) -> Command:
    return Command(words.arguments if words.listed else [" ".join(words.arguments)], not words.listed)


def _cmd(place: Any, words: Words, heredocs: list[Heredoc]) -> Cmd:
    _no_flags(words)
    return Cmd(**place, command=_command(words))


def _entrypoint(place: Any, words: Words, heredocs: list[Heredoc]) -> Entrypoint:
    _no_flags(words)
    return Entrypoint(**place, command=_command(words))


def _transfer(words: Words, heredocs: list[Heredoc], flags: Flags) -> dict[str, Any]:
    """Return the fields that COPY and ADD have in common."""
    *sources, destination = words.arguments
    bodies = {heredoc.name: heredoc for heredoc in heredocs}
    paths, documents = [], []
    for source in sources:
        heredoc = None if words.listed else marks.mark(source)
        if heredoc is None:
            paths.append(source)
        elif "/" in heredoc.name or heredoc.name in (".", ".."):
            raise Malformed(f"invalid heredoc name {quote(heredoc.name)}", "it is a file's name, without a slash")
        elif heredoc.name in bodies:
            documents.append(bodies[heredoc.name])
    if not words.listed and marks.mark(destination):
        raise Malformed(f"{words.word} cannot accept a heredoc as a destination")
    return {
        "sources": paths,
        "documents": documents,
        "destination": destination,
        "chown": flags.text("chown"),
        "chmod": flags.text("chmod"),
        "link": flags.switch("link") or False,
        "excludes": flags.list("exclude"),
    }


def _check_sources(words: Words) -> None:
    if len(words.arguments) < 2:
        reason = "requires at least two arguments, but only one was provided. Destination could not be determined"
        raise Malformed(f"{words.word} {reason}")


def _copy(place: Any, words: Words, heredocs: list[Heredoc]) -> Copy:
    _check_sources(words)
    flags = Flags(words.flags, ["chown", "chmod", "from"], ["link", "parents"], ["exclude"])
    common = _transfer(words, heredocs, flags)
    return Copy(**place, **common, from_stage=flags.text("from"), parents=flags.switch("parents") or False)


def _add(place: Any, words: Words, heredocs: list[Heredoc]) -> Add:
    _check_sources(words)
    flags = Flags(words.flags, ["chown", "chmod", "checksum"], ["link", "keep-git-dir", "unpack"], ["exclude"])
    return Add(
        **place,
        **_transfer(words, heredocs, flags),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.switch("keep-git-dir") or False,
        unpack=flags.switch("unpack"),
    )


def _env(place: Any, words: Words, heredocs: list[Heredoc]) -> Env:
    return Env(**place, pairs=_checked_pairs(words))


def _label(place: Any, words: Words, heredocs: list[Heredoc]) -> Label:
    return Label(**place, pairs=_checked_pairs(words))


def _checked_pairs(words: Words) -> list[tuple[str, str]]:
    _no_flags(words)
    _at_least_one(words)
    if not all(key for key, _ in words.pairs):
        raise Malformed(f"{words.word} names can not be blank")
    return words.pairs


def _arg(place: Any, words: Words, heredocs: list[Heredoc]) -> Arg:
    _no_flags(words)
    _at_least_one(words)
    pairs = [word.partition("=") for word in words.arguments]
    if not all(key for key, _, _ in pairs):
        raise Malformed("ARG names can not be blank")
    return Arg(**place, pairs=[(key, value if sign else None) for key, sign, value in pairs])


def _workdir(place: Any, words: Words, heredocs: list[Heredoc]) -> Workdir:
    return Workdir(**place, path=_single(words))


def _user(place: Any, words: Words, heredocs: list[Heredoc]) -> User:
    return User(**place, user=_single(words))


def _stopsignal(place: Any, words: Words, heredocs: list[Heredoc]) -> Stopsignal:
    return Stopsignal(**place, signal=_single(words))


def _maintainer(place: Any, words: Words, heredocs: list[Heredoc]) -> Maintainer:
    return Maintainer(**place, name=_single(words))


def _expose(place: Any, words: Words, heredocs: list[Heredoc]) -> Expose:
    _no_flags(words)
    _at_least_one(words)
    return Expose(**place, ports=sorted(words.arguments))


def _volume(place: Any, words: Words, heredocs: list[Heredoc]) -> Volume:
    _no_flags(words)
    _at_least_one(words)
    paths = [path.strip(BLANKS) for path in words.arguments]
    if not all(paths):
        raise Malformed("VOLUME specified can not be an empty string")
    return Volume(**place, paths=paths)


def _shell(place: Any, words: Words, heredocs: list[Heredoc]) -> Shell:
    _no_flags(words)
    _at_least_one(words)
    if not words.listed:
        raise Malformed("SHELL requires the arguments to be in JSON form", 'SHELL ["/bin/sh", "-c"]')
    return Shell(**place, words=words.arguments)


def _healthcheck(place: Any, words: Words, heredocs: list[Heredoc]) -> Healthcheck:
    _at_least_one(words)
    flags = Flags(words.flags, ["interval", "timeout", "start-period", "start-interval", "retries"])
    kind, *command = words.arguments
    if kind.upper() not in ("CMD", "NONE"):
        raise Malformed(f"Unknown type {quote(kind.upper())} in HEALTHCHECK (try CMD)")
    if kind.upper() == "NONE" and command:
        raise Malformed("HEALTHCHECK NONE takes no arguments")
    if kind.upper() == "CMD" and not command:
        raise Malformed("Missing command after HEALTHCHECK CMD")
    return Healthcheck(
        **place,
        command=Command(command, not words.listed) if command else None,
        interval=_interval(flags, "interval"),
        timeout=_interval(flags, "timeout"),
        start_period=_interval(flags, "start-period"),
        start_interval=_interval(flags, "start-interval"),
        retries=_retries(flags.text("retries")),
    )


def _interval(flags: Flags, name: str) -> int:
    """Parse a duration to nanoseconds: 0, or at least a millisecond."""
    text = flags.text(name)
    try:
        value = duration(text.lstrip("+-")) if text and text.lstrip("+-") != "0" else 0
    except InvalidArgument as error:
        raise Malformed(f"time: invalid duration {quote(text)}", error.hint) from None
    if value and (text.startswith("-") or value < _SHORTEST_INTERVAL):
        raise Malformed(f"Interval {quote(name)} cannot be less than 1ms")
    return value


def _retries(text: str) -> int:
    digits = text.removeprefix("-").removeprefix("+") if text else "0"
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10 and int(digits) <= _LARGEST_RETRIES):
        raise Malformed(f"invalid --retries {quote(text)}", f"a number from 0 to {_LARGEST_RETRIES}")
    if text.startswith("-") and int(digits):
        raise Malformed(f"--retries cannot be negative ({text})")
    return int(digits)


def _onbuild(place: Any, words: Words, heredocs: list[Heredoc]) -> Onbuild:
    _no_flags(words)
    _at_least_one(words)
    inner = words.arguments[0]
    if inner == "ONBUILD":
        raise Malformed("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if inner in _NOT_TRIGGERS:
        raise Malformed(f"{inner} isn't allowed as an ONBUILD trigger")
    text = place["text"][len(words.written) :].lstrip(BLANKS)
    return Onbuild(**place, trigger_text=text + "".join(f"\n{heredoc.body}{heredoc.name}" for heredoc in heredocs))


_BUILDERS: dict[str, Callable[[Any, Words, list[Heredoc]], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
