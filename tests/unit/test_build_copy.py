"""The pure rules of COPY and ADD: wildcards, owners and modes."""

from __future__ import annotations

import pytest

from mydocker.build.globs import Glob, has_wildcards
from mydocker.engine.build import ownership
from mydocker.engine.build.ownership import Owner
from mydocker.errors import InvalidArgument

# Go's own table for filepath.Match, as far as it is about one name.
MATCHES = [
    ("abc", "abc", True),
    ("*", "abc", True),
    ("*c", "abc", True),
    ("a*", "a", True),
    ("a*", "abc", True),
    ("a*b*c*d*e*", "axbxcxdxe", True),
    ("a*b*c*d*e*", "axbxcxdxexxx", True),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False),
    ("ab[^b-d]", "abc", False),
    ("ab[^e-g]", "abc", True),
    ("a\\*b", "a*b", True),
    ("a\\*b", "ab", False),
    ("a?b", "a☺b", True),
    ("a[^a]b", "a☺b", True),
    ("a???b", "a☺b", False),
    ("[a-é]*", "ç", True),
    ("*[a-é]", "A", False),
    ("[\\]a]", "]", True),
    ("[\\-]", "-", True),
    ("[x\\-]", "x", True),
    ("[x\\-]", "-", True),
    ("[x\\-]", "z", False),
    ("[\\-x]", "x", True),
    ("[\\-x]", "a", False),
    ("*x", "xxx", True),
    ("[z-a]", "b", False),
    ("", "", True),
    ("", "a", False),
    ("***a", "bba", True),
    ("[*?]", "*", True),
    ("a b", "a b", True),
    ("*", ".hidden", True),
]
MALFORMED = ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\", "[\\", "[a-"]


@pytest.mark.parametrize(("pattern", "name", "expected"), MATCHES)
def test_a_pattern_matches_as_in_go(pattern, name, expected):
    assert Glob(pattern, double_stars=False).matches(name) is expected


@pytest.mark.parametrize("pattern", MALFORMED)
def test_a_malformed_pattern_is_an_error(pattern):
    with pytest.raises(ValueError, match="syntax error in pattern"):
        Glob(pattern, double_stars=False)


def test_many_stars_take_no_time():
    assert not Glob("*a" * 100 + "b", double_stars=False).matches("a" * 255)


@pytest.mark.parametrize(
    ("part", "expected"), [("a", False), ("*", True), ("a?", True), ("[a]", True), ("a\\*", False), ("\\\\*", True)]
)
def test_wildcards_are_seen(part, expected):
    assert has_wildcards(part) is expected


@pytest.mark.parametrize(
    ("text", "old", "is_directory", "new"),
    [
        ("755", 0o644, False, 0o755),
        ("0640", 0o755, True, 0o640),
        ("4755", 0o644, False, 0o4755),
        ("7777", 0, False, 0o7777),
        ("0", 0o644, False, 0),
        ("+x", 0o644, False, 0o755),
        ("+x", 0o600, True, 0o711),
        ("u+x", 0o644, False, 0o744),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("a-w", 0o666, False, 0o444),
        ("+w", 0o400, False, 0o622),
        ("=x", 0o644, False, 0o111),
        ("u-r+x,g+w", 0o644, False, 0o364),
        ("u+s", 0o644, False, 0o4644),
        ("g=u", 0o400, False, 0o440),
        ("g=u", 0o740, False, 0o770),
        ("go=", 0o777, False, 0o700),
        ("u+s", 0o755, False, 0o4755),
        ("g+s", 0o755, True, 0o2755),
        ("+t", 0o777, True, 0o1777),
        ("u-x+w", 0o500, False, 0o600),
        ("o=g-w", 0o670, False, 0o675),
    ],
)
def test_modes(text, old, is_directory, new):
    assert oct(ownership.mode(text)(old, is_directory)) == oct(new)


@pytest.mark.parametrize(
    "text", ["999", "17777", "u", "u=q", "x", "", "a+x,", "\u0667\u0665\u0665", "-1", "0o755", "u=rw x"]
)
def test_an_invalid_mode_is_refused(text):
    with pytest.raises(InvalidArgument, match="invalid chmod parameter"):
        ownership.mode(text)


@pytest.mark.parametrize(("text", "owner"), [("5", Owner(5, 5)), ("5:6", Owner(5, 6)), ("0:7", Owner(0, 7))])
def test_numbers_need_no_image(text, owner):
    assert ownership.owner(text, -1) == owner


@pytest.mark.parametrize("text", ["", ":", "4294967295", "1:4294967295"])
def test_an_impossible_owner_is_refused(text):
    with pytest.raises(InvalidArgument, match="invalid owner"):
        ownership.owner(text, -1)
