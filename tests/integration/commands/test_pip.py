"""`pip install .`: a wheel and an sdist with the program and nothing else, and a mydocker that runs containers."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from machine import CHECKOUT, PATH

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A directory with an sdist of the tracked files, and the wheel that is made of it."""
    directory = tmp_path_factory.mktemp("pip")
    source = directory / "source"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True).stdout
    source.mkdir()
    copy = ["tar", "--null", "--files-from=-", "--ignore-failed-read", "-cf", str(directory / "source.tar")]
    subprocess.run(copy, cwd=CHECKOUT, input=files, check=True, stderr=subprocess.DEVNULL)
    with tarfile.open(directory / "source.tar") as tar:
        tar.extractall(source)
    script = "from setuptools import build_meta as backend; import sys; print(backend.build_sdist(sys.argv[1]))"
    tools = directory / "tools"
    pip(sys.executable, "install", "--target", str(tools), "setuptools>=77")
    done = [sys.executable, "-c", script, str(directory)]
    subprocess.run(done, cwd=source, env={"PATH": PATH, "PYTHONPATH": str(tools)}, check=True, capture_output=True)
    (sdist,) = directory.glob("mydocker-*.tar.gz")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(directory), str(sdist))
    return directory


def pip(python: str, *words: str) -> None:
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_wheel_has_the_program_and_nothing_else(built):
    (wheel,) = built.glob("mydocker-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    program = {str(path.relative_to(CHECKOUT / "src")) for path in (CHECKOUT / "src/mydocker").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == program
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_sdist_has_what_it_takes_and_nothing_that_was_made(built):
    (sdist,) = built.glob("mydocker-*.tar.gz")
    with tarfile.open(sdist) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    assert {"pyproject.toml", "README.md", "LICENSE", "src/mydocker/__main__.py"} <= set(names)
    assert [name for name in names if name.endswith((".pyc", ".all")) or "__pycache__" in name] == []


def test_what_pip_has_installed_runs_containers(built, machine, tmp_path):
    (wheel,) = built.glob("mydocker-*.whl")
    # typer, pyroute2 and yaml are the distribution's, as in script/test: no others are fetched.
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", str(tmp_path)], check=True)
    pip(str(tmp_path / "bin/python"), "install", "--no-deps", str(wheel))
    mydocker = str(tmp_path / "bin/mydocker")

    def typed(*words: str) -> str:
        done = subprocess.run([mydocker, *words], env={"PATH": PATH, **machine.env}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for _ in range(2):  # the second time by what the first has kept of its bytecode
        assert typed("run", "--rm", "--net", "none", "busybox", "echo", "hi") == "hi\n"
    assert typed("--help").startswith("Usage: mydocker")
    container = typed("run", "-d", "--net", "none", "busybox", "sleep", "1000").strip()
    try:
        assert typed("exec", container, "echo", "inside") == "inside\n"
    finally:
        typed("rm", "-f", container)
