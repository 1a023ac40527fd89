"""Many at once: one wins a name, and nobody is in another's way."""

from __future__ import annotations

import pytest


def at_once(mydocker, count: int, *args: str) -> list:
    """Type the same command `count` times at the same moment; the results, each as (exit code, stdout, stderr)."""
    running = [mydocker.start(*args) for _ in range(count)]
    outputs = [process.communicate(timeout=120) for process in running]
    return [(process.returncode, out.decode(), err.decode()) for process, (out, err) in zip(running, outputs)]


def test_50_runs_under_one_name_one_wins(mydocker, name):
    results = at_once(mydocker, 50, "run", "--net", "none", "--name", name, "busybox", "echo", "won")
    assert sorted(rc for rc, _, _ in results) == [0] + [125] * 49
    assert [out for rc, out, _ in results if rc == 0] == ["won\n"]
    assert all(name in err and len(err.splitlines()) == 1 for rc, _, err in results if rc)
    assert len(mydocker.ok("ps", "-aq").split()) == 1


def test_100_runs_all_work_and_leave_nothing(mydocker):
    results = at_once(mydocker, 100, "run", "--rm", "--net", "none", "busybox", "echo", "worked")
    assert [result for result in results if result != (0, "worked\n", "")] == []
    assert mydocker.ok("ps", "-aq") == ""


def test_the_first_image_is_made_once(machine, mydocker, directory):
    """Twenty runs on a store that is not there yet."""
    env = {"MYDOCKER_ROOT": f"{directory}/root", "MYDOCKER_RUN": f"{directory}/run"}
    line = f"{machine.program} run --rm --net none busybox echo worked"
    result = machine.shell(f"for i in $(seq 20); do {line} & done; wait", env=env)
    assert (result.lines, result.stderr) == (["worked"] * 20, "")
    assert len(machine.run("ls", f"{directory}/root/layers").lines) == 1


@pytest.mark.parametrize("command", [["stop", "-t", "0"], ["rm", "-f"], ["kill"], ["restart", "-t", "0"]], ids=" ".join)
def test_ten_at_one_container(mydocker, name, command):
    """The second command has nothing to do, or fails with one line; the container is whole or gone."""
    mydocker.detached("--name", name, "busybox", "sleep", "1000")
    results = at_once(mydocker, 10, *command, name)
    assert any(rc == 0 for rc, _, _ in results)
    assert all(rc in (0, 1) and len(err.splitlines()) <= 1 and "Traceback" not in err for rc, _, err in results)
    assert mydocker("ps", "-a").rc == 0


def test_twenty_execs_in_one_container(mydocker, name):
    mydocker.detached("--name", name, "busybox", "sleep", "1000")
    assert at_once(mydocker, 20, "exec", name, "echo", "in") == [(0, "in\n", "")] * 20


def test_ps_while_containers_come_and_go(mydocker):
    coming = [mydocker.start("run", "--rm", "--net", "none", "busybox", "true") for _ in range(20)]
    while any(process.poll() is None for process in coming):
        mydocker.ok("ps", "-a")
    for process in coming:
        process.communicate()
