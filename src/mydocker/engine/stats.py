"""stats: what containers use of CPU, memory, network, disks and PIDs, by their cgroups; computed as docker does.

CPU        time that the cgroup has used between two samples, as a part of the time between them: 100 % is one CPU
memory     without the file cache that is inactive: the kernel gives that back first. A limit above the host's
           memory, or none, counts as that
network    bytes of all interfaces but lo, in the container's network namespace; 0 on the host's network
disks      bytes that were read and written on block devices
"""

from __future__ import annotations

import os
from time import monotonic_ns

from mydocker import state
from mydocker.engine.bundle import load_spec
from mydocker.kernel import cgroups
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.container import Container

# The files of v1, the first that exists: kernels differ in their schedulers of disks.
_DISKS = (
    "blkio.bfq.io_service_bytes_recursive",
    "blkio.io_service_bytes_recursive",
    "blkio.throttle.io_service_bytes_recursive",
    "blkio.throttle.io_service_bytes",
)


@record
class Usage:
    """cpu: percent, 100 for one CPU. memory, limit, received, sent, read, written: bytes. A container that does not run
    has zeros only."""

    cpu: float = 0.0
    memory: int = 0
    limit: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    pids: int = 0

    @property
    def memory_percent(self) -> float:
        return self.memory / self.limit * 100 if self.limit else 0.0


class Gauge:
    """Measures one run of a container, from one call to the next."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self._layout = cgroups.layout()
        self._path = load_spec(container)["linux"]["cgroupsPath"] if container.is_up() else ""
        self._before = self._cpu()

    def is_of(self, container: Container) -> bool:
        """True if a record is of the same run."""
        return container.id == self.container.id and container.started_at == self.container.started_at

    def measure(self, container: Container) -> Usage:
        """Measure the container now; its CPU since the last call. container: its current record."""
        if not state.is_running(container):
            return Usage()
        (used, at), (used_before, before) = self._cpu(), self._before
        self._before = used, at
        received, sent = _network(container)
        read, written = self._disks()
        return Usage(
            max(0.0, (used - used_before) / (at - before) * 100) if at > before else 0.0,
            *self._memory(),
            received,
            sent,
            read,
            written,
            _number(self._read("pids", "pids.current")),
        )

    def _cpu(self) -> tuple[int, int]:
        """Return (CPU time that has been used so far, the time of the host's clock), in nanoseconds."""
        if self._layout.version == 2:
            used = _fields(self._read("cpu", "cpu.stat")).get("usage_usec", 0) * 1000
        else:
            used = _number(self._read("cpuacct", "cpuacct.usage"))
        return used, monotonic_ns()

    def _memory(self) -> tuple[int, int]:
        """Return (bytes in use, the limit)."""
        names = ("current", "max", "inactive_file")
        if self._layout.version != 2:
            names = ("usage_in_bytes", "limit_in_bytes", "total_inactive_file")
        used, limit = (_number(self._read("memory", f"memory.{name}")) for name in names[:2])
        inactive = _fields(self._read("memory", "memory.stat")).get(names[2], 0)
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return used - inactive if inactive < used else used, min(limit or total, total)

    def _disks(self) -> tuple[int, int]:
        """Return the bytes (read, written)."""
        if self._layout.version == 2:
            words = self._read("io", "io.stat").split()
            pairs = [word.partition("=")[::2] for word in words]
            return _sum(pairs, "rbytes"), _sum(pairs, "wbytes")
        for name in _DISKS:
            rows = [line.split() for line in self._read("blkio", name).splitlines()]
            if rows:
                pairs = [(row[1], row[2]) for row in rows if len(row) == 3]
                return _sum(pairs, "Read"), _sum(pairs, "Write")
        return 0, 0

    def _read(self, controller: str, name: str) -> str:
        """Read a file of the container's cgroup; "" if it does not exist, as without the controller."""
        mount = self._layout.mounts.get("unified" if self._layout.version == 2 else controller)
        if not mount or not self._path:
            return ""
        try:
            return cgroups.read(f"{mount}{self._path}/{name}")
        except OSError:
            return ""


def _network(container: Container) -> tuple[int, int]:
    """Return the bytes (received, sent)."""
    if container.network in ("host", "none"):
        return 0, 0
    received = sent = 0
    try:
        with open(f"/proc/{container.pid}/net/dev", "rb") as table:
            for line in table.read().splitlines():
                name, colon, numbers = line.partition(b":")
                fields = numbers.split()
                if colon and name.strip() != b"lo" and len(fields) > 8:
                    received, sent = received + int(fields[0]), sent + int(fields[8])
    except OSError:
        pass  # it has just ended
    return received, sent


def _sum(pairs: list[tuple[str, str]], key: str) -> int:
    return sum(_number(value) for name, value in pairs if name == key)


def _number(text: str) -> int:
    """Parse a cgroup file's number; 0 for "max" and for nothing."""
    return int(text) if text.isdigit() else 0


def _fields(text: str) -> dict[str, int]:
    """Parse lines of a name and a number."""
    return {name: _number(value) for name, _, value in (line.partition(" ") for line in text.splitlines())}
