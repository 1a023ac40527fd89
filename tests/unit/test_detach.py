"""options/detach.py: docker's notation of keys, and the search for them in what is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.options import detach


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (None, b"\x10\x11"),
        ("", b"\x10\x11"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-@,ctrl-a,ctrl-z,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x00\x01\x1a\x1b\x1c\x1d\x1e\x1f"),
        ("a", b"a"),
        ("A,~, ,DEL", b"A~ \x7f"),
    ],
)
def test_docker_s_notation(text, keys):
    assert detach.parse(text) == keys


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("foo", "foo"),
        ("a,,b", ""),
        (",", ""),
        ("ctrl-p,", ""),
        ("ctrl-1", "ctrl-1"),
        ("ctrl-P", "ctrl-P"),
        ("CTRL-p", "CTRL-p"),
        ("xctrl-p", "xctrl-p"),
        ("ctrl-", "ctrl-"),
        ("ctrl-pq", "ctrl-pq"),
        ("del", "del"),
        ("é", "é"),
        ("\x10", "\\x10"),
    ],
)
def test_other_texts_are_named(text, wrong):
    with pytest.raises(InvalidArgument) as caught:
        detach.parse(text)
    assert str(caught.value).startswith(f"invalid detach key: '{wrong}' (keys such as ctrl-p,ctrl-q: ")
    assert caught.value.exit_code == 125


KEYS = st.lists(st.sampled_from(b"ab"), min_size=1, max_size=4).map(bytes)
PIECES = st.lists(st.tuples(st.lists(st.sampled_from(b"abc"), max_size=6).map(bytes), st.booleans()), max_size=6)


@given(KEYS, PIECES)
def test_all_that_is_typed_before_the_keys_arrives(keys, pieces):
    """However it is cut, and wherever the user pauses; what has arrived of the keys themselves was typed slowly."""
    typed = b"".join(piece for piece, _ in pieces)
    search, arrived, paused = detach.Search(keys), b"", False
    for piece, pauses in pieces:
        passed, is_found = search.feed(piece)
        arrived += passed
        if is_found:
            before = typed.index(keys)
            assert arrived[:before] == typed[:before]
            assert typed[: before + len(keys)].startswith(arrived)
            assert paused or len(arrived) == before
            return
        if pauses:
            paused = True
            arrived += search.release()
            assert not search.held
        assert search.held in keys
    assert keys not in typed
    assert arrived + search.release() == typed
