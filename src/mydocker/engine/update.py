"""update: change the limits of a container, running or not, and its restart policy."""

from __future__ import annotations

import errno

from mydocker import jsontext, state
from mydocker.engine import bundle
from mydocker.errors import Conflict, HostError, StepFailed
from mydocker.kernel import cgroups
from mydocker.kernel.files import write_atomic
from mydocker.model.oci import spec as oci
from mydocker.model.options import request as requests
from mydocker.model.options import restart
from mydocker.ops.resources import ChangeLimits
from mydocker.runtime import limits
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.kernel.cgroups import Layout
    from mydocker.model.container import Container
    from mydocker.model.host import HostFacts
    from mydocker.model.options.request import CreateRequest

    Json = dict[str, Any]

_OPTIONS = {"nano_cpus": "--cpus", "cpu_period": "--cpu-period", "cpu_quota": "--cpu-quota"}
_EXCLUDES = {"nano_cpus": ("cpu_period", "cpu_quota"), "cpu_period": ("nano_cpus",), "cpu_quota": ("nano_cpus",)}


def update(container: Container, changes: Json, policy: str, host: HostFacts) -> None:
    """Change a container. changes: fields of CreateRequest, limits only. policy: a text of model.options.restart, ""
    to leave it alone; it holds from the next end of the container.

    After an error the container is as it was. Raises Conflict, InvalidArgument, HostError.
    """
    if container.auto_remove and policy not in ("", restart.NO):
        raise Conflict(f"container {container.name} is removed when it exits (--rm)", "it can't be restarted")
    with state.lock(container):
        container = state.load(container.id)
        if changes:
            _change_limits(container, changes, host)
        if policy:
            container.restart = policy
            state.save(container, durable=True)


def _change_limits(container: Container, changes: Json, host: HostFacts) -> None:
    old, spec, layout = bundle.load_request(container), bundle.load_spec(container), cgroups.layout()
    new = merged(old, changes, host)
    before = spec["linux"]["resources"]
    after = _resources(before, new, changes, host)
    rows = changed_rows(before, after, layout)
    if limits.are_rare(after):
        from mydocker.engine import cgroup_support

        cgroup_support.check(after, layout)
    trace = Trace("host")
    try:
        if state.is_running(container):
            _apply(container, spec["linux"]["cgroupsPath"], rows, before, after, layout, trace)
        _save(container, spec, new, after, old)
    except BaseException:
        trace.undo_all()
        raise


def merged(old: CreateRequest, changes: Json, host: HostFacts) -> CreateRequest:
    """Return the request with the changes. Raises Conflict for those that contradict what is set already, by docker's
    rules; InvalidArgument and HostError as for a new container."""
    for name, others in _EXCLUDES.items():
        for other in others:
            if changes.get(name) and getattr(old, other):
                raise Conflict(f"conflicting options: {_OPTIONS[name]} and {_OPTIONS[other]}, which is set already")
    total = effective_swap(old, host)
    if changes.get("memory") and not changes.get("memory_swap"):
        if host.swap and total != -1 and changes["memory"] > total:
            why = "is above the limit of memory and swap that is set already" if total else "needs one of swap, too"
            raise Conflict(f"the memory limit {why}", "give --memory-swap: memory and swap together; -1 for no limit")
        changes = {**changes, "memory_swap": total}
    new = requests.CreateRequest(**{**old.__dict__, **changes})
    requests.check_memory(new, host)
    return new


def effective_swap(request: CreateRequest, host: HostFacts) -> int:
    """Return the limit of memory and swap together that holds now; 0 if there is none, or the kernel has none."""
    if not host.swap:
        return request.memory_swap
    return request.memory_swap or 2 * request.memory


def _resources(before: Json, new: CreateRequest, changes: Json, host: HostFacts) -> Json:
    """Return linux.resources with the new limits. Devices stay as they are: their nodes may have gone."""
    made = oci.resources(new, host, [])
    after = {key: value for key, value in before.items() if key not in ("memory", "cpu", "pids")}
    after.update({key: made[key] for key in ("memory", "cpu", "pids") if key in made})
    if "blkio_weight" in changes:
        after["blockIO"] = {**before.get("blockIO", {}), "weight": new.blkio_weight}
    return after


def changed_rows(before: Json, after: Json, layout: Layout) -> list[tuple[str, str, str]]:
    """List (controller, file, value) of what changes, in an order that serves for raising and lowering alike:
    ChangeLimits tries again what the kernel refuses. A limit that is no longer there becomes `max`."""
    old = {(controller, file): value for controller, file, value in limits.files(before, layout)}
    new = {(controller, file): value for controller, file, value in limits.files(after, layout)}
    rows = [(*key, value) for key, value in new.items() if old.get(key) != value]
    return rows + [(*key, "max") for key in old if key not in new and key[1] == "pids.max"]


def _apply(
    container: Container,
    path: str,
    rows: list[tuple[str, str, str]],
    before: Json,
    after: Json,
    layout: Layout,
    trace: Trace,
) -> None:
    """Change a running container."""
    from mydocker.runtime import cgroup

    mounts = layout.mounts
    tops = {controller: mounts["unified" if layout.version == 2 else controller] for controller, _, _ in rows}
    change = ChangeLimits([[f"{tops[controller]}{path}/{file}", value] for controller, file, value in rows])
    ops = [*cgroup.more_realtime(path, before, after, layout), change]
    if before.get("blockIO") != after.get("blockIO"):
        ops += cgroup.weights(path, after, layout)
    try:
        trace.run(ops)
    except StepFailed as error:
        if error.errno == errno.EBUSY:
            hint = "it can't be below; stop the program, or give it more"
            raise HostError(f"container {container.name} uses more memory than the new limit", hint) from None
        raise HostError(f"container {container.name} can't be changed: {error.message}", error.hint) from None


def _save(container: Container, spec: Json, new: CreateRequest, after: Json, old: CreateRequest) -> None:
    """Replace request.json and config.json, which the next start reads."""
    where = f"{container.directory}/request.json"
    write_atomic(where, jsontext.dumps(new.to_json()).encode(), durable=True)
    try:
        bundle_text = jsontext.dumps({**spec, "linux": {**spec["linux"], "resources": after}}).encode()
        write_atomic(f"{container.directory}/config.json", bundle_text, durable=True)
    except BaseException:
        write_atomic(where, jsontext.dumps(old.to_json()).encode())
        raise
