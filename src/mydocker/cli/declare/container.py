"""The commands on containers. Declarations only: each body passes its parameters on, unparsed."""

import inspect
from typing import Any, List, Optional

import typer

from mydocker.cli.declare.common import DETACH_KEYS, command, flag, many, optional, positional, switch, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()
group = typer.Typer(help="Manage containers")

_PANEL = "Containers"
_STORAGE, _RESOURCES = "Storage", "Resources"
_NETWORK = "Network"
_ISOLATION = "Isolation"


@command(app, "run", _PANEL, stop_at_positional=True)
def run(
    detach: bool = flag("Run in the background and print the container's ID", "-d", "--detach"),
    interactive: bool = flag("Keep stdin open and pass it to the command", "-i", "--interactive"),
    tty: bool = flag("Allocate a terminal", "-t", "--tty"),
    attach: List[str] = many("STREAM", "Attach to stdin, stdout or stderr only", "-a", "--attach"),
    rm: bool = flag("Remove the container when it exits", "--rm"),
    restart: Optional[str] = text(
        "POLICY", "Restart policy: no, on-failure[:MAX], always or unless-stopped (no)", "--restart"
    ),
    name: Optional[str] = text("NAME", "Name of the container", "--name"),
    env: List[str] = many("KEY[=VALUE]", "Set an environment variable; without a value, the caller's", "-e", "--env"),
    env_file: List[str] = many("FILE", "Read environment variables from a file", "--env-file"),
    workdir: Optional[str] = text("DIR", "Working directory in the container", "-w", "--workdir"),
    user: Optional[str] = text("USER[:GROUP]", "User and group, by name or ID", "-u", "--user"),
    group_add: List[str] = many("GROUP", "Add a group to the user's, by name or GID", "--group-add"),
    umask: Optional[str] = text("MODE", "umask of the command, such as 027 (0022)", "--umask"),
    hostname: Optional[str] = text("NAME", "Host name of the container", "-h", "--hostname"),
    domainname: Optional[str] = text("NAME", "Domain name of the container", "--domainname"),
    entrypoint: Optional[str] = text("COMMAND", "Replace the image's entrypoint", "--entrypoint"),
    init: bool = flag("Run an init as PID 1 that forwards signals and reaps processes", "--init"),
    label: List[str] = many("KEY[=VALUE]", "Set a label on the container", "-l", "--label"),
    label_file: List[str] = many("FILE", "Read labels from a file", "--label-file"),
    annotation: List[str] = many("KEY=VALUE", "Put an annotation into the OCI bundle", "--annotation"),
    cidfile: Optional[str] = text("FILE", "Write the container's ID to a file", "--cidfile"),
    stop_signal: Optional[str] = text("SIGNAL", "Signal that 'stop' sends first (SIGTERM)", "--stop-signal"),
    stop_timeout: Optional[str] = text("SECONDS", "Time that 'stop' waits before SIGKILL (10)", "--stop-timeout"),
    log_driver: Optional[str] = text("DRIVER", "json-file or local; both mean mydocker's own log", "--log-driver"),
    log_opt: List[str] = many("KEY=VALUE", "Log rotation, such as max-size=10m or max-file=3", "--log-opt"),
    pull: Optional[str] = text("WHEN", "Pull the image: always, missing (the default) or never", "--pull"),
    quiet: bool = flag("Say nothing while the image is pulled", "-q", "--quiet"),
    platform: Optional[str] = text("PLATFORM", "Platform of the image; only this machine's", "--platform"),
    disable_content_trust: bool = flag(
        "Accepted for compatibility: signatures are not verified", "--disable-content-trust"
    ),
    no_healthcheck: bool = flag("Accepted for compatibility: health checks are not run", "--no-healthcheck"),
    sig_proxy: bool = switch("Forward signals to the container; =false: they end this command", "--sig-proxy"),
    detach_keys: Optional[str] = DETACH_KEYS,
    explain: bool = flag(
        "Show the kernel steps, with shell equivalents and durations; --explain=all folds none", "--explain"
    ),
    dry_run: bool = flag("Show the steps without running anything", "--dry-run"),
    format: Optional[str] = text("FORMAT", "Format of the steps: json, or trace for Perfetto", "--format"),
    volume: List[str] = many(
        "SOURCE:TARGET[:ro]", "Mount a host directory or a named volume", "-v", "--volume", panel=_STORAGE
    ),
    mount: List[str] = many(
        "MOUNT", "Add a mount, such as type=bind,src=/a,dst=/b,readonly", "--mount", panel=_STORAGE
    ),
    tmpfs: List[str] = many("TARGET[:OPTIONS]", "Mount a tmpfs", "--tmpfs", panel=_STORAGE),
    volumes_from: List[str] = many(
        "CONTAINER[:ro]", "Mount the volumes of another container, too", "--volumes-from", panel=_STORAGE
    ),
    volume_driver: Optional[str] = text("DRIVER", "local, the only driver", "--volume-driver", panel=_STORAGE),
    read_only: bool = flag("Mount the root file system read-only", "--read-only", panel=_STORAGE),
    shm_size: Optional[str] = text("SIZE", "Size of /dev/shm (64m)", "--shm-size", panel=_STORAGE),
    network: List[str] = many(
        "NETWORK", "Network to connect to; or none, host, container:NAME (bridge)", "--network", "--net", panel=_NETWORK
    ),
    publish: List[str] = many(
        "[[IP:]HOST:]PORT[/udp]", "Publish a port of the container on the host", "-p", "--publish", panel=_NETWORK
    ),
    publish_all: bool = flag("Publish all exposed ports on free ports", "-P", "--publish-all", panel=_NETWORK),
    expose: List[str] = many("PORT[/udp]", "Expose a port, without publishing it", "--expose", panel=_NETWORK),
    ip: Optional[str] = text("ADDRESS", "IPv4 address on the network", "--ip", panel=_NETWORK),
    mac_address: Optional[str] = text("MAC", "MAC address on the network", "--mac-address", panel=_NETWORK),
    network_alias: List[str] = many(
        "NAME", "Additional name on the network", "--network-alias", "--net-alias", panel=_NETWORK
    ),
    dns: List[str] = many("ADDRESS", "DNS server", "--dns", panel=_NETWORK),
    dns_search: List[str] = many("DOMAIN", "DNS search domain; . for none", "--dns-search", panel=_NETWORK),
    dns_option: List[str] = many("OPTION", "DNS option, for resolv.conf", "--dns-option", "--dns-opt", panel=_NETWORK),
    add_host: List[str] = many(
        "NAME:ADDRESS", "Add a line to /etc/hosts; the address host-gateway is the host's", "--add-host", panel=_NETWORK
    ),
    memory: Optional[str] = text("SIZE", "Memory limit, such as 100m", "-m", "--memory", "--mem", panel=_RESOURCES),
    memory_swap: Optional[str] = text(
        "SIZE", "Limit of memory plus swap; -1 for no limit", "--memory-swap", panel=_RESOURCES
    ),
    memory_reservation: Optional[str] = text(
        "SIZE", "Soft limit: memory above it is reclaimed first", "--memory-reservation", panel=_RESOURCES
    ),
    memory_swappiness: Optional[str] = text(
        "NUMBER", "Tendency to swap, 0 to 100; cgroup v1 only", "--memory-swappiness", panel=_RESOURCES
    ),
    oom_kill_disable: bool = flag(
        "Let processes wait for memory instead of killing one; cgroup v1 only", "--oom-kill-disable", panel=_RESOURCES
    ),
    cpus: Optional[str] = text("NUMBER", "Number of CPUs, such as 1.5", "--cpus", panel=_RESOURCES),
    cpu_shares: Optional[str] = text(
        "NUMBER", "Relative CPU weight (1024)", "-c", "--cpu-shares", "--cpushare", panel=_RESOURCES
    ),
    cpu_period: Optional[str] = text(
        "MICROSECONDS", "Period of the CPU quota (100000)", "--cpu-period", panel=_RESOURCES
    ),
    cpu_quota: Optional[str] = text(
        "MICROSECONDS", "CPU time in each period; -1 for no limit", "--cpu-quota", panel=_RESOURCES
    ),
    cpu_rt_period: Optional[str] = text(
        "MICROSECONDS", "Period of the real-time runtime; cgroup v1 only", "--cpu-rt-period", panel=_RESOURCES
    ),
    cpu_rt_runtime: Optional[str] = text(
        "MICROSECONDS", "Real-time CPU time in each period; cgroup v1 only", "--cpu-rt-runtime", panel=_RESOURCES
    ),
    cpuset_cpus: Optional[str] = text(
        "CPUS", "CPUs that may be used, such as 0-2,4", "--cpuset-cpus", "--cpuset", panel=_RESOURCES
    ),
    cpuset_mems: Optional[str] = text(
        "NODES", "Memory nodes that may be used, such as 0,1", "--cpuset-mems", panel=_RESOURCES
    ),
    pids_limit: Optional[str] = text("NUMBER", "Limit of processes; -1 for no limit", "--pids-limit", panel=_RESOURCES),
    blkio_weight: Optional[str] = text(
        "NUMBER", "Relative weight of block I/O, 10 to 1000", "--blkio-weight", panel=_RESOURCES
    ),
    blkio_weight_device: List[str] = many(
        "DEVICE:NUMBER", "The same for one disk, such as /dev/sda:300", "--blkio-weight-device", panel=_RESOURCES
    ),
    device_read_bps: List[str] = many(
        "DEVICE:SIZE", "Limit of bytes read a second, such as /dev/sda:1mb", "--device-read-bps", panel=_RESOURCES
    ),
    device_read_iops: List[str] = many(
        "DEVICE:NUMBER", "Limit of reads a second", "--device-read-iops", panel=_RESOURCES
    ),
    device_write_bps: List[str] = many(
        "DEVICE:SIZE", "Limit of bytes written a second", "--device-write-bps", panel=_RESOURCES
    ),
    device_write_iops: List[str] = many(
        "DEVICE:NUMBER", "Limit of writes a second", "--device-write-iops", panel=_RESOURCES
    ),
    cgroup_parent: Optional[str] = text(
        "CGROUP", "Cgroup or slice in which the container's is made", "--cgroup-parent", panel=_RESOURCES
    ),
    ulimit: List[str] = many(
        "NAME=SOFT[:HARD]", "Set a resource limit, such as nofile=1024", "--ulimit", panel=_RESOURCES
    ),
    oom_score_adj: Optional[str] = text(
        "NUMBER", "Preference of the OOM killer, -1000 to 1000", "--oom-score-adj", panel=_RESOURCES
    ),
    pid: Optional[str] = text(
        "PID", "PID namespace: host, or container:NAME for that container's", "--pid", panel=_ISOLATION
    ),
    ipc: Optional[str] = text(
        "IPC",
        "IPC namespace: private, shareable, none (no /dev/shm), host or container:NAME",
        "--ipc",
        panel=_ISOLATION,
    ),
    uts: Optional[str] = text("host", "Use the host's UTS namespace", "--uts", panel=_ISOLATION),
    userns: Optional[str] = text("host", "host; mydocker has no user namespaces", "--userns", panel=_ISOLATION),
    cgroupns: Optional[str] = text(
        "CGROUPNS", "Cgroup namespace: private or host (private)", "--cgroupns", panel=_ISOLATION
    ),
    runtime: Optional[str] = text("RUNTIME", "runc; accepted for compatibility", "--runtime", panel=_ISOLATION),
    isolation: Optional[str] = text("default", "default, the only one", "--isolation", panel=_ISOLATION),
    cap_add: List[str] = many("CAPABILITY", "Add a capability", "--cap-add", panel=_ISOLATION),
    cap_drop: List[str] = many("CAPABILITY", "Drop a capability", "--cap-drop", panel=_ISOLATION),
    device: List[str] = many("PATH[:TARGET[:rwm]]", "Add a device of the host", "--device", panel=_ISOLATION),
    device_cgroup_rule: List[str] = many(
        "RULE", "Allow devices that may come later, such as 'c 189:* rmw'", "--device-cgroup-rule", panel=_ISOLATION
    ),
    security_opt: List[str] = many(
        "OPTION", "no-new-privileges, or seccomp= or systempaths=unconfined", "--security-opt", panel=_ISOLATION
    ),
    sysctl: List[str] = many("NAME=VALUE", "Set a namespaced kernel parameter", "--sysctl", panel=_ISOLATION),
    privileged: bool = flag("Give all capabilities and devices to the container", "--privileged", panel=_ISOLATION),
    image_and_command: List[str] = positional("[IMAGE] [COMMAND] [ARG...]"),
) -> int:
    """Create a container and run a command in it

    Without an IMAGE, the COMMAND runs in the default image, busybox. Long options also work with one dash: -name, -mem.

    \b
    mydocker run -ti sh                               a shell in a container
    mydocker run -d --memory 200m --cpus 0.5 nginx    one with limits
    """
    return dispatch("run", locals())


@command(app, "create", _PANEL, stop_at_positional=True)
def create(**params: Any) -> int:
    """Create a container without starting it"""
    return dispatch("create", params)


# create has the options of run, except those that only affect a start.
create.__annotations__ = run.__annotations__
create.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        parameter
        for name, parameter in inspect.signature(run).parameters.items()
        if name not in ("detach", "detach_keys", "sig_proxy", "explain", "dry_run", "format")
    ]
)


@command(app, "start", _PANEL)
def start(
    attach: bool = flag("Show its output and forward signals until it exits", "-a", "--attach"),
    interactive: bool = flag("Pass stdin to the container", "-i", "--interactive"),
    detach_keys: Optional[str] = DETACH_KEYS,
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Start stopped containers"""
    return dispatch("start", locals())


@command(app, "stop", _PANEL)
def stop(
    signal: Optional[str] = text("SIGNAL", "Signal to send first, instead of the container's own", "-s", "--signal"),
    time: Optional[str] = text("SECONDS", "Time to wait before SIGKILL (10)", "-t", "--time", "--timeout"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Stop running containers: SIGTERM, then SIGKILL"""
    return dispatch("stop", locals())


@command(app, "kill", _PANEL)
def kill(
    signal: Optional[str] = text("SIGNAL", "Signal to send (SIGKILL)", "-s", "--signal"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Send a signal to running containers"""
    return dispatch("kill", locals())


@command(app, "restart", _PANEL)
def restart(
    signal: Optional[str] = text("SIGNAL", "Signal to send first, instead of the container's own", "-s", "--signal"),
    time: Optional[str] = text("SECONDS", "Time to wait before SIGKILL (10)", "-t", "--time", "--timeout"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Restart containers"""
    return dispatch("restart", locals())


@command(app, "rename", _PANEL)
def rename(container: str = positional("CONTAINER"), name: str = positional("NEW_NAME")) -> int:
    """Rename a container, also while it runs

    \b
    mydocker rename web web-old       web's name is free for another container
    """
    return dispatch("rename", locals())


@command(app, "rm", _PANEL)
def rm(
    force: bool = flag("Kill a running container, then remove it", "-f", "--force"),
    volumes: bool = flag("Remove its anonymous volumes, too", "-v", "--volumes"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Remove containers"""
    return dispatch("rm", locals())


@command(app, "ps", _PANEL)
def ps(
    all: bool = flag("Show stopped containers, too", "-a", "--all"),
    quiet: bool = flag("Print IDs only", "-q", "--quiet"),
    last: Optional[str] = text("NUMBER", "Show the NUMBER last created containers, in any state", "-n", "--last"),
    latest: bool = flag("Show the last created container, in any state", "-l", "--latest"),
    size: bool = flag("Show the sizes of the containers' files", "-s", "--size"),
    no_trunc: bool = flag("Don't truncate output", "--no-trunc"),
    filter: List[str] = many("KEY=VALUE", "Filter the list, such as status=exited", "-f", "--filter"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.ID}} {{.Names}}'", "--format"),
) -> int:
    """List containers"""
    return dispatch("ps", locals())


@command(app, "logs", _PANEL)
def logs(
    follow: bool = flag("Follow the output", "-f", "--follow"),
    tail: Optional[str] = text("NUMBER", "Number of lines to show from the end", "-n", "--tail"),
    since: Optional[str] = text("TIME", "Show output since a time, or a duration ago such as 10m", "--since"),
    until: Optional[str] = text("TIME", "Show output until a time, or a duration ago", "--until"),
    timestamps: bool = flag("Show timestamps", "-t", "--timestamps"),
    details: bool = flag("Show the labels and variables that --log-opt labels= and env= name", "--details"),
    container: str = positional("CONTAINER"),
) -> int:
    """Show the output of a container"""
    return dispatch("logs", locals())


@command(app, "top", _PANEL, stop_at_positional=True)
def top(container_and_options: List[str] = positional("CONTAINER [PS_OPTION...]")) -> int:
    """Show the processes of a container, by the host's ps

    \b
    mydocker top web                  as 'ps -ef' shows them
    mydocker top web -o pid,user,args
    """
    return dispatch("top", locals())


@command(app, "stats", _PANEL)
def stats(
    all: bool = flag("Show stopped containers, too", "-a", "--all"),
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.Name}} {{.CPUPerc}}'", "--format"),
    no_stream: bool = flag("Print one table, instead of a new one each second", "--no-stream"),
    no_trunc: bool = flag("Don't truncate output", "--no-trunc"),
    containers: List[str] = optional("[CONTAINER...]"),
) -> int:
    """Show what containers use of CPU, memory, network, disks and PIDs

    \b
    mydocker stats                    all running containers, until Ctrl-C
    mydocker stats --no-stream web
    """
    containers = containers or []  # newer Typers give None
    return dispatch("stats", locals())


@command(app, "diff", _PANEL)
def diff(container: str = positional("CONTAINER")) -> int:
    """List the files that a container has added (A), changed (C) and deleted (D)

    \b
    mydocker diff web
    """
    return dispatch("diff", locals())


@command(app, "cp", _PANEL)
def cp(
    archive: bool = flag("Accepted for compatibility: owners are always kept", "-a", "--archive"),
    follow_link: bool = flag("If the source is a symbolic link, copy what it leads to", "-L", "--follow-link"),
    quiet: bool = flag("Print no summary; without a terminal there is none", "-q", "--quiet"),
    source: str = positional("[CONTAINER:]SOURCE|-"),
    destination: str = positional("[CONTAINER:]DESTINATION|-"),
) -> int:
    """Copy files between a container, running or not, and the host

    One of the two is in a container; - is a tar archive on stdin or stdout.

    \b
    mydocker cp web:/etc/nginx .      a directory, to ./nginx
    mydocker cp site/. web:/srv       what is in a directory
    mydocker cp web:/srv - | gzip     as a tar archive
    """
    return dispatch("cp", locals())


@command(app, "port", _PANEL)
def port(
    container_and_ports: List[str] = positional("[add|rm] CONTAINER [PORT...]"),
) -> int:
    """List a container's published ports; add or remove some while it runs

    \b
    mydocker port web                 all published ports
    mydocker port web 80              the host's address for port 80
    mydocker port add web 8080:80     publish port 80
    mydocker port rm web 80           stop publishing port 80
    """
    return dispatch("port", locals())


@command(app, "wait", _PANEL)
def wait(containers: List[str] = positional("CONTAINER...")) -> int:
    """Wait until containers exit, and print their exit codes"""
    return dispatch("wait", locals())


@command(app, "inspect", _PANEL)
def inspect_(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.State.Pid}}'", "-f", "--format"),
    type: Optional[str] = text("TYPE", "container, image, volume or network only", "--type"),
    size: bool = flag("Show the sizes of a container's files", "-s", "--size"),
    names: List[str] = positional("NAME..."),
) -> int:
    """Show details of containers, images or volumes"""
    return dispatch("inspect", locals())


@command(app, "explain", _PANEL)
def explain(
    all: bool = flag("Show all steps; fold none that repeat", "-a", "--all"),
    format: Optional[str] = text("FORMAT", "json, or trace for Perfetto", "--format"),
    container: str = positional("CONTAINER"),
) -> int:
    """Show the kernel steps of a container's last start"""
    return dispatch("explain", locals())


@command(app, "commit", _PANEL)
def commit(
    author: Optional[str] = text("NAME", "Author of the image", "-a", "--author"),
    change: List[str] = many("INSTRUCTION", "Apply a Dockerfile instruction, such as 'CMD top'", "-c", "--change"),
    message: Optional[str] = text("TEXT", "Message for the image's history", "-m", "--message"),
    output: Optional[str] = text("FILE", "Write its root file system to a tar file, too", "-o", "--output"),
    pause: bool = switch("Pause a running container meanwhile; --pause=false does not", "--pause", "-p"),
    container: str = positional("CONTAINER"),
    image: Optional[str] = optional("[IMAGE[:TAG]]"),
) -> int:
    """Create an image from a container's changes"""
    return dispatch("commit", locals())


@command(app, "export", _PANEL)
def export(
    output: Optional[str] = text("FILE", "Write to a file instead of stdout", "-o", "--output"),
    container: str = positional("CONTAINER"),
) -> int:
    """Write a container's root file system as a tar archive"""
    return dispatch("export", locals())


@command(group, "inspect", _PANEL)
def inspect_containers(
    format: Optional[str] = text("FORMAT", "json, or a template such as '{{.State.Pid}}'", "-f", "--format"),
    size: bool = flag("Show the sizes of the containers' files", "-s", "--size"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Show details of containers"""
    return dispatch("container inspect", locals())


@command(group, "prune", _PANEL)
def prune(
    filter: List[str] = many("KEY=VALUE", "Filter the containers to remove, such as until=24h", "--filter"),
    force: bool = flag("Don't ask for confirmation", "-f", "--force"),
    dry_run: bool = flag("Show what would be removed, and remove nothing", "--dry-run"),
) -> int:
    """Remove all containers that do not run"""
    return dispatch("container prune", locals())
