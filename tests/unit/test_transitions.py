"""network/plan.py: any change of what a container is attached to, and its way back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mydocker.model.attachments import Attachments
from mydocker.model.network import Endpoint, Network
from mydocker.model.options.ports import parse_published
from mydocker.network import plan
from mydocker.network.ops.ports import PublishPorts, RemovePorts
from mydocker.network.ops.veths import ConfigureLink, DetachVeth, MakeVeth, RemoveVeth

ID = "0123456789ab" + "c" * 52
NAMES = ("bridge", "lab", "inner", "six")
NETWORKS = {
    name: Network(
        name, str(number) * 64, "", name, f"10.{number}.0.0/24", f"10.{number}.0.1",
        subnet6="fd06::/64" if name == "six" else "", internal=name == "inner",
    )
    for number, name in enumerate(NAMES)
}  # fmt: skip
PORTS = parse_published(["8080:80/tcp", "127.0.0.1:53:53/udp", "8081:81/tcp"])


JOINS = st.lists(st.sampled_from(NAMES), max_size=6)


@st.composite
def pairs(draw):
    """Two states of a container that joins these networks one after another, and leaves some: each join has the next
    number."""
    joins = list(enumerate(draw(JOINS)))
    return draw(states(joins)), draw(states(joins))


@st.composite
def states(draw, joins=None):
    joins = list(enumerate(draw(JOINS))) if joins is None else joins
    made = Attachments(ID, "web")
    for number, name in joins:
        if name not in made.networks and draw(st.booleans()):
            endpoint = Endpoint(name, device=f"eth{number}", veth=f"veth{number}", address=f"10.0.{number}.2/24")
            endpoint.address6 = f"fd06::{number}/64" if name == "six" else ""
            made = made.with_endpoint(NETWORKS[name], endpoint)
    bindings = draw(st.lists(st.sampled_from(PORTS), unique_by=lambda port: port.host))
    return made.with_ports(bindings) if made.egress else made


class Host:
    """The host as the ops change it: which veth is on which bridge, which devices have addresses, and the rules."""

    def __init__(self):
        self.veths, self.devices, self.rules = {}, {}, {}

    def state(self):
        return dict(self.veths), dict(self.devices), dict(self.rules)

    def run(self, steps):
        for op in [*steps.attach, *steps.inside, *steps.redirect, *steps.detach, *steps.publish]:
            self.do(op)

    def do(self, op):
        if isinstance(op, MakeVeth):
            assert op.veth not in self.veths
            self.veths[op.veth] = op.bridge, op.peer
        elif isinstance(op, ConfigureLink):
            assert op.device in [peer for _, peer in self.veths.values()]
            self.devices[op.device] = op.address, op.address6, op.metric
        elif isinstance(op, (RemoveVeth, DetachVeth)):
            _, peer = self.veths.pop(op.veth)
            del self.devices[peer]
        elif isinstance(op, PublishPorts):
            assert op.before is not None or not self.rules
            assert op.veth in self.veths
            for version, address in ((4, op.address), (6, op.address6)):
                if address:
                    self.rules[version] = op.veth, address, tuple(op.ports)
        elif isinstance(op, RemovePorts):
            for version in op.versions:
                self.rules.pop(version, None)


def of(state):
    host = Host()
    host.run(plan.transition(None, state))
    return host


@given(pairs())
def test_a_transition_leads_from_one_to_the_other_and_back(pair):
    before, after = pair
    host = of(before)
    host.run(plan.transition(before, after))
    assert host.state() == of(after).state()
    host.run(plan.transition(after, before))
    assert host.state() == of(before).state()


def test_there_is_no_way_back_to_a_network_whose_record_is_gone():
    """`network disconnect -f` of it: should that fail, all else is as before."""
    before = Attachments(ID, "web", [Endpoint("gone", device="eth0", veth="veth0", address="10.9.0.2/24")])
    after = before.without("gone")
    assert [op.veth for op in plan.transition(before, after).detach] == ["veth0"]
    steps = plan.transition(after, before)
    assert (steps.attach, steps.inside) == ([], [])


def test_an_endpoint_for_the_next_start_has_no_veth_to_detach():
    before = Attachments(ID, "web", [Endpoint("lab")], {"lab": NETWORKS["lab"]})
    assert plan.transition(before, None).detach == []


@given(states())
def test_nothing_is_done_where_nothing_changes(state):
    steps = plan.transition(state, state)
    assert [*steps.attach, *steps.inside, *steps.redirect, *steps.detach, *steps.publish] == []


@given(pairs(), st.data())
def test_a_dead_container_leaves_nothing_wherever_its_change_was_cut_off(pair, data):
    before, after = pair
    host = of(before)
    steps = plan.transition(before, after)
    host.run(
        plan.Steps(steps.attach, steps.inside, steps.redirect, [], data.draw(st.sampled_from([[], steps.publish])))
    )
    for state in (before, after):
        for op in plan.transition(state, None).redirect:
            host.do(op)
    assert host.rules == {}


@given(pairs())
def test_a_rule_is_moved_or_removed_before_its_veth(pair):
    """Steps that change rules come before the veth goes that they lead to; a rule of a new port comes last."""
    before, after = pair
    host = of(before)
    steps = plan.transition(before, after)
    for op in [*steps.attach, *steps.inside, *steps.redirect]:
        host.do(op)
    gone = {op.veth for op in steps.detach}
    assert not gone & {veth for veth, _, _ in host.rules.values()}
    held = {port.text for port in before.bindings}
    assert {text for _, _, texts in host.rules.values() for text in texts} <= held
