"""The commands that change running containers. Declarations only: each body passes its parameters on, unparsed."""

from typing import List, Optional

import typer

from mydocker.cli.declare.common import command, positional, text
from mydocker.cli.dispatch import dispatch

app = typer.Typer()

_PANEL = "Containers"


@command(app, "pause", _PANEL)
def pause(containers: List[str] = positional("CONTAINER...")) -> int:
    """Freeze all processes of running containers

    \b
    mydocker pause web        its memory, files and connections stay as they are
    mydocker unpause web      the processes go on
    """
    return dispatch("pause", locals())


@command(app, "unpause", _PANEL)
def unpause(containers: List[str] = positional("CONTAINER...")) -> int:
    """Let the processes of paused containers go on

    \b
    mydocker unpause web
    """
    return dispatch("unpause", locals())


@command(app, "update", _PANEL)
def update(
    restart: Optional[str] = text(
        "POLICY", "Restart policy: no, on-failure[:MAX], always or unless-stopped", "--restart"
    ),
    memory: Optional[str] = text("SIZE", "Memory limit, such as 100m", "-m", "--memory"),
    memory_swap: Optional[str] = text("SIZE", "Limit of memory plus swap; -1 for no limit", "--memory-swap"),
    memory_reservation: Optional[str] = text(
        "SIZE", "Soft limit: memory above it is reclaimed first", "--memory-reservation"
    ),
    cpus: Optional[str] = text("NUMBER", "Number of CPUs, such as 1.5", "--cpus"),
    cpu_shares: Optional[str] = text("NUMBER", "Relative CPU weight (1024)", "-c", "--cpu-shares"),
    cpu_period: Optional[str] = text("MICROSECONDS", "Period of the CPU quota", "--cpu-period"),
    cpu_quota: Optional[str] = text("MICROSECONDS", "CPU time in each period; -1 for no limit", "--cpu-quota"),
    cpu_rt_period: Optional[str] = text("MICROSECONDS", "Period of the real-time runtime", "--cpu-rt-period"),
    cpu_rt_runtime: Optional[str] = text("MICROSECONDS", "Real-time CPU time in each period", "--cpu-rt-runtime"),
    cpuset_cpus: Optional[str] = text("CPUS", "CPUs that may be used, such as 0-2,4", "--cpuset-cpus"),
    cpuset_mems: Optional[str] = text("NODES", "Memory nodes that may be used, such as 0,1", "--cpuset-mems"),
    pids_limit: Optional[str] = text("NUMBER", "Limit of processes; -1 for no limit", "--pids-limit"),
    blkio_weight: Optional[str] = text("NUMBER", "Relative weight of block I/O, 10 to 1000", "--blkio-weight"),
    containers: List[str] = positional("CONTAINER..."),
) -> int:
    """Change limits and the restart policy of containers, while they run

    \b
    mydocker update --memory 200m --memory-swap 400m web
    mydocker update --cpus 0.5 --restart always web db
    """
    return dispatch("update", locals())
