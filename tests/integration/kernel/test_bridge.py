"""kernel/bridge.py and the links' ops against the kernel, each step also typed in shell."""

from __future__ import annotations

import os
import time

import pytest
from netspace import NETWORK, ip, own_namespace, run, sleeper

from mydocker.errors import Conflict
from mydocker.kernel import bridge, process
from mydocker.network.ops.bridges import MakeBridge, RemoveBridge
from mydocker.network.ops.veths import ConfigureLink, DetachVeth, MakeVeth, RemoveVeth
from mydocker.ops.base import Context
from mydocker.ops.namespaces import ShowNamespace

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make network namespaces")]

MAC, PEER_MAC = "02:42:0a:09:01:01", "02:42:0a:09:01:02"
TAG = "mydocker: network web 0123456789ab"
GIVEN = ("web.br", ["10.9.1.1/24", "fd00:9::1/64"], 1400, MAC, TAG)
WHOLE = bridge.Bridge("web.br", 0, "bridge", TAG, True, MAC, 1400, ["10.9.1.1/24", "fd00:9::1/64"], [])


@pytest.fixture(autouse=True)
def nothing_left():
    """In place of the fixture of that name, which is about containers: these tests start none."""


@pytest.fixture(autouse=True)
def _apart():
    with own_namespace():
        yield


@pytest.fixture
def pid():
    with sleeper() as started:
        yield started


def described(device: str = "web.br") -> bridge.Bridge | None:
    """The bridge as it is, but with the index, which the kernel chooses, as 0."""
    there = bridge.describe(device)
    if there:
        there.index = 0
    return there


def setting(path: str) -> str:
    with open(f"/proc/sys/net/{path}") as file:
        return file.read().strip()


class TestBridge:
    def test_it_is_made_and_deleted(self):
        assert described() is None
        bridge.make(*GIVEN)
        assert described() == WHOLE
        (shown,) = ip("address", "show", "web.br")
        assert shown["ifalias"] == TAG
        ours = [each for each in shown["addr_info"] if each["scope"] == "global"]
        assert [each.get("broadcast") for each in ours] == ["10.9.1.255", None]
        assert ours[1]["nodad"]
        assert shown["linkinfo"]["info_data"]["stp_state"] == 0
        assert setting("ipv4/conf/web.br/route_localnet") == "1"
        assert setting("ipv6/conf/web.br/accept_ra") == "0"
        assert setting("ipv6/conf/web.br/disable_ipv6") == "0"
        assert bridge.delete("web.br", TAG)
        assert described() is None
        assert not bridge.delete("web.br", TAG)

    def test_without_ipv6_the_host_has_no_address_of_it_there(self, pid):
        bridge.make("web.br", ["10.9.1.1/24"], 1500, MAC, TAG)
        MakeVeth("veth7", "web.br", 1500, "eth0", PEER_MAC, pid).do(Context())
        assert setting("ipv6/conf/web.br/disable_ipv6") == "1"
        (shown,) = ip("address", "show", "web.br")
        assert [each["local"] for each in shown["addr_info"]] == ["10.9.1.1"]

    @pytest.mark.parametrize(
        "damage",
        [
            "ip link set web.br down",
            "ip address flush dev web.br",
            "ip address del 10.9.1.1/24 dev web.br",
            "ip link set web.br mtu 1500",
            "ip link set web.br address 02:00:00:00:00:07",
            "ip link set web.br down; ip address flush dev web.br; ip link set web.br alias ''",
            "true",
        ],
    )
    def test_an_existing_bridge_is_completed(self, damage):
        bridge.make(*GIVEN)
        index = bridge.describe("web.br").index
        run(damage)
        bridge.make(*GIVEN)
        assert described() == WHOLE
        assert bridge.describe("web.br").index == index

    @pytest.mark.parametrize(
        "foreign",
        [
            "ip link add web.br type bridge",
            f"ip link add web.br address {MAC} type bridge; ip link set web.br alias 'mydocker: network web fedcba98'",
            f"ip link add web.br address {MAC} type veth peer name other; ip link set web.br alias '{TAG}'",
        ],
    )
    def test_somebody_else_s_is_left_alone(self, foreign):
        run(foreign)
        before = ip("link")
        with pytest.raises(Conflict, match=r"link web\.br already exists on this host"):
            bridge.make(*GIVEN)
        assert not bridge.delete("web.br", TAG, MAC)
        assert ip("link") == before

    def test_errors_name_the_device(self):
        with pytest.raises(OSError, match="Invalid argument: 'a/b'"):
            bridge.make("a/b", *GIVEN[1:])

    def test_the_mtu_does_not_follow_the_ports(self, pid):
        bridge.make("web.br", ["10.9.1.1/24"], 1400, MAC, TAG)
        MakeVeth("veth7", "web.br", 1300, "eth0", PEER_MAC, pid).do(Context())
        assert described().mtu == 1400
        RemoveVeth("veth7").do(Context())
        assert described().mtu == 1400


class TestOps:
    @pytest.mark.parametrize("typed", [False, True])
    def test_from_nothing_to_a_container_s_network_and_back(self, pid, typed):
        def do(op, pid=0):
            if typed:
                run(f"nsenter --net --target {pid} sh -ec '{op.shell()}'" if pid else op.shell())
            elif pid:
                inside(pid, op)
            else:
                op.do(Context())

        do(MakeBridge(*GIVEN))
        assert described() == WHOLE
        do(MakeVeth("veth7", "web.br", 1400, "eth0", PEER_MAC, pid))
        assert described().ports == ["veth7"]
        (veth,) = ip("link", "show", "veth7")
        assert (veth["mtu"], "UP" in veth["flags"]) == (1400, True)
        do(ConfigureLink("eth0", "10.9.1.2/24", "10.9.1.1", "fd00:9::2/64", "fd00:9::1", 3), pid)
        (eth0,) = ip("address", "show", "eth0", pid=pid)
        assert (eth0["address"], eth0["mtu"]) == (PEER_MAC, 1400)
        addresses = [(each["local"], each.get("broadcast")) for each in eth0["addr_info"] if each["scope"] == "global"]
        assert addresses == [("10.9.1.2", "10.9.1.255"), ("fd00:9::2", None)]
        (route,) = ip("route", "show", "default", pid=pid)
        assert (route["gateway"], route["metric"]) == ("10.9.1.1", 3)
        (route6,) = ip("-6", "route", "show", "default", pid=pid)
        assert (route6["gateway"], route6["metric"]) == ("fd00:9::1", 1027)
        for address in ("10.9.1.1", "fd00:9::1"):
            run(f"nsenter --net --target {pid} busybox ping -c 1 -W 2 {address} > /dev/null")
        do(RemoveVeth("veth7"))
        assert {each["ifname"] for each in ip("link", pid=pid)} == {"lo"}
        do(RemoveBridge("web.br", TAG))
        assert described() is None

    def test_a_half_made_bridge_is_removed(self):
        run("ip link add web.br type veth peer name other")
        op = MakeBridge(*GIVEN)
        with pytest.raises(Conflict):
            op.do(Context())
        op.undo()
        assert {each["ifname"] for each in ip("link")} == {"lo", "web.br", "other"}
        op = MakeBridge("half", ["10.9.1.1/24", "10.9.1.1/24"], 1400, MAC, TAG)
        with pytest.raises(OSError, match="File exists: 'half'"):
            op.do(Context())
        assert described("half").alias == ""
        op.undo()
        assert described("half") is None

    def test_its_end_detaches_it_at_once_and_the_link_goes_with_its_namespace(self):
        bridge.make(*GIVEN)
        with sleeper() as pid:
            MakeVeth("veth7", "web.br", 1400, "eth0", PEER_MAC, pid).do(Context())
            DetachVeth("veth7").do(Context())
            assert described().ports == []
            (veth,) = ip("link", "show", "veth7")
            assert "UP" not in veth["flags"]
        end = time.monotonic() + 10
        while any(each["ifname"] == "veth7" for each in ip("link")):
            assert time.monotonic() < end, "veth7 is there after ten seconds"
            time.sleep(0.01)
        DetachVeth("veth7").do(Context())

    def test_a_restart_replaces_the_pair_of_the_last_run(self, pid):
        bridge.make(*GIVEN)
        for _ in range(3):
            with sleeper() as before:
                MakeVeth("veth7", "web.br", 1400, "eth0", PEER_MAC, before).do(Context())
            MakeVeth("veth7", "web.br", 1400, "eth0", PEER_MAC, pid).do(Context())
            assert described().ports == ["veth7"]
            RemoveVeth("veth7").do(Context())
        RemoveVeth("veth7").do(Context())

    def test_ip_netns_enters_a_container_s_network(self, pid, monkeypatch):
        name = f"mydocker-test-{os.getpid()}"
        was_there = os.path.isdir("/run/netns")
        op = ShowNamespace(name, pid)
        op.do(Context())
        try:
            run(f"ip netns exec {name} ip link set lo up")
            run(f"ip netns list | grep -q {name}")
        finally:
            op.undo()
        assert not os.path.lexists(f"/run/netns/{name}")
        if not was_there:
            os.rmdir("/run/netns")
        (lo,) = ip("link", "show", "lo", pid=pid)
        assert "UP" in lo["flags"]


def inside(pid: int, op) -> None:
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        process.setns(there, NETWORK)
        op.do(Context())
    finally:
        process.setns(here, NETWORK)
        os.close(here)
        os.close(there)


def test_host_subnets(pid):
    bridge.make("web.br", ["10.9.1.1/24", "fd00:9::1/64"], 1500, MAC, TAG)
    MakeVeth("veth7", "web.br", 1500, "eth0", PEER_MAC, pid).do(Context())
    run(
        """
        ip link set lo up
        ip address add 10.5.5.1 peer 10.5.6.2/30 dev web.br
        ip address add 10.4.0.1/32 dev web.br
        ip route add 10.7.0.0/16 via 10.9.1.9
        ip route add 10.8.0.0/16 dev web.br table 77
        ip route add blackhole 10.6.0.0/16
        ip route add default via 10.9.1.9
        ip -6 route add fd00:7::/64 via fd00:9::9
        """
    )
    assert bridge.host_subnets() == {
        "10.9.1.0/24": "web.br",
        "10.5.5.1/32": "web.br",
        "10.5.6.0/30": "web.br",
        "10.4.0.1/32": "web.br",
        "10.7.0.0/16": "web.br",
        "10.8.0.0/16": "web.br",
        "10.6.0.0/16": "",
        "fd00:9::/64": "web.br",
        "fd00:7::/64": "web.br",
    }
