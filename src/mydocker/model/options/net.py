"""--net and what goes with it."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.network import DEFAULT, Endpoint
from mydocker.model.options import addresses, names
from mydocker.model.options.netmode import is_mode


def parse(options: list[str], ip: str, mac: str, aliases: list[str]) -> tuple[str, list[Endpoint]]:
    """--net, --ip, --mac-address and --network-alias as (mode, endpoints). The mode is the first network's name, none,
    host or container:NAME; the last three have no endpoints.

    An option is a network's name or ID, or docker's long form, name=NETWORK,ip=A.B.C.D,mac-address=MAC,alias=NAME. What
    stands outside of it is the first network's. Raises InvalidArgument.
    """
    options = [DEFAULT if option in ("", "default") else option for option in options] or [DEFAULT]
    for option in options:
        if is_mode(option):
            if len(options) > 1:
                raise InvalidArgument(f"--net {option} can't be combined with another network", "give one --net")
            if option == "container:":
                raise InvalidArgument("--net container: names no container", "--net container:NAME")
            if ip or mac or aliases:
                raise InvalidArgument(
                    f"--net {option} takes no --ip, --mac-address or --network-alias", "they are for a network"
                )
            return option, []
    found = [_endpoint(option) for option in options]
    first = found[0]
    first.wanted_ip, first.wanted_mac = ip or first.wanted_ip, mac or first.wanted_mac
    first.aliases += aliases
    for endpoint in found:
        _check(endpoint)
    check_names(found)
    return first.network, found


def check_names(found: list[Endpoint]) -> None:
    """What depends on which networks these are; once more when IDs have become names. Raises InvalidArgument."""
    given = [endpoint.network for endpoint in found]
    twice = next((name for name in given if given.count(name) > 1), "")
    if twice:
        raise InvalidArgument(f"network {twice} is given twice", "a container is on a network once")
    if any(endpoint.aliases and endpoint.network == DEFAULT for endpoint in found):
        raise InvalidArgument(
            "containers on the default network have no names there", "make one with 'mydocker network create NAME'"
        )


def _endpoint(option: str) -> Endpoint:
    if "=" not in option:
        return Endpoint(option)
    found = Endpoint("")
    for pair in option.split(","):
        key, _, value = pair.partition("=")
        if key == "name":
            found.network = DEFAULT if value == "default" else value
        elif key == "ip":
            found.wanted_ip = value
        elif key == "mac-address":
            found.wanted_mac = value
        elif key == "alias":
            found.aliases.append(value)
        else:
            raise InvalidArgument(
                f"invalid network option '{pair}'", "name=NETWORK, ip=ADDRESS, mac-address=MAC, alias=NAME"
            )
    if not found.network:
        raise InvalidArgument(f"'{option}' names no network", "name=NETWORK,ip=ADDRESS,alias=NAME")
    return found


def _check(endpoint: Endpoint) -> None:
    if is_mode(endpoint.network):
        raise InvalidArgument(
            f"'{endpoint.network}' is no network", f"say --net {endpoint.network}, and nothing else with it"
        )
    if endpoint.wanted_ip:
        endpoint.wanted_ip = addresses.show(*addresses.parse(endpoint.wanted_ip))
    if endpoint.wanted_mac:
        endpoint.wanted_mac = addresses.mac(endpoint.wanted_mac)
    endpoint.aliases = [names.hostname(alias) for alias in dict.fromkeys(endpoint.aliases)]
