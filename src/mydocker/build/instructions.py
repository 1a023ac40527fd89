"""The instructions of a Dockerfile as records: the contract between the parser and the builder.

A record comes from `dockerfile.parse()` with its texts as they are written: a field marked "raw" still has its quotes,
escapes and variables. `config.advance(state, instruction, …)` returns the same record with these fields expanded, done
when the instruction's turn has come, as ENV and ARG before it decide. Fields that are not marked are final.
"""

from __future__ import annotations

from mydocker.record import record


@record
class Heredoc:
    """A document within the Dockerfile. body: its lines as they stand there, each with its newline.

    expand: no part of the name was quoted. strip_tabs: `<<-`. descriptor: the number before `<<`, or 0.
    """

    name: str
    body: str
    expand: bool
    strip_tabs: bool
    descriptor: int

    @property
    def content(self) -> str:
        """Return the body, without the tabs at the beginning of its lines if `<<-` says so."""
        if not self.strip_tabs:
            return self.body
        return "".join(line.lstrip("\t") for line in self.body.splitlines(keepends=True))


@record
class Instruction:
    """Any instruction. first, last: its lines in the Dockerfile, from 1, heredocs included.

    text: it as one line, without heredoc bodies and blanks around it. trigger: it comes from an ONBUILD; its lines are
    then those of the FROM.
    """

    first: int
    last: int
    text: str
    trigger: bool

    @property
    def word(self) -> str:
        """Return the instruction's name: `COPY`."""
        return type(self).__name__.upper()


@record
class From(Instruction):
    """Begins a stage. base: raw, expanded with the ARGs before the first FROM. name: in lower case, "" for none.
    platform: raw, as `base`, or ""."""

    base: str
    name: str
    platform: str


@record
class Command:
    """A command of RUN, CMD, ENTRYPOINT or HEALTHCHECK. Variables are the shell's business, so nothing is expanded.

    shell: the shell form; words is then one text, which the image's shell gets. Else the words of the JSON list.
    """

    words: list[str]
    shell: bool


@record
class Mount:
    """A `RUN --mount=`. type: bind, cache, tmpfs, secret or ssh. source, target, id, env: "" if they are not given.

    from_stage: a stage's name or number, or an image; "" is the build context (or nothing, for a cache). sharing:
    shared, private or locked. mode, uid, gid: None if they are not given. size: bytes of a tmpfs, or 0. required: the
    secret must be there.
    """

    type: str
    target: str = ""
    source: str = ""
    from_stage: str = ""
    id: str = ""
    env: str = ""
    read_only: bool = False
    sharing: str = ""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int = 0
    required: bool = False


@record
class Run(Instruction):
    """network: default, none or host. mount_texts: raw, each the value of a `--mount`. mounts: empty until advance().

    heredocs: nothing in them is expanded. commands.run_command() says what to execute.
    """

    command: Command
    heredocs: list[Heredoc]
    network: str
    mount_texts: list[str]
    mounts: list[Mount]


@record
class Transfer(Instruction):
    """The part that COPY and ADD have in common.

    sources: raw, the paths; may be empty if there are documents. destination: raw.

    documents: heredocs among the sources, each a file of its name; advance() expands their bodies too, and `content`
    is then the file. If two have one name, the last one is the file. chown, chmod: raw, or "". excludes: raw patterns,
    as in .dockerignore, relative to a source.
    """

    sources: list[str]
    documents: list[Heredoc]
    destination: str
    chown: str
    chmod: str
    link: bool
    excludes: list[str]


@record
class Copy(Transfer):
    """from_stage: a stage's name or number, or an image; "" is the build context. parents: keep the sources' paths."""

    from_stage: str
    parents: bool


@record
class Add(Transfer):
    """unpack: None to unpack local archives and leave fetched ones. checksum: raw, `sha256:…` of a fetched file."""

    checksum: str
    keep_git_dir: bool
    unpack: bool | None


@record
class Env(Instruction):
    """pairs: raw keys and values, in order."""

    pairs: list[tuple[str, str]]


@record
class Label(Instruction):
    """pairs: raw keys and values, in order."""

    pairs: list[tuple[str, str]]


@record
class Arg(Instruction):
    """pairs: keys, and raw defaults, None for none. Not changed by advance(): a default may use the key before it."""

    pairs: list[tuple[str, str | None]]


@record
class Workdir(Instruction):
    """path: raw."""

    path: str


@record
class User(Instruction):
    """user: raw, USER or USER:GROUP, names or numbers."""

    user: str


@record
class Cmd(Instruction):
    """command: shell form of "" for a bare CMD."""

    command: Command


@record
class Entrypoint(Instruction):
    """command: as of Cmd."""

    command: Command


@record
class Expose(Instruction):
    """ports: raw, sorted; advance() splits them at blanks once more."""

    ports: list[str]


@record
class Volume(Instruction):
    """paths: raw. They are not cleaned, as in docker."""

    paths: list[str]


@record
class Stopsignal(Instruction):
    """signal: raw."""

    signal: str


@record
class Healthcheck(Instruction):
    """command: None for HEALTHCHECK NONE. Times in nanoseconds, 0 for none."""

    command: Command | None
    interval: int
    timeout: int
    start_period: int
    start_interval: int
    retries: int


@record
class Shell(Instruction):
    """words: the program and its options; a text comes behind them."""

    words: list[str]


@record
class Onbuild(Instruction):
    """trigger_text: the other instruction as it is written, heredocs included; read by dockerfile.triggers()."""

    trigger_text: str


@record
class Maintainer(Instruction):
    """name: not expanded."""

    name: str
