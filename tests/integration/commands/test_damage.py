"""A damaged file of one container never takes the others from anybody: it is named, and `rm -f` removes it."""

from __future__ import annotations

import json
import random

import pytest

INSTEAD = {
    "a FIFO": "mkfifo {0}",
    "a directory": "mkdir {0}",
    "a device": "mknod {0} c 1 5",
    "a socket": "python3 -c 'import os, sys; os.mknod(sys.argv[1], 0o140600)' {0}",
    "a loop": "ln -s {0} {0}",
    "nothing": "true",
    "an empty file": ": >{0}",
}
COMMANDS = ("inspect {0}", "logs {0}", "start {0}", "exec {0} true", "explain {0}", "wait {0}", "port {0}")


class Two:
    """Two containers that have run; the first is damaged."""

    def __init__(self, machine, mydocker, name: str) -> None:
        self.machine, self.mydocker, self.name, self.other = machine, mydocker, name, f"{name}-other"
        self.directory = ""

    def make(self) -> None:
        for each in (self.other, self.name):
            if self.mydocker("inspect", each).rc:
                self.mydocker.ok("run", "-d", "--net", "none", "--name", each, "busybox", "true")
                self.mydocker.ok("wait", each)
        self.directory = f"{self.machine.store}/lib/containers/{self.mydocker.inspect(self.name, 'Id')}"

    def tried(self, *commands: str) -> list[str]:
        """Check the error of these commands, that the other container is listed, and that this one can be removed."""
        wrong = []
        for command in commands:
            said = self.mydocker(*command.format(self.name).split(), timeout=20)
            # An image's command may write what it likes; we say one line.
            if "internal error" in said.stderr or "Traceback" in said.stderr or len(said.stderr.splitlines()) > 1:
                wrong.append(f"{command}: {said.stderr}")
        listed = self.mydocker("ps", "-a", "--format", "{{.Names}}", timeout=20)
        if self.other not in listed.stdout.split():
            wrong.append(f"ps does not list the other: {listed.stderr}")
        if self.name not in listed.stdout.split() and self.directory not in listed.stderr:
            wrong.append(f"ps neither lists nor names it: {listed.stderr}")
        if (removed := self.mydocker("rm", "-f", self.name, timeout=20)).rc:
            wrong.append(f"it can't be removed: {removed.stderr}")
        if self.machine.exists(self.directory):
            wrong.append("it is still there")
        return wrong


@pytest.fixture
def two(machine, mydocker, name):
    made = Two(machine, mydocker, name)
    made.make()
    yield made
    mydocker.remove_all()


@pytest.mark.parametrize("file", ["record.json", "config.json", "request.json", "container.log"])
def test_something_else_in_the_place_of_a_file_is_named_and_never_waited_for(machine, two, file):
    wrong = {}
    kinds = INSTEAD if file == "record.json" else ("a FIFO", "a directory", "nothing")
    for kind, script in ((kind, INSTEAD[kind]) for kind in kinds):
        two.make()
        done = machine.shell(f"rm {two.directory}/{file}; {script.format(f'{two.directory}/{file}')}")
        assert done.rc == 0, done.stderr
        wrong[kind] = two.tried(*COMMANDS if kind == "a FIFO" else COMMANDS[:2])
    assert {kind: each for kind, each in wrong.items() if each} == {}


def damaged(value, path=()):
    """The ways to replace one value in a document by one of another type, as (path, new value)."""
    others = (None, 7, "x", True, [], {}, [None], {"x": None})
    yield from ((path, other) for other in others if type(other) is not type(value) or other in ([None], {"x": None}))
    rows = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, each in rows:
        yield from damaged(each, (*path, key))


def replaced(document, path, other):
    copy = json.loads(json.dumps(document))
    if not path:
        return other
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = other
    return copy


@pytest.mark.parametrize("file", ["record.json", "config.json", "request.json"])
def test_a_value_of_another_type_is_named(machine, two, file):
    """Some of the hundreds of ways; tests/unit/test_bundle.py tries all."""
    document = json.loads(machine.read(f"{two.directory}/{file}"))
    wrong = {}
    for path, other in random.Random(file).sample(list(damaged(document)), 5):
        two.make()
        text = json.dumps(replaced(json.loads(machine.read(f"{two.directory}/{file}")), path, other))
        machine.run("sh", "-c", f"cat >{two.directory}/{file}", input=text.encode())
        wrong[path, str(other)] = two.tried("start {0}")
    assert {key: each for key, each in wrong.items() if each} == {}


@pytest.mark.parametrize("field", ["created", "started_at", "finished_at"])
def test_a_bit_in_a_time(machine, mydocker, two, field):
    """`ps -a` failed for all, and named none."""
    record = f"{two.directory}/record.json"
    machine.run("sed", "-i", f's/"{field}": "2/"{field}": "r/', record)
    listed = mydocker("ps", "-a", "--format", "{{.Names}}")
    assert two.other in listed.stdout.split()
    assert f"corrupt record: {record}: " in listed.stderr or two.name in listed.stdout.split()
    assert two.tried("inspect {0}", "logs {0}") == []


@pytest.mark.parametrize("kind", ["a FIFO", "a directory", "a device", "a socket"])
def test_in_the_place_of_config_yaml(machine, mydocker, directory, kind):
    machine.shell(INSTEAD[kind].format(f"{directory}/config.yaml"))
    env = {"MYDOCKER_CONFIG": f"{directory}/config.yaml"}
    line = mydocker.fails("run", "--rm", "--net", "none", "busybox", "true", env=env, timeout=20)
    assert f"can't read {directory}/config.yaml: " in line


def test_a_config_yaml_that_is_nested_without_end(machine, mydocker, directory):
    machine.run("sh", "-c", f"cat >{directory}/config.yaml", input=b"[" * 20000)
    line = mydocker.fails("info", rc=125, env={"MYDOCKER_CONFIG": f"{directory}/config.yaml"})
    assert f"can't read {directory}/config.yaml: " in line


def test_others_ports_and_commits_are_not_held_up(machine, mydocker, two):
    """Commands that look at all containers find the right one beside the damaged one."""
    holder = f"{two.name}-holder"
    mydocker.ok("run", "-d", "--name", holder, "-p", "28088:80", "busybox", "sleep", "1000")
    machine.run("truncate", "-s", "5", f"{two.directory}/record.json")
    line = mydocker.fails("run", "--rm", "-p", "28088:80", "busybox", "true")
    assert holder in line
    assert "no such container: nosuch" in mydocker.fails("commit", "nosuch", f"{two.name}-image")


def test_a_container_whose_record_has_a_wrong_pid_can_be_ended(machine, mydocker, name):
    mydocker.ok("run", "-d", "--net", "none", "--stop-timeout", "1", "--name", name, "busybox", "sleep", "1000")
    record = f"{machine.store}/lib/containers/{mydocker.inspect(name, 'Id')}/record.json"
    machine.run("sed", "-i", r's/"pid": *[0-9]*/"pid":1/', record)
    mydocker.ok("stop", name, timeout=25)
    state = mydocker.state(name)
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    mydocker.ok("rm", name)


def test_a_removal_kills_nobody_in_a_cgroup_of_others(machine, mydocker, two):
    """By a damaged path it did, and the hierarchy's root is no more than that."""
    mydocker.ok("run", "-d", "--net", "none", "--name", f"{two.name}-up", "busybox", "sleep", "1000")
    up = mydocker.inspect(f"{two.name}-up", "Id")
    own = f"{two.directory}/config.json"
    machine.run("sed", "-i", f's|/{mydocker.inspect(two.name, "Id")}"|/{up}"|', own)
    assert "linux.cgroupsPath is '/" in mydocker.fails("rm", two.name)
    assert two.tried("start {0}") == []
    assert mydocker.inspect(up, "State", "Status") == "running"
    mydocker.ok("rm", "-f", up)


@pytest.mark.parametrize(
    ("field", "other"), [("bound_ports", ["zz"]), ("requested_ports", ["zz"]), ("stop_signal", 999)]
)
def test_what_has_the_right_type_and_makes_no_sense(machine, mydocker, two, field, other):
    record = f"{two.directory}/record.json"
    text = json.dumps({**json.loads(machine.read(record)), field: other})
    machine.run("sh", "-c", f"cat >{record}", input=text.encode())
    result = mydocker("inspect", two.name)
    assert (result.rc, f"corrupt record: {record}: " in result.stderr) == (1, True), result
    assert two.tried("ps -a") == []


def test_a_port_that_is_none_takes_no_command_from_others(machine, mydocker, name):
    mydocker.ok("run", "-d", "-p", "127.0.0.1:28089:80", "--name", name, "busybox", "sleep", "1000")
    directory = f"{machine.store}/lib/containers/{mydocker.inspect(name, 'Id')}"
    machine.run("sed", "-i", 's/"bound_ports": *\\["[^"]*"/"bound_ports":["zz"/', f"{directory}/record.json")
    wrong = f"mydocker: corrupt record: {directory}/record.json: invalid port 'zz'"
    for command in ("ps --filter publish=80", "ps --filter expose=80", f"port {name}", f"inspect {name}"):
        assert mydocker(*command.split()).stderr.startswith(wrong)
    assert "28089" in mydocker.fails("run", "--rm", "-p", "127.0.0.1:28089:80", "busybox", "true")
    for command in ("network reload", "network check", "netmap", "system restore"):
        result = mydocker(*command.split())
        assert result.rc == 0 or directory in result.stderr, result
    mydocker.ok("rm", "-f", name)
    assert mydocker.ok("run", "--rm", "-p", "127.0.0.1:28089:80", "busybox", "echo", "free") == "free"
