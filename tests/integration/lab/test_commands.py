"""Every command once, end to end, in as few steps as tell that it works: the slice that runs on every machine.

What the commands do in detail is tested elsewhere, on one machine. tests/unit/test_lab.py compares the marks here with
the list of commands.
"""

from __future__ import annotations

import io
import json
import tarfile

import pytest
from archives import busybox
from machine import until
from networks import address, device, network, rules

pytestmark = pytest.mark.lab
command = pytest.mark.command


@pytest.fixture
def bird(mydocker, name):
    """A running container that has said something."""
    mydocker.detached("--name", name, "--label", "kind=bird", "busybox", "sh", "-c", "echo tweet; exec sleep 600")
    mydocker.wait_log(name, "tweet")
    return name


@pytest.fixture
def net(mydocker, name):
    with network(mydocker, f"n{name}") as made:
        yield made


@command("run")
def test_run(mydocker):
    result = mydocker(
        "run", "--rm", "-i", "-e", "a=b c", "busybox", "sh", "-c", 'cat; echo "$a"; echo err >&2; exit 3', input=b"in\n"
    )
    assert (result.rc, result.stdout, result.stderr) == (3, "in\nb c\n", "err\n")


@command("create", "start", "wait", "rm")
def test_a_container_s_life(mydocker, name):
    made = mydocker.ok("create", "--name", name, "busybox", "sh", "-c", "exit 4")
    assert mydocker.ok("start", name) == name
    assert mydocker.ok("wait", name) == "4"
    assert mydocker.ok("rm", name) == name
    assert made not in mydocker.ok("ps", "-aq", "--no-trunc")


@command("attach")
def test_attach(mydocker, name):
    mydocker.detached("-i", "--name", name, "busybox", "sh", "-c", 'read -r word; echo "got $word"; exit 4')
    result = mydocker("attach", name, input=b"it\n")
    assert (result.rc, result.stdout) == (4, "got it\n")


@command("ps", "inspect")
def test_looking_at_a_container(mydocker, bird):
    assert (
        mydocker.ok("ps", "--filter", "label=kind=bird", "--format", "{{.Names}} {{.Image}} {{.State}}")
        == f"{bird} busybox running"
    )
    assert mydocker.inspect(bird, "Config", "Labels") == {"kind": "bird"}
    assert mydocker.ok("inspect", "-f", "{{.State.Running}}", bird) == "true"


@command("logs")
def test_logs(mydocker, bird):
    assert mydocker.ok("logs", bird) == "tweet"


@command("exec")
def test_exec(mydocker, bird):
    assert mydocker("exec", bird, "sh", "-c", "cat /proc/1/cmdline; exit 6").rc == 6
    assert mydocker.ok("exec", "-i", bird, "cat", input=b"through\n") == "through"


@command("stop", "restart")
def test_stop_and_restart(mydocker, name):
    mydocker.detached("--name", name, "busybox", "sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done")
    mydocker.wait_log(name, "up")
    first = mydocker.pid(name)
    assert mydocker.ok("restart", name) == name
    assert mydocker.pid(name) != first
    until(lambda: mydocker.ok("logs", name) == "up\nup", "its second word")
    assert mydocker.ok("stop", name) == name
    assert (mydocker.state(name)["Status"], mydocker.state(name)["ExitCode"]) == ("exited", 0)


@command("kill")
def test_kill(mydocker, bird):
    assert mydocker.ok("kill", bird) == bird
    until(lambda: mydocker.state(bird)["Status"] == "exited", "its end")
    assert mydocker.state(bird)["ExitCode"] == 137


@command("pause", "unpause")
def test_pause(mydocker, bird):
    assert mydocker.ok("pause", bird) == bird
    assert mydocker.state(bird)["Status"] == "paused"
    assert mydocker.ok("unpause", bird) == bird
    assert mydocker.ok("exec", bird, "echo", "on") == "on"


@command("update")
def test_update(mydocker, bird):
    assert mydocker.ok("update", "--restart", "on-failure:3", bird) == bird
    assert mydocker.inspect(bird, "HostConfig", "RestartPolicy") == {"Name": "on-failure", "MaximumRetryCount": 3}


@command("system df")
def test_disk_usage(mydocker, bird):
    assert f"{bird}\n" in mydocker.ok("system", "df", "-v") + "\n"
    assert mydocker.ok("system", "df", "--format", "{{.Type}}").splitlines()[1] == "Containers"


@command("rename", "top", "stats", "diff")
def test_another_look(mydocker, bird):
    mydocker.ok("rename", bird, f"{bird}-new")
    mydocker.ok("exec", f"{bird}-new", "touch", "/egg")
    assert mydocker.ok("diff", f"{bird}-new") == "A /egg"
    assert mydocker.ok("top", f"{bird}-new", "-o", "pid,args").endswith("sleep 600")
    assert mydocker.ok("stats", "--no-stream", "--format", "{{.PIDs}} {{.CPUPerc}}", f"{bird}-new").startswith("1 0.")
    mydocker.ok("rename", f"{bird}-new", bird)


@command("cp")
def test_cp(machine, mydocker, bird, directory):
    mydocker.ok("exec", bird, "sh", "-c", "mkdir /nest; echo egg >/nest/one")
    mydocker.ok("cp", f"{bird}:/nest", directory)
    assert machine.read(f"{directory}/nest/one") == "egg\n"
    mydocker.ok("cp", f"{directory}/nest/.", f"{bird}:/tmp")
    assert mydocker.ok("exec", bird, "cat", "/tmp/one") == "egg"


@command("explain")
def test_explain(mydocker, bird):
    steps = json.loads(mydocker.ok("explain", "--format", "json", bird))
    assert any("pivot_root" in json.dumps(step) for step in steps["spans"])


@command("port")
def test_port(machine, mydocker, net, name):
    """A port that was there from the start, and one that comes and goes; both are reached from the machine."""
    mydocker.ok("run", "-d", "--name", name, "--net", net, "-p", "127.0.0.1::80", "busybox", *SERVER)
    bound = mydocker.ok("port", name, "80")
    assert fetched(machine, bound) == "page"
    added = mydocker.ok("port", "add", name, "127.0.0.1::80").rpartition(" ")[2]
    assert fetched(machine, added) == "page"
    mydocker.ok("port", "rm", name, f"{added}:80")
    assert mydocker.ok("port", name) == f"80/tcp -> {bound}"


SERVER = ("sh", "-c", "mkdir /www && echo page >/www/index.html && exec httpd -f -h /www")
FETCH = "import sys,urllib.request as u; print(u.urlopen('http://'+sys.argv[1]+'/', timeout=5).read().decode().strip())"


def fetched(machine, place: str) -> str:
    """The answer of the server at ADDRESS:PORT to the machine, once the server is up."""
    return until(
        lambda: machine.run("/usr/bin/python3", "-I", "-c", FETCH, place).stdout.strip(), f"an answer of {place}"
    )


@command("import", "images", "tag", "rmi", "export", "commit")
def test_images(mydocker, name):
    image = f"img{name}"
    mydocker.ok("import", "--change", "CMD cat /mark", "-", f"{image}:1", input=busybox(("mark", b"imported\n")))
    mydocker.ok("tag", f"{image}:1", f"{image}:2")
    assert set(mydocker.ok("images", "--format", "{{.Tag}}", image).split()) == {"1", "2"}
    assert mydocker("run", "--name", name, "--net", "none", f"{image}:2").stdout == "imported\n"
    mydocker.ok("commit", "--change", "CMD echo committed", name, f"{image}:3")
    assert mydocker.ok("run", "--rm", "--net", "none", f"{image}:3") == "committed"
    with tarfile.open(fileobj=io.BytesIO(mydocker.ok("export", name).encode(errors="surrogateescape"))) as tar:
        assert tar.extractfile("mark").read() == b"imported\n"
    mydocker.ok("rm", name)
    mydocker.ok("rmi", f"{image}:1", f"{image}:2", f"{image}:3")
    assert mydocker.ok("images", "-q", image) == ""


@command("history", "image inspect", "image prune")
def test_the_image_group(mydocker, name):
    image = f"img{name}"
    mydocker.ok("import", "-m", "a note", "-", image, input=busybox(("mark", b"twelve bytes")))
    (step,) = json.loads(f"[{mydocker.ok('history', '--format', 'json', '--human=false', image)}]")
    assert step["Comment"] == "a note"
    inspected = json.loads(mydocker.ok("image", "inspect", image))[0]
    assert (str(inspected["Size"]), inspected["Id"][7:19]) == (step["Size"], step["ID"])
    mydocker.ok("image", "prune", "-f", "-a", "--filter", "label=no-image-has-it")
    assert mydocker.ok("images", "-q", image) == step["ID"]
    mydocker.ok("image", "rm", image)
    assert mydocker.ok("image", "ls", "-q", image) == ""


@command("container inspect", "container prune", "system prune")
def test_containers_that_do_not_run_go(mydocker, name):
    (inspected,) = json.loads(mydocker.ok("container", "inspect", mydocker.ok("create", "--name", name, "busybox")))
    assert mydocker.ok("container", "prune", "--dry-run").splitlines()[1] == inspected["Id"]
    assert mydocker.ok("container", "prune", "-f").splitlines()[1] == inspected["Id"]
    mydocker.ok("create", "--name", name, "busybox")
    mydocker.ok("system", "prune", "-f")
    assert mydocker.ok("ps", "-aq") == ""


@command("build", "builder prune")
def test_build(mydocker, name):
    dockerfile = 'FROM busybox\nENV A=1\nRUN echo $A >/mark\nCMD ["cat", "/mark"]\n'
    mydocker.ok("build", "-q", "--network", "none", "-t", name, "-", input=dockerfile.encode())
    assert mydocker.ok("run", "--rm", "--net", "none", name) == "1"
    mydocker.ok("rmi", name)
    assert "Total reclaimed space" in mydocker.ok("builder", "prune", "-f")


@command("save", "load")
def test_archives(machine, mydocker, directory, name):
    mydocker.ok("import", "--change", "CMD cat /mark", "-", name, input=busybox(("mark", b"travelled\n")))
    (before,) = mydocker.ok("images", "-q", "--no-trunc", name).split()
    mydocker.ok("save", "-o", f"{directory}/image.tar", name)
    mydocker.ok("rmi", name)
    assert mydocker.ok("load", "-i", f"{directory}/image.tar") == f"Loaded image: {name}:latest"
    assert mydocker.ok("images", "-q", "--no-trunc", name) == before
    assert mydocker.ok("run", "--rm", "--net", "none", name) == "travelled"
    mydocker.ok("rmi", name)


@command("volume create", "volume ls", "volume inspect", "volume rm", "volume prune")
def test_volumes(machine, mydocker, name):
    assert mydocker.ok("volume", "create", name) == name
    mydocker.sh("echo kept >/data/file", "-v", f"{name}:/data")
    (found,) = json.loads(mydocker.ok("volume", "inspect", name))
    assert machine.read(f"{found['Mountpoint']}/file") == "kept\n"
    assert mydocker.ok("volume", "ls", "-q") == name
    assert mydocker.ok("volume", "rm", name) == name
    mydocker.ok("volume", "create", name)
    mydocker.ok("volume", "prune", "-a", "-f")
    assert mydocker.ok("volume", "ls", "-q") == ""


@command("network create", "network ls", "network list", "network inspect", "network rm", "network prune")
def test_networks(machine, mydocker, name):
    net = f"n{name}"
    assert len(mydocker.ok("network", "create", "--subnet", "10.93.7.0/24", net)) == 64
    bridge = device(mydocker, net)
    assert "10.93.7.1/24" in machine.run("ip", "addr", "show", "dev", bridge).stdout
    assert net in mydocker.ok("network", "ls", "--format", "{{.Name}}").split()
    assert net in mydocker.ok("network", "list").split()
    assert mydocker.ok("network", "rm", net) == net
    assert machine.run("ip", "link", "show", bridge).rc != 0
    mydocker.ok("network", "create", net)
    mydocker.ok("network", "prune", "-f")
    assert net not in mydocker.ok("network", "ls", "--format", "{{.Name}}").split()


@command("network connect", "network disconnect")
def test_connect_and_disconnect(mydocker, net, name):
    """Two containers find each other by name; one that is taken off the network is found no more."""
    mydocker.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    mydocker.ok("network", "connect", "--alias", "till", net, name)
    ping = ("run", "--rm", "--net", net, "busybox", "ping", "-c", "1", "-W", "2", "till")
    assert address(mydocker, name, net) in mydocker.ok(*ping)
    mydocker.ok("network", "disconnect", net, name)
    assert mydocker(*ping).rc != 0


@command("network check", "network reload", "netmap")
def test_what_is_wrong_with_a_network_is_seen_and_mended(machine, mydocker, net):
    bridge, before = device(mydocker, net), rules(machine, mydocker.inspect(net, "Id")[:12])
    assert before
    assert bridge in mydocker.ok("netmap")
    mydocker.ok("network", "reload")
    assert rules(machine, mydocker.inspect(net, "Id")[:12]) == before
    mydocker.ok("network", "check")
    assert machine.run("ip", "link", "del", bridge).rc == 0
    assert bridge in mydocker("network", "check").stdout
    mydocker.ok("network", "check", "--repair")
    assert machine.run("ip", "link", "show", bridge).rc == 0


@command("system shutdown", "system restore")
def test_down_and_up_with_the_host(mydocker, name, bird):
    """Only containers with a restart policy are started again."""
    mydocker.detached("--restart", "always", "--name", f"{name}-back", "busybox", "sleep", "600")
    mydocker.ok("system", "shutdown", timeout=90)
    assert mydocker.ok("ps", "-q") == ""
    mydocker.ok("system", "restore")
    assert mydocker.ok("ps", "--format", "{{.Names}}") == f"{name}-back"
    assert mydocker.state(bird)["Status"] == "exited"


@command("info", "version")
def test_what_there_is(machine, mydocker):
    found = json.loads(mydocker.ok("info", "--format", "json"))
    assert str(found["CgroupVersion"]) == ("2" if machine.exists("/sys/fs/cgroup/cgroup.controllers") else "1")
    assert mydocker.ok("version", "--format", "{{.Version}}") == mydocker.ok("--version").split()[-1]


@command("pull", "push", "login", "logout")
def test_a_registry_that_is_not_there(mydocker):
    """With skopeo the registry can't be reached; without it, the error names the package. Nothing waits."""
    reasons = ("connection refused", "install the package skopeo")
    mydocker.ok("tag", "busybox", "127.0.0.1:1/bird")
    for words in (
        ("pull", "127.0.0.1:1/bird:2"),
        ("push", "127.0.0.1:1/bird"),
        ("login", "-u", "pit", "-p", "x", "127.0.0.1:1"),
    ):
        result = mydocker(*words)
        assert result.rc == 1
        assert any(reason in result.stderr for reason in reasons), result.stderr
    mydocker.ok("rmi", "127.0.0.1:1/bird")
    assert mydocker.ok("logout", "127.0.0.1:1") == "Not logged in to 127.0.0.1:1"
