"""A container's own /etc/hostname, hosts and resolv.conf, which lie in its directory and are mounted in it."""

from __future__ import annotations

import os

from mydocker.errors import HostError
from mydocker.kernel.files import read_regular, write_atomic
from mydocker.model.network import DEFAULT
from mydocker.model.options.resolver import HOST_GATEWAY
from mydocker.network import resolvconf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.network import Endpoint, Network
    from mydocker.model.options.request import CreateRequest


def files(wanted: CreateRequest, hostname: str, attachments: list[tuple[Network, Endpoint]]) -> list[tuple[str, str]]:
    """The container's own /etc/hostname, hosts and resolv.conf. With the host's network, the host's, and --add-host."""
    extra = [(name, address) for name, _, address in (row.partition(":") for row in wanted.extra_hosts)]
    name = ("hostname", f"{hostname or os.uname().nodename}\n")
    if wanted.network == "host":
        added = "".join(f"{'127.0.0.1' if address == HOST_GATEWAY else address}\t{name}\n" for name, address in extra)
        resolv = text_of("/etc/resolv.conf")
        if wanted.dns or wanted.dns_search or wanted.dns_options:
            host = resolvconf.parse(resolv)
            resolv = resolvconf.resolv_conf(host, wanted.dns, wanted.dns_search, wanted.dns_options, ipv6=True)
        return [name, ("hosts", text_of("/etc/hosts") + added), ("resolv.conf", resolv)]
    ipv6 = any(endpoint.address6 for _, endpoint in attachments)
    own = [endpoint.address.partition("/")[0] for _, endpoint in attachments if endpoint.address]
    own += [endpoint.address6.partition("/")[0] for _, endpoint in attachments if endpoint.address6]
    gateway = next((endpoint.gateway for network, endpoint in attachments if not network.internal), "")
    hosts = resolvconf.hosts(hostname, own, extra, gateway, ipv6 or not attachments)
    if attachments:
        has_dns = any(network.name != DEFAULT for network, _ in attachments)
        resolv = resolv_conf(wanted, ipv6, has_dns)
    elif wanted.dns:
        resolv = resolvconf.resolv_conf(resolvconf.Settings(), wanted.dns, wanted.dns_search, wanted.dns_options)
    else:
        resolv = "# this container has no network\n"
    return [name, ("hosts", hosts), ("resolv.conf", resolv)]


def resolv_conf(wanted: CreateRequest, ipv6: bool, has_dns: bool) -> str:
    settings = resolvconf.of_host(text_of("/etc/resolv.conf"), text_of(resolvconf.UPSTREAM))
    return resolvconf.resolv_conf(settings, wanted.dns, wanted.dns_search, wanted.dns_options, ipv6, has_dns)


def write(directory: str, texts: list[tuple[str, str]]) -> None:
    """Raises HostError where there is no space; but what stands there already needs none."""
    for name, text in texts:
        data = text.encode("utf-8", "surrogateescape")
        try:
            write_atomic(f"{directory}/{name}", data, 0o644)
        except HostError:
            if not _stands(f"{directory}/{name}", data):
                raise


def _stands(path: str, data: bytes) -> bool:
    try:
        return read_regular(path) == data
    except OSError:
        return False


def text_of(path: str) -> str:
    """A file of the host's, as far as it goes in a megabyte; "" if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 20)
    except OSError:
        return ""
