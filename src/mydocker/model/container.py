"""A container's record as plain data: record.json, and the questions that it answers by itself.

state.py reads and writes the record, and tells whether the processes that it names still exist.
"""

from __future__ import annotations

from mydocker import jsontext, paths
from mydocker.errors import Conflict, CorruptRecord, InvalidArgument
from mydocker.record import from_json, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.network import Endpoint

SCHEMA = 1
STATUSES = ("created", "running", "paused", "restarting", "exited")
UP = ("running", "paused")
ACTIVE = (*UP, "restarting")


@record
class Container:
    """record.json. Times: RFC 3339 with nanoseconds, UTC, "" for what has not happened. layers: chain IDs, bottom
    first. mounts: host paths and names of volumes. log_size (bytes a file), log_files: 0 for the host's default.
    own_volumes: the anonymous volumes, which are removed with the container. network: --net's mode. networks:
    model.network.Endpoint, each. requested_ports: as the user wrote them; bound_ports: those in effect while it runs,
    as options.ports writes them. exposed: the ports that it listens on, 80/tcp. restart: options.restart's text.
    restart_count: restarts since a person started it. restart_delay: milliseconds between the last run and this one, or
    the next. ended_by: a word of options.restart, from the request to end it until its next start. stdin_once: its
    stdin ends with that of the command lines which are attached to it. build: the ID of the build whose step it is: it
    ends with that build, and only the build removes it."""

    id: str
    name: str
    created: str
    image: str
    image_id: str
    command: list[str]
    driver: str
    layers: list[str]
    network: str = "none"
    networks: list[dict[str, Any]] = []
    requested_ports: list[str] = []
    bound_ports: list[str] = []
    exposed: list[str] = []
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    auto_remove: bool = False
    build: str = ""
    labels: dict[str, str] = {}
    mounts: list[str] = []
    own_volumes: list[str] = []
    log_size: int = 0
    log_files: int = 0
    restart: str = "no"
    restart_count: int = 0
    restart_delay: int = 0
    ended_by: str = ""
    stop_signal: int = 15
    stop_timeout: int = 10
    status: str = "created"
    pid: int = 0
    pid_start: int = 0
    boot_id: str = ""
    monitor_pid: int = 0
    monitor_start: int = 0
    started_at: str = ""
    finished_at: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    schema: int = SCHEMA

    @property
    def directory(self) -> str:
        return paths.container(self.id)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Raises CorruptRecord."""
        from mydocker.model.network import Endpoint

        try:
            return [from_json(Endpoint, each) for each in self.networks]
        except (TypeError, ValueError) as error:
            raise unusable(self, f"networks: {error}") from None

    @property
    def requested_networks(self) -> list[dict[str, Any]]:
        """The value of `networks` while the container does not run. Raises CorruptRecord."""
        return [endpoint.as_requested().to_json() for endpoint in self.endpoints]

    def is_up(self) -> bool:
        """docker's Up: it was started, and its end is not recorded yet. It may be paused."""
        return self.status in UP

    def is_paused(self) -> bool:
        return self.status == "paused"

    def is_restarting(self) -> bool:
        """True while it waits for a restart."""
        return self.status == "restarting"

    def is_active(self) -> bool:
        """True if it is up or waits for a restart: docker counts it as running."""
        return self.status in ACTIVE


def parse(text: bytes, path: str, container_id: str) -> Container:
    """Read the text of record.json. Raises CorruptRecord, which names `path`."""
    try:
        values = jsontext.loads(text)
        schema = values.get("schema")
        if schema != SCHEMA:
            raise CorruptRecord(f"record of another version (schema {schema}): {path}", "use the version that wrote it")
        container = from_json(Container, values)
        _check(container)
        if container.id != container_id:
            raise ValueError(f"it belongs to container {container.id[:12]}")
    except (ValueError, TypeError, AttributeError, InvalidArgument) as error:
        raise CorruptRecord(f"corrupt record: {path}: {error}", remedy(container_id)) from None
    return container


def _check(container: Container) -> None:
    """Check values whose types are right, which would otherwise fail later: in a monitor, say, at the container's end.
    Raises ValueError, InvalidArgument or CorruptRecord."""
    if not paths.is_entry(container.name):
        raise ValueError(f"name is '{container.name}'")
    if container.status not in STATUSES:
        raise ValueError(f"unknown status '{container.status}'")
    if not all(endpoint.network for endpoint in container.endpoints):
        raise ValueError("networks: network is missing")
    if container.bound_ports or container.requested_ports:
        from mydocker.model.options.ports import parse_published

        parse_published(container.bound_ports)
        parse_published(container.requested_ports)
    if not 1 <= container.stop_signal <= 64:
        raise ValueError(f"stop_signal is {container.stop_signal}")
    if container.restart not in ("no", "always", "unless-stopped"):
        from mydocker.model.options import restart

        restart.parse(container.restart)


def not_running(container: Container) -> Conflict:
    """The error of a command for running containers: what this one is instead."""
    name = container.name
    if container.is_restarting():
        return Conflict(f"container {name} is restarting", "wait until it is running")
    if container.is_paused():
        return Conflict(f"container {name} is paused", f"'mydocker unpause {name}' first")
    return Conflict(f"container {name} is not running", f"'mydocker start {name}' first")


def unusable(container: Container, why: object) -> CorruptRecord:
    """The error for a record that could be read but makes no sense."""
    return CorruptRecord(f"corrupt record: {container.directory}/record.json: {why}", remedy(container.id))


def remedy(container_id: str) -> str:
    return f"'mydocker rm -f {container_id[:12]}' removes it, or restore the file"
