"""The commands' output: docker's tables, JSON, templates. No text from an image or container can control the
terminal."""

from __future__ import annotations

import os

from mydocker import jsontext
from mydocker.errors import FAILED, InvalidArgument
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Row = dict[str, Any]  # field -> text; Labels -> dict[str, str]
    Document = tuple[str, dict[str, Any]]  # its kind, a key of docker_types.DOCUMENTS, and its JSON

_GAP = 3  # spaces between two columns, and the minimum width of a column with its gap: docker's
_MIN_WIDTH = 10
_FLOOR = 8  # the minimum width of a column that is shortened to fit the terminal


@record
class Listing:
    """A kind of object that is listed. Its rows are dicts with all fields of headings.

    headings: field -> its heading in a table. columns: the default table's. key: the field that -q prints.
    shrinkable: the columns that may be shortened on a narrow terminal, the widest first.
    dispensable: the column that is left out if shortening is not enough, or "".
    """

    headings: dict[str, str]
    columns: list[str]
    key: str
    shrinkable: list[str]
    dispensable: str = ""


CONTAINERS = Listing(
    {
        "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "RunningFor": "CREATED", "Status": "STATUS",
        "Pid": "PID", "Names": "NAMES", "Name": "NAME", "CreatedAt": "CREATED AT", "State": "STATE", "Ports": "PORTS",
        "Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS",
        "Size": "SIZE",
    },
    ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"],
    "ID",
    ["Command", "Image", "Status"],
    "RunningFor",
)  # fmt: skip
IMAGES = Listing(
    {
        "Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "CreatedSince": "CREATED", "Size": "SIZE",
        "CreatedAt": "CREATED AT", "Digest": "DIGEST", "Containers": "CONTAINERS", "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE", "VirtualSize": "SIZE",
    },
    ["Repository", "Tag", "ID", "CreatedSince", "Size"],
    "ID",
    ["Repository", "Tag"],
)  # fmt: skip
STEPS = Listing(
    {
        "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
        "CreatedAt": "CREATED AT",
    },
    ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"],
    "ID",
    ["CreatedBy", "Comment"],
)  # fmt: skip
EXACT_STEPS = Listing(STEPS.headings, ["ID", "CreatedAt", *STEPS.columns[2:]], STEPS.key, STEPS.shrinkable)
VOLUMES = Listing(
    {
        "Driver": "DRIVER", "Name": "VOLUME NAME", "Mountpoint": "MOUNTPOINT", "Scope": "SCOPE", "Labels": "LABELS",
        "Links": "LINKS", "Size": "SIZE",
    },
    ["Driver", "Name"],
    "Name",
    [],
)  # fmt: skip
NETWORKS = Listing(
    {
        "ID": "NETWORK ID", "Name": "NAME", "IpRange": "IPRANGE", "Driver": "DRIVER", "Scope": "SCOPE",
        "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
    },
    ["ID", "Name", "Driver", "Scope"],
    "ID",
    [],
)  # fmt: skip
STATS = Listing(
    {
        "Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
    ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"],
    "ID",
    ["Name"],
    "MemPerc",
)  # fmt: skip
USAGE = Listing(
    {
        "Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE",
    },
    ["Type", "TotalCount", "Active", "Size", "Reclaimable"],
    "Type",
    [],
)  # fmt: skip
IMAGES_USED = Listing(
    IMAGES.headings,
    ["Repository", "Tag", "ID", "CreatedSince", "VirtualSize", "SharedSize", "UniqueSize", "Containers"],
    "ID",
    IMAGES.shrinkable,
)
CONTAINERS_USED = Listing(
    CONTAINERS.headings,
    ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"],
    "ID",
    CONTAINERS.shrinkable,
)
VOLUMES_USED = Listing(VOLUMES.headings, ["Name", "Links", "Size"], "Name", [])
CACHE_USED = Listing(
    {
        "ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED",
        "LastUsedSince": "LAST USED", "Shared": "SHARED", "InUse": "IN USE", "Description": "DESCRIPTION",
    },
    ["ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "Shared"],
    "ID",
    [],
)  # fmt: skip
NETWORKS_OF_THE_BOOK = Listing(NETWORKS.headings, ["ID", "Name", "IpRange", "Driver", "Scope"], "ID", [])


def with_size(kind: Listing) -> Listing:
    """Add the column SIZE, for `ps -s`."""
    return Listing(kind.headings, [*kind.columns, "Size"], kind.key, kind.shrinkable, kind.dispensable)


def with_digests(kind: Listing) -> Listing:
    """Add the column DIGEST, for `images --digests`. Nothing is shortened then: a digest is wider than a terminal."""
    columns = [*kind.columns[:2], "Digest", *kind.columns[2:]]
    return Listing(kind.headings, columns, kind.key, [])


def emit(data: str | bytes, descriptor: int = 1) -> None:
    """Write all of the data. Surrogates, which stand for bytes of file names, are written as those bytes.

    Raises OSError with the stream's name as its file name, for example if the reader is gone or the disk is full.
    """
    view = memoryview(data if isinstance(data, bytes) else _encoded(data))
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # another program has made the terminal non-blocking
            import select

            poller = select.poll()
            poller.register(descriptor, select.POLLOUT)
            poller.poll()
        except OSError as error:
            error.filename = {1: "stdout", 2: "stderr"}.get(descriptor)
            raise


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold
        return text.encode("utf-8", "backslashreplace")


def printable(text: str, keep: str = "") -> str:
    """Escape unprintable characters: `\\x1b`. keep: characters to leave as they are."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escape(char) for char in text)


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return repr(char)[1:-1]


def width(text: str) -> int:
    """The text's width on a terminal: East Asian characters take two columns, combining marks none."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(char) in ("Mn", "Me", "Cf") else 2 if east_asian_width(char) in ("W", "F") else 1 for char in text
    )


def shorten(text: str, columns: int) -> str:
    """Cut the text to a number of columns, with … at the end."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def terminal_width(descriptor: int = 1) -> int | None:
    """The terminal's columns, 0 if it does not know them; None if the descriptor is not a terminal."""
    try:
        return os.get_terminal_size(descriptor).columns
    except OSError:
        return None


def listing(
    kind: Listing,
    rows: Sequence[Row],
    form: str | None = None,
    quiet: bool = False,
    trunc: bool = True,
    columns: int | None = None,
) -> str:
    """Format rows by --format, -q and --no-trunc. Raises InvalidArgument.

    form: None, "table", "json", a template, or "table " and a template. columns: the width of the terminal, None for a
    pipe or a file.
    """
    form = (form or "table").strip(" ")
    if form == "table":
        if quiet:
            return "".join(f"{printable(row[kind.key])}\n" for row in rows)
        shown = kind.columns
        text = _table(kind, rows, shown, columns if trunc else None)
        if columns and trunc and kind.dispensable and max(map(width, text.splitlines())) > columns:
            shown = [field for field in shown if field != kind.dispensable]
            text = _table(kind, rows, shown, columns)
        return text
    if form == "json":
        from mydocker.gotemplate import formats

        return "".join(formats.json(fields_of(row)) + "\n" for row in rows)
    return _by_template(kind, rows, form, columns is not None)


def _table(kind: Listing, rows: Sequence[Row], shown: list[str], columns: int | None) -> str:
    cells = [[kind.headings[field] for field in shown]]
    cells += [[printable(row[field]) for field in shown] for row in rows]
    if columns:
        return _fitted(cells, [shown.index(field) for field in kind.shrinkable], columns)
    return _aligned(cells, _GAP, _MIN_WIDTH)


def fields_of(row: Row) -> Row:
    """The row as docker's templates see it: fields in order, labels as one text."""
    fields = {field: row[field] for field in sorted(row)}
    if "Labels" in row:
        fields["Labels"] = ",".join(f"{key}={value}" for key, value in sorted(row["Labels"].items()))
    return fields


def _by_template(kind: Listing, rows: Sequence[Row], form: str, terminal: bool) -> str:
    from mydocker.gotemplate.functions import HEADING_FUNCTIONS
    from mydocker.gotemplate.template import Template

    table = form.startswith("table")
    text = (form[5:] if table else form).strip(" ").replace("\\t", "\t").replace("\\n", "\n")
    try:
        template = Template(text)
    except InvalidArgument as error:
        raise InvalidArgument(error.message, error.hint, FAILED) from None
    # In a table, a tab or a newline in a value would end the cell or the row.
    escape: Callable[[str], str] | None = printable if table else for_terminal if terminal else None
    lines = []
    for row in rows:
        try:
            lines.append(template.render(fields_of(row), {"Label": _label_of(row)}, escape))
        except InvalidArgument as error:
            fields = " ".join(f".{field}" for field in kind.headings)
            raise InvalidArgument(error.message, f"the fields are {fields}", FAILED) from None
    if not table:
        return "".join(f"{line}\n" for line in lines)
    try:
        heading = Template(text, HEADING_FUNCTIONS).render(kind.headings, {"Label": _label_heading})
    except InvalidArgument:  # the template works on values, but not on headings
        heading = ""
    return _aligned([line.split("\t") for part in (heading, *lines) for line in part.split("\n")], _GAP, _MIN_WIDTH)


def _label_of(row: Row) -> Callable[[str], str]:
    labels: dict[str, str] = row.get("Labels", {})
    return lambda key: labels.get(key, "")


def _label_heading(key: str) -> str:
    return key.rpartition(".")[2].replace("-", " ").replace("_", " ")


def for_terminal(text: str) -> str:
    return printable(text, "\n\t")


def aligned(lines: list[list[str]], minimum: int) -> str:
    """Align cells in columns that are at least `minimum` wide, the gap included."""
    return _aligned(lines, _GAP, minimum)


def _aligned(lines: list[list[str]], gap: int, minimum: int) -> str:
    """Align cells in columns, as Go's tabwriter: a column spans consecutive lines that have a cell after it."""
    out = [""] * len(lines)
    for column in range(max(map(len, lines))):
        first = 0
        while first < len(lines):
            last = first
            while last < len(lines) and len(lines[last]) > column + 1:
                last += 1
            wide = max([minimum] + [width(line[column]) + gap for line in lines[first:last]])
            for row in range(first, last):
                cell = lines[row][column]
                out[row] += cell + " " * (wide - width(cell))
            if last < len(lines) and len(lines[last]) > column:
                out[last] += lines[last][column]
            first = last + 1
    return "".join(f"{line}\n" for line in out)


def _fitted(cells: list[list[str]], shrinkable: Sequence[int], columns: int) -> str:
    """Align cells for a terminal. If the table is too wide, shrink first its gaps, then the shrinkable columns, down to
    _FLOOR."""
    widths = [max(width(row[column]) for row in cells) for column in range(len(cells[0]))]
    if sum(max(wide + _GAP, _MIN_WIDTH) for wide in widths[:-1]) + widths[-1] <= columns:
        return _aligned(cells, _GAP, _MIN_WIDTH)
    gap = _GAP - 1
    excess = sum(widths) + gap * (len(widths) - 1) - columns
    while excess > 0 and shrinkable:
        widest = max(shrinkable, key=lambda column: widths[column])
        if widths[widest] <= _FLOOR:
            break
        widths[widest] -= 1
        excess -= 1
    for row in cells:
        for column in shrinkable:
            row[column] = shorten(row[column], widths[column])
    return _aligned(cells, gap, 0)


def inspection(documents: list[Document], form: str | None = None, terminal: bool = False) -> str:
    """The output of inspect. form: None, "json" (in one line) or a template. Raises InvalidArgument."""
    values = [value for _, value in documents]
    if not form:
        return jsontext.pretty(values) + "\n"
    if form == "json":
        from mydocker.gotemplate import formats

        return formats.json(values) + "\n"
    from mydocker.cli.documents import typed
    from mydocker.gotemplate.template import Template

    template = Template(form)
    escape = for_terminal if terminal else None
    lines = []
    for kind, value in documents:
        try:
            line = template.render(typed(kind, value), escape=escape)
        except InvalidArgument:  # as docker does: once more on JSON's types, whose error names the missing key
            line = template.render(value, escape=escape)
        lines.append(f"{line}\n")
    return "".join(lines)
