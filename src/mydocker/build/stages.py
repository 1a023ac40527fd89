"""Plan a build: what each FROM means, which stages the target needs, and what they take from one another."""

from __future__ import annotations

from mydocker.build import expansion, mounts
from mydocker.build.config import Arguments
from mydocker.build.dockerfile import triggers
from mydocker.build.failure import BuildWarning, DockerfileError, Malformed, did_you_mean
from mydocker.build.instructions import Copy, Onbuild, Run
from mydocker.gotemplate.formats import quote
from mydocker.model.options import references
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.build.dockerfile import Dockerfile, Stage
    from mydocker.build.instructions import Instruction

SCRATCH = "scratch"


@record
class Planned:
    """A stage with its names resolved.

    base_stage: the index of the stage that it begins from, or None. base_image: else an image's reference as it is
    written, or `scratch`. platform: of --platform, or "". instructions: those of the base's ONBUILD, then its own.
    sources: stage name, number or image of `--from` and `from=` -> the stage's index, or None for an image. needs: the
    indexes of all stages that must be ready before; the base's files at once, the sources' when their turn comes.
    """

    stage: Stage
    base_stage: int | None
    base_image: str
    platform: str
    instructions: list[Instruction]
    sources: dict[str, int | None]
    needs: list[int]


@record
class Plan:
    """stages: those that the target needs, in the Dockerfile's order; the target is last. warnings: of the FROMs."""

    stages: list[Planned]
    warnings: list[BuildWarning]


def arguments(
    dockerfile: Dockerfile, given: dict[str, str], target: str = "", platform: str = "linux/amd64", host: str = ""
) -> Arguments:
    """Return what ARG takes values from. given: of --build-arg. target: of --target, or "".

    platform: that of the image, OS/ARCH or OS/ARCH/VARIANT. host: that of this machine; "" for the same. Raises
    DockerfileError.
    """
    globals_ = {
        **_platform("BUILD", host or platform),
        **_platform("TARGET", platform),
        "TARGETSTAGE": target or dockerfile.stages[-1].name or "default",
    }
    globals_.update({key: given[key] for key in globals_ if key in given})
    for arg in dockerfile.args:
        for key, default in arg.pairs:
            with dockerfile.source.located(arg.first, arg.last):
                if key in given:
                    globals_[key] = given[key]
                elif default is not None:
                    globals_[key] = expansion.expand(default, globals_, dockerfile.escape)
    return Arguments(given, globals_)


def _platform(prefix: str, text: str) -> dict[str, str]:
    system, architecture, variant = (*text.split("/", 2), "", "")[:3]
    return {
        f"{prefix}PLATFORM": text,
        f"{prefix}OS": system,
        f"{prefix}OSVERSION": "",
        f"{prefix}ARCH": architecture,
        f"{prefix}VARIANT": variant,
    }


def plan(
    dockerfile: Dockerfile,
    values: Arguments,
    target: str = "",
    image_triggers: Callable[[str, str], list[str]] = lambda image, platform: [],
) -> Plan:
    """Return the stages that are needed. target: of --target, or "" for the last stage.

    image_triggers: returns the config's OnBuild of a base image (its name, its platform); it is called once for each
    base image that is needed, so it may fetch. Raises DockerfileError.
    """
    return _Planner(dockerfile, values, image_triggers).plan(target)


class _Planner:
    def __init__(
        self, dockerfile: Dockerfile, values: Arguments, image_triggers: Callable[[str, str], list[str]]
    ) -> None:
        self._dockerfile = dockerfile
        self._values = values
        self._image_triggers = image_triggers
        self._warnings: list[BuildWarning] = []
        self._names: dict[str, int] = {}  # of the stages so far; at the end of all
        self._all = [self._base(stage) for stage in dockerfile.stages]

    def plan(self, target: str) -> Plan:
        last = self._target(target)
        for planned in self._all:
            self._note_sources(planned, planned.instructions)
        self._refuse_circles()
        self._add_triggers(last)
        self._refuse_circles()
        needed = self._reachable(last)
        for index in needed:
            self._refuse_later(self._all[index])
        return Plan([self._all[index] for index in needed], self._warnings)

    def _base(self, stage: Stage) -> Planned:
        """Resolve a FROM by the stages above it. Raises DockerfileError."""
        start = stage.start
        with self._dockerfile.source.located(start.first, start.last):
            base = self._expanded(stage, start.base)
            if not base:
                raise Malformed(f"base name ({start.base}) should not be blank")
            platform = self._expanded(stage, start.platform) if start.platform else ""
            if start.platform and not platform:
                raise Malformed(f"empty platform value from expression {start.platform}")
            base_stage = self._names.get(base)
            if base_stage is None and base != SCRATCH:
                references.parse(base)
        if stage.name:
            self._names[stage.name] = stage.index
        image = base if base_stage is None else ""
        needs = [] if base_stage is None else [base_stage]
        return Planned(stage, base_stage, image, platform, list(stage.instructions), {}, needs)

    def _expanded(self, stage: Stage, text: str) -> str:
        result = expansion.process(text, self._values.globals, self._dockerfile.escape)
        for name in result.missing:
            hint = did_you_mean(name, self._values.globals)
            message = f"FROM argument '{name}' is not declared" + (f" ({hint})" if hint else "")
            self._warnings.append(BuildWarning("UndefinedArgInFrom", message, stage.start.first))
        return result.text

    def _target(self, target: str) -> int:
        if not target:
            return len(self._all) - 1
        if target.lower() not in self._names:
            names = [stage.name for stage in self._dockerfile.stages if stage.name]
            named = f"the stages with names are {', '.join(names)}" if names else "name a stage with FROM … AS NAME"
            message = f"target stage {quote(target)} could not be found"
            raise DockerfileError(message, did_you_mean(target, names) or named)
        return self._names[target.lower()]

    def _note_sources(self, planned: Planned, instructions: list[Instruction]) -> None:
        """Find the stages and images of `COPY --from` and `RUN --mount=from=`. Raises DockerfileError."""
        for instruction in instructions:
            with self._dockerfile.source.located(instruction.first, instruction.last):
                for name in _sources(instruction, self._dockerfile.escape):
                    index = self._index(name)
                    planned.sources[name] = index
                    if index is None and name != SCRATCH:
                        references.parse(name)
                    elif index is not None and index not in planned.needs:
                        planned.needs.append(index)

    def _index(self, name: str) -> int | None:
        if name.isascii() and name.isdigit():
            if len(name) > 9 or int(name) >= len(self._all):
                raise Malformed(f"invalid stage index {name}", f"there are {len(self._all)} stages, counted from 0")
            return int(name)
        return self._names.get(name.lower())

    def _reachable(self, last: int) -> list[int]:
        todo, seen = [last], {last}
        while todo:
            fresh = set(self._all[todo.pop()].needs) - seen
            seen |= fresh
            todo += fresh
        return [*sorted(seen - {last}), last]

    def _add_triggers(self, last: int) -> None:
        """Put the ONBUILD instructions of each needed base before the stage's own; they may need more stages."""
        done: set[int] = set()
        while todo := [index for index in self._reachable(last) if index not in done]:
            for index in todo:
                planned = self._all[index]
                if planned.base_stage is not None:
                    below = self._all[planned.base_stage].stage.instructions
                    texts = [each.trigger_text for each in below if isinstance(each, Onbuild)]
                elif planned.base_image != SCRATCH:
                    texts = self._image_triggers(planned.base_image, planned.platform)
                else:
                    texts = []
                fresh = triggers(texts, planned.stage.start, self._dockerfile.source)
                planned.instructions[:0] = fresh
                self._note_sources(planned, fresh)
                done.add(index)

    def _refuse_circles(self) -> None:
        """Raise DockerfileError if a stage needs itself, directly or through others."""
        done: set[int] = set()
        for first in range(len(self._all)):
            path: list[int] = []
            todo = [(first, False)]
            while todo:
                index, leave = todo.pop()
                if leave:
                    done.add(path.pop())
                elif index in path:
                    asks = self._who_needs(self._all[path[-1]], index)
                    message = f"circular dependency detected on stage: {self._all[index].stage.title}"
                    raise self._dockerfile.source.error(message, "", asks.first, asks.last)
                elif index not in done:
                    path.append(index)
                    todo += [(index, True), *((need, False) for need in self._all[index].needs)]

    def _who_needs(self, planned: Planned, index: int) -> Instruction:
        """Return the instruction for which a stage needs another one: or its FROM."""
        for instruction in planned.instructions:
            if any(planned.sources[name] == index for name in _sources(instruction, self._dockerfile.escape)):
                return instruction
        return planned.stage.start

    def _refuse_later(self, planned: Planned) -> None:
        """Raise DockerfileError if a needed stage takes files of one below it."""
        for instruction in planned.instructions:
            for name in _sources(instruction, self._dockerfile.escape):
                index = planned.sources[name]
                if index is not None and index >= planned.stage.index:
                    act = "copy" if isinstance(instruction, Copy) else "mount"
                    message = (
                        f"cannot {act} from stage {quote(name)}, it needs to be defined before current stage "
                        f"{quote(planned.stage.title)}"
                    )
                    raise self._dockerfile.source.error(message, "", instruction.first, instruction.last)


def _sources(instruction: Instruction, escape: str) -> list[str]:
    """Return the `from` of a COPY, or those of a RUN's mounts. Raises Malformed for a variable in one."""
    if isinstance(instruction, Copy) and instruction.from_stage:
        if expansion.expand(instruction.from_stage, {}, escape) != instruction.from_stage:
            raise Malformed(
                "variable expansion is not supported for --from",
                "define a new stage with FROM using ARG from global scope as a workaround",
            )
        return [instruction.from_stage]
    if isinstance(instruction, Run):
        return [name for name in map(mounts.from_stage, instruction.mount_texts) if name]
    return []
