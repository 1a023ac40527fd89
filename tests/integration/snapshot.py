"""Print, as JSON, everything that a container could leave behind on this machine. On stdin: the tests' store.

It runs on the machine under test, as a script on python3's command line. Other programs must not matter, so processes
and temporary files count only if they refer to the store or have mydocker's name. For the same reason the store is not
on the command line, nor on those of the programs that start this (sudo, a shell).

Meanwhile, containers and networks of other stores appear and vanish, as those of a second run of the tests. Control
groups, links and rules carry an ID, and those that another store has on record are left out. Those that no store has on
record, of a kind "stray …", may be left by the tests or belong to others.
"""

import glob
import json
import os
import re
import subprocess
import sys

store = sys.stdin.read()
PARENTS = ("mydocker", "mydocker.slice/containers")


def read(path):
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return ""


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def names(directory):
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def mounts():
    """List the mounts with their propagation, but not their numbers. Those of another run of the tests are left out."""
    lines = [" ".join(line.split()[3:]) for line in read("/proc/self/mountinfo").splitlines()]
    others = ("mydocker-test.", "/pytest-of-")
    return sorted(line for line in lines if store in line or not any(other in line for other in others))


def recorded(lib):
    """Map the IDs of a store's containers and networks to the network's bridge, "" for a container."""
    ids = dict.fromkeys(names(f"{lib}/containers"), "")
    for path in glob.glob(f"{glob.escape(lib)}/networks/*/network.json"):
        network = re.search(r'"id": *"([0-9a-f]+)".*"device": *"([^"]+)"', read(path))
        if network:
            ids[network[1]] = network[2]
    return ids


def stores():
    """List other stores."""
    elsewhere = [re.search(r"(?:^|\0)MYDOCKER_ROOT=([^\0]+)", read(f"/proc/{pid}/environ")) for pid in names("/proc")]
    places = {"/var/lib/mydocker", *glob.glob("/var/tmp/*/lib"), *(each[1] for each in elsewhere if each)}
    return [place for place in places if not place.startswith(store)]


def sort_out(kind, things):
    """Leave out the things of other stores. things: (name, its ID or the beginning of it, or "")."""
    sorted_out = {kind: [], f"stray {kind}": []}
    for thing, identity in things:
        if not identity or any(each.startswith(identity) for each in OURS):
            sorted_out[kind].append(thing)
        elif not any(each.startswith(identity) for each in THEIRS):
            sorted_out[f"stray {kind}"].append(thing)
    return sorted_out


def busy_elsewhere(name):
    """True if a control group has processes of another PID namespace, which are not visible here."""
    places = ["/sys/fs/cgroup", "/sys/fs/cgroup/pids"]
    for directory in [f"{place}/{parent}/{name}" for place in places for parent in PARENTS]:
        if read(f"{directory}/pids.current").strip() not in ("", "0") or "populated 1" in read(
            f"{directory}/cgroup.events"
        ):
            return True
    return False


def cgroups():
    """List the control groups of mydocker's containers, in every hierarchy. One of another store has a process."""
    groups = []
    roots = ["/sys/fs/cgroup", *(f"/sys/fs/cgroup/{name}" for name in names("/sys/fs/cgroup"))]
    for parent in [f"{root}/{below}" for root in roots for below in PARENTS]:
        for name in names(parent):
            pids = read(f"{parent}/{name}/cgroup.procs").split()
            if os.path.isdir(f"{parent}/{name}") and (any(map(ours, pids)) if pids else not busy_elsewhere(name)):
                groups.append((f"{parent}/{name}", name))
    return groups


def links():
    rows = []
    bridges = {bridge: identity for identity, bridge in {**OURS, **THEIRS}.items()}  # some have no alias yet
    for name in names("/sys/class/net"):
        if name.startswith("lan-") and not store.endswith(name[4:]):
            continue  # of another run: see lan.py
        alias = read(f"/sys/class/net/{name}/ifalias")
        marked = re.match(r"mydocker: network \S+ ([0-9a-f]{12})", alias) or re.match(r"veth([0-9a-f]{8})\d+$", name)
        rows.append((name, marked[1] if marked else bridges.get(name, "")))
    return rows


def ours(pid):
    """True if a process has the store in its command line, environment, open files or own mount namespace."""
    directory = f"/proc/{pid}"
    texts = [
        read(f"{directory}/cmdline"),
        read(f"{directory}/environ"),
        link(f"{directory}/cwd"),
        link(f"{directory}/exe"),
    ]
    texts += [link(f"{directory}/fd/{fd}") for fd in names(f"{directory}/fd")]
    if link(f"{directory}/ns/mnt") not in ("", link("/proc/self/ns/mnt")):
        texts.append(read(f"{directory}/mountinfo"))
    return any(store in text for text in texts)


def processes():
    return [f"{pid} {read(f'/proc/{pid}/cmdline')!r}" for pid in names("/proc") if pid.isdigit() and ours(pid)]


def files():
    """List the store down to its third level: a line for each container, layer, blob, name and socket. Compiled seccomp
    filters are left out, as they stay."""
    paths = []
    for top, directories, leaves in os.walk(store):
        if top.count("/") - store.count("/") >= 4 or "/containers/" in top or "/layers/" in top or "/volumes/" in top:
            directories.clear()
            continue
        if "_seccomp" in directories:
            directories.remove("_seccomp")
        paths += [f"{top}/{name}"[len(store) :] for name in directories + leaves]
    return sorted(paths)


def temporary():
    """List mydocker's temporary files. Those of the tests, benchmarks and packages have other prefixes."""
    others = ("mydocker-test.", "mydocker-benchmark.", "mydocker-package.", "mydocker-lab.")
    places = [(directory, name) for directory in ("/tmp", "/var/tmp", "/dev/shm") for name in names(directory)]
    return [f"{place}/{name}" for place, name in places if "mydocker" in name and not name.startswith(others)]


def namespaces():
    """List the namespaces of ip-netns(8), without those of other stores' containers."""
    shown = [(name, link(f"/run/netns/{name}").split("/")) for name in names("/run/netns")]
    return [
        name for name, target in shown if len(target) < 3 or not os.path.exists(f"/proc/{target[2]}") or ours(target[2])
    ]


def firewall(program):
    try:
        done = subprocess.run([program], capture_output=True, text=True)
    except FileNotFoundError:
        return []
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("-A"))
    marks = [re.search(r'--comment "mydocker: (?:network|container) \S+ ([0-9a-f]{12})"', line) for line in lines]
    return [(line, mark[1] if mark else "") for line, mark in zip(lines, marks)]


def devices():
    """List the host's devices whose names a container's /dev has, too: they must never change."""
    devices = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "console")
    return [f"{name} {s.st_mode:o} {s.st_rdev:x}" for name in devices for s in [os.lstat(f"/dev/{name}")]]


OURS, THEIRS = recorded(f"{store}/lib"), {}
for place in stores():
    THEIRS.update(recorded(place))
print(
    json.dumps(
        {
            "mounts": mounts(),
            **sort_out("cgroups", cgroups()),
            **sort_out("links", links()),
            "namespaces": namespaces(),
            **sort_out("firewall", firewall("iptables-save")),
            **sort_out("firewall of IPv6", firewall("ip6tables-save")),
            "processes": processes(),
            "files": files(),
            "temporary files": temporary(),
            "devices": devices(),
            "host name": [os.uname().nodename],
        }
    )
)
