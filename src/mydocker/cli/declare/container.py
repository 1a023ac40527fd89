"""The commands on containers. Declarations only: each body hands its parameters on, unparsed."""

import inspect
from typing import Any, List, Optional

import typer

from mydocker.cli.declare.common import command, flag, many, optional, positional, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()

_PANEL = "Containers"
_STORAGE = "Storage"
_RESOURCES = "Resources"
_NETWORK = "Network"
_ISOLATION = "Isolation"


@command(app, "run", _PANEL, stop_at_positional=True)
def run(
    detach: bool = flag("Run in the background and print the container's ID", "-d", "--detach"),
    interactive: bool = flag("Pass stdin on, its end too", "-i", "--interactive"),
    tty: bool = flag("Give the container a terminal", "-t", "--tty"),
    rm: bool = flag("Remove the container when it has ended", "--rm"),
    restart: Optional[str] = text(
        "POLICY", "Start it again: on-failure[:MAX], always or unless-stopped (no)", "--restart"
    ),
    name: Optional[str] = text("NAME", "Name the container", "--name"),
    env: List[str] = many("KEY[=VALUE]", "Set an environment variable, or pass the caller's on", "-e", "--env"),
    env_file: List[str] = many("FILE", "Read environment variables from a file", "--env-file"),
    workdir: Optional[str] = text("DIR", "Working directory in the container", "-w", "--workdir"),
    user: Optional[str] = text("USER[:GROUP]", "User and group, as names or numbers", "-u", "--user"),
    hostname: Optional[str] = text("NAME", "Host name in the container", "-h", "--hostname"),
    entrypoint: Optional[str] = text("COMMAND", "Replace the image's entrypoint", "--entrypoint"),
    init: bool = flag("Run an init as PID 1 that forwards signals and reaps processes", "--init"),
    label: List[str] = many("KEY[=VALUE]", "Label the container", "-l", "--label"),
    label_file: List[str] = many("FILE", "Read labels from a file", "--label-file"),
    cidfile: Optional[str] = text("FILE", "Write the container's ID to a new file", "--cidfile"),
    stop_signal: Optional[str] = text("SIGNAL", "What 'stop' sends first (SIGTERM)", "--stop-signal"),
    stop_timeout: Optional[str] = text("SECONDS", "How long 'stop' waits before SIGKILL (10)", "--stop-timeout"),
    log_driver: Optional[str] = text(
        "DRIVER", "json-file or local: the log of 'mydocker logs', as ever", "--log-driver"
    ),
    log_opt: List[str] = many("KEY=VALUE", "Rotate the log: max-size=10m, max-file=3", "--log-opt"),
    pull: Optional[str] = text("WHEN", "missing or never: there is no pull yet", "--pull"),
    platform: Optional[str] = text("PLATFORM", "The image's platform: this machine's only", "--platform"),
    disable_content_trust: bool = flag("Verify no signatures of the image, as ever", "--disable-content-trust"),
    no_healthcheck: bool = flag("Run no health checks, as ever", "--no-healthcheck"),
    sig_proxy: bool = flag("Pass signals on to the container, as ever", "--sig-proxy"),
    explain: bool = flag("Show every kernel step taken, with its shell equivalent and duration", "--explain"),
    dry_run: bool = flag("Show the steps, take none", "--dry-run"),
    format: Optional[str] = text("FORMAT", "How to show the steps: json, or trace for Perfetto", "--format"),
    volume: List[str] = many(
        "SOURCE:TARGET[:ro]", "Mount a host directory or a named volume", "-v", "--volume", panel=_STORAGE
    ),
    mount: List[str] = many("MOUNT", "Mount, such as type=bind,src=/a,dst=/b,readonly", "--mount", panel=_STORAGE),
    tmpfs: List[str] = many("TARGET[:OPTIONS]", "Mount a tmpfs", "--tmpfs", panel=_STORAGE),
    volume_driver: Optional[str] = text("DRIVER", "local, as ever", "--volume-driver", panel=_STORAGE),
    read_only: bool = flag("Make the root file system read-only", "--read-only", panel=_STORAGE),
    shm_size: Optional[str] = text("SIZE", "Size of /dev/shm (64m)", "--shm-size", panel=_STORAGE),
    network: List[str] = many(
        "NETWORK", "Network to join, or none, host, container:NAME (bridge)", "--network", "--net", panel=_NETWORK
    ),
    publish: List[str] = many(
        "[[IP:]HOST:]PORT[/udp]", "Publish a port of the container on the host", "-p", "--publish", panel=_NETWORK
    ),
    publish_all: bool = flag("Publish every exposed port on one that is free", "-P", "--publish-all", panel=_NETWORK),
    expose: List[str] = many("PORT[/udp]", "Note a port that the container listens on", "--expose", panel=_NETWORK),
    ip: Optional[str] = text("ADDRESS", "IPv4 address on the network", "--ip", panel=_NETWORK),
    mac_address: Optional[str] = text("MAC", "MAC address on the network", "--mac-address", panel=_NETWORK),
    network_alias: List[str] = many(
        "NAME", "A further name on the network", "--network-alias", "--net-alias", panel=_NETWORK
    ),
    dns: List[str] = many("ADDRESS", "DNS server to ask", "--dns", panel=_NETWORK),
    dns_search: List[str] = many("DOMAIN", "Domain to search names in; . for none", "--dns-search", panel=_NETWORK),
    dns_option: List[str] = many("OPTION", "Option of resolv.conf", "--dns-option", "--dns-opt", panel=_NETWORK),
    add_host: List[str] = many(
        "NAME:ADDRESS", "Add a line to /etc/hosts; host-gateway is the host", "--add-host", panel=_NETWORK
    ),
    memory: Optional[str] = text("SIZE", "Limit of memory, such as 100m", "-m", "--memory", "--mem", panel=_RESOURCES),
    memory_swap: Optional[str] = text(
        "SIZE", "Limit of memory and swap together; -1: no limit", "--memory-swap", panel=_RESOURCES
    ),
    cpus: Optional[str] = text("NUMBER", "Limit in CPUs, such as 1.5", "--cpus", panel=_RESOURCES),
    cpu_shares: Optional[str] = text(
        "NUMBER", "Weight among busy containers (1024)", "--cpu-shares", "--cpushare", panel=_RESOURCES
    ),
    cpuset_cpus: Optional[str] = text(
        "CPUS", "CPUs to run on, such as 0-2,4", "--cpuset-cpus", "--cpuset", panel=_RESOURCES
    ),
    cpuset_mems: Optional[str] = text("NODES", "Memory nodes to use, such as 0,1", "--cpuset-mems", panel=_RESOURCES),
    pids_limit: Optional[str] = text("NUMBER", "Limit of processes; -1: no limit", "--pids-limit", panel=_RESOURCES),
    ulimit: List[str] = many(
        "NAME=SOFT[:HARD]", "Set a resource limit, such as nofile=1024", "--ulimit", panel=_RESOURCES
    ),
    oom_score_adj: Optional[str] = text(
        "NUMBER", "What the OOM killer prefers: -1000 to 1000", "--oom-score-adj", panel=_RESOURCES
    ),
    pid: Optional[str] = text("host", "Share the host's process IDs", "--pid", panel=_ISOLATION),
    ipc: Optional[str] = text("host", "Share the host's IPC objects", "--ipc", panel=_ISOLATION),
    uts: Optional[str] = text("host", "Share the host's host name", "--uts", panel=_ISOLATION),
    userns: Optional[str] = text("host", "host, as ever: there are no user namespaces", "--userns", panel=_ISOLATION),
    cgroupns: Optional[str] = text("private", "private, as ever: a cgroup namespace", "--cgroupns", panel=_ISOLATION),
    runtime: Optional[str] = text("RUNTIME", "runc, whose work mydocker does", "--runtime", panel=_ISOLATION),
    isolation: Optional[str] = text("default", "default, as ever", "--isolation", panel=_ISOLATION),
    cap_add: List[str] = many("CAPABILITY", "Add a capability", "--cap-add", panel=_ISOLATION),
    cap_drop: List[str] = many("CAPABILITY", "Drop a capability", "--cap-drop", panel=_ISOLATION),
    device: List[str] = many("PATH[:TARGET[:rwm]]", "Add a device of the host", "--device", panel=_ISOLATION),
    security_opt: List[str] = many(
        "OPTION", "no-new-privileges or seccomp=unconfined", "--security-opt", panel=_ISOLATION
    ),
    sysctl: List[str] = many("NAME=VALUE", "Set a kernel parameter of the container", "--sysctl", panel=_ISOLATION),
    privileged: bool = flag("Lift the isolation: all capabilities, all devices", "--privileged", panel=_ISOLATION),
    image_and_command: List[str] = positional("[IMAGE] [COMMAND] [ARG...]"),
) -> int:
    """Create a container and run a command in it

    Without an IMAGE, the COMMAND runs in the default image, busybox. A long option may have one dash: -name, -mem.
    """
    return dispatch("run", locals())


@command(app, "create", _PANEL, stop_at_positional=True)
def create(**params: Any) -> int:
    """Create a container without starting it"""
    return dispatch("create", params)


# create's options are run's, but for those that only a start can have.
create.__annotations__ = run.__annotations__
create.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        parameter
        for name, parameter in inspect.signature(run).parameters.items()
        if name not in ("detach", "sig_proxy", "explain", "dry_run", "format")
    ]
)


@command(app, "start", _PANEL)
def start(
    attach: bool = flag("Show its output and forward signals, until it ends", "-a", "--attach"),
    interactive: bool = flag("Pass stdin on", "-i", "--interactive"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Start containers that are stopped"""
    return dispatch("start", locals())


@command(app, "stop", _PANEL)
def stop(
    signal: Optional[str] = text("SIGNAL", "Send this first instead of the container's own", "-s", "--signal"),
    time: Optional[str] = text("SECONDS", "How long to wait before SIGKILL (10)", "-t", "--time", "--timeout"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Stop running containers: SIGTERM, then SIGKILL"""
    return dispatch("stop", locals())


@command(app, "kill", _PANEL)
def kill(
    signal: Optional[str] = text("SIGNAL", "Signal to send (SIGKILL)", "-s", "--signal"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Send running containers a signal"""
    return dispatch("kill", locals())


@command(app, "restart", _PANEL)
def restart(
    signal: Optional[str] = text("SIGNAL", "Send this first instead of the container's own", "-s", "--signal"),
    time: Optional[str] = text("SECONDS", "How long to wait before SIGKILL (10)", "-t", "--time", "--timeout"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Stop containers and start them again"""
    return dispatch("restart", locals())


@command(app, "update", _PANEL)
def update(
    restart: Optional[str] = text(
        "POLICY", "When to start it again: no, on-failure[:MAX], always or unless-stopped", "--restart"
    ),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Change the restart policy of containers"""
    return dispatch("update", locals())


@command(app, "rm", _PANEL)
def rm(
    force: bool = flag("Kill a container that runs, then remove it", "-f", "--force"),
    volumes: bool = flag("Remove its anonymous volumes too", "-v", "--volumes"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Remove containers"""
    return dispatch("rm", locals())


@command(app, "ps", _PANEL)
def ps(
    all: bool = flag("Show those that don't run too", "-a", "--all"),
    quiet: bool = flag("Print IDs only", "-q", "--quiet"),
    last: Optional[str] = text("NUMBER", "Show the last created, running or not", "-n", "--last"),
    latest: bool = flag("Show the last created one", "-l", "--latest"),
    size: bool = flag("Show how much each has written, too", "-s", "--size"),
    no_trunc: bool = flag("Cut nothing short", "--no-trunc"),
    filter: List[str] = many("KEY=VALUE", "Show only what matches, such as status=exited", "-f", "--filter"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.ID}} {{.Names}}'", "--format"),
) -> int:
    """List containers"""
    return dispatch("ps", locals())


@command(app, "logs", _PANEL)
def logs(
    follow: bool = flag("Go on as more is written", "-f", "--follow"),
    tail: Optional[str] = text("NUMBER", "Show that many lines from the end", "-n", "--tail"),
    since: Optional[str] = text("TIME", "Show what came after a time, or in the last 10m", "--since"),
    until: Optional[str] = text("TIME", "Show what came before", "--until"),
    timestamps: bool = flag("Show when each line was written", "-t", "--timestamps"),
    container: str = positional("CONTAINER"),
) -> int:
    """Show what a container has written"""
    return dispatch("logs", locals())


@command(app, "port", _PANEL)
def port(
    container_and_ports: List[str] = positional("[add|rm] CONTAINER [PORT...]"),
) -> int:
    """Show a container's published ports; add some or take some away, while it runs

    \b
    mydocker port web         all of them; 'port web 80': where port 80 is found
    mydocker port add web 8080:80
    mydocker port rm web 80
    """
    return dispatch("port", locals())


@command(app, "exec", _PANEL, stop_at_positional=True)
def execute(
    detach: bool = flag("Run in the background", "-d", "--detach"),
    interactive: bool = flag("Pass stdin on, its end too", "-i", "--interactive"),
    tty: bool = flag("Give the command a terminal", "-t", "--tty"),
    env: List[str] = many("KEY[=VALUE]", "Set an environment variable, or pass the caller's on", "-e", "--env"),
    env_file: List[str] = many("FILE", "Read environment variables from a file", "--env-file"),
    workdir: Optional[str] = text("DIR", "Working directory in the container", "-w", "--workdir"),
    user: Optional[str] = text("USER[:GROUP]", "User and group, as names or numbers", "-u", "--user"),
    container: str = positional("CONTAINER"),
    command: List[str] = positional("COMMAND [ARG...]"),
) -> int:
    """Run another command in a running container"""
    return dispatch("exec", locals())


@command(app, "wait", _PANEL)
def wait(containers: List[str] = positional("CONTAINER...")) -> int:
    """Wait for containers to end and print their exit codes"""
    return dispatch("wait", locals())


@command(app, "inspect", _PANEL)
def inspect_(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.State.Pid}}'", "-f", "--format"),
    names: List[str] = positional("NAME..."),
) -> int:
    """Show all that is known of containers, images or volumes"""
    return dispatch("inspect", locals())


@command(app, "explain", _PANEL)
def explain(
    format: Optional[str] = text("FORMAT", "json, or trace for Perfetto", "--format"),
    container: str = positional("CONTAINER"),
) -> int:
    """Show the kernel steps that a container's start took"""
    return dispatch("explain", locals())


@command(app, "commit", _PANEL)
def commit(
    author: Optional[str] = text("NAME", "Author of the image", "-a", "--author"),
    change: List[str] = many("INSTRUCTION", "Apply a Dockerfile instruction, such as 'CMD top'", "-c", "--change"),
    message: Optional[str] = text("TEXT", "Say what it is", "-m", "--message"),
    output: Optional[str] = text("FILE", "Write its root file system to a tar file too", "-o", "--output"),
    pause: bool = flag("Taken for docker's sake: a container that runs is not paused", "-p", "--pause"),
    container: str = positional("CONTAINER"),
    image: Optional[str] = optional("[IMAGE[:TAG]]"),
) -> int:
    """Make an image from a container's changes"""
    return dispatch("commit", locals())


@command(app, "export", _PANEL)
def export(
    output: Optional[str] = text("FILE", "Write to a file instead of stdout", "-o", "--output"),
    container: str = positional("CONTAINER"),
) -> int:
    """Write a container's root file system as a tar"""
    return dispatch("export", locals())
