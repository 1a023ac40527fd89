"""Attacks by images: archives that write outside their layer, root file systems that run code on the host."""

from __future__ import annotations

import pytest

FILE = b"escaped\n"


@pytest.fixture
def run(mydocker):
    """Call `mydocker run --rm --net none …` with a short timeout."""
    return lambda *args: mydocker("run", "--rm", "--net", "none", *args, timeout=20)


def test_names_that_seem_to_be_outside_are_resolved_inside(machine, mydocker, make, run, directory):
    """As with docker, a leading / is the image's root, and a link of the archive is followed as in the container."""
    machine.shell(f"echo safe >{directory}/victim")
    up = "../" * 30
    image = make(
        [
            (f"{directory}/victim", FILE),
            ("out", "link", f"{up}{directory}"),
            ("out/more", FILE),
            ("/hard", "hard", f"{directory}/victim"),
            ("a/../b", FILE),
        ]
    )
    script = f"cat {directory}/victim {directory}/more /hard /b; readlink /out"
    assert run(image, "sh", "-c", script).stdout == "escaped\n" * 4 + f"{up}{directory}\n"
    assert machine.run("ls", directory).lines == ["victim"]
    assert machine.read(f"{directory}/victim") == "safe\n"
    assert machine.run("stat", "-c", "%h", f"{directory}/victim").stdout == "1\n"


class TestDevices:
    """An image may have device nodes. As with those that a container makes, the device cgroup decides on their use."""

    MEMORY, DISK, NULL = ("device", 1, 1), ("block", 8, 0), ("device", 1, 3)

    @pytest.mark.parametrize("how", ["run", "exec", "copied to a volume", "committed"])
    def test_of_an_image_are_not_usable_beyond_the_device_cgroup(self, machine, mydocker, make, name, how):
        image = make([("d/mem", *self.MEMORY), ("d/disk", *self.DISK), ("d/null", *self.NULL)])
        script = "for f in mem disk; do head -c 1 /d/$f; done; echo fine >/d/null && stat -c '%F %t %T' /d/null /d/disk"
        words = ["--net", "none", "--name", name, image]
        if how == "copied to a volume":
            words[:0] = ["-v", f"{name}:/d"]
        if how == "committed":
            mydocker.ok("run", *words, "touch", "/d/more")
            mydocker.ok("commit", name, f"{image}:more")
            mydocker.ok("rm", name)
            words[-1] = f"{image}:more"
        if how == "exec":
            mydocker.detached(*words[2:], "sleep", "1000")
            result = mydocker("exec", name, "sh", "-c", script)
        else:
            result = mydocker("run", *words, "sh", "-c", script)
        mydocker("rm", "-f", name)
        mydocker("volume", "rm", name)
        mydocker("rmi", f"{image}:more")
        assert result.stderr.count("Operation not permitted") == 2, result
        assert result.stdout == "character special file 1 3\nblock special file 8 0\n"

    def test_on_the_host_can_be_reached_by_root_only(self, machine, mydocker, make):
        make([("d/mem", *self.MEMORY)])
        nodes = machine.shell(f"find {machine.store}/lib/layers -name mem").lines
        assert nodes
        assert machine.run("stat", "-c", "%a %u", f"{machine.store}/lib").stdout == "700 0\n"

    def test_in_place_of_files_that_mydocker_reads(self, make, run):
        """A device node is not opened, as opening it may have an effect, or block forever."""
        image = make([("etc/passwd", "device", 1, 5), ("etc/group", "device", 1, 5), ("etc/hosts", "block", 8, 0)])
        assert run("-u", "1000", image, "grep", "Uid", "/proc/self/status").stdout.split()[1] == "1000"
        result = run("-u", "nobody", image, "true")
        assert (result.rc, len(result.stderr.splitlines())) == (125, 1)

    def test_of_a_container_are_in_its_export(self, mydocker, name):
        mydocker.ok("run", "--net", "none", "--name", name, "busybox", "sh", "-c", "mknod /c c 1 3; mknod /b b 7 9")
        mydocker.ok("import", "-", f"img{name}", input=mydocker("export", name).stdout.encode(errors="surrogateescape"))
        listing = mydocker.ok("run", "--rm", "--net", "none", f"img{name}", "stat", "-c", "%F %t %T", "/c", "/b")
        mydocker.ok("rmi", f"img{name}")
        assert listing == "character special file 1 3\nblock special file 7 9"


def test_an_absolute_link_is_an_ordinary_file(make, run):
    """Images are full of absolute links, which point to the container's own files."""
    assert run("-h", "box", make([("link", "link", "/etc/hostname")]), "cat", "/link").stdout == "box\n"


class TestUserDatabase:
    @pytest.mark.parametrize("user", ["nobody", "1000", "0", "root"])
    @pytest.mark.parametrize(
        "entries",
        [
            [("etc", None), ("etc/passwd", "fifo"), ("etc/group", "fifo")],
            [("etc", None), ("etc/passwd", None), ("etc/group", None)],
            [("etc", None), ("etc/passwd", "link", "/dev/zero"), ("etc/group", "link", "/dev/zero")],
            [("etc", None), ("etc/passwd", "link", "/proc/1/environ")],
            [("etc", None), ("etc/passwd", "link", "passwd")],
            [("etc", None), ("etc/passwd", b"x" * 20_000_000)],
            [("etc", None), ("etc/passwd", b"nobody:x:99999999999:-7:a\nnobody\n\xff\xfe:::\n")],
        ],
        ids=["fifo", "directory", "endless", "proc", "loop", "large", "nonsense"],
    )
    def test_of_another_file_type_neither_blocks_nor_leads_outside(self, make, run, entries, user):
        result = run("-u", user, make(entries), "grep", "Uid", "/proc/self/status")
        if user == "nobody":
            assert (result.rc, "nobody" in result.stderr) == (125, True)
        elif result.rc == 125:
            assert len(result.stderr.splitlines()) == 1
        else:
            assert result.stdout.split()[1] == {"root": "0"}.get(user, user)

    def test_on_the_host_is_not_read(self, make, run):
        image = make([("etc", None), ("etc/passwd", b"daemon:x:77:88::/:/bin/sh\n")])
        assert run("-u", "daemon", image, "id").stdout.startswith("uid=77(daemon) gid=88")


def test_the_name_service_of_an_image_is_never_loaded(machine, make, run):
    """A process that opens one of these as the host's root blocks, and so does the test."""
    library = machine.shell("ls -d /lib/*-linux-gnu | head -n 1").stdout.strip().lstrip("/")
    directories = ["etc", "lib", library, "usr", "usr/lib", "usr/lib/locale"]
    files = "nsswitch.conf ld.so.cache ld.so.preload localtime group host.conf".split()
    traps = [f"etc/{name}" for name in files] + [f"{library}/{name}.so.2" for name in ("libnss_files", "libnss_compat")]
    traps += [f"{library}/libc.so.6", "usr/lib/locale/locale-archive"]
    entries = [*((directory, None) for directory in directories), *((trap, "fifo") for trap in traps)]
    image = make([*entries, ("etc/passwd", b"user:x:5:6::/:/bin/sh\n")])
    assert run("-u", "user", image, "id", "-u").stdout == "5\n"


FIND_MODULES = """
import os, sys
home = os.path.dirname(os.path.dirname(sys.argv[1]))
places = [path for path in sys.path if os.path.isdir(path)] + ["/usr/lib/mydocker", home + "/src"]
for place in places:
    for top, directories, files in os.walk(place):
        if top.count("/") - place.count("/") > 1 or "-packages" in top:
            directories.clear()
        else:
            print(*(os.path.join(top, name) for name in files if name.endswith(".py")), sep="\\n")
"""


@pytest.mark.parametrize("kind", [(b"import os\nos.write(2, b'PWNED')\n",), ("fifo",)], ids=["code", "fifo"])
def test_the_python_of_an_image_is_never_imported(machine, make, run, kind):
    """The image has a file at the path of every module of the host's interpreter, and of ours.

    After the root has changed, an import, a codec or a traceback would open it as the host's root.
    """
    files = [path.strip("/") for path in machine.python(FIND_MODULES, machine.program).lines if path]
    assert any(path.endswith("encodings/idna.py") for path in files)
    directories = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
    image = make([*((directory, None) for directory in sorted(directories)), *((path, *kind) for path in files)])
    for args, rc in (
        ([image, "echo", "fine"], 0),
        (["-h", "xn--bcher-kva", "-u", "1:2", "-w", "/ü/名", "-e", "Ü=ü", image, "echo", "fine"], 0),
        ([image, "no-such"], 127),
        ([image, "/bin"], 126),
        (["-u", "ünknown", image, "true"], 125),
    ):
        result = run(*args)
        assert (result.rc, "PWNED" in result.stdout + result.stderr) == (rc, False), result
        assert len(result.stderr.splitlines()) == (rc != 0), result


PROBE = """
import ctypes, os, sys, time
program, probe, unguarded = sys.argv[1:4]
sys.argv[1:4] = []
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(program)) + "/src" if "/" in program else "/usr/lib/mydocker")
from mydocker import trace
from mydocker.__main__ import main
from mydocker.kernel import process
from mydocker.runtime import init

prctl, count = ctypes.CDLL(None).prctl, trace.Trace._count
GET_DUMPABLE = 3

def probe_import(self):
    if os.path.exists("/the-image"):
        try:
            "x".encode("idna")
        except Exception:
            pass

def probe_dumpable(self):
    if prctl(GET_DUMPABLE, 0, 0, 0, 0):
        os.write(2, b"DUMPABLE")

def probe_hold(self):
    if self.held:
        time.sleep(2)

def probed(self):
    if self.side == "container":
        globals()["probe_" + probe](self)
    count(self)

def execute(self, step):
    self.held = True
    count_step(self, step)

trace.Trace._count, trace.Trace.held = probed, False
count_step, trace.Trace.count = trace.Trace.count, execute
if unguarded == "close_imports":
    init.close_imports = lambda: None
if unguarded == "set_dumpable":
    process.set_dumpable = lambda dumpable: None
main()
"""


@pytest.fixture
def probe(machine):
    """Call mydocker with a probe that acts in the child at each of its steps, and with a guard switched off or not."""

    def run(what, *args, without="-"):
        return machine.python(PROBE, machine.program, what, without, *args, timeout=20)

    return run


class TestGuards:
    """What a step must not do is not done by any step today, so a probe does it. With the guard off it succeeds."""

    @pytest.mark.parametrize("verb", ["run", "exec"])
    def test_a_step_that_imports_runs_no_code_of_the_image(self, machine, mydocker, make, probe, name, verb):
        codec = machine.python("import encodings.idna as i; print(i.__file__)").stdout.strip().strip("/")
        parts = codec.split("/")
        directories = [("/".join(parts[:depth]), None) for depth in range(1, len(parts))]
        image = make([*directories, (codec, b"import os\nos.write(2, b'PWNED')\n"), ("the-image", FILE)])
        mydocker.detached("--name", name, image, "sleep", "1000")
        line = ["exec", name, "true"] if verb == "exec" else ["run", "--rm", "--net", "none", image, "true"]
        assert (probe("import", *line).rc, probe("import", *line).stderr) == (0, "")
        assert "PWNED" in probe("import", *line, without="close_imports").stderr
        mydocker.ok("rm", "-f", name)  # before its image

    @pytest.mark.parametrize("options", [(), ("-u", "1000"), ("--init",)], ids=" ".join)
    def test_no_step_is_dumpable(self, mydocker, probe, name, options):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        lines = [["run", "--rm", "--net", "none", *options, "busybox", "true"]]
        if options != ("--init",):
            lines.append(["exec", *options, name, "true"])
        for line in lines:
            result = probe("dumpable", *line)
            assert (result.rc, result.stderr) == (0, ""), line
            assert "DUMPABLE" in probe("dumpable", *line, without="set_dumpable").stderr

    def test_a_process_of_the_container_opens_nothing_of_an_exec_on_its_way_in(self, mydocker, probe, name):
        """The joiner, with the container's user and rights, waits before it becomes the trampoline. A container with
        the host's PID namespace sees it."""
        watch = "while :; do ls -l /proc/[0-9]*/exe 2>/dev/null; sleep 0.2; done"
        mydocker.detached("--name", name, "--pid", "host", "busybox", "sh", "-c", watch)
        assert (probe("hold", "exec", name, "true").rc, "python" in mydocker.ok("logs", name)) == (0, False)
        probe("hold", "exec", name, "true", without="set_dumpable")
        assert "python" in mydocker.ok("logs", name)


class TestInterpreter:
    """Until exec, /proc/self/exe is the host's interpreter: no process in the container may reach it."""

    SCRIPT = b"#!/proc/self/exe\nimport os\nos.write(1, b'HOST PYTHON')\n"
    COMMANDS = ("/script", "/link", "/proc/self/exe", "/link-script")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_is_not_run_by_run(self, make, run, command):
        linked = self.SCRIPT.replace(b"/proc/self/exe", b"/link")
        image = make([("script", self.SCRIPT), ("link", "link", "/proc/self/exe"), ("link-script", linked)])
        result = run(image, command, "-c", "print('HOST PYTHON')")
        assert "HOST PYTHON" not in result.stdout + result.stderr
        assert result.rc != 0

    @pytest.mark.parametrize("command", COMMANDS)
    def test_is_not_run_by_exec(self, mydocker, name, command):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        script = "cat >/script; sed 's|/proc/self/exe|/link|' /script >/link-script; chmod +x /*script"
        mydocker.ok("exec", "-i", name, "sh", "-c", f"ln -s /proc/self/exe /link; {script}", input=self.SCRIPT)
        result = mydocker("exec", name, command, "-c", "print('HOST PYTHON')", timeout=20)
        assert "HOST PYTHON" not in result.stdout + result.stderr
        assert result.rc != 0

    def test_cannot_be_opened_by_a_process_that_watches_proc(self, mydocker, name):
        """CVE-2019-5736: a process of the container waits for those that join it."""
        watch = """
            touch /seen
            while :; do
                for process in /proc/[0-9]*; do
                    for link in $process/exe $process/cwd $process/root $process/fd/*; do
                        readlink $link >>/seen 2>/dev/null
                    done
                done
            done
        """
        mydocker.detached("--name", name, "busybox", "sh", "-c", watch)
        for _ in range(30):
            mydocker.ok("exec", name, "true")
        seen = set(mydocker.ok("exec", name, "sort", "-u", "/seen").splitlines())
        assert "/bin/sh" in seen
        # A socket has no file to be opened; the trampoline is sealed. See kernel/trampoline.py.
        known = ("/bin/", "/proc/", "pipe:", "/dev/null", "/seen", "socket:", "/memfd:mydocker-trampoline (deleted)")
        assert {link for link in seen if not link.startswith(known)} <= {"/"}


class TestWorkingDirectory:
    """CVE-2024-21626: a descriptor that is still open at chdir leads to the host's root."""

    def refused(self, result) -> bool:
        return result.rc in (125, 126, 127) and result.stdout == ""

    @pytest.mark.parametrize("number", [0, 1, *range(3, 16)])
    def test_of_run_is_not_one_of_our_descriptors(self, run, number):
        assert self.refused(run("-w", f"/proc/self/fd/{number}", "busybox", "ls", "."))

    @pytest.mark.parametrize("number", range(3, 12))
    def test_of_run_is_not_one_of_our_descriptors_behind_a_link(self, make, run, number):
        image = make([("work", "link", f"/proc/self/fd/{number}")], ["WORKDIR /work"])
        assert self.refused(run(image, "ls", "."))

    def test_of_exec_is_not_one_of_our_descriptors(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        for number in range(3, 16):
            assert self.refused(mydocker("exec", "-w", f"/proc/self/fd/{number}", name, "ls", ".", timeout=20))


class TestMountPoints:
    @pytest.mark.parametrize("point", "proc sys dev dev/pts dev/shm etc etc/hosts etc/resolv.conf opt".split())
    @pytest.mark.parametrize("target", ["DIR", "/proc/self/cwd", "/proc/1/root", "/etc", "/POINT"])
    def test_that_are_links_do_not_lead_outside(self, machine, make, run, directory, point, target):
        """Either the run fails, or the link is followed inside the root. Nothing is made or mounted on the host."""
        machine.shell(f"echo safe >{directory}/victim")
        parent = [("dev", None), ("etc", None)] if "/" in point else []
        link = target.replace("DIR", directory).replace("POINT", point)
        result = run("--tmpfs", "/opt", make([*parent, (point, "link", link)]), "echo", "ran")
        assert (result.rc, result.stdout) in {(125, ""), (0, "ran\n")}, result
        assert "Traceback" not in result.stderr
        assert machine.run("ls", directory).lines == ["victim"]
        assert machine.read(f"{directory}/victim") == "safe\n"

    @pytest.mark.parametrize("point", ["proc", "sys", "dev"])
    def test_that_are_files_are_an_error(self, make, run, point):
        result = run(make([(point, FILE)]), "true")
        assert (result.rc, len(result.stderr.splitlines())) == (125, 1), result


@pytest.mark.parametrize(
    "change", ['ENV A="x\\ny"', "ENV LD_PRELOAD=/x.so", "ENV PATH=", "ENV PYTHONPATH=/x", "ENV HOME=/x\x1b[2J"]
)
def test_the_environment_of_the_image_is_not_used_by_mydocker(make, run, change):
    assert run(make([], [change]), "/bin/echo", "fine").stdout == "fine\n"
