"""trace.py: the order of do and undo, what is recorded of it, and what a person reads when a step fails."""

from __future__ import annotations

import errno

import pytest

from mydocker import jsontext, trace
from mydocker.errors import HostError, StepFailed
from mydocker.ops.base import Op, operation
from mydocker.ops.process import NewSession
from mydocker.ops.rootfs import Mount

CALLS = []


@operation
class Step(Op):
    name: str
    fails: bool = False
    stays: bool = False
    section = "process"

    def do(self, context):
        CALLS.append(f"do {self.name}")
        if self.fails:
            raise OSError(errno.ENOSPC, "No space left on device", "/some/path")

    def undo(self):
        CALLS.append(f"undo {self.name}")
        if self.stays:
            raise OSError(errno.EBUSY, "Device or resource busy", f"/cgroup/{self.name}")

    def describe(self):
        return f"step {self.name}"


@operation
class Late(Step):
    def do(self, context):
        CALLS.append(f"do {self.name} with {context.pid}")


@operation
class Lost(Step):
    def undo(self):
        raise HostError("iptables-save is not installed", "install it")


A, B, C = Step("a"), Step("b"), Step("c")


@pytest.fixture(autouse=True)
def _no_fault(monkeypatch):
    monkeypatch.setattr(trace, "_FAULT", "")
    CALLS.clear()


class TestOrder:
    def test_done_in_order_undone_in_reverse(self):
        made = trace.Trace("host")
        made.run([A, B])
        made.run([C])
        assert made.undo_all() == []
        assert CALLS == ["do a", "do b", "do c", "undo c", "undo b", "undo a"]

    def test_an_op_hears_of_a_pid_that_was_not_known_when_it_was_planned(self):
        made = trace.Trace("host")
        made.run([Late("a")])
        made.pid = 7
        made.run([Late("b")])
        assert CALLS == ["do a with 0", "do b with 7"]

    def test_what_failed_half_way_is_undone_too_and_what_was_not_reached_is_not(self):
        made = trace.Trace("host")
        with pytest.raises(StepFailed):
            made.run([A, Step("b", fails=True), C])
        made.undo_all()
        assert CALLS == ["do a", "do b", "undo b", "undo a"]

    def test_what_cannot_be_undone_is_said_and_the_rest_is_undone(self):
        made = trace.Trace("host")
        made.run([A, Step("b", stays=True), C])
        assert made.undo_all() == ["could not undo 'step b': Device or resource busy: /cgroup/b"]
        assert CALLS[3:] == ["undo c", "undo b", "undo a"]

    def test_nor_does_a_program_that_is_missing_keep_the_rest(self):
        made = trace.Trace("host")
        made.run([A, Lost("b"), C])
        assert made.undo_all() == ["could not undo 'step b': iptables-save is not installed (install it)"]
        assert CALLS[3:] == ["undo c", "undo a"]

    def test_nothing_is_undone_twice(self):
        made = trace.Trace("host")
        made.run([A])
        made.undo_all()
        made.undo_all()
        assert CALLS == ["do a", "undo a"]

    def test_leftovers_of_a_dead_monitor_are_undone_without_a_record(self):
        trace.undo_all([A, B])
        assert CALLS == ["undo b", "undo a"]


class TestFault:
    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_it_strikes_in_place_of_that_op(self, monkeypatch, number):
        monkeypatch.setattr(trace, "_FAULT", str(number))
        made = trace.Trace("host")
        with pytest.raises(StepFailed, match=f"step {'abc'[number - 1]}: a fault injected") as caught:
            made.run([A, B, C])
        assert caught.value.errno == errno.EIO
        assert ["do a", "do b", "do c"][: number - 1] == CALLS
        assert len(made.undo_all()) == 0
        assert [call for call in CALLS if "undo" in call] == ["undo c", "undo b", "undo a"][3 - number :]

    def test_the_containers_side_counts_on(self, monkeypatch):
        monkeypatch.setattr(trace, "_FAULT", "3")
        host = trace.Trace("host")
        host.run([A, B])
        with pytest.raises(StepFailed, match="step c"):
            trace.Trace("container", host.number).run([C])

    def test_beyond_the_last_op_nothing_happens(self, monkeypatch):
        monkeypatch.setattr(trace, "_FAULT", "4")
        trace.Trace("host").run([A, B, C])
        assert CALLS == ["do a", "do b", "do c"]


class TestSpans:
    def test_their_shape(self):
        made = trace.Trace("container")
        made.run([A])
        made.span("wait", "wait # for it", 5, 9)
        made.span("go on", "", 5)
        first, second, third = made.spans()
        assert {key: value for key, value in first.items() if key not in ("start", "end")} == {
            "side": "container",
            "name": "step a",
            "op": "Step",
            "args": {"name": "a", "fails": False, "stays": False},
            "error": None,
        }
        assert 0 < first["start"] <= first["end"]
        assert second == {
            "side": "container",
            "name": "wait",
            "op": None,
            "args": None,
            "shell": "wait # for it",
            "start": 5,
            "end": 9,
            "error": None,
        }
        assert third["end"] >= first["end"]
        assert jsontext.loads(jsontext.dumps(made.spans())) == made.spans()

    def test_a_step_that_failed_has_its_span_and_is_the_last(self):
        made = trace.Trace("host")
        with pytest.raises(StepFailed):
            made.run([A, Step("b", fails=True), C])
        assert [(span["name"], span["error"] is None) for span in made.spans()] == [("step a", True), ("step b", False)]

    def test_its_error_reads_as_the_message_does(self):
        made = trace.Trace("host")
        with pytest.raises(StepFailed):
            made.run([Step("b", fails=True)])
        assert made.spans()[0]["error"] == "No space left on device: /some/path"


class TestMessages:
    def test_errors_name_the_step_the_cause_and_the_file(self):
        with pytest.raises(StepFailed) as caught:
            trace.Trace("host").run([Step("b", fails=True)])
        error = caught.value
        assert error.message == "step b: No space left on device: /some/path"
        assert (error.step, error.errno, error.exit_code) == ("step b", errno.ENOSPC, 1)
        assert "free some space" in error.hint

    @pytest.mark.parametrize("error", [ValueError("embedded null byte"), OverflowError("too large")])
    def test_a_value_that_python_refuses_is_a_failed_step_too(self, monkeypatch, error):
        def refuse(self, context):
            raise error

        monkeypatch.setattr(Step, "do", refuse)
        with pytest.raises(StepFailed, match=f"step a: {error}") as caught:
            trace.Trace("host").run([A])
        assert caught.value.errno == 0

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (OSError(errno.EPERM, "Operation not permitted"), "Operation not permitted"),
            (OSError(errno.ENOENT, "No such file or directory", "/x"), "No such file or directory: /x"),
            (OSError("no number"), "no number"),
            (ValueError("bad value"), "bad value"),
        ],
    )
    def test_reason(self, error, text):
        assert trace.reason(error) == text


def test_what_one_process_has_noted_another_makes_the_same_record_of():
    mount = Mount("proc", "/proc", "proc", 14, root="/r")
    notes = [("", "", mount, 1, 2, ""), ("wait", "wait # it", None, 2, 3, ""), ("", "", NewSession(), 3, 4, "no")]
    told = trace.Trace("container", notes=notes)
    heard = trace.Trace("container", notes=trace.dumped(told.dump(len(notes))))
    assert heard.spans() == told.spans()
    assert trace.Trace("container", notes=trace.dumped(told.dump(1))).spans() == told.spans()[:1]
