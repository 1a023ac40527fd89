"""--net, --ip, --mac-address and --network-alias."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.network import DEFAULT, Endpoint
from mydocker.model.options import addresses, names
from mydocker.model.options.netmode import is_mode


def parse(options: list[str], ip: str, mac: str, aliases: list[str]) -> tuple[str, list[Endpoint]]:
    """Parse the options to (mode, endpoints). The mode is the first network's name, none, host or container:NAME; the
    last three have no endpoints.

    options: names or IDs of networks, or docker's long form, name=NETWORK,ip=A.B.C.D,mac-address=MAC,alias=NAME. ip,
    mac and aliases apply to the first network. Raises InvalidArgument.
    """
    options = [DEFAULT if option in ("", "default") else option for option in options] or [DEFAULT]
    for option in options:
        if is_mode(option):
            if len(options) > 1:
                raise InvalidArgument(f"--net {option} can't be combined with another network", "give one --net")
            if option == "container:":
                raise InvalidArgument("--net container: does not name a container", "--net container:NAME")
            if ip or mac or aliases:
                raise InvalidArgument(
                    f"--net {option} takes no --ip, --mac-address or --network-alias", "they are options of a network"
                )
            return option, []
    endpoints = [_endpoint(option) for option in options]
    first = endpoints[0]
    first.requested_ip, first.requested_mac = ip or first.requested_ip, mac or first.requested_mac
    first.aliases += aliases
    for endpoint in endpoints:
        _check(endpoint)
    check_names(endpoints)
    return first.network, endpoints


def check_names(endpoints: list[Endpoint]) -> None:
    """Check the set of networks; again when IDs have become names. Raises InvalidArgument."""
    given = [endpoint.network for endpoint in endpoints]
    twice = next((name for name in given if given.count(name) > 1), "")
    if twice:
        raise InvalidArgument(f"network {twice} is given twice", "a container can be on a network only once")
    if any(endpoint.aliases and endpoint.network == DEFAULT for endpoint in endpoints):
        raise InvalidArgument(
            "network-scoped aliases work only on user-defined networks",
            "create a network with 'mydocker network create NAME'",
        )


def _endpoint(option: str) -> Endpoint:
    if "=" not in option:
        return Endpoint(option)
    endpoint = Endpoint("")
    for pair in option.split(","):
        key, _, value = pair.partition("=")
        if key == "name":
            endpoint.network = DEFAULT if value == "default" else value
        elif key == "ip":
            endpoint.requested_ip = value
        elif key == "mac-address":
            endpoint.requested_mac = value
        elif key == "alias":
            endpoint.aliases.append(value)
        else:
            raise InvalidArgument(
                f"invalid network option '{pair}'", "name=NETWORK, ip=ADDRESS, mac-address=MAC, alias=NAME"
            )
    if not endpoint.network:
        raise InvalidArgument(f"'{option}' does not name a network", "name=NETWORK,ip=ADDRESS,alias=NAME")
    return endpoint


def _check(endpoint: Endpoint) -> None:
    if is_mode(endpoint.network):
        raise InvalidArgument(
            f"'{endpoint.network}' is not a network", f"use --net {endpoint.network}, and no other --net"
        )
    if endpoint.requested_ip:
        endpoint.requested_ip = addresses.show(*addresses.parse(endpoint.requested_ip))
    if endpoint.requested_mac:
        endpoint.requested_mac = addresses.mac(endpoint.requested_mac)
    endpoint.aliases = [names.hostname(alias) for alias in dict.fromkeys(endpoint.aliases)]
