"""The text of a container's /etc/resolv.conf and /etc/hosts."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options.resolver import HOST_GATEWAY, address
from mydocker.record import record

RESOLVER = "127.0.0.11"  # the nameserver of containers on user-made networks; docker's address, which people know
# Lists the servers that systemd-resolved asks; /etc/resolv.conf names only its own 127.0.0.53.
UPSTREAM = "/run/systemd/resolve/resolv.conf"


@record
class Settings:
    """The content of a resolv.conf. servers: addresses, with %DEVICE for a link-local one."""

    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []


def parse(text: str) -> Settings:
    """Parse as resolv.conf(5) says: the last `search` or `domain` counts, options add up, unknown keys are skipped."""
    settings = Settings()
    for line in text.splitlines():
        key, *words = line.split(None) or [""]
        if key == "nameserver" and words and address(words[0].partition("%")[0]):
            settings.servers.append(words[0])
        elif key in ("search", "domain"):
            settings.search = words if key == "search" else words[:1]
        elif key == "options":
            settings.options += words
    return settings


def is_loopback(server: str) -> bool:
    """True if a server is the machine itself; the address 0 is, too."""
    return server.startswith(("127.", "::ffff:127.")) or address(server) in ("::1", "::", "0.0.0.0")


def of_host(text: str, upstream: str) -> Settings:
    """The host's settings for a container, which can't reach the host's loopback.

    upstream: the text of UPSTREAM, "" if there is none; it replaces a file that names loopback servers only.
    """
    settings = parse(text)
    reachable = [server for server in settings.servers if not is_loopback(server)]
    if settings.servers and not reachable and upstream:
        settings = parse(upstream)
        reachable = [server for server in settings.servers if not is_loopback(server)]
    settings.servers = reachable
    return settings


def resolv_conf(
    host: Settings,
    dns: list[str],
    search: list[str],
    options: list[str],
    ipv6: bool = False,
    own_resolver: bool = False,
) -> str:
    """A container's resolv.conf. dns, search, options: the user's, each in place of the host's.

    own_resolver: the container is on a user-made network, where mydocker answers on RESOLVER. ipv6: the container has
    an IPv6 address; without one it can't reach IPv6 servers. Link-local servers are always out of reach.
    """
    servers = dns or [server for server in host.servers if "%" not in server and (ipv6 or ":" not in server)]
    search = [domain for domain in search if domain != "."] if search else host.search
    options = list(options or host.options)
    if own_resolver:
        servers = [RESOLVER]
        if not any(option.startswith("ndots:") for option in options):
            options.append("ndots:0")  # look `web` up as it is, before trying search domains
    lines = [f"nameserver {server}" for server in servers]
    if not lines:
        # docker uses 8.8.8.8 here. Without internet access each look-up would then wait for 20 seconds, and with it a
        # third party would learn the names. Without a server a look-up fails at once.
        lines.append("# this container can reach no DNS server of the host; --dns adds one")
    if search:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def hosts(
    hostname: str, addresses: list[str], extra: list[tuple[str, str]], gateway: str = "", ipv6: bool = False
) -> str:
    """A container's /etc/hosts. addresses: its own, without a prefix length; 127.0.1.1 if it has none.

    extra: --add-host, parsed. gateway: the host's address for the container, "" if the host is out of reach.
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
            raise InvalidArgument(
                f"no address for '{name}:{HOST_GATEWAY}'", "the container is not on a network of mydocker"
            )
        rows.append((gateway if value == HOST_GATEWAY else value, name))
    return "".join(f"{address}\t{names}\n" for address, names in rows) + "".join(
        own_lines(hostname, addresses or ["127.0.1.1"])
    )


def own_lines(hostname: str, addresses: list[str]) -> list[str]:
    """The lines of /etc/hosts with a container's own addresses."""
    short, dot, _ = hostname.partition(".")
    names = f"{hostname} {short}" if dot else hostname
    return [f"{own}\t{names}\n" for own in addresses] if hostname else []
