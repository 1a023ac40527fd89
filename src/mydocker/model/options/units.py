"""Numbers as people write them: sizes, CPUs, CPU sets, resource limits, with docker's units, syntax and bounds."""

from __future__ import annotations

from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Ulimit(TypedDict):
        """A resource limit; -1 is unlimited."""

        name: str
        soft: int
        hard: int


MIB = 1 << 20
_MAX_LOGS = 1000
UNLIMITED = -1
_LIMIT = 1 << 63  # the kernel and OCI have int64
_BINARY = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_MAX_CPUS = 8192  # NR_CPUS of the largest kernels, and docker's bound

# The names of --ulimit; OCI and the kernel call them RLIMIT_<NAME>.
ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip


def is_number(text: str) -> bool:
    """True for ASCII digits, few enough for int() to be quick."""
    return text.isascii() and text.isdigit() and len(text) <= 20


def integer(text: str, what: str, low: int, high: int) -> int:
    """Parse an integer from low to high. what: its name in the message."""
    if is_number(text.removeprefix("-")) and low <= int(text) <= high:
        return int(text)
    raise InvalidArgument(f"invalid {what} '{text}'", f"an integer from {low} to {high}")


def _decimal(text: str, unit: int) -> int | None:
    """Return `text` (digits, also with a decimal point) times unit, rounded down.

    None for any other text, and for a number so small that the result would be 0, which often means "no limit".
    """
    before, point, after = text.partition(".")
    if not is_number(before) or (point and not is_number(after)):
        return None
    scale: int = 10 ** len(after)
    value = int(before + after) * unit // scale
    return value if value or not text.strip("0.") else None


def size(text: str, what: str = "size") -> int:
    """Parse bytes: a number, a unit of k, m, g, t, p (powers of 1024), then "b", "ib" or nothing, in any case."""
    number = text.lower().removesuffix("b").removesuffix("i") if text.isascii() else ""
    unit = _BINARY.get(number[-1:], 0)
    value = _decimal((number[:-1] if unit else number).removesuffix(" "), unit or 1)
    if value is None or value >= _LIMIT:
        raise InvalidArgument(f"invalid {what} '{text}'", "a number with b, k, m or g, such as 100m")
    return value


def human_size(count: float, digits: int = 4) -> str:
    """Format bytes in powers of 1000 with so many digits: 1.98MB with 3 (docker images), 1.983MB with 4."""
    return _scaled(count, digits, 1000, ["B", "kB", "MB", "GB", "TB", "PB", "EB"])


def binary_size(count: float) -> str:
    """Format bytes in powers of 1024, as docker's stats: 23.54GiB."""
    return _scaled(count, 4, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])


def _scaled(count: float, digits: int, base: int, units: list[str]) -> str:
    while len(units) > 1 and float(f"{count:.{digits}g}") >= base:
        count /= base
        units = units[1:]
    return f"{count:.{digits}g}{units[0]}"


def cpus(text: str, online: int) -> int:
    """Parse to docker's NanoCpus, billionths of a CPU: 1500000000 for "1.5"; 0 means no limit. online: number of
    CPUs."""
    nano = _decimal(text if not text.startswith(".") else "0" + text, 10**9)
    if nano is None:
        raise InvalidArgument(f"invalid number of CPUs '{text}'", "a number such as 0.5 or 2")
    if nano and not 10**7 <= nano <= online * 10**9:  # the kernel's smallest quota is 1 ms in 100 ms
        raise InvalidArgument(
            f"number of CPUs '{text}' is out of range", f"0.01 to {online}.00, as this machine has {online}"
        )
    return nano


def numbers(text: str) -> set[int] | None:
    """Parse the kernel's list format, "0-3,5"; None if it is malformed."""
    result: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (is_number(first) and is_number(last) and int(first) <= int(last) < _MAX_CPUS):
            return None
        result.update(range(int(first), int(last) + 1))
    return result


def cpuset(text: str, online: str, what: str = "CPUs") -> str:
    """Check a list of CPUs or memory nodes. online: those of this machine, in the same format."""
    requested = numbers(text)
    if requested is None:
        raise InvalidArgument(f"invalid list of {what} '{text}'", "numbers and ranges, such as 0-3,5")
    if not requested <= (numbers(online) or set()):
        raise InvalidArgument(f"{what} '{text}' are not available", f"this machine has {online}")
    return text


def ulimit(text: str) -> Ulimit:
    """Parse NAME=SOFT[:HARD]; -1 or "unlimited" is unlimited. One value is both limits."""
    name, _, values = text.partition("=")
    if name not in ULIMITS:
        raise InvalidArgument(f"unknown ulimit '{name}'", "one of " + " ".join(ULIMITS))
    soft, colon, hard = values.partition(":")
    limits = [_limit(text, value) for value in (soft, hard if colon else soft)]
    if limits[1] != UNLIMITED and not 0 <= limits[0] <= limits[1]:
        raise InvalidArgument(f"invalid ulimit '{text}'", "the soft limit must not be above the hard one")
    return {"name": name, "soft": limits[0], "hard": limits[1]}


def _limit(text: str, value: str) -> int:
    if value in ("-1", "unlimited", "infinity"):
        return UNLIMITED
    if is_number(value) and int(value) < _LIMIT:
        return int(value)
    raise InvalidArgument(f"invalid ulimit '{text}'", "NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:4096")


def log_options(options: list[str]) -> tuple[int, int]:
    """Parse docker's max-size=10m and max-file=3 to (bytes, files); 0 for what is not given."""
    largest, files = 0, 0
    for option in options:
        key, _, value = option.partition("=")
        if key == "max-size":
            largest = size(value, "log size")
            if not largest:
                raise InvalidArgument(f"invalid log size '{value}'", "a positive number, such as 10m")
        elif key == "max-file":
            files = integer(value, "number of log files", 1, _MAX_LOGS)
        elif key in ("labels", "env") and value:
            pass  # for 'logs --details'
        elif (key, value) not in (("compress", "false"), ("mode", "blocking")):
            raise InvalidArgument(
                f"log option '{option}' is not supported",
                "max-size=SIZE, such as 10m; max-file=NUMBER; labels=KEY,KEY; env=KEY,KEY",
            )
    return largest, files
