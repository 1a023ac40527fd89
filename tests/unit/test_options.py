"""An option of run is not forgotten on its way: from the command line to the request, and on to the container."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mydocker.cli import dockerwords
from mydocker.engine import bundle
from mydocker.generated.fasttable import ALIASES, COMMANDS
from mydocker.model import docker
from mydocker.model.container import Container
from mydocker.model.host import HostFacts
from mydocker.model.oci import spec
from mydocker.model.options import request

ID = "0123456789ab" + "c" * 52
FACTS = HostFacts(cpus="0-1", nodes="0", hostname="vm", cwd="/here")
# What the command line itself acts on, or what asks for what happens anyway and has no trace.
CLIENT_OPTIONS = {"sig_proxy", "format", "disable_content_trust"}
# Fields with another way: into the record, whether there is a container at all, or how it is shown.
RECORDED = {"name", "restart", "log_size", "log_files", "networks", "published"}
CLIENT_FIELDS = {"words", "explain", "dry_run", "platform"}


class Params(dict):
    """What the command line hands over, with the keys that somebody asked for."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.read: set[str] = set()

    def get(self, key, default=None):
        self.read.add(key)
        return super().get(key, default)


class Watched(request.CreateRequest):
    """A request, with the fields that somebody read."""

    read: set[str] = set()

    def __getattribute__(self, name: str):
        Watched.read.add(name)
        return super().__getattribute__(name)


def params() -> Params:
    _, _, absent, _ = COMMANDS["run",]
    return Params({**absent, "image_and_command": ["busybox"]})


def test_the_request_reads_every_option():
    given = params()
    request.from_params(given, {}, FACTS)
    assert set(given) - given.read - {"image_and_command"} == CLIENT_OPTIONS


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """The fields of a request that the bundle or inspect shows."""
    asked = request.from_params(params(), {}, FACTS)
    wanted = request.complete(asked, "busybox:latest", ["top"], {})
    wanted.__class__ = Watched
    Watched.read = set()
    made = spec.build(wanted, ID, "/c", FACTS)
    record = Container(
        ID, "web", "2026-11-23T18:47:57.861033571Z", "busybox:latest", "sha256:" + "e" * 64, ["top"], "copy", []
    )
    docker.container(record, wanted, made, {})
    return Watched.read


@pytest.mark.parametrize("field", request.CreateRequest._fields)
def test_every_field_reaches_the_bundle_inspect_or_the_record(seen, field):
    assert field in seen | RECORDED | CLIENT_FIELDS


def test_what_is_listed_here_needs_it(seen):
    assert not seen & (RECORDED | CLIENT_FIELDS)
    assert set(request.CreateRequest._fields) >= RECORDED | CLIENT_FIELDS


def test_the_bundles_check_knows_every_key():
    source = Path(spec.__file__).read_text()
    checked = {key.rstrip("?") for key in bundle._SPEC}
    assert set(re.findall(r"spec\[\"(\w+)\"\] = ", source)) <= checked, "see engine/bundle.py"


def test_what_mydocker_has_is_not_what_only_docker_has():
    assert not set(dockerwords.COMMANDS) & {*COMMANDS, *ALIASES}
    for path, names in dockerwords.OPTIONS.items():
        assert not set(names) & set(COMMANDS[path][3] if path in COMMANDS else ()), path
