"""info and version; system restore and shutdown."""

from __future__ import annotations

from mydocker.cli import output
from mydocker.cli.streams import note, tell
from mydocker.engine import system
from mydocker.errors import MydockerError
from mydocker.model.options import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def info(params: dict[str, Any]) -> int:
    facts = system.info()
    if params["format"]:
        output.emit(_formatted("info", facts, params["format"]))
        return 0
    lines = [
        ("Containers", f"{facts['Containers']} ({facts['ContainersRunning']} running)"),
        ("Images", facts["Images"]),
        ("Version", facts["ServerVersion"]),
        ("Storage driver", f"{facts['Driver']} ({facts['DriverReason']})"),
        ("Cgroups", f"v{facts['CgroupVersion']} ({' '.join(facts['CgroupControllers'])})"),
        ("Swap limits", "yes" if facts["SwapLimit"] else "no: this kernel does not count swap"),
        ("Security", ", ".join(facts["SecurityOptions"])),
        ("Kernel", facts["KernelVersion"]),
        ("System", facts["OperatingSystem"]),
        ("Machine", f"{facts['Architecture']}, {facts['NCPU']} CPUs, {units.human_size(facts['MemTotal'])} of memory"),
        ("Root directory", facts["DockerRootDir"]),
        ("Configuration", facts["ConfigFile"] or "the defaults"),
    ]
    if facts["ContainersUnreadable"]:
        lines.insert(1, ("Unreadable", f"{facts['ContainersUnreadable']} containers, see 'mydocker ps -a'"))
    output.emit("".join(f"{label + ':':<16}{output.printable(str(value))}\n" for label, value in lines))
    return 0


def version(params: dict[str, Any]) -> int:
    facts = system.version()
    if params["format"]:
        output.emit(_formatted("version", facts, params["format"]))
    else:
        labels = {
            "OCIRuntimeSpec": "OCI runtime",
            "OCIImageSpec": "OCI image",
            "KernelVersion": "Kernel",
            "Arch": "Machine",
        }
        rows = [(labels.get(key, key), value) for key, value in facts.items() if key not in ("Os", "Client", "Server")]
        output.emit("".join(f"{label + ':':<13}{value}\n" for label, value in rows))
    return 0


def restore(params: dict[str, Any]) -> int:
    from mydocker.engine import boot

    return _report(boot.restore())


def shutdown(params: dict[str, Any]) -> int:
    from mydocker.engine import boot

    return _report(boot.shutdown(params["networks"]))


def _report(events: Iterable[str | MydockerError]) -> int:
    """Print events as they happen. Returns the last error's exit code."""
    from mydocker.engine.boot import Note

    code = 0
    for each in events:
        if isinstance(each, MydockerError):
            code = tell(each)
        elif isinstance(each, Note):
            note(each)
        else:
            output.emit(f"{each}\n")
    return code


def _formatted(kind: str, facts: dict[str, Any], form: str) -> str:
    text = output.inspection([(kind, facts)], form, output.terminal_width() is not None)
    return text[1:-2] + "\n" if form == "json" else text  # one object, not a list of one
