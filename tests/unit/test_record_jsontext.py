"""record.py and jsontext.py behave like the standard modules that they replace."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import jsontext
from mydocker.record import from_json, record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def point(decorate):
    class Point:
        x: int
        y: int = 2
        tags: list[str] = []  # dataclass itself refuses a mutable default

    if decorate is not record:
        Point.tags = dataclasses.field(default_factory=list)
    return decorate(Point)


@pytest.mark.parametrize("decorate", [record, dataclasses.dataclass])
class TestRecord:
    def test_is_made_by_position_name_and_default(self, decorate):
        made = point(decorate)(1, tags=["a"])
        assert (made.x, made.y, made.tags) == (1, 2, ["a"])

    def test_equality_is_by_type_and_value(self, decorate):
        ours, theirs = point(decorate), point(decorate)
        assert ours(1) == ours(1)
        assert ours(1) != ours(3)
        assert ours(1) != theirs(1)

    def test_shows_its_fields(self, decorate):
        assert repr(point(decorate)(1)).endswith("Point(x=1, y=2, tags=[])")

    def test_is_not_hashable(self, decorate):
        with pytest.raises(TypeError):
            hash(point(decorate)(1))

    def test_does_not_share_a_mutable_default(self, decorate):
        kind = point(decorate)
        kind(1).tags.append("mine")
        assert kind(1).tags == []

    @pytest.mark.parametrize(
        ("values", "named"),
        [((), {}), ((1, 2, [], 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1})],
        ids=["missing", "too many", "twice", "unknown"],
    )
    def test_refuses_wrong_arguments(self, decorate, values, named):
        with pytest.raises(TypeError):
            point(decorate)(*values, **named)


def test_record_lists_its_fields_parents_first():
    @record
    class Child(point(record)):  # type: ignore[misc]
        z: int = 5

    assert Child._fields == ("x", "y", "tags", "z")
    assert (Child(1).y, Child(1, 2, [], 6).z) == (2, 6)


class TestFromJson:
    def test_reads_what_the_fields_were_written_as(self):
        kind = point(record)
        assert from_json(kind, jsontext.loads(jsontext.dumps(kind(1, tags=["a"]).__dict__))) == kind(1, tags=["a"])

    def test_ignores_a_field_of_a_newer_version(self):
        kind = point(record)
        assert from_json(kind, {"x": 1, "new": [1]}) == kind(1)

    @pytest.mark.parametrize("values", [{}, {"x": "1"}, {"x": True}, {"x": 1, "tags": None}, {"x": 1, "tags": [1]}])
    def test_refuses_missing_fields_and_wrong_types(self, values):
        with pytest.raises((TypeError, ValueError), match=r"x|tags"):
            from_json(point(record), values)


class TestJson:
    @given(JSON)
    def test_dumps_as_json_does(self, value):
        assert jsontext.dumps(value) == json.dumps(value)

    @given(JSON)
    def test_loads_what_it_dumped_as_text_and_as_bytes(self, value):
        text = jsontext.dumps(value)
        assert jsontext.loads(text) == value
        assert jsontext.loads(f" \r\n\t{text}\n".encode()) == value

    @given(JSON)
    def test_pretty_is_json_with_four_spaces(self, value):
        assert jsontext.pretty(value) == json.dumps(value, indent=4)

    @given(st.text(alphabet='{}[]":,0123456789.eE+-truefalsn\\ u\n'))
    def test_loads_refuses_what_json_refuses(self, text):
        try:
            expected = json.loads(text)
        except (ValueError, RecursionError):
            with pytest.raises(ValueError):  # noqa: PT011
                jsontext.loads(text)
        else:
            assert jsontext.loads(text) == expected

    @pytest.mark.parametrize("text", ["", "   ", "{", "[1,]", "1 2", "{'a':1}", '"\n"', "[" * 100_000, b"\xff"])
    def test_a_broken_text_is_a_value_error(self, text):
        with pytest.raises(ValueError):  # noqa: PT011
            jsontext.loads(text)

    @pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), {("a", "b"): 1}])
    def test_what_json_has_not_is_a_type_error(self, value):
        with pytest.raises(TypeError):
            jsontext.dumps(value)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_what_no_other_program_can_read_is_refused(self, value):
        with pytest.raises(ValueError):  # noqa: PT011
            jsontext.dumps(value)
