"""Limits, isolation and pause beside docker: the same options give the same inspect, the same answers and codes."""

from __future__ import annotations

import json

OPTIONS = """
    --cpu-period=50000 --cpu-quota=25000 -c=512 --memory-reservation=50m --memory-swappiness=7 -m=100m --pids-limit=-1
    --oom-kill-disable --device-cgroup-rule=c~42:*~rmw --cgroup-parent=/jobs --group-add=5 --domainname=lab.example
    --ipc=shareable --cgroupns=host --security-opt=systempaths=unconfined --userns=host
"""
HOST_CONFIG = """
    CpuPeriod CpuQuota CpuShares NanoCpus MemoryReservation MemorySwappiness Memory MemorySwap PidsLimit OomKillDisable
    DeviceCgroupRules CgroupParent GroupAdd IpcMode PidMode CgroupnsMode SecurityOpt MaskedPaths ReadonlyPaths
    UsernsMode BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteIOps VolumesFrom
"""
UPDATES = """
    -m=100m
    -m=100m~--memory-swap=50m
    -m=100m~--memory-swap=200m
    -m=150m
    -m=250m
    -m=50m
    --memory-reservation=400m
    --memory-reservation=4m
    --cpus=0.5
    --cpu-period=50000
    --cpus=1~--cpu-quota=50000
    --cpus=0
    -c=300~--cpuset-cpus=0~--pids-limit=20
    --cpuset-cpus=7777
    --restart=on-failure:3
"""
CHANGED = "Memory MemorySwap MemoryReservation NanoCpus CpuPeriod CpuQuota CpuShares CpusetCpus PidsLimit RestartPolicy"


def shown(program, name: str, part: str, keys: str) -> dict[str, object]:
    config = json.loads(program.ok("inspect", name))[0][part]
    return {key: config[key] for key in keys.split()}


def test_inspect_shows_the_same(docker, mydocker, name):
    options = [option.replace("~", " ") for option in OPTIONS.split()]
    for program in (docker, mydocker):
        program.ok("create", "--net", "none", "--name", name, *options, "busybox")
    assert shown(mydocker, name, "HostConfig", HOST_CONFIG) == shown(docker, name, "HostConfig", HOST_CONFIG)
    assert shown(mydocker, name, "Config", "Domainname") == shown(docker, name, "Config", "Domainname")


def test_update_does_the_same(docker, mydocker, name):
    for program in (docker, mydocker):
        program.ok("run", "-d", "--net", "none", "--name", name, "busybox", "sleep", "1000")
    for line in UPDATES.split():
        done = [program("update", *line.split("~"), name).rc == 0 for program in (docker, mydocker)]
        values = [shown(program, name, "HostConfig", CHANGED) for program in (docker, mydocker)]
        assert (line, done[1], values[1]) == (line, done[0], values[0])


def test_a_paused_container_answers_the_same(docker, mydocker, name):
    for program in (docker, mydocker):
        program.ok("run", "-d", "--net", "none", "--name", name, "busybox", "sleep", "1000")
    for line in """pause|pause|exec N true|start|rm|kill -s USR1|pause|commit|stop -t 0|pause|unpause|start|pause
        |restart -t 0|unpause|pause|rm -f""".split("|"):
        words = line.split() if " N " in line else [*line.split(), "N"]
        words = [name if word == "N" else word for word in words]
        codes, states = [], []
        for program in (docker, mydocker):
            result = program(*words)
            codes.append(result.rc)
            if words[0] == "commit":
                program.ok("rmi", result.stdout.strip())
            states.append(program.ok("ps", "-a", "--format", "{{.Names}} {{.State}}"))
        assert (line, codes[1], states[1]) == (line, codes[0], states[0])
