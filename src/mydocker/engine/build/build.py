"""Build an image: read the Dockerfile, find the images that it begins from, build the stages that are needed, and make
an image or files of the last one."""

from __future__ import annotations

import os

from mydocker import config as settings
from mydocker.build import config, dockerfile, ignore, stages
from mydocker.build.failure import Malformed
from mydocker.build.instructions import Run, Transfer
from mydocker.engine import host
from mydocker.engine.build import bases, context, pruning, result, sweeping, workers
from mydocker.engine.build.stage import Builder, Shared
from mydocker.engine.build.steps import Origin
from mydocker.errors import FAILED, InvalidArgument
from mydocker.image import build_cache, platform, store
from mydocker.image.drivers import choice
from mydocker.image.limits import over
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.build.dockerfile import Dockerfile
    from mydocker.build.stages import Plan, Planned
    from mydocker.engine.build.workers import Line, Report, Tick
    from mydocker.image.store import Image
    from mydocker.model.options.build import BuildRequest

    Json = dict[str, Any]

_EPOCH = "SOURCE_DATE_EPOCH"
_PREDEFINED = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", _EPOCH)
_PREFIXES = ("BUILDKIT_", "BUILDX_")  # settings of docker's builder, which mean nothing here
FINISH = "finish"  # the name of the last part, for a view


@record
class Built:
    """image: None if files were written instead. warnings: of the Dockerfile, a line each."""

    image: Image | None
    warnings: list[str]


def build(request: BuildRequest, report: Report, tick: Tick | None = None) -> Built:
    """Build. report: is told what happens. Raises DockerfileError, StageFailed or another MydockerError; then there is
    no image."""
    sweeping.sweep()
    pruning.distrust()
    facts = host.look()
    driver, _ = choice.choose(settings.load()["storage_driver"])
    with build_cache.Session() as session:
        try:
            source = context.load(request, session.id)
            parsed = dockerfile.parse(source.dockerfile, source.name)
            own = platform.own()
            arguments = stages.arguments(parsed, request.build_args, request.target, str(own))
            images = bases.Images(request, session, driver, report)
            plan = stages.plan(parsed, arguments, request.target, images.triggers)
            for planned in plan.stages:
                images.load(planned)
            shared = Shared(
                id=session.id,
                request=request,
                source=parsed.source,
                escape=parsed.escape,
                context=source,
                origin=_origin(source),
                arguments=arguments,
                driver=driver,
                facts=facts,
                epoch=_epoch(request),
            )
            return _run(parsed, plan, images, shared, report, tick, session.began)
        finally:
            sweeping.clean(session.id)


def _epoch(request: BuildRequest) -> int | None:
    text = request.build_args.get(_EPOCH) or os.environ.get(_EPOCH) or ""
    if text and not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InvalidArgument(f"invalid {_EPOCH} '{text}'", "seconds since 1970")
    return int(text) if text else None


def _origin(source: context.Context) -> Origin:
    try:
        rules = ignore.read(source.ignore)
    except Malformed as error:
        raise InvalidArgument(f".dockerignore: {error.message}", error.hint, FAILED) from None
    return Origin("the build context", source.directory, ignore=rules if rules else None)


def _run(
    parsed: Dockerfile,
    plan: Plan,
    images: bases.Images,
    shared: Shared,
    report: Report,
    tick: Tick | None,
    began: int,
) -> Built:
    if parsed.syntax:
        report(
            FINISH, {"event": "note", "text": f"# syntax={parsed.syntax} is ignored: this is the only front end"}, b""
        )
    _check_layers(parsed, plan, images)
    several = len(parsed.stages) > 1
    planned = {str(each.stage.index): each for each in plan.stages}

    def work(name: str, line: Line, results: dict[str, Json]) -> Json:
        return _build_stage(planned[name], images, shared, line, results, several)

    needs = {name: str(each.base_stage) for name, each in planned.items() if each.base_stage is not None}
    results = workers.run(list(planned), needs, work, report, tick)
    last = results[str(plan.stages[-1].stage.index)]
    warnings = [*parsed.warnings, *plan.warnings]
    for each in results.values():
        warnings += map(result.warning, each["warnings"])
    parsed.check.refuse(warnings)
    shown = [str(warning) for warning in parsed.check.shown(warnings)] + _unused(parsed, shared)
    if shared.request.output.kind == "image":
        report(FINISH, {"event": "start", "name": "exporting to image"}, b"")
        image = result.store_image(last, shared)
        named = "".join(f"\nnaming to {name}" for name in shared.request.tags)
        report(FINISH, {"event": "done", "text": f"writing image {image.id}{named}"}, b"")
        pruning.limit(began)
        return Built(image, shown)
    report(FINISH, {"event": "start", "name": f"exporting to {shared.request.output.destination}"}, b"")
    result.write_files(last, shared)
    report(FINISH, {"event": "done"}, b"")
    return Built(None, shown)


def _check_layers(parsed: Dockerfile, plan: Plan, images: bases.Images) -> None:
    """Refuse stages of too many layers before anything is run: a base may bring thousands of ONBUILD RUN."""
    maximum = settings.load()["image_layers"]
    counts: dict[int, int] = {}
    for planned in plan.stages:
        count = sum(isinstance(one, (Run, Transfer)) for one in planned.instructions)
        if planned.base_stage is not None:
            count += counts[planned.base_stage]
        elif planned.base_image != stages.SCRATCH:
            count += len(images.of(planned.base_image, planned.platform).layers)
        counts[planned.stage.index] = count
        if count > maximum:
            error = over(f"{count} layers, more than {maximum}", "image_layers")
            start = planned.stage.start
            raise parsed.source.error(error.message, error.hint, start.first, start.last)


def _build_stage(
    planned: Planned, images: bases.Images, shared: Shared, line: Line, results: dict[str, Json], several: bool
) -> Json:
    """Build a stage, in a worker. Returns its result."""
    name = planned.stage.title if several else ""
    steps = 1 + sum(result.makes_layer(one) for one in planned.instructions)
    label = f"{name} " if name else ""
    line.send({"event": "start", "name": f"[{label}1/{steps}] {planned.stage.start.text}"})
    if planned.base_stage is not None:
        below = results[str(planned.base_stage)]
        state = config.inherit(result.state_of(below))
        base_layers, created, extra = result.layers_of(below), below["created"], below["extra"]
    elif planned.base_image == stages.SCRATCH:
        state, base_layers, created, extra = config.begin(None, shared.escape), [], "", {}
    else:
        image = images.of(planned.base_image, planned.platform)
        state, base_layers = config.begin(image.config, shared.escape), bases.layers_of(image)
        created, extra = image.created, result.extra_of(image.config)
    line.send({"event": "done"})

    def find(reference: str) -> tuple[str, list[str]]:
        index = planned.sources[reference]
        if index is not None:
            chain = store.chain_ids([layer.diff_id for layer in result.layers_of(line.result_of(str(index)))])
            return f"stage '{reference}'", chain
        if reference == stages.SCRATCH:
            return "scratch", []
        return f"image '{reference}'", images.of(reference, "").layers

    builder = Builder(shared, line, name, state, base_layers, created, find)
    builder.run(planned.instructions)
    return result.result_of(builder, extra)


def _unused(parsed: Dockerfile, shared: Shared) -> list[str]:
    """Warn of build arguments that no ARG declares."""
    from mydocker.build.instructions import Arg

    declared = {key for arg in parsed.args for key, _ in arg.pairs}
    for stage in parsed.stages:
        for one in stage.instructions:
            if isinstance(one, Arg):
                declared.update(key for key, _ in one.pairs)
    known = declared | {*_PREDEFINED, *(name.lower() for name in _PREDEFINED)} | set(shared.arguments.globals)
    left = sorted(name for name in shared.request.build_args if name not in known and not name.startswith(_PREFIXES))
    return [f"[Warning] One or more build-args {left} were not consumed"] if left else []
