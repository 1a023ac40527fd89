"""host and none, which docker has among its networks: listed and inspected, never made, joined or removed."""

from __future__ import annotations

import json

import pytest

# `network ls` of a docker without networks of users, and the same of host, none and bridge by each of its filters.
BUILTIN = {
    (): "bridge host none",
    ("type=builtin",): "bridge host none",
    ("type=custom",): "",
    ("driver=host",): "host",
    ("driver=null",): "none",
    ("name=o",): "host none",
    ("scope=local",): "bridge host none",
    ("scope=swarm",): "",
    ("dangling=true",): "",
    ("dangling=0",): "bridge host none",
    ("label=a",): "",
}
REFUSED = [
    ["network", "rm", "host"],
    ["network", "rm", "none"],
    ["network", "create", "host"],
    ["network", "create", "none"],
    ["network", "connect", "host", "NAME"],
    ["network", "connect", "none", "NAME"],
    ["network", "disconnect", "host", "NAME"],
    ["network", "disconnect", "-f", "host", "NAME-host"],
    ["network", "connect", "bridge", "NAME-host"],
    ["network", "connect", "bridge", "NAME-none"],
]


class TestBuiltin:
    """host and none, which docker has among its networks."""

    @pytest.fixture(params=["docker", "mydocker"])
    def typed(self, request, mydocker, name):
        chosen = request.getfixturevalue(request.param)
        chosen.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
        for mode in ("host", "none"):
            chosen.ok("run", "-d", "--net", mode, "--name", f"{name}-{mode}", "busybox", "sleep", "1000")
        yield chosen
        chosen.ok("rm", "-f", name, f"{name}-host", f"{name}-none")

    def test_listed_and_inspected(self, typed, name):
        for filters, expected in BUILTIN.items():
            options = [word for each in filters for word in ("-f", each)]
            assert typed.ok("network", "ls", "--format", "{{.Name}}", *options).split() == expected.split(), filters
        rows = [row.split()[1:] for row in typed.ok("network", "ls").splitlines()]
        assert rows[0] == ["ID", "NAME", "DRIVER", "SCOPE"]
        assert rows[2:] == [["host", "host", "local"], ["none", "null", "local"]]
        for mode, driver in (("host", "host"), ("none", "null")):
            (shown,) = json.loads(typed.ok("network", "inspect", mode))
            assert (shown["Name"], shown["Driver"], shown["Scope"]) == (mode, driver, "local")
            assert shown["IPAM"] == {"Driver": "default", "Options": None, "Config": []}
            assert (shown["Options"], shown["Labels"], shown["Internal"]) == ({}, {}, False)
            (end,) = shown["Containers"].values()
            assert (end["Name"], end["IPv4Address"], end["MacAddress"]) == (f"{name}-{mode}", "", "")
            (member,) = json.loads(typed.ok("inspect", f"{name}-{mode}"))
            assert member["NetworkSettings"]["Networks"][mode]["NetworkID"] == shown["Id"]
            for reference in (mode, shown["Id"], shown["Id"][:12]):
                assert typed.ok("ps", "-f", f"network={reference}", "--format", "{{.Names}}") == f"{name}-{mode}"
                assert typed.ok("network", "inspect", "-f", "{{.Name}}", reference) == mode

    def test_never_made_or_removed_or_joined(self, typed, name):
        for words in REFUSED:
            result = typed(*[word.replace("NAME", name) for word in words])
            assert result.rc != 0, words
            assert "network" in result.stderr
