"""The whole start of a container as lists of ops, planned from the OCI bundle before anything has changed."""

from __future__ import annotations

from mydocker.image.drivers import choice
from mydocker.kernel import trampoline
from mydocker.model.oci.annotations import DRIVER, LAYERS
from mydocker.ops.base import CLONE, EXECUTE, Op, quote
from mydocker.ops.namespaces import (
    AwaitMonitor,
    JoinNetwork,
    LinkUp,
    SetDomainname,
    SetHostname,
    ShowNamespace,
    TellMonitor,
    WriteSysctl,
    options,
)
from mydocker.ops.process import (
    CloseDescriptors,
    DieWithMonitor,
    NewKeyring,
    NewSession,
    OpenTerminal,
    OwnStreams,
    ResetSignals,
)
from mydocker.record import record
from mydocker.runtime import cgroup, messages, rootfs, security

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout
    from mydocker.model.attachments import Attachments


@record
class Plan:
    """The steps of a start, in four lists and `last`.

    host: the monitor's steps before the clone. clone: the kinds of namespaces that the clone creates. clone_cgroup: the
    cgroup v2 directory that the child is cloned into, or "". links, published: the monitor's steps after the clone; the
    child waits for `links` before its own network steps, for `published` before `last`. container: the child's steps
    until it has looked up its user in its own /etc/passwd. program: the seccomp filter. bridges: only for --dry-run,
    the steps by which the command line would bring up networks before the start.
    """

    spec: dict[str, Any]
    host: list[Op]
    clone: list[str]
    clone_cgroup: str
    container: list[Op]
    links: list[Op] = []
    published: list[Op] = []
    program: bytes = b""
    bridges: list[Op] = []

    def last(self, identity: tuple[int, int, list[int]]) -> list[Op]:
        process = self.spec["process"]
        # A failure on the host's side ends the start before the program runs.
        go = AwaitMonitor(trampoline.REPORT_FD, messages.GO.decode(), "the host's side is done")
        # The parent-death signal comes last: a change of user clears it.
        return [
            *([go] if self.published else []),
            OwnStreams(identity[0]),
            *security.plan(self.spec, process, identity, self.program),
            DieWithMonitor(),
        ]

    def outline(self) -> list[dict[str, Any]]:
        """List every step in order, as trace.py does but without times. The number is None for steps before the
        start."""
        user = self.spec["process"]["user"]
        last = self.last((user["uid"], user["gid"], user.get("additionalGids", [])))
        none: dict[str, Any] = {"op": None, "args": None}
        rows = [
            *(_row("host", op) for op in self.host),
            {"side": "host", "name": CLONE, **none, "shell": self.clone_shell()},
            *(_row("host", op) for op in [*self.links, *self.published]),
            *(_row("container", op) for op in [*self.container, *last]),
            {"side": "container", "name": EXECUTE, **none, "shell": self.exec_shell()},
        ]
        for number, row in enumerate(rows, 1):
            row["number"] = number
        return [*({**_row("host", op), "number": None} for op in self.bridges), *rows]

    def clone_shell(self) -> str:
        into = f", into {self.clone_cgroup}" if self.clone_cgroup else ""
        return f"unshare {options(self.clone)} --fork  # clone3(2){into}"

    def exec_shell(self) -> str:
        return "exec " + " ".join(map(quote, self.spec["process"]["args"]))


def _row(side: str, op: Op) -> dict[str, Any]:
    about = {"op": type(op).__name__, "args": op.arguments(), "shell": op.shell()}
    return {"side": side, "name": op.describe(), **about}


def plan(
    spec: dict[str, Any],
    directory: str,
    layout: Layout,
    size: tuple[int, int] = (0, 0),
    name: str = "",
    attachments: Attachments | None = None,
    shared: int = -1,
    program: bytes = b"",
    pid: int = 0,
    joined: dict[str, int] | None = None,
) -> Plan:
    """directory: the bundle. size: rows and columns of the terminal, if the spec wants one. name: the container's.
    attachments: its networks, if it has any. shared: a descriptor of the network namespace that it joins, if the spec
    names one. program: the spec's seccomp filter, compiled; without it the plan serves to undo a start, not to start.
    pid: the container's first process, if it runs already. joined: pidfds of the containers whose PID or IPC namespace
    it joins, by the kind; none in a plan that is not to start."""
    root = f"{directory}/{spec['root']['path']}"
    linux = spec["linux"]
    kinds = [namespace["type"] for namespace in linux["namespaces"] if not namespace.get("path")]
    paths = {namespace["type"]: namespace["path"] for namespace in linux["namespaces"] if namespace.get("path")}
    own_view = any(namespace["type"] == "cgroup" for namespace in linux["namespaces"])
    host, join = cgroup.plan(linux["cgroupsPath"], linux.get("resources", {}), layout, own_view)
    annotations = spec.get("annotations", {})
    driver = choice.named(annotations[DRIVER])
    layers = annotations[LAYERS].split(",")
    host = [*driver.host_ops(directory, layers), *host]
    links: list[Op] = []
    published: list[Op] = []
    steps: list[Op] = [
        *([JoinNetwork(paths["network"], shared)] if "network" in paths else []),
        CloseDescriptors(trampoline.FIRST_FREE_FD),
        NewSession(),
        ResetSignals(),
        NewKeyring(),
        *join,
    ]
    steps += security.oom_score(spec["process"])
    # /proc/sys shows a process its own namespaces, so the host's serves, and the container's may be read-only.
    if "uts" in kinds:
        steps.append(SetHostname(spec["hostname"]))
        if spec.get("domainname"):
            steps.append(SetDomainname(spec["domainname"]))
    if attachments and attachments.endpoints:
        from mydocker.network import plan as network

        change = network.transition(None, attachments)
        links, published = change.attach, change.publish
        monitor = trampoline.REPORT_FD
        steps += [
            AwaitMonitor(monitor, messages.NETWORK_READY.decode(), "the links are there"),
            *change.inside,
            TellMonitor(monitor, messages.LINKS_UP.decode()),
        ]
    elif "network" in kinds:
        steps.append(LinkUp("lo"))
    if "network" in kinds:
        published.append(ShowNamespace(name, pid))
    if "pid" in paths or "ipc" in paths:
        from mydocker.runtime import sharing

        sharing.add(paths, joined or {}, host, published, steps)
    steps += [WriteSysctl(key, value) for key, value in linux.get("sysctl", {}).items()]
    steps += rootfs.plan(spec, root, driver.root_ops(directory, layers, shared=True), layout)
    if spec["process"].get("terminal"):
        steps.append(OpenTerminal(root, *size, console=True))
    steps += rootfs.seal(spec, root)
    steps += security.limits(spec["process"])
    clone_cgroup = cgroup.clone_cgroup(linux["cgroupsPath"], layout)
    clone = [kind for kind in kinds if kind != "cgroup"]
    return Plan(spec, host, clone, clone_cgroup, steps, links, published, program)
