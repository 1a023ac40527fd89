"""Exit codes: 1 for an error about a thing, 125 for a command line that can't be meant and for `run` and `create`."""

from __future__ import annotations

import pytest

# A command, with UP for a container that runs and MADE for one that never did -> docker 20.10's exit code.
ERRORS_OF_THINGS = {
    "rm nope": 1,
    "rm a/b": 1,
    "rm UP": 1,
    "rm -f nope": 0,
    "rm -f nope none": 0,
    "rm -f /": 1,
    "stop nope": 1,
    "kill nope": 1,
    "kill MADE": 1,
    "start nope": 1,
    "start -a nope": 1,
    "restart nope": 1,
    "wait nope": 1,
    "logs nope": 1,
    "inspect nope": 1,
    "port nope": 1,
    "exec nope true": 1,
    "exec MADE true": 1,
    "exec -d UP nosuch": 1,
    "exec -w /nosuch UP true": 126,
    "exec -w /etc/passwd UP true": 126,
    "exec -u nosuch UP true": 126,
    "exec -d -w /nosuch UP true": 1,
    "start MADE": 1,
    "start -a MADE": 1,
    "restart MADE": 1,
    "commit nope x": 1,
    "export nope": 1,
    "import /nosuch.tar": 1,
    "tag nope x": 1,
    "rmi nope": 1,
    "rmi -f nope": 0,
    "rmi busybox": 1,
    "volume rm nope": 1,
    "volume rm -f nope": 0,
    "volume inspect nope": 1,
    "network rm nope": 1,
    "network inspect nope": 1,
    "network connect nope UP": 1,
    "network connect bridge nope": 1,
    "network disconnect bridge nope": 1,
    "update --restart no nope": 1,
    "rm --bogus": 125,
    "stop -t x UP": 125,
    "stop -t": 125,
    "run --name UP busybox": 125,
    "run --bogus busybox": 125,
    "run --memory x busybox": 125,
    "run --rm busybox nosuch": 127,
    "run --rm busybox /etc": 126,
    "run --rm -u nosuch busybox true": 125,
}


@pytest.fixture
def containers(mydocker, name):
    mydocker.detached("--name", f"{name}-up", "busybox", "sleep", "1000")
    mydocker.ok("create", "--net", "none", "--name", f"{name}-made", "busybox", "nosuch")
    return {"UP": f"{name}-up", "MADE": f"{name}-made"}


def _codes(run, containers):
    return {line: run(*(containers.get(word, word) for word in line.split())).rc for line in ERRORS_OF_THINGS}


def test_of_errors(mydocker, containers):
    assert _codes(mydocker, containers) == ERRORS_OF_THINGS


def test_of_errors_are_dockers(docker):
    up = docker.ok("run", "-d", "--name", "codes-up", "--net", "none", "busybox", "sleep", "1000")
    made = docker.ok("create", "--name", "codes-made", "--net", "none", "busybox", "nosuch")
    assert _codes(docker, {"UP": "codes-up", "MADE": "codes-made"}) == ERRORS_OF_THINGS
    docker.ok("rm", "-f", up, made)


def test_rm_f_reports_a_missing_container_and_continues(mydocker, name):
    """As scripts under `set -e` need it."""
    made = mydocker.ok("create", "--net", "none", "--name", name, "busybox")
    result = mydocker("rm", "-f", "nope", name)
    assert (result.rc, result.stdout) == (0, f"{name}\n")
    assert result.stderr == "mydocker: no such container: nope (see 'mydocker ps -a')\n"
    assert made not in mydocker.ok("ps", "-aq", "--no-trunc")
    mydocker.fails("rm", "-f", "")  # as docker: a variable that is not set is a mistake


def test_what_is_typed_wrong_is_125(mydocker, containers):
    for words in (["kill", "-s", "BOGUS", containers["UP"]], ["ps", "--filter", "bogus"], ["rm"], ["bogus"]):
        mydocker.fails(*words, rc=125)


def test_a_command_that_is_not_there_is_127_of_run_and_exec(mydocker, containers):
    assert "nosuch" in mydocker.fails("exec", containers["UP"], "nosuch", rc=127)
    assert "/etc" in mydocker.fails("exec", containers["UP"], "/etc", rc=126)
    assert "nosuch" in mydocker.fails("run", "--rm", "--net", "none", "busybox", "nosuch", rc=127)
