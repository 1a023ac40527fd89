"""network check: what is wrong, and what would repair it, from records and what the kernel tells."""

from __future__ import annotations

import pytest

from mydocker import jsontext
from mydocker.cli.verbs import networks as verb
from mydocker.engine.network import check
from mydocker.engine.network.compare import Finding, compare
from mydocker.engine.network.survey import Facts
from mydocker.errors import InvalidArgument
from mydocker.kernel.bridge import Bridge, Link
from mydocker.model.container import Container
from mydocker.model.network import Endpoint, Network
from mydocker.model.options.ports import parse_published
from mydocker.network import firewall
from mydocker.network.leases import Lease
from mydocker.network.ops.bridges import JoinZone, MakeBridge
from mydocker.network.ops.ports import PublishPorts, RemovePorts
from mydocker.network.ops.rules import AddNetworkRules, RemoveOldFlavour
from mydocker.network.ops.veths import AttachVeth, RemoveVeth
from mydocker.ops.namespaces import ShowNamespace

WEB = Network("web", "a" * 64, "", "web", "10.1.0.0/16", "10.1.0.1")
BACK = Network("back", "b" * 64, "", "br-back", "10.2.0.0/16", "10.2.0.1", internal=True)
SIX = Network("six", "d" * 64, "", "six", "10.6.0.0/16", "10.6.0.1", subnet6="fd00:6::/64", gateway6="fd00:6::1")
WEB_OWNER = firewall.network_owner("web", WEB.id)


def container(name: str, digit: str, *ends: Endpoint, ports: list[str] | None = None, pid: int = 7) -> Container:
    record = Container(digit * 64, name, "", "busybox:latest", "", ["top"], "overlay", [], network="web")
    record.networks, record.bound_ports, record.pid = [end.to_json() for end in ends], ports or [], pid
    record.status = "running"
    return record


def end(network: str, link: str, address: str, device: str = "eth0", **more: object) -> Endpoint:
    return Endpoint(network, device=device, veth=link, address=address, **more)  # type: ignore[arg-type]


DB = container("db", "1", end("web", "veth11110", "10.1.0.2/16", aliases=["data"]), ports=["8080:80/tcp"])
JOB = container(
    "job", "2", end("back", "veth22220", "10.2.0.2/16"), end("web", "veth22221", "10.1.0.3/16", device="eth1")
)


def saved(version: int, *groups: tuple[str, list[firewall.Rule]], guard: firewall.Guard | None = None) -> str:
    """iptables-save's text with what all networks share, and each owner's rules."""
    rules = [*firewall.shared_rules(version), *(rule for _, group in groups for rule in group)]
    rules += firewall.guard_rules(guard) if guard else []
    lines = []
    for table, chains in firewall.TABLES.items():
        lines += [f"*{table}", *(f":{chain} - [0:0]" for chain in chains)]
        lines += [f"-A {rule.spec}" for rule in rules if rule.table == table] + ["COMMIT"]
    return "\n".join(lines)


def of_network(network: Network, version: int = 4) -> tuple[str, list[firewall.Rule]]:
    owner = firewall.network_owner(network.name, network.id)
    subnet = network.subnet if version == 4 else network.subnet6
    return owner, firewall.network_rules(version, owner, network.device, subnet, network.internal)


def of_ports(name: str, container_id: str, address: str, *ports: str) -> tuple[str, list[firewall.Rule]]:
    owner = firewall.container_owner(name, container_id)
    return owner, firewall.port_rules(4, owner, parse_published(list(ports)), address)


DB_RULES = of_ports("db", DB.id, "10.1.0.2", "8080:80/tcp")


def bridge(network: Network) -> Bridge:
    tag = firewall.network_owner(network.name, network.id)
    addresses = [f"{network.gateway}/16", *([f"{network.gateway6}/64"] if network.subnet6 else [])]
    return Bridge(network.device, 3, "bridge", tag, True, "02:42:0a:01:00:01", 1500, addresses, [])


@pytest.fixture
def facts() -> Facts:
    """Two networks and two containers, all as recorded."""
    return Facts(
        networks=[BACK, WEB],
        was_up={"web", "back"},
        bridges={each.device: bridge(each) for each in (WEB, BACK)},
        links={
            "web": Link(True, "", False, "bridge", alias=WEB_OWNER),
            "veth11110": Link(True, "web", True, "veth"),
            "veth22220": Link(True, "br-back", False, "veth"),
            "veth22221": Link(True, "web", False, "veth"),
        },
        changed_settings={"web": [], "br-back": []},
        saved={4: saved(4, of_network(WEB), of_network(BACK), DB_RULES)},
        off=[],
        turned_on=firewall.Guard(),
        zones=None,
        firewalld_is_silent=False,
        old_rules=[],
        running=[DB, JOB],
        unmonitored=[],
        stopped=[],
        changing=[],
        leases={
            "web": [Lease("10.1.0.2", DB.id, ["db", "data"]), Lease("10.1.0.3", JOB.id, ["job"])],
            "back": [Lease("10.2.0.2", JOB.id, ["job"])],
        },
        netns={"db": "/proc/7/ns/net", "job": "/proc/7/ns/net"},
    )


def messages(facts: Facts) -> list[str]:
    return [f"{each.about}: {each.wrong}" for each in compare(facts)]


def only(facts: Facts) -> Finding:
    (finding,) = compare(facts)
    return finding


def test_everything_is_as_recorded(facts):
    assert compare(facts) == []


class TestNetwork:
    def test_all_rules_are_gone(self, facts):
        facts.saved = {4: ""}
        findings = compare(facts)
        assert [each.about for each in findings] == ["network back", "network web", "container db"]
        assert [type(step) for each in findings for step in each.steps] == [
            AddNetworkRules,
            AddNetworkRules,
            PublishPorts,
        ]
        shared, own = len(firewall.shared_rules(4)), len(of_network(WEB)[1])
        assert findings[1].wrong == f"{shared + own} of its {shared + own} rules in iptables are gone"

    @pytest.mark.parametrize("gone", of_network(WEB)[1], ids=lambda rule: rule.spec)
    def test_one_rule_is_gone(self, facts, gone):
        facts.saved = {4: facts.saved[4].replace(f"-A {gone.spec}\n", "")}
        finding = only(facts)
        assert (finding.about, finding.wrong[:9], finding.repairable) == ("network web", "1 of its ", True)

    def test_a_rule_is_there_twice(self, facts):
        line = f"-A {of_network(WEB)[1][0].spec}\n"
        facts.saved = {4: facts.saved[4].replace(line, line * 2)}
        assert messages(facts) == ["network web: its rules in iptables have been changed"]

    def test_a_shared_rule_is_gone(self, facts):
        facts.saved = {4: facts.saved[4].replace(f"-A {firewall.shared_rules(4)[0].spec}\n", "")}
        assert [each.about for each in compare(facts)] == ["network back", "network web"]

    def test_the_bridge_is_gone_and_its_links_with_it_are_detached(self, facts):
        facts.bridges["web"] = None
        for link in ("veth11110", "veth22221"):
            facts.links[link] = Link(True, "", False)
        findings = compare(facts)
        assert [each.wrong for each in findings] == [
            "its bridge web is gone",
            "its link veth11110 (eth0) is not attached to web",
            "its link veth22221 (eth1) is not attached to web",
        ]
        assert [type(step) for step in findings[0].steps] == [AddNetworkRules, MakeBridge]
        assert [each.steps for each in findings[1:]] == [
            [AttachVeth("veth11110", "web", True)],
            [AttachVeth("veth22221", "web", False)],
        ]

    @pytest.mark.parametrize(
        ("change", "wrong"),
        [
            ({"up": False}, "its bridge web is down"),
            ({"addresses": ["10.1.0.9/16"]}, "its bridge web lacks the address 10.1.0.1/16"),
            ({"mtu": 9000}, "its bridge web has an MTU of 9000, not 1500"),
        ],
    )
    def test_the_bridge_is_changed(self, facts, change, wrong):
        facts.bridges["web"].__dict__.update(change)
        finding = only(facts)
        assert (finding.wrong, finding.repairable) == (wrong, True)

    def test_a_setting_is_changed(self, facts):
        facts.changed_settings["web"] = ["route_localnet"]
        assert messages(facts) == ["network web: settings of its bridge web have been changed: route_localnet"]

    def test_a_link_of_somebody_else_is_in_its_place(self, facts):
        facts.bridges["web"].alias = firewall.network_owner("web", "f" * 64)
        for link in ("veth11110", "veth22221"):
            facts.links[link] = Link(True, "", False)
        assert [each.repairable for each in compare(facts)] == [False] * 3

    def test_one_that_was_not_up_since_the_boot_lacks_nothing(self, facts):
        facts.networks.append(SIX)
        facts.bridges["six"], facts.saved[6], facts.leases["six"] = None, "", []
        assert compare(facts) == []

    def test_ipv6(self, facts):
        facts.networks.append(SIX)
        facts.was_up.add("six")
        facts.bridges["six"], facts.leases["six"] = bridge(SIX), []
        facts.saved = {4: saved(4, of_network(WEB), of_network(BACK), DB_RULES, of_network(SIX)), 6: ""}
        finding = only(facts)
        assert (finding.about, "in ip6tables are gone" in finding.wrong) == ("network six", True)
        facts.saved[6] = saved(6, of_network(SIX, 6))
        assert compare(facts) == []


class TestForwarding:
    def test_it_is_off(self, facts):
        facts.off = [4]
        finding = only(facts)
        assert finding.about == "this host"
        (step,) = finding.steps
        assert (step.name, step.forwarding_guards) == ("web", [4])  # the internal one needs none

    def test_nobody_needs_it(self, facts):
        facts.off, facts.networks, facts.was_up, facts.running = [4], [BACK], {"back"}, []
        facts.bridges = {"br-back": facts.bridges["br-back"]}
        facts.saved, facts.leases = {4: saved(4, of_network(BACK))}, {"back": []}
        assert compare(facts) == []

    CARDS = {"eth0": Link(True, "", False), "lan": Link(True, "", False, "bridge"), "eth1": Link(True, "lan", False)}
    GUARD = firewall.Guard([4], ["eth0", "eth1", "lan"], ["lan"])

    def test_the_guard_is_gone(self, facts):
        facts.turned_on = firewall.Guard([4], ["eth0"])
        facts.links = {**facts.links, **self.CARDS}
        finding = only(facts)
        assert finding.wrong.endswith("the rules that restrict it to containers are gone")
        (step,) = finding.steps
        assert (step.forwarding_guards, step.own_links, step.own_bridges) == ([4], ["eth0", "eth1", "lan"], ["lan"])
        facts.saved = {4: saved(4, of_network(WEB), of_network(BACK), DB_RULES, guard=self.GUARD)}
        assert compare(facts) == []

    def test_a_network_card_has_come(self, facts):
        facts.turned_on = firewall.Guard([4], ["eth0", "eth1", "lan"])
        facts.links = {
            **facts.links,
            **self.CARDS,
            "wlan0": Link(True, "", False),
            "tun0": Link(True, "", False, "tun"),
        }
        facts.saved = {4: saved(4, of_network(WEB), of_network(BACK), DB_RULES, guard=self.GUARD)}
        finding = only(facts)
        assert finding.wrong.endswith("do not know wlan0")
        assert finding.steps[0].own_links == ["eth0", "eth1", "lan", "wlan0"]

    def test_a_network_card_has_come_that_no_rule_can_name(self, facts):
        facts.turned_on = firewall.Guard([4], ["eth0", "eth1", "lan"])
        facts.links = {**facts.links, **self.CARDS, "usb+": Link(True, "", False)}
        facts.saved = {4: saved(4, of_network(WEB), of_network(BACK), DB_RULES, guard=self.GUARD)}
        assert "no firewall rule can name 'usb+'" in only(facts).wrong

    def test_forwarding_was_left_on_for_others(self, facts):
        """No network needs it any more."""
        facts.turned_on, facts.networks, facts.was_up, facts.running = firewall.Guard([4], ["eth0"]), [], set(), []
        facts.bridges, facts.leases, facts.saved = {}, {}, {4: saved(4, guard=firewall.Guard([4], ["eth0"]))}
        assert compare(facts) == []
        facts.saved = {4: ""}
        assert only(facts).remedy == "'sysctl -w net.ipv4.ip_forward=0', or a network"
        guard = saved(4, guard=firewall.Guard([4], ["eth0"]))
        facts.saved = {4: "\n".join(line for line in guard.split("\n") if not line.startswith("-A FORWARD "))}
        assert only(facts).wrong.endswith("have been changed")  # iptables -F FORWARD

    def test_a_guard_of_a_single_rule_drops_too_much(self, facts):
        facts.turned_on = firewall.Guard([4])
        old = f'-A FORWARD -m comment --comment "{firewall.GUARD}" -j DROP'
        text = saved(4, of_network(WEB), of_network(BACK), DB_RULES)
        facts.saved = {4: text.replace("*filter\n", f"*filter\n{old}\n")}
        assert only(facts).wrong.endswith("have been changed")


class TestFirewalld:
    def test_a_bridge_is_in_no_zone(self, facts):
        facts.zones = {"eth0": "public"}
        finding = only(facts)  # the internal one needs none
        assert (finding.about, finding.steps) == ("network web", [JoinZone("web")])
        assert finding.wrong == "firewalld rejects what web forwards, because web is in no zone"
        facts.zones = {"web": "dmz"}
        assert compare(facts) == []

    def test_it_does_not_answer(self, facts):
        facts.firewalld_is_silent = True
        finding = only(facts)
        assert not finding.repairable
        assert "firewall-cmd --permanent --zone=trusted --add-interface=web" in finding.remedy


def test_rules_in_the_flavour_that_the_host_used_before(facts):
    facts.old_rules = [RemoveOldFlavour(4, "legacy", [])]
    finding = only(facts)
    assert (finding.about, finding.steps) == ("this host", facts.old_rules)
    assert "iptables-legacy (IPv4)" in finding.wrong


class TestRunning:
    def test_a_link_is_gone(self, facts):
        del facts.links["veth22221"]
        finding = only(facts)
        assert (finding.about, finding.wrong) == ("container job", "its link veth22221 (eth1) is gone")
        assert finding.remedy == (
            "'mydocker restart job', or 'mydocker network disconnect web job' and 'mydocker network connect web job'"
        )
        assert not finding.repairable

    @pytest.mark.parametrize(
        ("link", "wrong"),
        [
            (Link(True, "", False), "its link veth11110 (eth0) is not attached to web"),
            (Link(True, "docker0", True), "its link veth11110 (eth0) is not attached to web"),
            (Link(False, "web", True), "its link veth11110 (eth0) is down"),
            (Link(True, "web", False), "its link veth11110 has no hairpin, so it may not reach its own ports"),
        ],
    )
    def test_a_link_is_not_as_it_was(self, facts, link, wrong):
        facts.links["veth11110"] = link
        finding = only(facts)
        assert (finding.wrong, finding.steps) == (wrong, [AttachVeth("veth11110", "web", True)])

    def test_its_lease_is_gone(self, facts):
        (lease, other) = facts.leases["web"]
        facts.leases["web"] = [other]
        finding = only(facts)
        assert finding.wrong == "its address 10.1.0.2 on network web has no lease"
        assert finding.missing == [("web", lease)]

    def test_its_lease_is_nobodys(self, facts):
        facts.leases["web"][0].container_id = "e" * 64
        finding = only(facts)
        assert (finding.about, finding.missing[0][1].container_id) == ("container db", DB.id)

    def test_its_lease_is_another_running_one_s(self, facts):
        facts.leases["web"][0] = Lease("10.1.0.2", JOB.id, ["job"])
        finding = only(facts)
        assert (finding.wrong, finding.repairable) == (
            "its address 10.1.0.2 on network web is also that of container job",
            False,
        )

    def test_its_lease_lacks_an_alias(self, facts):
        facts.leases["web"][0].names = ["db"]
        assert only(facts).missing == [("web", Lease("10.1.0.2", DB.id, ["db", "data"]))]

    @pytest.mark.parametrize(
        ("ports", "wrong"),
        [
            ([], "1 of its 1 published ports have no rule in iptables"),
            (["8081:80/tcp"], "1 of its 1 published ports have no rule in iptables"),
            (["8080:80/tcp", "8081:80/tcp"], "it has rules in iptables for more than its published ports"),
        ],
    )
    def test_a_port_has_no_rule_or_too_many(self, facts, ports, wrong):
        facts.saved = {4: saved(4, of_network(WEB), of_network(BACK), of_ports("db", DB.id, "10.1.0.2", *ports))}
        finding = only(facts)
        assert (finding.about, finding.wrong) == ("container db", wrong)
        (step,) = finding.steps
        assert (step.ports, step.before) == (["8080:80/tcp"], [])

    def test_rules_of_a_version_of_ip_that_it_is_not_reached_by(self, facts):
        owner = firewall.container_owner("db", DB.id)
        facts.saved[6] = saved(6, (owner, firewall.port_rules(6, owner, parse_published(["8080:80/tcp"]), "fd00::2")))
        finding = only(facts)
        assert finding.wrong == "it has rules in ip6tables for more than its published ports"
        assert [type(step) for step in finding.steps] == [RemovePorts, PublishPorts]
        assert (finding.steps[0].id, finding.steps[0].versions) == (DB.id, [6])

    def test_it_has_lost_its_monitor(self, facts):
        facts.unmonitored = [DB.id]
        finding = only(facts)
        assert (finding.remedy, finding.repairable) == ("'mydocker restart db'", False)

    def test_its_network_has_lost_its_record(self, facts):
        facts.networks.remove(BACK)
        finding = only(facts)
        assert (finding.about, finding.wrong) == ("container job", "its network back is gone")

    def test_ip_netns_does_not_know_it(self, facts):
        del facts.netns["db"]
        assert only(facts).steps == [ShowNamespace("db", 7)]


class TestGone:
    @pytest.fixture
    def lost(self, facts):
        """db, of which nothing is left but its record."""
        ended = container("db", "1", *DB.endpoints, ports=DB.bound_ports)
        ended.status = "exited"
        facts.running, facts.stopped = [JOB], [ended]
        facts.saved = {4: saved(4, of_network(WEB), of_network(BACK))}
        facts.leases["web"] = facts.leases["web"][1:]
        del facts.links["veth11110"], facts.netns["db"]
        assert compare(facts) == []
        return facts

    def test_its_rules(self, lost):
        lost.saved = {4: saved(4, of_network(WEB), of_network(BACK), DB_RULES)}
        finding = only(lost)
        assert finding.steps == [RemovePorts("db", DB.id, [4])]
        assert finding.container is lost.stopped[0]

    def test_its_lease(self, lost):
        lost.leases["web"].append(Lease("10.1.0.2", DB.id, ["db", "data"]))
        finding = only(lost)
        assert (finding.about, finding.stale) == ("network web", [("web", Lease("10.1.0.2", DB.id, ["db", "data"]))])

    def test_its_link(self, lost):
        lost.links["veth11110"] = Link(True, "web", True)
        assert only(lost).steps == [RemoveVeth("veth11110")]
        lost.links["veth11110"].bridge = "docker0"
        assert compare(lost) == []

    def test_its_namespace(self, lost):
        lost.netns["db"] = "/proc/7/ns/net"
        assert only(lost).leftovers == [ShowNamespace("db", 7)]
        lost.netns["db"] = "/proc/8/ns/net"  # another store's container of that name
        assert compare(lost) == []

    def test_one_that_is_just_starting_or_ending_is_left_alone(self, lost):
        lost.saved = {4: saved(4, of_network(WEB), of_network(BACK), DB_RULES)}
        lost.leases["web"].append(Lease("10.1.0.2", DB.id, ["db", "data"]))
        lost.stopped, lost.changing = [], [DB.id]
        assert compare(lost) == []


class TestStrangers:
    def test_rules_into_a_network_of_ours(self, facts):
        old = of_ports("old", "e" * 64, "10.1.0.9", "9090:90/tcp")
        facts.saved = {4: saved(4, of_network(WEB), of_network(BACK), DB_RULES, old)}
        finding = only(facts)
        assert (finding.about, finding.steps) == ("container old", [RemovePorts("old", "e" * 12, [4])])

    def test_another_store_s_networks_and_containers(self, facts):
        theirs = Network("web", "c" * 64, "", "br-theirs", "10.3.0.0/16", "10.3.0.1")
        same = Network("web", "9" * 64, "", "br-same", "10.1.0.0/16", "10.1.0.1")
        groups = [of_network(theirs), of_ports("db", "e" * 64, "10.3.0.2", "9090:90/tcp")]
        groups += [of_network(same), of_ports("db", "8" * 64, "10.1.0.77", "9091:90/tcp")]
        facts.saved = {4: saved(4, of_network(WEB), of_network(BACK), DB_RULES, *groups)}
        facts.links["veth99990"] = Link(True, "br-theirs", False)
        facts.netns["theirs"] = "/proc/9999/ns/net"
        assert compare(facts) == []

    def test_a_lease_of_nobody(self, facts):
        nobody = Lease("10.1.0.9", "e" * 64, ["old"])
        facts.leases["web"].append(nobody)
        finding = only(facts)
        assert (finding.about, finding.stale, finding.remedy) == ("network web", [("web", nobody)], "released")


class TestRounds:
    """check() and repair() over looks that differ."""

    @pytest.fixture
    def looks(self, monkeypatch):
        """The findings of each survey, the last ones again and again; and the repairs."""
        rounds: list[list[Finding]] = []
        repaired: list[str] = []
        monkeypatch.setattr(check, "sleep", lambda _: None)
        monkeypatch.setattr(check, "survey", lambda: None)
        monkeypatch.setattr(check, "compare", lambda _: rounds.pop(0) if len(rounds) > 1 else rounds[0])
        monkeypatch.setattr(check, "_repair", lambda finding: repaired.append(finding.wrong))
        return rounds, repaired

    A = Finding("network web", "a", "recreated", [RemoveVeth("a")])
    B = Finding("network web", "b", "recreated", [RemoveVeth("b")])
    HAND = Finding("container db", "c", "'mydocker restart db'")

    def test_what_one_look_alone_finds_was_on_its_way(self, looks):
        looks[0].extend([[self.A, self.B], [self.B, self.HAND]])
        assert check.check() == [self.B]

    def test_what_can_be_repaired_is(self, looks):
        looks[0].extend([[self.A, self.HAND], [self.A, self.HAND], [self.HAND]])
        assert check.repair() == ([self.A], [(self.HAND, "")])
        assert looks[1] == ["a"]

    def test_what_shows_after_the_first_round_is_repaired_too(self, looks):
        looks[0].extend([[self.A], [self.A], [self.B], [self.B], []])
        assert check.repair() == ([self.A, self.B], [])

    def test_what_stays_wrong_is_reported(self, looks):
        looks[0].append([self.A])
        assert check.repair() == ([], [(self.A, "")])
        assert looks[1] == ["a"] * 3

    def test_an_error_is_reported_and_not_tried_again(self, looks, monkeypatch):
        tries = []

        def fail(finding):
            tries.append(finding)
            raise InvalidArgument("no", "try harder")

        monkeypatch.setattr(check, "_repair", fail)
        looks[0].append([self.A])
        assert check.repair() == ([], [(self.A, "no (try harder)")])
        assert tries == [self.A]


class TestVerb:
    A, HAND = TestRounds.A, TestRounds.HAND

    def run(self, monkeypatch, left, repaired=(), **params: object) -> tuple[int, str]:
        written: list[str] = []
        monkeypatch.setattr(verb.output, "emit", written.append)
        monkeypatch.setattr(check, "check", lambda: [each for each, _ in left])
        monkeypatch.setattr(check, "repair", lambda: (list(repaired), left))
        code = verb.check({"repair": False, "format": None, **params})
        return code, "".join(written)

    def test_nothing(self, monkeypatch):
        assert self.run(monkeypatch, []) == (0, "everything is as recorded\n")

    def test_a_line_each(self, monkeypatch):
        assert self.run(monkeypatch, [(self.A, ""), (self.HAND, "")]) == (
            1,
            "network web: a (--repair: recreated)\ncontainer db: c ('mydocker restart db')\n",
        )

    def test_repaired(self, monkeypatch):
        assert self.run(monkeypatch, [], [self.A], repair=True) == (0, "network web: a: recreated\n")

    def test_not_repaired(self, monkeypatch):
        assert self.run(monkeypatch, [(self.A, "no")], repair=True) == (
            1,
            "network web: a (not recreated: no)\n",
        )

    def test_json(self, monkeypatch):
        code, text = self.run(monkeypatch, [(self.HAND, "")], [self.A], repair=True, format="json")
        assert code == 1
        assert [(each["about"], each["repaired"], each["repairable"]) for each in jsontext.loads(text)] == [
            ("network web", True, True),
            ("container db", False, False),
        ]
        assert self.run(monkeypatch, [], format="json") == (0, "[]\n")

    def test_another_format_is_an_error(self):
        with pytest.raises(InvalidArgument, match="unknown format 'yaml'"):
            verb.check({"repair": False, "format": "yaml"})
