"""A container's /etc/hostname, hosts and resolv.conf, which are in its directory and mounted into the container."""

from __future__ import annotations

import os

from mydocker.errors import HostError
from mydocker.kernel.files import read_regular, write_atomic
from mydocker.model.options.resolver import HOST_GATEWAY
from mydocker.network import resolvconf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.attachments import Attachments
    from mydocker.model.options.request import CreateRequest


def files(request: CreateRequest, hostname: str, attachments: Attachments | None = None) -> list[tuple[str, str]]:
    """The names and texts of the files. On the host's network they are the host's, plus --add-host and --dns."""
    extra = [(name, address) for name, _, address in (row.partition(":") for row in request.extra_hosts)]
    name = ("hostname", f"{hostname or os.uname().nodename}\n")
    if request.network == "host":
        added = "".join(f"{'127.0.0.1' if address == HOST_GATEWAY else address}\t{name}\n" for name, address in extra)
        resolv = text_of("/etc/resolv.conf")
        if request.dns or request.dns_search or request.dns_options:
            host = resolvconf.parse(resolv)
            resolv = resolvconf.resolv_conf(host, request.dns, request.dns_search, request.dns_options, ipv6=True)
        return [name, ("hosts", text_of("/etc/hosts") + added), ("resolv.conf", resolv)]
    endpoints, egress = (attachments.endpoints, attachments.egress) if attachments else ([], None)
    ipv6 = any(endpoint.address6 for endpoint in endpoints)
    own = [endpoint.address.partition("/")[0] for endpoint in endpoints if endpoint.address]
    own += [endpoint.address6.partition("/")[0] for endpoint in endpoints if endpoint.address6]
    hosts = resolvconf.hosts(
        full_name(hostname, request.domainname), own, extra, egress.gateway if egress else "", ipv6 or not endpoints
    )
    if attachments and endpoints:
        resolv = resolv_conf(request, ipv6, attachments.has_dns)
    elif request.dns:
        resolv = resolvconf.resolv_conf(resolvconf.Settings(), request.dns, request.dns_search, request.dns_options)
    else:
        resolv = "# this container has no network\n"
    return [name, ("hosts", hosts), ("resolv.conf", resolv)]


def full_name(hostname: str, domainname: str) -> str:
    return f"{hostname}.{domainname}" if domainname else hostname


def resolv_conf(request: CreateRequest, ipv6: bool, has_dns: bool) -> str:
    """The resolv.conf of a container that has a network. ipv6, has_dns: as resolvconf.resolv_conf() takes them."""
    settings = resolvconf.of_host(text_of("/etc/resolv.conf"), text_of(resolvconf.UPSTREAM))
    return resolvconf.resolv_conf(settings, request.dns, request.dns_search, request.dns_options, ipv6, has_dns)


def write(directory: str, texts: list[tuple[str, str]]) -> None:
    """Write the files. Raises HostError if the disk is full, unless a file already has the right content."""
    for name, text in texts:
        data = text.encode("utf-8", "surrogateescape")
        try:
            write_atomic(f"{directory}/{name}", data, 0o644)
        except HostError:
            if not _has(f"{directory}/{name}", data):
                raise


def _has(path: str, data: bytes) -> bool:
    try:
        return read_regular(path) == data
    except OSError:
        return False


def text_of(path: str) -> str:
    """The first megabyte of a file of the host; "" if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 20)
    except OSError:
        return ""
