"""Facts about the machine on which the plan of a container depends, as plain data. engine/host.py reads them."""

from __future__ import annotations

from mydocker.model.oci import capabilities
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Node(TypedDict):
        """An entry of OCI's linux.devices. access: which of r, w, m the container may do with it."""

        path: str
        type: str  # c(haracter) or b(lock)
        major: int
        minor: int
        fileMode: int
        uid: int
        gid: int
        access: str

    class BlockDevice(TypedDict):
        """A limit on a block device. kind, value: as in options.resources.BlockLimit."""

        kind: str
        major: int
        minor: int
        value: int


@record
class HostFacts:
    cpus: str = "0"  # online CPUs, as the kernel lists them: "0-3"
    nodes: str = "0"  # memory nodes, likewise
    kernel: tuple[int, int] = (6, 1)
    hostname: str = ""
    cwd: str = "/"
    capabilities: int = capabilities.ALL  # the bits that mydocker has to give
    hard_limits: dict[str, int] = {}  # ulimit -> the highest value that can be set; empty with CAP_SYS_RESOURCE
    swap: bool = True  # the use of swap can be limited
    systemd: bool = False
    masked: list[str] = []  # files of /sys that tell about other tenants and that not every machine has
