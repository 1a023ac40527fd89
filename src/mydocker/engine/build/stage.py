"""Build one stage: its instructions in order, each from the cache if nothing that it depends on has changed."""

from __future__ import annotations

import os
from time import time_ns

from mydocker.build import commands, config
from mydocker.build.instructions import Add, Copy, Instruction, Run, Transfer, Workdir
from mydocker.engine.build import hashing, layers, mounts
from mydocker.engine.build.roots import Root
from mydocker.engine.build.steps import Document, Origin, Step
from mydocker.errors import FAILED, MydockerError
from mydocker.image import build_cache, store, writer
from mydocker.model.timestamp import rfc3339
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from mydocker.build.failure import Source
    from mydocker.engine.build import running
    from mydocker.engine.build.context import Context
    from mydocker.engine.build.workers import Line
    from mydocker.image.drivers.base import Driver
    from mydocker.model.host import HostFacts
    from mydocker.model.options.build import BuildRequest

    Json = dict[str, Any]


@record
class Shared:
    """The facts that all stages of a build share. id: the build's. epoch: SOURCE_DATE_EPOCH in seconds, or None."""

    id: str
    request: BuildRequest
    source: Source
    escape: str
    context: Context
    origin: Origin
    arguments: config.Arguments
    driver: Driver
    facts: HostFacts
    epoch: int | None


class StepError(MydockerError):
    """A step has failed. line: of the Dockerfile. excerpt: its lines, marked."""

    def __init__(self, message: str, hint: str = "", line: int = 0, excerpt: str = "") -> None:
        super().__init__(message, hint, FAILED)
        self.line, self.excerpt = line, excerpt


class Builder:
    """The build of a stage. state: after the instructions so far. layers, chain: those of the image so far, bottom
    first. created: the time of the last step, RFC 3339; "" for none. find: looks up what a `from=` names, a stage of
    this build, which is waited for, or an image; returns a name for messages and the layers."""

    def __init__(
        self,
        shared: Shared,
        line: Line,
        name: str,
        state: config.State,
        below: list[layers.Layer],
        created: str,
        find: Callable[[str], tuple[str, list[str]]],
    ) -> None:
        self.shared, self.line, self.name, self.state, self.created = shared, line, name, state, created
        self.layers = list(below)
        self.chain = store.chain_ids([layer.diff_id for layer in below])
        self.find = find
        self._count = 1  # the FROM is the first step
        self._steps = 1

    # --- the instructions ---------------------------------------------------------------------------------------------

    def run(self, instructions: list[Instruction]) -> None:
        self._steps = 1 + sum(isinstance(one, (Run, Transfer, Workdir)) for one in instructions)
        for instruction in instructions:
            rows = len(self.state.history)
            with self.shared.source.located(instruction.first, instruction.last):
                expanded, after = config.advance(self.state, instruction, self.shared.arguments)
            before, self.state = self.state, after
            try:
                self._do(expanded, before, len(after.history) > rows)
            except StepError:
                raise
            except MydockerError as error:
                raise self._failed(expanded, error.message, error.hint) from None
            except OSError as error:
                from mydocker.image import workers

                said = workers.host_error(error)
                raise self._failed(expanded, said.message, said.hint) from None

    def _do(self, one: Instruction, before: config.State, has_row: bool) -> None:
        """Do an instruction. has_row: the history has a row of it."""
        if isinstance(one, Run):
            self._run(one, before)
        elif isinstance(one, Transfer):
            self._transfer(one, before)
        elif isinstance(one, Workdir) and not self.state.history[-1].get("empty_layer"):
            self._workdir(one)
        elif self.created and has_row:
            self.state.history[-1]["created"] = self.created  # so that a build from the cache makes the same image

    def now(self) -> str:
        """Return the time of what is made now: SOURCE_DATE_EPOCH, if it is given."""
        epoch = self.shared.epoch
        return rfc3339(time_ns() if epoch is None else epoch * 10**9)

    def _failed(self, one: Instruction, message: str, hint: str) -> StepError:
        return StepError(message, hint, one.first, self.shared.source.excerpt(one.first, one.last))

    def _start(self, one: Instruction) -> None:
        self._count += 1
        label = f"{self.name} " if self.name else ""
        text = one.text if len(one.text) < 200 else f"{one.text[:200]}…"
        self.line.send({"event": "start", "name": f"[{label}{self._count}/{self._steps}] {text}"})

    def _step(self, facts: Json, make: Callable[[writer.Workspace], str]) -> None:
        """Do a step, or take its result from the cache. facts: all that it depends on besides the files below. make:
        makes its changes in a container-directory, and returns that."""
        shared, row = self.shared, self.state.history[-1]
        key = build_cache.key_of({**facts, "below": self.chain[-1:], "epoch": shared.epoch})
        known = None if shared.request.no_cache else build_cache.find(key, shared.driver)
        if known:
            layer = layers.Layer(known.diff_id, known.descriptor)
            created = known.created
        else:
            with writer.Workspace() as work:
                directory = make(work)
                layer, left_out = layers.capture(shared.driver, directory, self.chain, work, shared.epoch)
                created = self.now()
                chain_id = layers.chain_of(self.chain, layer.diff_id)
                about = row["created_by"]
                step = build_cache.Step(key, about, created, chain_id, layer.diff_id, **_flat(layer.descriptor))
                with store.lock():
                    build_cache.put(step)
                    writer.adopt(work)
            for text in left_out:
                self.line.send({"event": "note", "text": text})
        self.layers.append(layer)
        self.chain.append(layers.chain_of(self.chain, layer.diff_id))
        row["created"] = self.created = created
        self.line.send({"event": "cached" if known else "done"})

    # --- RUN ----------------------------------------------------------------------------------------------------------

    def _run(self, one: Run, before: config.State) -> None:
        shared = self.shared
        command = commands.run_command(one, before.shell)
        network = one.network if one.network != "default" else shared.request.network
        self._start(one)
        with mounts.Mounts(one.mounts, shared, self.find) as mounted:
            script = command.script
            if script:
                mounted.add_script(*script)
            variables = [f"{key}={value}" for key, value in before.variables.items()]
            facts = {
                "run": command.argv,
                "script": script,
                "env": variables,
                "user": before.config.get("User") or "",
                "directory": before.directory,
                "network": network,
                "mounts": mounted.facts,
                "hosts": shared.request.steps.extra_hosts,
            }
            proxies = [f"{key}={value}" for key, value in config.proxies(shared.arguments).items()]

            def make(_: writer.Workspace) -> str:
                from mydocker.engine.build import running

                mounted.prepare()
                program = running.Program(
                    command.argv,
                    [*variables, *proxies],
                    before.config.get("User") or "",
                    before.directory,
                    network,
                    mounted.mounts,
                    mounted.env,
                )
                below = layers.stack(self.chain, shared.driver)
                drafted = running.draft(program, below, shared)
                container, code = running.run(drafted)
                if code:
                    self._program_failed(one, command.argv, code, container, program)
                self._container = container.id
                return container.directory

            self._container = ""
            try:
                self._step(facts, make)
            finally:
                if self._container:
                    from mydocker.engine.build import running

                    running.remove(self._container)

    def _program_failed(self, one: Run, argv: list[str], code: int, container: Any, program: running.Program) -> None:
        """Raise the error, after the container has been removed, or with --debug turned into one to look into."""
        from mydocker.engine.build import running

        shared = self.shared
        hint = "'--debug' keeps its container, to look into it"
        try:
            if shared.request.debug:
                shell = (self.state.shell or commands.DEFAULT_SHELL)[:1]
                name = running.keep(container, program, shell, shared)
                hint = f"'mydocker start -ai {name}' enters it as the step has left it"
        finally:
            running.remove(container.id)
        shown = " ".join(argv)
        shown = shown if len(shown) < 300 else f"{shown[:300]}…"
        raise self._failed(one, f'process "{shown}" did not complete successfully: exit code: {code}', hint)

    # --- COPY, ADD, WORKDIR -------------------------------------------------------------------------------------------

    def _transfer(self, one: Transfer, before: config.State) -> None:
        shared = self.shared
        self._start(one)
        with writer.Scratch() as beside:  # for the other root, and for downloads
            step = Step(
                origin=self._origin(one, beside),
                sources=[*one.sources, *(Document(each.name, _bytes(each.content)) for each in one.documents)],
                destination=one.destination,
                workdir=before.directory,
                chown=one.chown,
                chmod=one.chmod,
                link=one.link,
                parents=isinstance(one, Copy) and one.parents,
                excludes=one.excludes,
                unpack=isinstance(one, Add) and one.unpack is not False,
                time=None if shared.epoch is None else shared.epoch * 10**9,
            )
            if isinstance(one, Add):
                from mydocker.engine.build import fetching

                fetching.fetch(one, step, beside, reuse=not shared.request.no_cache)
            facts = {"copy": hashing.digest(step)}
            if isinstance(one, Add):
                fetching.remember(step, one.checksum)

            def make(work: writer.Workspace) -> str:
                from mydocker.engine.build import copying

                if isinstance(one, Add):
                    fetching.bring(step, one.checksum)
                root = self._root(work)
                for text in copying.apply(step, root):
                    self.line.send({"event": "note", "text": text})
                return root.directory

            self._step(facts, make)

    def _origin(self, one: Transfer, beside: writer.Scratch) -> Origin:
        if isinstance(one, Copy) and one.from_stage:
            name, chain = self.find(one.from_stage)
            directory = f"{beside.path}/from"
            os.mkdir(directory, 0o700)
            return Origin(name, root=Root(self.shared.driver, directory, layers.stack(chain, self.shared.driver)))
        return self.shared.origin

    def _root(self, work: writer.Workspace) -> Root:
        directory = f"{work.path}/step"
        os.mkdir(directory, 0o700)
        return Root(self.shared.driver, directory, layers.stack(self.chain, self.shared.driver))

    def _workdir(self, one: Workdir) -> None:
        self._start(one)
        path, user, epoch = self.state.directory, self.state.config.get("User") or "", self.shared.epoch

        def make(work: writer.Workspace) -> str:
            from mydocker.engine.build import copying

            root = self._root(work)
            copying.make_directory(path, user, root, None if epoch is None else epoch * 10**9)
            return root.directory

        self._step({"workdir": path, "user": user}, make)


def _flat(descriptor: Json) -> Json:
    return {"media_type": descriptor["mediaType"], "digest": descriptor["digest"], "size": descriptor["size"]}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
