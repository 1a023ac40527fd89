"""Apply the Dockerfile instructions of `--change` to an image's config, as docker's import and commit do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mydocker.build import config as effects
from mydocker.build import dockerfile, grammar
from mydocker.build.failure import Malformed
from mydocker.build.instructions import User, Workdir
from mydocker.build.lines import LineReader
from mydocker.errors import InvalidArgument, MydockerError

if TYPE_CHECKING:
    from typing import Any

    from mydocker.build.instructions import Instruction

# docker 20.10 takes these, but for STOPSIGNAL.
_WORDS = (
    *("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD"),
    *("STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
)
_HINT = f"one of {' '.join(_WORDS)}, as in a Dockerfile"


def apply_changes(config: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """Return the config (an OCI image config's "config") after the instructions. A change may have several, a line
    each. Raises InvalidArgument."""
    state = effects.edit(config)
    for change in changes:
        try:
            instructions = _read(change)
            if not instructions:
                raise Malformed("it is empty")
            for instruction in instructions:
                expanded, state = effects.advance(state, instruction, effects.Arguments({}, {}))
                if (isinstance(expanded, Workdir) and not expanded.path) or (
                    isinstance(expanded, User) and not expanded.user
                ):
                    raise Malformed("it is empty")
        except (Malformed, MydockerError) as error:
            raise InvalidArgument(f"invalid change '{change}': {error.message}", error.hint or _HINT) from None
    return effects.image_config(state)


def _read(text: str) -> list[Instruction]:
    reader = LineReader(text.encode("utf-8", "surrogateescape"))
    instructions = []
    for line in reader:
        words = grammar.split(line.text, reader.escape)
        if words.word not in _WORDS:
            raise Malformed(f"{words.written} is not possible here", _HINT)
        if words.word in ("CMD", "ENTRYPOINT"):
            _check_command(words)
        instruction = grammar.build(words, line, [])
        dockerfile.check_encoding([instruction.text])
        instructions.append(instruction)
    return instructions


def _check_command(words: grammar.Words) -> None:
    """Refuse what docker takes for a shell's command without a word: nothing, and a list with the wrong quotes."""
    text = "" if words.listed else " ".join(words.arguments)
    if not words.listed and not text:
        raise Malformed(f"{words.word} has no command")
    if text.startswith("[") and not text.startswith("[ "):  # not test(1)
        raise Malformed("this is not a JSON list of strings", f'{words.word} ["PROGRAM", "ARGUMENT"]')
