"""cp: docker's rules of paths, what a copy keeps, and a container that changes its links meanwhile."""

from __future__ import annotations

import io
import shlex
import tarfile

import pytest
from machine import until

SLEEPS = ("busybox", "sleep", "1000")

# The rules of https://docs.docker.com/reference/cli/docker/container/cp/, and what docker does beyond them:
# cp's words, its exit code, and what T* is afterwards, a directory with /, a link with @, a file with content with +.
# On both sides are Tf, a file; Td, an empty directory; Tl, a link to Td; Tn, a link to Tnew, which is missing; g, a
# file; d, a directory with x and sub; lg and ld, links to these; dang, a link to nothing.
RULES = [
    ("c:/g T", 0, "T+"),
    ("c:/g T/", 1, ""),
    ("c:/g Tf", 0, "Tf+"),
    ("c:/g Tf/", 1, "Tf"),
    ("c:/g Td", 0, "Td/ Td/g+"),
    ("c:/g Tl", 0, "Td/ Td/g+ Tl@"),
    ("c:/g no/T", 1, ""),
    ("c:/nope T", 1, ""),
    ("c:/g/ T", 1, ""),
    ("c:/d T", 0, "T/ T/sub/ T/x+"),
    ("c:/d T/", 0, "T/ T/sub/ T/x+"),
    ("c:/d Tf", 1, "Tf"),
    ("c:/d Td", 0, "Td/ Td/d/ Td/d/sub/ Td/d/x+"),
    ("c:/d/ Td", 0, "Td/ Td/d/ Td/d/sub/ Td/d/x+"),
    ("c:/d/. Td", 0, "Td/ Td/sub/ Td/x+"),
    ("c:/d/. T", 0, "T/ T/sub/ T/x+"),
    ("c:/d/sub/.. Td", 0, "Td/ Td/d/ Td/d/sub/ Td/d/x+"),
    ("c:/lg T", 0, "T@"),
    ("-L c:/lg T", 0, "T+"),
    ("c:/ld T", 0, "T@"),
    ("c:/ld/ T", 0, "T/ T/sub/ T/x+"),
    ("-L c:/ld Td", 0, "Td/ Td/ld/ Td/ld/sub/ Td/ld/x+"),
    ("c:/dang T", 0, "T@"),
    ("-L c:/dang T", 1, ""),
    ("c:/d - | tar t | sort | tr '\\n' ' ' >T; grep -q '^d/ d/sub/ d/x $' T", 0, "T+"),
    ("c:/d/. - | tar t | sort | tr '\\n' ' ' >T; grep -q '^./ ./sub/ ./x $' T", 0, "T+"),
    ("c:/g - | tar t >T; grep -q '^g$' T", 0, "T+"),
    ("c:/g c:/T", 1, ""),
    ("g T", 1, ""),
    ("g c:/T", 0, "T+"),
    ("g c:/T/", 1, ""),
    ("g c:/Tf", 0, "Tf+"),
    ("g c:/Td", 0, "Td/ Td/g+"),
    ("g c:/Tl", 0, "Td/ Td/g+ Tl@"),
    ("g c:/Tn", 0, "Tn@ Tnew+"),
    ("g c:/no/T", 1, ""),
    ("nope c:/T", 1, ""),
    ("g/ c:/T", 1, ""),
    ("d c:/T", 0, "T/ T/sub/ T/x+"),
    ("d c:/Td", 0, "Td/ Td/d/ Td/d/sub/ Td/d/x+"),
    ("d/. c:/Td", 0, "Td/ Td/sub/ Td/x+"),
    ("d/. c:/T", 0, "T/ T/sub/ T/x+"),
    ("d c:/Tf", 1, "Tf"),
    ("lg c:/T", 0, "T@"),
    ("-L lg c:/T", 0, "T+"),
    ("-L ld c:/Td", 0, "Td/ Td/ld/ Td/ld/sub/ Td/ld/x+"),
    ("- c:/Td <tar", 0, "Td/ Td/in/ Td/in/tar"),
    ("- c:/T <tar", 1, ""),
    ("- c:/Tf <tar", 1, "Tf"),
    ("- c:/Td <g", 1, "Td/"),
]
MAKE = (
    "echo 1 >g; mkdir d d/sub; echo 2 >d/x; ln -s g lg; ln -s d ld; ln -s nope dang;"
    " : >Tf; mkdir Td; ln -s Td Tl; ln -s Tnew Tn; mkdir in; : >in/tar; tar cf tar in; rm -r in"
)
LIST = (
    "for p in $(find T* | sort); do if [ -L $p ]; then echo $p@; elif [ -d $p ]; then echo $p/;"
    " elif [ -s $p ]; then echo $p+; else echo $p; fi; done 2>/dev/null"
)


def script(program: str, container: str, directory: str) -> str:
    """Type all rules, each in directories of its own, and print for each: number, exit code, what is new."""
    count = len(RULES)
    make = f"for i in $(seq 0 {count - 1}); do (mkdir w$i; cd w$i; {MAKE}); done"
    lines = [
        f"mkdir -p {directory}/cp && cd {directory}/cp",
        make,
        f"{program} exec {container} sh -c {shlex.quote(f'cd /; {make}')}",
    ]
    for number, (words, _, _) in enumerate(RULES):
        typed = words.replace("c:/", f"{container}:/w{number}/")
        lines.append(f"(cd w{number}; {program} cp {typed}) 2>/dev/null; echo {number} $? >rc{number}")
    inside = f"for i in $(seq 0 {count - 1}); do cd /w$i; echo $(echo in $i; {LIST}); done"
    lines += [
        f"for i in $(seq 0 {count - 1}); do cat rc$i; (cd w$i; echo $(echo out $i; {LIST})); done",
        f"{program} exec {container} sh -c {shlex.quote(inside)}",
        f"rm -rf {directory}/cp",
    ]
    return "\n".join(lines)


def results(text: str) -> list[tuple[str, int, str]]:
    """Return RULES as a script has found them. A T that is there from the start, and is unchanged, is left out."""
    codes, new = {}, {}
    for line in text.splitlines():
        first, *rest = line.split()
        if first.isdigit():
            codes[int(first)] = int(rest[0])
            continue
        number, *entries = rest
        shown = new.setdefault(int(number), {})
        shown[first] = entries
    made = ["Td/", "Tf", "Tl@", "Tn@"]
    rows = []
    for number, (words, _, expected) in enumerate(RULES):
        side = "in" if words.split("|")[0].split("<")[0].split()[-1].startswith("c:") else "out"
        entries = new[number][side]
        named = {word.split("/")[0].rstrip("@+") for word in expected.split()}
        kept = [entry for entry in entries if entry not in made or entry.rstrip("@").split("/")[0] in named]
        rows.append((words, codes[number], " ".join(kept)))
    return rows


@pytest.fixture
def bird(mydocker, name):
    mydocker.detached("--name", name, *SLEEPS)
    return name


class TestRules:
    def test_ours(self, mydocker, machine, bird, directory):
        result = machine.shell(script(machine.program, bird, directory))
        assert results(result.stdout) == RULES, result.stderr

    def test_dockers(self, docker):
        docker.ok("run", "-d", "--name", "bird", *SLEEPS)
        assert results(docker.shell(script("docker", "bird", "/tmp")).stdout) == RULES

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("g", "T"), "neither path is in a container"),
            (("a:/x", "b:/y"), "between containers is not supported"),
            (("nope:/x", "y"), "no such container: nope"),
            (("{bird}:", "y"), "the path is empty: '{bird}:'"),
            (("{bird}:/proc/version", "y"), "/proc/version is the kernel's"),
            (("{bird}:/nope", "y"), "no such file or directory: {bird}:/nope"),
            (("./a:b", "{bird}:/"), "no such file or directory: ./a:b"),
        ],
    )
    def test_messages(self, mydocker, bird, words, says):
        said = mydocker.fails("cp", *(word.format(bird=bird) for word in words), rc=1)
        assert says.format(bird=bird) in said


FILES = """
cd $1; mkdir -p t/sub; echo data >t/f; chmod 4751 t/f; chown 5:6 t/f; ln t/f t/hard; mkfifo t/fifo; ln -s /nope t/l
dd if=/dev/zero of=t/hole bs=1 count=1 seek=9999999 2>/dev/null
chmod 1777 t/sub; touch -d '2001-02-03 04:05:06' t/f t/sub t
"""
LOOK = "cd $1; stat -c '%A %u:%g %h %s %Y %n' t/f t/hard t/fifo t/l t/hole t/sub t; [ $(stat -c %b t/hole) -lt 99 ]"


class TestKeeps:
    def test_modes_owners_times_links_and_holes(self, mydocker, machine, bird, directory):
        machine.shell(f"set -- {directory}; {FILES}")
        before = machine.shell(f"set -- {directory}; {LOOK}").stdout.replace(" fifo", "")
        mydocker.ok("cp", "-a", f"{directory}/t", f"{bird}:/tmp")
        assert mydocker.ok("exec", bird, "sh", "-c", LOOK, "sh", "/tmp") + "\n" == before
        mydocker.ok("cp", f"{bird}:/tmp/t", f"{directory}/t2")
        machine.shell(f"cd {directory}; rm -r t; mv t2 t")
        assert machine.shell(f"set -- {directory}; {LOOK}").stdout == before

    def test_volumes_and_mounts(self, mydocker, machine, name, directory, make):
        machine.shell(f"echo here >{directory}/f")
        image = make([("data", None), ("data/old", b"of the image")])
        mydocker.ok("create", "--name", name, "--net", "none", "-v", "/data", "--tmpfs", "/tm", image, "sleep", "100")
        mydocker.ok("cp", f"{directory}/f", f"{name}:/data")  # before its first start
        mydocker.ok("start", name)
        assert mydocker.ok("exec", name, "sh", "-c", "cat /data/*") == "here\nof the image"
        mydocker.ok("cp", f"{directory}/f", f"{name}:/tm")
        assert mydocker.ok("exec", name, "cat", "/tm/f") == "here"
        with tarfile.open(
            fileobj=io.BytesIO(mydocker.ok("cp", f"{name}:/", "-").encode(errors="surrogateescape"))
        ) as tar:
            names = tar.getnames()
        assert {"./data/f", "./tm/f", "./bin/busybox"} <= set(names)
        assert not [each for each in names if each.startswith(("./proc/", "./sys/", "./dev/"))]
        mydocker.ok("kill", name)
        until(lambda: mydocker.state(name)["Status"] == "exited", "its end")
        mydocker.ok("cp", f"{name}:/data/f", f"{directory}/back")
        assert machine.read(f"{directory}/back") == "here\n"
        mydocker.ok("rm", "-v", name)

    def test_a_read_only_root(self, mydocker, machine, name, directory):
        machine.shell(f"echo here >{directory}/f")
        mydocker.detached("--read-only", "-v", "/vol", "--name", name, *SLEEPS)
        for _ in range(2):
            assert "read-only" in mydocker.fails("cp", f"{directory}/f", f"{name}:/f", rc=1)
            mydocker.ok("cp", f"{directory}/f", f"{name}:/vol/f")
            mydocker.ok("stop", "-t", "0", name)

    def test_a_stopped_containers_changes(self, mydocker, name, directory):
        mydocker.ok("run", "--name", name, "--net", "none", "busybox", "sh", "-c", "echo said >/said")
        mydocker.ok("cp", f"{name}:/said", f"{directory}/x")
        mydocker.ok("cp", f"{directory}/x", f"{name}:/more")
        assert mydocker.ok("diff", name) == "A /more\nA /said"

    def test_a_copy_into_itself_ends(self, mydocker, machine, name, directory):
        """By a bind mount the destination is in the source."""
        machine.shell(f"mkdir {directory}/d; echo 1 >{directory}/d/f")
        mydocker.detached("-v", f"{directory}/d:/d", "--name", name, *SLEEPS)
        mydocker.ok("cp", f"{name}:/d", f"{directory}/d/copy")
        assert machine.shell(f"cd {directory}/d; find . | sort").stdout.split() == [
            ".",
            "./copy",
            "./copy/copy",
            "./copy/f",
            "./f",
        ]

    def test_a_device_stays_inside(self, mydocker, machine, name, directory):
        mydocker.ok("run", "--name", name, "--net", "none", "busybox", "sh", "-c", "mkdir /d; mknod -m 666 /d/n c 1 3")
        result = mydocker("cp", f"{name}:/d", directory)
        assert (result.rc, result.stdout) == (0, "")
        assert result.stderr == "mydocker: n: left out: a device, which would not be limited to the container\n"
        assert machine.exists(f"{directory}/d")
        assert not machine.exists(f"{directory}/d/n")

    def test_a_summary_on_a_terminal(self, mydocker, bird, directory):
        with mydocker.terminal("cp", f"{bird}:/etc/group", directory) as terminal:
            terminal.expect(f"Successfully copied 134B to {directory}")
            assert terminal.wait() == 0


SWAPS = """
mkdir /d /in; echo inside >/d/secret; echo inside >/in/secret; cd /
while :; do mv d e; ln -s OUT d; rm d; mv e d; ln -sfn OUT /in/l; rm -f /in/l; mkdir -p /in/l; rmdir /in/l; done
"""


class TestStaysInside:
    def test_while_links_change(self, mydocker, machine, name, directory):
        """A directory is a link to one of the host's at every other moment."""
        outside, local = f"{directory}/outside", f"{directory}/local"
        machine.shell(f"mkdir -p {outside} {local}; echo HOST >{outside}/secret; echo new >{directory}/f")
        mydocker.detached("--name", name, "busybox", "sh", "-c", SWAPS.replace("OUT", outside))
        script = f"""
        export MYDOCKER_ROOT MYDOCKER_RUN
        cd {directory}; mkdir tree tree/l; echo new >tree/l/f; tar cf tar -C tree l/f
        for i in $(seq 40); do
            {machine.program} cp {name}:/d local/$i
            {machine.program} cp {name}:/d/secret local/s$i
            {machine.program} cp f {name}:/d/f
            {machine.program} cp tree/. {name}:/in
            {machine.program} cp - {name}:/in <tar
            [ $i -lt 4 ] || ! ls local/s* || break  # one has met the directory
        done
        """
        machine.shell(script)
        assert machine.shell(f"grep -rl HOST {local}").stdout == ""
        assert machine.shell(f"ls {outside}").stdout == "secret\n"
        assert machine.shell(f"cat {local}/s*").stdout.split() != []

    def test_through_the_hosts_proc(self, mydocker, machine, name, directory):
        """With --pid host, /proc/1/root is the host's root."""
        machine.shell(f"echo HOST >{directory}/secret; mkdir -p {directory}/t/e; echo x >{directory}/t/e/new")
        mydocker.ok(
            *("run", "-d", "--pid", "host", "--net", "none", "--name", name, "busybox", "sh", "-c"),
            f"ln -s /proc/1/root{directory} /e; echo made; exec sleep 1000",
        )
        mydocker.wait_log(name, "made")
        mydocker.fails("cp", f"{name}:/e/secret", f"{directory}/got", rc=1)
        mydocker.fails("cp", f"{directory}/t/e/new", f"{name}:/e/new", rc=1)
        mydocker.fails("cp", f"{directory}/t/.", f"{name}:/", rc=1)
        machine.shell(f"cd {directory}/t && tar cf ../tar e/new")
        result = machine.shell(f"{machine.program} cp - {name}:/ <{directory}/tar")
        assert result.rc == 1
        assert sorted(machine.shell(f"ls {directory}").stdout.split()) == ["secret", "t", "tar"]

    def test_a_hostile_archive(self, mydocker, bird):
        """Nothing of it is made by a name with `..`."""
        assert "outside" in mydocker.fails("cp", "-", f"{bird}:/tmp", input=_tar("../../x"), rc=1)

    def test_the_root_that_its_first_process_has_left(self, mydocker, machine, name, directory):
        mydocker.ok(
            *("run", "-d", "--net", "none", "--name", name, "busybox", "sh", "-c"),
            "mkdir -p /jail/bin; cp /bin/busybox /jail/bin; exec chroot /jail /bin/busybox sleep 1000",
        )
        until(lambda: mydocker("cp", f"{name}:/jail/bin/busybox", f"{directory}/b").rc == 0, "the jail")
        mydocker.ok("cp", f"{name}:/etc/group", f"{directory}/group")


def _tar(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    return out.getvalue()
