"""network/plan.py: the ops of a container's networks, and of a network's bridge, as lists."""

from __future__ import annotations

import pytest

from mydocker.kernel.cgroups import Layout
from mydocker.kernel.trampoline import REPORT_FD
from mydocker.model.host import HostFacts
from mydocker.model.network import Attachments, Endpoint, Network
from mydocker.model.oci import spec
from mydocker.model.oci.annotations import FILL
from mydocker.model.options import request
from mydocker.model.options.addresses import mac_of
from mydocker.network import plan
from mydocker.network.firewall import Guard
from mydocker.network.ops import (
    AddNetworkRules,
    ConfigureLink,
    DisableIPv6,
    MakeBridge,
    MakeVeth,
    PublishPorts,
    RemoveBridge,
    RemoveNetworkRules,
)
from mydocker.network.resolver_op import OpenResolver
from mydocker.ops.namespaces import AwaitMonitor, JoinNetwork, LinkUp, ShowNamespace, TellMonitor, WriteSysctl
from mydocker.ops.process import CloseDescriptors
from mydocker.ops.rootfs import Mount
from mydocker.runtime import plan as runtime_plan

ID = "0123456789ab" + "c" * 52
TAG = "mydocker: network {} 000000000000"


def network(name, number, **more):
    subnet, device = f"10.{number}.0.0/20", "mydocker0" if name == "bridge" else name
    return Network(name, f"{number:064x}", "2026-11-23T00:00:00Z", device, subnet, f"10.{number}.0.1", **more)


def end(of, index, ipv6=False):
    number = of.subnet.split(".")[1]
    found = Endpoint(of.name, "", "", [], f"eth{index}", f"veth01234567{index}")
    found.address, found.gateway, found.mac = f"10.{number}.0.2/20", of.gateway, f"02:42:0a:{int(number):02x}:00:02"
    if ipv6:
        found.address6, found.gateway6 = f"fd{number}::2/64", of.gateway6
    return found


BRIDGE = network("bridge", 7)
LAB = network("lab", 8, mtu=1400)
INNER = network("inner", 9, internal=True)
SIX = network("six", 10, subnet6="fd10::/64", gateway6="fd10::1")


def attachments(*networks, ports=()):
    joined = [(each, end(each, index, bool(each.subnet6))) for index, each in enumerate(networks)]
    return Attachments(ID, "web", joined, list(ports))


class TestContainer:
    def test_on_the_default_network(self):
        made = attachments(BRIDGE)
        assert plan.links(made) == [MakeVeth("veth012345670", "mydocker0", 1500, "eth0", "02:42:0a:07:00:02")]
        assert plan.inside(made) == [DisableIPv6(), ConfigureLink("eth0", "10.7.0.2/20", "10.7.0.1", "", "", 0)]
        assert plan.publish(made) == []

    def test_on_one_of_the_users_names_are_answered(self):
        made = attachments(LAB)
        assert plan.links(made) == [MakeVeth("veth012345670", "lab", 1400, "eth0", "02:42:0a:08:00:02")]
        assert plan.inside(made) == [
            DisableIPv6(),
            ConfigureLink("eth0", "10.8.0.2/20", "10.8.0.1", "", "", 0),
            OpenResolver("127.0.0.11"),
        ]

    def test_nothing_leads_out_of_an_internal_one(self):
        assert plan.inside(attachments(INNER))[1] == ConfigureLink("eth0", "10.9.0.2/20", "", "", "", 0)

    def test_with_ipv6_it_stays_on(self):
        assert plan.inside(attachments(SIX)) == [
            ConfigureLink("eth0", "10.10.0.2/20", "10.10.0.1", "fd10::2/64", "fd10::1", 0),
            OpenResolver("127.0.0.11"),
        ]

    def test_on_several_the_first_is_the_way_out_and_the_others_take_over(self):
        made = attachments(BRIDGE, INNER, SIX)
        assert [op.veth for op in plan.links(made)] == ["veth012345670", "veth012345671", "veth012345672"]
        assert plan.inside(made) == [
            ConfigureLink("eth0", "10.7.0.2/20", "10.7.0.1", "", "", 0),
            ConfigureLink("eth1", "10.9.0.2/20", "", "", "", 1),
            ConfigureLink("eth2", "10.10.0.2/20", "10.10.0.1", "fd10::2/64", "fd10::1", 2),
            OpenResolver("127.0.0.11"),
        ]

    @pytest.mark.parametrize(
        ("networks", "address", "address6", "index"),
        [
            ([BRIDGE], "10.7.0.2", "", 0),
            ([SIX], "10.10.0.2", "fd10::2", 0),
            ([INNER, SIX], "10.10.0.2", "fd10::2", 1),
            ([BRIDGE, SIX], "10.7.0.2", "", 0),
        ],
    )
    def test_ports_lead_to_the_first_that_is_not_internal(self, networks, address, address6, index):
        ports, link = ["8080:80/tcp", "32768:53/udp"], f"veth01234567{index}"
        assert plan.publish(attachments(*networks, ports=ports)) == [
            PublishPorts("web", ID, ports, address, address6, [], link)
        ]

    def test_to_internal_ones_none_do(self):
        assert plan.publish(attachments(INNER, ports=["8080:80/tcp"])) == []


class TestBridge:
    @pytest.mark.parametrize("guard", [Guard(), Guard([4], ["eth0", "lan"], ["lan"])])
    def test_the_rules_are_there_before_it(self, guard):
        own = (guard.versions, guard.links, guard.bridges)
        assert plan.bridge_up(BRIDGE, guard) == [
            AddNetworkRules("bridge", BRIDGE.id, "mydocker0", "10.7.0.0/20", "", False, *own),
            MakeBridge("mydocker0", ["10.7.0.1/20"], 1500, "02:42:0a:07:00:01", TAG.format("bridge")),
        ]

    def test_with_ipv6(self):
        rules, bridge = plan.bridge_up(SIX, Guard([4, 6]))
        assert (rules.subnet6, rules.forwarding_guards) == ("fd10::/64", [4, 6])
        assert bridge.addresses == ["10.10.0.1/20", "fd10::1/64"]

    def test_an_internal_one(self):
        rules, _ = plan.bridge_up(INNER, Guard())
        assert rules.internal

    @pytest.mark.parametrize("of", [BRIDGE, SIX], ids=["IPv4", "IPv6 too"])
    def test_they_are_there_until_it_is_gone(self, of):
        assert plan.bridge_down(of, [4]) == [
            RemoveBridge(of.device, TAG.format(of.name), mac_of(of.gateway)),
            RemoveNetworkRules(of.name, of.id, of.subnet6, [], [4]),
        ]


class TestBirth:
    """Where the networks' steps stand among those of a start: runtime/plan.py."""

    def planned(self, with_attachments=None, shared=-1, **params):
        facts = HostFacts(cpus="0-3", hostname="vm", cwd="/here")
        asked = request.from_params({"image_and_command": ["busybox"], **params}, {}, facts)
        wanted = request.complete(asked, "busybox:latest", ["true"], {})
        other = ("db", "dbhost", "/var/lib/mydocker/containers/db") if shared >= 0 else None
        made = spec.build(wanted, ID, "/c", facts, {}, (), other)
        made["annotations"].update({"io.mydocker.driver": "overlay", "io.mydocker.layers": "sha256:aa"})
        made["annotations"][FILL] = "[]"
        layout = Layout(2, {"unified": "/sys/fs/cgroup"}, ["memory"])
        return runtime_plan.plan(made, "/c", layout, name="web", attachments=with_attachments, shared=shared)

    def test_the_child_waits_for_its_links_before_it_needs_them(self):
        sysctl = "net.ipv4.conf.eth0.rp_filter"
        made = self.planned(attachments(LAB, ports=["8080:80/tcp"]), network=["lab"], sysctl=[f"{sysctl}=1"])
        assert [type(op) for op in made.links] == [MakeVeth]
        assert [type(op) for op in made.published] == [PublishPorts, ShowNamespace]
        wait = made.container.index(AwaitMonitor(REPORT_FD, "N", "the links are there"))
        inside = [DisableIPv6, ConfigureLink, OpenResolver, TellMonitor]
        assert [type(op) for op in made.container[wait + 1 : wait + 5]] == inside
        closed = made.container.index(CloseDescriptors(REPORT_FD + 2))
        assert closed < wait < made.container.index(WriteSysctl(sysctl, "1"))
        first_mount = next(at for at, op in enumerate(made.container) if isinstance(op, Mount))
        assert wait + 4 < first_mount  # while /proc/self/ns/net and /proc/sys are the host's
        assert LinkUp("lo") not in made.container  # ConfigureLink does it

    def test_without_networks_nothing_is_waited_for(self):
        made = self.planned(network=["none"])
        assert (made.links, made.published) == ([], [ShowNamespace("web")])
        assert LinkUp("lo") in made.container
        assert not [op for op in made.container if isinstance(op, (AwaitMonitor, TellMonitor))]

    def test_the_hosts_network_is_left_as_it_is(self):
        made = self.planned(network=["host"])
        assert (made.links, made.published) == ([], [])
        assert {op.section for op in made.container if isinstance(op, (LinkUp, JoinNetwork))} == set()

    def test_another_containers_is_joined_before_the_descriptor_is_closed(self):
        made = self.planned(shared=20, network=["container:db"])
        assert made.container[:2] == [JoinNetwork("/run/netns/db", 20), CloseDescriptors(REPORT_FD + 2)]
        assert (made.links, made.published) == ([], [])
        assert "network" not in made.clone
        assert not [op for op in made.container if isinstance(op, (LinkUp, WriteSysctl))]
