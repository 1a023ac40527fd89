"""Read a whole Dockerfile: its directives, global ARGs and stages, or an error that shows the lines.

What BuildKit's front end refuses is refused, whatever stage it is in; what happens later is in stages.py and
config.py.
"""

from __future__ import annotations

from mydocker.build import grammar, heredocs, lint
from mydocker.build.failure import BuildWarning, DockerfileError, Malformed, Source
from mydocker.build.instructions import Arg, From, Instruction, Onbuild, Run
from mydocker.build.lines import LineReader
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@record
class Stage:
    """A FROM and what follows it. index: from 0. name: in lower case, or ""."""

    index: int
    start: From
    instructions: list[Instruction]

    @property
    def name(self) -> str:
        """Return the name that `AS` gives, in lower case, or ""."""
        return self.start.name

    @property
    def title(self) -> str:
        """Return the name, or `stage-2`, as messages call the stage."""
        return self.name or f"stage-{self.index}"


@record
class Dockerfile:
    """A Dockerfile. args: the ARGs before the first FROM. escape: `\\` or a backtick. syntax: the value of `# syntax=`,
    which is ignored, or "". check: what `# check=` says. warnings: those that the text alone gives."""

    source: Source
    args: list[Arg]
    stages: list[Stage]
    escape: str
    syntax: str
    check: lint.Check
    warnings: list[BuildWarning]


def parse(data: bytes, name: str = "Dockerfile") -> Dockerfile:
    """Read a Dockerfile. name: its file name, for messages. Raises DockerfileError."""
    reader = LineReader(data, name)
    source = reader.source
    if not data:
        raise source.error("the Dockerfile cannot be empty")
    args: list[Arg] = []
    stages: list[Stage] = []
    for instruction in _instructions(reader):
        if isinstance(instruction, From):
            stages.append(Stage(len(stages), instruction, []))
        elif stages:
            stages[-1].instructions.append(instruction)
        elif isinstance(instruction, Arg):
            args.append(instruction)
        else:
            with source.located(instruction.first, instruction.last):
                raise Malformed("no build stage in current context", "a Dockerfile begins with FROM, or ARG and FROM")
    if not stages and not args:
        raise source.error("file with no instructions", "it needs a FROM", reader.line, reader.line)
    if not stages:
        raise source.error("dockerfile contains no stages to build", "it needs a FROM")
    with source.located(1, 1):
        check = lint.read_check(reader.directives.get("check", ""))
    warnings = [*reader.warnings, *lint.texts(stages)]
    return Dockerfile(source, args, stages, reader.escape, reader.directives.get("syntax", ""), check, warnings)


def triggers(texts: Iterable[str], start: From, source: Source) -> list[Instruction]:
    """Read the ONBUILD texts of a base, as its config's OnBuild has them, for the FROM that uses it.

    The instructions have the FROM's lines. Raises DockerfileError about these.
    """
    result = []
    for text in texts:
        try:
            read = list(_instructions(LineReader(text.encode("utf-8", "surrogateescape")), trigger=True))
        except DockerfileError as error:
            raise source.error(f"ONBUILD {text}: {error.message}", error.hint, start.first, start.last) from None
        if len(read) != 1 or isinstance(read[0], From):
            message = f"ONBUILD {text}: onbuild trigger should be a single instruction, and not FROM"
            raise source.error(message, "", start.first, start.last)
        read[0].first, read[0].last = start.first, start.last
        result += read
    return result


def _instructions(reader: LineReader, trigger: bool = False) -> Iterator[Instruction]:
    for line in reader:
        with reader.source.located(line.first, line.last):
            words = grammar.split(line.text, reader.escape)
            documents = heredocs.in_line(line.text) if words.may_have_heredocs and "<<" in line.text else []
        for document in documents:
            body = reader.body(document.name, document.strip_tabs)
            if body is None:
                hint = f"no line has only {document.name} on it"
                message = f"dockerfile parse error on line {line.first}: unterminated heredoc"
                raise reader.source.error(message, hint, line.first, reader.line)
            document.body = body
        line.last = reader.line
        with reader.source.located(line.first, line.last):
            instruction = grammar.build(words, line, documents, trigger)
            check_encoding([instruction.text, *(_bodies(instruction))])
        yield instruction


def _bodies(instruction: Instruction) -> list[str]:
    """Return the heredoc bodies that become a command, an argument of execve or a text of the config."""
    if isinstance(instruction, Onbuild):
        return [instruction.trigger_text]
    return [document.body for document in instruction.heredocs] if isinstance(instruction, Run) else []


def check_encoding(texts: list[str]) -> None:
    """Raise Malformed unless the texts are UTF-8: the config of an image is JSON. A file of COPY's may be anything."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Malformed("the text is not UTF-8") from None
        if "\0" in text:
            raise Malformed("the text has a NUL character")
