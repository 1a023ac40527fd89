"""No step fails open: MYDOCKER_FAULT=N makes the N-th step of a start fail, counted through host and container."""

from __future__ import annotations

import json
import re

import pytest


@pytest.fixture(scope="module", params=["none", "networks"])
def options(machine, request):
    """A run with as many kinds of steps as one can have; its command would leave a mark on the host."""
    directory = machine.directory()
    machine.run("chmod", "777", directory)
    networks = ["--net", "none"]
    if request.param == "networks":
        networks = ["--net", "faults", "--net", "faults6", "-p", "28080:80", "-p", "127.0.0.1:28053:53/udp"]
        made = machine.run(machine.program, "network", "create", "faults")
        assert made.rc == 0 == machine.run(machine.program, "network", "create", "--ipv6", "faults6").rc, made.stderr
    yield [
        *(
            "--rm",
            "--name",
            "faulty",
            *networks,
            "--init",
            "--read-only",
            "--tmpfs",
            "/run",
            "-m",
            "100m",
            "--cpus",
            "1",
        ),
        *(
            "--pids-limit",
            "100",
            "-v",
            f"{directory}:/mark",
            "--ulimit",
            "nofile=100",
            "--device",
            "/dev/full:/dev/brim",
        ),
        *("--sysctl", "net.ipv4.ip_forward=1", "-u", "1000", "-w", "/tmp", "-h", "box", "--oom-score-adj", "10"),
        *("--security-opt", "no-new-privileges", "busybox", "touch", "/mark/ran"),
    ]
    machine.run("rm", "-rf", directory)
    if request.param == "networks":
        assert machine.run(machine.program, "network", "rm", "faults", "faults6").rc == 0


def steps(mydocker, options: list[str]) -> list[dict]:
    """The steps of that run, in the order in which they are counted."""
    plan = json.loads(mydocker.ok("run", "--dry-run", "--format", "json", *options))
    return [step for step in plan if step["number"]]


def anonymous(text: str) -> str:
    """Without the container's ID, which is new in each run."""
    return re.sub("[0-9a-f]{64}", "ID", text)


def test_each_step_that_fails_ends_the_start(machine, mydocker, options):
    """All of them in one test: the machine is compared after each, and there are dozens."""
    mark = next(word for word in options if word.endswith(":/mark")).partition(":")[0]
    plan = steps(mydocker, options)
    assert len(plan) > 30
    before = machine.snapshot()
    wrong = []
    for number, step in enumerate(plan, 1):
        result = mydocker("run", *options, env={"MYDOCKER_FAULT": str(number)})
        problems = [
            result.rc != 125 and f"exit {result.rc}",
            result.stdout and "output",
            len(result.stderr.splitlines()) != 1 and "not one line",
            anonymous(step["name"]) not in anonymous(result.stderr) and "the step is not named",
            machine.exists(f"{mark}/ran") and "the command ran",
            *machine.changes_since(before),
        ]
        if any(problems):
            wrong.append((number, step["name"], [problem for problem in problems if problem], result.stderr))
    assert wrong == []


def test_without_a_fault_that_run_works(mydocker, options):
    mydocker.ok("run", *options)


def test_one_step_more_than_there_are_is_no_fault(mydocker, options):
    count = len(steps(mydocker, options))
    assert mydocker("run", *options, env={"MYDOCKER_FAULT": str(count + 1)}).rc == 0


@pytest.mark.parametrize("number", [1, 10, 20, 30])
def test_of_a_detached_run_is_the_callers_too(mydocker, number):
    line = mydocker.fails("run", "-d", "--net", "none", "busybox", "true", env={"MYDOCKER_FAULT": str(number)})
    assert "fault" in line
    (made,) = mydocker.ok("ps", "-aq").split()
    state = mydocker.state(made)
    assert (state["Status"], state["ExitCode"]) == ("created", 128)
    assert "fault" in state["Error"]
    mydocker.ok("start", made)


def test_of_a_start_leaves_the_container_as_it_was(mydocker, name):
    mydocker.ok("create", "--name", name, "busybox", "true")
    mydocker.fails("start", name, env={"MYDOCKER_FAULT": "12"})
    assert not mydocker.state(name)["Running"]
    assert mydocker("start", "-a", name).rc == 0
