"""network/plan.py and bridge_plan.py: the ops of a container's networks, and of a network's bridge, as lists."""

from __future__ import annotations

import pytest

from mydocker.kernel.cgroups import Layout
from mydocker.kernel.trampoline import REPORT_FD
from mydocker.model.attachments import Attachments
from mydocker.model.host import HostFacts
from mydocker.model.network import Endpoint, Network
from mydocker.model.oci import spec
from mydocker.model.oci.annotations import FILL
from mydocker.model.options import request
from mydocker.model.options.addresses import mac_of
from mydocker.model.options.ports import parse_published
from mydocker.network import bridge_plan, plan
from mydocker.network.firewall import Guard
from mydocker.network.ops.bridges import MakeBridge, RemoveBridge
from mydocker.network.ops.ports import PublishPorts, RemovePorts
from mydocker.network.ops.resolver import OpenResolver
from mydocker.network.ops.rules import AddNetworkRules, RemoveNetworkRules
from mydocker.network.ops.veths import ConfigureLink, DetachVeth, DisableIPv6, EnableIPv6, MakeVeth, RemoveVeth
from mydocker.ops.namespaces import AwaitMonitor, JoinNetwork, LinkUp, ShowNamespace, TellMonitor, WriteSysctl
from mydocker.ops.process import CloseDescriptors
from mydocker.ops.rootfs import Mount
from mydocker.runtime import plan as runtime_plan

ID = "0123456789ab" + "c" * 52
TAG = "mydocker: network {} 000000000000"


def network(name, number, **more):
    subnet, device = f"10.{number}.0.0/20", "mydocker0" if name == "bridge" else name
    return Network(name, f"{number:064x}", "2026-11-23T00:00:00Z", device, subnet, f"10.{number}.0.1", **more)


def endpoint(of, index):
    number = of.subnet.split(".")[1]
    made = Endpoint(of.name, "", "", [], f"eth{index}", f"veth01234567{index}")
    made.address, made.gateway, made.mac = f"10.{number}.0.2/20", of.gateway, f"02:42:0a:{int(number):02x}:00:02"
    if of.subnet6:
        made.address6, made.gateway6 = f"fd{number}::2/64", of.gateway6
    return made


BRIDGE = network("bridge", 7)
LAB = network("lab", 8, mtu=1400)
INNER = network("inner", 9, internal=True)
SIX = network("six", 10, subnet6="fd10::/64", gateway6="fd10::1")


def attachments(*networks, ports=()):
    made = Attachments(ID, "web", bindings=parse_published(ports))
    for index, each in enumerate(networks):
        made = made.with_endpoint(each, endpoint(each, index))
    return made


def start(*networks, ports=()):
    return plan.transition(None, attachments(*networks, ports=ports))


class TestStart:
    def test_on_the_default_network(self):
        steps = start(BRIDGE)
        assert steps.attach == [MakeVeth("veth012345670", "mydocker0", 1500, "eth0", "02:42:0a:07:00:02")]
        assert steps.inside == [DisableIPv6(), ConfigureLink("eth0", "10.7.0.2/20", "10.7.0.1", "", "", 0)]
        assert steps.redirect == steps.detach == steps.publish == []

    def test_on_one_of_the_users_names_are_answered(self):
        steps = start(LAB)
        assert steps.attach == [MakeVeth("veth012345670", "lab", 1400, "eth0", "02:42:0a:08:00:02")]
        assert steps.inside == [
            DisableIPv6(),
            ConfigureLink("eth0", "10.8.0.2/20", "10.8.0.1", "", "", 0),
            OpenResolver("127.0.0.11"),
        ]

    def test_nothing_leads_out_of_an_internal_one(self):
        assert start(INNER).inside[1] == ConfigureLink("eth0", "10.9.0.2/20", "", "", "", 0)

    def test_with_ipv6_it_stays_on(self):
        assert start(SIX).inside == [
            ConfigureLink("eth0", "10.10.0.2/20", "10.10.0.1", "fd10::2/64", "fd10::1", 0),
            OpenResolver("127.0.0.11"),
        ]

    def test_on_several_the_first_is_the_way_out_and_the_others_take_over(self):
        steps = start(BRIDGE, INNER, SIX)
        assert [op.veth for op in steps.attach] == ["veth012345670", "veth012345671", "veth012345672"]
        assert steps.inside == [
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
        ports, veth = ["8080:80/tcp", "32768:53/udp"], f"veth01234567{index}"
        assert start(*networks, ports=ports).publish == [
            PublishPorts("web", ID, ports, address, address6, veth, before=None)
        ]

    def test_to_internal_ones_none_do(self):
        assert start(INNER, ports=["8080:80/tcp"]).publish == []


WEB, DNS = "8080:80/tcp", "32768:53/udp"


class TestChange:
    def test_joining_a_user_made_network_brings_a_resolver(self):
        before = attachments(BRIDGE)
        steps = plan.transition(before, before.with_endpoint(SIX, endpoint(SIX, 3)))
        assert steps.attach == [MakeVeth("veth012345673", "six", 1500, "eth3", "02:42:0a:0a:00:02")]
        assert steps.inside == [
            EnableIPv6("eth3"),
            ConfigureLink("eth3", "10.10.0.2/20", "10.10.0.1", "fd10::2/64", "fd10::1", 3),
            OpenResolver("127.0.0.11"),
        ]
        assert steps.redirect == steps.detach == steps.publish == []

    def test_ports_that_are_new_are_published_once_they_are_held(self):
        before = attachments(LAB)
        steps = plan.transition(before, attachments(LAB, ports=[WEB]))
        assert steps.publish == [PublishPorts("web", ID, [WEB], "10.8.0.2", "", "veth012345670", [])]
        steps = plan.transition(attachments(LAB, ports=[WEB]), attachments(LAB, ports=[WEB, DNS]))
        assert steps.publish == [PublishPorts("web", ID, [WEB, DNS], "10.8.0.2", "", "veth012345670", [WEB])]
        assert steps.redirect == []

    def test_ports_that_go_are_withdrawn_while_they_are_held(self):
        before = attachments(LAB, ports=[WEB, DNS])
        steps = plan.transition(before, attachments(LAB, ports=[DNS]))
        assert steps.redirect == [PublishPorts("web", ID, [DNS], "10.8.0.2", "", "veth012345670", [WEB, DNS])]
        steps = plan.transition(before, attachments(LAB))
        assert (steps.redirect, steps.publish) == ([RemovePorts("web", ID, [4], [WEB, DNS])], [])

    def test_ports_move_to_the_next_network_before_the_first_goes(self):
        before = attachments(SIX, LAB, ports=[WEB])
        steps = plan.transition(before, before.without("six"))
        assert steps.redirect == [
            RemovePorts("web", ID, [6], [WEB]),
            PublishPorts("web", ID, [WEB], "10.8.0.2", "", "veth012345671", [WEB]),
        ]
        assert (steps.detach, steps.publish) == ([RemoveVeth("veth012345670")], [])

    def test_without_a_way_out_there_are_no_ports(self):
        before = attachments(LAB, INNER, ports=[WEB])
        after = before.without("lab")
        assert after.bindings == []
        assert plan.transition(before, after).redirect == [RemovePorts("web", ID, [4], [WEB])]

    def test_what_is_left_of_a_dead_container_needs_no_networks(self):
        before = attachments(INNER, SIX, ports=[WEB])
        recorded = Attachments(ID, "web", before.endpoints, {}, before.bindings)
        steps = plan.transition(recorded, None)
        assert steps.redirect == [RemovePorts("web", ID, [4, 6], [WEB])]
        assert steps.detach == [DetachVeth("veth012345670"), DetachVeth("veth012345671")]
        assert steps.attach == steps.inside == steps.publish == []


class TestBridge:
    @pytest.mark.parametrize("guard", [Guard(), Guard([4], ["eth0", "lan"], ["lan"])])
    def test_the_rules_are_there_before_it(self, guard):
        own = (guard.versions, guard.links, guard.bridges)
        assert bridge_plan.bridge_up(BRIDGE, guard) == [
            AddNetworkRules("bridge", BRIDGE.id, "mydocker0", "10.7.0.0/20", "", False, *own),
            MakeBridge("mydocker0", ["10.7.0.1/20"], 1500, "02:42:0a:07:00:01", TAG.format("bridge")),
        ]

    def test_with_ipv6(self):
        rules, bridge = bridge_plan.bridge_up(SIX, Guard([4, 6]))
        assert (rules.subnet6, rules.forwarding_guards) == ("fd10::/64", [4, 6])
        assert bridge.addresses == ["10.10.0.1/20", "fd10::1/64"]

    def test_an_internal_one(self):
        rules, _ = bridge_plan.bridge_up(INNER, Guard())
        assert rules.internal

    @pytest.mark.parametrize("of", [BRIDGE, SIX], ids=["IPv4", "IPv6 too"])
    def test_they_are_there_until_it_is_gone(self, of):
        assert bridge_plan.bridge_down(of, [4]) == [
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
