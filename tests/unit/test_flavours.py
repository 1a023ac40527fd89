"""engine/network/flavours.py: which of the rules in the other flavour of iptables are this store's."""

from __future__ import annotations

from mydocker.engine.network import flavours
from mydocker.kernel.bridge import Link
from mydocker.network import firewall
from mydocker.network.ops.rules import RemoveOldFlavour

ID, OTHER, GONE, CONTAINER = "1" * 64, "2" * 64, "3" * 64, "4" * 64


def saved(*ids: str) -> str:
    text = ""
    for number, network_id in enumerate(ids):
        owner = firewall.network_owner(f"net{number}", network_id)
        rules = firewall.network_rules(4, owner, f"br{number}", f"10.20{number}.0.0/20") + firewall.shared_rules(4)
        text += "".join(f"*{rule.table}\n-A {rule.spec}\nCOMMIT\n" for rule in rules)
    return text


def up(*ids: str) -> dict[str, Link]:
    return {f"br{each[0]}": Link(True, "", False, "bridge", "", firewall.network_owner("n", each)) for each in ids}


def test_rules_without_a_record_are_removed_too():
    assert flavours.plan("legacy", {4: saved(ID, GONE), 6: ""}, [ID], up(ID)) == [RemoveOldFlavour(4, "legacy", [])]
    assert flavours.plan("nft", {4: saved(GONE), 6: saved(GONE)}, [], {}) == [
        RemoveOldFlavour(4, "nft", []),
        RemoveOldFlavour(6, "nft", []),
    ]


def test_another_stores_networks_keep_theirs():
    removals = flavours.plan("legacy", {4: saved(ID, OTHER)}, [ID, CONTAINER], up(ID, OTHER))
    assert removals == [RemoveOldFlavour(4, "legacy", [ID[:12]])]
    text = firewall.remove_owners(saved(ID, OTHER), removals[0].owner_ids)
    assert ID[:12] in text
    assert OTHER[:12] not in text
    assert flavours.plan("legacy", {4: saved(OTHER)}, [ID], up(ID, OTHER)) == []


def test_nothing_is_there():
    assert flavours.plan("legacy", {4: "*filter\n-A FORWARD -j DROP\nCOMMIT\n", 6: ""}, [ID], up(ID)) == []
