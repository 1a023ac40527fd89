"""The container's /etc/resolv.conf and /etc/hosts, as text."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options.resolver import HOST_GATEWAY, address
from mydocker.record import record

RESOLVER = "127.0.0.11"  # where a container on a user-made network asks; docker's address, which people know by heart
# Where systemd-resolved says which servers it asks itself; /etc/resolv.conf names only its own 127.0.0.53.
UPSTREAM = "/run/systemd/resolve/resolv.conf"


@record
class Settings:
    """What a resolv.conf says. servers: addresses, with %DEVICE for a link-local one."""

    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []


def parse(text: str) -> Settings:
    """As resolv.conf(5) reads it: the last `search` or `domain` counts, options add up, what is unknown is skipped."""
    found = Settings()
    for line in text.splitlines():
        key, *words = line.split(None) or [""]
        if key == "nameserver" and words and address(words[0].partition("%")[0]):
            found.servers.append(words[0])
        elif key in ("search", "domain"):
            found.search = words if key == "search" else words[:1]
        elif key == "options":
            found.options += words
    return found


def is_loopback(server: str) -> bool:
    """Does it mean "this machine"? Zero does so too."""
    return server.startswith(("127.", "::ffff:127.")) or address(server) in ("::1", "::", "0.0.0.0")


def of_host(text: str, upstream: str) -> Settings:
    """What the host's resolv.conf says to somebody who can't reach the host's loopback.

    upstream: the text of UPSTREAM, "" if there is none; it counts in place of a file that names nothing but loopback.
    """
    found = parse(text)
    reachable = [server for server in found.servers if not is_loopback(server)]
    if found.servers and not reachable and upstream:
        found = parse(upstream)
        reachable = [server for server in found.servers if not is_loopback(server)]
    found.servers = reachable
    return found


def resolv_conf(
    host: Settings,
    dns: list[str],
    search: list[str],
    options: list[str],
    ipv6: bool = False,
    own_resolver: bool = False,
) -> str:
    """A container's resolv.conf. dns, search, options: --dns and so on; each replaces what the host says of it.

    own_resolver: it is on a user-made network, where mydocker answers on RESOLVER and passes on to the servers.
    ipv6: it has an IPv6 address, without which such a server is out of its reach; a link-local one always is.
    """
    servers = dns or [server for server in host.servers if "%" not in server and (ipv6 or ":" not in server)]
    search = [domain for domain in search if domain != "."] if search else host.search
    options = list(options or host.options)
    if own_resolver:
        servers = [RESOLVER]
        if not any(option.startswith("ndots:") for option in options):
            options.append("ndots:0")  # `web` is a whole name here: it is asked for as it is before it is searched
    lines = [f"nameserver {server}" for server in servers]
    if not lines:
        # docker turns to 8.8.8.8 here. A lab without the internet would wait for that 20 seconds at each look-up,
        # one with it would tell a stranger its names. Without a server a look-up fails at once.
        lines.append("# no DNS server of the host is in reach of this container; --dns names one")
    if search:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def hosts(
    hostname: str, addresses: list[str], extra: list[tuple[str, str]], gateway: str = "", ipv6: bool = False
) -> str:
    """A container's /etc/hosts. addresses: its own, without a prefix length; none: 127.0.1.1 stands for it.

    extra: --add-host, parsed. gateway: the host as the container sees it, "" if it does not.
    """
    rows = [("127.0.0.1", "localhost")]
    if ipv6:
        rows += [
            ("::1", "localhost ip6-localhost ip6-loopback"),
            ("fe00::", "ip6-localnet"),
            ("ff00::", "ip6-mcastprefix"),
            ("ff02::1", "ip6-allnodes"),
            ("ff02::2", "ip6-allrouters"),
        ]
    for name, value in extra:
        if value == HOST_GATEWAY and not gateway:
            raise InvalidArgument(f"no address for '{name}:{HOST_GATEWAY}'", "the container is on no network of ours")
        rows.append((gateway if value == HOST_GATEWAY else value, name))
    return "".join(f"{address}\t{names}\n" for address, names in rows) + "".join(
        own_lines(hostname, addresses or ["127.0.1.1"])
    )


def own_lines(hostname: str, addresses: list[str]) -> list[str]:
    """The lines of /etc/hosts that tell a container's own addresses."""
    short, dot, _ = hostname.partition(".")
    names = f"{hostname} {short}" if dot else hostname
    return [f"{own}\t{names}\n" for own in addresses] if hostname else []
