"""The options of build, and what its view prints."""

from __future__ import annotations

import os
import re
import time

import pytest

from mydocker.cli import buildview
from mydocker.errors import InvalidArgument
from mydocker.model.options import build
from mydocker.model.options.build import Output, Secret


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("id=a,src=/f", Secret("a", "/f", "")),
        ("source=f,id=a", Secret("a", "f", "")),
        ("id=a", Secret("a", "a", "")),
        ("id=a,env=B", Secret("a", "", "B")),
        ("type=env,id=A", Secret("A", "", "A")),
        ("type=file,id=a,src=f", Secret("a", "f", "")),
    ],
)
def test_a_secret(text, secret):
    assert build.secret(text) == secret


@pytest.mark.parametrize("text", ["", "a", "src=f", "id=a,src=f,env=B", "id=a,type=x", "id=a,color=red"])
def test_no_secret(text):
    with pytest.raises(InvalidArgument):
        build.secret(text)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("out", Output("local", "out")),
        ("-", Output("tar", "-")),
        ("type=local,dest=d", Output("local", "d")),
        ("type=tar", Output("tar", "-")),
        ("type=tar,dest=f", Output("tar", "f")),
        ("type=docker", Output("image", "")),
        ("type=image,push=false", Output("image", "")),
    ],
)
def test_an_output(text, output):
    assert build.output(text) == output


@pytest.mark.parametrize("text", ["type=oci,dest=f", "type=local", "type=docker,dest=f", "type=image,push=true", "a=b"])
def test_no_output(text):
    with pytest.raises(InvalidArgument):
        build.output(text)


def shown(capsys, events) -> str:
    view = buildview.Plain()
    for stage, event, data in events:
        view.report(stage, event, data)
    return capsys.readouterr().err


def test_plain_lines(capsys):
    events = [
        ("a", {"event": "start", "name": "[1/2] FROM x"}, b""),
        ("a", {"event": "done"}, b""),
        ("a", {"event": "start", "name": "[2/2] RUN y"}, b""),
        ("a", None, b"\033[31mred\033[0m\nunfinished\x07"),
        ("b", {"event": "start", "name": "[b 1/1] FROM z"}, b""),
        ("b", {"event": "cached"}, b""),
        ("a", {"event": "done"}, b""),
    ]
    lines = [line.split(" ") for line in shown(capsys, events).splitlines() if line]
    first_two = [line[:2] if line[1] in ("DONE", "CACHED", "...") else line for line in lines]
    assert [" ".join(line) for line in first_two if not line[1].startswith("0.")] == [
        "#1 [1/2] FROM x",
        "#1 DONE",
        "#2 [2/2] RUN y",
        "#2 ...",
        "#3 [b 1/1] FROM z",
        "#3 CACHED",
        "#2 [2/2] RUN y",
        "#2 DONE",
    ]
    assert [line[2] for line in lines if line[1].startswith("0.")] == ["red", "unfinished"]


DIGESTS = [f"sha256:{number:064x}" for number in (1, 2)]
PULLED = [
    ("pull", {"event": "start", "name": "pulling x"}, b""),
    ("pull", {"event": "layers", "layers": [(digest, 2000) for digest in DIGESTS]}, b""),
    ("pull", {"event": "layer", "at": 0, "state": "exists", "count": 2000}, b""),
    ("pull", {"event": "layer", "at": 1, "state": "reading", "count": 1000}, b""),
    ("pull", {"event": "layer", "at": 1, "state": "done", "count": 2000}, b""),
    ("pull", {"event": "done", "text": "digest sha256:3"}, b""),
]


def test_a_line_without_end_takes_neither_memory_nor_time():
    step = buildview._Step(1, "RUN x")
    began = time.process_time()
    for _ in range(100):
        step.add(b"x" * 65536)
    assert time.process_time() - began < 5
    assert len(step.unfinished) <= 65536


def test_each_layer_of_a_pull_has_a_line(capsys):
    lines = [re.sub(r"^#1 [0-9.]+ |[0-9.]+s$", "", line) for line in shown(capsys, PULLED).splitlines() if line]
    exists, complete = (f"{digest[7:19]}: {text}" for digest, text in zip(DIGESTS, ("Already exists", "Pull complete")))
    assert lines == ["#1 pulling x", exists, complete, "#1 digest sha256:3", "#1 DONE "]


def test_layers_on_their_way_are_drawn_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(buildview, "_OFTEN", 0)
    view = buildview.view("tty")
    for stage, event, data in PULLED:
        view.report(stage, event, data)
    said = capsys.readouterr().err
    assert f"{DIGESTS[1][7:19]}: 1kB/2kB" in said
    assert "Pull complete" not in said
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((80, 3)))
    for number in range(9):
        view.report(str(number), {"event": "start", "name": "RUN x"}, b"")
    assert capsys.readouterr().err.endswith("\033[2A\r\033[J" + 2 * ("> RUN x" + 68 * " " + "0.0s\n"))


def test_a_failed_step_of_a_quiet_build_shows_its_output(capsys):
    view = buildview.view("quiet")
    view.report("a", {"event": "start", "name": "RUN x"}, b"")
    view.report("a", None, b"one\r\ntwo")
    view.failed("a", quiet=True)
    assert capsys.readouterr().err == "one\ntwo\n"
