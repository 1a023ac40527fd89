"""Any input makes a Dockerfile or an error about it, in time that grows with its length."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mydocker.build import config, dockerfile, expansion, stages, words
from mydocker.build.failure import DockerfileError, Malformed
from mydocker.build.ignore import Ignore
from mydocker.image import config_types

BASE = {"config": {}, "history": [{"created_by": "", "comment": "Imported from -"}]}
PIECES = r"""
FROM bb scratch AS a RUN COPY ADD ENV ARG LABEL CMD ENTRYPOINT HEALTHCHECK ONBUILD SHELL EXPOSE VOLUME USER
WORKDIR STOPSIGNAL MAINTAINER NONE A=1 A $A ${A:-b} ${A#*} ${A/a/b} ${ } " ' \ ` [ ] ["a"] ["a","b"] , <<EOF
<<-'E' EOF E # escape=` # check= # syntax=a --mount=type=cache,target=/c --mount= --from=a --chown=$A
--interval=1s -- --x -1 80/tcp 9999999 = *
""".split()
PIECES += ["\r", "\t", "\0", "\v", "é", "\ufeff", "\x85", "\u2028"]
TEXTS = st.lists(st.sampled_from([*PIECES, " ", " ", " ", "\n", "\n", "\n"]), max_size=40).map("".join)


def build(data: bytes) -> None:
    """All that a build does without a container. Raises DockerfileError."""
    parsed = dockerfile.parse(data)
    values = stages.arguments(parsed, {"B": "1"}, "")
    states: dict[int, config.State] = {}
    for planned in stages.plan(parsed, values, "").stages:
        if planned.base_stage is not None:
            state = config.inherit(states[planned.base_stage])
        else:
            state = config.begin(None if planned.base_image == "scratch" else BASE, parsed.escape)
        for instruction in planned.instructions:
            with parsed.source.located(instruction.first, instruction.last):
                _, state = config.advance(state, instruction, values)
        states[planned.stage.index] = state
        config.image_config(state)


def outcome(data: bytes) -> None:
    """Build it, or have it refused by one line."""
    said = ""
    try:
        build(data)
    except DockerfileError as error:
        said = str(error)
    assert "\n" not in said


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_pieces_in_any_order(text):
    outcome(text.encode())
    outcome(f"FROM bb\n{text}".encode())


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_bytes(data):
    outcome(data)
    outcome(b"FROM bb\nENV A=" + data)


@given(st.text(alphabet="*?[]\\!/#.ab^- \n", max_size=40), st.text(alphabet="ab/.", min_size=1, max_size=10))
@settings(max_examples=100, deadline=None)
def test_patterns(text, path):
    with contextlib.suppress(Malformed):
        assert Ignore(text.split("\n")).matches(path) in (True, False)


# What a part of 30,000 bytes of a line is made of.
LONG = [
    "a",
    " ",
    "\\",
    '"',
    "'",
    "$",
    "${",
    "${A:-",
    "$A",
    "[",
    '["',
    "a=b ",
    "<<",
    "<<E ",
    "--a ",
    "--a=\\",
    "{",
    "}",
    "*",
    ",",
    "(",
    "#",
]


@pytest.mark.parametrize("piece", LONG)
def test_a_long_line_takes_no_time(piece):
    begin = time.process_time()
    text = piece * (30000 // len(piece))
    for word in (
        "RUN ",
        "COPY ",
        "ENV A=",
        "ENV A ",
        "LABEL ",
        "CMD ",
        "HEALTHCHECK ",
        "ONBUILD RUN ",
        "EXPOSE ",
        "RUN --mount=",
    ):
        outcome(f"FROM bb\nENV A=b\n{word}{text}\n".encode())
    assert time.process_time() - begin < 5


LINES = ["ENV A=$A", "RUN true", "LABEL a=b", "\\", "# a", "RUN <<E\nE", "FROM bb", "a\\", "ARG A", "ARG A=1"]
LINES += ["ENV A@=1", "ARG A@=1\nRUN true", "LABEL a@=$A@", "VOLUME /a@", "ARG A@\nENV B=$U@", "ONBUILD ENV A=@"]


@pytest.mark.parametrize("line", LINES)
def test_many_lines_take_no_time(line):
    """@: the line's number."""
    begin = time.process_time()
    outcome(b"FROM bb\n" + "".join(f"{line}\n".replace("@", str(at)) for at in range(5000)).encode())
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("line", ["ENV A=$A$A", "ARG A=$A$A", "ENV A=${A//x/$A}", "ENV A=$A$A B=$A C=$A"])
def test_what_doubles_is_refused(line):
    begin = time.process_time()
    with pytest.raises(DockerfileError, match="characters"):
        build(f"FROM bb\nARG A=xxxxxxxx\n{line}\n".encode() + f"{line}\n".encode() * 40)
    assert time.process_time() - begin < 5


def test_the_config_of_a_base_has_the_types_that_go_reads():
    right = {"config": {"Env": ["A=1"], "Volumes": {"/v": {}}, "Healthcheck": {"Test": ["NONE"], "Retries": 3}}}
    config_types.check({**right, "history": [{"created_by": "x", "empty_layer": True}], "author": None, "x": [1]})
    for value in (
        0,
        1.5,
        True,
        "x",
        [],
        ["x"],
        [None],
        [[]],
        {},
        {"x": 1},
        {"x": "x"},
        {"x": {}},
        1 << 63,
        "\0",
        "\ud800",
    ):
        for place, right in (
            ("Env", value in ([], ["x"])),
            ("User", value == "x"),
            ("Tty", value is True),
            ("StopTimeout", value == 0 and value is not False),
            ("Labels", value in ({}, {"x": "x"})),
            ("Volumes", value in ({}, {"x": {}})),
            ("Healthcheck", isinstance(value, dict)),
        ):
            with contextlib.nullcontext() if right else pytest.raises(ValueError, match=f"its config.{place} is "):
                config_types.check({"config": {place: value}})


@given(st.lists(st.sampled_from(["${", "}", "${A", "${U:-", *"$AEU:-+?#%/*ab'\"\\ "]), max_size=9).map("".join))
@settings(max_examples=400, deadline=None)
def test_words_are_expanded_as_by_another_port_of_buildkit(word):
    lexer = pytest.importorskip("e2b_dockerfile_utils.lexer", reason="no e2b-dockerfile-utils, which needs Python 3.11")
    variables = {"A": "abcab", "E": ""}
    other = lexer.ShellLex("\\", env=variables, skip_unset_env=False)
    assert value(expansion.expand, word, variables) == value(other.process_word, word)


def value(function, *words) -> str | None:
    """Return what the function returns, or None if it refuses the words."""
    try:
        return function(*words)
    except ValueError:
        return None


@given(TEXTS, st.sampled_from("\\`"))
def test_a_text_without_quotes_is_split_like_one_with_them(text, escape):
    assert words.quoted_words(text, escape) == words._word(escape).findall(text)
    first = words._unquoted(words._flag(escape).match(f"--{text}").group(), escape)
    assert words.take_flags(f"--{text}", escape)[0][:1] == ([] if first == "--" else [first])
