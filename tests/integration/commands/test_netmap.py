"""netmap: what is drawn is what `ip` and `iptables` show."""

from __future__ import annotations

import html
import json
import os

import pytest
from networks import address, device, network


@pytest.fixture
def wired(machine, mydocker, name):
    """A network with a container that has a port, beside one without a network: (network, container, port)."""
    with network(mydocker, f"n{name}", "--subnet", "10.93.41.0/28") as made:
        port = 20000 + os.getpid() % 10000
        mydocker.ok("run", "-d", "--name", name, "--net", made, "-p", f"127.0.0.1:{port}:80", "busybox", "sleep", "600")
        mydocker.ok("run", "-d", "--name", f"{name}-apart", "--net", "none", "busybox", "sleep", "600")
        yield made, name, port


def drawn(mydocker, *words: str) -> str:
    return mydocker.ok("netmap", *words)


def test_as_json(machine, mydocker, wired):
    made, container, port = wired
    drawing = json.loads(drawn(mydocker, "--format", "json"))
    (own,) = [each for each in drawing["networks"] if each["name"] == made]
    assert (own["bridge"]["device"], own["bridge"]["state"]) == (device(mydocker, made), "up")
    assert any("MASQUERADE" in rule for rule in own["rules"])
    (end,) = own["containers"]
    assert (end["name"], end["attached"]) == (container, True)
    assert end["address"].split("/")[0] == address(mydocker, container, made)
    assert end["link"] in machine.shell(f"ip -o link show master {own['bridge']['device']}").stdout
    assert end["ports"] == [f"127.0.0.1:{port} -> 80/tcp"]
    assert any(f"--dport {port}" in rule and "DNAT" in rule for rule in end["rules"])
    assert f"{container}-apart" in drawing["others"]["none"]


def test_as_a_tree(machine, mydocker, wired):
    made, container, port = wired
    lines = drawn(mydocker).splitlines()
    below = lines[lines.index(next(line for line in lines if line.startswith(f"network {made}  10.93.41.0/28"))) :]
    assert any(f"  {container}  " in line and "──" in line for line in below)
    assert any(line.endswith(f"127.0.0.1:{port} -> 80/tcp") for line in below)
    assert below[-1].endswith(f"{container}-apart")


def test_detached_and_missing_links_are_shown(machine, mydocker, wired):
    made, _, _ = wired
    bridge = device(mydocker, made)
    (end,) = [
        end
        for each in json.loads(drawn(mydocker, "--format", "json"))["networks"]
        for end in each["containers"]
        if each["name"] == made
    ]
    machine.shell(f"ip link set {end['link']} nomaster")
    assert "DETACHED" in drawn(mydocker)
    machine.shell(f"ip link set {end['link']} master {bridge}")
    assert "DETACHED" not in drawn(mydocker)
    machine.shell(f"ip link set {bridge} down")
    assert f"{bridge}  DOWN" in drawn(mydocker)
    machine.shell(f"ip link delete {bridge}")
    assert f"{bridge}  MISSING" in drawn(mydocker)


def test_graphviz_takes_it(machine, mydocker, wired):
    text = drawn(mydocker, "--format", "dot")
    assert text.startswith("graph mydocker {")
    if machine.run("which", "dot").rc != 0:
        pytest.skip("needs graphviz")
    result = machine.run("dot", "-Tsvg", input=text.encode())
    assert result.rc == 0, result.stderr
    assert "<svg" in result.stdout
    assert wired[1] in html.unescape(result.stdout)


def test_another_format_is_an_error(mydocker):
    assert "unknown format 'svg'" in mydocker.fails("netmap", "--format", "svg", rc=125)
