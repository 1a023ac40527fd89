"""An option of `run` that reaches the request goes on from there: to config.json, or to what `inspect` shows."""

from __future__ import annotations

import pytest

from mydocker import jsontext
from mydocker.engine.create import Draft
from mydocker.image.drivers import overlay
from mydocker.image.store import Image
from mydocker.model import docker
from mydocker.model.host import HostFacts
from mydocker.model.network import Endpoint
from mydocker.model.oci import spec
from mydocker.model.options import mounts, ports
from mydocker.model.options.request import CreateRequest, from_json

ID = "a" * 64
FACTS = HostFacts(cpus="0-3", nodes="0-1", hostname="vm", cwd="/here")

# field -> a value that is not the default
CHANGED = {
    "name": "web",
    "interactive": True,
    "tty": True,
    "auto_remove": True,
    "restart": "always",
    "cidfile": "/tmp/id",
    "image": "alpine:3",
    "entrypoint": ["/bin/sh"],
    "command": ["-c", "true"],
    "env": ["A=1"],
    "user": "1000:1000",
    "workdir": "/srv",
    "labels": {"a": "b"},
    "exposed_ports": ["80/tcp"],
    "published": [port.text for port in ports.parse_published(["8080:80"])],
    "publish_all": True,
    "stop_signal": "INT",
    "stop_timeout": 3,
    "log_options": {"max-size": "1m"},
    "anyway": {"isolation": "default"},
    "no_healthcheck": True,
    "init": True,
    "oom_score_adj": 100,
    "ulimits": [{"name": "nofile", "soft": 100, "hard": 200}],
    "hostname": "lab",
    "network": "host",
    "networks": [Endpoint("lab").to_json()],
    "dns": ["1.1.1.1"],
    "dns_search": ["lab.example"],
    "dns_options": ["ndots:2"],
    "extra_hosts": ["db:10.0.0.9"],
    "pid": "host",
    "ipc": "host",
    "uts": "host",
    "read_only": True,
    "mounts": mounts.parse(["/srv:/srv"], [], [], "/here"),
    "devices": [mounts.device("/dev/null:/dev/nothing")],
    "shm_size": 1 << 20,
    "sysctls": {"net.ipv4.ip_forward": "1"},
    "memory": 100 << 20,
    "memory_swap": 300 << 20,
    "nano_cpus": 500_000_000,
    "cpu_shares": 512,
    "cpuset_cpus": "0-1",
    "cpuset_mems": "0",
    "pids_limit": 100,
    "privileged": True,
    "cap_add": ["CAP_SYS_TIME"],
    "cap_drop": ["CAP_CHOWN"],
    "security_opt": ["label=disable"],
    "no_new_privileges": True,
    "seccomp": "unconfined",
}
# Fields that change neither -> why.
NOWHERE = {
    "words": "as typed: image, entrypoint and command come from them",
    "detach": "whether the caller waits",
    "explain": "what the caller prints",
    "dry_run": "then there is no container",
    "platform": "checked against the image, which is not changed by it",
    "log_size": "in the record, for the monitor; inspect shows log_options",
    "log_files": "likewise",
}
# What else a field needs to have an effect.
WITH = {"memory_swap": {"memory": 100 << 20}}


def documents(**fields: object) -> list[object]:
    request = CreateRequest(**{"words": ["busybox", "top"], "image": "busybox:latest", "command": ["top"], **fields})
    bundle = spec.build(request, ID, f"/c/{ID}", FACTS)
    image = Image("sha256:" + "e" * 64, "sha256:" + "d" * 64, [], {}, ["sha256:" + "f" * 64], 1, "")
    container = Draft(ID, request, image, overlay, bundle, b"", {}).container(request.name or "made_up")
    container.created = "2026-01-01T00:00:00Z"
    return [bundle, docker.container(container, request, bundle, {})]


def test_every_field_is_in_one_of_the_tables():
    assert {*CHANGED, *NOWHERE} == {*CreateRequest.__annotations__}
    assert not {*CHANGED} & {*NOWHERE}


@pytest.mark.parametrize("field", CHANGED)
def test_a_field_changes_the_bundle_or_what_inspect_shows(field):
    base = WITH.get(field, {})
    assert documents(**base, **{field: CHANGED[field]}) != documents(**base)


@pytest.mark.parametrize("field", CHANGED)
def test_a_request_with_it_is_read_back(field):
    made = CreateRequest(**{"words": ["busybox"], field: CHANGED[field]})
    assert from_json(jsontext.loads(jsontext.dumps(made.to_json()))) == made
