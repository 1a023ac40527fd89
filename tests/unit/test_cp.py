"""engine/cp.py: which side an argument names, and what a path means."""

from __future__ import annotations

import pytest

from mydocker.engine.cp import Place, parse
from mydocker.errors import MydockerError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("web:/a", Place("web", "/a")),
        ("web:a:b", Place("web", "a:b")),
        ("./a:b", Place("", "./a:b")),
        ("/a:b", Place("", "/a:b")),
        (".a:b", Place("", ".a:b")),
        ("-", Place("", "-")),
    ],
)
def test_an_argument(text, place):
    other = "/x" if place.container else "other:/x"
    assert parse(text, other)[0] == parse(other, text)[1] == place


@pytest.mark.parametrize("words", [("a", "b"), ("-", "-"), ("a:b", "c:d"), (":a", "b"), ("a:", "b"), ("", "a:b")])
def test_what_is_refused(words):
    with pytest.raises(MydockerError) as caught:
        parse(*words)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("path", "clean", "names_directory", "is_content"),
    [
        ("/a", "/a", False, False),
        ("a/b/", "/a/b", True, False),
        ("/a/.", "/a", True, True),
        ("a/..", "/", True, True),
        ("/a/../b", "/b", False, False),
        ("/a/..", "/", True, True),
        ("../..", "/", True, True),
        ("//", "/", True, True),
        (".", "/", True, True),
    ],
)
def test_a_path(path, clean, names_directory, is_content):
    place = Place("web", path)
    assert (place.clean, place.names_directory, place.is_content) == (clean, names_directory, is_content)
