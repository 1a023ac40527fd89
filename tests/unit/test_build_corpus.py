"""Every Dockerfile of the corpus: what is refused, configs, histories and excerpts are those of docker 28.5."""

from __future__ import annotations

import re
from typing import Any

import dockerfiles
import pytest

from mydocker.build import config, dockerfile, stages
from mydocker.build.failure import DockerfileError

BASE = {"config": {}, "history": [{"created_by": "", "comment": "Imported from -"}]}
_PREFIX = re.compile(r"dockerfile parse error on line \d+: ")


def cases(key: str, refused: str | None) -> Any:
    """The cases with this result of docker. refused: they are refused by us, at that moment, or None for not."""
    chosen = [case for case in dockerfiles.CASES if key in case["docker"] and case.get("refused") == refused]
    assert len(chosen) > 8
    return pytest.mark.parametrize("case", chosen, ids=[case["name"] for case in chosen])


def read(case: dict[str, Any]) -> config.State:
    """All that a build does without a container: the target's state at its end. Raises DockerfileError."""
    given, target, _ = dockerfiles.options(case)
    parsed = dockerfile.parse(dockerfiles.text(case), "Df")
    values = stages.arguments(parsed, given, target)
    states: dict[int, config.State] = {}
    for planned in (plan := stages.plan(parsed, values, target)).stages:
        if planned.base_stage is not None:
            state = config.inherit(states[planned.base_stage])
        else:
            state = config.begin(None if planned.base_image == "scratch" else BASE, parsed.escape)
        for instruction in planned.instructions:
            with parsed.source.located(instruction.first, instruction.last):
                _, state = config.advance(state, instruction, values)
        states[planned.stage.index] = state
    warnings = [each for state in states.values() for each in state.warnings]
    parsed.check.refuse([*parsed.warnings, *plan.warnings, *warnings])
    return states[plan.stages[-1].stage.index]


@cases("rc", "when it is read")
def test_what_is_refused(case):
    with pytest.raises(DockerfileError):
        read(case)


@cases("rc", "when it is run")
def test_what_is_refused_only_when_it_is_run(case):
    assert read(case).config["Env"]


@cases("config", None)
def test_configs(case):
    made = config.image_config(read(case))
    labels = dockerfiles.options(case)[2]
    if labels:
        made["Labels"] = {**made["Labels"], **labels}
    assert made == case["docker"]["config"]


@cases("history", None)
def test_histories(case):
    rows = read(case).history
    assert [row["created_by"] for row in rows[1:]] == case["docker"]["history"]
    assert {row["comment"] for row in rows[1:]} == {"buildkit.dockerfile.v0"}
    for row in rows[1:]:
        makes_layer = row["created_by"].partition(" ")[0] in ("RUN", "COPY", "ADD", "WORKDIR")
        assert row.get("empty_layer", False) is not makes_layer


@cases("error", "when it is read")
def test_errors(case):
    """docker's words, and one line number more: its syntax errors of ENV have none."""
    with pytest.raises(DockerfileError) as caught:
        read(case)
    expected = case.get("ours", {}).get("error") or _PREFIX.sub("", case["docker"]["error"])
    expected, _, hint = re.sub(r" \((did you mean .*)\)$", r"\n\1", expected).partition("\n")
    shown = f"{caught.value.message}, {caught.value.hint}"
    assert expected in shown
    assert hint in shown
    assert "\n" not in str(caught.value)


@cases("excerpt", "when it is read")
def test_excerpts(case):
    with pytest.raises(DockerfileError) as caught:
        read(case)
    assert caught.value.excerpt == case["docker"]["excerpt"]
    assert caught.value.line == int(case["docker"]["excerpt"].partition("\n")[0].partition(":")[2])
