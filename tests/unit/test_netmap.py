"""netmap: the map from records and what the kernel tells, and its drawings."""

from __future__ import annotations

import pytest

from mydocker.cli import netmap as drawing
from mydocker.cli.verbs import netmap as verb
from mydocker.engine.network import netmap
from mydocker.errors import InvalidArgument
from mydocker.kernel.bridge import Bridge
from mydocker.model.container import Container
from mydocker.model.network import Endpoint, Network
from mydocker.network import firewall

WEB = Network("web", "a" * 64, "", "web", "10.1.0.0/16", "10.1.0.1")
BACK = Network("back", "b" * 64, "", "back", "10.2.0.0/16", "10.2.0.1", internal=True)
OWNER = firewall.network_owner("web", WEB.id)


def container(
    name: str, digit: str, *ends: Endpoint, network: str = "web", ports: list[str] | None = None
) -> Container:
    record = Container(digit * 64, name, "", "busybox:latest", "", ["top"], "overlay", [], network=network)
    record.networks, record.bound_ports = [end.to_json() for end in ends], ports or []
    return record


def end(network: str, link: str, address: str, device: str = "eth0", address6: str = "") -> Endpoint:
    return Endpoint(network, device=device, veth=link, address=address, address6=address6, mac="02:42:0a:01:00:02")


def bridge(device: str, *ports: str, tag: str = OWNER, up: bool = True) -> Bridge:
    return Bridge(device, 7, "bridge", tag, up, "02:42:0a:01:00:01", 1500, ["10.1.0.1/16"], list(ports))


MASQUERADE = firewall.SavedRule(
    "nat",
    "POSTROUTING",
    f'POSTROUTING -s 10.1.0.0/16 ! -o web -m comment --comment "{OWNER}" -j MASQUERADE',
    OWNER,
)
FRONT = container(
    "front",
    "1",
    end("back", "veth11111", "10.2.0.2/16"),
    end("web", "veth11110", "10.1.0.2/16", "eth1"),
    ports=["8080:80/tcp"],
)
DNAT = firewall.SavedRule(
    "nat",
    "MYDOCKER-PORTS",
    "MYDOCKER-PORTS -p tcp --dport 8080 -m comment --comment"
    f' "{firewall.container_owner("front", FRONT.id)}" -j DNAT --to-destination 10.1.0.2:80',
    firewall.container_owner("front", FRONT.id),
)
RULES = [(4, MASQUERADE), (4, DNAT), (6, firewall.SavedRule("raw", "MYDOCKER-RAW", "MYDOCKER-RAW -j DROP", OWNER))]


def whole_map():
    store = container("store-of-things", "2", end("back", "veth22220", "10.2.0.3/16"), network="back")
    return netmap.draw(
        [BACK, WEB],
        {
            "back": bridge("back", "veth11111", "vethstray", tag=firewall.network_owner("back", BACK.id)),
            "web": bridge("web", "veth11110"),
        },
        [
            FRONT,
            store,
            *(container(name, "3", network=mode) for name, mode in [("z", "none"), ("h", "host"), ("a", "none")]),
        ],
        RULES,
    )


class TestMap:
    def test_containers_are_listed_with_their_networks(self):
        back, web = whole_map()["networks"]
        assert [(each["name"], each["attached"]) for each in back["containers"]] == [
            ("front", True),
            ("store-of-things", False),
        ]
        assert [(each["name"], each["device"], each["link"], each["address"]) for each in web["containers"]] == [
            ("front", "eth1", "veth11110", "10.1.0.2/16")
        ]
        assert whole_map()["others"] == {"host": ["h"], "none": ["a", "z"]}
        assert (back["strays"], web["strays"]) == (["vethstray"], [])

    def test_ports_are_where_the_way_out_is(self):
        back, web = whole_map()["networks"]
        assert web["containers"][0]["ports"] == ["0.0.0.0:8080 -> 80/tcp"]
        assert web["containers"][0]["rules"] == [
            "nat MYDOCKER-PORTS -p tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80"
        ]
        assert back["containers"][0]["ports"] == back["containers"][0]["rules"] == []

    def test_a_network_s_rules_without_their_comment(self):
        back, web = whole_map()["networks"]
        assert web["rules"] == [
            "nat POSTROUTING -s 10.1.0.0/16 ! -o web -j MASQUERADE",
            "ip6 raw MYDOCKER-RAW -j DROP",
        ]
        assert back["rules"] == []

    @pytest.mark.parametrize(
        ("shown", "state", "attached"),
        [
            (bridge("web", "veth11110"), "up", True),
            (bridge("web", "veth11110", up=False), "down", True),
            (bridge("web"), "up", False),
            (bridge("web", "veth11110", tag="another's"), "foreign", False),
            (None, "missing", False),
        ],
    )
    def test_what_is_wrong_is_seen(self, shown, state, attached):
        front = container("front", "1", end("web", "veth11110", "10.1.0.2/16"))
        (network,) = netmap.draw([WEB], {"web": shown}, [front], [])["networks"]
        assert (network["bridge"]["state"], network["containers"][0]["attached"]) == (state, attached)
        assert network["strays"] == []

    def test_a_network_without_a_record_is_one_of_the_others(self):
        lost = container("lost", "1", end("gone", "veth1", "10.9.0.2/24"), network="gone")
        assert netmap.draw([], {}, [lost], []) == {"networks": [], "others": {"gone": ["lost"]}}


TREE = """\
network back  10.2.0.0/16  internal
└─ back  up  10.1.0.1/16  mtu 1500
   ├─ veth11111  ──        eth0  front            10.2.0.2/16
   ├─ veth22220  DETACHED  eth0  store-of-things  10.2.0.3/16
   └─ vethstray  NO CONTAINER
network web  10.1.0.0/16
└─ web  up  10.1.0.1/16  mtu 1500
   ├─ rules
   │    nat POSTROUTING -s 10.1.0.0/16 ! -o web -j MASQUERADE
   │    ip6 raw MYDOCKER-RAW -j DROP
   └─ veth11110  ──  eth1  front  10.1.0.2/16
        0.0.0.0:8080 -> 80/tcp
        nat MYDOCKER-PORTS -p tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80
the host's network
└─ h
no network
├─ a
└─ z
"""


class TestTree:
    def test_all_of_it(self):
        assert drawing.tree(whole_map()) == TREE

    def test_a_narrow_terminal_cuts(self):
        lines = drawing.tree(whole_map(), 30).splitlines()
        assert max(map(len, lines)) == 30
        assert "   ├─ veth22220  DETACHED  et…" in lines

    def test_nothing_at_all(self):
        assert drawing.tree({"networks": [], "others": {}}) == ""

    def test_names_are_shown_escaped(self):
        assert "\x1b" not in drawing.tree({"networks": [], "others": {"none": ["a\x1b[2J"]}})

    def test_200_containers_are_200_lines_in_columns(self):
        many = [
            container(f"c{number}", "0", end("web", f"veth{number:08x}0", f"10.1.0.{number}/16"))
            for number in range(2, 202)
        ]
        ports = [each.endpoints[0].veth for each in many]
        lines = drawing.tree(netmap.draw([WEB], {"web": bridge("web", *ports)}, many, [])).splitlines()
        assert len(lines) == 202
        assert {line.index("10.1.0.") for line in lines[2:]} == {lines[2].index("10.1.0.")}


class TestDot:
    def test_a_node_a_container_and_an_edge_a_link(self):
        text = drawing.dot(whole_map())
        first, second = f'"c {FRONT.id}"', f'"c {"2" * 64}"'
        assert [text.count(f"\n  {node} [label=") for node in (first, second)] == [1, 1]
        assert f'"b {"a" * 64}" -- {first} [label="veth11110 — eth1\\l10.1.0.2/16\\l"]' in text
        assert f'"b {"b" * 64}" -- {first} [label="veth11111 — eth0\\l10.2.0.2/16\\l"]' in text
        assert f'-- {second} [label="veth22220 — eth0\\l10.2.0.3/16\\l", style=dotted, color=red]' in text
        assert '"0.0.0.0:8080 -> 80/tcp\\lnat MYDOCKER-PORTS' in text
        assert text.count("{") == text.count("}") == 7

    def test_a_long_rule_is_broken(self):
        _, note = drawing.dot(whole_map()).split("0.0.0.0:8080 -> 80/tcp\\l")
        lines = note.partition('"')[0].split("\\l")
        assert len(lines) > 2
        assert max(map(len, lines)) < 80
        assert "".join(lines).replace("&nbsp;&nbsp;&nbsp;", " ").startswith("nat MYDOCKER-PORTS -")

    @pytest.mark.parametrize("name", ['a"b', "a\\", "a\nb", "\x1b[2J", "é", "\\l"])
    def test_no_name_breaks_out_of_its_quotes(self, name):
        text = drawing.dot({"networks": [], "others": {"none": [name]}})
        label = text.split("[label=", 1)[1].splitlines()[0]
        inner = label[1 : label.index('", fillcolor')]
        assert "\n" not in inner
        assert "\x1b" not in inner
        assert '"' not in inner.replace("\\\\", "").replace('\\"', "")
        assert inner.replace("\\\\", "\\").replace('\\"', '"') == drawing.printable(name)


class TestVerb:
    @pytest.fixture(autouse=True)
    def written(self, monkeypatch):
        written = []
        monkeypatch.setattr(verb.engine, "survey", whole_map)
        monkeypatch.setattr(verb.output, "emit", written.append)
        return written

    @pytest.mark.parametrize(
        ("form", "start"),
        [(None, "network back"), ("tree", "network back"), ("dot", "graph mydocker {"), ("json", '{\n    "networks":')],
    )
    def test_each_form(self, written, form, start):
        assert verb.netmap({"format": form}) == 0
        assert written[0].startswith(start)

    def test_another_is_an_error(self):
        with pytest.raises(InvalidArgument, match="unknown format 'svg'"):
            verb.netmap({"format": "svg"})
