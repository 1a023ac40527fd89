"""Print, as JSON, what a container could leave behind on this machine. Argument: the tests' store.

It runs on the machine under test, as a script on python3's command line. What other programs do there shall not
matter, so processes and temporary files count only if they have to do with the store or carry mydocker's name.
"""

import json
import os
import subprocess
import sys

store = sys.argv[1]


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


def names(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def mounts():
    """Without the mounts' own numbers; their propagation counts."""
    return sorted(" ".join(line.split()[3:]) for line in read("/proc/self/mountinfo").splitlines())


def cgroups():
    """Those of the store's containers, in every hierarchy: their common parent has the store's name."""
    ours = os.path.basename(store)
    return sorted(top for top, _, _ in os.walk("/sys/fs/cgroup") if ours in top)


def processes():
    """Those that have the store in their command line, environment or open files, or mounted in their own namespace."""
    here, me, found = link("/proc/self/ns/mnt"), os.getpid(), []
    for pid in filter(str.isdigit, names("/proc")):
        folder = f"/proc/{pid}"
        if int(pid) in (me, os.getppid()):
            continue
        texts = [read(f"{folder}/cmdline"), read(f"{folder}/environ"), link(f"{folder}/cwd"), link(f"{folder}/exe")]
        texts += [link(f"{folder}/fd/{fd}") for fd in names(f"{folder}/fd")]
        if link(f"{folder}/ns/mnt") not in ("", here):
            texts.append(read(f"{folder}/mountinfo"))
        if any(store in text for text in texts):
            found.append(f"{pid} {read(f'{folder}/cmdline')!r}")
    return found


def files():
    """The store down to its third level: a container, a layer, a blob, a name, a socket is a line each."""
    found = []
    for top, folders, leaves in os.walk(store):
        if top.count("/") - store.count("/") >= 4 or "/containers/" in top or "/layers/" in top or "/volumes/" in top:
            folders.clear()
            continue
        found += [f"{top}/{name}"[len(store) :] for name in folders + leaves]
    return sorted(found)


def temporary():
    ours = os.path.basename(store)
    return [
        f"{folder}/{name}"
        for folder in ("/tmp", "/var/tmp", "/dev/shm")
        for name in names(folder)
        if "mydocker" in name and not name.startswith(("mydocker-test.", ours))
    ]


def firewall():
    done = subprocess.run(["iptables-save"], capture_output=True, text=True)
    return sorted(line for line in done.stdout.splitlines() if line.startswith("-A"))


def devices():
    """A container's /dev is built from names that exist on the host too: these must never change."""
    wanted = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "console")
    return [f"{name} {s.st_mode:o} {s.st_rdev:x}" for name in wanted for s in [os.lstat(f"/dev/{name}")]]


print(
    json.dumps(
        {
            "mounts": mounts(),
            "cgroups": cgroups(),
            "links": names("/sys/class/net"),
            "namespaces": names("/run/netns"),
            "firewall": firewall(),
            "processes": processes(),
            "files": files(),
            "temporary files": temporary(),
            "devices": devices(),
            "host name": [os.uname().nodename],
        }
    )
)
