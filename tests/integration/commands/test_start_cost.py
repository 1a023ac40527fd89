"""What a start costs in things that can be counted: modules, system calls, processes. None of them may creep up.

start_cost.json has the figures; `script/make-start-cost` counts them again, after a change that is worth it.
"""

from __future__ import annotations

import json
import sys

import pytest
from machine import PATH
from start_cost import COMMANDS, PARTS, RECORD, hierarchies, modules, part_modules, syscalls

RECORDED = json.loads(RECORD.read_text())


@pytest.fixture
def env(machine):
    if not machine.local:
        pytest.skip("needs the checkout: this machine only")
    return {"PATH": PATH, **machine.env}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_module_off_the_list(mydocker, env, name, command):
    mydocker.detached("--name", name, "busybox", "sleep", "1000")
    if command == "start NAME":
        mydocker.ok("stop", "-t", "0", name)
    loaded = modules(command.replace("NAME", name).split(), env)
    assert off_the_list(loaded, command) == set()


@pytest.mark.parametrize("part", PARTS)
def test_nor_behind_it(env, part):
    assert off_the_list(part_modules(part), part) == set()


def test_a_monitor_that_waits_has_no_room_for_os(env):
    assert "os" not in part_modules("mydocker.runtime.supervise")


def off_the_list(loaded: set[str], what: str) -> set[str]:
    if RECORDED["of"]["python"] != list(sys.version_info[:2]):  # each brings others of its own
        loaded = {module for module in loaded if module.startswith("mydocker.")}
    assert {module for module in loaded if module.startswith("mydocker.")}  # it is the list of a real run
    return loaded - set(RECORDED["modules"][what])


def test_as_few_system_calls_and_processes(mydocker, env, tmp_path):
    about = RECORDED["of"]
    if (about["python"], about["hierarchies"]) != (list(sys.version_info[:2]), hierarchies()):
        pytest.skip(f"the figures are of Python {about['python']} on {about['hierarchies']} cgroup hierarchies")
    mydocker.ok("run", "--rm", "busybox", "true")  # what is done once: the image, the bridge, the filter
    counted = syscalls(["run", "--rm", "busybox", "true"], env, tmp_path)
    assert counted["processes"] <= RECORDED["processes"]
    assert counted["calls"] <= RECORDED["calls"] * 1.1
