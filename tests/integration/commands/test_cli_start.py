"""How the program starts, whatever its caller's environment, directory, descriptors and language are."""

from __future__ import annotations

import shlex

import pytest

MODULES = ["os", "sys", "site", "sitecustomize", "usercustomize", "typer", "click", "encodings", "mydocker", "__main__"]


@pytest.fixture
def shell(machine):
    """Run a shell script in which $mydocker is the program."""

    def run(script: str):
        return machine.shell(f"mydocker={shlex.quote(machine.program)}\n{script}")

    return run


@pytest.mark.parametrize("arguments", ["--help", "run --help", "--version", "run --bogus"])
def test_no_code_of_the_callers_runs(machine, shell, directory, arguments):
    for module in MODULES:
        machine.shell(
            f'mkdir {directory}/{module}; echo \'open("{directory}/ran", "w")\' >{directory}/{module}/__init__.py'
        )
    hostile = dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX"), directory)
    hostile |= {"PYTHONSTARTUP": f"{directory}/os/__init__.py", "PYTHONINSPECT": "1", "PYTHONDONTWRITEBYTECODE": ""}
    words = " ".join(f"{name}={value}" for name, value in hostile.items())
    plain, attacked = shell(f"$mydocker {arguments}"), shell(f"cd {directory}; {words} $mydocker {arguments}")
    assert (attacked.rc, attacked.stdout, attacked.stderr) == (plain.rc, plain.stdout, plain.stderr)
    assert not machine.exists(f"{directory}/ran")
    assert machine.shell(f"ls {directory}").lines == sorted(MODULES)


HIDE = """
cd "$(/usr/bin/python3 -c 'import os, yaml; print(os.path.dirname(os.path.dirname(yaml.__file__)))')"
mount --bind . /mnt
mount -t tmpfs tmpfs "$PWD"
for file in /mnt/*; do [ "${file##*/}" = "$0" ] || ln -s "$file" "$PWD"; done
exec "$@"
"""


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("pyroute2", "network create NAME"),
        ("pyroute2", "network check"),
        ("yaml", "run --rm --net none busybox true"),
        ("typer", "--help"),
        ("click", "run --help"),
    ],
)
def test_a_module_that_is_missing_is_named(machine, mydocker, name, directory, module, command):
    """Each that is not of Python itself, in a mount namespace without it."""
    machine.shell(f"echo 'log_files: 4' >{directory}/config.yaml")
    words = [word.replace("NAME", name) for word in command.split()]
    apart = ["unshare", "--mount", "sh", "-euc", HIDE, module, machine.program, *words]
    result = machine.run(*apart, env={"MYDOCKER_CONFIG": f"{directory}/config.yaml"} if module == "yaml" else None)
    line = f"mydocker: the Python module '{module}' is missing (apt install python3-{module})\n"
    assert (result.rc, result.stdout, result.stderr) == (125, "", line)
    assert name not in mydocker.ok("network", "ls")


def test_works_through_a_link(machine, shell, directory):
    shell(f"ln -s $mydocker {directory}/link")
    assert machine.run(f"{directory}/link", "--version").stdout.startswith("mydocker version ")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_works_with_closed_streams(shell, closed):
    assert shell(f"$mydocker --version {closed}").rc == 0
    refused = shell(f"$mydocker bogus {closed}")
    assert (refused.rc, refused.stdout) == (125, "")


def test_a_container_starts_with_closed_streams(mydocker, shell, name):
    """No file that mydocker opens takes the place of a closed stream and gets the container's output."""
    assert shell(f"$mydocker run --name {name} --net none busybox sh -c 'echo out; echo err >&2' <&- >&- 2>&-").rc == 0
    logs = mydocker("logs", name)
    assert (logs.stdout, logs.stderr) == ("out\n", "err\n")
    mydocker.ok("rm", name)


def test_a_full_disk_under_stdout_is_an_error(shell):
    full = shell("$mydocker --help >/dev/full")
    assert (full.rc, full.stderr) == (1, "mydocker: stdout: no space left on device (free some space there)\n")


def test_a_reader_that_is_gone_is_none(shell):
    assert shell("{ sleep 0.3; $mydocker --help; echo $? >&2; } | true").stderr == "141\n"


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "de_DE.ISO-8859-1"])
def test_names_are_utf8_in_every_locale(shell, locale):
    said = shell(f"LC_ALL={locale} $mydocker 'ümläut-名'").stderr
    assert said == "mydocker: unknown command: 'ümläut-名' (see 'mydocker --help')\n"
