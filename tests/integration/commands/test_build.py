"""build and builder prune: images made of Dockerfiles, seen from outside."""

from __future__ import annotations

import io
import json
import signal
import tarfile
import time

import pytest

EPOCH = "SOURCE_DATE_EPOCH=1000000000"


# Links to namespaces and the like differ between any two containers; what they are is seen from their names.
LOOK = r"""
grep -vE '^(Name|Pid|PPid|Tgid|Vm|Rss|Hugetlb|.*ctxt|Cpus|Mems|NS.*id|State|FDSize|Sig|Ngid)' /proc/self/status
cd /proc/self; ls ns; cat limits oom_score_adj uid_map gid_map attr/current timerslack_ns coredump_filter personality
sed 's/[0-9a-f]\{64\}/ID/g' cgroup
sed -E 's/^([0-9]+ ){2}[0-9]+:[0-9]+ //; s/lowerdir=[^,]*//; s/[0-9a-f]{64}/ID/g; s/ (shared|master):[0-9]+//' mountinfo
cut -d' ' -f5-8,18-19,41 stat
ls -ln /dev /dev/pts /dev/shm /dev/mqueue | sed -E 's/ [A-Z][a-z]{2} +[0-9]+ +[0-9:]+ / /'
cat /sys/fs/cgroup/*/devices.list /sys/fs/cgroup/*/pids.max /sys/fs/cgroup/*/memory.limit_in_bytes
cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max
cat /proc/sys/net/ipv4/ping_group_range /proc/sys/kernel/shmmax /proc/keys /proc/timer_list; ls /sys/firmware /proc/acpi
id; umask; for link in ns/*; do [ "$(readlink $link)" = "$(readlink /proc/1/$link)" ]; echo $?; done
mount -t tmpfs x /mnt; unshare -m true; chroot / true; mknod /dev/sda b 8 0; echo 1 >/proc/sys/kernel/panic
"""


def write(machine, path: str, text: str) -> None:
    machine.run("sh", "-c", 'cat >"$0"', path, input=text.encode())


@pytest.fixture
def build(machine, mydocker, directory, name):
    """Build a Dockerfile's text with the files that are given, in a directory. Returns the result."""

    def run(text, *options, files=(), **keywords):
        write(machine, f"{directory}/Dockerfile", text)
        for path, content in dict(files).items():
            write(machine, f"{directory}/{path}", content)
        return mydocker(
            "build", "--network", "none", "--progress", "plain", "-t", name, *options, directory, **keywords
        )

    yield run
    mydocker("rmi", "-f", name)
    mydocker.ok("image", "prune", "-f")
    mydocker.ok("builder", "prune", "-a", "-f")


def built(result) -> str:
    """The output of a build that must succeed."""
    assert result.rc == 0, result.stderr
    return result.stderr


def layers(mydocker, name) -> list[str]:
    """The names in each layer of the image, in the form of a saved archive."""
    with tarfile.open(fileobj=io.BytesIO(mydocker.ok("save", name).encode(errors="surrogateescape"))) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        rows = []
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(archive.extractfile(layer).read())) as tar:
                rows.append([each.name.removeprefix("./").rstrip("/") for each in tar if each.name not in ("./", ".")])
        return rows


class TestSteps:
    def test_every_kind_of_step(self, build, mydocker, name):
        text = """FROM busybox
ARG WHO=world
ENV GREETING="hello $WHO"
WORKDIR /srv/app
COPY a.txt ./
RUN echo $GREETING >b.txt
COPY <<EOF /c.txt
$GREETING again
EOF
RUN <<EOF
echo one >/d.txt
echo two >>/d.txt
EOF
USER 1234
CMD ["cat", "a.txt", "b.txt", "/c.txt", "/d.txt"]
"""
        built(build(text, "--label", "x=y", files={"a.txt": "A\n"}))
        shown = mydocker.ok("run", "--rm", "--net", "none", name)
        assert shown == "A\nhello world\nhello world again\none\ntwo"
        rows = mydocker.ok("history", "--format", "{{.Comment}} {{.CreatedSince}} {{.CreatedBy}}", name).splitlines()
        own = [row for row in rows if row.startswith("buildkit.")]
        assert own[0].endswith('CMD ["cat" "a.txt" "b.txt" "/c.txt" "/d.txt"]')
        assert [row.split()[1] for row in own].count("N/A") == 2  # the ARG and ENV before the first layer
        config = mydocker.inspect(name, "Config")
        assert (config["User"], config["WorkingDir"], config["Labels"]) == ("1234", "/srv/app", {"x": "y"})
        assert "GREETING=hello world" in config["Env"]

    def test_a_step_leaves_nothing_but_its_changes(self, build, mydocker, name):
        mounts = "--mount=type=tmpfs,target=/mm/t --mount=type=cache,target=/var/cc/dd"
        built(build(f"FROM busybox\nRUN {mounts} touch /mm/t/x /var/cc/dd/y; mkdir /o\nRUN true\n"))
        assert layers(mydocker, name)[-2:] == [["o"], []]

    def test_its_environment(self, build, mydocker, name):
        look = "env | grep -v -e PWD -e SHLVL; id -u; hostname; umask; cat; grep -E 'Seccomp:|CapBnd' /proc/self/status"
        text = f'FROM busybox\nENV A=1\nARG B=2\nRUN ({look}) >/seen\nCMD ["cat", "/seen"]\n'
        built(build(text, input=b"not for the step"))
        seen = mydocker.ok("run", "--rm", "--net", "none", name).splitlines()
        assert {"A=1", "B=2", "HOME=/root", "0", "buildkitsandbox", "0022", "CapBnd:\t00000000a80425fb"} <= set(seen)
        assert not [row for row in seen if row.startswith("HOSTNAME") or row == "not for the step"]
        assert "Seccomp:\t2" in seen

    def test_it_is_as_isolated_as_run(self, build, mydocker, name):
        """All that a process sees of its rights and surroundings, once from a RUN and once from `run`."""
        text = "FROM busybox\nCOPY look /\nRUN --network=none sh /look >/seen 2>&1 || true\n"
        built(build(text, files={"look": LOOK}))
        step = mydocker.ok("run", "--rm", "--net", "none", name, "cat", "/seen").splitlines()
        run = mydocker.ok("run", "--rm", "--net", "none", name, "sh", "-c", "sh /look >/seen 2>&1; cat /seen")
        seen = run.splitlines()
        assert len(seen) > 100
        (mount,) = [line for line in seen if "/hostname /etc/hostname " in line]
        seen.remove(mount)  # a RUN may write the file, so it is not mounted
        assert step == seen

    def test_from_scratch(self, build, mydocker, name):
        text = (
            "FROM busybox AS one\nRUN mkdir /o && cp /bin/busybox /o/cat\n"
            'FROM scratch\nCOPY --from=one /o /bin\nCOPY f /\nCMD ["/bin/cat", "/f"]\n'
        )
        built(build(text, files={"f": "content\n"}))
        assert mydocker.ok("run", "--rm", "--net", "none", name) == "content"

    def test_secrets_are_in_no_layer(self, machine, build, mydocker, directory, name):
        write(machine, f"{directory}/secret", "sesame")
        text = (
            "FROM busybox\nRUN --mount=type=secret,id=s wc -c </run/secrets/s >/n; stat -c %a /run/secrets/s >>/n\n"
            "RUN ls /run >>/n 2>&1; true\n"
        )
        built(build(text, "--secret", f"id=s,src={directory}/secret"))
        assert mydocker.ok("run", "--rm", "--net", "none", name, "cat", "/n").startswith("6\n400\nls: /run")
        missing = build("FROM busybox\nRUN --mount=type=secret,id=q,required cat /run/secrets/q\n")
        assert (missing.rc, "secret q: not found" in missing.stderr) == (1, True)

    def test_a_cache_mount_keeps_its_content(self, build):
        text = "FROM busybox\nRUN --mount=type=cache,target=/c echo x >>/c/f; echo lines $(wc -l </c/f)\n"
        assert "lines 1" in built(build(text))
        assert "lines 2" in built(build(text, "--no-cache"))

    def test_a_bind_mount_is_a_snapshot(self, build, mydocker, name):
        text = "FROM busybox\nRUN --mount=type=bind,target=/m (cat /m/a.txt; touch /m/b) >/o 2>&1; true\n"
        built(build(text, files={"a.txt": "A\n"}))
        assert mydocker.ok("run", "--rm", "--net", "none", name, "cat", "/o").startswith("A\ntouch: /m/b: Read-only")


class TestDrivers:
    TEXT = """FROM busybox AS one
RUN --mount=type=tmpfs,target=/q/r mkdir /o && echo 1 >/o/f && rm /bin/vi
WORKDIR /w
COPY a b/
FROM scratch
COPY --from=one / /
RUN --mount=type=bind,from=one,source=/o,target=/m cat /m/f /w/b/a >/seen; ls -d /q /bin/vi >>/seen 2>&1; true
CMD ["cat", "/seen"]
"""

    @pytest.mark.parametrize("driver", ["overlay", "copy", "erofs"])
    def test_every_storage_driver(self, machine, mydocker, directory, driver):
        for path, content in {
            "Dockerfile": self.TEXT,
            "a": "A\n",
            "config.yaml": f"storage_driver: {driver}\n",
        }.items():
            write(machine, f"{directory}/{path}", content)
        places = {"ROOT": f"{directory}/root", "RUN": f"{directory}/run", "CONFIG": f"{directory}/config.yaml"}
        env = {f"MYDOCKER_{key}": value for key, value in places.items()}
        if "does not work here" in mydocker("run", "--rm", "--net", "none", "busybox", "true", env=env).stderr:
            pytest.skip(f"{driver} does not work here")
        image = mydocker.ok("build", "-q", "--network", "none", directory, env=env)
        seen = mydocker.ok("run", "--rm", "--net", "none", image, env=env)
        missing = "ls: {}: No such file or directory"
        assert sorted(seen.split("\n")) == sorted(["1", "A", missing.format("/q"), missing.format("/bin/vi")])
        again = mydocker("build", "--network", "none", "--progress", "plain", directory, env=env)
        assert again.stderr.count("CACHED") == 5


class TestStages:
    TEXT = """FROM busybox AS one
RUN cut -d" " -f1 /proc/uptime >/began; sleep 0.7; cut -d" " -f1 /proc/uptime >/ended
FROM busybox AS two
RUN cut -d" " -f1 /proc/uptime >/began; sleep 0.7; cut -d" " -f1 /proc/uptime >/ended
FROM busybox AS unused
RUN false
FROM busybox
COPY --from=one /began /ended /one/
COPY --from=two /began /ended /two/
"""

    def test_independent_stages_run_side_by_side(self, build, mydocker, name):
        said = built(build(self.TEXT))
        assert "[unused" not in said
        times = mydocker.ok("run", "--rm", "--net", "none", name, "cat", "/one/began", "/one/ended", "/two/began")
        began, ended, other = (float(word) for word in times.split() if "." in word)
        assert began < ended
        assert other < ended

    def test_a_target(self, build, mydocker, name):
        built(build(self.TEXT, "--target", "ONE"))
        assert mydocker.ok("run", "--rm", "--net", "none", name, "ls", "/ended") == "/ended"

    def test_triggers_run_in_the_child(self, build, mydocker, name):
        built(build("FROM busybox\nONBUILD RUN echo triggered >/t\n", "-t", f"{name}:base"))
        built(build(f"FROM {name}:base\nRUN cat /t\n"))
        assert mydocker.ok("run", "--rm", "--net", "none", name, "cat", "/t") == "triggered"
        mydocker.ok("rmi", f"{name}:base")


class TestCache:
    TEXT = "FROM busybox\nARG V=1\nCOPY a /a\nRUN cat /proc/uptime >/when\nLABEL l=1\n"

    def test_a_second_build_makes_the_same_image(self, machine, build, mydocker, directory, name):
        built(build(self.TEXT, files={"a": "1"}))
        first = mydocker.inspect(name, "Id")
        index = ["stat", "-c", "%i %z", f"{machine.env['MYDOCKER_ROOT']}/images/index.json"]
        written = machine.run(*index).stdout
        machine.run("touch", f"{directory}/a")
        assert built(build(self.TEXT)).count("CACHED") == 2
        assert mydocker.inspect(name, "Id") == first
        assert machine.run(*index).stdout == written  # there was nothing to write, and to wait for the disk

    def test_what_a_step_depends_on(self, build):
        built(build(self.TEXT, files={"a": "1"}))
        assert built(build(self.TEXT.replace("l=1", "l=2"))).count("CACHED") == 2
        assert built(build(self.TEXT, "--build-arg", "V=2")).count("CACHED") == 1
        assert built(build(self.TEXT, files={"a": "2"})).count("CACHED") == 0
        assert built(build(self.TEXT, "--no-cache")).count("CACHED") == 0

    def test_an_image_and_the_cache_keep_layers(self, build, mydocker, name):
        built(build(self.TEXT, files={"a": "1"}))
        mydocker.ok("rmi", name)
        assert built(build(self.TEXT)).count("CACHED") == 2
        assert "Total reclaimed space: 0B" in mydocker.ok("builder", "prune", "-a", "-f")
        assert mydocker.ok("run", "--rm", "--net", "none", name, "cat", "/a") == "1"
        assert built(build(self.TEXT)).count("CACHED") == 0

    def test_a_time_gives_the_same_digest_twice(self, build, mydocker, name):
        ids = []
        for _ in range(2):
            built(
                build(
                    self.TEXT.replace("cat /proc/uptime", "echo x"),
                    "--no-cache",
                    "--build-arg",
                    EPOCH,
                    files={"a": "1"},
                )
            )
            ids.append(mydocker.inspect(name, "Id"))
            time.sleep(1.1)
        assert ids[0] == ids[1]
        assert mydocker.inspect(name, "Created") == "2001-09-09T01:46:40Z"


class TestErrors:
    def test_a_failed_step_leaves_no_image(self, build, mydocker, name):
        result = build("FROM busybox\nRUN echo said \\\n  && exit 7\nRUN true\n")
        assert result.rc == 1
        *above, last = result.stderr.splitlines()
        assert "   2 | >>> RUN echo said \\" in above
        assert "   3 | >>>   && exit 7" in above
        assert "exit code: 7 ('--debug' keeps its container" in last
        assert mydocker.ok("images", "-q", name) == ""
        assert mydocker.ok("ps", "-aq") == ""

    def test_its_container_can_be_entered(self, machine, build, mydocker):
        secret = ["--secret", "id=s,env=OPENER"]
        text = "FROM busybox\nENV A=1\nRUN --mount=type=secret,id=s,env=B echo $B | wc -c; exit 7\n"
        result = build(text, "--debug", *secret, env={"OPENER": "open-sesame"})
        assert " 12\n" in result.stderr
        (container,) = mydocker.ok("ps", "-a", "--format", "{{.Names}}").split()
        assert f"'mydocker start -ai {container}' enters it" in result.stderr
        assert machine.run("grep", "-rl", "open-sesame", machine.store).stdout == ""
        mydocker.ok("rm", container)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("FROM busybox\nFOO bar\n", "unknown instruction"),
            ("FROM busybox\nCOPY nosuch /\n", "'/nosuch' not found in the build context"),
            ("FROM busybox\nUSER nosuch\nRUN true\n", "unable to find user nosuch"),
            ('FROM busybox\nRUN ["nosuch"]\n', "executable file not found"),
            ("FROM busybox\nRUN --mount=type=ssh true\n", "--mount=type=ssh is not supported"),
            ("FROM busybox\n" + "RUN true\n" * 500, "refused image: it has 501 layers, more than 500"),
        ],
    )
    def test_an_error_names_the_line(self, build, text, says):
        result = build(text)
        assert result.rc == 1
        assert says in result.stderr.splitlines()[-1]
        assert " >>> " in result.stderr

    @pytest.mark.parametrize("name_of_it", ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore"])
    def test_a_fifo_in_the_context_is_not_waited_for(self, machine, build, directory, name_of_it):
        machine.run("mkfifo", f"{directory}/{name_of_it}")
        if name_of_it != "Dockerfile":
            write(machine, f"{directory}/Dockerfile", "FROM scratch\n")
        result = machine.run(machine.program, "build", "-q", directory, timeout=20)
        assert (result.rc, "is not a regular file" in result.stderr) == (1, True)

    def test_an_interrupted_build_leaves_nothing(self, machine, build, mydocker, directory, name):
        write(machine, f"{directory}/Dockerfile", "FROM busybox\nRUN sleep 60\n")
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
            running = mydocker.start("build", "--network", "none", "-t", name, directory)
            until = time.monotonic() + 20
            while not machine.run("pgrep", "-xf", "sleep 60").stdout and time.monotonic() < until:
                time.sleep(0.05)
            assert mydocker.ok("ps", "-aq") == ""
            running.send_signal(number)
            assert running.wait() in (-signal.SIGKILL, 128 + number)
            until = time.monotonic() + 20
            while machine.run("pgrep", "-xf", "sleep 60").stdout and time.monotonic() < until:
                time.sleep(0.05)
            assert machine.run("pgrep", "-xf", "sleep 60").stdout == ""
        built(build("FROM busybox\nRUN true\n"))


class TestOptions:
    def test_files_instead_of_an_image(self, machine, build, mydocker, directory, name):
        text = "FROM scratch\nCOPY a d/\n"
        built(build(text, "-o", f"{directory}/out", files={"a": "1"}))
        assert machine.read(f"{directory}/out/d/a") == "1"
        with tarfile.open(fileobj=io.BytesIO(build(text, "-o", "-").stdout.encode(errors="surrogateescape"))) as tar:
            assert [each.name for each in tar if each.isfile()] == ["d/a"]
        assert mydocker.ok("images", "-q", name) == ""

    def test_a_context_from_stdin(self, machine, build, mydocker, directory, name):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for path, content in {"Dockerfile": b"FROM busybox\nCOPY a /a\n", "a": b"from the archive"}.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        sent = archive.getvalue()
        image_id = mydocker.ok("build", "-q", "--iidfile", f"{directory}/id", "-t", name, "-", input=sent)
        assert machine.read(f"{directory}/id") == image_id
        assert mydocker.ok("run", "--rm", "--net", "none", image_id, "cat", "/a") == "from the archive"

    def test_a_step_has_a_network(self, build):
        said = built(
            build("FROM busybox\nRUN ls /sys/class/net\nRUN --network=host cat /proc/net/dev\n", "--network", "default")
        )
        assert "eth0" in said

    def test_options_of_docker_that_mean_nothing_here(self, build):
        built(build("FROM scratch\n", "--rm", "--force-rm", "--compress", "--load"))
        assert build("FROM scratch\n", "--ssh", "default").rc == 125


@pytest.mark.local
def test_a_build_leaves_a_cache_of_limited_size(mydocker, tmp_path):
    (tmp_path / "config.yaml").write_text("build_cache_results: 2\n")
    names = {"MYDOCKER_ROOT": "lib", "MYDOCKER_RUN": "run", "MYDOCKER_CONFIG": "config.yaml"}
    env = {key: f"{tmp_path}/{name}" for key, name in names.items()}
    (tmp_path / "a").write_text("x")

    def cached(lines: int) -> int:
        text = "FROM scratch\n" + "".join(f"COPY a /{number}\n" for number in range(lines))
        (tmp_path / "Dockerfile").write_text(text)
        return built(mydocker("build", "--progress=plain", str(tmp_path), env=env)).count("CACHED")

    assert [cached(3), cached(3), cached(1)] == [0, 3, 1]  # the build that has made them keeps all
    time.sleep(0.02)
    cached(4)
    assert cached(2) == 2
    (tmp_path / "config.yaml").write_text("build_cache_size: 1\n")
    time.sleep(0.02)
    cached(5)
    assert sum(1 for _ in (tmp_path / "lib/build/steps").iterdir()) == 5
    (tmp_path / "a").write_text("y")
    cached(1)
    assert sum(1 for _ in (tmp_path / "lib/build/steps").iterdir()) == 1


@pytest.mark.parametrize("first", [1, 200])
@pytest.mark.parametrize("pack", ["cat", "gzip"])
def test_an_archive_is_known_even_if_a_pipe_brings_it_in_pieces(machine, mydocker, directory, first, pack):
    machine.shell(
        f"cd {directory}; printf 'FROM scratch\\nCOPY a /\\n' >Dockerfile; echo x >a; tar -cf - * | {pack} >t"
    )
    slow = f"(head -c {first} {directory}/t; sleep 0.3; tail -c +{first + 1} {directory}/t)"
    result = machine.shell(f"{slow} | {machine.program} build -q -")
    assert result.rc == 0, result.stderr
    mydocker.ok("rmi", result.stdout.strip())
    mydocker.ok("builder", "prune", "-a", "-f")
