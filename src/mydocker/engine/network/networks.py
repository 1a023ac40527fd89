"""Networks: their records, and the bridges and rules that they stand for.

    networks/<name>/network.json    model.network.Network
    networks/.lock                  flock: who holds it may choose a name, a subnet and a device for a network, or turn
                                    the host's forwarding on or off

A network that is there has a record; its bridge may be missing (after a reboot) and is made again by bring_up(). Who
uses a network has a lease (network/leases.py): under that lock it is brought up and taken down. Who takes both locks
takes that one first.
"""

from __future__ import annotations

import os
from _socket import if_nametoindex

from mydocker import config, jsontext, paths, state
from mydocker.errors import Conflict, CorruptRecord, InvalidArgument, MydockerError, NotFound
from mydocker.kernel.files import make_private, read_regular, remove_tree, write_atomic
from mydocker.model.network import DEFAULT, DEFAULT_DEVICE, SCHEMA, Network, endpoint_id
from mydocker.model.options.addresses import cidr, mac_of, parse
from mydocker.network import firewall, ipam, leases
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mydocker.kernel.bridge import Plug
    from mydocker.model.options.addresses import Cidr
    from mydocker.ops.base import Op

_DEFAULT_PARAMS: dict[str, Any] = {
    "network": DEFAULT, "driver": None, "subnet": [], "gateway": [], "ip_range": [], "internal": False, "label": [],
    "ipv6": False, "opt": [], "mtu": None,
}  # fmt: skip

_UNKNOWN = "unknown"  # in the place of an ID or a device's name; there is neither of that name
RENAME = "'ip link set dev NAME name NEWNAME'"
_TURNED_ON = paths.leases(".forwarding")  # no network's name begins so


# --- records ----------------------------------------------------------------------------------------------------------


def load(name: str) -> Network:
    """Raises NotFound, or CorruptRecord naming the file."""
    if not paths.is_entry(name):
        raise leases.no_such(name)
    file = f"{paths.network(name)}/network.json"
    try:
        values = jsontext.loads(read_regular(file))
        if values.get("schema") != SCHEMA:
            raise CorruptRecord(f"network of another version: {file}", "use the mydocker that made it")
        found = Network(**values)
        _check(found, name)
        return found
    except (FileNotFoundError, NotADirectoryError):
        raise leases.no_such(name) from None
    except (OSError, ValueError, TypeError, AttributeError, InvalidArgument) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise CorruptRecord(
            f"corrupt network record: {file}: {why}", f"'mydocker network rm {name}' removes it, or restore the file"
        ) from None


def _check(found: Network, name: str) -> None:
    """Raises ValueError or InvalidArgument for what would not be understood later."""
    state.check_types(found)
    if found.name != name:
        raise ValueError(f"it is of network {found.name}")
    for subnet, gateway in ((found.subnet, found.gateway), (found.subnet6, found.gateway6)):
        if (subnet or gateway) and not cidr(subnet).holds(parse(gateway)):
            raise ValueError(f"gateway {gateway} is not in {subnet}")


def find(reference: str) -> Network:
    """By name, ID or an unambiguous prefix of an ID. Raises NotFound or, if ambiguous, Conflict."""
    try:
        return load(reference)
    except NotFound:
        found = [each for each in networks() if reference and each.id.startswith(reference)]
        if len(found) > 1:
            raise Conflict(f"'{reference}' fits {len(found)} networks", "give more digits of the ID") from None
        if not found:
            raise
        return found[0]


def networks() -> list[Network]:
    """All that can be read, by name. broken() has the others."""
    found = []
    for name in names():
        try:
            found.append(load(name))
        except (NotFound, CorruptRecord):
            continue  # NotFound: being made or removed
    return found


def broken() -> dict[str, CorruptRecord]:
    """The networks whose record can't be read: name -> why."""
    found = {}
    for name in names():
        try:
            load(name)
        except CorruptRecord as error:
            found[name] = error
        except NotFound:
            continue
    return found


def names() -> list[str]:
    try:
        return sorted(entry for entry in os.listdir(paths.NETWORKS) if not entry.startswith("."))
    except FileNotFoundError:
        return []


def users(name: str) -> list[str]:
    """The names of the containers on it that run or are starting."""
    return [lease.names[0] for lease in leases.held(name)]


# --- making and removing ----------------------------------------------------------------------------------------------


def create(params: dict[str, Any]) -> tuple[Network, list[str]]:
    """A new network with its bridge and rules; and what a person should know of it, in lines for stderr.

    Raises MydockerError; then nothing is left.
    """
    from mydocker.model.options import network_request

    network_request.name(params["network"])
    with lock():
        if os.path.lexists(f"{paths.network(params['network'])}/network.json"):
            raise Conflict(f"network {params['network']} is there already", "see 'mydocker network ls'")
        made = _reserve(params)
    # Which addresses the broken have is not known, so they can't be left out.
    remarks = [f"warning: {error}" for error in broken().values()]
    try:
        return made, remarks + bring_up(made)
    except BaseException:
        remove_tree(paths.network(made.name))
        remove_tree(paths.leases(made.name))
        raise


def default(make: bool = True) -> Network:
    """The network of a container that names none; its record is made if there is none, but not if `make` is False."""
    try:
        return load(DEFAULT)
    except NotFound:
        pass
    with lock():
        try:
            return load(DEFAULT)
        except NotFound:
            return _reserve(_DEFAULT_PARAMS) if make else _draft(_DEFAULT_PARAMS)


def lock() -> state.Lock:
    """What only one may do at a time stands at this file's head."""
    make_private(paths.NETWORKS)
    return state.Lock(f"{paths.NETWORKS}/.lock")


def _reserve(params: dict[str, Any]) -> Network:
    """Choose what was left open, and write the record. Under the lock, so that no two choose the same."""
    made = _draft(params)
    make_private(paths.network(made.name))
    text = jsontext.dumps({name: getattr(made, name) for name in made._fields})  # type: ignore[attr-defined]
    try:
        write_atomic(f"{paths.network(made.name)}/network.json", text.encode() + b"\n", durable=True)
    except BaseException:
        remove_tree(paths.network(made.name))
        raise
    return made


def _draft(params: dict[str, Any]) -> Network:
    from mydocker.model.options import network_request

    settings, others = config.load(), networks()
    taken = _own_subnets(others) + _host_subnets()
    made = network_request.draft(params, taken, cidr(settings["network_pool"]), settings["network_size"])
    made.id, made.created = os.urandom(32).hex(), state.now()
    devices = {other.device for other in others}
    if made.device and (made.device in devices or is_link(made.device)):
        raise Conflict(f"a link '{made.device}' is there already", f"choose another {network_request.OPTION_DEVICE}")
    if not made.device:
        wished = DEFAULT_DEVICE if made.name == DEFAULT else made.name
        usable = network_request.is_device(wished) and wished not in devices and not is_link(wished)
        made.device = wished if usable else f"br-{made.id[:12]}"
    return made


def _own_subnets(others: Iterable[Network]) -> list[tuple[Cidr, str]]:
    return [(cidr(text), f"network {each.name}") for each in others for text in (each.subnet, each.subnet6) if text]


def _host_subnets() -> list[tuple[Cidr, str]]:
    """Without the routes to everywhere, which a VPN may write as two halves."""
    found = [(cidr(text), device) for text, device in _kernel_subnets().items()]
    return [(subnet, f"the host's {device or 'routes'}") for subnet, device in found if subnet.prefix > 1]


def _kernel_subnets() -> dict[str, str]:
    """Of routes and addresses -> their link; "" for a route without."""
    from mydocker.kernel import bridge

    return bridge.host_subnets()


def remove(found: Network) -> list[str]:
    """Notes for the user, in lines for stderr.

    Raises Conflict while a container on it runs. One that does not can't start until there is such a network."""
    with leases.lock(found.name):
        return _release(_present(found.name), for_good=True)


def find_broken_too(reference: str) -> Network:
    """As find(), for a removal: of one whose record can't be read, what there is on the host."""
    try:
        return find(reference)
    except CorruptRecord:
        return _present(reference)


def _present(name: str) -> Network:
    """A network or, if its record can't be read, what its bridge tells of it: enough to take it down."""
    try:
        return load(name)
    except CorruptRecord:
        pass
    # Its rules may be of IPv6, too: subnet6 says so.
    found = Network(name, _UNKNOWN, "", _UNKNOWN, "", "0.0.0.0", subnet6="::/0")
    try:
        tag = firewall.network_owner(name, _UNKNOWN).removesuffix(_UNKNOWN)
    except ValueError:  # nothing on the host can have such a name
        return found
    for device in os.listdir("/sys/class/net"):
        if _alias(device).startswith(tag):
            found.device, found.id = device, _alias(device)[len(tag) :]
    return found


def release(found: Network) -> list[str]:
    """Leave nothing of it on the host but its record, until it is next used. Returns and raises as remove() does."""
    if was_up(found) or is_up(found):
        with leases.lock(found.name):
            return _release(load(found.name), for_good=False)
    return []


def _release(found: Network, for_good: bool) -> list[str]:
    holders = users(found.name)
    if holders:
        raise Conflict(f"network {found.name} is in use by {', '.join(holders)}", "stop the containers first")
    with lock():
        ours = [version for version in _unneeded(found) if version in turned_on().versions or _is_guarded(version)]
        others = _who_needs_forwarding() if ours else ""
        stays = ours if others else []
        _run(_plan_down(found, stays))
        if for_good:
            remove_tree(paths.network(found.name))
        remove_tree(paths.leases(found.name))
        if not stays:
            _turn_forwarding_off(found)
        notes = _leave_zone(found)
    return notes + [
        f"left forwarding of IPv{version} on until a reboot, as {others} may need it ({firewall.FORWARDING[version]})"
        for version in stays
    ]


# --- bridges and rules ------------------------------------------------------------------------------------------------


def is_up(found: Network) -> bool:
    """Whether its bridge is there: a link of that name may be another store's."""
    return _alias(found.device) == firewall.network_owner(found.name, found.id)


def _alias(device: str) -> str:
    """Read a link's alias; "" if there is no such link."""
    try:
        with open(f"/sys/class/net/{device}/ifalias", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def is_link(device: str) -> bool:
    try:
        return if_nametoindex(device) > 0
    except OSError:
        return False


def bring_up(found: Network) -> list[str]:
    """Make the bridge and the rules, if they are not there. What a person should know of it, in lines for stderr.

    Raises MydockerError; then none of it is left.
    """
    with leases.lock(found.name):
        leases.check_there(found)
        if is_up(found):
            return []
        from mydocker.network import plan

        _check_free(found)
        with lock():
            off = not_forwarded(found)
            guard = guard_now(found, off)
            _run(plan.bridge_up(found, guard))
            note_turned_on(guard)
    forwards = [
        f"turned on forwarding of IPv{version} on this host, for containers only ({firewall.FORWARDING[version]})"
        for version in guard.versions
        if version in off
    ]
    return [*forwards, *join_zone(found)]


def bring_up_plan(found: Network) -> list[Op]:
    """What bring_up() would do now. Raises Conflict as that does."""
    if is_up(found):
        return []
    from mydocker.kernel import firewalld
    from mydocker.network import plan

    _check_free(found)
    return [*plan.bridge_up(found, guard_now(found, not_forwarded(found))), *_zone_plan(found, firewalld.zones())]


def join_zone(found: Network) -> list[str]:
    """Where firewalld runs, put its bridge into a zone, if it is in none. That this can't be done is no reason for it
    not to be up, but gives a line for stderr."""
    from mydocker.kernel import firewalld

    zones = None if found.internal else firewalld.zones()
    wrong, trace = "", Trace("host")
    try:
        if zones is not None:
            trace.run(_zone_plan(found, zones))
        elif not found.internal and firewalld.rules_are_loaded():
            wrong = "it does not answer"
    except MydockerError as error:
        trace.undo_all()
        wrong = error.message
    return [f"warning: {not_in_zone(found.device)}: {wrong} ('{zone_command(found.device)}')"] if wrong else []


def _zone_plan(found: Network, zones: dict[str, str] | None) -> list[Op]:
    """An internal network's bridge forwards to nowhere, so it needs no zone. An administrator's choice
    counts."""
    if zones is None or found.internal or found.device in zones:
        return []
    from mydocker.network import ops

    return [ops.JoinZone(found.device)]


def not_in_zone(device: str) -> str:
    return f"firewalld rejects what {device} forwards, as it is in no zone"


def zone_command(device: str) -> str:
    """For a person to type: with a zone that is on every host."""
    return f"firewall-cmd --permanent --zone=trusted --add-interface={device} && firewall-cmd --reload"


def _leave_zone(found: Network) -> list[str]:
    from mydocker.kernel import firewalld

    if not firewalld.has(found.device):
        return []
    from mydocker.network import ops

    try:
        Trace("host").run([ops.LeaveZone(found.device)])
    except MydockerError as error:
        return [f"warning: {error.message}"]
    return []


def _check_free(found: Network) -> None:
    """Raises Conflict if the host, or another store's network, has come to use its addresses while it was down."""
    own = [cidr(text) for text in (found.subnet, found.subnet6) if text]
    for text, device in _kernel_subnets().items():
        taken = cidr(text)
        if device != found.device and taken.prefix > 1 and any(subnet.overlaps(taken) for subnet in own):
            raise Conflict(
                f"the subnet of network {found.name} is in use by the host's {device or 'routes'}, {text}",
                f"'mydocker network rm {found.name}', and make it again with another",
            )


# --- forwarding -------------------------------------------------------------------------------------------------------

# The rules that keep the host from forwarding for others (firewall.GUARD) also say that it was mydocker who turned
# forwarding on; but `iptables -F` takes them away, so a file says it as well: versions of IP in its first line, the
# host's own links in its second. It is gone after a reboot, as is what it tells of.


def versions(found: Network) -> tuple[int, ...]:
    """The versions of IP that the network has."""
    return (4, 6) if found.subnet6 else (4,)


def guard_now(found: Network, off: list[int]) -> firewall.Guard:
    """guard_of() the host as it is. off: not_forwarded(). Raises Conflict if no rule can name one of its links."""
    noted = turned_on()
    if found.internal or not set(versions(found)) & {*off, *noted.versions}:
        return firewall.Guard()
    from mydocker.kernel import bridge

    guard = guard_of(found, off, noted, bridge.plugs())
    for link in firewall.strange(guard.links):
        raise Conflict(f"no firewall rule can name the host's link {link!r}, to keep it apart", RENAME)
    return guard


def guard_of(found: Network, off: list[int], noted: firewall.Guard, links: dict[str, Plug]) -> firewall.Guard:
    """Of those of its versions for which forwarding is mydocker's doing, or is about to be. off: not forwarded now;
    noted: turned_on(); links: the host's."""
    needed = [] if found.internal else [version for version in versions(found) if version in [*off, *noted.versions]]
    return guard_for(needed, noted, links)


def guard_for(needed: list[int], noted: firewall.Guard, links: dict[str, Plug]) -> firewall.Guard:
    """Of these versions of IP."""
    from mydocker.network import forwarding

    if not needed:
        return firewall.Guard()
    own = forwarding.own_links(links, noted)
    return firewall.Guard(needed, own, forwarding.bridges(links, own))


def not_forwarded(found: Network) -> list[int]:
    """Those of its versions that the host does not forward."""
    off = []
    for version in versions(found):
        with open(f"/proc/sys/{firewall.FORWARDING[version].replace('.', '/')}", encoding="ascii") as file:
            if file.read().strip() == "0":
                off.append(version)
    return off


def turned_on() -> firewall.Guard:
    """Read what mydocker has turned forwarding on for since the host was booted; without bridges."""
    numbers, _, names = _noted().partition("\n")
    versions_on, links = [int(word) for word in numbers.split()], names.split()
    if versions_on and not names:  # by an older version, whose guard was for all links: those that are here now count
        from mydocker.kernel import bridge
        from mydocker.network import forwarding

        links = forwarding.own_links(bridge.plugs(), firewall.Guard())
    return firewall.Guard(versions_on, links)


def _noted() -> str:
    try:
        with open(_TURNED_ON, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def note_turned_on(guard: firewall.Guard) -> None:
    known = turned_on()
    _note(sorted({*known.versions, *guard.versions}), sorted({*known.links, *guard.links}))


def _note(numbers: list[int], links: list[str]) -> None:
    text = f"{' '.join(map(str, numbers))}\n{' '.join(links)}\n"
    if numbers and text != _noted():
        write_atomic(_TURNED_ON, text.encode())


def _unneeded(last: Network) -> list[int]:
    """The versions of IP that it needed forwarded, or anything did, and no other network of this store does."""
    others = [each for each in networks() if each.id != last.id and was_up(each) and not each.internal]
    needed = {version for each in others for version in versions(each)}
    return sorted({*versions(last), *turned_on().versions} - needed)


def _who_needs_forwarding() -> str:
    """Name the links or rules of others that need the host to forward; "" if none do. In doubt, they do."""
    from mydocker.kernel import bridge
    from mydocker.network import foreign, forwarding

    links = forwarding.foreign_links(bridge.plugs(), turned_on().links)
    return ", ".join(links) or foreign.nat()


def _is_guarded(version: int) -> bool:
    from mydocker.kernel import iptables

    return firewall.guarded(iptables.save(version, "filter"))


def _turn_forwarding_off(last: Network) -> None:
    """Of each version of IP that no network needs any more: also if nothing in the firewall says by now that it was
    turned on for one. The lock is the caller's."""
    ours = turned_on()
    off = [version for version in ours.versions if version in _unneeded(last)]
    if not off:
        return
    from mydocker.network import ops

    _run([ops.RemoveNetworkRules(last.name, last.id, last.subnet6, off)])
    rest = [version for version in ours.versions if version not in off]
    if rest:
        _note(rest, ours.links)
    else:
        os.unlink(_TURNED_ON)


def was_up(found: Network) -> bool:
    """Whether it has been brought up since the host was booted."""
    return os.path.isdir(paths.leases(found.name))


def _plan_down(found: Network, stays: list[int]) -> list[Op]:
    """Remove the bridge and the rules, as far as they are there. stays: the versions of IP that others need
    forwarded."""
    from mydocker.network import plan

    return plan.bridge_down(found, stays)


def _run(steps: list[Op]) -> None:
    trace = Trace("host")
    try:
        trace.run(steps)
    except BaseException:
        trace.undo_all()
        raise


# --- inspect ----------------------------------------------------------------------------------------------------------


def described(found: Network) -> dict[str, Any]:
    """docker's JSON of a network."""
    families = [(found.subnet, found.ip_range, found.gateway), (found.subnet6, "", found.gateway6)]
    return {
        "Name": found.name,
        "Id": found.id,
        "Created": found.created,
        "Scope": "local",
        "Driver": found.driver,
        "EnableIPv6": bool(found.subnet6),
        "IPAM": {
            "Driver": "default",
            "Options": None if found.name == DEFAULT else {},
            "Config": [
                {"Subnet": subnet, **({"IPRange": ip_range} if ip_range else {}), "Gateway": gateway}
                for subnet, ip_range, gateway in families
                if subnet
            ],
        },
        "Internal": found.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {lease.container_id: _end(found, lease) for lease in leases.held(found.name)},
        "Options": {
            **found.options,
            "com.docker.network.bridge.name": found.device,
            "com.docker.network.driver.mtu": str(found.mtu),
        },
        "Labels": found.labels,
    }


def _end(found: Network, lease: leases.Lease) -> dict[str, str]:
    """docker's JSON of a container's end of the network."""
    address6 = ipam.address6(found, lease.address)
    try:
        ends = state.load(lease.container_id).endpoints
    except (NotFound, CorruptRecord):
        ends = []
    macs = [end.mac for end in ends if end.network == found.name and end.mac]
    return {
        "Name": lease.names[0],
        "EndpointID": endpoint_id(found.id, lease.container_id),
        "MacAddress": macs[0] if macs else mac_of(lease.address),
        "IPv4Address": cidr(found.subnet).with_prefix(lease.address),
        "IPv6Address": address6 and cidr(found.subnet6).with_prefix(address6),
    }
