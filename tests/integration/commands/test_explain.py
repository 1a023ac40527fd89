"""run --explain, run --dry-run, explain: a container's birth, step by step."""

from __future__ import annotations

import json
import re

import pytest
from networks import device, network


class TestExplain:
    def test_shows_each_step_with_shell_and_duration_on_stderr(self, mydocker):
        result = mydocker("run", "--rm", "--net", "none", "--explain", "busybox", "echo", "hello")
        assert result.stdout == "hello\n"
        for shell in ("mount -t overlay", "pivot_root", "unshare", "mount -t proc"):
            assert shell in result.stderr
        assert len(re.findall(r"\d+(\.\d+)? ?(ms|µs)", result.stderr)) > 20
        assert "host" in result.stderr
        assert "container" in result.stderr
        assert "total" in result.stderr.lower()

    def test_of_more_mounts_than_a_message_holds(self, mydocker, directory):
        many = [f"-v={directory}:/m/{number}:ro" for number in range(700)]
        result = mydocker("run", "--rm", "--net", "none", "--explain", *many, "busybox", "echo", "hello", timeout=60)
        assert (result.rc, result.stdout) == (0, "hello\n")
        assert len(set(re.findall(rf"bind {directory} on /m/\d+", result.stderr))) == 700

    def test_the_bridge_sees_the_link_before_the_program_runs(self, mydocker, name):
        """Until then it drops what the program sends."""
        mydocker.ok("run", "--name", name, "busybox", "true")
        spans = json.loads(mydocker.ok("explain", "--format", "json", name))["spans"]
        steps = {span["name"]: span for span in spans}
        seen = steps["have the bridge see the link"]
        # Two processes: what one has said the other may hear before the first has looked at the clock again.
        assert steps["report that its links are up"]["start"] <= seen["start"]
        assert seen["end"] <= steps["wait until the host's side is done"]["end"] <= steps["become the program"]["start"]

    def test_shows_the_step_that_failed(self, mydocker):
        result = mydocker("run", "--rm", "--explain", "busybox", "x", env={"MYDOCKER_FAULT": "5"})
        assert result.rc == 125
        assert "fault" in result.stderr


class TestDryRun:
    def test_shows_the_plan_and_does_nothing(self, machine, mydocker, directory):
        before = machine.snapshot()
        plan = mydocker("run", "--rm", "--dry-run", "-v", f"{directory}/made:/x", "busybox", "touch", "/x/y")
        assert plan.rc == 0, plan.stderr
        assert machine.changes_since(before) == []
        assert not machine.exists(f"{directory}/made")
        assert "pivot_root" in plan.stdout + plan.stderr

    def test_shows_the_bridge_that_would_be_made(self, machine, mydocker, name):
        with network(mydocker, f"{name}-net") as net:
            bridge = device(mydocker, net)
            assert f"ip link add {bridge} " not in mydocker.ok("run", "--dry-run", "--net", net, "busybox", "true")
            assert machine.run("ip", "link", "delete", bridge).rc == 0
            before = machine.snapshot()
            plan = mydocker.ok("run", "--dry-run", "--net", net, "busybox", "true")
            assert re.search(rf"^ +ip link add {bridge} .*type bridge", plan, re.MULTILINE)
            assert machine.changes_since(before) == []

    def test_as_json(self, mydocker):
        text = mydocker.ok("run", "--dry-run", "--format", "json", "busybox", "true")
        steps = json.loads(text) if text.startswith("[") else [json.loads(row) for row in text.splitlines()]
        assert len(steps) > 20
        assert {step["side"] for step in steps} == {"host", "container"}
        assert all(step["name"] and step["shell"] for step in steps)

    def test_finds_the_errors_of_a_real_run(self, mydocker):
        mydocker.fails("run", "--dry-run", "-m", "12q", "busybox", "true")

    def test_shows_the_port_that_it_would_have(self, machine, mydocker, name):
        plan = mydocker.ok("run", "--dry-run", "-p", "127.0.0.1::80", "busybox", "true")
        assert 0 < int(re.search(r"--dport (\d+)", plan)[1]) < 65536
        mydocker.ok("run", "-d", "--name", name, "-p", "127.0.0.1::80", "busybox", "sleep", "100")
        taken = mydocker.ok("port", name, "80").rpartition(":")[2]
        assert taken in mydocker.fails("run", "--dry-run", "-p", f"127.0.0.1:{taken}:80", "busybox", "true")


class TestExplainLater:
    @pytest.fixture
    def ran(self, mydocker, name):
        mydocker.ok("run", "--name", name, "busybox", "true")
        return name

    def test_shows_the_same_from_the_record(self, mydocker, ran):
        out = mydocker.ok("explain", ran)
        for shell in ("mount -t overlay", "pivot_root", "mount -t proc"):
            assert shell in out

    def test_as_json(self, mydocker, ran):
        steps = json.loads(mydocker.ok("explain", "--format", "json", ran))
        steps = steps if isinstance(steps, list) else steps["spans"]
        assert all(step["end"] >= step["start"] for step in steps)
        assert [step["start"] for step in steps] == sorted(step["start"] for step in steps)

    def test_as_a_trace_for_perfetto(self, mydocker, ran):
        events = json.loads(mydocker.ok("explain", "--format", "trace", ran))["traceEvents"]
        spans = [event for event in events if event["ph"] == "X"]
        assert len(spans) > 20
        assert all(event["dur"] >= 0 and event["ts"] >= 0 and event["name"] for event in spans)
        assert len({event["tid"] for event in spans}) == 2

    def test_of_a_container_that_never_ran(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox")
        assert name in mydocker.fails("explain", name)

    def test_a_bad_format_is_one_line(self, mydocker, ran):
        assert "bogus" in mydocker.fails("explain", "--format", "bogus", ran, rc=125)


class TestCounting:
    """A step is an op, the clone or the exec, whoever shows it."""

    def count(self, text: str) -> str:
        (found,) = re.findall(r"\d+ steps, \d+ on the host and \d+ in the container", text)
        return found

    @pytest.mark.parametrize("options", [["--net", "none"], ["-p", "127.0.0.1::80", "-m", "100m", "-t"]])
    def test_it_is_the_same_everywhere(self, mydocker, name, options):
        words = ["--name", name, *options, "busybox", "true"]
        planned = self.count(mydocker.ok("run", "--dry-run", *words))
        started = mydocker("run", "--explain", *words)
        assert self.count(started.stderr) == planned
        assert self.count(mydocker.ok("explain", name)) == planned
        assert self.count(mydocker.ok("explain", "--all", name)) == planned
        spans = json.loads(mydocker.ok("explain", "--format", "json", name))["spans"]
        last = max(span["number"] for span in spans if span["number"])
        assert planned.startswith(f"{last} steps, ")

    def test_what_repeats_is_folded_unless_all_is_asked_for(self, mydocker, name):
        words = ["--name", name, "--net", "none", "busybox", "true"]
        folded = mydocker("run", "--rm", "--explain", *words).stderr
        every = mydocker("run", "--explain=all", *words).stderr
        for line in ("make 6 devices: /dev/null, ", "make 6 links: /dev/fd, ", "set 16 limits: core, "):
            assert line in folded
            assert line not in every
        assert "make /dev/null" not in folded.partition("the slowest")[0]
        assert every.count("mknod -m ") == 6
        assert mydocker.ok("explain", "--all", name).count("mknod -m ") == 6
        assert mydocker.ok("run", "--dry-run", "--explain=all", *words[2:]).count("mknod -m ") == 6
        assert re.search(r"^ +\d+-\d+  make 6 devices", mydocker.ok("run", "--dry-run", *words[2:]), re.MULTILINE)

    def test_capabilities_have_names(self, mydocker):
        plan = mydocker.ok("run", "--dry-run", "--cap-drop", "ALL", "--cap-add", "NET_RAW", "busybox", "true")
        assert "keep the capabilities NET_RAW" in plan
        assert "setpriv --bounding-set -all,+net_raw" in plan
