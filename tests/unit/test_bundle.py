"""engine/bundle.py: a value of another type, anywhere in a container's files, is named before anybody relies on it."""

from __future__ import annotations

import copy
from time import time_ns

import pytest

from mydocker import jsontext, paths
from mydocker.cli import rows
from mydocker.engine import bundle
from mydocker.errors import CorruptRecord, InvalidArgument
from mydocker.kernel.cgroups import Layout
from mydocker.model import docker
from mydocker.model.container import Container, parse
from mydocker.model.host import HostFacts
from mydocker.model.oci import spec
from mydocker.model.options import request
from mydocker.runtime import plan

ID = "0123456789ab" + "c" * 52
V2 = Layout(2, {"unified": "/sys/fs/cgroup"}, ["cpu", "cpuset", "io", "memory", "pids"])
PARAMS = {
    "image_and_command": ["busybox"], "memory": "100m", "cpus": "1", "pids_limit": "100", "publish": ["8080:80"],
    "volume": ["/data", "vol:/vol:ro", "/tmp:/tt"], "tmpfs": ["/run"], "ulimit": ["nofile=100"], "init": True,
    "sysctl": ["net.ipv4.ip_forward=1"], "hostname": "box", "add_host": ["a:1.2.3.4"], "dns": ["1.1.1.1"],
    "env": ["A=b"], "label": ["k=v"], "stop_timeout": "3", "entrypoint": "top",
}  # fmt: skip


def made():
    """(request, spec) of a container with a bit of everything."""
    facts = HostFacts(cpus="0-3", hostname="vm", cwd="/here")
    asked = request.from_params(PARAMS, {}, facts, lambda path: path)
    wanted = request.complete(asked, "busybox:latest", ["-b"], {})
    sources = {mount["source"]: f"/volumes/{mount['source']}/_data" for mount in wanted.mounts}
    device = {
        "path": "/dev/fuse",
        "type": "c",
        "major": 10,
        "minor": 229,
        "fileMode": 0o600,
        "uid": 0,
        "gid": 7,
        "access": "rwm",
    }
    bundle_of = spec.build(wanted, ID, paths.container(ID), facts, sources, (device,))
    bundle_of["annotations"].update({"io.mydocker.driver": "overlay", "io.mydocker.layers": "sha256:aa"})
    calls = bundle_of["linux"]["seccomp"]["syscalls"]
    bundle_of["linux"]["seccomp"]["syscalls"] = [{**call, "names": call["names"][:1]} for call in calls[:2]]
    return wanted, bundle_of


WANTED, SPEC = made()
RECORD = Container(
    id=ID, name="web", created="2024-01-02T03:04:05.6Z", image="busybox", image_id="sha256:aa", command=["top"],
    driver="overlay", layers=["sha256:bb"], network="bridge",
    requested_ports=["8080:80/tcp"], bound_ports=["0.0.0.0:8080:80/tcp"],
    networks=[{"network": "bridge", "aliases": ["a"], "address": "10.0.0.2/16", "device": "eth0"}], restart="always",
    labels={"k": "v"}, mounts=["/data"], own_volumes=["v"], status="running", started_at="2024-01-02T03:04:05.6Z",
)  # fmt: skip


def damaged(value, path=()):
    """Each way to replace one value by one of another type, or to leave it out, as (path, value)."""
    others = (None, 7, 1.5, "x", True, [], {}, [None], {"x": None})
    for other in others:
        if type(other) is not type(value) or other in ([None], {"x": None}):
            yield path, other
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, each in pairs:
        yield from damaged(each, (*path, key))


def replaced(document, path, other):
    changed = copy.deepcopy(document)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = other
    return changed


def unforeseen(document, use):
    """The damages after which using the document fails by something that is no error of ours."""
    found = []
    for path, other in damaged(document):
        if path:
            try:
                use(replaced(document, path, other))
            except (CorruptRecord, InvalidArgument):
                pass
            except Exception as error:
                found.append((path, other, repr(error)))
    return found


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CONTAINERS", str(tmp_path))
    (tmp_path / ID).mkdir()
    return tmp_path / ID


def test_what_is_whole_is_read(directory):
    (directory / "config.json").write_text(jsontext.dumps(SPEC))
    (directory / "request.json").write_text(jsontext.dumps(WANTED.to_json()))
    assert (bundle.load_spec(RECORD), bundle.load_request(RECORD)) == (SPEC, WANTED)


def test_config_json(directory):
    def use(document):
        (directory / "config.json").write_text(jsontext.dumps(document))
        found = bundle.load_spec(RECORD)
        docker.container(RECORD, WANTED, found, {})
        try:
            plan.plan(found, str(directory), V2)
        except (ValueError, LookupError):
            pass  # lifecycle.cleanup() names it

    assert unforeseen(SPEC, use) == []


def test_request_json(directory):
    def use(document):
        (directory / "request.json").write_text(jsontext.dumps(document))
        docker.container(RECORD, bundle.load_request(RECORD), SPEC, {})

    assert unforeseen(WANTED.to_json(), use) == []


def test_record_json(directory):
    def use(document):
        found = parse(jsontext.dumps(document).encode(), "record.json", ID)
        assert all(isinstance(end.network, str) for end in found.endpoints)
        rows.container(found, time_ns())
        docker.container(found, WANTED, SPEC, {})

    use(dict(RECORD.__dict__))
    assert unforeseen(dict(RECORD.__dict__), use) == []


@pytest.mark.parametrize(
    ("field", "value"), [("name", ""), ("name", "../x"), ("restart", "on-failure:x"), ("pid", 1 << 70)]
)
def test_what_would_not_be_understood_later(field, value):
    with pytest.raises(CorruptRecord, match=f"corrupt record: record.json: .*rm -f {ID[:12]}"):
        parse(jsontext.dumps({**RECORD.__dict__, field: value}).encode(), "record.json", ID)


@pytest.mark.parametrize(
    ("value", "shape", "wrong"),
    [
        ({"a": 1}, {"a": int}, ""),
        ({"a": True}, {"a": int}, "it.a is not of type int"),
        ({}, {"a": int}, "it has no 'a'"),
        ({}, {"a?": int}, ""),
        ({"a": None}, {"a?": (int, type(None))}, ""),
        ({"a": [1, "x"]}, {"a": [int]}, "it.a[1] is not of type int"),
        ({"a": {"b": 1}}, {"a": {"": str}}, "it.a.b is not of type str"),
        ({"a": 1, "more": []}, {"a": int}, ""),
        ([], {"a?": int}, "it is not an object"),
        ({"a": {}}, {"a": [str]}, "it.a is not a list"),
    ],
)
def test_misfit(value, shape, wrong):
    assert bundle.misfit(value, shape) == wrong
