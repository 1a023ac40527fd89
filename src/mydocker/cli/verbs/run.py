"""run and create."""

from __future__ import annotations

import os
from time import monotonic_ns

from mydocker import state
from mydocker.cli.streams import note
from mydocker.engine import create as creation
from mydocker.engine import host
from mydocker.engine import start as starting
from mydocker.errors import ImageNotFound, InvalidArgument, MydockerError, NotFound
from mydocker.model.options import references, request
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.host import HostFacts
    from mydocker.model.options.request import CreateRequest


def run(params: dict[str, Any]) -> int:
    """Run a container. Returns its exit code, or 0 if it runs detached."""
    facts = host.look()
    options = request.from_params(params, os.environ, facts)
    if options.tty and options.interactive and not options.detach and not os.isatty(0):
        raise InvalidArgument("the input device is not a TTY", "leave out -t for a pipe, or -i")
    form = params["format"]
    if form and not (options.explain or options.dry_run):
        raise InvalidArgument("--format needs --explain or --dry-run", "or see 'mydocker explain'")
    attach = _attaching(params, options)
    trace = Trace("host")
    began = monotonic_ns()
    draft = _drafted(options, facts)
    if options.dry_run:
        from mydocker.cli import explain

        explain.print_plan(draft.plan(), form, every=params["explain"] == "all")
        return 0
    shown = attach and attach.outputs
    container = creation.create(draft)
    trace.span("parse, plan, write the bundle and the record", f"ls {container.directory}", began)
    try:
        result = starting.start(container, attach, options.explain, trace, draft)
    except BaseException as error:
        if not shown:
            print(container.id)  # without --rm the container stays, with the error in its record
        if container.auto_remove:
            _remove(container.id)
        if options.explain and getattr(error, "trace", None):
            _explain(error.trace, params)  # type: ignore[attr-defined]
        raise
    if options.explain and result.trace:
        _explain(result.trace, params)
    if not shown:
        print(container.id)
        return 0
    return result.exit_code or 0


def _attaching(params: dict[str, Any], options: CreateRequest) -> starting.Attaching | None:
    """How `run` attaches; None if it does not."""
    keys = b""
    if params["detach_keys"]:
        from mydocker.model.options import detach

        keys = detach.parse(params["detach_keys"])
    stdin = options.interactive and "stdin" in options.attached
    outputs = tuple(name for name in options.attached if name != "stdin")
    return starting.Attaching(stdin, outputs, keys, params["sig_proxy"]) if stdin or outputs else None


def create(params: dict[str, Any]) -> int:
    facts = host.look()
    draft = _drafted(request.from_params(params, os.environ, facts), facts)
    container = creation.create(draft)
    state.fsync_new(container)
    print(container.id)
    return 0


def _drafted(options: CreateRequest, facts: HostFacts) -> creation.Draft:
    """Plan a container, and tell the user what the plan notes. Its image is pulled before, as --pull says."""
    if options.pull == "always" and not options.dry_run:
        _pull(creation.image_name(options), options)
    try:
        draft = creation.draft(options, facts)
    except ImageNotFound as missing:
        if options.pull == "never" or options.dry_run or not _has_name(missing.reference):
            raise
        _pull_missing(missing, options)
        draft = creation.draft(options, facts)
    for text in draft.notes:
        note(text)
    return draft


def _has_name(reference: str) -> bool:
    """Say if a registry can be asked for it."""
    try:
        references.parse(reference)
    except InvalidArgument:
        return False
    return not reference.startswith("sha256:")


def _pull_missing(missing: ImageNotFound, options: CreateRequest) -> None:
    """Pull an image that is not here. The first word may have been meant as a command, so an error says what it is."""
    from mydocker.cli import output

    if not options.quiet:
        output.emit(f"Unable to find image '{references.normalise(missing.reference)}' locally\n", 2)
    try:
        _pull(missing.reference, options)
    except MydockerError as error:
        error.message = f"{missing.message}, and it can't be pulled: {error.message}"
        raise


def _pull(reference: str, options: CreateRequest) -> None:
    from mydocker.cli.verbs import registry

    registry.fetch(reference, options.platform, options.quiet, stream=2)


def _remove(container_id: str) -> None:
    """Remove the container of `run --rm` if it never ran; its monitor may have been killed. The monitor removes a
    container that ran."""
    from mydocker.engine import lifecycle

    try:
        container = state.load(container_id)
        if container.status == "created" or not state.has_monitor(container):
            lifecycle.remove(container_id, force=True, volumes=True)
    except NotFound:
        pass


def _explain(trace: dict[str, Any], params: dict[str, Any]) -> None:
    from mydocker.cli import explain

    explain.print_trace(trace, params["format"], every=params["explain"] == "all")
