"""The commands images, tag, rmi, commit, import and export, and the store read by other tools."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from archives import archive, busybox
from oracle import docker_host


@pytest.fixture
def image(mydocker, name):
    """A name for an image that the test makes; the image is removed at the end."""
    yield f"img{name}"
    mydocker("rmi", "-f", f"img{name}")


@pytest.fixture
def container(mydocker, name):
    mydocker.ok("run", "--name", name, "busybox", "sh", "-c", "echo kept >/kept; rm /bin/vi; echo more >>/etc/passwd")
    return name


class TestBusybox:
    def test_has_the_files_of_a_system(self, mydocker):
        expected = {"bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"}
        assert expected <= set(mydocker.sh("ls /").split())
        assert mydocker.sh("head -n 1 /etc/passwd; head -n 1 /etc/group").startswith(
            "root:x:0:0:root:/root:/bin/sh\nroot:x:0:"
        )
        assert mydocker.sh("stat -c %a /tmp /root") in ("1777\n700", "1777\n755")
        applets = mydocker.machine.run("busybox", "--list").lines
        there = mydocker.sh("for f in /bin/* /sbin/* /usr/bin/* /usr/sbin/*; do basename $f; done").split()
        assert set(applets) - set(there) == set()

    def test_is_the_same_on_every_machine(self, host, machine, mydocker, directory):
        def made(store):
            env = {"MYDOCKER_ROOT": store, "MYDOCKER_RUN": f"{store}/run", "TZ": "Asia/Tokyo"}
            assert mydocker("run", "--rm", "--net", "none", "busybox", "true", env=env).rc == 0
            return mydocker.ok("images", "-q", "--no-trunc", env=env)

        assert made(f"{directory}/one") == mydocker.ok("images", "-q", "--no-trunc", "busybox")

    @pytest.mark.parametrize("busybox", ["missing", "dynamic"])
    def test_a_host_without_static_busybox_is_told_what_to_install(self, machine, mydocker, directory, busybox):
        """In a mount namespace, /usr/bin/busybox is hidden or replaced by another program."""
        copy = f"mkdir {directory}/bin && cp -a /usr/bin/. {directory}/bin && rm {directory}/bin/busybox"
        hide = {
            "missing": f"{copy} && mount --bind {directory}/bin /usr/bin",
            "dynamic": "mount --bind /usr/bin/env /usr/bin/busybox",
        }[busybox]
        env = {"MYDOCKER_ROOT": f"{directory}/root", "MYDOCKER_RUN": f"{directory}/run"}
        script = f"mount --make-rprivate / && {hide} && exec {machine.program} run --rm busybox true"
        result = machine.run("unshare", "-m", "sh", "-c", script, env=env)
        assert result.rc == 125, result
        assert "busybox-static" in result.stderr
        assert len(result.stderr.splitlines()) == 1


class TestImages:
    def test_lists_docker_s_columns(self, mydocker):
        head, *rows = mydocker.ok("images").splitlines()
        assert re.split(r"\s{2,}", head.strip()) == ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
        (row,) = [row for row in rows if row.startswith("busybox")]
        assert re.fullmatch(r"busybox +latest +[0-9a-f]{12} .* +\d.*[kM]B", row)

    def test_tag_and_rmi(self, mydocker, image):
        mydocker.ok("tag", "busybox", f"{image}:v1")
        first, second = mydocker.ok("images", "-q", "busybox"), mydocker.ok("images", "-q", image)
        assert first == second
        assert mydocker.ok("run", "--rm", f"{image}:v1", "echo", "tagged") == "tagged"
        assert f"Untagged: {image}:v1" in mydocker.ok("rmi", f"{image}:v1")
        assert image not in mydocker.ok("images")
        assert "busybox" in mydocker.ok("images")

    @pytest.mark.parametrize(
        "target", ["UPPER", "a:b:c", "-x", "a/../b", "", "x:", "x" * 300, "a b", "sha256:" + "0" * 64]
    )
    def test_a_bad_reference_is_one_line(self, mydocker, target):
        mydocker.fails("tag", "busybox", target, rc=125)

    @pytest.mark.parametrize("command", [["rmi", "no-such"], ["tag", "no-such", "x"], ["rmi", "busybox:no-such"]])
    def test_an_unknown_image_is_one_line(self, mydocker, command):
        assert "no-such" in mydocker.fails(*command)

    def test_rmi_of_an_image_that_a_container_uses(self, mydocker, container, image):
        mydocker.ok("commit", container, image)
        user = mydocker.ok("create", image)
        assert user[:12] in mydocker.fails("rmi", image)
        mydocker.ok("rm", user)
        assert "Deleted: sha256:" in mydocker.ok("rmi", image)

    def test_rmi_leaves_the_layers_that_others_use(self, mydocker, container, image):
        mydocker.ok("commit", container, image)
        mydocker.ok("rmi", image)
        assert mydocker.ok("run", "--rm", "busybox", "echo", "whole") == "whole"


class TestCommit:
    def test_has_the_changes_and_the_config(self, mydocker, container, image):
        changes = ['CMD ["cat", "/kept"]', "ENV COLOUR=red", "WORKDIR /tmp", "LABEL a=b", "USER 5", "EXPOSE 80/tcp"]
        options = [word for change in changes for word in ("--change", change)]
        made = mydocker.ok("commit", "-m", "a note", "-a", "me <me@example.org>", *options, container, f"{image}:v2")
        assert re.fullmatch("sha256:[0-9a-f]{64}", made)
        assert mydocker.ok("run", "--rm", f"{image}:v2") == "kept"
        assert (
            mydocker.ok("run", "--rm", f"{image}:v2", "sh", "-c", "echo $COLOUR $PWD; id -u; ls /bin/vi || true")
            == "red /tmp\n5"
        )
        inspected = mydocker.inspect(f"{image}:v2")
        assert (inspected["Id"], inspected["Author"], inspected["Comment"]) == (made, "me <me@example.org>", "a note")
        assert inspected["Config"]["Labels"] == {"a": "b"}
        mydocker.ok("rmi", f"{image}:v2")

    def test_leaves_out_the_triggers_of_a_build_as_docker_does(self, mydocker, make, name):
        mydocker.ok("create", "--name", name, make([], ["ONBUILD RUN x", "HEALTHCHECK CMD y"]), "true")
        made = mydocker.ok("commit", name)
        config = mydocker.inspect(made)["Config"]
        assert (config["OnBuild"], config["Healthcheck"]) == (None, {"Test": ["CMD-SHELL", "y"]})
        mydocker.ok("rm", name)
        mydocker.ok("rmi", made)

    @pytest.mark.parametrize("change", ["FROM x", "RUN ls", "ENV", "nonsense", "CMD [", "USER"])
    def test_a_bad_change_is_one_line(self, mydocker, container, image, change):
        mydocker.fails("commit", "--change", change, container, image, rc=125)

    def test_of_a_running_container_is_complete(self, mydocker, name, image):
        mydocker.detached("--name", name, "busybox", "sh", "-c", "echo 1 >/one; exec top -b")
        mydocker.ok("exec", name, "true")
        mydocker.ok("commit", name, image)
        assert mydocker.ok("run", "--rm", image, "cat", "/one") == "1"
        assert mydocker.state(name)["Running"]

    def test_has_every_kind_of_file_and_names_those_that_are_left_out(self, mydocker, name, image):
        script = "mknod /disk b 8 0; mkfifo /fifo; touch /etc/.wh.passwd '/.wh.\033[2J'"
        mydocker.ok("run", "--net", "none", "--name", name, "busybox", "sh", "-c", script)
        result = mydocker("commit", name, image)
        why = "left out: in a layer this name marks a removal"
        assert (result.rc, result.stderr) == (
            0,
            f"mydocker: /.wh.\\x1b[2J: {why}\nmydocker: /etc/.wh.passwd: {why}\n",
        )
        assert mydocker.ok("run", "--rm", image, "sh", "-c", "ls -a /etc/passwd /disk /fifo").split() == [
            "/disk", "/etc/passwd", "/fifo"
        ]  # fmt: skip
        result = mydocker("export", "-o", "/dev/null", name)
        assert (result.rc, result.stderr) == (0, "")

    @pytest.mark.parametrize("how", ["commit", "export"])
    def test_a_huge_sparse_file_costs_only_its_data(self, machine, mydocker, directory, name, image, how):
        script = "truncate -s 20G /big; echo end | dd of=/big bs=1 seek=10000000000 conv=notrunc"
        mydocker.ok("run", "--net", "none", "--name", name, "busybox", "sh", "-c", script)
        if how == "export":
            mydocker.ok("export", "-o", f"{directory}/x.tar", name)
            assert int(machine.run("stat", "-c", "%s", f"{directory}/x.tar").stdout) < 10_000_000
            mydocker.ok("import", f"{directory}/x.tar", image)
        else:
            mydocker.ok("commit", name, image)
        script = "dd if=/big bs=1 skip=10000000000 count=3 2>/dev/null; stat -c '%s %b' /big"
        size, blocks = mydocker.ok("run", "--rm", image, "sh", "-c", script).split()
        assert size == "end21474836480"
        assert int(blocks) < 100

    def test_has_no_volumes_mount_points_or_secrets_of_the_run(self, mydocker, directory, name, image):
        mydocker.ok(
            "run", "--name", name, "-v", f"{directory}:/vol", "busybox", "sh", "-c", "touch /vol/inside /dev/shm/x"
        )
        mydocker.ok("commit", name, image)
        assert mydocker.ok("run", "--rm", image, "sh", "-c", "ls /vol; ls /dev/shm; cat /etc/hostname | wc -c") == "13"

    def test_of_a_commit_stacks_layers(self, mydocker, image):
        previous = "busybox"
        for step in ("a", "b", "c"):
            mydocker.ok("run", "--name", f"{image}{step}", previous, "touch", f"/{step}")
            mydocker.ok("commit", f"{image}{step}", f"{image}:{step}")
            previous = f"{image}:{step}"
        assert mydocker.ok("run", "--rm", previous, "ls", "/a", "/b", "/c") == "/a\n/b\n/c"
        mydocker.remove_all()
        mydocker.ok("rmi", *(f"{image}:{step}" for step in "abc"))


class TestExportAndImport:
    def test_export_to_stdout_is_a_tar_of_the_root(self, mydocker, container):
        raw = mydocker("export", container).stdout.encode(errors="surrogateescape")
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            names = {member.name.removeprefix("./").rstrip("/") for member in tar}
        assert {"kept", "bin/sh", "etc/passwd"} <= names
        assert "bin/vi" not in names
        assert not {name for name in names if "wh." in name}

    def test_export_to_a_terminal_is_refused(self, mydocker, container):
        with mydocker.terminal("export", container) as terminal:
            assert terminal.wait() == 125
            assert "-o" in terminal.seen

    @pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
    @pytest.mark.parametrize("source", ["file", "-"])
    def test_import(self, machine, mydocker, directory, image, compress, source):
        raw = busybox(("hello", b"world\n"), compress=compress)
        if source == "file":
            source = f"{directory}/x.tar"
            machine.run("tee", source, input=raw)
        options = ["--change", 'CMD ["cat", "/hello"]', "-m", "a note"]
        made = mydocker.ok("import", *options, source, image, input=raw)
        assert re.fullmatch("sha256:[0-9a-f]{64}", made)
        assert mydocker.ok("run", "--rm", image) == "world"
        assert mydocker.inspect(image, "Comment") == "a note"

    def test_import_without_a_name(self, mydocker):
        made = mydocker.ok("import", "-", input=busybox())
        assert "<none>" in mydocker.ok("images")
        assert mydocker.ok("run", "--rm", made[7:19], "echo", "by its id") == "by its id"
        mydocker.ok("rmi", made)

    def test_an_export_can_be_imported_unchanged(self, mydocker, container, image):
        raw = mydocker("export", container).stdout.encode(errors="surrogateescape")
        mydocker.ok("import", "-", image, input=raw)
        script = "cd /; stat -c '%n %f %u %g %Y %s' bin/* etc/passwd etc/group kept root tmp"
        again = mydocker.ok("run", "--rm", image, "sh", "-c", script)
        mydocker.ok("commit", container, f"{image}:committed")
        assert again == mydocker.ok("run", "--rm", f"{image}:committed", "sh", "-c", script)
        mydocker.ok("rmi", f"{image}:committed")

    @pytest.mark.parametrize(
        "raw",
        [b"no tar", b"no tar at all" * 100, busybox()[:-300_000], b"\x1f\x8bno gzip"],
        ids=["short", "text", "cut", "gzip"],
    )
    def test_import_of_a_file_that_is_not_an_archive(self, mydocker, image, raw):
        mydocker.fails("import", "-", image, input=raw)
        assert image not in mydocker.ok("images")

    def test_import_of_a_missing_file(self, mydocker, image):
        assert "/no/such.tar" in mydocker.fails("import", "/no/such.tar", image)

    def test_modes_owners_times_and_links_are_kept(self, mydocker, image):
        entries = [("s", b"x", 0o4750), ("h", "hard", "s"), ("l", "link", "/etc/passwd"), ("名前", b"n"), ("p", "fifo")]
        mydocker.ok("import", "-", image, input=busybox(*entries))
        script = "stat -c '%a %h' /s; readlink /l; cat /名前; test -p /p && echo fifo"
        assert mydocker.ok("run", "--rm", image, "sh", "-c", script) == "4750 2\n/etc/passwd\nnfifo"


class TestArchivesBesideDocker:
    """Archives that docker 20.10 imports give the same files and the same layer ID here."""

    LISTING = """
        cd /t; find . | sort | xargs stat -c '%n %F %a %h %t %T'; md5sum abs up d/below; readlink far; readlink link
    """
    TAKEN = [
        ("t", None), ("/t/abs", b"1"), ("t/x/../up", b"2"), ("t/d", None), ("t/link", "link", "/t/d"),
        ("t/link/below", b"3"), ("t/hard", "hard", "/t/abs"), ("t/far", "link", "../../../../etc"),
        ("t/link/../beside", b"4"), ("t/chr", "device", 1, 3), ("t/blk", "block", 8, 0),
    ]  # fmt: skip

    def test_of_odd_names_devices_and_ends(self, docker, mydocker):
        whole = busybox(*self.TAKEN)
        entries = whole.rstrip(b"\0")
        without_end = entries + bytes(-len(entries) % 512)
        for raw in (whole, without_end, whole + b"garbage!" * (3 << 20), b"", bytes(1024)):
            docker.ok("import", "-", "oracle", input=raw)
            made = mydocker.ok("import", "-", input=raw)
            assert mydocker.ok("inspect", "-f", "{{json .RootFS.Layers}}", made) == docker.ok(
                "image", "inspect", "-f", "{{json .RootFS.Layers}}", "oracle"
            )
            if raw.strip(b"\0"):
                ours = mydocker.ok("run", "--rm", "--net", "none", made, "sh", "-c", self.LISTING)
                assert docker.ok("run", "--rm", "--net", "none", "oracle", "sh", "-c", self.LISTING) == ours
            mydocker.ok("rmi", made)
        docker.ok("rmi", "oracle")

    def test_of_files_with_holes(self, docker, machine, mydocker, directory, name):
        """Test GNU tar's four forms, of which docker refuses the first, and the form that `export` writes."""
        made, tar = f"{directory}/t/holes", f"{directory}/x.tar"
        fill = "echo start >holes; truncate -s 3M holes; echo end >>holes; truncate -s 5M holes"
        machine.shell(f"mkdir {directory}/t; cd {directory}/t; {fill}")
        machine.run("tee", f"{directory}/base.tar", input=busybox())
        right = machine.run("md5sum", made).stdout.split()[0]
        show = ("sh", "-c", "md5sum </t/holes | cut -c1-32; stat -c %s /t/holes")
        forms = ["gnu", *(f"posix --sparse-version={version}" for version in ("0.0", "0.1", "1.0"))]
        for form in forms:
            machine.shell(f"tar -C {directory} -S --format={form} -cf {tar} t; tar -Af {tar} {directory}/base.tar")
            raw = Path(tar).read_bytes()
            made = mydocker.ok("import", tar)
            assert mydocker.ok("run", "--rm", "--net", "none", made, *show).split() == [right, "5242880"]
            assert docker("import", "-", "oracle", input=raw).rc == (form == "gnu")
            if form != "gnu":
                assert docker.ok("run", "--rm", "--net", "none", "oracle", *show).split() == [right, "5242880"]
            mydocker.ok("create", "--net", "none", "--name", name, made, "sh")
            mydocker.ok("export", "-o", tar, name)
            mydocker.ok("rm", name)
            mydocker.ok("rmi", made)
        docker.ok("import", "-", "oracle", input=Path(tar).read_bytes())
        assert docker.ok("run", "--rm", "--net", "none", "oracle", *show).split() == [right, "5242880"]
        docker.ok("rmi", "oracle")


class TestSizesBesideDocker:
    ARCHIVES = {
        "a file": [("a", b"x" * 1000)],
        "hard links": [("a", b"x" * 1000), ("b", "hard", "a"), ("c", "hard", "b")],
        "a link": [("l", "link", "t" * 100)],
        "directories": [("d", None), ("d/e", None)],
        "devices": [("p", "fifo"), ("c", "device", 1, 9)],
        "all of them": [("a", b"x" * 1000), ("b", "hard", "a"), ("l", "link", "é"), ("d", None), ("d/f", b"y" * 7)],
    }

    @pytest.mark.parametrize("entries", ARCHIVES.values(), ids=ARCHIVES)
    def test_of_an_import(self, docker, machine, mydocker, entries):
        raw = archive(*entries)
        docker.ok("import", "-", "oracle", input=raw)
        made = mydocker.ok("import", "-", input=raw)
        show = ("inspect", "-f", "{{.Size}} {{.VirtualSize}} {{index .RootFS.Layers 0}}")
        expected = docker.ok(*show, "oracle")
        assert mydocker.ok(*show, made) == expected
        layer = f"{machine.store}/lib/layers/{expected.rpartition(':')[2]}"
        os.removexattr(layer, "trusted.mydocker.size")  # as for a layer of an older mydocker
        assert mydocker.ok(*show, made) == expected
        assert os.getxattr(layer, "trusted.mydocker.size").decode() == expected.split()[0]
        mydocker.ok("rmi", made)
        docker.ok("rmi", "oracle")

    def test_of_a_file_that_comes_twice(self, mydocker):
        """Docker refuses such an archive."""
        made = mydocker.ok("import", "-", input=archive(("a", b"1234"), ("b", "hard", "a"), ("a", b"1"), ("b", b"12")))
        assert mydocker.ok("inspect", "-f", "{{.Size}}", made) == "3"
        mydocker.ok("rmi", made)


@pytest.fixture
def own(mydocker, directory):
    """mydocker with a store of its own."""
    env = {"MYDOCKER_ROOT": f"{directory}/root", "MYDOCKER_RUN": f"{directory}/run"}
    return lambda *args, **options: mydocker(*args, env=env, **options)


class TestPrune:
    QUESTION = "WARNING! This will remove all {}.\nAre you sure you want to continue? [y/N] "
    NOTHING = "Total reclaimed space: 0B\n"

    @pytest.fixture
    def made(self, own):
        """The IDs of three images: without a name; with two; of a container, without a name."""
        ids = [
            own("import", "-c", f"LABEL number={number}", "-", input=busybox(("size", b"x" * number))).stdout.strip()
            for number in (1000, 2000, 3000)
        ]
        for name in ("two:a", "two:b"):
            own("tag", ids[1], name)
        assert own("create", "--net", "none", "--name", "user", ids[2], "true").rc == 0
        return ids

    def test_removes_what_has_no_name(self, own, made):
        assert own("image", "prune").stdout == self.QUESTION.format("dangling images") + "\n" + self.NOTHING
        assert own("image", "prune", input=b"n\n").stdout.endswith(self.NOTHING)
        for option in ("label=other", "label!=number", "until=10m", "until=2001-01-01"):
            assert own("image", "prune", "-f", "--filter", option).stdout == self.NOTHING, option
        layer, size = own("image", "inspect", "-f", "{{index .RootFS.Layers 0}} {{.Size}}", made[0]).stdout.split()
        pruned = own("image", "prune", "--filter", "until=0s", input=b"y\n").stdout
        said = f"Deleted Images:\ndeleted: {made[0]}\ndeleted: {layer}\n\nTotal reclaimed space: "
        assert pruned.partition("[y/N] ")[2].lstrip("\n").startswith(said)
        assert float(pruned.split()[-1].removesuffix("MB")) == pytest.approx(int(size) / 1e6, rel=1e-3)
        assert set(own("images", "-q", "--no-trunc").stdout.split()) == set(made[1:])

    def test_all_leaves_what_a_container_uses(self, own, made):
        assert "all images without at least one container associated to them" in own("image", "prune", "-a").stdout
        lines = own("image", "prune", "-af", "--filter", "label=number=2000").stdout.splitlines()
        assert lines[:4] == ["Deleted Images:", "untagged: two:a", "untagged: two:b", f"deleted: {made[1]}"]
        assert f"deleted: {made[0]}" in own("image", "prune", "-f", "--filter", "dangling=false").stdout.splitlines()
        assert own("image", "prune", "-a", "-f").stdout == self.NOTHING
        assert own("images", "-q", "--no-trunc").stdout.split() == [made[2]]
        assert own("start", "-a", "user").rc == 0
        own("rm", "user")
        assert f"deleted: {made[2]}" in own("image", "prune", "--force").stdout.splitlines()

    @pytest.mark.parametrize("option", ["bad=1", "until=x", "dangling=maybe", "reference=x"])
    def test_a_bad_filter_is_one_line(self, own, option):
        result = own("image", "prune", "-f", "--filter", option)
        assert (result.rc, len(result.stderr.splitlines())) == (1, 1)

    def test_beside_what_is_loaded_and_run(self, own, machine, directory, made):
        """Prune all the time: an image that comes in is whole or not there, and so is one that a container starts from.
        The two meet at the store's lock only."""
        assert own("save", "-o", f"{directory}/two.tar", "two:a").rc == 0
        assert own("rmi", "-f", made[1]).rc == 0
        env = {"MYDOCKER_ROOT": f"{directory}/root", "MYDOCKER_RUN": f"{directory}/run"}
        prune = f"{machine.program} image prune -af"
        forever = f"until [ -e {directory}/stop ]; do {prune} || exit 1; sleep 0.1; done >{directory}/log"
        with subprocess.Popen(["sh", "-c", forever], env={**os.environ, **env}, stderr=subprocess.PIPE) as pruner:
            try:
                for _ in range(12):
                    loaded = own("load", "-q", "-i", f"{directory}/two.tar")
                    assert (loaded.rc, loaded.stderr) == (0, "")
                    result = own(
                        "run", "--rm", "--net", "none", "--pull", "never", "two:a", "stat", "-c", "%s", "/size"
                    )
                    gone = "no such image" in result.stderr or "just been removed" in result.stderr
                    assert gone or result.stdout == "2000\n", result.stderr
            finally:
                Path(directory, "stop").touch()
                _, complaints = pruner.communicate(timeout=30)
        assert (pruner.returncode, complaints) == (0, b"")
        assert "untagged: two:a" in Path(directory, "log").read_text()


DOCKERFILE = """
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN echo "one   two" > /a && ln /a /b && ln -s /a /c
LABEL a=b long="a label that makes the column CREATED BY overflow its forty-five characters"
ENV X=y PATH=/bin
HEALTHCHECK --interval=5s --timeout=3s --start-period=1s --retries=2 CMD echo ok
ONBUILD RUN echo on
SHELL ["/bin/sh", "-ec"]
RUN rm /a; mkdir -p /d; echo hi>/d/e
EXPOSE 80 53/udp
VOLUME /data /more
STOPSIGNAL SIGUSR1
USER 5:6
WORKDIR /d
ENTRYPOINT ["sh"]
CMD ["-c", "echo \\"é\\""]
"""


def timeless(text: str) -> str:
    """Leave out how long ago something was, and how wide columns are."""
    return re.sub(r" {2,}", "  ", re.sub(r"(Less than a second|About a minute|\d+ \w+) ago", "AGO", text))


class TestBesideDocker:
    """What docker's builder makes and docker loads again looks the same here."""

    SAME = (
        "images", "images -a", "images -q", "images --digests", "images --no-trunc", "images nope", "images ORACLE:v*",
        "images --digests --format table", "images --filter reference=*/*/oracle", "images --filter label=a -q",
        "images --filter before=ORACLE -q", "images --filter since=ORACLE -q", "images --filter dangling=true -q",
        "images --filter reference=ORACLE --filter reference=*/*/oracle", "images --filter label=a=c",
        "images --format {{.Repository}}|{{.Tag}}|{{.Digest}}|{{.ID}}|{{.Size}}|{{.VirtualSize}}|{{.CreatedAt}}",
        "history ORACLE", "history --no-trunc ORACLE", "history -q ORACLE", "history -q --no-trunc ORACLE",
        "history -H=false ORACLE", "history --human=false --no-trunc ORACLE", "history ORACLE:v3 -H",
        "history --format {{.ID}}|{{.CreatedAt}}|{{.CreatedSince}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}} ORACLE",
        "image inspect -f {{json .Config}} ORACLE", "inspect --type image -f {{.Config.Healthcheck.Test}} ORACLE",
        "inspect -f {{.RepoTags}}{{.RepoDigests}}{{.Parent}}{{.Size}}{{.VirtualSize}}{{.RootFS}}{{.Metadata}} ORACLE",
        "inspect -f {{.Id}}{{.Comment}}{{.Created}}{{.Container}}{{.DockerVersion}}{{.Author}}{{.Os}} ORACLE",
        "inspect -f {{json .ContainerConfig}} ORACLE",
        "image ls -q ORACLE", "image rm ORACLE:v3", "rmi --no-prune reg.example.org:5000/team/oracle", "rmi ORACLE",
    )  # fmt: skip

    @pytest.fixture
    def empty_docker(self, docker):
        """A docker of its own, without an image."""
        with docker_host() as own:
            own.ok("rmi", "busybox")
            yield own

    def test_what_docker_has_built(self, empty_docker, own):
        docker = empty_docker
        with tempfile.TemporaryDirectory(dir="/var/tmp") as context:
            Path(context, "Dockerfile").write_text(DOCKERFILE)
            shutil.copy("/usr/bin/busybox", context)
            docker.ok("build", "-q", "--network", "none", "-t", "oracle", context)
            archive = f"{context}/images.tar"
            names = ["oracle:latest", "oracle:v3", "reg.example.org:5000/team/oracle:latest"]
            for name in names[1:]:
                docker.ok("tag", "oracle", name)
            docker.ok("save", "-o", archive, *names)
            docker.ok("rmi", *names)
            assert docker.ok("images", "-aq") == ""
            docker.ok("load", "-i", archive)
            assert own("load", "-i", archive).rc == 0
        for line in self.SAME:
            words = line.replace("ORACLE", "oracle").split(" ")
            if "{{" in line:
                at = next(at for at, word in enumerate(words) if word.startswith("{{"))
                words[at:-1] = [" ".join(words[at:-1])] if line.endswith("ORACLE") else words[at:-1]
            expected, seen = docker(*words), own(*words)
            shown = [timeless(result.stdout).splitlines() for result in (expected, seen)]
            if line.startswith("images"):  # docker lists an image's names in any order
                shown = list(map(sorted, shown))
            assert (seen.rc, shown[1]) == (0, shown[0]), line


def test_skopeo_reads_the_store(machine, mydocker, directory):
    if machine.run("which", "skopeo").rc:
        pytest.skip("needs skopeo")
    store = f"{machine.store}/lib/images"
    inspected = json.loads(machine.run("skopeo", "inspect", f"oci:{store}:busybox:latest").stdout or "{}")
    assert inspected["Os"] == "linux"
    copied = machine.run("skopeo", "--insecure-policy", "copy", f"oci:{store}:busybox:latest", f"dir:{directory}/copy")
    assert copied.rc == 0, copied.stderr
    for blob in machine.shell(f"cd {store}/blobs/sha256 && sha256sum *").lines:
        digest, name = blob.split()
        assert digest == name
